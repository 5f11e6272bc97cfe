"""The ladder of an exchange against a scripted upstream over real HTTP: failover, honest ends, vanished clients."""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import msgspec
import pytest

from llm_mux.gateway import exchange
from llm_mux.gateway.ask import Ask, Caller, Streaming
from llm_mux.gateway.exchange import Exchange
from llm_mux.server.serving import DAEMON
from llm_mux.translators import registry
from llm_mux.translators.base import Hints
from tests.daemon import daemon
from tests.fake_upstream import RESET, FakeUpstream, Reply, Wait, json_reply, sse_reply

Run = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture
def mux(tmp_path: pathlib.Path) -> Run:
    """Starts a daemon with a configuration, and with the gateway's own settings where they are named."""

    @contextlib.asynccontextmanager
    async def run(config: Mapping[str, Any], **settings: Any) -> AsyncIterator[str]:
        async with daemon(tmp_path, config) as running:
            gateway = running.app[DAEMON].gateway
            gateway.settings = msgspec.structs.replace(gateway.settings, **settings)
            yield running.url

    return run


def chunk(text: str | None = None, finish: str | None = None, **more: object) -> bytes:
    delta = {} if text is None else {"content": text}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def whole(text: str) -> dict[str, object]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


GOOD = (chunk("Hel"), chunk("lo"), chunk(finish="stop"), b"data: [DONE]\n\n")
ERROR_IN_STREAM = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
MESSAGES = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}


def two_accounts(upstream: FakeUpstream, format_: str | None = None, **more: object) -> dict[str, object]:
    keys = [{"key": "first-key", "label": "first", "priority": 1}, {"key": "second-key", "label": "second"}]
    provider = {"id": "up", "type": "openai-compatible", "base-url": f"{upstream.url}/v1", "models": ["m"]}
    spoken = {} if format_ is None else {"format": format_}
    return {"providers": [{**provider, **spoken, "api-keys": keys}], **more}


def one_account(upstream: FakeUpstream, **more: object) -> dict[str, object]:
    provider = {"id": "up", "type": "openai-compatible", "base-url": f"{upstream.url}/v1", "models": ["m"]}
    return {"providers": [{**provider, "api-key": "only-key"}], **more}


PATHS = [
    pytest.param("/v1/chat/completions", CHAT, id="splice"),
    pytest.param("/v1/messages", MESSAGES, id="translate"),
]


@pytest.mark.parametrize(("path", "body"), PATHS)
async def test_the_next_account_answers_when_the_first_refuses(mux: Run, path: str, body: dict[str, object]) -> None:
    refusal = json_reply({"error": {"message": "slow down", "type": "rate_limit_error"}}, 429, retry_after="7")
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", refusal, json_reply(whole("Hello")))
        async with mux(two_accounts(upstream)) as url, aiohttp.ClientSession() as client:
            async with client.post(url + path, json=body) as answer:
                assert answer.status == 200, await answer.text()
                assert answer.headers["x-llm-mux-account"] == "second"
                assert answer.headers["x-llm-mux-attempts"] == "2"
                assert "Hello" in await answer.text()
        assert [r.headers["Authorization"] for r in upstream.requests] == ["Bearer first-key", "Bearer second-key"]


@pytest.mark.covers("FB-81")
async def test_a_model_asked_with_a_thinking_suffix_rests_by_its_name_and_is_told_as_asked(mux: Run) -> None:
    refusal = json_reply({"error": {"message": "slow down", "type": "rate_limit_error"}}, 429, retry_after="60")
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", refusal, json_reply(whole("Hello")))
        async with mux(two_accounts(upstream)) as url, aiohttp.ClientSession() as client:
            for model in ("m(high)", "m", "m(low)"):
                async with client.post(url + "/v1/chat/completions", json={**CHAT, "model": model}) as answer:
                    assert answer.status == 200, await answer.text()
                    assert (await answer.json())["model"] == model
        keys = [request.headers["Authorization"].removeprefix("Bearer ") for request in upstream.requests]
        assert keys == ["first-key", *["second-key"] * 3], "the first account rests for every spelling"
        assert {request.json()["model"] for request in upstream.requests} == {"m"}


