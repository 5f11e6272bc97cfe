"""When to write what has gathered: soon after the first piece, together with what came meanwhile.

Rule: nothing gathered means no timer and no wake-up. A failed flush is tried again, less and less often, and what
it was to write stays with its owner. Nothing but cancellation leaves `run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from llm_mux.ledger.database import reason
from llm_mux.structured import structlog

GATHER_S = 0.08
"""With the write itself, batches stay less than 100 ms apart."""

_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 5.0
_LONG_S = 2.0

_log = structlog.get_logger()


class Flusher:
    """Calls `flush` after `wake`; `flush` writes all that has gathered or raises. Used from one event loop."""

    def __init__(self, name: str, flush: Callable[[], Awaitable[None]], *, gather_s: float = GATHER_S) -> None:
        self._name = name
        self._flush = flush
        self._gather_s = gather_s
        self.awake = False
        self._work = asyncio.Event()
        self._on = asyncio.Event()
        self._closing = False
        self._one_at_a_time = asyncio.Lock()
        self._in_a_row = 0
        self._began: float | None = None
        self.failures = 0
        self.error: str | None = None

    @property
    def trouble(self) -> str | None:
        """`error`, or that what is being written takes long."""
        if self.error is None and self._began is not None and (s := time.monotonic() - self._began) > _LONG_S:
            return f"no answer for {s:.0f} s"
        return self.error

    def wake(self) -> None:
        """There is something to write."""
        if not self.awake:
            self.awake = True
            self._work.set()

    async def run(self) -> None:
        """Flush until `close`; one task, owned by the caller."""
        while not self._closing:
            await self._work.wait()
            await self._pause(self._gather_s)
            if not await self.flush_now():
                await self._pause(self._retry_s())

    async def flush_now(self) -> bool:
        """Whether all that had gathered is written now."""
        async with self._one_at_a_time:
            self.awake = False
            self._work.clear()
            self._began = time.monotonic()
            try:
                await self._flush()
            except asyncio.CancelledError:
                self.wake()
                raise
            except Exception as error:
                self._failed(error)
                return False
            finally:
                self._began = None
        self._succeeded()
        return True

    async def close(self, deadline_s: float) -> bool:
        """End `run` and write what is left; False when the database did not take it within `deadline_s`."""
        self._closing = True
        self._work.set()
        self._on.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                done = False
                while not done:
                    done = await self._flush_or_wait()
                return True
        return False

    async def _flush_or_wait(self) -> bool:
        if await self.flush_now():
            return True
        await asyncio.sleep(_FIRST_RETRY_S)
        return False

    async def _pause(self, seconds: float) -> None:
        if self._closing:
            return
        self._on.clear()
        timer = asyncio.get_running_loop().call_later(seconds, self._on.set)
        try:
            await self._on.wait()
        finally:
            timer.cancel()

    def _retry_s(self) -> float:
        return min(_FIRST_RETRY_S * (1 << min(self._in_a_row, 10)), _LONGEST_RETRY_S)

    def _failed(self, error: Exception) -> None:
        self.wake()
        self.failures += 1
        self._in_a_row += 1
        self.error = reason(error)
        if self._in_a_row == 1:
            _log.warning("ledger.write_failed", what=self._name, error=self.error, kind=type(error).__name__)

    def _succeeded(self) -> None:
        if self._in_a_row:
            _log.info("ledger.write_recovered", what=self._name, after_failures=self._in_a_row)
        self._in_a_row = 0
        self.error = None
