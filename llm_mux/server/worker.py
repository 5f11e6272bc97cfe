"""One of several processes that serve together: which one it is, and the line to its supervisor.

Rule: a worker lives as long as its supervisor. When the line ends, it finishes what is under way and goes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, MutableMapping
from pathlib import Path

import msgspec
from aiohttp import web
from msgspec import Struct

WORKER = "LLM_MUX_WORKER"
READY = b"ready\n"
BARE = b"ready without accounts\n"
_BACKLOG = 256


class Worker(Struct, frozen=True):
    """`number` of `of`, from 0. `folder` has the doors of all and what they leave for their successors; `door` and
    `line` are descriptors, `supervisor` is a process."""

    number: int
    of: int
    folder: str
    supervisor: int
    door: int = -1
    line: int = -1

    @property
    def leads(self) -> bool:
        """Whether this one answers for all of them."""
        return self.number == 0

    @property
    def place(self) -> str:
        """The same for whoever is in this one's place after it, and for nobody else."""
        return f"{Path(self.folder).name}.{self.number}"

    def door_of(self, number: int) -> str:
        """Where a worker listens for the others."""
        return str(Path(self.folder) / f"{number}.sock")


def this_one(env: MutableMapping[str, str]) -> Worker | None:
    """Which worker this process is; it is taken out of the environment. None: it serves alone."""
    text = env.pop(WORKER, "")
    return msgspec.json.decode(text, type=Worker) if text else None


class Door(web.BaseSite):
    """A worker's own socket, for the other workers."""

    __slots__ = ("_sock",)

    def __init__(self, runner: web.BaseRunner, sock: socket.socket) -> None:
        super().__init__(runner, backlog=_BACKLOG)
        self._sock = sock

    @property
    def name(self) -> str:
        return f"unix:{self._sock.getsockname()}"

    async def start(self) -> None:
        await super().start()
        server = self._runner.server
        assert server is not None
        self._server = await asyncio.get_running_loop().create_unix_server(
            server, sock=self._sock, backlog=self._backlog
        )


async def open_door(runner: web.BaseRunner, worker: Worker) -> None:
    """Listen for the other workers."""
    sock = socket.socket(fileno=worker.door)
    sock.setblocking(False)
    await Door(runner, sock).start()


class _Line(asyncio.Protocol):
    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()


async def report(worker: Worker, orphaned: Callable[[], None], *, bare: bool) -> asyncio.Transport:
    """Say that this worker serves, `bare`: without an account; `orphaned` is called when the supervisor is gone."""
    sock = socket.socket(fileno=worker.line)
    sock.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_unix_connection(lambda: _Line(orphaned), sock=sock)
    transport.write(BARE if bare else READY)
    return transport
