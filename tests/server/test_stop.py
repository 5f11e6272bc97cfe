"""The end: what is under way finishes, what is idle does not hold it up."""

import asyncio
import contextlib
import json
import os
import pathlib
import pty
import shlex
import signal
import socket
import sqlite3
import sys
from typing import Any

import aiohttp
import pytest

from llm_mux import paths
from llm_mux.auth.store import open_store
from llm_mux.config import parse
from llm_mux.server.address import Doors
from llm_mux.server.app import make_app, start
from llm_mux.server.demo import curls
from tests.daemon import ROOT, clean_environment, config_text, process_daemon
from tests.fake_upstream import FakeUpstream, Reply
from tests.server.conftest import Run

SLOW = {"model": "demo-slow", "stream": True, "messages": [{"role": "user", "content": "one two three four five six"}]}


async def test_a_stream_under_way_finishes_when_the_daemon_is_told_to_stop(tmp_path: pathlib.Path) -> None:
    with process_daemon(tmp_path, {}, "--demo") as mux:
        async with aiohttp.ClientSession() as client:
            async with client.post(f"{mux.url}/v1/chat/completions", json=SLOW) as answer:
                head = await answer.content.readany()
                mux.process.send_signal(signal.SIGTERM)
                assert (head + await answer.read()).endswith(b"data: [DONE]\n\n")
        assert await asyncio.to_thread(mux.process.wait, 10) == 0


WHOLE = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
LONG = "word " * 2000
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
CUT = [
    ("/v1/chat/completions", {**SLOW, "messages": [{"role": "user", "content": LONG}]}, b'"code":"draining"'),
    (
        "/v1/messages",
        {"model": "demo-slow", "max_tokens": 9999, "stream": True, "messages": [{"role": "user", "content": LONG}]},
        b"event: error\n",
    ),
    ("/v1/responses", {"model": "demo-slow", "stream": True, "input": LONG}, b"event: response.failed\n"),
    (
        "/v1beta/models/demo-slow:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": LONG}]}]},
        b'"error":{"code":503',
    ),
    ("/api/chat", {"model": "demo-slow", "messages": [{"role": "user", "content": LONG}]}, b'{"error":"llm-mux is'),
]


async def test_at_the_deadline_every_protocol_gets_its_own_error(tmp_path: pathlib.Path) -> None:
    never = asyncio.Event()
    async with FakeUpstream() as upstream:
        upstream.on("*", Reply(before=never))
        entry = {"type": "openai-compatible", "id": "up", "base-url": f"{upstream.url}/v1", "api-key": "k"}
        with process_daemon(tmp_path, {"drain-timeout": 1, "providers": [entry]}, "--demo") as mux:
            async with aiohttp.ClientSession(mux.url) as client:
                waiting = asyncio.create_task(client.post("/v1/chat/completions", json={**WHOLE, "model": "up://m"}))
                answers = [await client.post(path, json=body) for path, body, _ in CUT]
                heads = [await answer.content.readany() for answer in answers]
                socket = await client.ws_connect("/v1/responses")
                await socket.send_json({"type": "response.create", "model": "demo-slow", "input": LONG})
                await socket.receive()
                mux.process.send_signal(signal.SIGTERM)
                for (path, _, told), head, answer in zip(CUT, heads, answers, strict=True):
                    body = head + await answer.read()
                    assert told in body[-1500:], (path, body[-1500:])
                async with await waiting as answer:
                    assert answer.status == 503
                    assert answer.headers["Retry-After"] == "1"
                    assert "llm-mux is being stopped" in (await answer.json())["error"]["message"]
                frames = [json.loads(frame.data) async for frame in socket if frame.type == aiohttp.WSMsgType.TEXT]
                assert frames[-1]["type"] in ("response.failed", "error"), frames[-1]
            assert await asyncio.to_thread(mux.process.wait, 10) == 0
        never.set()
    lines = (tmp_path / "log" / "llm-mux.log").read_text()
    assert lines.count('"error":"draining"') == len(CUT) + 2


ASIDE = [
    ("/v1/embeddings", {"model": "up://m", "input": "hi"}, {"code": "draining"}),
    ("/api/embed", {"model": "up://m", "input": "hi"}, None),
    (
        "/v1beta/models/up://m:embedContent",
        {"content": {"parts": [{"text": "hi"}]}},
        {"code": 503, "status": "UNAVAILABLE"},
    ),
]


