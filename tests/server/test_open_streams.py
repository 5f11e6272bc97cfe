"""A stream in pieces, once its client has seen something: it needs no task, keeps nothing of its request, ends for all."""

import asyncio
import contextlib
import gc
import itertools
import json
import pathlib
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from llm_mux.errors import Kind
from llm_mux.gateway.http.client import LeanUpstream
from llm_mux.server.serving import DAEMON
from tests.daemon import Daemon, daemon
from tests.raw_server import RESET, RawServer, Script, Step, Wait
from tests.server.test_express import DONE, at_rest, booked, until
from tests.server.test_lane import Client, connected, post

MARK = "these words are nowhere else"
ASKED = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": f"{MARK}! " * 90}]}).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def said(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return chunk(b"data: %b\n\n" % json.dumps({"id": "c", "model": "m", "created": 1, "choices": [choice]}).encode())


def told(kind: str, **facts: Any) -> bytes:
    return chunk(f"event: {kind}\ndata: {json.dumps({'type': kind, **facts})}\n\n".encode())


def more(text: str) -> bytes:
    return told("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
USAGE = {"input_tokens": 9, "output_tokens": 1}
BEGUN = {
    "openai-compatible": [HEAD + said("Hel")],
    "anthropic-compatible": [
        HEAD + told("message_start", message={**MESSAGE, "stop_sequence": None, "usage": USAGE}),
        told("content_block_start", index=0, content_block={"type": "text", "text": ""}) + more("Hel"),
    ],
}
ENDED = {
    "openai-compatible": [said("lo"), said("", "stop") + chunk(DONE), LAST],
    "anthropic-compatible": [
        more("lo"),
        told("content_block_stop", index=0),
        told("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
        told("message_stop"),
        LAST,
    ],
}
KINDS = pytest.mark.parametrize("kind", BEGUN, ids=["splice", "translate"])


@contextlib.asynccontextmanager
async def running(
    home: pathlib.Path, kind: str, later: Script, **settings: Any
) -> AsyncIterator[tuple[RawServer, Daemon, Client]]:
    """A daemon that has answered one stream; each one after it goes on with `later`."""

    def script(connection: int, request: int) -> Script:
        first = (connection, request) == (0, 0)
        return [*BEGUN[kind], *(ENDED[kind] if first else later)]

    async with RawServer(script) as upstream:
        base = f"{upstream.url}/v1" if kind == "openai-compatible" else upstream.url
        entry = {"type": kind, "id": "up", "base-url": base, "api-key": "k", "models": ["m"]}
        async with daemon(home, {"providers": [entry], **settings}) as mux, connected(mux.url) as client:
            await client.send(post(ASKED))
            assert (await client.answer())[2].endswith(DONE)
            await until(lambda: at_rest(mux))
            yield upstream, mux, client


async def begun(client: Client) -> None:
    """The next answer is a stream, and its first words are there."""
    await client.send(post(ASKED))
    async with asyncio.timeout(10):
        assert b"200 OK" in await client.reader.readuntil(b'"Hel"')


def lanes() -> list[str]:
    return [repr(task) for task in asyncio.all_tasks() if "Lane" in repr(task.get_coro())]


def kept(mark: str) -> list[str]:
    """The texts with `mark` in them that anything holds that the collector knows, but for the tests' own server."""
    found, seen = list[str](), set[int]()
    left = [each for each in gc.get_objects() if not (asyncio.iscoroutine(each) and "RawServer" in repr(each))]
    while left:
        for each in gc.get_referents(left.pop()):
            if id(each) not in seen:
                seen.add(id(each))
                if isinstance(each, bytes | str):
                    text = each if isinstance(each, str) else each.decode("utf-8", "replace")
                    found += [text] if f"{mark}! {mark}" in text else []
                elif not gc.is_tracked(each):
                    left.append(each)
    return [text for text in found if text != ASKED.decode()]


@KINDS
@pytest.mark.parametrize("connections", [1, 2], ids=["a kept connection", "a new one"])
async def test_a_stream_under_way_has_no_task_and_keeps_nothing_of_its_request(
    tmp_path: pathlib.Path, kind: str, connections: int
) -> None:
    go = asyncio.Event()
    async with running(tmp_path, kind, [Wait(go), *ENDED[kind]]) as (upstream, mux, client):
        async with contextlib.AsyncExitStack() as stack:
            clients = [client, *[await stack.enter_async_context(connected(mux.url)) for _ in range(connections - 1)]]
            for each in clients:
                await begun(each)
            upstream.requests.clear()
            assert lanes() == []
            assert mux.app[DAEMON].metrics.active_streams == connections
            assert mux.app[DAEMON].metrics.active_requests == connections
            assert kept(MARK) == []
            go.set()
            for each in clients:
                assert (await each.reader.readuntil(LAST)).endswith(DONE + b"\r\n" + LAST)
            await until(lambda: at_rest(mux))
            assert mux.app[DAEMON].metrics.active_streams == 0
            assert booked(mux) == [(200, None, 1)] * (connections + 1)


OF_A_STREAM = {"openai-compatible": 6_600, "anthropic-compatible": 7_400}
"""Bytes of Python objects that an open stream has, its two connections included: what was counted, and a tenth."""


@KINDS
async def test_an_open_stream_takes_no_more_memory_than_it_did(tmp_path: pathlib.Path, kind: str) -> None:
    go, count = asyncio.Event(), 10
    async with running(tmp_path, kind, [Wait(go), *ENDED[kind]]) as (_, mux, _):
        async with contextlib.AsyncExitStack() as stack:
            rounds = [[await stack.enter_async_context(connected(mux.url)) for _ in range(count)] for _ in range(4)]
            # The least of the rounds: what the daemon's threads make meanwhile is no stream's.
            assert min([await taken_by(each) for each in rounds]) / count <= OF_A_STREAM[kind]
            go.set()
            for each in itertools.chain(*rounds):
                await each.reader.readuntil(LAST)


async def taken_by(clients: list[Client]) -> int:
    """Bytes of Python objects that our code has made for a stream of each client and that are still there."""
    tracemalloc.start(1)
    try:
        for each in clients:
            await begun(each)
        gc.collect()
        ours = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/llm_mux/*")])
    finally:
        tracemalloc.stop()
    return sum(trace.size for trace in ours.traces)


@KINDS
async def test_a_client_that_leaves_in_the_middle_ends_the_stream_and_costs_no_account_anything(
    tmp_path: pathlib.Path, kind: str
) -> None:
    async with running(tmp_path, kind, [Wait(asyncio.Event())]) as (upstream, mux, client):
        await begun(client)
        client.writer.close()
        await until(lambda: not upstream.open and at_rest(mux))
        assert booked(mux)[1] == (499, Kind.CLIENT_GONE.value, 1)
        assert mux.app[DAEMON].gateway.accounts[0].last_error is None


@KINDS
async def test_at_the_deadline_a_client_is_told_in_its_stream(tmp_path: pathlib.Path, kind: str) -> None:
    async with running(tmp_path, kind, [Wait(asyncio.Event())]) as (upstream, mux, client):
        await begun(client)
        mux.app[DAEMON].parts.drain.leaving = True
        mux.app[DAEMON].parts.drain.end()
        rest = await client.reader.readuntil(LAST)
        assert b"llm-mux is being stopped" in rest
        assert booked(mux)[1] == (200, Kind.DRAINING.value, 1)
        await until(lambda: at_rest(mux) and not upstream.open)


@KINDS
@pytest.mark.parametrize(
    ("steps", "failure"),
    [
        pytest.param([RESET], Kind.UPSTREAM_CUT, id="reset"),
        pytest.param([LAST], Kind.UPSTREAM_CUT, id="an end too soon"),
        pytest.param([b"no chunk at all\r\n"], Kind.UPSTREAM_NONSENSE, id="no chunk"),
    ],
)
async def test_a_stream_that_breaks_is_told_booked_and_held_against_the_account(
    tmp_path: pathlib.Path, kind: str, steps: list[Step], failure: Kind
) -> None:
    go = asyncio.Event()
    async with running(tmp_path, kind, [Wait(go), *steps]) as (_, mux, client):
        await begun(client)
        go.set()
        assert b'"error"' in await client.reader.readuntil(LAST)
        await until(lambda: at_rest(mux))
        assert booked(mux)[1] == (200, failure.value, 1)
        assert (mux.app[DAEMON].gateway.accounts[0].last_error or "").startswith(failure.value)
        assert mux.app[DAEMON].metrics.active_streams == 0


@KINDS
async def test_silence_in_it_is_filled_by_one_timer_for_all(tmp_path: pathlib.Path, kind: str) -> None:
    go = asyncio.Event()
    async with running(tmp_path, kind, [Wait(go), *ENDED[kind]]) as (_, mux, client):
        gateway = mux.app[DAEMON].gateway
        gateway.settings = msgspec.structs.replace(gateway.settings, keepalive_s=0.05)
        async with connected(mux.url) as other:
            for each in (client, other):
                await begun(each)
            for each in (client, other):
                for _ in range(2):
                    await each.reader.readuntil(b": keep-alive\n\n")
            go.set()
            for each in (client, other):
                assert b'"lo"' in await each.reader.readuntil(LAST)


@KINDS
async def test_what_a_client_sends_meanwhile_is_answered_after_it(tmp_path: pathlib.Path, kind: str) -> None:
    go = asyncio.Event()
    async with running(tmp_path, kind, [Wait(go), *ENDED[kind]]) as (upstream, mux, client):
        await begun(client)
        await client.send(post(ASKED))
        assert len(upstream.requests) == 2
        go.set()
        await client.reader.readuntil(LAST)
        assert (await client.answer())[2].endswith(DONE)
        assert booked(mux) == [(200, None, 1)] * 3


@KINDS
async def test_an_end_that_comes_after_the_one_that_the_stream_told_leaves_the_connection_to_the_next(
    tmp_path: pathlib.Path, kind: str
) -> None:
    go = asyncio.Event()
    async with running(tmp_path, kind, [*ENDED[kind][:-1], Wait(go), LAST]) as (upstream, mux, client):
        lean = mux.app[DAEMON].gateway.upstream
        assert isinstance(lean, LeanUpstream)
        for _ in range(3):
            go.clear()
            await client.send(post(ASKED))
            await client.reader.readuntil(DONE)
            go.set()
            await client.reader.readuntil(LAST)
            await until(lambda: at_rest(mux) and all(pool._idle for pool in lean._pools.values()))
        assert upstream.connections == 1


async def test_bytes_after_the_end_that_a_stream_told_end_its_connection(tmp_path: pathlib.Path) -> None:
    kind = "anthropic-compatible"
    later = [*ENDED[kind][:-1], told("ping"), Wait(asyncio.Event())]
    async with running(tmp_path, kind, later) as (upstream, mux, client):
        await client.send(post(ASKED))
        assert (await client.answer())[2].endswith(DONE)
        await until(lambda: not upstream.open)
        assert booked(mux) == [(200, None, 1)] * 2


@KINDS
async def test_a_daemon_that_leaves_waits_for_it(tmp_path: pathlib.Path, kind: str) -> None:
    go = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(contextlib.AsyncExitStack())
        _, _, client = await made.enter_async_context(running(tmp_path, kind, [Wait(go), *ENDED[kind]]))
        await begun(client)
        reader = client.reader
        ending = asyncio.create_task(made.aclose())
        await asyncio.sleep(0)
        go.set()
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(LAST)
        await ending


async def test_a_client_that_leaves_while_a_connection_is_dialled_leaves_nothing(tmp_path: pathlib.Path) -> None:
    kind = "openai-compatible"
    async with running(tmp_path, kind, [Wait(asyncio.Event())]) as (upstream, mux, client):
        await begun(client)
        async with connected(mux.url) as other:
            tasks = len(asyncio.all_tasks())
            await other.send(post(ASKED))
            other.writer.transport.abort()
            await until(lambda: len(asyncio.all_tasks()) <= tasks and mux.app[DAEMON].metrics.active_requests == 1)
            await until(lambda: upstream.open <= 1)
            assert mux.app[DAEMON].gateway.accounts[0].last_error is None


async def test_a_server_that_is_gone_is_told_as_in_a_task(tmp_path: pathlib.Path) -> None:
    kind = "openai-compatible"
    settings = {"request-retry": 0}
    async with running(tmp_path, kind, [Wait(asyncio.Event())], **settings) as (upstream, mux, client):
        await begun(client)
        assert upstream._server is not None
        upstream._server.close()
        async with connected(mux.url) as other:
            await other.send(post(ASKED))
            status, _, body = await other.answer()
            assert (status, json.loads(body)["error"]["message"]) == (502, "up/config is not reachable.")
            assert booked(mux)[1] == (502, Kind.UNREACHABLE.value, 1)
