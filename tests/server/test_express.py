"""Requests that are begun without a task: answered as any other, however the answer comes, breaks or does not come.

The first request of each test goes in a task (nobody knows its key and no connection is there); what is tried is the
second.
"""

import asyncio
import contextlib
import json
import pathlib
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from llm_mux.errors import Kind
from llm_mux.gateway.plan import FRAMES
from llm_mux.server.serving import DAEMON
from tests.daemon import Daemon, daemon
from tests.raw_server import CLOSE, RESET, RawServer, Script, Step, Wait
from tests.server.test_lane import Client, connected, post

CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17},
}
MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 8},
}
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
STREAMED = json.dumps({**json.loads(BODY), "stream": True}).encode()
EVENT = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}]}\n\n'


def answer(value: object, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    lines = [b"HTTP/1.1 " + status, b"Content-Type: application/json", *fields, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(value: bytes, kind: bytes = b"application/json") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % kind
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(value), value)


SSE = b"text/event-stream"
DONE = b"data: [DONE]\n\n"
GOOD = answer(CHAT)
WHOLE = json.dumps(CHAT).encode()


@contextlib.asynccontextmanager
async def running(
    home: pathlib.Path, second: Script, kind: str = "openai-compatible", first: bytes = GOOD, **settings: Any
) -> AsyncIterator[tuple[RawServer, Daemon, Client]]:
    """A daemon that was asked once, and the connection of its client. `second`: what follows a second request."""

    def script(connection: int, request: int) -> Script:
        return second if (connection, request) == (0, 1) else [first]

    async with RawServer(script) as upstream:
        base = f"{upstream.url}/v1" if kind == "openai-compatible" else upstream.url
        entry = {"type": kind, "id": "up", "base-url": base, "api-key": "k", "models": ["m"]}
        async with daemon(home, {"providers": [entry], **settings}) as mux, connected(mux.url) as client:
            await client.send(post(BODY))
            assert (await client.answer())[0] == 200
            yield upstream, mux, client


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)


def at_rest(mux: Daemon) -> bool:
    """Whether nothing is under way."""
    kept = mux.app[DAEMON]
    return not (
        any(each.inflight for each in kept.gateway.accounts) or kept.metrics.active_requests or kept.parts.drain
    )


def booked(mux: Daemon) -> list[tuple[int, str | None, int]]:
    """Status, error and attempts of the exchanges so far."""
    kept = mux.app[DAEMON].parts
    kept.books.flush()
    return [(line["status"], line["error"], line["attempts"]) for line in kept.recent.after(0, 100)]


@pytest.mark.parametrize(
    ("kind", "first"), [("openai-compatible", GOOD), ("anthropic-compatible", answer(MESSAGE))], ids=["splice", "other"]
)
async def test_a_usual_request_waits_for_its_answer_without_a_task(
    tmp_path: pathlib.Path, kind: str, first: bytes
) -> None:
    go = asyncio.Event()
    async with running(tmp_path, [Wait(go), first], kind, first) as (upstream, mux, client):
        tasks = len(asyncio.all_tasks())
        await client.send(post(BODY))
        await until(lambda: len(upstream.requests) == 2)
        # The server of the test waits in two of its own.
        assert len(asyncio.all_tasks()) == tasks + 2
        assert mux.app[DAEMON].metrics.active_requests == 1
        assert mux.app[DAEMON].gateway.accounts[0].inflight == 1
        go.set()
        status, headers, body = await client.answer()
        assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "hello")
        assert headers["content-type"] == "application/json"
        assert headers["server"].startswith("llm-mux/")
        assert headers["date"].endswith("GMT")
        assert headers["x-request-id"].startswith("req_")
        assert [headers[f"x-llm-mux-{name}"] for name in ("provider", "model", "attempts")] == ["up", "m", "1"]
        assert (headers["x-token-usage-input"], headers["x-token-usage-output"]) == ("9", "8")
        assert booked(mux) == [(200, None, 1)] * 2
        assert at_rest(mux)


