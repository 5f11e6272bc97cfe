"""One connection of a client, byte for byte: in the lane, out of it into aiohttp's application, and to its end."""

import asyncio
import contextlib
import json
import pathlib
import re
from collections.abc import AsyncIterator, Iterable

import pytest

from llm_mux.server import lanes
from llm_mux.server.serving import DAEMON
from llm_mux.translators.memory import LEAST, MEMORY
from llm_mux.translators.openai_chat.outline import Usual
from tests.daemon import daemon
from tests.fake_upstream import FakeUpstream, Reply, json_reply, sse_reply
from tests.server.conftest import Run

BODY = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hi"}]}).encode()


def post(body: bytes = BODY, *fields: str, path: str = "/v1/chat/completions") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


CHUNKED = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    + f"{len(BODY):x}\r\n".encode()
    + BODY
    + b"\r\n0\r\n\r\n"
)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Client:
    """A connection that is written to and read from as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers under small names, and body of the next answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.reader.readline(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
        else:
            body = await self.reader.readexactly(int(headers["content-length"]))
        return int(status.split()[1]), headers, body


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def statuses(client: Client, count: int) -> list[int]:
    return [(await client.answer())[0] for _ in range(count)]


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
async def test_a_request_in_any_cut_is_answered_the_same(demo: Run, size: int) -> None:
    async with demo() as mux, connected(mux.url) as client:
        whole = post()
        await client.send(*(whole[at : at + size] for at in range(0, len(whole), size)))
        status, headers, body = await client.answer()
    assert status == 200
    assert json.loads(body)["choices"]
    assert headers["content-type"] == "application/json"
    assert headers["server"].startswith("llm-mux/")
    assert headers["date"].endswith("GMT")
    assert headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "requests",
    [
        pytest.param([post(), post(), post()], id="all in the lane"),
        pytest.param([post(), HEALTH, post()], id="out of the lane"),
        pytest.param([HEALTH, post()], id="never in it"),
        pytest.param([post(), CHUNKED, post()], id="chunks"),
        pytest.param([post(), post(BODY, "Connection: keep-alive", "Origin: http://localhost"), CHUNKED], id="origin"),
        pytest.param([post(b" " * (5 << 20) + BODY), post()], id="large"),
    ],
)
@pytest.mark.parametrize("pipelined", [False, True])
async def test_one_connection_takes_every_kind_of_request(
    demo: Run, requests: Iterable[bytes], pipelined: bool
) -> None:
    requests = list(requests)
    async with demo() as mux, connected(mux.url) as client:
        if pipelined:
            sending = asyncio.create_task(client.send(b"".join(requests)))
            assert await statuses(client, len(requests)) == [200] * len(requests)
            await sending
        else:
            for request in requests:
                sending = asyncio.create_task(client.send(request))
                assert await statuses(client, 1) == [200]
                await sending


async def test_streams_and_whole_answers_take_turns(demo: Run) -> None:
    streamed = json.dumps({**json.loads(BODY), "stream": True}).encode()
    async with demo() as mux, connected(mux.url) as client:
        await client.send(post(streamed) + post() + post(streamed))
        answers = [await client.answer() for _ in range(3)]
    assert [status for status, _, _ in answers] == [200, 200, 200]
    assert [body.endswith(b"data: [DONE]\n\n") for _, _, body in answers] == [True, False, True]


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(post(BODY, "Transfer-Encoding: chunked"), id="length and chunks"),
        pytest.param(post(BODY, "Content-Length: 5"), id="two lengths"),
        pytest.param(post(BODY, "Transfer-Encoding : chunked"), id="blank before the colon"),
        pytest.param(post().replace(b"Content-Length: ", b"Content-Length: +"), id="signed length"),
    ],
)
async def test_a_request_that_could_be_read_in_two_ways_is_refused_and_ends_the_connection(
    demo: Run, attempt: bytes
) -> None:
    async with demo() as mux, connected(mux.url) as client:
        await client.send(post() + attempt + post())
        assert await statuses(client, 2) == [200, 400]
        assert await client.reader.read() == b""


async def test_names_that_hold_line_ends_make_no_headers(tmp_path: pathlib.Path) -> None:
    name = "m\r\nX-Made-Up: yes"
    answer = {"id": "c", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]}
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply({**answer, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}))
        entry = {"type": "openai-compatible", "id": "up", "base-url": f"{upstream.url}/v1", "models": [name]}
        async with daemon(tmp_path, {"providers": [entry]}) as mux, connected(mux.url) as client:
            await client.send(post(json.dumps({**json.loads(BODY), "model": name}).encode()))
            status, headers, _ = await client.answer()
    assert status == 200
    assert "x-made-up" not in headers
    assert headers["x-llm-mux-model"].startswith("m ")


async def test_strangers_are_refused_in_the_lane_too(demo: Run) -> None:
    async with demo() as mux, connected(mux.url) as client:
        await client.send(post().replace(b"Host: localhost", b"Host: evil.example"))
        await client.send(post(BODY, "Origin: https://evil.example"))
        await client.send(post(BODY, "Origin: http://localhost:3000", "X-Request-ID: mine"))
        (host, _, _), (origin, _, _), (good, headers, _) = [await client.answer() for _ in range(3)]
    assert (host, origin, good) == (403, 403, 200)
    assert headers["access-control-allow-origin"] == "http://localhost:3000"
    assert headers["x-request-id"] == "mine"


@pytest.mark.parametrize("start", [b"P", b"POST /v1/chat", b"GET /healthz", HEALTH[:-2]])
async def test_a_head_that_does_not_end_is_not_waited_for_for_ever(
    demo: Run, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though a byte comes now and then."""
    monkeypatch.setattr(lanes, "_IDLE_S", 0.3)
    monkeypatch.setattr(lanes, "_SWEEP_S", 0.05)
    async with demo() as mux, connected(mux.url) as client, asyncio.timeout(10):
        await client.send(start[:1])

        async def trickled() -> None:
            with contextlib.suppress(ConnectionError):
                for at in range(1, len(start)):
                    await client.send(start[at : at + 1])
                    await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickled())
        with contextlib.suppress(ConnectionResetError):  # a byte that comes after the end is answered with a reset
            assert await client.reader.read() == b""
        await trickling


