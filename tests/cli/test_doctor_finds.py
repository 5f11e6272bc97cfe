"""What commonly goes wrong, brought about for real: `llm-mux doctor` finds each, and says the fix."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import keyring
import keyring.backends.fail
import psutil
import pytest

from llm_mux import __version__, paths
from llm_mux.cli.diagnosis import Knock, reachability
from llm_mux.cli.mistakes import confinement
from llm_mux.ledger.account_table import AccountRow
from tests.cli.running import Run
from tests.cli.test_accounts import configure, note
from tests.cli.test_doctor import free_port
from tests.daemon import process_daemon

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners, modes and sockets of Unix")
HERE = "http://127.0.0.1:{port}"


class Scene(NamedTuple):
    """A machine with a configuration whose `port` is free; `run` is the command line."""

    home: pathlib.Path
    user: pathlib.Path
    patch: pytest.MonkeyPatch
    port: int
    run: Run
    stack: contextlib.ExitStack


@dataclass(frozen=True, slots=True)
class Case:
    """What is brought about, and what is said of it: `{port}`, `{home}`, `{user}` stand for the scene's."""

    id: str
    arrange: Callable[[Scene], object]
    found: str
    said: str
    advice: str


def settings(scene: Scene, **more: Any) -> None:
    configure(scene.home, "http://127.0.0.1:1", port=scene.port, **more)


def record(scene: Scene, **more: Any) -> None:
    """What a daemon in this very process would have left."""
    made = {
        "pid": os.getpid(),
        "host": "127.0.0.1",
        "port": scene.port,
        "url": HERE.format(port=scene.port),
        "started": psutil.Process().create_time(),
        "version": __version__,
        "config": "",
    }
    paths.write_daemon(paths.DaemonRecord(**(made | more)))


def listens(scene: Scene, host: str = "127.0.0.1", family: int = socket.AF_INET) -> None:
    server = scene.stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((host, scene.port))
    server.listen()


def variable(name: str, value: str) -> Callable[[Scene], None]:
    return lambda scene: scene.patch.setenv(name, value.format(port=scene.port))


def owned_by_another(scene: Scene) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to somebody else")
    paths.private_dir(paths.data_dir())
    os.chown(paths.data_dir(), 12345, -1)


def a_file_for_a_folder(scene: Scene) -> None:
    shutil.rmtree(paths.data_dir(), ignore_errors=True)
    paths.data_dir().write_text("not a folder")


def readable(scene: Scene) -> None:
    settings(scene, **{"api-keys": ["sk-planted"]})
    (scene.home / "config.yaml").chmod(0o644)


def left(free: int) -> Callable[[Scene], None]:
    usage = (10**12, 10**12 - free, free)
    return lambda scene: scene.patch.setattr(shutil, "disk_usage", lambda _: type("U", (), {"free": usage[2]}))


def connected(tool: str, *more: str) -> Callable[[Scene], None]:
    return lambda scene: scene.run("connect", tool, "--yes", "--model", "demo", *more)


def connected_with(tool: str, name: str, value: str) -> Callable[[Scene], None]:
    def arrange(scene: Scene) -> None:
        connected(tool)(scene)
        scene.patch.setenv(name, value)

    return arrange


def in_a_project(tool: str, name: str, text: str) -> Callable[[Scene], None]:
    def arrange(scene: Scene) -> None:
        connected(tool)(scene)
        project = scene.user / "project"
        (project / name).parent.mkdir(parents=True)
        (project / name).write_text(text)
        scene.patch.chdir(project)

    return arrange


def keyless(scene: Scene) -> None:
    connected("aider")(scene)
    settings(scene, **{"api-keys": ["sk-planted"]})


def a_key_that_was_refused(scene: Scene) -> None:
    scene.run("login", "openai", "--api-key", "--no-check", "-", stdin="sk-planted\n")
    why = "OpenAI refused the key"
    note(scene.home, AccountRow(provider="openai", label="default", way="key", state="resting", last_error=why))


