"""`--json` on every command that lists something, against a daemon that has something to list."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from llm_mux.cli.root import root
from tests.cli.running import Run
from tests.cli.test_root import commands
from tests.daemon import ProcessDaemon, management_key, process_daemon

LISTING = {
    "accounts": ["accounts"],
    "accounts test": ["accounts", "test"],
    "billing balance": ["billing", "balance"],
    "billing credit": ["billing", "credit", "ann", "1.50"],
    "billing transactions": ["billing", "transactions", "ann"],
    "config show": ["config", "show"],
    "cooldown clear": ["cooldown", "clear"],
    "cooldown list": ["cooldown", "list"],
    "demo": ["demo"],
    "doctor": ["doctor", "--offline"],
    "keys create": ["keys", "create", "laptop"],
    "keys list": ["keys", "list"],
    "keys rotate": ["keys", "rotate", "laptop"],
    "keys update": ["keys", "update", "laptop", "--model", "demo*"],
    "logs": ["logs"],
    "models": ["models"],
    "prices show": ["prices", "show", "gpt-5"],
    "route explain": ["route", "explain", "demo"],
    "status": ["status"],
    "usage": ["usage"],
    "version": ["version"],
}
SAY_ONE_THING = {
    *("accounts disable", "accounts enable", "accounts export", "accounts import", "accounts rename"),
    *("completion", "config edit", "config path", "config validate", "connect", "help", "init", "keys jwt"),
    *("keys revoke", "login", "logout", "prices reset", "prices update", "restart", "run", "serve", "stop"),
    *(f"service {verb}" for verb in ("install", "start", "status", "stop", "uninstall")),
}
"""What changes, starts or says one thing and lists nothing."""


@pytest.fixture
def daemon(home: Path) -> Iterator[ProcessDaemon]:
    own = {"id": "own", "type": "openai-compatible", "base-url": "http://127.0.0.1:9/v1", "models": ["m"]}
    config = {"billing": {"enabled": True, "initial-balance": "1"}, "providers": [own]}
    with process_daemon(home, config, "--demo", env={"LLM_MUX_KEYRING": "file"}) as running:
        management_key(home)
        yield running


def logged(home: Path) -> None:
    """Waits for the first line of the daemon's log."""
    end = time.monotonic() + 10
    while not any(file.stat().st_size for file in home.rglob("llm-mux.log")):
        assert time.monotonic() < end, "nothing is logged"


def test_every_command_either_lists_with_json_or_says_one_thing() -> None:
    found = {}
    for path, command in commands(root):
        takes = any("--json" in option.opts for option in command.params)
        if takes or not isinstance(command, click.Group):
            found[path.removeprefix("llm-mux ")] = takes
    assert {name for name, takes in found.items() if takes} == set(LISTING)
    assert {name for name, takes in found.items() if not takes} == SAY_ONE_THING


def test_what_lists_prints_json_and_nothing_else(
    run: Run, daemon: ProcessDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_MUX_CONFIG", str(daemon.home / "config.yaml"))
    order = [
        "keys create",
        "billing credit",
        *(name for name in LISTING if name not in ("keys create", "billing credit")),
    ]
    for name in order:
        if name == "logs":
            # What the demo said is written a fifth of a second later.
            logged(daemon.home)
        done = run(*LISTING[name], "--json")
        lines = done.out.splitlines()
        try:
            shown = [json.loads(line) for line in lines] if name == "logs" else json.loads(done.out)
        except ValueError:
            raise AssertionError(f"{name} printed {done.out[:200]!r}, {done.err[:200]!r}") from None
        assert shown or name in ("cooldown list", "cooldown clear", "usage"), name
        assert done.code == 0 or name in ("doctor", "accounts test"), (name, done.err)