async def test_a_conversation_is_remembered_for_a_while_when_its_client_has_closed_its_connection(
    demo: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[bool] = []
    over = asyncio.Event()
    long = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hi " * LEAST}]}).encode()
    age, clear = MEMORY.age, MEMORY.clear

    def looked() -> None:
        age()
        known.append(MEMORY.meet("messages", long, f"outline of {Usual.__module__}").again)

    def forgot() -> None:
        clear()
        over.set()

    monkeypatch.setattr(MEMORY, "age", looked)
    monkeypatch.setattr(MEMORY, "clear", forgot)
    monkeypatch.setattr(lanes, "_SWEEP_S", 0.01)
    async with demo() as mux, asyncio.timeout(10):
        async with connected(mux.url) as client:
            await client.send(post(long))
            assert (await client.answer())[0] == 200
        await over.wait()
    assert known[-lanes._ALONE :] == [True] * lanes._ALONE


@pytest.mark.parametrize("request_", [HEALTH, HEALTH.replace(b"GET", b"HEAD"), CHUNKED], ids=["GET", "HEAD", "chunks"])
async def test_a_request_out_of_the_lane_may_come_in_pieces(demo: Run, request_: bytes) -> None:
    async with demo() as mux, connected(mux.url) as client:
        await client.send(*(request_[at : at + 1] for at in range(len(request_))))
        assert (await client.reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")


async def test_idle_connections_do_not_hold_up_the_end(demo: Run) -> None:
    async with contextlib.AsyncExitStack() as clients, asyncio.timeout(4):
        async with demo() as mux:
            used = await clients.enter_async_context(connected(mux.url))
            halfway = await clients.enter_async_context(connected(mux.url))
            await used.send(post())
            assert await statuses(used, 1) == [200]
            await halfway.send(b"POST /v1/chat")
        assert await used.reader.read() == b""
        assert await halfway.reader.read() == b""


def event(**fields: object) -> bytes:
    record = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", **fields}
    return b"data: %b\n\n" % json.dumps(record).encode()


def said(delta: dict[str, str], finish: str | None = None) -> bytes:
    return event(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


TOLD = [said({"role": "assistant", "content": ""}), *[said({"content": f"word {n} "}) for n in range(40)]]
END = [said({}, "stop"), event(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 40}), b"data: [DONE]\n\n"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("whole", [True, False])
async def test_a_stream_that_is_there_at_once_is_told_and_booked_like_one_that_comes_in_pieces(
    tmp_path: pathlib.Path, path: str, whole: bool
) -> None:
    records = TOLD + END if whole else TOLD
    asked = post(json.dumps({**json.loads(BODY), "model": "m", "stream": True, "max_tokens": 99}).encode(), path=path)
    found = []
    for number, reply in enumerate([Reply(b"".join(records), content_type="text/event-stream"), sse_reply(*records)]):
        upstream = FakeUpstream().on("/v1/chat/completions", reply)
        async with upstream:
            entry = {"type": "openai-compatible", "id": "up", "base-url": f"{upstream.url}/v1", "models": ["m"]}
            async with daemon(tmp_path / str(number), {"providers": [entry]}) as mux, connected(mux.url) as client:
                await client.send(asked + asked)
                answers = [await client.answer() for _ in range(2)]
                parts = mux.app[DAEMON].parts
                parts.books.flush()
                lines = parts.recent.after(0, 9)
        told = [(status, re.sub(rb"(chatcmpl-|msg_)[0-9a-f]+|\d{10}", b"", body)) for status, _, body in answers]
        found.append((told, [(line["stop"], line["error"], line["output_tokens"], line["status"]) for line in lines]))
    assert found[0] == found[1]
    assert len(found[0][1]) == 2