def locked_keyring(scene: Scene) -> None:
    scene.patch.setenv("LLM_MUX_KEYRING", "os")
    scene.stack.callback(keyring.set_keyring, keyring.get_keyring())
    keyring.set_keyring(keyring.backends.fail.Keyring())


CASES = (
    Case("a port of somebody else", listens, "ports fault", "{port} is taken by process", "another port"),
    Case(
        "a daemon that hangs",
        lambda scene: (listens(scene), record(scene)),
        "daemon fault",
        "does not answer",
        "llm-mux restart",
    ),
    Case(
        "a daemon of another version",
        lambda scene: record(scene, version="0.0.1"),
        "daemon doubtful",
        "runs version 0.0.1",
        "llm-mux restart",
    ),
    Case(
        "the record of a daemon that was killed",
        lambda scene: record(scene, pid=2**22 + 1),
        "daemon doubtful",
        "did not end in order",
        "llm-mux logs",
    ),
    Case("a folder of root", owned_by_another, "files fault", "belongs to another user", 'sudo chown -R "$USER"'),
    Case("a file where a folder has to be", a_file_for_a_folder, "files fault", "is none", "move {home}/data away"),
    Case(
        "keys that others can read", readable, "files doubtful", "config.yaml has keys", "chmod 600 {home}/config.yaml"
    ),
    Case("a full disk", left(0), "disk fault", "0 MB are left", "make room"),
    Case("a disk that is nearly full", left(100 << 20), "disk doubtful", "100 MB are left", "retention-days"),
    Case("a locked keyring", locked_keyring, "secrets fault", "", "LLM_MUX_KEYRING=file"),
    Case(
        "a version where none belongs",
        variable("ANTHROPIC_BASE_URL", HERE + "/v1"),
        "tools doubtful",
        "adds the version",
        "export ANTHROPIC_BASE_URL=http://127.0.0.1:{port}",
    ),
    Case(
        "no version where one belongs",
        variable("OPENAI_BASE_URL", "http://localhost:{port}/"),
        "tools doubtful",
        "wants the version",
        "export OPENAI_BASE_URL=http://localhost:{port}/v1",
    ),
    Case(
        "https to the daemon", variable("OLLAMA_HOST", "https://127.0.0.1:{port}"), "tools doubtful", "https", "export"
    ),
    Case(
        "no certificates",
        variable("SSL_CERT_FILE", "/nowhere.pem"),
        "tls doubtful",
        "/nowhere.pem",
        "unset SSL_CERT_FILE",
    ),
    Case(
        "somebody else at localhost",
        lambda scene: listens(scene, "::1", socket.AF_INET6),
        "localhost doubtful",
        "[::1]:{port}",
        "http://127.0.0.1:{port}",
    ),
    Case(
        "another installation first on the PATH",
        lambda scene: scene.patch.setenv("PATH", str(elsewhere(scene))),
        "version doubtful",
        "comes first on the PATH",
        "first on the PATH",
    ),
    Case(
        "a proxy for this machine",
        variable("HTTP_PROXY", HERE),
        "proxy doubtful",
        "may send requests for 127.0.0.1",
        "export NO_PROXY=",
    ),
    Case(
        "a tool that is connected to another address",
        connected("aider", "--url", "http://127.0.0.1:9"),
        "tools doubtful",
        "connected to another address",
        "llm-mux connect aider",
    ),
    Case(
        "a key beside the token",
        connected_with("claude-code", "ANTHROPIC_API_KEY", "sk-planted"),
        "tools doubtful",
        "$ANTHROPIC_API_KEY",
        "unset ANTHROPIC_API_KEY",
    ),
    Case(
        "an address in the environment that beats the file",
        connected_with("qwen-code", "OPENAI_BASE_URL", "https://elsewhere.example/v1"),
        "tools doubtful",
        "$OPENAI_BASE_URL",
        "unset OPENAI_BASE_URL",
    ),
    Case(
        "a project with settings of its own",
        in_a_project(
            "claude-code", ".claude/settings.local.json", '{"env": {"ANTHROPIC_BASE_URL": "https://x.example"}}'
        ),
        "tools doubtful",
        "settings.local.json names another address",
        "llm-mux run claude-code",
    ),
    Case(
        "a project with an address of its own",
        in_a_project("qwen-code", ".env", "OPENAI_BASE_URL=https://x.example/v1\n"),
        "tools doubtful",
        ".env names another address",
        "llm-mux run qwen-code",
    ),
    Case("a tool without a client key", keyless, "tools doubtful", "no client key", "llm-mux keys create"),
    Case(
        "a key that the provider refused",
        a_key_that_was_refused,
        "accounts doubtful",
        "refused",
        "llm-mux accounts test",
    ),
)