@pytest.mark.covers("RC-6")
async def test_requests_of_one_name_get_ids_of_their_own(mux: Run) -> None:
    """Some clients give all their requests one X-Request-ID, and some servers all their calls one id."""
    call = {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    calling = {**whole(""), "id": None, "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    turns: list[dict[str, Any]] = list(MESSAGES["messages"])  # type: ignore[call-overload]  # it is the list above
    names: list[str] = []
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", *[json_reply(calling)] * 3)
        async with mux(one_account(upstream)) as url, aiohttp.ClientSession() as client:
            for _ in range(3):
                body = {**MESSAGES, "messages": turns, "tools": [{"name": "f", "input_schema": {"type": "object"}}]}
                async with client.post(url + "/v1/messages", json=body, headers={"X-Request-ID": "one"}) as answer:
                    said = await answer.json()
                use = said["content"][0]
                names += [said["id"], use["id"]]
                result = {"type": "tool_result", "tool_use_id": use["id"], "content": "done"}
                turns += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    assert len(set(names)) == len(names)


@pytest.mark.covers("FB-107", "OP-4")
@pytest.mark.parametrize(("path", "body"), PATHS)
async def test_an_error_inside_a_200_stream_moves_on_unseen(mux: Run, path: str, body: dict[str, object]) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", sse_reply(ERROR_IN_STREAM), sse_reply(*GOOD))
        async with mux(two_accounts(upstream)) as url, aiohttp.ClientSession() as client:
            async with client.post(url + path, json={**body, "stream": True}) as answer:
                text = await answer.text()
        assert answer.status == 200
        assert "Hel" in text
        assert "overloaded" not in text


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


BEGUN = [
    event(f"response.{name}", response={"id": "r", "status": "in_progress"}) for name in ("created", "in_progress")
]
FULL = {"code": "server_is_overloaded", "message": "Overloaded."}
PART = {"type": "output_text", "text": "Hel", "annotations": []}
SAID = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [PART]}


@pytest.mark.covers("FB-107")
@pytest.mark.parametrize(
    ("path", "body"), [*PATHS, pytest.param("/v1/responses", {"model": "m", "input": "hi"}, id="Responses")]
)
async def test_an_overload_told_after_the_handshake_of_a_response_moves_on_unseen(
    mux: Run, path: str, body: dict[str, object]
) -> None:
    failed = event("response.failed", response={"id": "r", "status": "failed", "error": FULL})
    good = event("response.completed", response={"id": "g", "status": "completed", "output": [SAID]})
    async with FakeUpstream() as upstream:
        upstream.on("/v1/responses", sse_reply(*BEGUN, failed), sse_reply(*BEGUN, good))
        config = two_accounts(upstream, "openai-responses")
        async with mux(config) as url, aiohttp.ClientSession() as client:
            async with client.post(url + path, json={**body, "stream": True}) as answer:
                text = await answer.text()
        assert answer.status == 200, text
        assert answer.headers["x-llm-mux-account"] == "second"
        assert "Hel" in text
        assert "verloaded" not in text
        assert text.count("response.created") <= 2, "the handshake is told once"


EMPTY = chunk()


@pytest.mark.covers("OP-4")
@pytest.mark.parametrize("end", [ERROR_IN_STREAM, RESET], ids=["an error", "a cut"])
@pytest.mark.parametrize(
    ("path", "body", "most", "seconds", "empty"),
    [
        pytest.param("/v1/chat/completions", CHAT, exchange._MOST_HELD, 60.0, 2000, id="so many bytes, splice"),
        pytest.param("/v1/chat/completions", CHAT, 1 << 30, 0.0, 1, id="so long, splice"),
        pytest.param("/v1/messages", MESSAGES, 1 << 30, 0.0, 1, id="so long, translate"),
    ],
)
async def test_what_never_comes_to_content_is_held_back_only_so_far_and_then_told_honestly(
    mux: Run,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    body: dict[str, object],
    most: int,
    seconds: float,
    empty: int,
    end: bytes,
) -> None:
    monkeypatch.setattr(exchange, "_MOST_HELD", most)
    monkeypatch.setattr(exchange, "_HELD_S", seconds)
    seen = asyncio.Event()
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", sse_reply(EMPTY * empty, Wait(seen), end))
        async with mux(two_accounts(upstream)) as url, aiohttp.ClientSession() as client, asyncio.timeout(10):
            async with client.post(url + path, json={**body, "stream": True}) as answer:
                assert answer.status == 200
                await answer.content.readany()
                seen.set()
                assert b'"error"' in (await answer.read())[-500:]
    assert len(upstream.requests) == 1, "the client has something: nobody is asked again"


@pytest.mark.covers("FB-104", "PF-11", "PF-133")
@pytest.mark.parametrize(
    ("path", "body", "mark", "end"),
    [
        pytest.param("/v1/chat/completions", CHAT, '"error"', '"finish_reason":"stop"', id="openai chat"),
        pytest.param("/v1/messages", MESSAGES, "event: error", "message_stop", id="anthropic"),
        pytest.param("/v1/responses", {"model": "m", "input": "hi"}, "response.failed", "response.completed", id="rsp"),
        pytest.param("/api/chat", CHAT, '"error"', '"done":true', id="ollama"),
        pytest.param(
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
            '"error"',
            "STOP",
            id="gemini",
        ),
    ],
)
async def test_a_stream_that_breaks_ends_with_the_protocols_error(
    mux: Run, path: str, body: dict[str, object], mark: str, end: str
) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", sse_reply(chunk("Hel"), chunk("lo"), RESET))
        stream = body if "v1beta" in path else {**body, "stream": True}
        async with mux(one_account(upstream)) as url, aiohttp.ClientSession() as client:
            async with client.post(url + path, json=stream) as answer:
                assert answer.status == 200
                text = await answer.text()
        assert "Hel" in text
        assert mark in text
        assert end not in text
        assert len(upstream.requests) == 1, "nothing is sent twice after the first byte"


@pytest.mark.covers("FB-120", "PF-134")
@pytest.mark.parametrize(("path", "body"), PATHS)
@pytest.mark.covers("OP-3")
async def test_a_vanished_client_closes_the_upstream_and_costs_no_account_anything(
    mux: Run, path: str, body: dict[str, object]
) -> None:
    never = asyncio.Event()
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", sse_reply(chunk("Hel"), Wait(never)))
        async with mux(one_account(upstream)) as url:
            async with aiohttp.ClientSession() as client:
                answer = await client.post(url + path, json={**body, "stream": True})
                await answer.content.readany()
                answer.close()
            async with asyncio.timeout(0.25):
                await upstream.closed.wait()
            upstream.on("/v1/chat/completions", json_reply(whole("Hello")))
            async with aiohttp.ClientSession() as client, client.post(url + path, json=body) as again:
                assert again.status == 200


@pytest.mark.covers("FB-120")
@pytest.mark.parametrize(("path", "body"), PATHS)
async def test_a_client_that_is_gone_before_the_first_byte_still_closes_the_upstream(
    tmp_path: pathlib.Path, path: str, body: dict[str, object]
) -> None:
    async def nowhere(data: bytes) -> None:
        raise ConnectionResetError("gone")

    never = asyncio.Event()
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", sse_reply(chunk("Hel"), Wait(never)))
        async with daemon(tmp_path, one_account(upstream)) as running:
            gateway = running.app[DAEMON].gateway
            settled: list[int] = []
            gateway.settle = lambda ask, out: settled.append(out.status)
            protocol = registry.get("anthropic" if "messages" in path else "openai_chat")
            sent = msgspec.json.encode({**body, "stream": True})
            ask = Ask(protocol, sent, Hints(stream=True), "m", True, "req", {}, Caller(), time=0, started=0)
            answer = await Exchange(gateway, ask).serve()
            assert isinstance(answer, Streaming)
            with pytest.raises(ConnectionResetError):
                await answer.pump(nowhere)
            async with asyncio.timeout(1):
                await upstream.closed.wait()
        assert settled == [499]


@pytest.mark.covers("PF-134")
async def test_a_client_that_leaves_a_whole_request_closes_the_upstream_too(mux: Run) -> None:
    never = asyncio.Event()
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", Reply(before=never))
        async with mux(one_account(upstream)) as url, aiohttp.ClientSession() as client:
            asking = asyncio.ensure_future(client.post(url + "/v1/chat/completions", json=CHAT))
            await upstream.arrived.wait()
            asking.cancel()
            async with asyncio.timeout(0.5):
                await upstream.closed.wait()


@pytest.mark.parametrize(("path", "body"), PATHS)
@pytest.mark.covers("OP-3")
async def test_a_clients_bad_request_is_not_sent_to_every_account(mux: Run, path: str, body: dict[str, object]) -> None:
    bad = json_reply({"error": {"message": "messages: too short", "type": "invalid_request_error"}}, 400)
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", bad)
        async with mux(two_accounts(upstream)) as url, aiohttp.ClientSession() as client:
            async with client.post(url + path, json=body) as answer:
                assert answer.status == 400
                assert "too short" in await answer.text()
        assert len(upstream.requests) == 1


@pytest.mark.covers("RC-8", "PF-19")
async def test_the_upstreams_retry_after_reaches_the_client(mux: Run) -> None:
    refusal = json_reply({"error": {"message": "slow down", "type": "rate_limit_error"}}, 429, retry_after="7")
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", refusal)
        config = one_account(upstream, **{"max-retry-interval": 0.5})
        async with mux(config) as url, aiohttp.ClientSession() as client:
            async with client.post(url + "/v1/messages", json=MESSAGES) as answer:
                assert answer.status == 429
                assert answer.headers["Retry-After"] == "7"
            async with client.post(url + "/v1/messages", json=MESSAGES) as answer:
                assert answer.status == 429
                assert 1 <= int(answer.headers["Retry-After"]) <= 7
        assert len(upstream.requests) == 1, "a resting account is not asked"


@pytest.mark.covers("PF-24", "FB-112")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body"), PATHS)
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(b"<html><body>502 Bad Gateway</body></html>", content_type="text/html"), id="html"),
        pytest.param(Reply(b"<html>oops</html>", content_type="application/json"), id="html as json"),
        pytest.param(Reply(b'{"id": "x", "choices": [', content_type="application/json"), id="cut json"),
        pytest.param(Reply(b"", content_type="application/json"), id="nothing"),
    ],
)
async def test_nonsense_from_upstream_is_a_502_and_never_an_answer(
    mux: Run, path: str, body: dict[str, object], reply: Reply, stream: bool
) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", reply)
        async with mux(one_account(upstream)) as url, aiohttp.ClientSession() as client:
            async with client.post(url + path, json={**body, "stream": stream}) as answer:
                text = await answer.text()
                assert answer.status == 502, text
                assert "<html" not in text
                assert "error" in text


