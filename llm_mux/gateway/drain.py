"""The end of the daemon for those who are under way: they may finish, and at the deadline each gets an error.

Rule: a healthy request pays for one set entry. Whoever catches a cancellation asks `over` first: after the deadline it
means "tell the client", at any other time "the client left".
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from llm_mux.errors import Kind, MuxError


class UnderWay(Protocol):
    """Who serves a request: a task, or what is told of its answer without one."""

    def cancel(self) -> object: ...


class Drain:
    """Who is under way. `leaving`: every connection ends with the answer on it. `over`: the deadline has passed."""

    def __init__(self) -> None:
        self.leaving = False
        self.over = False
        self._tasks: set[UnderWay | None] = set()
        self._came = 0
        self._idle: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._tasks)

    def enter(self, who: UnderWay | None = None) -> UnderWay | None:
        """`who`, or else the calling task, serves a request from now on, until `leave` is called with what this
        gives."""
        task = who or asyncio.current_task()
        self._tasks.add(task)
        self._came += 1
        return task

    def leave(self, task: UnderWay | None) -> None:
        self._tasks.discard(task)
        if self._idle is not None and not self._tasks:
            self._idle.set()

    async def idle(self, within_s: float, *, quiet_s: float = 0) -> bool:
        """Waits until nobody is under way and nobody came for `quiet_s`; False when that takes longer."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    self._idle = asyncio.Event()
                    if self._tasks:
                        await self._idle.wait()
                    came = self._came
                    await asyncio.sleep(quiet_s)
                    if came == self._came:
                        return True
        except TimeoutError:
            return False

    def end(self) -> None:
        """The deadline: whoever is still under way is cancelled, and tells its client `told`."""
        self.over = True
        for task in tuple(self._tasks):
            if task is not None:
                task.cancel()

    def cause(self) -> MuxError:
        """What a cancellation is, for the books."""
        return told() if self.over else MuxError(Kind.CLIENT_GONE, "The client left.")


def told() -> MuxError:
    """What a client is told whose request the daemon does not finish."""
    return MuxError(Kind.DRAINING, "llm-mux is being stopped; ask again in a moment.", retry_after=1)