async def test_a_plain_request_goes_out_the_same_whether_its_settings_were_known_or_not(tmp_path: pathlib.Path) -> None:
    good, other = answer(MESSAGE), BODY.replace(b"hi", b'a \\u00e9 and \\"more\\"')
    async with running(tmp_path, [good], "anthropic-compatible", good) as (upstream, _, client):
        answers = []
        for forgets in (False, True):
            if forgets:
                FRAMES.clear()
            await client.send(post(other))
            status, headers, body = await client.answer()
            answers.append((status, headers["x-llm-mux-model"], json.loads(body)["choices"]))
        _, known, whole = upstream.requests
        assert (known, answers[0]) == (whole, answers[1])
        assert json.loads(whole.partition(b"\r\n\r\n")[2])["messages"][0]["content"][0]["text"] == 'a é and "more"'


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        pytest.param([GOOD[:40], GOOD[40:]], 200, id="a head in two reads"),
        pytest.param([GOOD[:-20], GOOD[-20:]], 200, id="a body in two reads"),
        pytest.param([chunked(WHOLE)], 200, id="chunks at once"),
        pytest.param([chunked(WHOLE)[:-60], chunked(WHOLE)[-60:]], 200, id="chunks in two reads"),
        pytest.param([b"HTTP/1.1 200 OK\r\n\r\n" + WHOLE, CLOSE], 200, id="ended by the connection"),
        pytest.param([answer(CHAT, b"Connection: close"), CLOSE], 200, id="the connection's last"),
        pytest.param([b"HTTP/1.1 102 Processing\r\n\r\n", GOOD], 200, id="after an interim one"),
        pytest.param([chunked(EVENT + b"data: [DONE]\n\n", b"text/event-stream")], 200, id="a stream"),
        pytest.param([answer({"error": {"message": "no"}}, status=b"400 Bad Request")], 400, id="a refusal"),
        pytest.param([CLOSE], 200, id="none, on a connection that was closed meanwhile"),
    ],
)
async def test_an_answer_in_any_form_is_told_once(tmp_path: pathlib.Path, steps: list[Step], status: int) -> None:
    async with running(tmp_path, steps) as (_, mux, client):
        await client.send(post(BODY) + post(BODY))
        assert [(await client.answer())[0] for _ in range(2)] == [status, 200]
        assert [line[0] for line in booked(mux)] == [200, status, 200]
        assert at_rest(mux)


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        pytest.param([GOOD[:-20], RESET], Kind.UPSTREAM_CUT, id="cut in the body"),
        pytest.param([GOOD[:40], CLOSE], Kind.UPSTREAM_CUT, id="cut in the head"),
        pytest.param([answer(b"<html>")], Kind.UPSTREAM_NONSENSE, id="no JSON"),
        pytest.param([answer({"words": 1})], Kind.UPSTREAM_NONSENSE, id="no answer"),
        pytest.param([b"no HTTP at all\r\n\r\n"], Kind.UPSTREAM_NONSENSE, id="no HTTP"),
        pytest.param(
            [answer({"error": {"message": "slow down"}}, status=b"429 Too Many Requests")],
            Kind.RATE_LIMIT,
            id="a limit",
        ),
    ],
)
async def test_a_failure_is_told_booked_and_held_against_the_account(
    tmp_path: pathlib.Path, steps: list[Step], kind: Kind
) -> None:
    async with running(tmp_path, steps, **{"request-retry": 0}) as (_, mux, client):
        await client.send(post(BODY))
        status, _, body = await client.answer()
        assert status >= 400
        assert json.loads(body)["error"]["message"]
        assert booked(mux) == [(200, None, 1), (status, kind.value, 1)]
        assert (mux.app[DAEMON].gateway.accounts[0].last_error or "").startswith(kind.value)
        assert at_rest(mux)


async def test_a_failure_is_made_good_by_another_round(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path, [answer({}, status=b"500 Internal Server Error")]) as (upstream, mux, client):
        await client.send(post(BODY))
        assert (await client.answer())[0] == 200
        assert len(upstream.requests) == 3
        assert booked(mux) == [(200, None, 1), (200, None, 2)]
        assert at_rest(mux)


@pytest.mark.parametrize("body", [BODY, STREAMED], ids=["whole", "stream"])
async def test_a_client_that_leaves_closes_the_upstream_and_costs_no_account_anything(
    tmp_path: pathlib.Path, body: bytes
) -> None:
    async with running(tmp_path, [Wait(asyncio.Event())]) as (upstream, mux, client):
        await client.send(post(body))
        await until(lambda: len(upstream.requests) == 2)
        client.writer.close()
        await until(lambda: not upstream.open and at_rest(mux))
        assert booked(mux) == [(200, None, 1), (499, Kind.CLIENT_GONE.value, 1)]
        assert mux.app[DAEMON].gateway.accounts[0].last_error is None