async def test_a_provider_that_is_not_there_is_a_502_that_names_it(mux: Run) -> None:
    provider = {"id": "gone", "type": "openai-compatible", "base-url": "http://127.0.0.1:9/v1", "models": ["m"]}
    async with mux({"providers": [provider]}) as url, aiohttp.ClientSession() as client:
        async with client.post(url + "/v1/chat/completions", json=CHAT) as answer:
            assert answer.status == 502
            assert "gone" in (await answer.json())["error"]["message"]


@pytest.mark.covers("PF-61")
async def test_a_parameter_that_a_model_refuses_is_left_out_from_then_on(mux: Run) -> None:
    refusal = json_reply(
        {"error": {"message": "Unsupported parameter: 'seed'", "param": "seed", "code": "unsupported_parameter"}}, 400
    )
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", refusal, json_reply(whole("Hello")))
        async with mux(one_account(upstream)) as url, aiohttp.ClientSession() as client:
            for _ in range(2):
                async with client.post(url + "/v1/chat/completions", json={**CHAT, "seed": 1}) as answer:
                    assert answer.status == 200
                    assert answer.headers["x-llm-mux-dropped"] == "seed"
        assert ["seed" in request.json() for request in upstream.requests] == [True, False, False]


async def test_strict_makes_a_dropped_knob_a_400(mux: Run) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply(whole("Hello")))
        body = {**MESSAGES, "service_tier": "standard_only"}
        async with mux(one_account(upstream, strict=True)) as url, aiohttp.ClientSession() as client:
            async with client.post(url + "/v1/messages", json=body) as answer:
                assert answer.status == 400
                assert "strict" in await answer.text()
        assert not upstream.requests


