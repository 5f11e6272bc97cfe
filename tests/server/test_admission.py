"""Limits, budgets and balances as clients meet them: headers, refusals in their own shapes, exact books."""

import asyncio
import contextlib
import pathlib
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace
from sqlalchemy import select, text

from llm_mux.auth.client_keys import fixed_name
from llm_mux.auth.jwt import sign
from llm_mux.auth.scopes import Scopes
from llm_mux.config.schema import Jwt, Limits
from llm_mux.ledger.keys import KeyTable
from llm_mux.ledger.schema import exchanges
from llm_mux.server.demo import start_demo
from llm_mux.server.serving import DAEMON
from tests.daemon import Daemon, daemon
from tests.fake_upstream import FakeUpstream, Reply, Wait, json_reply
from tests.server.conftest import Run
from tests.services import named

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/v1/chat/completions"
LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
SHAPES = [
    pytest.param("/v1/chat/completions", CHAT, '"error":', id="openai"),
    pytest.param("/v1/completions", {"model": "demo", "prompt": "hi"}, '"error":', id="completions"),
    pytest.param("/v1/responses", {"model": "demo", "input": "hi"}, '"error":', id="responses"),
    pytest.param("/v1/messages", {**CHAT, "max_tokens": 5}, '"type":"error"', id="anthropic"),
    pytest.param(
        "/v1beta/models/demo:generateContent", {"contents": [{"parts": [{"text": "hi"}]}]}, '"code":', id="gemini"
    ),
    pytest.param("/api/chat", CHAT, '"error":"', id="ollama"),
]


async def post(
    client: aiohttp.ClientSession, mux: Daemon, path: str = PATH, body: Any = CHAT, **headers: str
) -> tuple[int, Mapping[str, str], str]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.post(mux.url + path, json=body, headers=sent) as answer:
        return answer.status, answer.headers, await answer.text()


def shown(headers: Mapping[str, str]) -> list[int | None]:
    return [int(headers[name]) if name in headers else None for name in LIMIT_HEADERS]


@pytest.mark.parametrize(("path", "body", "shape"), SHAPES)
async def test_the_request_over_the_limit_is_a_429_in_the_clients_shape(
    demo: Run, path: str, body: Any, shape: str
) -> None:
    async with demo({"rate-limits": {"requests-per-minute": 2}}) as mux, aiohttp.ClientSession() as client:
        for left in (1, 0):
            status, headers, _ = await post(client, mux, path, body)
            limit, remaining, reset = shown(headers)
            assert (status, limit, remaining) == (200, 2, left)
            assert reset is not None
            assert 0 <= reset - time.time() <= 61
        status, headers, text = await post(client, mux, path, body)
        assert (status, shown(headers)[:2]) == (429, [2, 0])
        assert 1 <= int(headers["Retry-After"]) <= 60
        assert shape in text.replace(" ", "")
        assert "Rate limit exceeded" in text
        assert "Try again in" in text


async def test_headers_are_on_streams_failures_and_lists_too_and_lists_use_nothing(demo: Run) -> None:
    async with demo({"rate-limits": {"requests-per-minute": 9}}) as mux, aiohttp.ClientSession() as client:
        assert shown((await post(client, mux, body={**CHAT, "stream": True}))[1])[:2] == [9, 8]
        assert shown((await post(client, mux, body={**CHAT, "model": "nobody-has-this"}))[1])[:2] == [9, 7]
        for _ in range(3):
            async with client.get(mux.url + "/v1/models") as answer:
                assert (answer.status, shown(answer.headers)[:2]) == (200, [9, 7])


async def test_the_daemons_own_pages_say_where_the_limits_of_whoever_asks_stand(demo: Run) -> None:
    config = {"rate-limits": {"requests-per-minute": 9}, "api-keys": ["a-key"]}
    async with demo(config) as mux, aiohttp.ClientSession() as client:
        assert shown((await post(client, mux, x_api_key="a-key"))[1])[:2] == [9, 8]
        for path in ("/health", "/v1/aliases", "/v1/usage", "/metrics", "/billing/balance"):
            async with client.get(mux.url + path, headers={"x-api-key": "a-key"}) as answer:
                assert (path, shown(answer.headers)[:2]) == (path, [9, 8])
        for path, key in (("/health", ""), ("/health", "wrong"), ("/ready", "a-key")):
            async with client.get(mux.url + path, headers={"x-api-key": key}) as answer:
                assert (answer.status, shown(answer.headers)) == (200, [None, None, None])
        status, headers, _ = await post(client, mux, body={"messages": []}, x_api_key="a-key")
        assert (status, shown(headers)[:2]) == (400, [9, 8]), "a request that nobody can read took nothing"


