"""Bad requests: always a clear error in the client's own shape, never a word of theirs in the log, the daemon unharmed."""

import gzip
import json
from typing import Any

import aiohttp
import pytest
import yarl

from llm_mux import log
from tests.raw_server import RawServer
from tests.server.conftest import Run

SECRET = "my-private-words"
CHAT = {"model": "demo", "messages": [{"role": "user", "content": SECRET}]}
ROUTES = {
    "openai chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/demo:generateContent",
    "ollama": "/api/chat",
    "legacy": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "bedrock": "/model/demo/converse",
}


def check_shape(protocol: str, body: Any) -> str:
    """The protocol's own error object; its message."""
    match protocol:
        case "anthropic":
            assert body["type"] == "error"
            assert set(body["error"]) >= {"type", "message"}
            assert body["request_id"]
            return str(body["error"]["message"])
        case "gemini":
            assert set(body["error"]) >= {"code", "message", "status"}
            return str(body["error"]["message"])
        case "ollama":
            assert isinstance(body["error"], str)
            return str(body["error"])
        case "bedrock":
            assert set(body) >= {"message", "__type"}
            return str(body["message"])
        case _:
            assert set(body["error"]) >= {"message", "type", "param", "code"}
            return str(body["error"]["message"])


DEEP = b'{"model":"demo","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BROKEN = [
    pytest.param(b"", id="empty"),
    pytest.param(b"{", id="cut"),
    pytest.param(b'{"model": "demo", "messages": [,]}', id="invalid"),
    pytest.param(b"not json " + SECRET.encode(), id="words"),
    pytest.param(b"[1, 2, 3]", id="array"),
    pytest.param(b'"demo"', id="string"),
    pytest.param(b"null", id="null"),
    pytest.param(DEEP, id="deeply nested"),
    pytest.param(b'{"model": ["demo"], "messages": 5, "input": 5.5, "contents": "x", "prompt": {}}', id="wrong types"),
    pytest.param(b"\xff\xfe\x00", id="not utf-8"),
]


@pytest.mark.covers("PF-137", "PF-138")
@pytest.mark.parametrize("body", BROKEN)
@pytest.mark.parametrize("protocol", list(ROUTES))
async def test_a_broken_body_is_a_400_in_the_clients_own_shape(demo: Run, protocol: str, body: bytes) -> None:
    log.ring.clear()
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + ROUTES[protocol], data=body) as answer:
            text = await answer.text()
            assert answer.status == 400, text
            check_shape(protocol, json.loads(text))
            assert answer.headers["X-Request-ID"]
        async with client.post(mux.url + "/v1/chat/completions", json=CHAT) as answer:
            assert answer.status == 200
    assert SECRET not in json.dumps(log.ring.after(0, limit=1000))


HALF = b"caf\xe9 au lait"
TORN = {
    "openai chat": b'{"model":"m","messages":[{"role":"user","content":"%b"}],"user":"%b"}',
    "responses": b'{"model":"m","input":"%b","metadata":{"a":"%b"}}',
    "anthropic": b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"%b"}],"metadata":{"user_id":"%b"}}',
    "gemini": b'{"contents":[{"parts":[{"text":"%b"}]}],"labels":{"a":"%b"}}',
    "ollama": b'{"model":"m","stream":false,"messages":[{"role":"user","content":"%b"}],"keep_alive":"%b"}',
    "legacy": b'{"model":"m","prompt":"%b","user":"%b"}',
    "embeddings": b'{"model":"m","input":"%b","user":"%b"}',
    "bedrock": b'{"messages":[{"role":"user","content":[{"text":"%b"}]}],"requestMetadata":{"a":"%b"}}',
}


