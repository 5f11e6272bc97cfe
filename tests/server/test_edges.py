"""What crosses the daemon's borders and what does not: sizes, headers, secrets, packed streams, sealed reasoning."""

import asyncio
import gzip
import io
import json
import logging
import pathlib
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from llm_mux import log
from llm_mux.server.serving import DAEMON
from tests.daemon import daemon
from tests.fake_upstream import FakeUpstream, Reply, cut, json_reply, sse_reply
from tests.server.conftest import Run

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/v1/chat/completions"
WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
}
STREAM = (
    b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'
    b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def entry(upstream: FakeUpstream, **more: Any) -> dict[str, Any]:
    return {
        "type": "openai-compatible",
        "id": "up",
        "base-url": f"{upstream.url}/v1",
        "api-key": "upstream-key",
        "models": ["m"],
        **more,
    }


LIMIT = 64 << 20


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 413)])
async def test_a_body_of_64_mib_passes_and_one_byte_more_does_not(demo: Run, size: int, status: int) -> None:
    start = b'{"model":"demo","messages":[{"role":"user","content":"hi"}]'
    body = start + b" " * (size - len(start) - 1) + b"}"
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + PATH, data=io.BytesIO(body)) as answer:
            assert answer.status == status
            found = await answer.json()
        if status == 413:
            assert found["error"]["code"] == "request_too_large"
            assert str(LIMIT) in found["error"]["message"]


@pytest.mark.covers("FB-144", "PF-17")
async def test_hop_by_hop_headers_cookies_and_the_clients_key_stay_here(tmp_path: pathlib.Path) -> None:
    sent = {
        "Connection": "keep-alive, x-private, anthropic-beta",
        "x-private": "one",
        "anthropic-beta": "made-up-2025-01-01",
        "Keep-Alive": "timeout=5",
        "Proxy-Authorization": "Basic c2VjcmV0",
        "TE": "trailers",
        "Trailer": "x-later",
        "Cookie": "session=secret",
        "Authorization": "Bearer clients-key",
        "x-api-key": "clients-key",
        "x-goog-api-key": "clients-key",
        "api-key": "clients-key",
        "Forwarded": "for=1.2.3.4",
        "X-Forwarded-For": "1.2.3.4",
        "Referer": "http://localhost/private",
        "User-Agent": "some-tool/1.0",
    }
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply({"error": {"message": "no"}}, 400))
        both = [entry(upstream), {**entry(upstream), "id": "own", "type": "anthropic", "base-url": upstream.url}]
        async with daemon(tmp_path, {"providers": both}) as mux, aiohttp.ClientSession() as client:
            for path, model in ((PATH, "up://m"), ("/v1/messages", "own://m")):
                body = {**CHAT, "model": model, "max_tokens": 5}
                async with client.post(f"{mux.url}{path}?key=clients-key", json=body, headers=sent) as answer:
                    assert answer.status == 400
        assert len(upstream.requests) == 2
        for request in upstream.requests:
            kept = {name.lower(): value for name, value in request.headers.items()}
            assert kept.pop("host") == upstream.url.removeprefix("http://")
            assert kept.pop("user-agent").startswith("llm-mux/")
            assert "clients-key" not in json.dumps(kept) + request.query
            strange = kept.keys() & {name.lower() for name in sent} - {"authorization", "x-api-key", "connection"}
            assert not strange
            assert kept.get("connection", "keep-alive") == "keep-alive"


@pytest.mark.covers("FB-144")
async def test_headers_of_the_configuration_are_sent_host_included_and_win(tmp_path: pathlib.Path) -> None:
    headers = {"Host": "inside.example", "Authorization": "Token special", "X-Team": "blue"}
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply(WHOLE))
        async with daemon(tmp_path, {"providers": [entry(upstream, headers=headers)]}) as mux:
            async with aiohttp.ClientSession() as client, client.post(mux.url + PATH, json=CHAT) as answer:
                assert answer.status == 200
        for name, value in headers.items():
            assert [v for n, v in upstream.last.headers.items() if n.lower() == name.lower()] == [value]