async def test_each_message_of_a_websocket_is_a_request(demo: Run) -> None:
    async with demo({"rate-limits": {"requests-per-minute": 1, "concurrent": 1}}) as mux:
        async with aiohttp.ClientSession() as client, client.ws_connect(mux.url + "/v1/responses") as socket:
            last = []
            for _ in range(2):
                await socket.send_json({"type": "response.create", "model": "demo", "input": "hi"})
                while (event := await socket.receive_json())["type"] not in ("response.completed", "error"):
                    pass
                last.append((event["type"], event.get("status")))
            assert last == [("response.completed", None), ("error", 429)]


async def test_nothing_is_said_or_asked_where_nothing_is_limited(demo: Run) -> None:
    async with demo({}) as mux, aiohttp.ClientSession() as client:
        status, headers, _ = await post(client, mux)
        assert (status, shown(headers)) == (200, [None, None, None])
        assert len(mux.app[DAEMON].parts.limiters.of(None, refuse=False).windows) == 0  # type: ignore[attr-defined]


async def test_refused_requests_use_nothing_of_any_limit(demo: Run) -> None:
    limits = {"requests-per-minute": 1, "requests-per-hour": 5, "tokens-per-minute": 10**6, "concurrent": 3}
    async with demo({"rate-limits": limits}) as mux, aiohttp.ClientSession() as client:
        statuses = [(await post(client, mux))[0] for _ in range(20)]
        assert statuses == [200, *[429] * 19]
        windows = mux.app[DAEMON].parts.limiters.of(None, refuse=False).windows  # type: ignore[attr-defined]
        used = {key.split("\0")[1:][0] + key.split("\0")[2]: w.used(0.0) for key, w in windows._windows.items()}
        assert used.pop("tokens60") > 0
        assert used == {"requests60": 1, "requests3600": 1, "concurrent0": 0}


async def test_everybody_together_has_a_limit_beside_everyones_own(demo: Run) -> None:
    config = {
        "api-keys": ["a-key", "b-key"],
        "rate-limits": {"requests-per-minute": 3, "global": {"requests-per-hour": 4}},
    }
    async with demo(config) as mux, aiohttp.ClientSession() as client:
        first = [(await post(client, mux, x_api_key="a-key"))[0] for _ in range(4)]
        second = [await post(client, mux, x_api_key="b-key") for _ in range(2)]
        assert first == [200, 200, 200, 429]
        assert [status for status, _, _ in second] == [200, 429]
        assert "all clients together" in second[1][2]
        assert shown(second[0][1])[:2] == [3, 2]
        assert shown(second[1][1])[:2] == [4, 0]
        async with client.get(mux.url + "/metrics") as answer:
            page = await answer.text()
        assert 'rate_limit_requests_total{type="user_limit"} 1.0' in page
        assert 'rate_limit_requests_total{type="global_limit"} 1.0' in page


async def test_requests_at_the_same_time_are_limited_until_their_streams_end(demo: Run) -> None:
    held = asyncio.Event()
    chunk = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    async with FakeUpstream() as upstream:
        upstream.on("*", Reply([chunk, Wait(held), b"data: [DONE]\n\n"], content_type="text/event-stream"))
        provider = {"type": "openai-compatible", "base-url": upstream.url + "/v1", "api-key": "k", "models": ["m"]}
        config = {"providers": [provider], "rate-limits": {"concurrent": 2}}
        async with demo(config) as mux, aiohttp.ClientSession() as client:
            body = {**CHAT, "model": "m", "stream": True}
            async with contextlib.AsyncExitStack() as streams:
                for _ in range(2):
                    answer = await streams.enter_async_context(client.post(mux.url + PATH, json=body))
                    assert (answer.status, await answer.content.readany() != b"") == (200, True)
                status, headers, text = await post(client, mux)
                assert (status, headers["Retry-After"], "at the same time" in text) == (429, "1", True)
                held.set()
            assert await mux.app[DAEMON].parts.drain.idle(10)
            assert (await post(client, mux))[0] == 200


