"""Requests of the Responses API that keep nothing are begun without a task, and answered as those that have one."""

import asyncio
import contextlib
import json
import pathlib
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llm_mux.server.serving import DAEMON
from tests.daemon import Daemon, daemon
from tests.raw_server import CLOSE, RESET, RawServer, Script, Step, Wait
from tests.server.test_express import CHAT, answer, at_rest, booked, chunked, until
from tests.server.test_lane import END as CHAT_END
from tests.server.test_lane import TOLD, Client, connected, post
from tests.translators.openai_responses import kit

SSE = b"text/event-stream"
ITEM = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}
USAGE = {"input_tokens": 9, "output_tokens": 8, "total_tokens": 17}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [ITEM],
}
WHOLE = RESPONSE | {"usage": USAGE}
PIECES = [
    kit.record("response.created", response=RESPONSE | {"status": "in_progress", "output": []}),
    kit.record("response.output_item.added", output_index=0, item=ITEM | {"content": []}),
    kit.record("response.output_text.delta", output_index=0, content_index=0, item_id="msg_1", delta="hello"),
    kit.record("response.output_item.done", output_index=0, item=ITEM),
    kit.record("response.completed", response=WHOLE),
]
FAILED = kit.record(
    "response.failed", response=RESPONSE | {"status": "failed", "error": {"code": "x", "message": "no"}}
)
LIMIT = answer({"error": {"message": "slow down"}}, status=b"429 Too Many Requests")
FIRST = {"openai": answer(WHOLE), "openai-compatible": answer(CHAT)}


def asked(**more: Any) -> bytes:
    return json.dumps({"model": "m", "input": "hi", "store": False, **more}).encode()


def sent(body: bytes, *, long: bool = False) -> bytes:
    """A request; a chunked one is the application's, which gives it a task."""
    if not long:
        return post(body, path="/v1/responses")
    head = b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@contextlib.asynccontextmanager
async def running(
    home: pathlib.Path, second: Script, kind: str = "openai", **settings: Any
) -> AsyncIterator[tuple[RawServer, Daemon, Client]]:
    """A daemon that was asked once, and the connection of its client. `second`: what follows a second request."""

    def script(connection: int, request: int) -> Script:
        return second if (connection, request) == (0, 1) else [FIRST[kind]]

    async with RawServer(script) as upstream:
        entry = {"type": kind, "id": "up", "base-url": f"{upstream.url}/v1", "api-key": "k", "models": ["m"]}
        async with daemon(home, {"providers": [entry], **settings}) as mux, connected(mux.url) as client:
            await client.send(sent(asked()))
            assert (await client.answer())[0] == 200
            yield upstream, mux, client


@pytest.mark.parametrize("kind", FIRST)
@pytest.mark.parametrize(
    ("more", "settings", "short"),
    [
        ({}, {}, True),
        ({"store": True}, {}, False),
        ({"store": None}, {}, False),
        ({"store": True}, {"store-responses": False}, True),
        ({"previous_response_id": None, "background": False}, {}, True),
        ({"stream": True}, {}, True),
    ],
)
async def test_only_what_is_not_kept_waits_without_a_task(
    tmp_path: pathlib.Path, kind: str, more: dict[str, Any], settings: dict[str, Any], short: bool
) -> None:
    go = asyncio.Event()
    async with running(tmp_path, [Wait(go), FIRST[kind]], kind, **settings) as (upstream, mux, client):
        tasks = len(asyncio.all_tasks())
        await client.send(sent(asked(**more)))
        await until(lambda: len(upstream.requests) == 2)
        # The server of the test waits in two of its own.
        assert len(asyncio.all_tasks()) == tasks + (2 if short else 3)
        go.set()
        status, _, body = await client.answer()
        assert status == 200
        assert b"hello" in body
        assert booked(mux) == [(200, None, 1)] * 2
        assert at_rest(mux)


@pytest.mark.parametrize("more", [{"previous_response_id": "resp_none"}, {"conversation": "c"}, {"background": True}])
async def test_what_cannot_be_had_is_refused_as_ever(tmp_path: pathlib.Path, more: dict[str, Any]) -> None:
    told = []
    for long in (False, True):
        async with running(tmp_path / str(long), [], "openai-compatible") as (_, _, client):
            await client.send(sent(asked(**more), long=long))
            status, _, body = await client.answer()
            told.append((status, json.loads(body)["error"]))
    assert told[0] == told[1]
    assert told[0][0] == 400


ENDS: list[Any] = [
    pytest.param("openai", False, [answer(WHOLE)], id="whole"),
    pytest.param("openai", False, [LIMIT], id="a limit"),
    pytest.param("openai", False, [answer(WHOLE)[:-20], RESET], id="cut"),
    pytest.param("openai", True, [chunked(b"".join(PIECES), SSE)], id="a stream at once"),
    pytest.param("openai", True, [answer({"error": {"message": "no"}}, status=b"400 Bad Request")], id="a refusal"),
    pytest.param("openai", True, [LIMIT], id="a limit before a stream"),
    pytest.param("openai", True, [chunked(PIECES[0] + FAILED, SSE)], id="a failure that the stream tells"),
    pytest.param("openai", True, [chunked(b"".join(PIECES[:3]), SSE)], id="a stream without its end"),
    pytest.param("openai", True, [chunked(b"".join(PIECES[:3]) + FAILED, SSE)], id="a failure in the middle"),
    pytest.param("openai", True, [answer(WHOLE)], id="whole where a stream was wanted"),
    pytest.param("openai", True, [CLOSE], id="closed"),
    pytest.param("openai-compatible", False, [answer(CHAT)], id="translated"),
    pytest.param("openai-compatible", True, [chunked(b"".join([*TOLD, *CHAT_END]), SSE)], id="a translated stream"),
    pytest.param("openai-compatible", True, [LIMIT], id="a limit before a translated stream"),
    pytest.param("openai-compatible", True, [chunked(b"".join(TOLD), SSE)], id="a translated stream without its end"),
]


@pytest.mark.parametrize(("kind", "stream", "steps"), ENDS)
async def test_an_answer_is_told_as_on_the_long_way(
    tmp_path: pathlib.Path, kind: str, stream: bool, steps: list[Step]
) -> None:
    told, books = [], []
    for long in (False, True):
        async with running(tmp_path / str(long), steps, kind, **{"request-retry": 0}) as (_, mux, client):
            await client.send(sent(asked(stream=stream), long=long))
            status, headers, body = await client.answer()
            told.append((status, headers["content-type"], _alike(body)))
            books.append(booked(mux))
            assert mux.app[DAEMON].metrics.active_requests == 0
            assert at_rest(mux)
    assert told[0] == told[1]
    assert books[0] == books[1]


def _alike(body: bytes) -> bytes:
    """An answer without what is another one each time."""
    text = re.sub(rb'"(created_at|completed_at)":[\d.]+', b"", body)
    return re.sub(rb"(resp|msg|rs|req|fc)_[0-9a-f]{8,}", b"id", text)
