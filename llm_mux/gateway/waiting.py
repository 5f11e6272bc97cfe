"""Exchanges that wait for a target to recover or to have room, and who is told when a rest begins or ends.

Nobody polls: a wait ends after its time, or early when an account answers well again, has room, or was cleared by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

_APART_S = 0.005


class Waiting:
    """Outlasts a new reading of the configuration. `listeners` are called when a rest began or ended."""

    def __init__(self) -> None:
        self._futures: set[asyncio.Future[None]] = set()
        self.listeners: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._futures)

    def changed(self) -> None:
        """A rest began or ended."""
        for listener in self.listeners:
            listener()

    async def wait(self, seconds: float) -> None:
        """Returns after `seconds`, or when it is worth to look again."""
        future = asyncio.get_running_loop().create_future()
        self._futures.add(future)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await future
        finally:
            self._futures.discard(future)

    def wake(self) -> None:
        """Something changed. They look again one after the other, so that an account that has just come back is not
        overrun."""
        later = asyncio.get_running_loop().call_later
        for number, future in enumerate(self._futures):
            later(number * _APART_S, _let_go, future)


def _let_go(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
