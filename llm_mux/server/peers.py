"""The other workers of this daemon, over sockets that only its user can reach: asking one, telling all.

Rule: nobody waits long. The sockets belong to the supervisor: what is asked of a worker that is being started waits.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector, web
from msgspec import Struct

from llm_mux.routing.rests import Kept, Place
from llm_mux.server.worker import Worker

ROOT = "/_worker"
PEER = "X-Llm-Mux-Peer"
_PATIENCE_S = 1.0


class Clearing(Struct, frozen=True):
    """Rests that were ended by hand."""

    account: str | None = None
    model: str | None = None


class Cancelled(Struct, frozen=True):
    """A background response that is to end; `forget`: it was deleted."""

    tenant: str
    id: str
    forget: bool = False


class Said(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one worker tells the others. `records`, lines of its log until number `last` of this `process`, and
    `happenings` are for worker 0 alone, which says by `watched` whether anybody wants those."""

    worker: int
    process: int = 0
    last: int = 0
    records: list[str] = []
    rests: list[Kept] = []
    ended: list[Place] = []
    clearing: Clearing | None = None
    debug: bool | None = None
    capture: bool | None = None
    watched: bool | None = None
    happenings: list[tuple[str, str, dict[str, Any]]] = []
    forget_log: bool = False
    seals: list[bytes] = []
    reload: bool = False
    cancelled: list[Cancelled] = []


class Peers:
    """`worker` None: there are no others, and nobody is told anything. Used from one event loop."""

    def __init__(self, worker: Worker | None = None) -> None:
        self.worker = worker
        self.number = 0 if worker is None else worker.number
        self.others = () if worker is None else tuple(n for n in range(worker.of) if n != worker.number)
        self._sessions: dict[int, ClientSession] = {}

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def ask(self, number: int, path: str) -> bytes | None:
        """What a worker answers to a GET, None when it does not."""
        try:
            async with self.session(number).get(self._url(path), timeout=ClientTimeout(total=_PATIENCE_S)) as answer:
                return await answer.read() if answer.status == 200 else None
        except (ClientError, OSError, TimeoutError):
            return None

    async def ask_all(self, path: str) -> list[tuple[int, bytes | None]]:
        """The same of everybody else, at once."""
        found = await asyncio.gather(*(self.ask(number, path) for number in self.others))
        return list(zip(self.others, found, strict=True))

    async def tell(self, said: Said) -> None:
        """Tell everybody else. One that is being started does not need to hear it."""
        content = msgspec.json.encode(said)
        await asyncio.gather(*(self._told(number, content) for number in self.others))

    async def report(self, said: Said) -> bytes | None:
        """Tell worker 0 alone; what it says to that, None when it has not heard it."""
        return await self._told(0, msgspec.json.encode(said))

    async def _told(self, number: int, content: bytes) -> bytes | None:
        timeout = ClientTimeout(total=_PATIENCE_S)
        try:
            async with self.session(number).post(self._url("/told"), data=content, timeout=timeout) as answer:
                return await answer.read() if answer.status == 200 else None
        except (ClientError, OSError, TimeoutError):
            return None

    def session(self, number: int) -> ClientSession:
        session = self._sessions.get(number)
        if session is None:
            assert self.worker is not None
            connector = UnixConnector(self.worker.door_of(number), limit=64)
            session = self._sessions[number] = ClientSession(connector=connector, auto_decompress=False)
        return session

    @staticmethod
    def _url(path: str) -> str:
        return f"http://llm-mux{ROOT}{path}"


def by_the_door(request: web.Request) -> bool:
    """Whether another worker asks."""
    found = request.transport.get_extra_info("socket") if request.transport is not None else None
    return found is not None and hasattr(socket, "AF_UNIX") and found.family == socket.AF_UNIX


def address_of(request: web.Request) -> str:
    """The address of whoever asks, also where another worker passed it on."""
    if by_the_door(request):
        return request.headers.get(PEER, "")
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    return str(peer[0]) if peer else ""


PEERS: web.AppKey[Peers] = web.AppKey("peers", Peers)