async def test_a_client_that_leaves_gives_its_place_back(demo: Run) -> None:
    never = asyncio.Event()
    async with FakeUpstream() as upstream:
        upstream.on("*", Reply(before=never))
        provider = {"type": "openai-compatible", "base-url": upstream.url + "/v1", "api-key": "k", "models": ["m"]}
        config = {"providers": [provider], "rate-limits": {"concurrent": 1}}
        async with demo(config) as mux, aiohttp.ClientSession() as client:
            leaving = asyncio.create_task(post(client, mux, body={**CHAT, "model": "m"}))
            await upstream.asked("/v1/chat/completions")
            assert (await post(client, mux))[0] == 429
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            assert await mux.app[DAEMON].parts.drain.idle(10)
            assert (await post(client, mux))[0] == 200


async def test_tokens_are_reserved_by_an_estimate_and_settled_by_what_was_used(demo: Run) -> None:
    async with FakeUpstream() as upstream:
        usage = {"prompt_tokens": 700, "completion_tokens": 200, "total_tokens": 900}
        message = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
        upstream.on(
            "*",
            json_reply(
                {
                    "id": "c",
                    "object": "chat.completion",
                    "model": "m",
                    "created": 1,
                    "choices": [message],
                    "usage": usage,
                }
            ),
        )
        provider = {"type": "openai-compatible", "base-url": upstream.url + "/v1", "api-key": "k", "models": ["m"]}
        config = {"providers": [provider], "rate-limits": {"tokens-per-minute": 2000}}
        async with demo(config) as mux, aiohttp.ClientSession() as client:
            body = {**CHAT, "model": "m", "max_tokens": 50}
            assert [(await post(client, mux, body=body))[0] for _ in range(3)] == [200, 200, 200]
            status, _, text = await post(client, mux, body=body)
            assert (status, "tokens per minute" in text) == (429, True)
            huge = {**body, "messages": [{"role": "user", "content": "x" * 10_000}]}
            status, _, text = await post(client, mux, body=huge)
            assert (status, "make it smaller" in text) == (429, True)


async def test_keys_of_one_user_share_the_users_limits_and_have_their_own_beside_them(demo: Run) -> None:
    config = {"disable-auth": False, "rate-limits": {"requests-per-minute": 5}, "auth": {"jwt": {"secret": "s" * 40}}}
    async with demo(config) as mux, aiohttp.ClientSession() as client:
        table: KeyTable = mux.app[DAEMON].parts.key_book.table
        scopes = Scopes(limits=Limits(requests_per_minute=2))
        _, one = await table.create("one", now=time.time(), user="alice", scopes=scopes)
        _, two = await table.create("two", now=time.time(), user="alice")
        _, bobs = await table.create("three", now=time.time(), user="bob")
        token = sign(Jwt(secret="s" * 40), "s" * 40, "alice", now=time.time(), minutes=1)
        assert [(await post(client, mux, x_api_key=one))[0] for _ in range(3)] == [200, 200, 429]
        assert [(await post(client, mux, x_api_key=two))[0] for _ in range(2)] == [200, 200]
        assert [(await post(client, mux, x_api_key=token))[0] for _ in range(2)] == [200, 429]
        assert (await post(client, mux, x_api_key=two))[0] == 429
        assert (await post(client, mux, x_api_key=bobs))[0] == 200


PRICED = {
    "prices": [{"model": "demo/*", "input": "1000", "output": "3000"}],
    "billing": {"enabled": True, "initial-balance": "100.00"},
}


async def settled(mux: Daemon, user: str, count: int) -> tuple[Decimal, list[Any]]:
    """The balance, and the transactions of which there have to be so many."""
    parts = mux.app[DAEMON].parts
    assert await parts.writer.catch_up()
    page, total = await parts.till.balances.transactions(user, limit=100, offset=0)
    assert total == count
    return await parts.till.balances.balance(user, time.time()), page


