"""The commands with a real daemon: init, serve --demo, status, models, demo, stop."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Run
from tests.daemon import ProcessDaemon, process_daemon

FIVE = {"OpenAI chat", "OpenAI responses", "Anthropic", "Gemini", "Ollama"}


@pytest.fixture
def daemon(home: Path) -> Iterator[ProcessDaemon]:
    with process_daemon(home, {}, "--demo", env={"LLM_MUX_KEYRING": "file"}) as running:
        yield running


def test_a_running_daemon_is_found_listed_and_asked(run: Run, daemon: ProcessDaemon) -> None:
    status = json.loads(run("status", "--json").out)
    assert (status["running"], status["url"], status["pid"]) == (True, daemon.url, daemon.process.pid)
    models = json.loads(run("models", "--json").out)
    assert any(entry["id"].startswith("demo") for entry in models)
    shown = json.loads(run("demo", "--json").out)
    assert {each["protocol"] for each in shown["outcomes"] if each["ok"] and each["answer"]} == FIVE


def test_a_second_daemon_on_the_same_port_is_exit_code_3(daemon: ProcessDaemon) -> None:
    port = daemon.url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "llm_mux", "serve", "--port", port],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 3
    assert port in done.stderr


def test_demo_without_a_daemon_starts_one_and_leaves_nothing(run: Run, home: Path) -> None:
    done = run("demo")
    assert done.code == 0, done.err
    assert all(name.split()[0] in done.out for name in FIVE)
    assert not (home / "state").exists()
    assert run("status").code == 1
