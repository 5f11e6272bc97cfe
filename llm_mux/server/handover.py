"""Starting this daemon's successor with the sockets that it listens on: `llm-mux restart` refuses no connection.

The successor is a new process with the same command line, so that it runs what is installed by now. It takes the
listening sockets as they are, connections that wait in them included; when it serves, this process stops accepting
and finishes what is under way. A successor that does not come up changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from msgspec import Struct
from msgspec import json as msgjson

from llm_mux import log, paths
from llm_mux.server.address import Address, Doors

SOCKETS = "LLM_MUX_HANDOVER"
DETACHED = "LLM_MUX_DETACHED"
START_S = 60.0
LINGER_S = 1.0
_LOOK_S = 0.02


class Report(Struct, frozen=True):
    """How a handover went, for `llm-mux restart`: the successor's process, or why there is none."""

    pid: int | None = None
    error: str | None = None


def report_file() -> Path:
    return paths.state_dir() / "restart.json"


def inherited(env: MutableMapping[str, str]) -> dict[Address, list[socket.socket]]:
    """The sockets that a predecessor left in the environment; they are taken out of it."""
    taken: dict[Address, list[socket.socket]] = {}
    for host, port, numbers in json.loads(env.pop(SOCKETS, "[]")):
        taken[host, port] = [socket.socket(fileno=number) for number in numbers]
    for sockets in taken.values():
        for each in sockets:
            each.setblocking(False)
            os.set_inheritable(each.fileno(), False)
    return taken


async def succeed(doors: Doors, *, detached: bool) -> bool:
    """Start the successor and wait until it serves; whether it does. Writes the report."""
    report = await _started(doors, detached)
    await asyncio.to_thread(paths.write_private, report_file(), msgjson.encode(report))
    if report.error is not None:
        log.logger.error("restart.failed", reason=report.error)
        return False
    log.logger.info("restart.done", successor=report.pid)
    return True


async def _started(doors: Doors, detached: bool) -> Report:
    try:
        child = await asyncio.to_thread(_spawn, doors, detached)
    except OSError as error:
        return Report(error=f"the new process could not be started: {error}")
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if (code := child.poll()) is not None:
            return Report(error=f"the new process ended with exit code {code}; what it printed says why")
        record = await asyncio.to_thread(paths.read_daemon)
        if record is not None and record.pid == child.pid:
            return Report(pid=child.pid)
        await asyncio.sleep(_LOOK_S)
    child.kill()
    await asyncio.to_thread(child.wait)
    return Report(error=f"the new process did not listen within {START_S:g} s")


def _spawn(doors: Doors, detached: bool) -> subprocess.Popen[bytes]:
    numbers = {address: [each.fileno() for each in sockets] for address, sockets in doors.open.items()}
    env = {**os.environ, SOCKETS: json.dumps([[*address, fds] for address, fds in numbers.items()])}
    if detached:
        env[DETACHED] = "1"
    passed = [fd for fds in numbers.values() for fd in fds]
    return subprocess.Popen(command(), env=env, pass_fds=passed, stdin=subprocess.DEVNULL)  # noqa: S603  # our own


def command() -> list[str]:
    """This process's own command line, for another one that does the same."""
    return [sys.executable, "-m", "llm_mux", *sys.argv[1:]]


def tell_systemd(state: str, env: Mapping[str, str]) -> None:
    """Where the daemon is a unit of systemd with `NotifyAccess=all`: who the main process is now, and how it is."""
    where = env.get("NOTIFY_SOCKET", "")
    if not where or not hasattr(socket, "AF_UNIX"):
        return
    place = "\0" + where[1:] if where.startswith("@") else where
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        try:
            line.sendto(state.encode(), place)
        except OSError as error:
            log.logger.warning("systemd.unreachable", reason=str(error))
