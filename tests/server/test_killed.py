"""kill -9 at any moment: every state file is the old or the new one, and the next start takes up what was there."""

import asyncio
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import aiohttp
import msgspec
import pytest

from llm_mux import paths
from llm_mux.auth.keys import create_management_key
from llm_mux.auth.store import open_store
from llm_mux.ledger.price_book import bundled, current
from llm_mux.routing.rests import Kept
from tests.daemon import ROOT, clean_environment, process_daemon
from tests.fake_upstream import FakeUpstream, Reply, json_reply
from tests.server.test_restart import command, ended_at_last

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
FILES = ("state/cooldowns.json", "state/daemon.json", "data/secrets.json.enc", "data/prices.json", "config.yaml")


@pytest.mark.parametrize("name", FILES)
def test_whatever_line_a_writer_is_killed_at_the_file_is_the_old_or_the_new_one(
    tmp_path: pathlib.Path, name: str
) -> None:
    command = [sys.executable, "-m", "tests.server.killed_writer", str(tmp_path), name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    changed_at = found.index("new")
    assert found == ["old"] * changed_at + ["new"] * (len(found) - changed_at)
    assert changed_at >= 6, "it was killed at many lines before the file was replaced"
    assert found[changed_at:-1], "and at some after"


def test_what_killed_writers_left_goes_at_a_later_start_and_nothing_else(tmp_path: pathlib.Path) -> None:
    names = (".cooldowns.json.0123abcd.tmp", ".cooldowns.json.89abcdef.tmp", ".mine.tmp", "cooldowns.json")
    for name in names:
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (1000, 1000))
    os.utime(tmp_path / names[1], (5000, 5000))
    assert paths.sweep(tmp_path, older_than=2000) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(names[1:])
    assert paths.sweep(tmp_path / "missing", older_than=2000) == 0


async def test_a_daemon_that_is_killed_again_and_again_takes_up_its_rests_each_time(tmp_path: pathlib.Path) -> None:
    chance = random.Random(4)
    models = [f"m{number}" for number in range(12)]
    environment = clean_environment(tmp_path)
    key = create_management_key(open_store(env=environment, data_dir=paths.data_dir(environment)))
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply({"error": {"message": "slow down"}}, 429, retry_after="900"))
        entry = {"id": "up", "type": "openai-compatible", "base-url": f"{upstream.url}/v1", "models": models}
        config = {"providers": [{**entry, "api-key": "sk-some-secret"}], "request-retry": 0}
        for model in models[:4]:
            with pytest.raises(AssertionError):  # the helper expects 0
                with process_daemon(tmp_path, config) as mux:
                    known = kept(tmp_path)
                    assert await resting(mux.url, key) == known
                    await ask(mux.url, model)
                    if model != models[0]:
                        await asyncio.sleep(chance.random())
                    else:
                        while not kept(tmp_path):
                            await asyncio.sleep(0.05)
                    mux.process.send_signal(signal.SIGKILL)
                    assert await asyncio.to_thread(mux.process.wait, 10) == -signal.SIGKILL
            assert kept(tmp_path) >= known
    assert kept(tmp_path) >= {models[0]}


async def ask(url: str, model: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    async with aiohttp.ClientSession(url) as client, client.post("/v1/chat/completions", json=body) as answer:
        assert answer.status == 429


async def resting(url: str, key: str) -> set[str]:
    headers = {"X-Management-Key": key}
    async with aiohttp.ClientSession(url) as client, client.get("/v0/management/cooldowns", headers=headers) as answer:
        return {each["model"] for each in (await answer.json())["cooldowns"]}


def kept(home: pathlib.Path) -> set[str]:
    """The models whose rests are on the disk; a damaged file raises."""
    file = home / "state" / "cooldowns.json"
    found = msgspec.json.decode(file.read_bytes(), type=list[Kept]) if file.exists() else []
    return {each.scope for each in found if each.until > time.time()}


async def test_quotas_are_known_again_after_a_kill_and_after_a_restart(tmp_path: pathlib.Path) -> None:
    unified = "anthropic-ratelimit-unified"
    windows = {f"{unified}-5h-reset": str(int(time.time()) + 7200), f"{unified}-5h-utilization": "0.99"}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
    body = msgspec.json.encode(
        {**message, "content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 1, "output_tokens": 1}}
    )
    file = tmp_path / "state" / "quotas.json"
    async with FakeUpstream() as upstream:
        upstream.on("/v1/messages", Reply(body, headers=windows), Reply(body))
        keys = [{"key": f"sk-{name}-secret", "label": name, "priority": -n} for n, name in enumerate(("one", "two"))]
        entry = {"type": "anthropic-compatible", "id": "up", "base-url": upstream.url, "models": ["m"]}
        config = {"providers": [{**entry, "api-keys": keys}]}
        with pytest.raises(AssertionError):  # the helper expects 0
            with process_daemon(tmp_path, config) as mux:
                assert [await served_by(mux.url) for _ in range(3)] == ["one", "two", "two"]
                async with asyncio.timeout(10):
                    while not file.exists():
                        await asyncio.sleep(0.05)
                assert b"secret" not in file.read_bytes()
                mux.process.send_signal(signal.SIGKILL)
                assert await asyncio.to_thread(mux.process.wait, 10) == -signal.SIGKILL
        with process_daemon(tmp_path, config) as mux, ended_at_last(tmp_path):
            assert await served_by(mux.url) == "two"
            assert (await command(tmp_path, "restart"))[0] == 0
            assert await served_by(mux.url) == "two"


async def served_by(url: str) -> str:
    """The account that answers."""
    body = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
    async with aiohttp.ClientSession(url) as client, client.post("/v1/messages", json=body) as answer:
        assert answer.status == 200
        return answer.headers["x-llm-mux-account"]


DAMAGED = {
    "state/cooldowns.json": b'[{"account": "a/one", "k',
    "state/quotas.json": b'[{"account": "a/one", "k',
    "data/prices.json": b'{"source": "x", "date',
}


async def test_damaged_files_are_set_aside_with_a_word_and_the_daemon_starts(tmp_path: pathlib.Path) -> None:
    for name, content in DAMAGED.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with process_daemon(tmp_path, {}, "--demo") as mux:
        async with aiohttp.ClientSession(mux.url) as client, client.get("/health") as answer:
            assert (await answer.json())["status"] == "healthy"
    said = (tmp_path / "log" / "llm-mux.log").read_text()
    for name, content in DAMAGED.items():
        assert (tmp_path / f"{name}.damaged").read_bytes() == content
        event = f'"event":"{pathlib.Path(name).stem}.damaged","file":"{tmp_path}/{name}"'
        assert event in said
        assert f'"moved_to":"{tmp_path}/{name}.damaged"' in said


def test_a_damaged_price_book_leaves_the_bundled_one(tmp_path: pathlib.Path) -> None:
    (tmp_path / "prices.json").write_bytes(b"{")
    assert current(tmp_path / "prices.json").date == bundled().date
    assert not (tmp_path / "prices.json").exists()


def test_damaged_secrets_are_left_where_they_are_and_the_start_says_what_to_do(tmp_path: pathlib.Path) -> None:
    environment = clean_environment(tmp_path)
    create_management_key(open_store(env=environment, data_dir=paths.data_dir(environment)))
    file = paths.data_dir(environment) / "secrets.json.enc"
    file.write_bytes(damaged := file.read_bytes()[:-20])
    command = [sys.executable, "-m", "llm_mux", "serve", "--demo", "--port", "0"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "restore it from a backup, or move it away and log in again" in done.stderr
    assert file.read_bytes() == damaged, "what may be mended is not overwritten"
