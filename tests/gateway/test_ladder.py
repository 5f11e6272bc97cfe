"""Target after target, fallback after fallback, round after round, against scripted upstreams over real HTTP."""

import asyncio
import contextlib
import dataclasses
import pathlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest

from llm_mux import log
from llm_mux.errors import Kind
from llm_mux.gateway.core import Gateway
from llm_mux.routing.breaker import Breaker
from llm_mux.routing.select import Choice
from llm_mux.server.serving import DAEMON
from tests.daemon import daemon
from tests.fake_upstream import RESET, FakeUpstream, Reply, Wait, json_reply, sse_reply
from tests.gateway.test_exchange import CHAT, GOOD, chunk, whole

Run = Callable[..., AbstractAsyncContextManager[tuple[str, Gateway]]]
SLOW_DOWN = {"error": {"message": "slow down", "type": "rate_limit_error"}}
BROKEN = json_reply({"error": {"message": "broken"}}, 500)
CHATS = "/v1/chat/completions"


@pytest.fixture
def mux(tmp_path: pathlib.Path) -> Run:
    @contextlib.asynccontextmanager
    async def run(*providers: dict[str, object], **config: Any) -> AsyncIterator[tuple[str, Gateway]]:
        named = {name.replace("_", "-"): value for name, value in config.items()}
        async with daemon(tmp_path, {"providers": list(providers), **named}) as running:
            yield running.url, running.app[DAEMON].gateway

    return run


def provider(upstream: FakeUpstream, id: str = "up", *models: str, keys: int = 1, **more: object) -> dict[str, object]:
    accounts = [{"key": f"key-{n}", "label": f"k{n}", "priority": -n} for n in range(keys)]
    return {
        "id": id,
        "type": "openai-compatible",
        "base-url": f"{upstream.url}/v1",
        "models": list(models or ("m",)),
        "api-keys": accounts,
        **more,
    }


async def ask(url: str, model: str = "m", *, headers: dict[str, str] | None = None, **more: object) -> tuple[Any, str]:
    """The answer's head and its text."""
    async with aiohttp.ClientSession() as client:
        async with client.post(url + CHATS, json={**CHAT, "model": model, **more}, headers=headers) as answer:
            return answer, await answer.text()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.covers("OP-11")
async def test_down_the_chain_of_fallbacks_across_models_and_providers(mux: Run, stream: bool) -> None:
    good = sse_reply(*GOOD) if stream else json_reply(whole("Hello"))
    async with FakeUpstream() as one, FakeUpstream() as two, FakeUpstream() as three:
        one.on(CHATS, json_reply(SLOW_DOWN, 429, retry_after="60"))
        two.on(CHATS, BROKEN)
        three.on(CHATS, good)
        providers = (provider(one, "a", "big", keys=2), provider(two, "b", "middle"), provider(three, "c", "small"))
        async with mux(*providers, fallbacks={"big": ["middle", "c://small"]}) as (url, _):
            answer, text = await ask(url, "big", stream=stream)
        assert answer.status == 200, text
        assert answer.headers["x-llm-mux-provider"] == "c"
        assert answer.headers["x-llm-mux-model"] == "small"
        assert answer.headers["x-llm-mux-attempts"] == "4"
        assert three.last.json()["model"] == "small"


async def test_a_fallback_takes_the_thinking_suffix_along_and_a_missing_model_falls_back_too(mux: Run) -> None:
    async with FakeUpstream() as one, FakeUpstream() as two:
        one.on(CHATS, json_reply({"error": {"message": "no such model", "code": "model_not_found"}}, 404))
        two.on(CHATS, json_reply(whole("Hello")))
        async with mux(provider(one, "a", "big"), provider(two, "b", "small"), fallbacks={"big": ["small"]}) as (
            url,
            _,
        ):
            answer, text = await ask(url, "big(high)")
            assert answer.status == 200, text
        assert two.last.json()["reasoning_effort"] == "high"