def elsewhere(scene: Scene) -> pathlib.Path:
    folder = scene.user / "bin"
    folder.mkdir()
    (folder / "llm-mux").write_text("#!/bin/sh\n")
    (folder / "llm-mux").chmod(0o755)
    return folder


@pytest.fixture
def scene(run: Run, home: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    user = tmp_path / "user"
    user.mkdir()
    monkeypatch.setenv("HOME", str(user))
    for name in list(os.environ):
        if name.upper().endswith(("_PROXY", "_BASE_URL", "_API_KEY")) or name in (
            "SSL_CERT_FILE",
            "NODE_EXTRA_CA_CERTS",
        ):
            monkeypatch.delenv(name)
    with contextlib.ExitStack() as stack:
        made = Scene(home, user, monkeypatch, free_port(), run, stack)
        settings(made)
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_what_commonly_goes_wrong_is_found_with_its_fix(scene: Scene, case: Case) -> None:
    case.arrange(scene)
    done = scene.run("doctor", "--offline", "--json")
    found = json.loads(done.out)
    places = {"port": scene.port, "home": scene.home, "user": scene.user}
    said, advice = case.said.format(**places), case.advice.format(**places)
    alike = [each for each in found if f"{each['what']} {each['verdict']}" == case.found]
    assert any(said in each["said"] and advice in each["advice"] for each in alike), found
    assert done.code == (1 if any(each["verdict"] == "fault" for each in found) else 0)
    assert "planted" not in done.out


def test_a_model_that_is_gone_is_found(scene: Scene) -> None:
    with process_daemon(scene.home, {}, "--demo", env={"LLM_MUX_KEYRING": "file"}) as daemon:
        for model, gone in (("demo", False), ("gone-1", True)):
            scene.run("connect", "codex", "--yes", "--url", daemon.url, "--model", model)
            found = json.loads(scene.run("doctor", "--offline", "--json").out)
            assert any(each["said"] == "there are none but the demo's" for each in found)
            said = [each for each in found if "gone-1" in each["said"]]
            assert bool(said) is gone
            assert all(each["advice"] == "llm-mux connect codex --model NAME" for each in said)


@pytest.mark.parametrize(
    ("files", "host", "runs", "found"),
    [
        ({}, "127.0.0.1", False, []),
        ({".dockerenv": ""}, "127.0.0.1", True, ["container"]),
        ({".dockerenv": ""}, "0.0.0.0", True, []),
        ({"run/.containerenv": ""}, "localhost", True, ["container"]),
        ({"proc/version": "Linux 6.6 microsoft-standard-WSL2"}, "127.0.0.1", False, ["wsl"]),
        ({"proc/version": "Linux 6.6 microsoft-standard-WSL2"}, "127.0.0.1", True, []),
        ({"proc/version": "Linux 6.1 Debian"}, "127.0.0.1", False, []),
    ],
)
def test_containers_and_wsl_are_told(
    tmp_path: pathlib.Path, files: dict[str, str], host: str, runs: bool, found: list[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [each.what for each in confinement(tmp_path, host, runs=runs)] == found


def test_a_proxy_that_opens_tls_comes_with_its_own_advice() -> None:
    error = "x has a certificate that is not trusted (self-signed certificate in certificate chain)."
    (finding,) = reachability([Knock("x", error=error)])
    assert "SSL_CERT_FILE" in finding.advice
