"""The listener that a login's browser comes back to: on 127.0.0.1 and ::1 only, for one login, for as long as it takes.

Rule: `auth.callback` judges every request by its head alone; nothing else is read, and nothing is kept.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Mapping

from llm_mux.auth.base import Listen
from llm_mux.auth.callback import MOST_HEAD_BYTES, Visit, visit

_HEAD_S = 10.0
_TOO_LONG = Visit(431, "That is too long for an answer to this login.")
_NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)


class Loopback:
    """One login's listener. Close it when the login ends, however it ends."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._visits: set[asyncio.Task[None]] = set()
        self._returned: asyncio.Future[Mapping[str, str]] | None = None

    async def open(self, step: Listen) -> int | None:
        """Listens as the step says; the port, or None when another program has it."""
        await self.close()
        sockets = _bound(step.port)
        if not sockets:
            return None
        self._returned = asyncio.get_running_loop().create_future()
        for each in sockets:
            server = await asyncio.start_server(
                lambda reader, writer: self._visited(step, reader, writer), sock=each, limit=MOST_HEAD_BYTES
            )
            self._servers.append(server)
        port: int = sockets[0].getsockname()[1]
        return port

    async def returned(self) -> Mapping[str, str]:
        """The query of the browser's return. Waits for ever when nothing listens."""
        if self._returned is None:
            self._returned = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._returned)

    async def close(self) -> None:
        """Ends the listening, and the visits of those who never said anything."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for each in self._visits:
            each.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    def _visited(self, step: Listen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._answer(step, reader, writer))
        self._visits.add(task)
        task.add_done_callback(self._visits.discard)

    async def _answer(self, step: Listen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        returned = self._returned
        try:
            try:
                async with asyncio.timeout(_HEAD_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                found = visit(head, step.path, step.state, done=returned is None or returned.done())
            except asyncio.LimitOverrunError:
                found = _TOO_LONG
            writer.write(found.response())
            await writer.drain()
            if found.query is not None and returned is not None and not returned.done():
                returned.set_result(found.query)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


def _bound(port: int) -> list[socket.socket]:
    """Sockets on both loopback addresses, or on the one that this machine has; none when the port is taken on either:
    whoever has the other one would get the answer."""
    sockets: list[socket.socket] = []
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        wanted = port or (sockets[0].getsockname()[1] if sockets else 0)
        try:
            sockets.append(_socket(family, address, wanted))
        except OSError as error:
            if error.errno in _NO_IPV6 and family == socket.AF_INET6:
                continue
            for each in sockets:
                each.close()
            return []
    return sockets


def _socket(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made