async def test_what_an_exchange_costs_is_taken_from_the_balance_to_the_last_digit(demo: Run) -> None:
    async with demo(PRICED) as mux, aiohttp.ClientSession() as client:
        costs = []
        for _ in range(3):
            status, headers, _ = await post(client, mux)
            assert status == 200
            used = int(headers["X-Token-Usage-Input"]), int(headers["X-Token-Usage-Output"])
            costs.append(used[0] * Decimal("0.001") + used[1] * Decimal("0.003"))
        balance, page = await settled(mux, "local", 4)
        assert balance == 100 - sum(costs)
        assert [each.amount for each in page] == [*(-cost for cost in reversed(costs)), Decimal(100)]
        assert page[0].description == "Chat completion with demo"


@pytest.mark.parametrize(("path", "body", "shape"), SHAPES)
async def test_an_exhausted_balance_is_a_402_in_the_clients_shape(demo: Run, path: str, body: Any, shape: str) -> None:
    config = {**PRICED, "billing": {"enabled": True}}
    async with demo(config) as mux, aiohttp.ClientSession() as client:
        status, _, text = await post(client, mux, path, body)
        assert (status, shape in text.replace(" ", "")) == (402, True)
        assert "balance of local is used up" in text
        await mux.app[DAEMON].parts.till.balances.credit("local", Decimal(100), "", time.time())
        assert (await post(client, mux, path, body))[0] == 200


async def test_a_request_that_may_cost_more_than_is_left_says_how_much(demo: Run) -> None:
    config = {**PRICED, "billing": {"enabled": True, "initial-balance": "1"}}
    async with demo(config) as mux, aiohttp.ClientSession() as client:
        status, _, text = await post(client, mux, body={**CHAT, "max_tokens": 1000})
        assert (status, "up to 3.005 USD; 1 USD are left" in text) == (402, True)
        assert (await post(client, mux, body={**CHAT, "max_tokens": 100}))[0] == 200


@pytest.mark.parametrize(("unknown", "status"), [("allow", 200), ("refuse", 403)])
async def test_a_model_without_a_price_costs_nothing_or_is_refused_as_configured(
    demo: Run, unknown: str, status: int
) -> None:
    config = {**PRICED, "billing": {**PRICED["billing"], "when-price-unknown": unknown}}  # type: ignore[dict-item]
    async with demo({**config, "prices": []}) as mux, aiohttp.ClientSession() as client:
        found, _, text = await post(client, mux)
        assert found == status
        assert ("price" in text and "`prices`" in text) == (status == 403)
        assert (await post(client, mux, "/v1/messages/count_tokens"))[0] == 200
        assert (await settled(mux, "local", 1))[0] == 100
    async with demo(config) as mux, aiohttp.ClientSession() as client:
        assert (await post(client, mux))[0] == 200


async def test_what_a_dearer_fallback_may_cost_is_held_too(demo: Run) -> None:
    prices = [
        {"model": "demo/demo", "input": "0", "output": "0"},
        {"model": "demo/demo-code", "input": "0", "output": "1000"},
    ]
    config = {"prices": prices, "billing": {"enabled": True, "initial-balance": "1"}}
    async with demo({**config, "fallbacks": {"demo": ["demo-code"]}}) as mux, aiohttp.ClientSession() as client:
        assert (await post(client, mux, body={**CHAT, "max_tokens": 2000}))[0] == 402
        assert (await post(client, mux, body={**CHAT, "max_tokens": 900}))[0] == 200


async def rows(mux: Daemon) -> list[tuple[Any, ...]]:
    """What the books say of each exchange."""
    parts = mux.app[DAEMON].parts
    assert await parts.writer.catch_up()
    columns = (exchanges.c.status, exchanges.c.error_kind, exchanges.c.attempts, exchanges.c.model_asked)
    async with parts.database.read() as connection:
        found = await connection.execute(select(*columns, exchanges.c.client_key).order_by(exchanges.c.id))
        return [tuple(row) for row in found]


async def test_refused_exchanges_are_in_the_books_with_their_key(demo: Run) -> None:
    config = {"api-keys": ["a-key"], "rate-limits": {"requests-per-minute": 1}}
    async with demo(config) as mux, aiohttp.ClientSession() as client:
        assert [(await post(client, mux, x_api_key="a-key"))[0] for _ in range(2)] == [200, 429]
        assert [row[:4] for row in await rows(mux)] == [(200, None, 1, "demo"), (429, "client_rate_limit", 0, "demo")]
        assert {row[4] for row in await rows(mux)} == {fixed_name("a-key")}
        async with client.get(mux.url + "/v1/usage", headers={"x-api-key": "a-key"}) as answer:
            total = (await answer.json())["total"]
        assert (total["requests"], total["failures"]) == (2, 1)


