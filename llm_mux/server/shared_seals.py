"""Reasoning seals that several processes share: over Redis where `redis-url` names one, else the workers' own sockets.

Rule: an answer that has seals ends when they are told, or a moment later; what cannot be told is known here alone.
Others are asked only for calls that came without a seal and that nothing is known of.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from llm_mux.gateway.seals import Seals
from llm_mux.server.peers import Peers, Said

if TYPE_CHECKING:
    from llm_mux.server.redis_seals import RedisSeals


_PATIENCE_S = 0.25
_AGAIN_S = 1.0


class SharedSeals:
    """Used from one event loop; `become` at every reading of the configuration, `close` at the end."""

    def __init__(self, peers: Peers, env: Mapping[str, str]) -> None:
        self.seals = Seals()
        self._peers = peers
        self._env = env
        self._url: str | None = None
        self._redis: RedisSeals | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._learned = False

    def become(self, redis_url: str | None) -> None:
        """The Redis that a new reading of the configuration names."""
        if redis_url != self._url:
            self._url, old, self._redis = redis_url, self._redis, None
            # What the workers keep from now on, or kept until now, they tell Redis and not each other.
            self._learned = False
            if old is not None:
                self._aside(old.close())
            if redis_url is not None:
                from llm_mux.server.redis_seals import RedisSeals

                self._redis = RedisSeals(redis_url, self._env)
        self.seals.elsewhere = self if self._redis is not None or self._peers.others else None

    def told(self, keys: Sequence[str], packed: bytes) -> None:
        if self._redis is not None:
            self._aside(self._redis.put(keys, packed))
        else:
            self._aside(self._peers.tell(Said(worker=self._peers.number, seals=[packed])))

    async def found(self, keys: Sequence[str]) -> tuple[list[bytes], bool]:
        if self._redis is not None:
            kept = await self._redis.find(keys)
            return kept or [], kept is not None
        answers = await self._peers.ask_all(f"/seals?{urlencode([('key', key) for key in keys])}")
        told = [answer for _, answer in answers if answer is not None]
        found = [packed for answer in told for packed in msgspec.msgpack.decode(answer, type=list[bytes])]
        return found, len(told) == len(answers)

    @property
    def telling(self) -> bool:
        return bool(self._telling)

    @property
    def current(self) -> bool:
        """Workers of one machine tell each other all that they keep; Redis is asked."""
        return self._learned and self._redis is None

    async def learn(self) -> None:
        """Takes over what the other workers have kept, from the first that answers. Returns when there was one after
        this worker could be told what came later."""
        while not self._learned:
            heard = await self._peers.ask(self._peers.number, "/seals?key=") is not None
            self._learned = await self._taken_over() and heard
            if not self._learned:
                await asyncio.sleep(_AGAIN_S)

    async def _taken_over(self) -> bool:
        for number in self._peers.others:
            answer = await self._peers.ask(number, "/seals")
            if answer is not None:
                for packed in msgspec.msgpack.decode(answer, type=list[bytes]):
                    self.seals.take(packed, time.monotonic())
                return True
        return False

    async def settled(self) -> None:
        if self._telling:
            await asyncio.wait(self._telling, timeout=_PATIENCE_S)

    async def close(self) -> None:
        await self.settled()
        if self._redis is not None:
            await self._redis.close()

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
