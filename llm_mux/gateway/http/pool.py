"""The connections to one place: those that lie idle, those at work, and who waits for one when there may be no more.

Rule: the newest idle connection is used first, so that the others grow old and go. A connection is counted from before
it is dialled until it is lost.
"""

from __future__ import annotations

import asyncio
from collections import deque

from llm_mux.gateway.http.connection import Connection

_MOST_IDLE = 256


class Pool:
    """`most`: how many connections there may be at once; 0: any number."""

    __slots__ = ("_gone", "_idle", "_most", "_open", "_waiting", "closed", "dialling")

    def __init__(self, most: int = 0) -> None:
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._most = most
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._gone: asyncio.Future[None] | None = None
        self.dialling = 0
        self.closed = False

    def __len__(self) -> int:
        """Connections that are open, idle or at work."""
        return len(self._open)

    def take(self) -> Connection | None:
        """An idle connection that is still good."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.fit():
                return connection
            connection.drop()
        return None

    @property
    def full(self) -> bool:
        return 0 < self._most <= len(self._open) + self.dialling

    async def turn(self) -> Connection | None:
        """Waits until there may be one more: a connection that became idle, or None for leave to dial."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                given = waiter.result()
                self.room() if given is None else self.let_go(given)
            raise

    def add(self, connection: Connection) -> None:
        """A connection was dialled."""
        if not connection.closed:
            self._open.add(connection)
        if self.closed:
            connection.drop()

    def let_go(self, connection: Connection) -> None:
        """The connection became idle, or is lost."""
        if connection.closed:
            self._lost(connection)
        elif self.closed:
            connection.drop()
        elif not self._pass_on(connection):
            if len(self._idle) >= _MOST_IDLE:
                connection.drop()
            else:
                self._idle.append(connection)

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self.room()
        if self._gone is not None and not self._open and not self._gone.done():
            self._gone.set_result(None)

    def room(self) -> None:
        """There may be one more: whoever waits longest may dial."""
        if not self.full:
            self._pass_on(None)

    def _pass_on(self, connection: Connection | None) -> bool:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    async def close(self) -> None:
        """Drops every connection and waits until they are gone."""
        self.closed = True
        self._idle.clear()
        if self._open:
            self._gone = asyncio.get_running_loop().create_future()
            for connection in tuple(self._open):
                connection.drop()
            await self._gone