async def test_upstream_headers_do_not_reach_the_client(tmp_path: pathlib.Path) -> None:
    strange = {"Set-Cookie": "a=b", "Server": "secret-box/1", "X-Internal": "yes", "Connection": "X-Internal"}
    async with FakeUpstream() as upstream:
        upstream.on(PATH, Reply(json.dumps(WHOLE).encode(), headers=strange), sse_reply(STREAM))
        async with daemon(tmp_path, {"providers": [entry(upstream)]}) as mux, aiohttp.ClientSession() as client:
            for stream in (False, True):
                async with client.post(mux.url + PATH, json={**CHAT, "stream": stream}) as answer:
                    await answer.read()
                    assert not {"Set-Cookie", "X-Internal"} & set(answer.headers)
                    assert answer.headers["Server"].startswith("llm-mux/")


@pytest.fixture
def debug_log() -> Iterator[list[bytes]]:
    """Everything that is logged, also what only `debug: true` shows."""
    lines: list[bytes] = []

    class Lines:
        def write(self, content: bytes, /) -> None:
            lines.append(content)

    level = logging.getLogger().level
    log.configure(debug=True, stream=Lines())
    yield lines
    log.configure()
    log.set_debug(False)
    logging.getLogger().setLevel(level)


@pytest.mark.covers("PF-17")
async def test_a_key_in_the_query_is_never_logged(demo: Run, debug_log: list[bytes]) -> None:
    log.ring.clear()
    key = "query-key-of-the-client"
    async with demo({"api-keys": [key], "debug": True}) as mux, aiohttp.ClientSession() as client:
        requests = [
            ("POST", "/v1beta/models/demo:generateContent", {"contents": [{"parts": [{"text": "hi"}]}]}, 200),
            ("POST", "/v1beta/models/demo:generateContent", {"contents": 5}, 400),
            ("POST", "/v1beta/models/demo-500:generateContent", {"contents": [{"parts": [{"text": "hi"}]}]}, 500),
            ("POST", "/v1beta/models/nobody-has-this:generateContent", {"contents": []}, 404),
            ("GET", "/v1beta/models", None, 200),
            ("GET", "/no/such/route", None, 404),
        ]
        for method, path, body, status in requests:
            async with client.request(method, f"{mux.url}{path}?key={key}", json=body) as answer:
                assert answer.status == status, await answer.text()
                assert key not in await answer.text()
            async with client.request(method, f"{mux.url}{path}?key=wrong-{key}", json=body) as answer:
                assert key not in await answer.text()
    log.flush()
    text = b"".join(debug_log) + json.dumps(log.ring.after(0, limit=1000)).encode()
    assert b"exchange.done" in text
    assert key.encode() not in text


@pytest.mark.covers("FB-111")
@pytest.mark.parametrize("path", [PATH, "/v1/messages"], ids=["splice", "translate"])
@pytest.mark.parametrize(
    ("packed", "headers"),
    [
        pytest.param(gzip.compress(STREAM), {"Content-Encoding": "gzip"}, id="labelled"),
        pytest.param(gzip.compress(STREAM), {}, id="unlabelled"),
    ],
)
async def test_a_packed_stream_reaches_the_client_unpacked(
    tmp_path: pathlib.Path, path: str, packed: bytes, headers: dict[str, str]
) -> None:
    async with FakeUpstream() as upstream:
        upstream.on(PATH, Reply(cut(packed, 7), headers=headers, content_type="text/event-stream"))
        async with daemon(tmp_path, {"providers": [entry(upstream)]}) as mux, aiohttp.ClientSession() as client:
            async with client.post(mux.url + path, json={**CHAT, "max_tokens": 5, "stream": True}) as answer:
                text = await answer.text()
        assert "Hello" in text
        assert "error" not in text
        assert upstream.last.headers["Accept-Encoding"] == "identity"


