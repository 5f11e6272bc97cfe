"""What clients learn of their own balance: the shapes, exact numbers, and nothing of anybody else."""

import json
import time
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from llm_mux.auth.client_keys import fixed_name
from llm_mux.ledger.balances import Balances
from llm_mux.ledger.database import Database
from llm_mux.server.serving import DAEMON
from tests.daemon import Daemon
from tests.server.conftest import Run

BILLING = {"billing": {"enabled": True, "initial-balance": "95.50"}}
KEYS = {**BILLING, "api-keys": ["a-key", "b-key"]}
A_KEY, B_KEY = (f"key:{fixed_name(key)}" for key in KEYS["api-keys"])


async def get(client: aiohttp.ClientSession, mux: Daemon, path: str, key: str = "a-key") -> tuple[int, Any]:
    async with client.get(mux.url + path, headers={"Authorization": f"Bearer {key}"}) as answer:
        return answer.status, json.loads(await answer.text(), parse_float=Decimal)


def balances(mux: Daemon) -> Any:
    return mux.app[DAEMON].parts.till.balances


async def test_a_balance_has_the_user_and_an_exact_number(demo: Run) -> None:
    async with demo(KEYS) as mux, aiohttp.ClientSession() as client:
        assert await get(client, mux, "/billing/balance") == (
            200,
            {"user_id": A_KEY, "balance": Decimal("95.50")},
        )
        await balances(mux).credit(A_KEY, Decimal("0.000000000001"), "a trifle", time.time())
        _, found = await get(client, mux, "/billing/balance")
        assert found["balance"] == Decimal("95.500000000001")


async def test_transactions_come_newest_first_in_pages_with_their_total(demo: Run) -> None:
    async with demo(KEYS) as mux, aiohttp.ClientSession() as client:
        assert (await get(client, mux, "/billing/transactions"))[1]["total"] == 1
        for number in range(14):
            await balances(mux).credit(A_KEY, Decimal(number + 1), f"number {number}", time.time())
        _, page = await get(client, mux, "/billing/transactions?limit=3&offset=1")
        assert {name: page[name] for name in ("user_id", "limit", "offset", "total")} == {
            "user_id": A_KEY,
            "limit": 3,
            "offset": 1,
            "total": 15,
        }
        assert [each["description"] for each in page["transactions"]] == ["number 12", "number 11", "number 10"]
        first = page["transactions"][0]
        assert first.keys() == {"id", "user_id", "amount", "description", "timestamp", "balance_after"}
        assert (first["amount"], first["balance_after"]) == (13, Decimal("186.50"))
        _, page = await get(client, mux, "/billing/transactions")
        assert (page["limit"], page["offset"], len(page["transactions"])) == (10, 0, 10)
        _, page = await get(client, mux, "/billing/transactions?limit=100&offset=14")
        assert [each["description"] for each in page["transactions"]] == ["Initial balance"]
        _, page = await get(client, mux, "/billing/transactions?offset=2147483647")
        assert (page["transactions"], page["total"]) == ([], 15)


async def test_nobody_sees_anothers_account(demo: Run) -> None:
    async with demo(KEYS) as mux, aiohttp.ClientSession() as client:
        await balances(mux).credit(A_KEY, Decimal(7), "hers", time.time())
        for path in (f"/billing/balance?user_id={A_KEY}", f"/billing/transactions?user={A_KEY}"):
            status, found = await get(client, mux, path, "b-key")
            assert (status, found["user_id"]) == (200, B_KEY)
        status, found = await get(client, mux, "/billing/balance", "wrong")
        assert (status, found["error_type"], found["code"]) == (401, "authentication_error", 401)


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=0",
        "limit=101",
        "limit=ten",
        "limit=1.5",
        "limit=",
        "limit=--1",
        "limit=%D9%A1",
        "limit=1;DROP TABLE transactions",
        "limit=99999999999999999999999999",
        "offset=-1",
        "offset=2147483648",
        "offset=99999999999999999999999999",
        "offset=' OR 1=1 --",
        "offset=1e10",
    ],
)
async def test_pages_that_cannot_be_are_refused_and_named(demo: Run, query: str) -> None:
    async with demo(BILLING) as mux, aiohttp.ClientSession() as client:
        status, found = await get(client, mux, f"/billing/transactions?{query}")
        assert (status, found["code"], found["error_type"]) == (400, 400, "validation_error")
        assert query.partition("=")[0] in found["detail"]


async def test_without_balances_the_answer_says_how_to_have_them(demo: Run) -> None:
    async with demo({}) as mux, aiohttp.ClientSession() as client:
        for path in ("/billing/balance", "/billing/transactions"):
            status, found = await get(client, mux, path)
            assert (status, "billing" in found["detail"]) == (404, True)


async def test_balances_are_in_the_metrics_also_those_that_others_change(demo: Run) -> None:
    async with demo(BILLING) as mux, aiohttp.ClientSession() as client:
        beside = Database(mux.home / "data" / "llm-mux.sqlite")
        other = Balances(beside)
        await other.credit("somebody", Decimal("7.25"), "", time.time())
        chat = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
        async with client.post(mux.url + "/v1/chat/completions", json=chat) as answer:
            assert answer.status == 200
        async with client.get(mux.url + "/metrics") as answer:
            page = await answer.text()
        assert 'user_balance{user_id="local"} 95.5' in page
        assert 'user_balance{user_id="somebody"} 7.25' in page
        await other.credit("local", Decimal(-5), "", time.time())
        async with client.get(mux.url + "/metrics") as answer:
            assert 'user_balance{user_id="local"} 90.5' in await answer.text()
        await beside.close()
