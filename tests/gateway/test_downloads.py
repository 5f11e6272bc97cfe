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