async def test_two_models_may_stand_in_for_each_other_and_each_is_asked_once(mux: Run) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, json_reply(SLOW_DOWN, 429, retry_after="60"))
        async with mux(provider(upstream, "up", "a", "b"), fallbacks={"a": ["b"], "b": ["a"]}) as (url, _):
            answer, _ = await ask(url, "a")
        assert (answer.status, answer.headers["Retry-After"]) == (429, "60")
        assert [request.json()["model"] for request in upstream.seen(CHATS)] == ["a", "b"]


async def test_a_short_rest_is_waited_for_and_nobody_notices(mux: Run) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, json_reply(SLOW_DOWN, 429, retry_after="0.2"), json_reply(whole("Hello")))
        async with mux(provider(upstream)) as (url, _):
            began = time.monotonic()
            answer, _ = await ask(url)
        assert answer.status == 200
        assert answer.headers["x-llm-mux-attempts"] == "2"
        assert time.monotonic() - began >= 0.2


@pytest.mark.covers("OP-5")
async def test_a_rest_that_is_too_long_is_told_at_once_with_when_to_come_back(mux: Run) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, json_reply(SLOW_DOWN, 429, retry_after="40"))
        async with mux(provider(upstream, keys=3)) as (url, _):
            async with asyncio.timeout(5):
                answer, _ = await ask(url)
                assert (answer.status, answer.headers["Retry-After"]) == (429, "40")
                again, text = await ask(url)
        assert (again.status, len(upstream.requests)) == (429, 3)
        assert "resting after a refusal" in text


@pytest.mark.covers("OP-5")
async def test_a_stream_is_told_a_status_rather_than_kept_waiting_past_the_moment_for_it(mux: Run) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, json_reply(SLOW_DOWN, 429, retry_after="20"))
        async with mux(provider(upstream)) as (url, _):
            async with asyncio.timeout(5):
                answer, _ = await ask(url, stream=True)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "20")


async def test_a_hiccup_of_the_only_account_is_asked_again(mux: Run) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, BROKEN, Reply(body=[RESET]), sse_reply(*GOOD))
        async with mux(provider(upstream)) as (url, _):
            answer, text = await ask(url, stream=True)
        assert answer.status == 200, text
        assert "Hel" in text


@pytest.mark.covers("RC-9")
async def test_an_outage_is_not_multiplied(mux: Run) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, BROKEN)
        async with mux(provider(upstream), max_retry_interval=0.05) as (url, gateway):
            answers = [await ask(url) for _ in range(60)]
            account = gateway.accounts[0]
            assert account.reason("m", time.monotonic()) is Kind.UPSTREAM_ERROR
        assert {answer.status for answer, _ in answers} == {502, 503}
        assert len(upstream.requests) <= 8, "the breaker opens after five, and is tried once in a while"
        assert "Retry-After" in answers[-1][0].headers


@pytest.mark.covers("OP-11")
async def test_request_retry_0_asks_every_account_once(mux: Run) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, BROKEN)
        async with mux(provider(upstream, keys=3), request_retry=0) as (url, _):
            answer, _ = await ask(url)
        assert answer.status == 502
        assert sorted(r.headers["Authorization"][-1] for r in upstream.requests) == ["0", "1", "2"]


async def test_accounts_of_a_host_that_is_not_there_are_not_all_tried(mux: Run) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, json_reply(whole("Hello")))
        gone = provider(upstream, "gone", keys=4, priority=1) | {"base-url": "http://127.0.0.1:9/v1"}
        async with mux(gone, provider(upstream)) as (url, _):
            answer, _ = await ask(url)
        assert (answer.status, answer.headers["x-llm-mux-attempts"]) == (200, "2")


