"""What systemd, launchd and the Windows task scheduler are told so that the daemon runs whenever the user is there.

Rule: pure functions from a `Program` to the text of a file and to the commands that use it; nobody here runs anything.
No secret is written into them: what the environment holds stays there.
"""

from __future__ import annotations

import plistlib
from collections.abc import Mapping
from pathlib import PurePath
from xml.sax.saxutils import escape

from msgspec import Struct

LABEL = "dev.llm-mux"
STOP_S = 40
"""A little longer than `drain-timeout` lets running answers finish."""


class Program(Struct, frozen=True):
    """The daemon as it is to be started. `environment_file`: variables that a person puts there, keys for instance;
    `output`: what the daemon prints before its log is open."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    environment_file: PurePath
    output: PurePath


class Command(Struct, frozen=True):
    """A command line; `advice` is what to do when it fails, and None where that ends the whole."""

    words: tuple[str, ...]
    advice: str | None = None


class Unit(Struct, frozen=True):
    """One system's way: the file, and the commands for each verb."""

    file: PurePath
    content: bytes
    install: tuple[Command, ...]
    uninstall: tuple[Command, ...]
    start: tuple[Command, ...]
    stop: tuple[Command, ...]
    status: Command


def systemd(program: Program, home: PurePath, user: str) -> Unit:
    """A unit of the user's own systemd; lingering keeps it when the user logs out, and starts it with the machine."""
    words = ("systemctl", "--user")
    text = _SYSTEMD.format(
        environment="".join(f"Environment={_quoted(f'{k}={v}')}\n" for k, v in sorted(program.environment.items())),
        environment_file=_escaped(str(program.environment_file)),
        command=" ".join(_quoted(word).replace("$", "$$") for word in program.arguments),
        stop_s=STOP_S,
    )
    linger = Command(
        ("loginctl", "enable-linger", user), f"it ends when you log out; sudo loginctl enable-linger {user}"
    )
    reload = Command((*words, "daemon-reload"))
    return Unit(
        home / ".config" / "systemd" / "user" / "llm-mux.service",
        text.encode(),
        install=(reload, Command((*words, "enable", "--now", "llm-mux.service")), linger),
        uninstall=(Command((*words, "disable", "--now", "llm-mux.service"), "it was not enabled"), reload),
        start=(Command((*words, "start", "llm-mux.service")),),
        stop=(Command((*words, "stop", "llm-mux.service")),),
        status=Command((*words, "is-active", "--quiet", "llm-mux.service")),
    )


def launchd(program: Program, home: PurePath, uid: int) -> Unit:
    """An agent of the user's session: started at login, and again when it ends with an error."""
    file = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
    domain = f"gui/{uid}"
    content = plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": list(program.arguments),
            "EnvironmentVariables": dict(sorted(program.environment.items())),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ExitTimeOut": STOP_S,
            "ProcessType": "Interactive",
            "StandardOutPath": str(program.output),
            "StandardErrorPath": str(program.output),
        },
        sort_keys=False,
    )
    load = Command(("launchctl", "bootstrap", domain, str(file)))
    unload = Command(("launchctl", "bootout", f"{domain}/{LABEL}"), "it was not loaded")
    return Unit(
        file,
        content,
        install=(unload, load),
        uninstall=(unload,),
        start=(Command(("launchctl", "bootstrap", domain, str(file)), "it is loaded already"), _kickstart(domain)),
        stop=(Command(("launchctl", "bootout", f"{domain}/{LABEL}")),),
        status=Command(("launchctl", "print", f"{domain}/{LABEL}")),
    )


def _kickstart(domain: str) -> Command:
    return Command(("launchctl", "kickstart", f"{domain}/{LABEL}"))


def windows(program: Program, data: PurePath, user: str) -> Unit:
    """A task that starts when the user logs on. Variables are set by the command that starts it: tasks have none."""
    file = data / "llm-mux-task.xml"
    sets = "".join(f'set "{name}={value}" && ' for name, value in sorted(program.environment.items()))
    line = f'/d /c "{sets}{" ".join(_cmd(word) for word in program.arguments)} >> {_cmd(str(program.output))} 2>&1"'
    text = _WINDOWS.format(user=escape(user), arguments=escape(line))
    name = ("/TN", "llm-mux")
    run, end = Command(("schtasks", "/Run", *name)), ("schtasks", "/End", *name)
    return Unit(
        file,
        text.encode("utf-16"),
        install=(Command(("schtasks", "/Create", *name, "/XML", str(file), "/F")), run),
        uninstall=(Command(end, "it was not running"), Command(("schtasks", "/Delete", *name, "/F"))),
        start=(run,),
        stop=(Command(end),),
        status=Command(("schtasks", "/Query", *name)),
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """A word of a systemd command line."""
    made = _escaped(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{made}"' if not word or any(sign in word for sign in " \t'\"\\;") else made


def _cmd(word: str) -> str:
    return f'"{word}"' if not word or any(sign in word for sign in " &()^%!") else word


_SYSTEMD = """\
# Made by `llm-mux service install`; `llm-mux service uninstall` takes it away.
[Unit]
Description=llm-mux: one daemon between coding tools and model accounts

[Service]
Type=notify
NotifyAccess=all
{environment}EnvironmentFile=-{environment_file}
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
TimeoutStopSec={stop_s}
Restart=on-failure
RestartSec=1
RestartPreventExitStatus=2 3

[Install]
WantedBy=default.target
"""

_WINDOWS = """\
<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>llm-mux: one daemon between coding tools and model accounts</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <Enabled>true</Enabled>
      <UserId>{user}</UserId>
    </LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>{user}</UserId>
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Hidden>true</Hidden>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>3</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>cmd.exe</Command>
      <Arguments>{arguments}</Arguments>
    </Exec>
  </Actions>
</Task>
"""