@pytest.mark.parametrize("asked", [BODY, STREAMED], ids=["whole", "stream"])
async def test_at_the_deadline_a_client_is_told(tmp_path: pathlib.Path, asked: bytes) -> None:
    async with running(tmp_path, [Wait(asyncio.Event())]) as (upstream, mux, client):
        await client.send(post(asked))
        await until(lambda: len(upstream.requests) == 2)
        mux.app[DAEMON].parts.drain.leaving = True
        mux.app[DAEMON].parts.drain.end()
        status, headers, body = await client.answer()
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
        assert "llm-mux is being stopped" in json.loads(body)["error"]["message"]
        assert booked(mux)[1] == (503, Kind.DRAINING.value, 1)
        assert at_rest(mux)
        await until(lambda: not upstream.open)


@pytest.mark.parametrize(
    ("asked", "answered"), [(BODY, GOOD), (STREAMED, chunked(EVENT + DONE, SSE))], ids=["whole", "stream"]
)
async def test_an_answer_to_what_was_under_way_is_the_last_of_a_daemon_that_leaves(
    tmp_path: pathlib.Path, asked: bytes, answered: bytes
) -> None:
    go = asyncio.Event()
    async with running(tmp_path, [Wait(go), answered]) as (upstream, mux, client):
        await client.send(post(asked))
        await until(lambda: len(upstream.requests) == 2)
        mux.app[DAEMON].parts.drain.leaving = True
        go.set()
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.reader.read() == b""


async def test_what_waits_when_the_server_ends_is_waited_for(tmp_path: pathlib.Path) -> None:
    go = asyncio.Event()
    async with RawServer(lambda connection, request: [Wait(go), GOOD] if request else [GOOD]) as upstream:
        entry = {"type": "openai-compatible", "id": "up", "base-url": f"{upstream.url}/v1", "models": ["m"]}
        async with contextlib.AsyncExitStack() as stack:
            mux = await stack.enter_async_context(daemon(tmp_path, {"providers": [entry]}))
            async with connected(mux.url) as client:
                await client.send(post(BODY))
                assert (await client.answer())[0] == 200
                await client.send(post(BODY))
                await until(lambda: len(upstream.requests) == 2)
                ending = asyncio.create_task(stack.aclose())
                await asyncio.sleep(0)
                go.set()
                assert (await client.answer())[0] == 200
                await ending


async def test_a_key_of_the_database_needs_no_task_and_ends_when_it_is_revoked(tmp_path: pathlib.Path) -> None:
    go = asyncio.Event()
    async with RawServer(lambda connection, request: [Wait(go), GOOD] if request == 1 else [GOOD]) as upstream:
        entry = {"type": "openai-compatible", "id": "up", "base-url": f"{upstream.url}/v1", "models": ["m"]}
        async with daemon(tmp_path, {"providers": [entry], "disable-auth": False}) as mux, connected(mux.url) as client:
            table = mux.app[DAEMON].parts.key_book.table
            key, secret = await table.create("laptop", now=time.time())
            asked = post(BODY, f"Authorization: Bearer {secret}")
            await client.send(asked)
            assert (await client.answer())[0] == 200
            tasks = asyncio.all_tasks()
            await client.send(asked)
            await until(lambda: len(upstream.requests) == 2)
            assert not [task for task in asyncio.all_tasks() - tasks if "Lane" in repr(task.get_coro())]
            go.set()
            assert (await client.answer())[0] == 200
            await table.revoke(key.id, now=time.time())
            async with asyncio.timeout(20):
                while True:
                    await client.send(asked)
                    if (found := (await client.answer())[0]) != 200:
                        break
            assert found == 401
            assert {line["client"] for line in mux.app[DAEMON].parts.recent.after(0, 9)} <= {"laptop"}


async def test_a_key_that_is_taken_away_counts_from_the_next_request_on(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path, [GOOD]) as (_, mux, client):
        kept = mux.app[DAEMON]
        guard = type(kept.guard)(kept.loaded.config, ["a-key"], kept.guard._book)
        guard.open = False
        kept.guard = guard
        await client.send(post(BODY))
        assert (await client.answer())[0] == 401


LIMITS = {"rate-limits": {"requests-per-minute": 3, "concurrent": 1}}