async def test_a_context_that_is_too_small_goes_to_one_that_fits_or_is_told_in_the_clients_words(mux: Run) -> None:
    too_long = json_reply(
        {"error": {"message": "maximum context length is 8000 tokens", "code": "context_length_exceeded"}}, 400
    )
    models = {"data": [{"id": "m", "context_length": 8000}]}, {"data": [{"id": "m", "context_length": 100_000}]}
    async with FakeUpstream() as small, FakeUpstream() as large:
        for upstream, listed in zip((small, large), models, strict=True):
            upstream.on("/v1/models", json_reply(listed)).on(CHATS, too_long)
        open_ = {"models": []}
        async with mux(provider(small, "s", priority=1) | open_, provider(large, "l") | open_) as (url, gateway):
            await gateway.lists.refresh(gateway.accounts, gateway.upstream)
            answer, text = await ask(url)
            assert (answer.status, "context_length_exceeded" in text) == (400, True)
            assert (len(small.seen(CHATS)), len(large.seen(CHATS))) == (1, 1)
            large.on(CHATS, json_reply(whole("Hello")))
            answer, _ = await ask(url)
            assert (answer.status, answer.headers["x-llm-mux-provider"]) == (200, "l")
            assert not any(account.breakers for account in gateway.accounts), "nobody's fault"


async def test_an_account_takes_no_more_exchanges_at_once_than_it_may(mux: Run) -> None:
    go = asyncio.Event()
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, sse_reply(chunk("Hel"), Wait(go), *GOOD[1:]))
        async with mux(provider(upstream, **{"max-concurrent": 2})) as (url, gateway):
            asking = [asyncio.ensure_future(ask(url, stream=True)) for _ in range(5)]
            async with asyncio.timeout(5):
                while len(gateway.waiting) < 3 or upstream.open < 2:
                    await asyncio.sleep(0.01)
            assert (upstream.open, gateway.accounts[0].inflight) == (2, 2)
            go.set()
            answers = await asyncio.gather(*asking)
            assert [answer.status for answer, _ in answers] == [200] * 5
            assert gateway.accounts[0].inflight == 0


async def test_room_at_an_account_goes_to_those_who_wait_in_their_order_and_to_nobody_who_comes_later(mux: Run) -> None:
    goes = [asyncio.Event() for _ in range(9)]
    async with FakeUpstream() as upstream:
        replies = [dataclasses.replace(json_reply(whole("Hello")), before=go) for go in goes]
        upstream.on(CHATS, *replies, json_reply(whole("Hello")))
        async with mux(provider(upstream, **{"max-concurrent": 1})) as (url, gateway):
            asking = []

            def join(number: int) -> None:
                asking.append(asyncio.ensure_future(ask(url, user=f"u{number}")))

            for number in range(5):
                join(number)
                async with asyncio.timeout(5):
                    while len(gateway.waiting) < number or not upstream.open:
                        await asyncio.sleep(0.005)
            for number, go in enumerate(goes):
                if number < 4:
                    join(5 + number)
                go.set()
                async with asyncio.timeout(5):
                    while len(upstream.requests) < min(number + 2, len(goes)):
                        await asyncio.sleep(0.005)
                assert upstream.open <= 1
            answers = await asyncio.gather(*asking)
        assert [answer.status for answer, _ in answers] == [200] * 9
        assert [request.json()["user"] for request in upstream.requests[:5]] == [f"u{number}" for number in range(5)]
        assert {request.json()["user"] for request in upstream.requests[5:]} == {
            f"u{5 + number}" for number in range(4)
        }


async def test_hedging_begins_no_more_at_an_account_than_it_may_have(mux: Run) -> None:
    never = asyncio.Event()
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, Reply(GOOD, content_type="text/event-stream", before=never))
        providers = provider(upstream, "up", keys=2, **{"max-concurrent": 1})
        async with mux(providers, routing={"hedge-after": 0.02}, max_retry_interval=0.1) as (url, gateway):
            asking = [asyncio.ensure_future(ask(url, stream=True)) for _ in range(6)]
            async with asyncio.timeout(5):
                while upstream.open < 2:
                    await asyncio.sleep(0.005)
                    assert max(account.inflight for account in gateway.accounts) <= 1
            never.set()
            await asyncio.gather(*asking)
            assert [(account.inflight, account.promised) for account in gateway.accounts] == [(0, 0), (0, 0)]