async def test_the_name_the_client_asked_for_comes_back(mux: Run) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", json_reply(whole("Hello")), sse_reply(*GOOD))
        async with mux(one_account(upstream)) as url, aiohttp.ClientSession() as client:
            body = {**CHAT, "model": "up://m"}
            async with client.post(url + "/v1/chat/completions", json=body) as answer:
                assert (await answer.json())["model"] == "up://m"
            async with client.post(url + "/v1/chat/completions", json={**body, "stream": True}) as answer:
                text = await answer.text()
        assert '"model":"up://m"' in text
        assert '"model":"m"' not in text


@pytest.mark.covers("FB-86", "FB-101")
async def test_spliced_bytes_arrive_unchanged_and_a_usage_record_nobody_asked_for_is_hidden(mux: Run) -> None:
    usage = b'data: {"id":"x","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
    odd = b'data: {"choices":[{"index":0,"delta":{"content":"\\u00e9  "}}],   "yesterday":1e5, "model":"m"}\n\n'
    stream = (odd, chunk(finish="stop"), usage, b"data: [DONE]\n\n")
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", sse_reply(*stream))
        async with mux(one_account(upstream)) as url, aiohttp.ClientSession() as client:
            async with client.post(url + "/v1/chat/completions", json={**CHAT, "stream": True}) as answer:
                got = await answer.read()
            asked = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
            async with client.post(url + "/v1/chat/completions", json=asked) as answer:
                whole_got = await answer.read()
        assert got == b"".join((odd, chunk(finish="stop"), b"data: [DONE]\n\n"))
        assert whole_got == b"".join(stream)
        assert upstream.requests[0].json()["stream_options"] == {"include_usage": True}


