"""A configuration that changes under a running daemon: taken up when it is good, refused and told when it is not."""

import asyncio
import contextlib
import pathlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
import pytest

from llm_mux import config, paths
from llm_mux.auth.keys import add_key, create_management_key
from llm_mux.auth.store import open_store
from llm_mux.config import Loaded, parse
from llm_mux.server.app import make_app
from llm_mux.server.reload import RELOADER
from llm_mux.server.serving import DAEMON
from tests.daemon import ROOT, ProcessDaemon, clean_environment, config_text, process_daemon, start
from tests.fake_upstream import FakeUpstream, json_reply

WHOLE = {"id": "c", "model": "m", "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}
LONG = {"model": "demo-slow", "stream": True, "messages": [{"role": "user", "content": "word " * 60}]}
Health = dict[str, Any]


@contextlib.asynccontextmanager
async def running(
    home: pathlib.Path, config: Mapping[str, Any]
) -> AsyncIterator[tuple[ProcessDaemon, aiohttp.ClientSession]]:
    with process_daemon(home, config, "--demo") as mux:
        async with aiohttp.ClientSession(mux.url) as client:
            yield mux, client


def write(mux: ProcessDaemon, config: Mapping[str, Any] | str) -> None:
    text = config if isinstance(config, str) else config_text(config)
    (mux.home / "config.yaml").write_text(text, encoding="utf-8")


async def health(client: aiohttp.ClientSession, until: Callable[[Health], bool]) -> Health:
    """The daemon's health once it is as wished; it is asked again for ten seconds."""
    async with asyncio.timeout(10):
        while True:
            async with client.get("/health") as answer:
                found: Health = await answer.json()
            if until(found):
                return found
            await asyncio.sleep(0.05)


async def knows(client: aiohttp.ClientSession, model: str) -> bool:
    async with client.get(f"/v1/models/{model}") as answer:
        return answer.status == 200


def status(home: pathlib.Path) -> str:
    command = [sys.executable, "-m", "llm_mux", "status"]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(home), capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout


async def test_an_edited_file_is_in_effect_within_seconds_and_streams_go_on(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path, {}) as (mux, client):
        before = await health(client, lambda _: True)
        assert not await knows(client, "quick")
        async with client.post("/v1/chat/completions", json=LONG) as answer:
            head = await answer.content.readany()
            write(mux, {"aliases": {"quick": "demo"}})
            after = await health(client, lambda now: now["config"]["loaded_at"] > before["config"]["loaded_at"])
            assert (head + await answer.read()).endswith(b"data: [DONE]\n\n")
        assert after["config"]["error"] is None
        assert await knows(client, "quick")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this platform has no SIGHUP")
async def test_sighup_reads_it_again_at_once(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path, {}) as (mux, client):
        before = await health(client, lambda _: True)
        mux.process.send_signal(signal.SIGHUP)
        await health(client, lambda now: now["config"]["loaded_at"] > before["config"]["loaded_at"])


async def test_a_broken_version_is_told_with_its_line_and_the_old_one_stays(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path, {"aliases": {"quick": "demo"}}) as (mux, client):
        good = (tmp_path / "config.yaml").read_text()
        write(mux, f"{good}alases: {{}}\n")
        refused = await health(client, lambda now: now["config"]["error"] is not None)
        line = good.count("\n") + 1
        assert refused["status"] == "degraded"
        assert f"config.yaml:{line}:1: " in refused["config"]["error"]
        assert 'did you mean "aliases"' in refused["config"]["error"]
        assert await knows(client, "quick")
        shown = await asyncio.to_thread(status, tmp_path)
        assert f"not in effect: {tmp_path}/config.yaml:{line}:1: " in shown
        write(mux, good)
        again = await health(client, lambda now: now["config"]["error"] is None)
        assert again["status"] == "healthy"
    assert "config.refused" in (tmp_path / "log" / "llm-mux.log").read_text()


async def test_a_vanished_file_is_a_broken_one(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path, {"aliases": {"quick": "demo"}}) as (mux, client):
        (tmp_path / "config.yaml").unlink()
        refused = await health(client, lambda now: now["config"]["error"] is not None)
        assert "there is no such file" in refused["config"]["error"]
        assert await knows(client, "quick")
        write(mux, {"aliases": {"fast": "demo"}})
        await health(client, lambda now: now["config"]["error"] is None)
        assert await knows(client, "fast")


async def test_what_needs_a_restart_is_named_and_everything_else_taken(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path, {}) as (mux, client):
        write(mux, {"port": 1, "max-request-size": "1MiB", "aliases": {"quick": "demo"}})
        now = await health(client, lambda now: now["config"]["needs_restart"] != [])
        assert now["config"]["needs_restart"] == ["port", "max-request-size"]
        assert await knows(client, "quick")
        assert "takes a restart: port, max-request-size" in await asyncio.to_thread(status, tmp_path)


@pytest.mark.covers("OP-10")
async def test_the_same_text_written_again_changes_nothing(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path, {}) as (mux, client):
        before = await health(client, lambda _: True)
        path, copy = tmp_path / "config.yaml", tmp_path / "copy.yaml"
        copy.write_text(path.read_text())
        copy.replace(path)
        # Whoever has seen the key has seen the new file too.
        environment = clean_environment(tmp_path)
        add_key(open_store(env=environment, data_dir=paths.data_dir(environment)), "openai", "default", "sk-stored")
        await health(client, lambda now: len(now["accounts"]) > len(before["accounts"]))
        write(mux, {"strict": "no such value"})
        refused = await health(client, lambda now: now["config"]["error"] is not None)
        assert refused["config"]["loaded_at"] == before["config"]["loaded_at"]


@pytest.mark.parametrize("half", ["", "alias"], ids=["good by itself", "broken by itself"])
async def test_a_file_that_is_being_written_while_it_is_read_is_read_when_it_is_whole(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    file, environment = tmp_path / "config.yaml", clean_environment(tmp_path)
    file.write_text(config_text({}))
    app = make_app(
        parse(file.read_text(), file, environment),
        environment,
        open_store(env=environment, data_dir=paths.data_dir(environment)),
    )
    runner, _ = await start(app, "127.0.0.1", 0)
    reloader, whole, read = app[RELOADER], config_text({"aliases": {"quick": "demo"}}), config.reload
    halves = [half]

    def halfway(loaded: Loaded, env: Mapping[str, str]) -> Loaded:
        if not halves:
            return read(loaded, env)
        file.write_text(halves.pop())
        try:
            return read(loaded, env)
        finally:
            file.write_text(whole)

    monkeypatch.setattr(config, "reload", halfway)
    try:
        file.write_text(whole)
        async with asyncio.timeout(10):
            while app[DAEMON].loaded.text != whole:
                assert app[DAEMON].loaded.text != half
                assert reloader.state.error is None
                await asyncio.sleep(0.01)
        assert not halves
    finally:
        await runner.cleanup()


TWICE = {
    "id": "lab",
    "type": "openai-compatible",
    "base-url": "http://127.0.0.1:9/v1",
    "models": ["m"],
    "api-keys": [{"key": "a", "label": "one"}, {"key": "b", "label": "work"}],
}


async def test_a_login_of_the_name_of_a_configured_account_is_refused_with_the_line(tmp_path: pathlib.Path) -> None:
    environment = clean_environment(tmp_path)
    store = open_store(env=environment, data_dir=paths.data_dir(environment))
    async with running(tmp_path, {"providers": [TWICE]}) as (mux, client):
        text = (tmp_path / "config.yaml").read_text()
        line = next(number for number, each in enumerate(text.splitlines(), 1) if each.lstrip().startswith("- key: b"))
        add_key(store, "lab", "work", "k")
        refused = await health(client, lambda now: now["config"]["secrets_error"] is not None)
        said = refused["config"]["secrets_error"]
        assert said.startswith(f"{tmp_path}/config.yaml:{line}:"), said
        assert "two accounts are called lab/work" in said
        assert [each["name"] for each in refused["accounts"] if "demo" not in each["name"]] == [
            "lab/one",
            "lab/work",
        ]
    with pytest.raises(RuntimeError, match=rf"config.yaml:{line}:\d+: two accounts are called"):
        with process_daemon(tmp_path, {"providers": [TWICE]}):
            pass
    assert mux.process.returncode == 0


async def test_a_key_stored_by_another_process_makes_an_account(tmp_path: pathlib.Path) -> None:
    """And a management key that is made while the daemon runs is one at once."""
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply(WHOLE))
        async with running(tmp_path, {}) as (_, client):
            environment = clean_environment(tmp_path)
            key = create_management_key(open_store(env=environment, data_dir=paths.data_dir(environment)))
            async with client.get("/v0/management/accounts", headers={"X-Management-Key": key}) as answer:
                assert answer.status == 200, await answer.text()
            command = [sys.executable, "-m", "llm_mux", "login", "openai", "-", "--api-key", "--no-check"]
            login = await asyncio.create_subprocess_exec(
                *command,
                "--base-url",
                f"{upstream.url}/v1",
                cwd=ROOT,
                env=clean_environment(tmp_path),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
            )
            await login.communicate(b"sk-stored-by-somebody-else")
            assert login.returncode == 0
            now = await health(client, lambda now: len(now["accounts"]) > 1)
            assert "openai/default" in {account["name"] for account in now["accounts"]}
            chat = {"model": "openai://m", "messages": [{"role": "user", "content": "hi"}]}
            async with client.post("/v1/chat/completions", json=chat) as answer:
                assert answer.status == 200, await answer.text()
            assert upstream.requests[-1].headers["authorization"] == "Bearer sk-stored-by-somebody-else"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this platform has no SIGHUP")
async def test_a_mounted_secret_that_was_changed_is_read_at_sighup(tmp_path: pathlib.Path) -> None:
    secret = tmp_path / "mounted"
    secret.write_text("sk-one\n")
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", json_reply(WHOLE))
        entry = {"type": "openai-compatible", "id": "up", "base-url": f"{upstream.url}/v1", "models": ["m"]}
        async with running(tmp_path / "home", {"providers": [{**entry, "api-key": f"file:{secret}"}]}) as (mux, client):

            async def sent() -> str:
                body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
                async with client.post("/v1/chat/completions", json=body) as answer:
                    assert answer.status == 200
                return upstream.last.headers["Authorization"]

            assert await sent() == "Bearer sk-one"
            secret.write_text("sk-two\n")
            assert await sent() == "Bearer sk-one"
            mux.process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(10):
                while await sent() != "Bearer sk-two":
                    await asyncio.sleep(0.05)
