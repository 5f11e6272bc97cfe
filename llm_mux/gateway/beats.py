"""Keep-alives in the gaps of a stream."""

from __future__ import annotations

import asyncio

from llm_mux.gateway.ask import Write
from llm_mux.gateway.relay import Way


class Beats:
    """One timer that only looks, and writes only when nothing else did."""

    def __init__(self, every_s: float, way: Way, write: Write) -> None:
        self._every_s = every_s
        self._way = way
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._task: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(every_s, self._tick)

    async def write(self, data: bytes) -> None:
        if self._task is not None:
            await self._task
            self._task = None
        await self._write(data)
        self._last = self._loop.time()

    def _tick(self) -> None:
        quiet = self._loop.time() - self._last
        if quiet >= self._every_s and (self._task is None or self._task.done()):
            if beat := self._way.keepalive():
                self._task = self._loop.create_task(self._beat(beat))
            quiet = 0
        self._timer = self._loop.call_later(max(0.01, self._every_s - quiet), self._tick)

    async def _beat(self, beat: bytes) -> None:
        try:
            await self._write(beat)
        except ConnectionError:
            return

    def stop(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
