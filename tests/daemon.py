"""A running daemon for tests: as its own process (`process_daemon`), or inside the test's event loop (`daemon`)."""

import contextlib
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
import yaml
from aiohttp import web

from llm_mux import paths
from llm_mux.auth.keys import create_management_key
from llm_mux.auth.store import open_store
from llm_mux.config import parse
from llm_mux.server.app import make_app, start

ROOT = pathlib.Path(__file__).parents[1]
READY = "listening on "
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 15
KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SYSTEMROOT", "HOME", "DBUS_SESSION_BUS_ADDRESS")


def clean_environment(home: pathlib.Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a daemon that finds no key, proxy or setting of the person who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT}
    ours = {"LLM_MUX_HOME": str(home), "LLM_MUX_KEYRING": "file", "PYTHONUNBUFFERED": "1"}
    return {**kept, **ours, **(extra or {})}


def management_key(home: pathlib.Path) -> str:
    """The management key of the daemon that lives in `home`, made anew."""
    environment = clean_environment(home)
    return create_management_key(open_store(env=environment, data_dir=paths.data_dir(environment)))


def config_text(config: Mapping[str, Any]) -> str:
    """A configuration file: `config` on a free port, with nothing discovered."""
    return yaml.safe_dump(
        {"host": "127.0.0.1", "port": 0, "discover": False, "drain-timeout": 5, **config}, sort_keys=False
    )


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon inside the test's own event loop."""

    url: str
    app: web.Application
    home: pathlib.Path


@contextlib.asynccontextmanager
async def daemon(
    home: pathlib.Path, config: Mapping[str, Any], env: Mapping[str, str] | None = None, *, demo_url: str | None = None
) -> AsyncIterator[Daemon]:
    """The real application, made and run as `llm-mux serve` does it, on a free port; `home` is its LLM_MUX_HOME."""
    environment = clean_environment(home, env)
    loaded = parse(config_text(config), None, environment)
    store = open_store(env=environment, data_dir=paths.data_dir(environment))
    app = make_app(loaded, environment, store, demo_url)
    runner, port = await start(app, loaded.config.host, loaded.config.port)
    try:
        yield Daemon(f"http://127.0.0.1:{port}", app, home)
    finally:
        await runner.cleanup()


@dataclass(slots=True)
class ProcessDaemon:
    """`llm-mux serve` in a process of its own; `output` is what it printed so far."""

    process: "subprocess.Popen[str]"
    home: pathlib.Path
    url: str = ""
    output: list[str] = field(default_factory=list)
    _ready: threading.Event = field(default_factory=threading.Event)

    def follow(self) -> None:
        """Read what the process prints until it ends; notes the line that says where it listens."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            if READY in line and not self.url:
                self.url = line.split(READY, 1)[1].split()[0].rstrip("/")
                self._ready.set()
        self._ready.set()

    def wait_until_ready(self) -> None:
        """Return when it listens; raise with its output when it does not."""
        self._ready.wait(START_TIMEOUT_S)
        if not self.url:
            raise RuntimeError(f"llm-mux serve did not start:\n{''.join(self.output[-40:])}")


@contextlib.contextmanager
def process_daemon(
    home: pathlib.Path,
    config: Mapping[str, Any],
    *arguments: str,
    env: Mapping[str, str] | None = None,
    inside: Sequence[str] = (),
) -> Iterator[ProcessDaemon]:
    """Start `python -m llm_mux serve` on a free port with `config`; SIGTERM ends it and it has to exit with 0. `inside`
    are words before the command, of a program that becomes the daemon."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "config.yaml"
    path.write_text(config_text(config), encoding="utf-8")
    process = subprocess.Popen(
        [*inside, sys.executable, "-m", "llm_mux", "--config", str(path), "serve", *arguments],
        cwd=ROOT,
        env=clean_environment(home, env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = ProcessDaemon(process, home)
    reader = threading.Thread(target=running.follow, daemon=True)
    reader.start()
    try:
        running.wait_until_ready()
        yield running
    finally:
        _stop(running, reader)
    assert process.returncode == 0, "".join(running.output[-40:])


def _stop(running: ProcessDaemon, reader: threading.Thread) -> None:
    process = running.process
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        # Its workers too: one that stays would keep the output open, and whoever reads it would wait for good.
        for each in [*psutil.Process(process.pid).children(recursive=True), process]:
            each.kill()
        process.wait()
    reader.join(STOP_TIMEOUT_S)
    assert process.stdout is not None
    process.stdout.close()