@pytest.mark.parametrize("protocol", list(TORN))
async def test_a_text_that_is_no_utf_8_reaches_another_format_mended(demo: Run, protocol: str) -> None:
    kind = "gemini-compatible" if protocol != "gemini" else "openai-compatible"
    said = {"candidates": [{"content": {"parts": [{"text": "yes"}]}, "finishReason": "STOP"}]}
    said |= {"embeddings": [{"values": [0.5]}], "choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}
    async with RawServer([ready(json.dumps(said).encode())]) as upstream:
        entry = {"type": kind, "id": "up", "base-url": f"{upstream.url}/v1", "api-key": "k", "models": ["m"]}
        async with demo({"providers": [entry]}) as mux, aiohttp.ClientSession() as client:
            path = ROUTES[protocol].replace("demo", "m")
            async with client.post(mux.url + path, data=TORN[protocol] % (HALF, HALF)) as answer:
                assert answer.status == 200, await answer.text()
    assert "caf\ufffd au lait" in upstream.requests[-1].decode()


def ready(content: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content)
    return head + content


async def test_half_a_character_in_a_schema_that_is_written_anew_is_mended(demo: Run) -> None:
    schema = b'{"type":"object","description":"%b"}' % HALF
    asked = b'"messages":[{"role":"user","content":"hi"}],"tools":[{"name":"a","input_schema":%b}]' % schema
    said = b'{"choices":[{"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}]}'
    async with RawServer([ready(said)]) as upstream:
        entry = {"type": "openai-compatible", "id": "up", "base-url": f"{upstream.url}/v1", "models": ["m"]}
        async with demo({"providers": [entry]}) as mux, aiohttp.ClientSession() as client:
            body = b'{"model":"m","max_tokens":9,%b}' % asked
            async with client.post(mux.url + ROUTES["anthropic"], data=body) as answer:
                assert answer.status == 200, await answer.text()
    assert "caf\ufffd au lait" in upstream.requests[-1].decode()


async def test_half_a_character_in_an_answer_is_mended(demo: Run) -> None:
    blocks = b'{"type":"text","text":"%b"},{"type":"text","text":"Bye"}' % HALF
    said = b'{"type":"message","role":"assistant","content":[%b],"stop_reason":"end_turn"}' % blocks
    async with RawServer([ready(said)]) as upstream:
        entry = {"type": "anthropic-compatible", "id": "up", "base-url": upstream.url, "api-key": "k", "models": ["m"]}
        async with demo({"providers": [entry]}) as mux, aiohttp.ClientSession() as client:
            asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            async with client.post(mux.url + ROUTES["openai chat"], json=asked) as answer:
                assert answer.status == 200, await answer.text()
                assert "caf\ufffd au lait" in (await answer.json())["choices"][0]["message"]["content"]


@pytest.mark.parametrize("protocol", list(TORN))
async def test_a_text_that_is_no_utf_8_is_understood_by_the_demo(demo: Run, protocol: str) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        body = (TORN[protocol] % (HALF, HALF)).replace(b'"m"', b'"demo-embed"' if "embed" in protocol else b'"demo"')
        async with client.post(mux.url + ROUTES[protocol], data=body) as answer:
            assert answer.status == 200, await answer.text()


REFUSED = [
    pytest.param("openai chat", {"messages": [{"role": "user", "content": "x"}]}, "model", id="no model"),
    pytest.param("anthropic", {"max_tokens": 5, "messages": []}, "model", id="no model anthropic"),
    pytest.param("ollama", {"messages": []}, "model", id="no model ollama"),
    pytest.param("embeddings", {"model": "demo-embed"}, "input", id="no input"),
    pytest.param("embeddings", {"model": "demo-embed", "input": [[1, 2]]}, "token", id="token ids"),
    pytest.param("legacy", {"model": "demo", "prompt": [1, 2, 3]}, "token", id="legacy token ids"),
]


@pytest.mark.parametrize(("protocol", "body", "names"), REFUSED)
async def test_what_is_missing_or_wrong_is_named(demo: Run, protocol: str, body: dict[str, Any], names: str) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + ROUTES[protocol], json=body) as answer:
            assert answer.status == 400
            assert names in check_shape(protocol, await answer.json())


@pytest.mark.parametrize("protocol", ["openai chat", "anthropic", "gemini", "ollama", "responses"])
async def test_an_unknown_model_is_a_404_with_the_nearest_names(demo: Run, protocol: str) -> None:
    body = {**CHAT, "model": "demo-slwo", "max_tokens": 5, "input": "x", "contents": [{"parts": [{"text": "x"}]}]}
    path = ROUTES[protocol].replace("models/demo", "models/demo-slwo")
    config = {"providers": [{"type": "openai-compatible", "id": "x", "base-url": "http://127.0.0.1:9/v1"}]}
    async with demo(config) as mux, aiohttp.ClientSession() as client:
        async with client.post(
            mux.url + path.replace("demo-slwo", "dmeo-slow"), json={**body, "model": "dmeo-slow"}
        ) as a:
            assert a.status == 404, await a.text()
            assert "demo-slow" in check_shape(protocol, await a.json())