@pytest.mark.parametrize("path", ["whole", "stream", "broken stream", "refused", "gone"])
async def test_an_account_is_free_again_however_its_exchange_ends(mux: Run, path: str) -> None:
    never = asyncio.Event()
    replies = {
        "whole": json_reply(whole("Hello")),
        "stream": sse_reply(*GOOD),
        "broken stream": sse_reply(chunk("Hel"), RESET),
        "refused": json_reply({"error": {"message": "bad"}}, 400),
        "gone": sse_reply(chunk("Hel"), Wait(never)),
    }
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, replies[path])
        async with mux(provider(upstream)) as (url, gateway):
            if path == "gone":
                async with aiohttp.ClientSession() as client:
                    answer = await client.post(url + CHATS, json={**CHAT, "stream": True})
                    await answer.content.readany()
                    assert gateway.accounts[0].inflight == 1
                    answer.close()
            else:
                await ask(url, stream="stream" in path)
            async with asyncio.timeout(2):
                while gateway.accounts[0].inflight:
                    await asyncio.sleep(0.01)


async def test_a_spent_quota_in_an_answer_is_respected_before_the_429(mux: Run) -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-limit-requests": "50"}
    async with FakeUpstream() as upstream:
        spent = Reply(json_reply(whole("Hello")).body, headers={**headers, "x-ratelimit-reset-requests": "6m0s"})
        upstream.on(CHATS, spent, json_reply(whole("Hello")))
        async with mux(provider(upstream, keys=2)) as (url, _):
            accounts = [(await ask(url))[0].headers["x-llm-mux-account"] for _ in range(3)]
        assert accounts == ["k0", "k1", "k1"]


async def test_a_second_account_is_asked_beside_a_silent_one_when_that_is_wished(mux: Run) -> None:
    never = asyncio.Event()
    async with FakeUpstream() as slow, FakeUpstream() as quick:
        slow.on(CHATS, Reply(before=never))
        quick.on(CHATS, sse_reply(*GOOD))
        providers = provider(slow, "slow", priority=1), provider(quick, "quick")
        async with mux(*providers, routing={"hedge-after": 0.05}) as (url, gateway):
            answer, text = await ask(url, stream=True)
            assert (answer.status, answer.headers["x-llm-mux-provider"]) == (200, "quick"), text
            async with asyncio.timeout(1):
                await slow.closed.wait()
            assert [account.inflight for account in gateway.accounts] == [0, 0]
            assert not any(account.breakers for account in gateway.accounts), "being slow is no fault"


async def test_with_hedging_the_other_one_counts_when_one_fails_and_a_lone_failure_moves_on_at_once(mux: Run) -> None:
    go = asyncio.Event()
    async with FakeUpstream() as slow, FakeUpstream() as broken, FakeUpstream() as third:
        slow.on(CHATS, Reply(GOOD, content_type="text/event-stream", before=go))
        broken.on(CHATS, BROKEN)
        third.on(CHATS, sse_reply(*GOOD))
        providers = provider(slow, "slow", priority=2), provider(broken, "broken", priority=1)
        async with mux(*providers, routing={"hedge-after": 0.05}) as (url, _):
            asking = asyncio.ensure_future(ask(url, stream=True))
            await broken.arrived.wait()
            go.set()
            answer, text = await asking
            assert (answer.status, answer.headers["x-llm-mux-provider"]) == (200, "slow"), text
        quick = provider(broken, "broken", priority=2), provider(third, "third")
        async with mux(*quick, routing={"hedge-after": 30}) as (url, _):
            async with asyncio.timeout(5):
                answer, _ = await ask(url, stream=True)
            assert answer.headers["x-llm-mux-provider"] == "third"


