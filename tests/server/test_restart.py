"""A successor takes over under load: no connection refused, no stream broken; one that does not come up changes nothing."""

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import msgspec
import psutil
import pytest

from llm_mux import paths
from llm_mux.ledger.account_table import read
from llm_mux.ledger.database import Database, located
from tests.daemon import ROOT, clean_environment, config_text, process_daemon
from tests.fake_upstream import FakeUpstream, json_reply

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="this platform cannot hand sockets over")

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {"model": "demo-slow", "stream": True, "messages": [{"role": "user", "content": "one two three four five"}]}


async def command(home: pathlib.Path, *arguments: str) -> tuple[int, str, str]:
    """A command of llm-mux with that home: exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llm_mux", *arguments),
        cwd=ROOT,
        env=clean_environment(home),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def record(home: pathlib.Path) -> paths.DaemonRecord:
    found = paths.read_daemon(clean_environment(home))
    assert found is not None
    return found


@contextlib.contextmanager
def ended_at_last(home: pathlib.Path) -> Iterator[None]:
    """Whoever is the daemon in the end is told to stop, and has to."""
    try:
        yield
    finally:
        last = paths.read_daemon(clean_environment(home))
        if last is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(last.pid)
                process.terminate()
                process.wait(15)


@contextlib.asynccontextmanager
async def hammered(url: str, errors: list[str], done: Counter[str]) -> AsyncIterator[None]:
    """Clients of every habit ask as fast as they can: a connection each time, kept connections, streams."""
    over = asyncio.Event()

    async def ask(kind: str, session: aiohttp.ClientSession, body: object) -> None:
        async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
            text = await answer.read()
            assert answer.status == 200, text
            assert kind != "stream" or text.endswith(b"data: [DONE]\n\n"), text[-200:]
            done[kind] += 1

    async def client(kind: str) -> None:
        kept = aiohttp.TCPConnector(force_close=kind == "fresh")
        async with aiohttp.ClientSession(connector=kept) as session:
            while not over.is_set():
                try:
                    await ask(kind, session, STREAM if kind == "stream" else CHAT)
                except (aiohttp.ClientError, AssertionError, OSError) as error:
                    errors.append(f"{kind}: {error!r}")

    clients = [
        asyncio.create_task(client(kind)) for kind in ("fresh", "fresh", "kept", "kept", "stream", "stream", "stream")
    ]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*clients)


async def test_restarts_under_load_refuse_no_connection_and_break_no_stream(tmp_path: pathlib.Path) -> None:
    errors: list[str] = []
    done: Counter[str] = Counter()
    with process_daemon(tmp_path, {}, "--demo") as mux, ended_at_last(tmp_path):
        pids = [mux.process.pid]
        async with hammered(mux.url, errors, done):
            for _ in range(2):
                code, out, err = await command(tmp_path, "restart")
                assert (code, err) == (0, "")
                assert f"restarted {mux.url} " in out
                pids.append(record(tmp_path).pid)
            seen = dict(done)
            async with asyncio.timeout(20):
                while any(done[kind] < max(6, seen.get(kind, 0) + 3) for kind in ("fresh", "kept", "stream")):
                    await asyncio.sleep(0.05)
        assert errors == []
        assert len(set(pids)) == 3
        assert await asyncio.to_thread(mux.process.wait, 15) == 0
        assert min(done.values()) > 5, done


async def test_a_successor_that_does_not_come_up_changes_nothing(tmp_path: pathlib.Path) -> None:
    with process_daemon(tmp_path, {}, "--demo") as mux:
        blocker = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        taken = blocker.sockets[0].getsockname()[1]
        (tmp_path / "config.yaml").write_text(config_text({"ollama-port": taken}))
        code, out, err = await command(tmp_path, "restart")
        blocker.close()
        assert (code, out) == (1, "")
        assert "the new process ended with exit code 3" in err
        assert f"process {mux.process.pid} goes on" in err
        assert record(tmp_path).pid == mux.process.pid
        async with aiohttp.ClientSession() as client, client.get(f"{mux.url}/healthz") as answer:
            assert answer.status == 200


async def test_a_broken_configuration_is_told_before_anything_is_started(tmp_path: pathlib.Path) -> None:
    with process_daemon(tmp_path, {}, "--demo") as mux:
        (tmp_path / "config.yaml").write_text(f"{config_text({})}alases: 1\n")
        code, _, err = await command(tmp_path, "restart")
        assert code == 2
        assert "config.yaml:5:1: " in err
        assert record(tmp_path).pid == mux.process.pid


async def test_restart_applies_what_needed_one(tmp_path: pathlib.Path) -> None:
    with process_daemon(tmp_path, {}, "--demo") as mux, ended_at_last(tmp_path):
        blocker = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        free = blocker.sockets[0].getsockname()[1]
        blocker.close()
        (tmp_path / "config.yaml").write_text(config_text({"port": free}))
        code, out, _ = await command(tmp_path, "restart")
        assert (code, record(tmp_path).port) == (0, free)
        assert f":{free} " in out
        assert await asyncio.to_thread(mux.process.wait, 15) == 0
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://127.0.0.1:{free}/healthz") as answer:
                assert answer.status == 200
            with pytest.raises(aiohttp.ClientConnectorError):
                await client.get(f"{mux.url}/healthz")


async def test_systemd_is_told_who_the_main_process_is(tmp_path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "n"))
        line.settimeout(20)
        with process_daemon(tmp_path / "h", {}, "--demo", env={"NOTIFY_SOCKET": str(tmp_path / "n")}) as mux:
            said = await asyncio.to_thread(line.recv, 200)
            assert said.decode().splitlines() == [f"MAINPID={mux.process.pid}", "READY=1"]


async def test_serve_daemon_returns_when_it_listens_and_outlives_its_starter(tmp_path: pathlib.Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.yaml").write_text(config_text({}))
    code, out, err = await command(home, "serve", "--daemon", "--demo")
    with ended_at_last(home):
        assert (code, err) == (0, "")
        assert out.startswith(f"listening on {record(home).url} (process {record(home).pid}, log ")
        async with aiohttp.ClientSession() as client, client.get(f"{record(home).url}/health") as answer:
            assert answer.status == 200
        again = await command(home, "serve", "--daemon")
        assert (again[0], f"a daemon runs already at {record(home).url}" in again[2]) == (1, True)
        assert (await command(home, "restart"))[0] == 0
        assert os.getsid(record(home).pid) != os.getsid(0)
        assert (await command(home, "stop"))[0] == 0
    assert b"listening on" in (home / "log" / "serve.out").read_bytes()


async def test_serve_daemon_says_why_it_does_not_come_up(tmp_path: pathlib.Path) -> None:
    blocker = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    taken = blocker.sockets[0].getsockname()[1]
    (tmp_path / "config.yaml").write_text(config_text({"port": taken}))
    code, out, err = await command(tmp_path, "serve", "--daemon")
    blocker.close()
    assert (code, out) == (3, "")
    assert err.startswith(f"llm-mux: cannot listen on 127.0.0.1:{taken}: ")


CHATS = "/v1/chat/completions"
SLOW_DOWN = json_reply({"error": {"message": "slow down", "type": "rate_limit_error"}}, 429, retry_after="600")


async def rests(home: pathlib.Path, until: Callable[[set[str]], bool]) -> set[str]:
    """The accounts that rest as the daemon sees it, once they are as wished; it is asked again for ten seconds."""
    async with asyncio.timeout(10):
        while True:
            code, out, err = await command(home, "cooldown", "list", "--json")
            assert code == 0, err
            found = {each["account"] for each in json.loads(out)}
            if until(found):
                return found


async def test_the_old_process_undoes_nothing_of_its_successors_when_it_ends(tmp_path: pathlib.Path) -> None:
    assert (await command(tmp_path, "init"))[0] == 0
    go = asyncio.Event()
    async with FakeUpstream() as upstream:
        names = ("first", "second", "third")
        entries = [
            {"id": name, "type": "openai-compatible", "base-url": f"{upstream.url}/{name}/v1", "models": [name]}
            | {"api-key": f"sk-of-{name}"}
            for name in names
        ]
        for name in names:
            upstream.on(f"/{name}{CHATS}", SLOW_DOWN)
        upstream.on(f"/third{CHATS}", dataclasses.replace(SLOW_DOWN, before=go))
        config = {"providers": entries, "drain-timeout": 60, "request-retry": 0}
        with process_daemon(tmp_path, config) as mux, ended_at_last(tmp_path):
            connector = aiohttp.TCPConnector(force_close=True)
            async with aiohttp.ClientSession(mux.url, connector=connector) as client:

                async def ask(model: str) -> int:
                    async with client.post(CHATS, json={**CHAT, "model": model}) as answer:
                        return answer.status

                asking = asyncio.create_task(ask("third"))
                await upstream.arrived.wait()
                assert await ask("first") == 429
                code, _, err = await command(tmp_path, "restart")
                assert code == 0, err
                assert mux.process.poll() is None, "it is still at the third request"
                assert await rests(tmp_path, lambda _: True) == {"first/config"}, "learned just before the restart"
                assert (await command(tmp_path, "cooldown", "clear", "first"))[0] == 0
                assert await ask("second") == 429
                assert await rests(tmp_path, bool) == {"second/config"}
                await noted(tmp_path, {"first": "ready", "second": "resting", "third": "ready"})
                go.set()
                assert await asking == 429
                assert await asyncio.to_thread(mux.process.wait, 15) == 0
                kept = msgspec.json.decode((tmp_path / "state" / "cooldowns.json").read_bytes())
                assert {each["account"] for each in kept} == {"second/config", "third/config"}
                await noted(tmp_path, {"first": "ready", "second": "resting"})
                # What the old process learned while it drained reaches the successor with the next change there.
                assert (await command(tmp_path, "cooldown", "clear", "second"))[0] == 0
                assert await rests(tmp_path, lambda found: found != set()) == {"third/config"}


async def noted(home: pathlib.Path, states: dict[str, str]) -> None:
    """Returns when the database has these states of the accounts."""
    database = Database(located(None, home / "data"))
    try:
        async with asyncio.timeout(15):
            while True:
                rows = await database.look(read)
                if {name: rows[name, "config"].state for name in states if (name, "config") in rows} == states:
                    return
                await asyncio.sleep(0.1)
    finally:
        await database.close()