@pytest.mark.parametrize(
    ("path", "headers", "protocol"),
    [
        pytest.param("/v1/nothing", {}, "openai chat", id="openai"),
        pytest.param("/v1/nothing", {"anthropic-version": "2023-06-01"}, "anthropic", id="anthropic"),
        pytest.param("/v1beta/nothing", {}, "gemini", id="gemini"),
        pytest.param("/v1beta/models/demo:rewrite", {}, "gemini", id="gemini method"),
        pytest.param("/api/nothing", {}, "ollama", id="ollama"),
    ],
)
async def test_an_unknown_route_is_a_404_in_the_clients_own_shape(
    demo: Run, path: str, headers: dict[str, str], protocol: str
) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + path, json=CHAT, headers=headers) as answer:
            assert answer.status == 404
            check_shape(protocol, await answer.json())


async def test_a_body_over_the_limit_is_a_413_and_one_under_it_passes(demo: Run) -> None:
    async with demo({"max-request-size": "64KiB"}) as mux, aiohttp.ClientSession() as client:
        big = {**CHAT, "messages": [{"role": "user", "content": "x" * 70_000}]}
        async with client.post(mux.url + "/v1/messages", json={**big, "max_tokens": 1}) as answer:
            assert answer.status == 413
            assert check_shape("anthropic", await answer.json())
        async with client.post(mux.url + "/v1/chat/completions", json=CHAT) as answer:
            assert answer.status == 200


def _compressed(encoding: str, data: bytes) -> bytes:
    match encoding:
        case "gzip":
            return gzip.compress(data)
        case "deflate":
            import zlib

            return zlib.compress(data)
        case "br":
            import brotli

            return bytes(brotli.compress(data))
        case _:
            from backports import zstd

            return zstd.compress(data)


@pytest.mark.covers("PF-16")
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_compressed_bodies_are_taken_and_bombs_are_not(demo: Run, encoding: str) -> None:
    async with demo({"max-request-size": "1MiB"}) as mux, aiohttp.ClientSession() as client:
        headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
        data = _compressed(encoding, json.dumps(CHAT).encode())
        async with client.post(mux.url + "/v1/chat/completions", data=data, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            assert SECRET in await answer.text()
        bomb = _compressed(encoding, b" " * (64 << 20))
        async with client.post(mux.url + "/v1/chat/completions", data=bomb, headers=headers) as answer:
            assert answer.status == 413, await answer.text()
        async with client.post(mux.url + "/v1/chat/completions", data=b"garbage!", headers=headers) as answer:
            assert answer.status == 400, await answer.text()
            check_shape("openai chat", await answer.json())


@pytest.mark.covers("PF-16")
async def test_an_unknown_content_encoding_is_a_415(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        headers = {"Content-Encoding": "rot13"}
        async with client.post(mux.url + "/v1/chat/completions", data=b"x", headers=headers) as answer:
            assert answer.status == 415


@pytest.mark.covers("PF-22")
@pytest.mark.parametrize("protocol", ["openai chat", "anthropic", "ollama"])
async def test_half_an_emoji_is_taken(demo: Run, protocol: str) -> None:
    body = b'{"model":"demo","max_tokens":50,"stream":false,"messages":[{"role":"user","content":"half \\ud83d here"}]}'
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + ROUTES[protocol], data=body) as answer:
            assert answer.status == 200, await answer.text()
            assert "half" in await answer.text()


async def test_any_anthropic_version_is_taken(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        for version in ("2023-06-01", "2026-10-21", "1999-01-01", "nonsense"):
            headers = {"anthropic-version": version}
            body = {**CHAT, "max_tokens": 50}
            async with client.post(mux.url + "/v1/messages", json=body, headers=headers) as answer:
                assert answer.status == 200, await answer.text()


@pytest.mark.parametrize("path", ["/%0A", "/v1/models/a%0Ab", "/v0/management/%0A", "/api/x%0A", "/v1beta/models/%0A"])
async def test_a_break_in_a_path_is_a_name_that_nobody_has(demo: Run, path: str) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.get(yarl.URL(mux.url + path, encoded=True)) as answer:
            assert answer.status == (403 if "management" in path else 404)
            assert answer.content_type == "application/json"
            assert answer.headers["X-Request-ID"]
