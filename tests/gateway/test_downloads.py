"""What a request names by URL, for models that take only bytes: fetched from public places, within bounds."""

from __future__ import annotations

import contextlib
import ipaddress
import pathlib
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from llm_mux import ir
from llm_mux.errors import MuxError, refused
from llm_mux.gateway.downloads import Downloads, public
from tests.daemon import daemon
from tests.fake_upstream import FakeUpstream, Reply, json_reply
from tests.gateway.test_upstream_connections import certificate
from tests.raw_server import RawServer

PNG = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
PDF = b"%PDF-1.4 a page"
CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "I see"}, "finish_reason": "stop"}],
}


def file(body: bytes, kind: str = "image/png") -> Reply:
    return Reply(body, content_type=kind)


@contextlib.asynccontextmanager
async def stage(
    home: pathlib.Path, kind: str, files: FakeUpstream, **config: Any
) -> AsyncIterator[tuple[str, FakeUpstream]]:
    async with FakeUpstream() as upstream, files:
        upstream.on("*", json_reply(CHAT))
        provider = {"id": "up", "type": kind, "base-url": upstream.url, "api-key": "k", "models": ["m"]}
        async with daemon(home, {"providers": [provider], "download-hosts": ["127.0.0.1"], **config}) as running:
            yield running.url, upstream


def with_image(url: str) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


async def asked(url: str, body: object) -> tuple[int, str]:
    async with aiohttp.ClientSession() as client, client.post(url + "/v1/chat/completions", json=body) as answer:
        return answer.status, await answer.text()


@pytest.mark.covers("PF-136")
async def test_an_image_by_url_reaches_a_model_that_takes_only_bytes_and_is_fetched_once(
    tmp_path: pathlib.Path,
) -> None:
    files = FakeUpstream().on("/a.png", file(PNG, "application/octet-stream"))
    async with stage(tmp_path, "ollama", files) as (url, upstream):
        for _ in range(2):
            status, text = await asked(url, with_image(f"{files.url}/a.png"))
            assert status == 200, text
        sent = [request.json()["messages"][0]["content"] for request in upstream.requests]
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64encode(PNG).decode()}"}}
    assert sent == [[image]] * 2
    (fetch,) = files.requests
    assert {"authorization", "cookie", "x-request-id"}.isdisjoint(name.lower() for name in fetch.headers)


async def test_a_pdf_by_url_keeps_its_name(tmp_path: pathlib.Path) -> None:
    files = FakeUpstream().on("*", file(PDF, "application/pdf"))
    async with stage(tmp_path, "openai", files) as (url, upstream):
        document = {"type": "document", "source": {"type": "url", "url": f"{files.url}/in/a%20b.pdf"}}
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [document]}]}
        async with aiohttp.ClientSession() as client, client.post(url + "/v1/messages", json=body) as answer:
            assert answer.status == 200, await answer.text()
        (part,) = upstream.last.json()["messages"][0]["content"]
    assert part["file"] == {
        "filename": "a b.pdf",
        "file_data": f"data:application/pdf;base64,{b64encode(PDF).decode()}",
    }


WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(20)
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(12)
SAID = {"candidates": [{"content": {"parts": [{"text": "I see"}]}, "finishReason": "STOP"}]}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "I see"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
}
LOCAL = {"model": "gemma", "message": {"role": "assistant", "content": "I see"}, "done": True, "done_reason": "stop"}
NOVA = "us.amazon.nova-2-lite-v1:0"