async def test_embeddings_that_the_deadline_cuts_off_are_told_and_booked_as_that(tmp_path: pathlib.Path) -> None:
    never = asyncio.Event()
    async with FakeUpstream() as upstream:
        upstream.on("*", Reply(before=never))
        entry = {"type": "openai-compatible", "id": "up", "base-url": f"{upstream.url}/v1", "api-key": "k"}
        with process_daemon(tmp_path, {"drain-timeout": 1, "providers": [entry]}) as mux:
            async with aiohttp.ClientSession(mux.url) as client:

                async def ask(path: str, body: object) -> tuple[int, str | None, Any]:
                    async with client.post(path, json=body) as answer:
                        return answer.status, answer.headers.get("Retry-After"), await answer.json()

                asking = [asyncio.create_task(ask(path, body)) for path, body, _ in ASIDE]
                async with asyncio.timeout(10):
                    while upstream.open < len(ASIDE):
                        await asyncio.sleep(0.02)
                mux.process.send_signal(signal.SIGTERM)
                for (path, _, told), (status, retry_after, body) in zip(
                    ASIDE, await asyncio.gather(*asking), strict=True
                ):
                    assert (status, retry_after) == (503, "1"), (path, body)
                    assert "llm-mux is being stopped" in str(body["error"])
                    if told is not None:
                        assert {name: body["error"][name] for name in told} == told, path
            assert await asyncio.to_thread(mux.process.wait, 10) == 0
        never.set()
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "llm-mux.sqlite")) as database:
        rows = database.execute("select status, error_kind from exchanges").fetchall()
    assert rows == [(503, "draining")] * len(ASIDE)


@pytest.mark.parametrize(
    ("first", "second"),
    [(signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGINT)],
)
async def test_a_second_signal_does_not_wait(
    tmp_path: pathlib.Path, first: signal.Signals, second: signal.Signals
) -> None:
    long = {**SLOW, "messages": [{"role": "user", "content": "word " * 2000}]}
    process = None
    with pytest.raises(AssertionError):  # the helper expects 0
        with process_daemon(tmp_path, {"drain-timeout": 60}, "--demo") as mux:
            process = mux.process
            async with aiohttp.ClientSession() as client:
                async with client.post(f"{mux.url}/v1/chat/completions", json=long) as answer:
                    await answer.content.readany()
                    process.send_signal(first)
                    while await _listens(client, mux.url):
                        await asyncio.sleep(0.01)
                    process.send_signal(second)
                    with pytest.raises(aiohttp.ClientError):
                        await answer.read()
    assert process is not None
    assert process.returncode == 128 + second
    assert paths.read_daemon(clean_environment(tmp_path)) is None


async def _listens(client: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with client.get(f"{url}/healthz"):
            return True
    except aiohttp.ClientError:
        return False


async def test_an_idle_websocket_is_closed(demo: Run) -> None:
    async with aiohttp.ClientSession() as client:
        async with asyncio.timeout(4):
            async with demo() as mux:
                socket = await client.ws_connect(f"{mux.url}/v1/responses")
                waiting = asyncio.create_task(socket.receive())
            closing = await waiting
    assert closing.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING)
    assert closing.data == aiohttp.WSCloseCode.GOING_AWAY


@pytest.mark.parametrize("keyed", [False, True])
async def test_every_line_to_paste_works(demo: Run, keyed: bool) -> None:
    async with demo({"api-keys": ["a-key"]} if keyed else {}) as mux, aiohttp.ClientSession() as client:
        said = curls(mux.url, keyed=keyed).replace("YOUR-KEY", "a-key").splitlines()
        lines = [line for line in said if line.startswith("  curl ")]
        assert len(lines) == 5
        for line in lines:
            _, url, *options = shlex.split(line)
            headers = dict(each.split(": ") for each in options[1:-2:2])
            async with client.post(url, data=options[-1], headers=headers) as answer:
                assert answer.status == 200, await answer.text()
                assert "Hello from the demo" in await answer.text()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no such terminals")
def test_a_terminal_that_is_closed_takes_the_daemon_with_it(tmp_path: pathlib.Path) -> None:
    (tmp_path / "config.yaml").write_text(config_text({}))
    environment = clean_environment(tmp_path)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "-m", "llm_mux", "serve", "--demo"], environment)
    shown = b""
    while b"listening on" not in shown:
        shown += os.read(terminal, 65536)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


async def test_who_waits_to_be_let_in_when_the_door_closes_is_answered(tmp_path: pathlib.Path) -> None:
    config = parse(config_text({}), None, clean_environment(tmp_path))
    env = clean_environment(tmp_path)
    app = make_app(config, env, open_store(env=env, data_dir=paths.data_dir(env)))
    doors = Doors()
    runner, port = await start(app, "127.0.0.1", 0, doors=doors)
    # Nothing here gives way to the loop before the door closes: the kernel has these, and the daemon has not seen them.
    waiting = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(20)]
    for each in waiting:
        each.sendall(HEALTH)
    await doors.leave(runner, list(runner.sites))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 10)
    answers = await asyncio.gather(*(asyncio.to_thread(each.recv, 65536) for each in waiting))
    assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 200 OK"}
    for each in waiting:
        each.close()
    await runner.cleanup()


async def test_a_load_balancer_that_was_let_in_at_the_last_moment_may_still_ask(tmp_path: pathlib.Path) -> None:
    with process_daemon(tmp_path, {"drain-delay": 0.1}, "--demo") as mux:
        port = int(mux.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 10) as let_in:
            mux.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionRefusedError):
                async with asyncio.timeout(10):
                    while True:
                        socket.create_connection(("127.0.0.1", port), 10).close()
                        await asyncio.sleep(0.01)
            let_in.sendall(HEALTH)
            assert let_in.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert await asyncio.to_thread(mux.process.wait, 20) == 0
