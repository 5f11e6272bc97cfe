"""Rests of accounts that several processes share: what one finds out, the others know a moment later.

Rule: a choice looks only at what is in memory. Telling happens behind the answer, some hundredths of a second later and
for all that changed together: over Redis where `redis-url` names one (daemons of several machines hear it too), else
over the workers' own sockets. Rests of hosts stay on the machine, since what one cannot reach another may. Redis that
does not answer costs nothing but the sharing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from llm_mux.gateway.waiting import Waiting
from llm_mux.routing.accounts import Account
from llm_mux.routing.rests import Kept, Place, ended, held, kept_of, resumed
from llm_mux.routing.standing import Standing
from llm_mux.server.ending import stopped
from llm_mux.server.peers import Peers, Said

if TYPE_CHECKING:
    from llm_mux.server.redis_rests import RedisRests

_GATHER_S = 0.02
_SAME_S = 0.5


class SharedRests:
    """Used from one event loop; `become` at every reading of the configuration, `close` at the end."""

    def __init__(self, waiting: Waiting, standing: Standing, peers: Peers) -> None:
        self._waiting = waiting
        self._standing = standing
        self._peers = peers
        self._accounts: Sequence[Account] = ()
        self._known: dict[Place, Kept] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._url: str | None = None
        self._redis: RedisRests | None = None
        self._listening: asyncio.Task[None] | None = None
        waiting.listeners.append(self._changed)

    @property
    def error(self) -> str | None:
        """Why nothing is shared over Redis at present."""
        return None if self._redis is None else self._redis.error

    @property
    def shared(self) -> str | None:
        """With whom: `redis`, `workers`, or nobody."""
        return "redis" if self._redis is not None else "workers" if self._peers.others else None

    def become(self, accounts: Sequence[Account], redis_url: str | None) -> None:
        """The accounts of a new reading of the configuration, and the Redis that it names."""
        self._accounts = accounts
        if redis_url == self._url:
            return
        self._url, old, listening = redis_url, self._redis, self._listening
        self._redis = self._listening = None
        if old is not None and listening is not None:
            self._aside(_left(old, listening))
        if redis_url is not None:
            from llm_mux.server.redis_rests import RedisRests

            self._redis = RedisRests(redis_url)
            self._listening = asyncio.create_task(self._redis.listen(self.heard))

    def heard(self, rests: Sequence[Kept], over: Sequence[Place]) -> None:
        """What another process found out. `until` is this machine's time."""
        now, unix, hosts = time.monotonic(), time.time(), self._standing.hosts
        for each in resumed(self._accounts, hosts, rests, now, unix):
            self._known[each.place] = each
        for place in over:
            self._known.pop(place, None)
        if ended(self._accounts, hosts, over, now):
            self._waiting.wake()

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._spread()
        if self._telling:
            await asyncio.wait(self._telling, timeout=1)
        if self._listening is not None:
            await stopped(self._listening)
        if self._redis is not None:
            await self._redis.close()

    def _changed(self) -> None:
        if self._timer is None and self.shared is not None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_S, self._spread)

    def _spread(self) -> None:
        """Tell what differs from what was told or heard last."""
        self._timer = None
        clock, unix = time.monotonic(), time.time()
        resting = held(self._accounts, self._standing.hosts, clock)
        now = {place: kept_of(place, rest, clock, unix) for place, rest in resting.items()}
        before, self._known = self._known, now
        new = [each for place, each in now.items() if place not in before or each.until > before[place].until + _SAME_S]
        over = [place for place, each in before.items() if place not in now and each.until > unix]
        far = self._redis is not None
        self._tell_workers([each for each in new if each.host or not far], [p for p in over if p.host or not far])
        self._tell_redis([each for each in new if not each.host], [p for p in over if not p.host])

    def _tell_redis(self, new: list[Kept], over: list[Place]) -> None:
        if self._redis is not None and (new or over):
            self._aside(self._redis.tell(new, over))

    def _tell_workers(self, new: list[Kept], over: list[Place]) -> None:
        if self._peers.others and (new or over):
            self._aside(self._told(Said(worker=self._peers.number, rests=new, ended=over)))

    async def _told(self, said: Said) -> None:
        await self._peers.tell(said)

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


async def _left(redis: RedisRests, listening: asyncio.Task[None]) -> None:
    await stopped(listening)
    await redis.close()
