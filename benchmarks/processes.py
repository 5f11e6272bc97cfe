"""The processes of a benchmark run: the mock and the load share one core, each server under test has the other."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence

import psutil
import yaml

HERE = pathlib.Path(__file__).resolve().parent
NOTHING: Mapping[str, object] = {}
PACES = ("-pace-5", "-pace-100", "-then-3")
TESTED, OTHERS = ([1], [0]) if (os.cpu_count() or 1) > 1 else ([0], [0])


class Running:
    """A started process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._handle = psutil.Process(process.pid)

    def cpu(self) -> float:
        """Seconds of CPU so far, of all its threads."""
        if sys.platform == "linux":
            # The process's own clock (`clock_getcpuclockid`): what /proc says is in steps of 10 ms.
            return time.clock_gettime(~self.process.pid << 3 | 2)
        times = self._handle.cpu_times()
        return float(times.user + times.system)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def rss(self) -> float:
        return self._handle.memory_info().rss / 1e6


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def pin(pid: int) -> None:
    """The process keeps to the core of what is tested."""
    psutil.Process(pid).cpu_affinity(TESTED)


def _start(arguments: list[str], cores: list[int], env: dict[str, str], ready: str) -> Running:
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
    psutil.Process(process.pid).cpu_affinity(cores)
    assert process.stdout is not None
    while ready not in (line := process.stdout.readline()):
        if not line:
            raise RuntimeError(f"{arguments} ended before it was ready")
    return Running(process)


def _environment(home: pathlib.Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
    return {**kept, "LLM_MUX_HOME": str(home), "LLM_MUX_KEYRING": "file", "PYTHONUNBUFFERED": "1"}


def _config(home: pathlib.Path, mock: int, key: str, settings: Mapping[str, object]) -> pathlib.Path:
    home.mkdir(parents=True, exist_ok=True)
    base = f"http://127.0.0.1:{mock}"
    same, other, third = ([name + pace for pace in ("", *PACES)] for name in ("bench", "bench-other", "bench-third"))
    providers = [
        {"id": "same", "type": "openai-compatible", "base-url": f"{base}/v1", "models": same},
        {"id": "other", "type": "anthropic-compatible", "base-url": base, "models": other, "api-key": "k"},
        {"id": "third", "type": "openai", "base-url": f"{base}/v1", "models": third, "api-key": "k"},
    ]
    path = home / "config.yaml"
    base_settings = {"port": 0, "discover": False, "api-keys": [key], "providers": providers}
    path.write_text(yaml.safe_dump(base_settings | dict(settings)))
    return path


def started_mock(folder: pathlib.Path, port: int) -> Running:
    """The mock upstream, on the core of the load."""
    command = [sys.executable, str(HERE / "mock_upstream.py"), str(port)]
    return _start(command, OTHERS, _environment(folder / "home"), "mock on")


def started_daemon(
    code: str, home: pathlib.Path, mock: int, key: str, cores: list[int], settings: Mapping[str, object] = NOTHING
) -> tuple[int, Running]:
    """The port and the process of a daemon that Python code starts, with the mock behind it."""
    port, config = free_port(), _config(home, mock, key, settings)
    command = [sys.executable, "-c", code, "--config", str(config), "serve", "--port", str(port)]
    return port, _start(command, cores, _environment(home), "listening on")


@contextlib.contextmanager
def everything(
    folder: pathlib.Path, key: str, settings: Mapping[str, object] = NOTHING, before: Sequence[str] = ()
) -> Iterator[tuple[dict[str, int], dict[str, Running]]]:
    """All processes of a run: the port and the process of each way. `settings` are llm-mux's beside the usual ones, and
    `before` stands before the commands of the servers under test."""
    os.sched_setaffinity(0, OTHERS)
    env, started = _environment(folder / "home"), []
    mock, floor, mux = free_port(), free_port(), free_port()
    try:
        started.append(started_mock(folder, mock))
        relay = [*before, sys.executable, str(HERE / "floor.py"), str(floor), f"http://127.0.0.1:{mock}"]
        started.append(_start(relay, TESTED, env, "floor ready"))
        config = _config(folder / "home", mock, key, settings)
        serve = [*before, sys.executable, "-m", "llm_mux", "--config", str(config), "serve", "--port", str(mux)]
        daemon = _start(serve, TESTED, env, "listening on")
        started.append(daemon)
        ports = {"direct": mock, "floor": floor, "splice": mux, "translate": mux}
        yield ports, {"direct": started[0], "floor": started[1], "splice": daemon, "translate": daemon}
    finally:
        for running in reversed(started):
            running.stop()


def kept_connections(port: int) -> float:
    """Of a daemon's requests to its providers so far, the share that went over a connection that was there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        rows = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#"))
    opened, asked = rows["llm_mux_upstream_connections_total"], rows["llm_mux_upstream_requests_total"]
    return 1 - float(opened) / float(asked)


def start_times(folder: pathlib.Path) -> dict[str, float]:
    """Seconds: process start to the first 200, and `llm-mux --version`; the best of five."""
    firsts, versions = [], []
    env = _environment(folder / "start")
    for _ in range(5):
        port, began = free_port(), time.perf_counter()
        serve = [sys.executable, "-m", "llm_mux", "serve", "--port", str(port)]
        with subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env) as process:
            while not _alive(port):
                time.sleep(0.005)
            firsts.append(time.perf_counter() - began)
            process.terminate()
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "llm_mux", "--version"], env=env, check=True, capture_output=True)
        versions.append(time.perf_counter() - began)
    return {"start to the first 200": min(firsts), "llm-mux --version": min(versions)}


def _alive(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