async def test_a_redirect_upstream_is_an_error_and_takes_no_key_along(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as thief, FakeUpstream() as upstream:
        upstream.on("*", Reply(b"", 308, headers={"Location": f"{thief.url}/v1/chat/completions"}))
        async with daemon(tmp_path, {"providers": [entry(upstream)]}) as mux, aiohttp.ClientSession() as client:
            for stream in (False, True):
                async with client.post(mux.url + PATH, json={**CHAT, "stream": stream}) as answer:
                    assert answer.status == 502, await answer.text()
        assert not thief.requests


async def test_each_key_has_its_own_proxy(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as general, FakeUpstream() as special:
        for proxy in (general, special):
            proxy.on("*", json_reply(WHOLE))
        keys = [{"key": "first", "label": "a"}, {"key": "second", "label": "b", "proxy-url": special.url}]
        provider = {"type": "openai-compatible", "base-url": "http://127.0.0.2:9/v1", "models": ["m"]}
        providers = [
            {**provider, "id": "up", "api-keys": keys},
            {**provider, "id": "straight", "api-key": "third", "proxy-url": "direct"},
        ]
        async with daemon(tmp_path, {"providers": providers, "proxy-url": general.url}) as mux:
            async with aiohttp.ClientSession() as client:
                for model, status in (("up@a://m", 200), ("up@b://m", 200), ("straight://m", 502)):
                    async with client.post(mux.url + PATH, json={**CHAT, "model": model}) as answer:
                        assert answer.status == status, await answer.text()
        assert [r.headers["Authorization"] for r in general.requests] == ["Bearer first"]
        assert [r.headers["Authorization"] for r in special.requests] == ["Bearer second"]


async def test_a_providers_own_timeout_replaces_the_general_one(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("*", Reply(before=asyncio.Event()))
        providers = [entry(upstream, timeout=0.05), entry(upstream, id="patient")]
        async with daemon(tmp_path, {"providers": providers, "timeouts": {"connect": 0.05}}) as mux:
            gateway = mux.app[DAEMON].gateway
            waits = {account.provider.name: gateway.timeouts_for(account).first_byte for account in gateway.accounts}
            assert waits == {"up": 0.05, "patient": 300}
            async with aiohttp.ClientSession() as client:
                async with client.post(mux.url + PATH, json={**CHAT, "model": "up://m"}) as answer:
                    assert answer.status == 504, await answer.text()
                    assert "in time" in (await answer.json())["error"]["message"]


THINKING = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 2},
    "content": [
        {"type": "thinking", "thinking": "I should look.", "signature": "claudes-signature"},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"where": "here"}},
    ],
}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


def ollama_call(call: dict[str, Any]) -> dict[str, Any]:
    return {"function": {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}}


@pytest.mark.parametrize("path", [PATH, "/api/chat"], ids=["openai chat", "ollama"])
async def test_a_signature_that_the_client_stripped_goes_back_to_its_vendor_and_to_no_other(
    tmp_path: pathlib.Path, path: str
) -> None:
    async with FakeUpstream() as claude, FakeUpstream() as gemini, FakeUpstream() as other:
        claude.on("*", json_reply(THINKING))
        for upstream in (gemini, other):
            upstream.on("*", json_reply({"error": {"message": "enough"}}, 400))
        providers = [
            {"type": "anthropic", "base-url": claude.url, "api-key": "k", "models": ["claude-x"]},
            {"type": "gemini", "base-url": gemini.url, "api-key": "k", "models": ["gemini-x"]},
            {"type": "openai", "base-url": f"{other.url}/v1", "api-key": "k", "models": ["gpt-x"]},
        ]
        first = {"role": "user", "content": "look here"}
        base = {"messages": [first], "tools": [TOOL], "stream": False, "model": "claude-x"}
        async with daemon(tmp_path, {"providers": providers}) as mux, aiohttp.ClientSession() as client:
            async with client.post(mux.url + path, json=base) as answer:
                assert answer.status == 200, await answer.text()
                got = await answer.json()
            message = got["choices"][0]["message"] if "choices" in got else got["message"]
            assert "claudes-signature" not in json.dumps(message), "the format has no place for it"
            call = message["tool_calls"][0]
            kept = {"role": "assistant", "content": "", "tool_calls": [call if "choices" in got else ollama_call(call)]}
            result = {"role": "tool", "tool_call_id": call.get("id", ""), "tool_name": "look", "content": "found"}
            for model in ("claude-x", "gemini-x", "gpt-x"):
                body = {**base, "model": model, "messages": [first, kept, result]}
                async with client.post(mux.url + path, json=body) as answer:
                    await answer.read()
        again = claude.last.json()["messages"][1]["content"]
        assert again[0] == {"type": "thinking", "thinking": "I should look.", "signature": "claudes-signature"}
        assert again[1]["type"] == "tool_use"
        for upstream in (gemini, other):
            assert len(upstream.requests) == 1
            assert b"claudes-signature" not in upstream.last.body


async def test_a_base_url_with_a_version_too_many_is_told_as_such(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        for path in ("/v1/v1/messages", "/v1/v1/chat/completions"):
            async with client.post(f"{mux.url}{path}", json=CHAT) as answer:
                assert answer.status == 404
                assert "take it away from its base URL" in (await answer.json())["error"]["message"]