def places(value: object) -> list[str]:
    """Every text of a body, to look for bytes in."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in places(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in places(inner)]
    return [value] if isinstance(value, str) else []


@pytest.mark.covers("PF-136")
@pytest.mark.parametrize(
    ("kind", "model", "answer", "bytes_", "type_"),
    [
        pytest.param("bedrock", "us.anthropic.claude-sonnet-4-5", CONVERSE, PNG, "image/png", id="image to Claude"),
        pytest.param("bedrock", NOVA, CONVERSE, PDF, "application/pdf", id="PDF to Nova"),
        pytest.param("bedrock", NOVA, CONVERSE, MP4, "video/mp4", id="video to Nova"),
        pytest.param("gemini", "gemini-2.5-flash", SAID, PNG, "image/png", id="image to Gemini"),
        pytest.param("gemini", "gemini-2.5-flash", SAID, PDF, "application/pdf", id="PDF to Gemini"),
        pytest.param("openai", "gpt-audio", CHAT, WAV, "audio/wav", id="audio to chat"),
        pytest.param("ollama", "gemma", LOCAL, WAV, "audio/wav", id="audio to Ollama"),
    ],
)
async def test_whatever_is_named_by_url_reaches_whoever_takes_its_bytes(
    tmp_path: pathlib.Path, kind: str, model: str, answer: object, bytes_: bytes, type_: str
) -> None:
    files = FakeUpstream().on("*", file(bytes_, type_))
    async with FakeUpstream() as upstream, files:
        upstream.on("*", json_reply(answer))
        provider = {"id": "up", "type": kind, "base-url": upstream.url, "api-key": "k", "models": [model]}
        async with daemon(tmp_path, {"providers": [provider], "download-hosts": ["127.0.0.1"]}) as running:
            part = {"fileData": {"fileUri": f"{files.url}/a.bin", "mimeType": type_}}
            image = {"type": "image_url", "image_url": {"url": f"{files.url}/a.bin"}}
            body: dict[str, Any] = {"contents": [{"role": "user", "parts": [part, {"text": "What?"}]}]}
            path = f"/v1beta/models/{model}:generateContent"
            if kind == "gemini":  # Its own clients' bytes go as they are.
                pdf = {"type": "document", "source": {"type": "url", "url": f"{files.url}/a.bin"}}
                messages = [{"role": "user", "content": [image if type_ == "image/png" else pdf]}]
                body = {"model": model, "max_tokens": 9, "messages": messages}
                path = "/v1/chat/completions" if type_ == "image/png" else "/v1/messages"
            async with aiohttp.ClientSession() as client, client.post(running.url + path, json=body) as answered:
                assert answered.status == 200, await answered.text()
        found = places(upstream.last.json())
    assert any(b64encode(bytes_).decode() in text for text in found), found
    assert not any(files.url in text for text in found)


async def test_a_count_fetches_them_too(tmp_path: pathlib.Path) -> None:
    files = FakeUpstream().on("*", file(PNG))
    model = "us.anthropic.claude-sonnet-4-5"
    async with FakeUpstream() as upstream, files:
        upstream.on("*", json_reply({"inputTokens": 321}))
        provider = {"id": "up", "type": "bedrock", "base-url": upstream.url, "api-key": "k", "models": [model]}
        async with daemon(tmp_path, {"providers": [provider], "download-hosts": ["127.0.0.1"]}) as running:
            image = {"type": "image", "source": {"type": "url", "url": f"{files.url}/a.png"}}
            body = {"model": model, "messages": [{"role": "user", "content": [image]}]}
            url = f"{running.url}/v1/messages/count_tokens"
            async with aiohttp.ClientSession() as client, client.post(url, json=body) as answered:
                assert await answered.json() == {"input_tokens": 321}
                assert answered.headers["x-llm-mux-count"] == "native"
    assert len(files.requests) == 1


@pytest.mark.covers("PF-136")
@pytest.mark.parametrize("trusted", [True, False])
async def test_https_is_fetched_from_whom_the_user_trusts(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    context, pem = certificate(tmp_path, "localhost")
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    body = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: %d\r\n\r\n%b" % (len(PNG), PNG)
    async with RawServer([body], tls=context) as server:
        url = server.url.replace("127.0.0.1", "localhost") + "/a.png"
        request = ir.Request(model="m", messages=(ir.Message("user", (ir.Image(ir.Url(url)),)),))
        error = refused("An image", "m", url=url)
        downloads = Downloads(hosts=("localhost",))
        if not trusted:
            with pytest.raises(MuxError, match="cannot be reached"):
                await downloads.again(error, request, "", lambda request: request)
            return
        made = await downloads.again(error, request, "", lambda request: request)
    assert made.messages[0].parts == (ir.Image(ir.Inline("image/png", b64encode(PNG).decode())),)


async def test_a_proxy_is_never_asked(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look names up in its own network, where nobody here sees to what address they lead."""
    files = FakeUpstream().on("*", file(PNG))
    async with FakeUpstream() as proxy, stage(tmp_path, "ollama", files) as (url, _):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        status, text = await asked(url, with_image(f"{files.url}/a.png"))
        assert status == 200, text
        assert len(files.requests) == 1
        assert not [request for request in proxy.requests if "a.png" in request.path]


@pytest.mark.covers("PF-136")
@pytest.mark.parametrize(
    ("config", "reply", "words"),
    [
        pytest.param({"download-media": False}, file(PNG), "An image by URL cannot be sent", id="off"),
        pytest.param({"download-hosts": []}, file(PNG), "only https", id="no https"),
        pytest.param({}, Reply(b"no", 404), "status 404", id="not there"),
        pytest.param({}, file(b"<html>", "text/html"), "text/html", id="a page"),
        pytest.param({}, file(b""), "empty", id="nothing"),
        pytest.param(
            {}, Reply(status=302, headers={"location": "http://localhost/x"}), "only https", id="leads elsewhere"
        ),
        pytest.param(
            {}, Reply(status=302, headers={"location": "https://10.1.2.3/x"}), "not a public", id="leads inside"
        ),
        pytest.param(
            {}, Reply(status=302, headers={"location": "/a.png"}), "redirects more than", id="round and round"
        ),
        pytest.param({}, file(PNG + b"." * (21 << 20)), "20 MiB", id="too large"),
    ],
)
async def test_what_cannot_or_may_not_be_fetched_is_a_400_that_says_why(
    tmp_path: pathlib.Path, config: dict[str, object], reply: Reply, words: str
) -> None:
    files = FakeUpstream().on("*", reply)
    async with stage(tmp_path, "ollama", files, **config) as (url, upstream):
        status, text = await asked(url, with_image(f"{files.url}/a.png"))
    assert (status, words in text, "image" in text.lower()) == (400, True, True), text
    assert not upstream.requests
    if config:
        assert not files.requests


@pytest.mark.covers("PF-136")
@pytest.mark.parametrize(
    ("address", "is_public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        *((inner, False) for inner in ("127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254")),
        *((inner, False) for inner in ("100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::")),
        *((inner, False) for inner in ("fe80::1", "fd00::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::a00:1")),
        ("2002:7f00:1::", False),
    ],
)
def test_addresses_that_are_not_public_are_known_in_every_disguise(address: str, is_public: bool) -> None:
    assert public(ipaddress.ip_address(address)) is is_public


@pytest.mark.covers("PF-136")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "[::ffff:169.254.169.254]", "2130706433"])
async def test_no_name_and_no_number_leads_into_the_own_network(host: str) -> None:
    url = f"https://{host}:1/x.png"
    message = ir.Message("user", (ir.Image(ir.Url(url)),))
    request = ir.Request(model="m", messages=(message,))
    with pytest.raises(MuxError, match=r"not a public|cannot be reached"):
        await Downloads().again(refused("An image", "m", url=url), request, "", lambda request: request)
