"""`llm-mux service` and `completion`: files as they are committed here, read by the programs they are for."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path, PurePosixPath, PureWindowsPath
from xml.etree import ElementTree

import pytest

from llm_mux.cli import units
from tests.cli.running import Run
from tests.daemon import process_daemon

GOLDEN = Path(__file__).parent / "golden"
POSIX = units.Program(
    ("/opt/my tools/bin/python", "-m", "llm_mux", "--config", "/etc/100%/a$b.yaml", "serve"),
    {"LLM_MUX_HOME": "/srv/mux home", "LLM_MUX_KEYRING": "file"},
    PurePosixPath("/etc/mux/environment"),
    PurePosixPath("/var/log/mux/serve.out"),
)
WINDOWS = units.Program(
    (r"C:\Program Files\Python\python.exe", "-m", "llm_mux", "serve"),
    {"LLM_MUX_KEYRING": "file"},
    PureWindowsPath(r"C:\Users\a&b\environment"),
    PureWindowsPath(r"C:\Users\a&b\serve.out"),
)
SYSTEMD = units.systemd(POSIX, PurePosixPath("/users/ada"), "ada")
LAUNCHD = units.launchd(POSIX, PurePosixPath("/users/ada"), 501)
TASK = units.windows(WINDOWS, PureWindowsPath(r"C:\Users\a&b\data"), "HOST\\a&b")


@pytest.mark.parametrize(
    ("name", "unit", "encoding"),
    [("llm-mux.service", SYSTEMD, "utf-8"), ("dev.llm-mux.plist", LAUNCHD, "utf-8"), ("task.xml", TASK, "utf-16")],
)
def test_the_files_are_what_they_were(name: str, unit: units.Unit, encoding: str) -> None:
    assert unit.content.decode(encoding) == (GOLDEN / name).read_text(encoding="utf-8")


def test_launchd_reads_what_was_meant() -> None:
    read = plistlib.loads(LAUNCHD.content)
    assert read["ProgramArguments"] == list(POSIX.arguments)
    assert read["EnvironmentVariables"] == dict(POSIX.environment)
    assert read["KeepAlive"] == {"SuccessfulExit": False}


def test_the_task_scheduler_reads_what_was_meant() -> None:
    root = ElementTree.fromstring(TASK.content.decode("utf-16").partition("?>")[2])
    space = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
    line = root.findtext(f"{space}Actions/{space}Exec/{space}Arguments")
    assert line is not None
    assert '"C:\\Program Files\\Python\\python.exe" -m llm_mux serve' in line
    assert 'set "LLM_MUX_KEYRING=file" && ' in line
    assert root.findtext(f"{space}Triggers/{space}LogonTrigger/{space}UserId") == "HOST\\a&b"


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        assert b"ExecStart=" in SYSTEMD.content
        return
    program = units.Program(
        (sys.executable, "-m", "llm_mux", "serve"), {}, tmp_path / "environment", tmp_path / "serve.out"
    )
    file = tmp_path / "llm-mux.service"
    file.write_bytes(units.systemd(program, tmp_path, "ada").content)
    done = subprocess.run([tool, "verify", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose systemctl and loginctl write down how they were called; `fail` names the word that fails."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("systemctl", "loginctl"):
        program = folder / name
        program.write_text(
            f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/calls\n'
            f'case "$*" in *$(cat {tmp_path}/fail 2>/dev/null || echo nothing)*) echo it is broken >&2; exit 1;; esac\n'
        )
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path


def test_a_service_is_installed_asked_stopped_started_and_taken_away(run: Run, system: Path) -> None:
    file = system / ".config" / "systemd" / "user" / "llm-mux.service"
    assert run("service", "status").code == 1
    assert "service install" in run("service", "start").err
    done = run("service", "install")
    assert done.code == 0, done.err
    assert f"Environment=LLM_MUX_HOME={system / 'home'}" in file.read_text()
    assert f"ExecStart={sys.executable} -m llm_mux serve" in file.read_text()
    for verb in ("status", "stop", "start", "uninstall"):
        assert run("service", verb).code == 0
    assert not file.exists()
    calls = (system / "calls").read_text()
    for words in ("--user daemon-reload", "enable --now llm-mux.service", "loginctl enable-linger", "disable --now"):
        assert words in calls


def test_what_the_system_says_is_passed_on(run: Run, system: Path) -> None:
    (system / "fail").write_text("enable-linger")
    done = run("service", "install")
    assert done.code == 0
    assert "it is broken" in done.err
    assert "sudo loginctl enable-linger" in done.err
    (system / "fail").write_text("--now")
    done = run("service", "install")
    assert done.code == 1
    assert done.err.endswith("failed: it is broken\n")


def test_print_changes_nothing(run: Run, system: Path) -> None:
    done = run("service", "install", "--print")
    assert "ExecStart=" in done.out
    assert "# then: systemctl --user enable --now llm-mux.service" in done.out
    assert not (system / "calls").exists()
    assert not (system / ".config").exists()


TRY = {
    "bash": 'COMP_WORDS=(llm-mux conn); COMP_CWORD=1; COMP_LINE="llm-mux conn"; _llm_mux_completion llm-mux; '
    'echo "${COMPREPLY[@]}"',
    "zsh": "",
    "fish": "complete --do-complete 'llm-mux conn'",
}


@pytest.mark.parametrize("shell", list(TRY))
def test_a_shell_completes_commands(run: Run, shell: str, tmp_path: Path) -> None:
    script = run("completion", shell).out
    assert "_LLM_MUX_COMPLETE" in script
    program = shutil.which(shell)
    if program is None or not TRY[shell]:
        assert "llm-mux" in script
        return
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    (tmp_path / "script").write_text(f"{script}\n{TRY[shell]}\n")
    done = subprocess.run([program, str(tmp_path / "script")], env=env, capture_output=True, text=True, check=False)
    assert "connect" in done.stdout, done.stderr


def test_a_daemon_without_accounts_says_how_to_get_one_and_goes_on(tmp_path: Path) -> None:
    with process_daemon(tmp_path / "daemon", {"discover": True}) as daemon:
        with urllib.request.urlopen(f"{daemon.url}/healthz") as answer:
            assert answer.status == 200
    said = "".join(daemon.output)
    assert said.count("\n  llm-mux ") == 3
    assert "llm-mux login gemini --api-key" in said
