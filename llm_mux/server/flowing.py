"""A stream that goes on in the sockets' callbacks: nobody waits for its end in a task.

Rule: what a request holds as long as it is under way (its place in the drain, in the counts and in its limits) a stream
holds from `enter` to its end, however that comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from llm_mux import log
from llm_mux.gateway.ask import Outlet
from llm_mux.gateway.drain import told
from llm_mux.gateway.pouring import Pouring
from llm_mux.gateway.seals import Elsewhere
from llm_mux.server.admission import Entry

if TYPE_CHECKING:
    from llm_mux.server.serving import Daemon


class Flowing:
    """One stream under way. `over` is told of its end, and whether the client got all of it."""

    __slots__ = ("_daemon", "_entry", "_over", "_telling", "_waiter", "stream")

    def __init__(self, daemon: Daemon, stream: Pouring, entry: Entry | None) -> None:
        self._daemon = daemon
        self._entry = entry
        self._over: Callable[[bool], None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self.stream = stream

    def enter(self) -> None:
        self._daemon.parts.drain.enter(self)
        self._daemon.metrics.active_requests += 1
        self._daemon.metrics.active_streams += 1

    def begin(self, outlet: Outlet, over: Callable[[bool], None]) -> None:
        self._over = over
        self.stream.begin(outlet, self._ended)

    def cancel(self) -> None:
        """The daemon does not finish it."""
        self.stream.fail(told())

    def gone(self) -> None:
        """The client left."""
        self.stream.stop(ConnectionResetError("the client left"))

    async def ended(self) -> None:
        """Waits for its end."""
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _ended(self, error: Exception | None) -> None:
        if error is not None and not isinstance(error, ConnectionError):
            log.logger.error("request.broken", exc_info=error)
        try:
            self.stream.teller.ended(self.stream, error)
        finally:
            elsewhere = self._daemon.parts.seals.elsewhere
            if error is None and elsewhere is not None and elsewhere.telling:
                self._telling = asyncio.get_running_loop().create_task(self._told(elsewhere))
            else:
                self._end(whole=error is None)

    async def _told(self, elsewhere: Elsewhere) -> None:
        """The client has it all when other processes know what its next turn needs."""
        try:
            await elsewhere.settled()
        finally:
            self._end(whole=True)

    def _end(self, *, whole: bool) -> None:
        self._daemon.parts.drain.leave(self)
        self._daemon.metrics.active_requests -= 1
        self._daemon.metrics.active_streams -= 1
        if self._entry is not None:
            self._entry.leave()
        over, self._over = self._over, None
        if over is not None:
            over(whole)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
