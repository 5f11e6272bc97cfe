"""The compose files as docker-compose itself reads them, and the balancer's configuration in a real nginx before two
daemons."""

import asyncio
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
import yaml

from llm_mux.config import parse
from tests.daemon import ProcessDaemon, process_daemon
from tests.services import missing

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy"
ASKED_FOR = {
    "compose.yaml": {"PROXY_API_KEY": "team", "LLM_MUX_PASSPHRASE": "pass", "POSTGRES_PASSWORD": "secret"},
    "compose.fleet.yaml": {
        "PROXY_API_KEY": "team",
        "LLM_MUX_SECRETS_KEY": "dGhpcnR5LXR3byBieXRlcyBvZiBub3RoaW5nIG11Y2g=",
        "POSTGRES_PASSWORD": "secret",
    },
}
DAEMONS = {"compose.yaml": ["llm-mux"], "compose.fleet.yaml": ["one", "two"]}
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**CHAT, "model": "demo-slow", "stream": True}


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return found or missing(f"{name} is not installed")


def composed(file: str, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """What `docker-compose config` makes of a file: variables put in, fragments merged, checked against its schema."""
    command = [tool("docker-compose"), "-f", str(DEPLOY / file), "config"]
    kept = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **env}
    return subprocess.run(command, env=kept, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("file", ASKED_FOR)
def test_compose_takes_the_file_and_the_daemon_what_comes_out(file: str) -> None:
    done = composed(file, ASKED_FOR[file])
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    for name in DAEMONS[file]:
        daemon = services[name]
        assert {wait["condition"] for wait in daemon["depends_on"].values()} == {"service_healthy"}
        assert all("healthcheck" in services[each] for each in daemon["depends_on"])
        config = parse("", None, daemon["environment"]).config
        assert config.usage.database == "postgresql://llm_mux:secret@postgres/llm_mux"
        assert config.redis_url == "redis://redis:6379/0"
        assert config.disable_auth is False
        assert config.drain_delay + config.drain_timeout < int(daemon["stop_grace_period"].removesuffix("s"))
    assert all("build" in each or ":" in each["image"] for each in services.values()), "images have a version"


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, asked in ASKED_FOR.items() for name in asked])
def test_compose_says_which_variable_is_missing(file: str, name: str) -> None:
    done = composed(file, {key: value for key, value in ASKED_FOR[file].items() if key != name})
    assert done.returncode != 0
    assert name in done.stderr


@contextlib.contextmanager
def balanced(folder: pathlib.Path, daemons: list[ProcessDaemon]) -> Iterator[str]:
    """The address of an nginx that runs deploy/nginx.conf, its two daemons being these."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8").replace("listen 8317;", f"listen 127.0.0.1:{port};")
    for name, mux in zip(("one", "two"), daemons, strict=True):
        assert f"server {name}:8317" in text
        text = text.replace(f"server {name}:8317", f"server {mux.url.removeprefix('http://')}")
    config = folder / "nginx.conf"
    config.write_text(text, encoding="utf-8")
    own = f"daemon off; error_log {folder}/error.log; pid {folder}/nginx.pid;"
    command = [tool("nginx"), "-p", str(folder), "-c", str(config), "-e", f"{folder}/error.log", "-g", own]
    for name in ("logs", "body", "proxy", "fastcgi", "uwsgi", "scgi"):
        (folder / name).mkdir()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGQUIT)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 0, said


async def answers(session: aiohttp.ClientSession, path: str = "/ready") -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with session.get(path) as answer:
            return answer.status == 200
    return False


@pytest.fixture
async def fleet(tmp_path: pathlib.Path) -> AsyncIterator[tuple[list[ProcessDaemon], str]]:
    tool("nginx")
    with contextlib.ExitStack() as stack:
        daemons = [
            await asyncio.to_thread(
                stack.enter_context, process_daemon(tmp_path / name, {"drain-delay": 1}, "--demo", "--workers", "2")
            )
            for name in ("one", "two")
        ]
        (tmp_path / "nginx").mkdir()
        url = stack.enter_context(balanced(tmp_path / "nginx", daemons))
        async with aiohttp.ClientSession(url) as session, asyncio.timeout(20):
            while not await answers(session):
                await asyncio.sleep(0.05)
        yield daemons, url


async def test_a_stream_passes_the_balancer_as_it_comes(fleet: tuple[list[ProcessDaemon], str]) -> None:
    _, url = fleet
    async with aiohttp.ClientSession(url) as session:
        async with session.post("/v1/chat/completions", json=STREAM) as answer:
            pieces = [piece async for piece in answer.content.iter_any()]
    assert len(pieces) > 1
    assert b"".join(pieces).endswith(b"data: [DONE]\n\n")


async def test_a_daemon_that_is_stopped_costs_nobody_behind_the_balancer_a_request(
    fleet: tuple[list[ProcessDaemon], str],
) -> None:
    (one, two), url = fleet
    statuses: Counter[object] = Counter()
    over = asyncio.Event()

    async def client(session: aiohttp.ClientSession, body: dict[str, Any]) -> None:
        while not over.is_set():
            try:
                async with session.post("/v1/chat/completions", json=body) as answer:
                    text = await answer.read()
                    whole = "stream" not in body or text.endswith(b"data: [DONE]\n\n")
                    statuses[answer.status if whole else "cut"] += 1
            except aiohttp.ClientError as error:
                statuses[repr(error)] += 1

    async with aiohttp.ClientSession(url) as session, asyncio.TaskGroup() as tasks:
        for body in (CHAT, CHAT, CHAT, STREAM, STREAM):
            tasks.create_task(client(session, body))
        while statuses[200] < 50:
            await asyncio.sleep(0.02)
        one.process.terminate()
        await asyncio.to_thread(one.process.wait, 30)
        seen = statuses[200]
        while statuses[200] < seen + 50:
            await asyncio.sleep(0.02)
        over.set()
    assert set(statuses) == {200}
    assert two.process.poll() is None