async def test_a_refusal_for_want_of_money_is_in_the_books_and_costs_nothing(demo: Run) -> None:
    async with demo({**PRICED, "billing": {"enabled": True}}) as mux, aiohttp.ClientSession() as client:
        assert (await post(client, mux))[0] == 402
        assert [row[:4] for row in await rows(mux)] == [(402, "balance_exhausted", 0, "demo")]
        assert (await settled(mux, "local", 0))[0] == 0


async def test_who_nobody_knows_and_what_nobody_can_read_is_counted_and_in_no_books(demo: Run) -> None:
    async with demo({"api-keys": ["a-key"]}) as mux, aiohttp.ClientSession() as client:
        assert (await post(client, mux, x_api_key="wrong"))[0] == 401
        assert (await post(client, mux, body=[1], x_api_key="a-key"))[0] == 400
        assert (await post(client, mux, Origin="https://evil.example", x_api_key="a-key"))[0] == 403
        assert await rows(mux) == []
        async with client.get(mux.url + "/metrics") as answer:
            page = await answer.text()
    counted = {line.split()[0] for line in page.splitlines() if line.startswith("llm_refused_requests_total{")}
    assert counted == {
        f'llm_refused_requests_total{{kind="{kind}"}}' for kind in ("bad_request", "client_auth", "forbidden")
    }


async def test_many_clients_at_once_cannot_spend_more_than_there_is(demo: Run) -> None:
    config = {**PRICED, "billing": {"enabled": True, "initial-balance": "0.4"}}
    async with demo(config) as mux, aiohttp.ClientSession() as client:
        body = {**CHAT, "max_tokens": 20}
        answers = await asyncio.gather(*(post(client, mux, body=body) for _ in range(60)))
        good = sum(status == 200 for status, _, _ in answers)
        assert {status for status, _, _ in answers} == {200, 402}
        balance, page = await settled(mux, "local", good + 1)
        assert balance == sum(each.amount for each in page)
        assert balance >= 0
        assert min(each.balance_after for each in page) >= 0


async def test_what_failed_costs_nothing_and_frees_what_was_held(demo: Run) -> None:
    config = {**PRICED, "billing": {"enabled": True, "initial-balance": "0.1"}}
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply({"error": {"message": "no", "type": "invalid_request_error"}}, 400))
        provider = {"type": "openai-compatible", "base-url": upstream.url + "/v1", "api-key": "k", "models": ["m"]}
        prices = [*PRICED["prices"], {"model": "openai-compatible/m", "input": "1000", "output": "1000"}]  # type: ignore[misc]
        async with (
            demo({**config, "providers": [provider], "prices": prices}) as mux,
            aiohttp.ClientSession() as client,
        ):
            for _ in range(3):
                assert (await post(client, mux, body={**CHAT, "model": "m", "max_tokens": 90}))[0] == 400
                await held_free(mux)
            assert (await post(client, mux, body={**CHAT, "max_tokens": 30}))[0] == 200


async def held_free(mux: Daemon) -> None:
    """Nothing is held any more once the books are written."""
    parts = mux.app[DAEMON].parts
    assert await parts.writer.catch_up()
    async with parts.database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM holds"))).scalar() == 0


async def test_refusals_of_the_balance_use_nothing_of_the_limits(demo: Run) -> None:
    config = {**PRICED, "billing": {"enabled": True}, "rate-limits": {"requests-per-minute": 3, "concurrent": 1}}
    async with demo(config) as mux, aiohttp.ClientSession() as client:
        for _ in range(5):
            assert (await post(client, mux))[0] == 402
        await mux.app[DAEMON].parts.till.balances.credit("local", Decimal(100), "", time.time())
        status, headers, _ = await post(client, mux)
        assert (status, shown(headers)[:2]) == (200, [3, 2])


