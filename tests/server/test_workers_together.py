"""What several workers must get right together: what an account takes at once, money to the last bit, conversations that
go on at another worker."""

import asyncio
import contextlib
import pathlib
import secrets
import sys
from collections import Counter
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy import make_url, text

from llm_mux.ledger.database import Database
from tests.daemon import process_daemon
from tests.ledger.conftest import _administer
from tests.server.test_workers import CHAT, Upstream, fresh, provider, upstream_of, whole, workers_of
from tests.services import named

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this platform has no sockets that processes share")

BODY = {**CHAT, "model": "m", "max_tokens": 20}
MOST = 3
COST = Decimal("0.005")
"""Three tokens of a prompt and two of an answer at 1,000 dollars a million."""
CREDIT = Decimal("0.60")
SOME = 40
"""Answers that this pays for, with what a killed worker had held for others."""


async def test_no_more_run_at_an_account_than_it_takes_and_everybody_has_a_turn(tmp_path: pathlib.Path) -> None:
    open_now, peak, full = 0, 0, asyncio.Event()

    async def answer(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        nonlocal open_now, peak
        open_now += 1
        peak = max(peak, open_now)
        if open_now == MOST:
            full.set()
        # Nobody leaves before there are as many as there may be: one more would be seen.
        await asyncio.wait_for(full.wait(), 20)
        await asyncio.sleep(0.005)
        open_now -= 1
        return whole()

    async with upstream_of(answer) as upstream:
        config = {"providers": [provider(upstream, **{"max-concurrent": MOST})], "workers": 2}
        with process_daemon(tmp_path, config) as mux:
            async with fresh() as session:

                async def ask() -> int:
                    async with session.post(f"{mux.url}/v1/chat/completions", json=BODY) as answered:
                        return answered.status

                assert Counter(await asyncio.gather(*(ask() for _ in range(40)))) == {200: 40}
    assert peak == MOST


class Socket:
    """A connection of the websocket mode."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.worker = socket._response.headers["X-Request-ID"][:16]

    async def ask(self, **fields: Any) -> Any:
        """The last event."""
        await self._socket.send_json({"type": "response.create", "model": "m", **fields})
        while True:
            event = await self._socket.receive_json(timeout=20)
            if event["type"] in ("response.completed", "response.failed", "error"):
                return event


async def test_a_conversation_over_websockets_goes_on_at_another_worker(tmp_path: pathlib.Path) -> None:
    heard: list[list[str]] = []

    async def answer(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        heard.append([message["content"] for message in (await request.json())["messages"]])
        return whole(f"c{len(heard)}")

    async with upstream_of(answer) as upstream, contextlib.AsyncExitStack() as stack:
        mux = stack.enter_context(process_daemon(tmp_path, {"providers": [provider(upstream)], "workers": 2}))
        session = await stack.enter_async_context(fresh())
        sockets: dict[str, Socket] = {}
        async with asyncio.timeout(30):
            while len(sockets) < 2:
                made = Socket(await stack.enter_async_context(session.ws_connect(f"{mux.url}/v1/responses")))
                sockets[made.worker] = made
        one, two = sockets.values()
        previous = None
        for turn, socket in enumerate((one, two, one, two)):
            event = await socket.ask(input=f"turn {turn}", previous_response_id=previous)
            assert event["type"] == "response.completed", event
            previous = event["response"]["id"]
        assert heard[-1] == ["turn 0", "hi", "turn 1", "hi", "turn 2", "hi", "turn 3"]
        body = {"model": "m", "input": "turn 4", "previous_response_id": previous}
        async with session.post(f"{mux.url}/v1/responses", json=body) as answered:
            assert answered.status == 200, await answered.text()
        assert len(heard[-1]) == 9
        own = await one.ask(input="only here", store=False)
        lost = await two.ask(input="on", previous_response_id=own["response"]["id"])
        assert lost["error"]["code"] == "previous_response_not_found"
        kept = await one.ask(input="on", previous_response_id=own["response"]["id"])
        assert kept["type"] == "response.completed"


async def other_than(worker: str, url: str, stack: contextlib.AsyncExitStack) -> aiohttp.ClientSession:
    """A client whose connection is with another worker than this one."""
    async with asyncio.timeout(30):
        while True:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            async with session.get(f"{url}/v1/responses/resp_nobody") as answered:
                await answered.read()
                if answered.headers["X-Request-ID"][:16] != worker:
                    return session


async def test_a_background_response_is_seen_and_cancelled_at_another_worker(tmp_path: pathlib.Path) -> None:
    gone = asyncio.Event()

    async def answer(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        return whole()

    async with upstream_of(answer) as upstream, contextlib.AsyncExitStack() as stack:
        mux = stack.enter_context(process_daemon(tmp_path, {"providers": [provider(upstream)], "workers": 2}))
        session, body = await stack.enter_async_context(fresh()), {"model": "m", "input": "hi", "background": True}
        async with session.post(f"{mux.url}/v1/responses", json=body) as answered:
            made, worker = await answered.json(), answered.headers["X-Request-ID"][:16]
        await asyncio.wait_for(upstream.reached.wait(), 20)
        other = await other_than(worker, mux.url, stack)
        url = f"{mux.url}/v1/responses/{made['id']}"
        async with other.get(url) as answered:
            assert (await answered.json())["status"] in ("queued", "in_progress")
            assert answered.headers["X-Request-ID"][:16] != worker
        async with other.get(f"{url}?stream=true") as answered:
            assert answered.status == 400, "its events are where it runs"
        async with other.post(f"{url}/cancel") as answered:
            assert (await answered.json())["status"] == "cancelled"
        await asyncio.wait_for(gone.wait(), 20)


@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
async def test_money_is_exact_over_workers_also_when_one_is_killed(tmp_path: pathlib.Path, kind: str) -> None:
    """Nobody spends what is not there, each answer is paid once, and what is left is what was there without them."""
    place: pathlib.Path | str = tmp_path / "data" / "llm-mux.sqlite"
    async with contextlib.AsyncExitStack() as stack:
        if kind == "PostgreSQL":
            server, name = named("LLM_MUX_TEST_POSTGRES", kind), f"llm_mux_test_{secrets.token_hex(6)}"
            await _administer(server, f"CREATE DATABASE {name}")
            stack.push_async_callback(_administer, server, f"DROP DATABASE {name} WITH (FORCE)")
            place = make_url(server).set(database=name).render_as_string(hide_password=False)

        async def answer(upstream: Upstream, request: web.Request) -> web.StreamResponse:
            return whole()

        upstream = await stack.enter_async_context(upstream_of(answer))
        config = {
            "providers": [provider(upstream)],
            "workers": 2,
            "billing": {"enabled": True, "initial-balance": str(CREDIT)},
            "prices": [{"model": "up/*", "input": "1000", "output": "1000"}],
            "usage": {"database": None if kind == "SQLite" else place},
        }
        told: list[str] = []
        verdicts: Counter[str] = Counter()
        with process_daemon(tmp_path, config) as mux:
            async with fresh() as session:

                async def spend(client: int) -> None:
                    # What is held and not yet paid is not there for others: some are refused before all is spent.
                    while verdicts["402"] < 8 or verdicts["200"] < SOME:
                        id = f"c{client}-{verdicts.total()}"
                        url, headers = f"{mux.url}/v1/chat/completions", {"X-Request-ID": id}
                        try:
                            async with session.post(url, json=BODY, headers=headers) as answered:
                                verdicts[str(answered.status)] += 1
                                if answered.status == 200:
                                    told.append(id)
                        except aiohttp.ClientError:
                            verdicts["broken off"] += 1
                        if verdicts["200"] >= SOME / 2 and not verdicts["killed"]:
                            verdicts["killed"] += 1
                            workers_of(mux)[0].kill()

                async with asyncio.timeout(60):
                    await asyncio.gather(*(spend(client) for client in range(8)))
        database = Database(place)
        async with database.read() as connection:
            rows = list(await connection.execute(text("SELECT request_id, cost FROM exchanges WHERE status = 200")))
            paid = list(await connection.execute(text("SELECT hold, amount FROM transactions WHERE hold IS NOT NULL")))
            (left,) = (await connection.execute(text("SELECT balance FROM balances"))).scalars()
        await database.close()
    print(f"\n{dict(verdicts)}, {len(rows)} rows, {left} left")
    pico = 10**12
    assert {int(cost) for _, cost in rows} == {int(COST * pico)}
    assert Counter(id for id, _ in rows) >= Counter(told)
    assert len({hold for hold, _ in paid}) == len(paid) == len(rows)
    assert int(left) == (CREDIT - COST * len(rows)) * pico
    assert left >= 0
    assert len(rows) >= SOME
    assert set(verdicts) <= {"200", "402", "broken off", "killed"}