async def test_content_that_one_target_has_no_form_for_goes_to_one_that_has(mux: Run) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://pictures.example/cat.png"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}]
    async with FakeUpstream() as blind, FakeUpstream() as seeing:
        seeing.on(CHATS, json_reply(whole("A cat")))
        local = {"id": "local", "type": "ollama", "base-url": blind.url, "models": ["m"], "priority": 1}
        async with mux(local, provider(seeing)) as (url, _):
            answer, text = await ask(url, messages=messages)
        assert answer.status == 200, text
        assert not blind.requests


@pytest.mark.covers("OP-1")
async def test_what_keeps_a_model_waiting_is_cleared_by_a_success_elsewhere_in_the_account_only_for_the_account(
    mux: Run,
) -> None:
    refused = json_reply({"error": {"message": "bad key", "code": "invalid_api_key"}}, 401)
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, refused, json_reply(whole("Hello")))
        async with mux(provider(upstream, "up", "m", "n")) as (url, gateway):
            answer, _ = await ask(url)
            assert answer.status == 502
            account = gateway.accounts[0]
            answer, text = await ask(url, "n")
            assert (answer.status, "refused the key" in text) == (503, True)
            account.clear("")
            answer, _ = await ask(url, "n")
            assert answer.status == 200


@pytest.mark.covers("OP-11")
async def test_each_attempt_is_in_the_line_of_the_exchange_with_its_account_and_what_came_of_it(mux: Run) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, BROKEN, json_reply(SLOW_DOWN, 429, retry_after="60"), json_reply(whole("Hello")))
        async with mux(provider(upstream, keys=3)) as (url, _):
            answer, _ = await ask(url, headers={"X-Request-ID": "told-of-attempts"})
            assert answer.status == 200
            async with asyncio.timeout(5):
                while not (
                    lines := [r for r in log.ring.after(0, limit=2000) if r.get("request") == "told-of-attempts"]
                ):
                    await asyncio.sleep(0.02)
        (line,) = lines
        assert (line["attempts"], line["account"]) == (3, "k2")
        assert [each.rsplit(" ", 1)[0] for each in line["failed"]] == ["up/k0 m upstream_error", "up/k1 m rate_limit"]


async def test_an_alias_of_the_environment_leads_to_its_provider(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, json_reply(whole("Hello")))
        config = {"providers": [provider(upstream, "lab", "lab-70b")]}
        async with daemon(tmp_path, config, {"LAB_ALIAS_BIG": "lab-70b"}) as running:
            answer, text = await ask(running.url, "big")
        assert answer.status == 200, text
        assert upstream.last.json()["model"] == "lab-70b"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_exchange_on_which_the_daemon_itself_fails_is_settled_once_too(mux: Run, stream: bool) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(CHATS, sse_reply(*GOOD) if stream else json_reply(whole("Hello")))
        async with mux(provider(upstream)) as (url, gateway):
            settled: list[int] = []
            gateway.settle = lambda ask, out: settled.append(out.status)
            # A choice that cannot be made stands for whatever goes wrong in the daemon's own code.
            gateway.choice = Choice("no such strategy")
            gateway.accounts[0].most = 5
            gateway.accounts[0].low["m"] = 1.0
            gateway.standing.hosts[("elsewhere", None)] = Breaker()
            answer, text = await ask(url, stream=stream)
            assert (answer.status, settled) == (200, [200]), text
            twin = dataclasses.replace(gateway.accounts[0], label="twin", breakers={}, low={"m": 1.0})
            gateway.accounts.append(twin)
            gateway._reaches.clear()
            answer, _ = await ask(url, stream=stream)
            assert (answer.status, settled) == (500, [200, 500])
            assert [account.inflight for account in gateway.accounts] == [0, 0]
