"""All connections of one listener: made, swept, given their keep-alives, drained and closed."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Any, Final, cast

from aiohttp import web

from llm_mux.gateway.plan import FRAMES
from llm_mux.server.allocator import Crowd, give_back
from llm_mux.server.answer_heads import Forms
from llm_mux.server.heads import Find, Heads
from llm_mux.server.lane import Lane
from llm_mux.server.serving import DAEMON
from llm_mux.translators.around import AROUND
from llm_mux.translators.memory import MEMORY
from llm_mux.translators.repeated import TOOLS

_IDLE_S: Final = 75.0
_SWEEP_S: Final = 15.0
_LAST_WORDS_S: Final = 1.0
_ALONE: Final = 8
"""Sweeps without a connection after which conversations are over: people read and think between two turns, and many
clients close their connections meanwhile."""


class Lanes:
    """What `web.Server` is to a runner: makes the protocol of each connection and ends them all. `server` is aiohttp's
    own, for the connections that leave the lane."""

    def __init__(self, server: web.Server, app: web.Application, heads: Heads) -> None:
        self.server = server
        self.app = app
        self.heads = heads
        self.daemon = app[DAEMON]
        self.drain = self.daemon.parts.drain
        self.books = self.daemon.parts.books
        self.loop = asyncio.get_running_loop()
        self.lanes: set[Lane] = set()
        self._crowd = Crowd()
        self._sweeper: asyncio.TimerHandle | None = None
        self._alone = 0
        self._patience: asyncio.TimerHandle | None = None
        self._beats: asyncio.TimerHandle | None = None
        self._date = (0, b"")
        self.forms = Forms()

    def __call__(self) -> Lane:
        return Lane(self)

    def opened(self, lane: Lane) -> None:
        self.lanes.add(lane)
        self._crowd.grew(len(self.lanes))
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Closes what has been silent for long between two requests or in a body, and whose head takes as long,
        forgets conversations that are over, and gives back what a crowd took; looks only while there are
        connections, or conversations to forget."""
        now = self.loop.time()
        for lane in [lane for lane in self.lanes if not lane.busy and now - lane.since > _IDLE_S]:
            lane.close()
        MEMORY.age()
        self._alone = 0 if self.lanes else self._alone + 1
        over = self._alone >= _ALONE
        if over:
            self._alone = 0
            MEMORY.clear()
            TOOLS.clear()
            AROUND.clear()
            FRAMES.clear()
        if self._crowd.is_over(len(self.lanes)):
            give_back()
            # The connections to providers that it made lie idle as long.
            self.loop.call_later(_IDLE_S + _SWEEP_S, give_back)
        self._sweeper = None if over else self.loop.call_later(_SWEEP_S, self._sweep)

    def patient(self) -> None:
        """The client of a stream waits without a task; one timer for all sees to it that it gets its keep-alives."""
        if self._patience is None:
            self._patience = self.loop.call_later(self.daemon.gateway.settings.patience_s / 2, self._look)

    def _look(self) -> None:
        """Gives a task to those that waited for half of the time after which the first keep-alive is due."""
        self._patience = None
        since = self.loop.time() - self.daemon.gateway.settings.patience_s / 2
        for lane in [lane for lane in self.lanes if lane.awaits_stream]:
            if lane.since <= since:
                lane.go_on()
            else:
                self.patient()

    def beating(self) -> None:
        """A stream goes on without a task; one timer for all sees to their keep-alives."""
        if self._beats is None:
            self._beats = self.loop.call_later(self.daemon.gateway.settings.keepalive_s, self._beat)

    def _beat(self) -> None:
        self._beats = None
        every_s = self.daemon.gateway.settings.keepalive_s
        flowing = [lane.flowing for lane in self.lanes]
        waits = [each.stream.beat(every_s) for each in flowing if each is not None]
        if waits:
            self._beats = self.loop.call_later(min(waits), self._beat)

    def date(self) -> bytes:
        now = int(time.time())
        if now != self._date[0]:
            self._date = (now, formatdate(now, usegmt=True).encode())
        return self._date[1]

    def pre_shutdown(self) -> None:
        """No more requests: idle connections close now, the others after the answer under way."""
        self.server.pre_shutdown()
        for lane in list(self.lanes):
            lane.leave()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as aiohttp's runner calls it
        """Waits `timeout` seconds for the answers under way, then breaks them off."""
        await asyncio.gather(self.server.shutdown(timeout), self._drained(timeout))
        for timer in (self._sweeper, self._patience, self._beats):
            if timer is not None:
                timer.cancel()

    async def _drained(self, drain_s: float | None) -> None:
        for lane in list(self.lanes):
            lane.go_on()
        tasks = {lane.task for lane in self.lanes if lane.task is not None}
        if under_way := tasks | {self.loop.create_task(lane.end_of_flow()) for lane in self.lanes if lane.flowing}:
            _, late = await asyncio.wait(under_way, timeout=drain_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_LAST_WORDS_S)
        for lane in list(self.lanes):
            lane.close()


class Runner(web.AppRunner):
    """Runs an application with lanes in front of it. `find` knows the model routes."""

    def __init__(self, app: web.Application, find: Find, **options: Any) -> None:
        super().__init__(app, **options)
        self._heads = Heads(find)

    async def _make_server(self) -> web.Server:
        return cast(web.Server, Lanes(await super()._make_server(), self.app, self._heads))
