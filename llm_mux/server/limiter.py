"""Where limits are counted: in this process, or in Redis for several daemons together, behind the same calls.

Rule: one question to Redis admits a request, in one round trip; what follows (settling, leaving) is told behind the
answer. When Redis does not answer, the configuration says whether requests are refused or counted here alone meanwhile,
and it is asked again once a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from llm_mux.errors import Kind, MuxError
from llm_mux.routing.limits import Admitted, Charge, Refused, Standing, Windows
from llm_mux.structured import structlog

if TYPE_CHECKING:
    from llm_mux.server.redis_limits import RedisWindows

T = TypeVar("T")
AGAIN_S = 1.0

_log = structlog.get_logger()


class Pass(Protocol):
    """A request that was admitted."""

    def standings(self, count: int | None = None) -> Sequence[Standing]:
        """Where the first `count` of its limits stand, all without."""

    def settle(self, tokens: int) -> None: ...

    def leave(self) -> None: ...

    def undo(self) -> None:
        """As if it had not been admitted."""


class Limiter(Protocol):
    """`storage` is memory or redis; `error` says why it does not work, None when it does."""

    storage: str
    error: str | None

    async def admit(self, wanted: Sequence[Charge], tokens: int) -> Pass | Refused: ...

    async def standings(self, wanted: Sequence[Charge]) -> Sequence[Standing]: ...

    async def ask(self) -> None:
        """Find out now whether it works; `error` says so afterwards."""


class LocalLimiter:
    """Counts in this process."""

    storage = "memory"
    error: str | None = None

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.windows = Windows()

    async def admit(self, wanted: Sequence[Charge], tokens: int) -> Admitted | Refused:
        return self.windows.admit(wanted, tokens, self._clock())

    async def standings(self, wanted: Sequence[Charge]) -> Sequence[Standing]:
        return self.windows.standings(wanted, self._clock())

    async def ask(self) -> None:
        """Memory always works."""


class NoLimiter:
    """Where several workers have no Redis to count in: nobody who has limits is let in, for they would not hold."""

    storage = "none"
    error: str | None = None

    async def admit(self, wanted: Sequence[Charge], tokens: int) -> Admitted | Refused:
        message = "This key has limits, which several workers count in Redis: set redis-url, or workers: 1."
        raise MuxError(Kind.NO_TARGET, message, code="rate_limits_unavailable")

    async def standings(self, wanted: Sequence[Charge]) -> Sequence[Standing]:
        return ()

    async def ask(self) -> None:
        """It never works."""


class SharedLimiter:
    """Counts in Redis. `refuse`: what happens while Redis does not answer, else `local` counts."""

    storage = "redis"

    def __init__(self, windows: RedisWindows, local: LocalLimiter, *, refuse: bool) -> None:
        self._windows = windows
        self._local = local
        self._refuse = refuse
        self._again_at = 0.0
        self.error: str | None = None

    async def admit(self, wanted: Sequence[Charge], tokens: int) -> Pass | Refused:
        return await self._either(self._windows.admit(wanted, tokens), lambda: self._local.admit(wanted, tokens))

    async def standings(self, wanted: Sequence[Charge]) -> Sequence[Standing]:
        return await self._either(self._windows.standings(wanted), lambda: self._local.standings(wanted))

    async def ask(self) -> None:
        try:
            await self._windows.ping()
        except self._windows.failures as error:
            self._failed(error)
        else:
            self._works()

    async def _either(self, shared: Coroutine[Any, Any, T], here: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if time.monotonic() >= self._again_at:
            try:
                answer = await shared
            except self._windows.failures as error:
                self._failed(error)
            else:
                self._works()
                return answer
        else:
            shared.close()
        if self._refuse:
            message = "Rate limits cannot be counted now: Redis does not answer. Try again in a moment."
            raise MuxError(Kind.NO_TARGET, message, retry_after=AGAIN_S, code="rate_limits_unavailable")
        return await here()

    def _failed(self, error: BaseException) -> None:
        self._again_at = time.monotonic() + AGAIN_S
        if self.error is None:
            meanwhile = "requests are refused" if self._refuse else "limits are counted in this process"
            _log.warning("redis.failed", error=f"{type(error).__name__}: {error}"[:200], meanwhile=meanwhile)
        self.error = f"Redis does not answer ({type(error).__name__})"

    def _works(self) -> None:
        if self.error is not None:
            _log.info("redis.recovered")
            self.error = None


class Limiters:
    """The counters that outlive a configuration: one in memory, and one for each Redis that was named. `place` names a
    worker and whoever is in its place after it."""

    def __init__(self, place: str = "") -> None:
        self._place = place
        self._local = LocalLimiter()
        self._redis: dict[str, RedisWindows] = {}

    def of(self, redis_url: str | None, *, refuse: bool, alone: bool = True) -> Limiter:
        """The limiter of a configuration, for a process that serves `alone` or beside others. Raises ConfigError when
        Redis is wanted and its client is not installed."""
        if redis_url is None:
            return self._local if alone else NoLimiter()
        windows = self._redis.get(redis_url)
        if windows is None:
            from llm_mux.server.redis_limits import RedisWindows

            windows = self._redis[redis_url] = RedisWindows(redis_url, place=self._place)
        return SharedLimiter(windows, self._local, refuse=refuse)

    def succeed(self) -> None:
        """What those who were in this worker's place before have left under way ends."""
        for windows in self._redis.values():
            windows.succeed()

    async def close(self) -> None:
        await asyncio.gather(*(windows.close() for windows in self._redis.values()))