async def test_a_budget_of_a_key_ends_with_its_day(demo: Run) -> None:
    async with demo({"disable-auth": False, "prices": PRICED["prices"]}) as mux, aiohttp.ClientSession() as client:
        table: KeyTable = mux.app[DAEMON].parts.key_book.table
        scopes = Scopes(daily_budget=Decimal("0.05"), monthly_budget=Decimal(1))
        made, secret = await table.create("small", now=time.time(), scopes=scopes)
        body = {**CHAT, "max_tokens": 10}
        statuses = []
        async with asyncio.timeout(20):
            while not statuses or statuses[-1] == 200:
                status, headers, text = await post(client, mux, body=body, x_api_key=secret)
                statuses.append(status)
                await held_free(mux)
        assert (statuses[-1], "budget for the day" in text) == (429, True)
        assert 1 <= int(headers["Retry-After"]) <= 86_400
        assert statuses.count(200) >= 1
        await table.change(made.id, lambda key: replace(key, scopes=Scopes(), expires=None))
        async with asyncio.timeout(10):
            while (await post(client, mux, body=body, x_api_key=secret))[0] != 200:
                pass


async def test_counting_tokens_costs_nothing(demo: Run) -> None:
    async with demo({**PRICED, "rate-limits": {"tokens-per-minute": 100}}) as mux, aiohttp.ClientSession() as client:
        body = {"model": "demo", "messages": [{"role": "user", "content": "x" * 300}]}
        for _ in range(5):
            assert (await post(client, mux, "/v1/messages/count_tokens", body))[0] == 200
        assert await mux.app[DAEMON].parts.till.balances.balance("local", time.time()) == 100


@contextlib.asynccontextmanager
async def through_redis(demo: Run, **limits: Any) -> AsyncIterator[Daemon]:
    url = named("LLM_MUX_TEST_REDIS", "Redis")
    async with demo({"disable-auth": False, "redis-url": url, "rate-limits": limits}) as mux:
        yield mux


async def test_limits_counted_in_redis_are_met_like_those_in_memory(demo: Run) -> None:
    async with through_redis(demo, **{"requests-per-minute": 2, "tokens-per-minute": 10**6, "concurrent": 2}) as mux:
        table: KeyTable = mux.app[DAEMON].parts.key_book.table
        _, secret = await table.create("shared", now=time.time(), user=f"test-{secrets.token_hex(6)}")
        async with aiohttp.ClientSession() as client:
            answers = [await post(client, mux, x_api_key=secret) for _ in range(3)]
            assert [status for status, _, _ in answers] == [200, 200, 429]
            assert [shown(headers)[1] for _, headers, _ in answers] == [1, 0, 0]
            async with client.get(mux.url + "/health") as answer:
                health = await answer.json()
            async with client.get(mux.url + "/health/detailed") as answer:
                detail = (await answer.json())["components"]["redis"]
        assert (detail["status"], detail["details"]) == ("healthy", {"connected": True})
        assert (health["rate_limit_storage"], health["components"]["redis"]) == ("redis", "healthy")


async def test_daemons_that_list_fixed_keys_in_another_order_count_each_as_one(
    tmp_path: pathlib.Path,
) -> None:
    keys = [f"fixed-{secrets.token_hex(8)}" for _ in range(2)]
    shared = {"redis-url": named("LLM_MUX_TEST_REDIS", "Redis"), "rate-limits": {"requests-per-minute": 1}}
    async with (
        start_demo() as url,
        daemon(tmp_path / "one", {**shared, "api-keys": keys}, demo_url=url) as one,
        daemon(tmp_path / "two", {**shared, "api-keys": keys[::-1]}, demo_url=url) as two,
        aiohttp.ClientSession() as client,
    ):
        asked = [(one, keys[0]), (two, keys[0]), (two, keys[1]), (one, keys[1])]
        assert [(await post(client, mux, x_api_key=key))[0] for mux, key in asked] == [200, 429, 200, 429]


@pytest.mark.parametrize(("fails", "status", "state"), [("allow", 200, "degraded"), ("refuse", 503, "unhealthy")])
async def test_when_redis_is_away_the_configuration_decides_and_health_says_so(
    demo: Run, fails: str, status: int, state: str
) -> None:
    limits = {"requests-per-minute": 2, "when-redis-fails": fails}
    async with demo({"redis-url": "redis://127.0.0.1:1/0", "rate-limits": limits}) as mux:
        async with aiohttp.ClientSession() as client:
            assert (await post(client, mux))[0] == status
            async with client.get(mux.url + "/health") as answer:
                assert (await answer.json())["components"]["redis"] == state
