"""Keep-alives: before a stream begins, and in its gaps. Nothing of it costs a task until somebody has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from llm_mux.gateway.ask import Begin, Write
from llm_mux.gateway.core import Settings
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


class Company:
    """Keeps a client company while its stream is opened: after `patience_s` the stream begins with keep-alives.
    `waited_s`: how long it has waited by now."""

    def __init__(
        self,
        settings: Settings,
        begin: Begin | None,
        headers: Callable[[], dict[str, str]],
        media: str,
        beat: Callable[[], bytes],
        waited_s: float = 0,
    ) -> None:
        self._settings = settings
        self._begin = begin
        self._headers = headers
        self._media = media
        self._beat = beat
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if begin is not None:
            left_s = max(0.0, settings.patience_s - waited_s)
            self._timer = asyncio.get_running_loop().call_later(left_s, self._start)

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        if self._begin is None:
            return
        try:
            write = await self._begin(self._headers(), self._media)
            while True:
                if beat := self._beat():
                    await write(beat)
                await asyncio.sleep(self._settings.keepalive_s)
        except ConnectionError:
            # The client left; its request is cancelled by the server, which ends the opening too.
            return

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    async def leave(self) -> bool:
        """Ends the company; whether the client's stream has begun."""
        self.cancel()
        if self._task is None:
            return False
        await asyncio.wait({self._task})
        return True