async def test_limits_are_counted_told_and_given_back(tmp_path: pathlib.Path) -> None:
    never = asyncio.Event()
    async with running(tmp_path, [Wait(never)], **LIMITS) as (upstream, mux, client):
        async with connected(mux.url) as other:
            await client.send(post(BODY))
            await until(lambda: len(upstream.requests) == 2)
            await other.send(post(BODY))
            status, headers, _ = await other.answer()
            assert (status, headers["x-ratelimit-limit"]) == (429, "1")
            client.writer.close()
            await until(lambda: at_rest(mux))
            await other.send(post(BODY) * 2)
            found = [(await other.answer())[:2] for _ in range(2)]
            assert [(status, headers["x-ratelimit-remaining"]) for status, headers in found] == [(200, "0"), (429, "0")]
        assert [line[:2] for line in booked(mux)] == [
            (200, None),
            (429, Kind.LIMITED.value),
            (499, Kind.CLIENT_GONE.value),
            (200, None),
            (429, Kind.LIMITED.value),
        ]
        assert at_rest(mux)


STREAM = chunked(EVENT + DONE, SSE)
CUT = chunked(EVENT.replace(b'"stop"', b"null"), SSE)
ERROR = b'data: {"error": {"message": "no more", "code": 500}}\n\n'


@pytest.mark.parametrize(
    ("steps", "status", "kind"),
    [
        pytest.param([STREAM], 200, None, id="at once"),
        pytest.param([STREAM[:-30], STREAM[-30:]], 200, None, id="in two reads"),
        pytest.param([STREAM[:30], STREAM[30:]], 200, None, id="a head in two reads"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + EVENT, CLOSE], 200, None, id="close"
        ),
        pytest.param([GOOD], 200, None, id="a whole answer"),
        pytest.param([CUT], 200, Kind.UPSTREAM_CUT, id="cut off"),
        pytest.param([STREAM[:-21], RESET], 200, Kind.UPSTREAM_CUT, id="broken off"),
        pytest.param(
            [chunked(EVENT.replace(b'"stop"', b"null") + ERROR, SSE)], 200, Kind.UPSTREAM_ERROR, id="an error in it"
        ),
        pytest.param([chunked(ERROR, SSE)], 502, Kind.UPSTREAM_ERROR, id="an error first"),
        pytest.param([chunked(b"", SSE)], 502, Kind.UPSTREAM_CUT, id="nothing"),
        pytest.param(
            [answer({"error": {"message": "slow down"}}, status=b"429 Too Many Requests")],
            429,
            Kind.RATE_LIMIT,
            id="a limit",
        ),
        pytest.param([CLOSE], 200, None, id="none, on a connection that was closed meanwhile"),
    ],
)
async def test_a_stream_that_comes_in_any_form_ends_as_it_does_in_a_task(
    tmp_path: pathlib.Path, steps: list[Step], status: int, kind: Kind | None
) -> None:
    told = []
    for way in ("without", "in a task"):
        async with running(tmp_path / way, steps, **{"request-retry": 0}) as (_, mux, client):
            if way == "in a task":
                # What a page of the daemon's own asks goes in a task.
                asked = post(STREAMED, "Origin: http://localhost")
            else:
                asked = post(STREAMED)
            await client.send(asked)
            found, headers, body = await client.answer()
            told.append((found, headers["content-type"], without_ids(body), booked(mux)[1]))
            assert at_rest(mux)
    assert told[0] == told[1]
    assert (told[0][0], told[0][3]) == (status, (status, None if kind is None else kind.value, 1))


def without_ids(body: bytes) -> bytes:
    return re.sub(rb"req_[0-9a-f]+|chatcmpl-[0-9a-f]+|\d{10}", b"", body)


async def test_a_stream_that_keeps_its_client_waiting_begins_with_keep_alives(tmp_path: pathlib.Path) -> None:
    go = asyncio.Event()
    async with running(tmp_path, [Wait(go), STREAM]) as (upstream, mux, client):
        gateway = mux.app[DAEMON].gateway
        gateway.settings = msgspec.structs.replace(gateway.settings, patience_s=0.05, keepalive_s=0.05)
        await client.send(post(STREAMED))
        await until(lambda: len(upstream.requests) == 2)
        beat = await client.reader.readuntil(b": keep-alive\n\n")
        assert beat.startswith(b"HTTP/1.1 200 OK\r\n")
        go.set()
        assert (await client.reader.readuntil(b"0\r\n\r\n")).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        await until(lambda: at_rest(mux))
        assert booked(mux) == [(200, None, 1)] * 2