@pytest.mark.covers("PF-18", "FB-119", "RC-4")
async def test_a_slow_start_becomes_keepalives_that_each_client_understands(mux: Run) -> None:
    beats = {
        "/v1/messages": (MESSAGES, b"event: ping"),
        "/v1/chat/completions": (CHAT, b": "),
    }
    for path, (body, mark) in beats.items():
        go = asyncio.Event()
        async with FakeUpstream() as upstream:
            upstream.on("/v1/chat/completions", Reply(body=GOOD, content_type="text/event-stream", before=go))
            async with mux(one_account(upstream), patience_s=0.05, keepalive_s=0.05) as url:
                async with aiohttp.ClientSession() as client:
                    async with client.post(url + path, json={**body, "stream": True}) as answer:
                        first = await answer.content.readany()
                        assert first.startswith(mark), (path, first)
                        go.set()
                        rest = await answer.content.read()
                        assert b"Hel" in rest


@pytest.mark.covers("FB-90", "PF-57")
async def test_an_anthropic_stream_starts_with_an_estimate_and_the_name_that_was_asked_for(mux: Run) -> None:
    async with FakeUpstream() as upstream:
        usage = chunk(usage={"prompt_tokens": 1234, "completion_tokens": 2, "total_tokens": 1236})
        upstream.on("/v1/chat/completions", sse_reply(chunk("Hel"), chunk(finish="stop"), usage, b"data: [DONE]\n\n"))
        async with mux(one_account(upstream)) as url, aiohttp.ClientSession() as client:
            body = {**MESSAGES, "model": "up://m", "stream": True}
            async with client.post(url + "/v1/messages", json=body) as answer:
                text = await answer.text()
    records = [msgspec.json.decode(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    start, end = records[0]["message"], records[-2]
    assert start["model"] == "up://m"
    assert start["usage"]["input_tokens"] > 0
    assert end["usage"]["input_tokens"] == 1234


@pytest.mark.covers("PF-14", "PF-15")
async def test_streams_are_neither_buffered_nor_compressed_on_the_way(mux: Run) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", sse_reply(*GOOD))
        async with mux(one_account(upstream)) as url, aiohttp.ClientSession() as client:
            headers = {"Accept-Encoding": "gzip, br, zstd"}
            body = {**CHAT, "stream": True}
            async with client.post(url + "/v1/chat/completions", json=body, headers=headers) as answer:
                assert answer.headers["Cache-Control"] == "no-cache"
                assert answer.headers["X-Accel-Buffering"] == "no"
                assert "Content-Encoding" not in answer.headers
        assert upstream.last.headers["Accept-Encoding"] == "identity"


@pytest.mark.covers("RC-9")
@pytest.mark.parametrize("status", [500, 503, 529])
async def test_no_retries_are_put_on_top_of_the_clients_own(mux: Run, status: int) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", json_reply({"error": {"message": "broken"}}, status))
        async with mux(one_account(upstream)) as url, aiohttp.ClientSession() as client:
            own = {"x-stainless-retry-count": "1"}
            async with client.post(url + "/v1/chat/completions", json=CHAT, headers=own) as answer:
                assert answer.status >= 500
        assert len(upstream.requests) == 1


@pytest.mark.covers("FB-118", "PF-54")
async def test_a_whole_answer_may_take_its_time_and_is_nothing_but_its_json(mux: Run) -> None:
    go = asyncio.Event()
    async with FakeUpstream() as upstream:
        body = msgspec.json.encode(whole("Hello"))
        upstream.on("/v1/chat/completions", Reply(body=[body[:50], Wait(go), body[50:]]))
        async with mux(one_account(upstream), patience_s=0.01, keepalive_s=0.01) as url:
            async with aiohttp.ClientSession() as client:
                asking = asyncio.ensure_future(client.post(url + "/v1/chat/completions", json=CHAT))
                await upstream.arrived.wait()
                asyncio.get_running_loop().call_later(0.1, go.set)
                answer = await asking
                assert await answer.read() == body


@pytest.mark.covers("PF-136")
async def test_nothing_is_downloaded_for_a_client(mux: Run) -> None:
    image = {"type": "image_url", "image_url": {"url": "PLACE/picture.png"}}
    async with FakeUpstream() as upstream, FakeUpstream() as elsewhere:
        upstream.on("*", json_reply(whole("Hello")))
        image["image_url"] = {"url": f"{elsewhere.url}/picture.png"}
        provider = {"id": "up", "type": "ollama", "base-url": upstream.url, "models": ["m"]}
        body = {**CHAT, "messages": [{"role": "user", "content": [image]}]}
        async with mux({"providers": [provider]}) as url, aiohttp.ClientSession() as client:
            async with client.post(url + "/v1/chat/completions", json=body) as answer:
                assert answer.status == 400
                assert "image" in (await answer.json())["error"]["message"].lower()
        assert not upstream.requests
        assert not elsewhere.requests


@pytest.mark.covers("PF-90")
@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        pytest.param(
            400, "This model's maximum context length is 10 tokens.", "context_length_exceeded", id="overflow"
        ),
        pytest.param(429, "slow down", "rate_limit_exceeded", id="rate limit"),
    ],
)
async def test_codex_is_told_in_a_stream_what_it_would_give_up_at_as_a_status(
    mux: Run, status: int, message: str, code: str
) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", json_reply({"error": {"message": message, "code": code}}, status))
        async with mux(one_account(upstream)) as url, aiohttp.ClientSession() as client:
            body = {"model": "m", "input": "hi", "stream": True}
            async with client.post(url + "/v1/responses", json=body, headers={"originator": "codex_exec"}) as answer:
                assert answer.status == 200
                text = await answer.text()
            assert "event: response.created" in text
            assert "event: response.failed" in text
            assert code in text
            async with client.post(url + "/v1/responses", json=body) as answer:
                assert answer.status == status
