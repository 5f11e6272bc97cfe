"""What each signal does to the daemon, be it one process or a supervisor with workers.

SIGHUP reads the configuration again (or ends it, when the terminal was closed that it runs in), SIGUSR2 hands over to a
successor, SIGTERM and SIGINT end it. The second of those ends it at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

Reload = Callable[[], Coroutine[Any, Any, object]]
Succeed = Callable[[], Awaitable[bool]]


class Signals:
    """`reload` reads the configuration again; `succeed` starts a successor and says whether it serves."""

    def __init__(self, reload: Reload, succeed: Succeed) -> None:
        self._reload = reload
        self._succeed = succeed
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._work: set[asyncio.Task[Any]] = set()
        self._handing_over = False
        self._terminal = [fd for fd in (0, 1, 2) if os.isatty(fd)] if _has_terminal() else []

    def listen(self) -> None:
        """From now on signals do what they should; before, they end the process."""
        self._on("SIGHUP", self._hung_up)
        self._on("SIGUSR2", lambda: self._start(self._hand_over()))
        for name in ("SIGTERM", "SIGINT"):
            self._on(name, self.end)

    def end(self) -> None:
        """As SIGTERM."""
        self._ended.set()

    async def told_to_end(self, end_now: Callable[[int], None]) -> None:
        """Returns at the first SIGTERM or SIGINT, or when a successor serves; the next one is for `end_now`."""
        await self._ended.wait()
        for name in ("SIGTERM", "SIGINT"):
            # Whoever says it twice does not want to wait for what is under way.
            self._on(name, partial(end_now, getattr(signal, name)))

    def _on(self, name: str, call: Callable[[], object]) -> None:
        number = getattr(signal, name, None)
        if number is None:
            return
        try:
            self._loop.add_signal_handler(number, call)
        except NotImplementedError:
            signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(call))

    def _hung_up(self) -> None:
        """Somebody wants the configuration read again, or the terminal that it was started in is gone."""
        if self._terminal and not _has_terminal():
            with open(os.devnull, "r+b") as nowhere:
                for fd in self._terminal:
                    os.dup2(nowhere.fileno(), fd)
            self.end()
        else:
            self._start(self._reload())

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        task = self._loop.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _hand_over(self) -> None:
        if self._handing_over or self._ended.is_set():
            return
        self._handing_over = True
        try:
            if await self._succeed():
                self.end()
        finally:
            self._handing_over = False


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
