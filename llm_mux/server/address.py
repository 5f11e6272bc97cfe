"""Listening: where, with which sockets, and in words why it did not work."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aiohttp import web

Address = tuple[str, int]
_BACKLOG = 1024
_LET_IN_S = 1.0
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
            raise _unheard(host, port, error) from error
        bound: int = sockets[0].getsockname()[1]
        return bound

    async def divide(self, host: str, port: int, count: int) -> tuple[int, list[list[socket.socket]]]:
        """The port, and `count` shares of sockets for as many processes, each with its own queue where the system
        balances between such sockets. Inherited ones are dealt out again. Raises Unheard."""
        address = (host, port)
        try:
            groups = _grouped(self._inherited.pop(address, []) or await _bound_apart(host, port, count))
            for sockets in groups:
                if _balances(sockets[0]):
                    sockets += [_like(sockets[0]) for _ in range(count - len(sockets))]
        except OSError as error:
            raise _unheard(host, port, error) from error
        self.open[address] = [each for sockets in groups for each in sockets]
        shares = [[each for sockets in groups for each in _share(sockets, number, count)] for number in range(count)]
        bound: int = groups[0][0].getsockname()[1]
        return bound, shares

    def anew(self, address: Address, sockets: list[socket.socket]) -> list[socket.socket]:
        """In place of a process's own sockets such as get no connection before it listens on them; what waited for it
        is reset. One that others listen on too stays."""
        made = []
        for old in sockets:
            if not _balances(old):
                made.append(old)
                continue
            new = _bound_like(old)
            self.open[address] = [new if each is old else each for each in self.open[address]]
            old.close()
            made.append(new)
        return made

    async def leave(self, runner: web.AppRunner, sites: Iterable[web.BaseSite]) -> None:
        """End `sites`, which listen here; whoever waits to be let in still is."""
        assert runner.server is not None
        kept = [each.dup() for sockets in self.open.values() for each in sockets]
        for site in sites:
            await site.stop()
        loop = asyncio.get_running_loop()
        for listening in kept:
            with listening:
                for waiting in _waiting(listening):
                    # Who has left again meanwhile is not waited for.
                    with contextlib.suppress(OSError, TimeoutError):
                        async with asyncio.timeout(_LET_IN_S):
                            await loop.connect_accepted_socket(runner.server, waiting)

    def close(self) -> None:
        """This process listens no more; those that have the sockets too go on."""
        for sockets in self.open.values():
            for each in sockets:
                each.close()
        self.open.clear()

    def settle(self) -> None:
        """Closes inherited sockets that nobody wanted."""
        for sockets in self._inherited.values():
            for each in sockets:
                each.close()
        self._inherited.clear()


def _waiting(listening: socket.socket) -> Iterator[socket.socket]:
    """The connections that nobody has accepted yet."""
    listening.setblocking(False)
    while True:
        try:
            accepted, _ = listening.accept()
        except OSError:
            return
        accepted.setblocking(False)
        yield accepted


def _unheard(host: str, port: int, error: OSError) -> Unheard:
    taken = error.errno == errno.EADDRINUSE
    reason = _owner(port) if taken else _plain(error)
    return Unheard(f"cannot listen on {host}:{port}: {reason}", taken=taken)


async def _bound_apart(host: str, port: int, count: int) -> list[socket.socket]:
    """Sockets for `count` processes on one port, one for each address and process where the system balances."""
    alone = await _bound(host, port)
    if not sys.platform.startswith("linux"):
        return alone
    # Sockets that share a port would also share it with an older daemon of ours: the one that was alone has shown that
    # nobody has it.
    port = alone[0].getsockname()[1]
    for each in alone:
        each.close()
    return [each for _ in range(count) for each in await _bound(host, port, shared=True)]


def _grouped(sockets: list[socket.socket]) -> list[list[socket.socket]]:
    """By the address that they listen on."""
    groups: dict[tuple[int, str], list[socket.socket]] = {}
    for each in sockets:
        groups.setdefault((each.family, each.getsockname()[0]), []).append(each)
    return list(groups.values())


def _balances(made: socket.socket) -> bool:
    reuse = getattr(socket, "SO_REUSEPORT", None) if sys.platform.startswith("linux") else None
    return reuse is not None and bool(made.getsockopt(socket.SOL_SOCKET, reuse))


def _like(made: socket.socket) -> socket.socket:
    """One more on the same address."""
    return _listening(made.family, made.type, made.proto, made.getsockname(), shared=True)


def _bound_like(made: socket.socket) -> socket.socket:
    """The same, on which nobody listens yet."""
    return _bound_to(made.family, made.type, made.proto, made.getsockname(), shared=True)


def _share(sockets: list[socket.socket], number: int, count: int) -> list[socket.socket]:
    """What one of `count` processes listens on: sockets of its own, or one that others have too."""
    return sockets[number::count] or [sockets[number % len(sockets)]]


async def _bound(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """A socket for each address of this machine that `host` stands for, all on one port."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    lacking: OSError | None = None
    for family, kind, protocol, _, where in dict.fromkeys(found):
        try:
            sockets.append(_listening(family, kind, protocol, (where[0], port, *where[2:]), shared=shared))
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


def _listening(family: int, kind: int, protocol: int, where: tuple[Any, ...], *, shared: bool = False) -> socket.socket:
    made = _bound_to(family, kind, protocol, where, shared=shared)
    try:
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _bound_to(family: int, kind: int, protocol: int, where: tuple[Any, ...], *, shared: bool) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(where)
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
