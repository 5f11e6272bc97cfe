"""Listening: where, with which sockets, and in words why it did not work."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Mapping
from typing import Any

from aiohttp import web

Address = tuple[str, int]
_BACKLOG = 1024
# "localhost" is also ::1 on machines that have no IPv6.
_LACKING = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class Unheard(Exception):
    """Listening failed. `taken`: because somebody else has the port."""

    def __init__(self, message: str, *, taken: bool) -> None:
        super().__init__(message)
        self.taken = taken


class Doors:
    """The listening sockets by the address that the configuration gives them. `inherited` ones listen already."""

    def __init__(self, inherited: Mapping[Address, list[socket.socket]] | None = None) -> None:
        self._inherited = dict(inherited or {})
        self.open: dict[Address, list[socket.socket]] = {}

    async def listen(self, runner: web.AppRunner, host: str, port: int) -> int:
        """The port, which is another than `port` when that is 0. Raises Unheard."""
        address = (host, port)
        try:
            sockets = self._inherited.pop(address, None) or await _bound(host, port)
            self.open[address] = sockets
            for each in sockets:
                await web.SockSite(runner, each, backlog=_BACKLOG).start()
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = _owner(port) if taken else _plain(error)
            raise Unheard(f"cannot listen on {host}:{port}: {reason}", taken=taken) from error
        bound: int = sockets[0].getsockname()[1]
        return bound

    def settle(self) -> None:
        """Closes inherited sockets that nobody wanted."""
        for sockets in self._inherited.values():
            for each in sockets:
                each.close()
        self._inherited.clear()


async def _bound(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of this machine that `host` stands for, all on one port."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    lacking: OSError | None = None
    for family, kind, protocol, _, where in dict.fromkeys(found):
        try:
            sockets.append(_listening(family, kind, protocol, (where[0], port, *where[2:])))
        except OSError as error:
            if error.errno not in _LACKING:
                for each in sockets:
                    each.close()
                raise
            lacking = error
        else:
            port = sockets[0].getsockname()[1]
    if not sockets:
        raise lacking or OSError(errno.EADDRNOTAVAIL, "no such address")
    return sockets


def _listening(family: int, kind: int, protocol: int, where: tuple[Any, ...]) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(where)
        made.listen(_BACKLOG)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def _plain(error: OSError) -> str:
    if error.errno in errno.errorcode:
        return os.strerror(error.errno or 0).lower()
    return str(error.strerror or error)


def _owner(port: int) -> str:
    """Who has the port, where the system tells, and the way out."""
    import psutil

    way_out = "stop it or choose another port"
    try:
        listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        process = psutil.Process(next(c.pid for c in listening if c.pid and c.laddr and c.laddr.port == port))
        name, command = process.name(), process.cmdline()
    except (psutil.Error, OSError, StopIteration):
        return f"another process has this port; {way_out}"
    if any("llm-mux" in word or word == "llm_mux" for word in command[:3]):
        return f"an llm-mux has this port (process {process.pid}); end it with llm-mux stop or choose another port"
    return f"{name} has this port (process {process.pid}); {way_out}"
