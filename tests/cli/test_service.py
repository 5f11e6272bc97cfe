"""`llm-mux service` and `completion`: files as they are committed here, read by the programs they are for."""

from __future__ import annotations

import os
import plistlib
import re
import select
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path, PurePosixPath, PureWindowsPath
from xml.etree import ElementTree

import pytest

from llm_mux.cli import units
from tests.cli.running import Run
from tests.daemon import process_daemon
from tests.services import missing

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


# The keys of launchd.plist(5) that an agent may have, as far as ours could want them, with their types.
LAUNCHD_KEYS = {
    "Label": str,
    "ProgramArguments": list,
    "EnvironmentVariables": dict,
    "RunAtLoad": bool,
    "KeepAlive": dict,
    "ExitTimeOut": int,
    "ProcessType": str,
    "StandardOutPath": str,
    "StandardErrorPath": str,
}
# The elements of the task scheduler's schema, version 1.2: those of a sequence have their order, those of Settings none.
TASK_ORDER = {
    "Task": ("RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"),
    "LogonTrigger": ("Enabled", "UserId"),
    "Principal": ("UserId", "LogonType", "RunLevel"),
    "Exec": ("Command", "Arguments"),
    "RestartOnFailure": ("Interval", "Count"),
}
TASK_VALUES = {
    "LogonType": "InteractiveToken|Password|S4U|Group",
    "RunLevel": "LeastPrivilege|HighestAvailable",
    "MultipleInstancesPolicy": "Parallel|Queue|IgnoreNew|StopExisting",
    "ExecutionTimeLimit": r"PT\d+[SMH]",
    "Interval": r"PT\d+M",
    "Count": r"[1-9]\d?",
    "Enabled": "true|false",
    "Hidden": "true|false",
    "DisallowStartIfOnBatteries": "true|false",
    "StopIfGoingOnBatteries": "true|false",
}


def test_launchd_knows_every_key() -> None:
    read = plistlib.loads(LAUNCHD.content)
    assert {name: type(value) for name, value in read.items()} == LAUNCHD_KEYS
    assert all(isinstance(word, str) for word in read["ProgramArguments"])
    assert read["ProcessType"] in ("Background", "Standard", "Adaptive", "Interactive")
    assert all(PurePosixPath(read[name]).is_absolute() for name in ("StandardOutPath", "StandardErrorPath"))


def test_the_task_keeps_to_the_schema_of_the_task_scheduler() -> None:
    assert TASK.content.startswith(b"\xff\xfe")
    root = ElementTree.fromstring(TASK.content.decode("utf-16").partition("?>")[2])
    assert root.get("version") == "1.2"
    ids = {each.get("id") for each in root.iter() if each.get("id")}
    for each in root.iter():
        name = each.tag.rpartition("}")[2]
        children = tuple(child.tag.rpartition("}")[2] for child in each)
        assert name not in TASK_ORDER or children == TASK_ORDER[name]
        assert name not in TASK_VALUES or re.fullmatch(TASK_VALUES[name], each.text or ""), name
        assert each.get("Context") in (None, *ids)
        assert children or (each.text or "").strip(), name


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


SHELLS = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
    "fish": ("fish", "--no-config", "-i"),
}
"""Interactive, without the settings of whoever runs the tests."""
FIRST = {"zsh": "autoload -U compinit; compinit -u -D; "}


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, words: tuple[str, ...], env: dict[str, str]) -> None:
        spawn = (sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])")
        self._shell = subprocess.Popen(
            (*spawn, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, bufsize=0, start_new_session=True
        )
        self.seen = ""

    def type(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(text.encode())

    def shows(self, text: str, within_s: float = 30) -> bool:
        """Whether this comes to stand there. Marks of the terminal are left out."""
        assert self._shell.stdout is not None
        end = time.monotonic() + within_s
        while text not in re.sub(r"\x1b(?:\[[0-9;?<>=]*[a-zA-Z]|\][^\x07]*\x07|[()=>][A-Z0-9]?)", "", self.seen):
            ready, _, _ = select.select([self._shell.stdout], [], [], max(0, end - time.monotonic()))
            read = self._shell.stdout.read(4096) if ready else b""
            if not read:
                return False
            self.seen += read.decode(errors="replace")
        return True

    def close(self) -> None:
        """The shell's own terminal goes with the process that has it, and the shell with that."""
        self._shell.kill()
        self._shell.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of Unix")
@pytest.mark.parametrize("shell", list(SHELLS))
def test_the_tab_key_completes_commands_options_and_values(run: Run, shell: str, tmp_path: Path) -> None:
    script = run("completion", shell).out
    assert "_LLM_MUX_COMPLETE" in script
    if shutil.which(shell) is None:
        missing(f"there is no {shell} on this machine")
    (tmp_path / "script").write_text(f"{script}\necho is read\n")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {
        "PATH": path,
        "HOME": str(tmp_path),
        "TERM": "dumb",
        "LANG": "C.UTF-8",
        "LLM_MUX_HOME": str(tmp_path / "home"),
    }
    terminal = Terminal(SHELLS[shell], env)
    try:
        terminal.type(f"{FIRST.get(shell, '')}source {tmp_path / 'script'}\n")
        assert terminal.shows("is read"), terminal.seen
        for begun, whole in (("conn", "connect"), ("connect claude", "claude-code"), ("serve --dem", "--demo")):
            terminal.type(f"llm-mux {begun}\t")
            assert terminal.shows(f"llm-mux {begun[: begun.rfind(' ') + 1]}{whole}"), terminal.seen
            terminal.type("\x15")
    finally:
        terminal.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_daemon_without_accounts_says_how_to_get_one_and_goes_on(tmp_path: Path, workers: str) -> None:
    with process_daemon(tmp_path / "daemon", {"discover": True}, "--workers", workers) as daemon:
        with urllib.request.urlopen(f"{daemon.url}/healthz") as answer:
            assert answer.status == 200
    said = "".join(daemon.output)
    assert said.count("\n  llm-mux ") == 3
    assert "llm-mux login gemini --api-key" in said
