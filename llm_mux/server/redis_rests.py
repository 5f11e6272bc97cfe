"""Rests of accounts in Redis, shared by all daemons that name it: a key for each that lives as long as the rest, and a
channel that tells of it at once.

Rule: one round trip tells what changed. Times travel as seconds that are left, so clocks need not agree. Whoever comes
new, or comes back after Redis was away, reads the keys once.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from llm_mux.config import ConfigError
from llm_mux.routing.rests import Kept, Place
from llm_mux.structured import structlog

PREFIX = "{llm-mux}:rests:"
_TIMEOUT_S = 0.5
_GOODBYE_S = 2.0
_LISTEN_S = 5.0
_AGAIN_S = 1.0
_LONGEST_S = 7 * 86_400.0

_log = structlog.get_logger()
Heard = Callable[[Sequence[Kept], Sequence[Place]], None]


class _News(Struct, frozen=True, array_like=True):
    """`sender` does not listen to itself. `until` of the rests are seconds from now."""

    sender: str
    rests: list[Kept]
    ended: list[Place]


class RedisRests:
    """`error` says why it does not work at present."""

    def __init__(self, url: str, *, prefix: str = PREFIX) -> None:
        try:
            import redis.asyncio as client
            from redis.exceptions import RedisError
        except ModuleNotFoundError as error:
            raise ConfigError(
                "redis-url needs the Redis client; install it with: pip install 'llm-mux[redis]'"
            ) from error
        self.failures: tuple[type[BaseException], ...] = (RedisError, OSError, TimeoutError)
        self._redis: Any = client.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        # Silence is what listening is made of: a timeout of its own would end it.
        self._ear: Any = client.Redis.from_url(url, socket_connect_timeout=_TIMEOUT_S, health_check_interval=_LISTEN_S)
        self._prefix = prefix
        self._name = secrets.token_hex(6)
        self.error: str | None = None

    async def tell(self, rests: Sequence[Kept], ended: Sequence[Place]) -> None:
        """Never raises: what is not told is known here alone."""
        now = time.time()
        relative = [msgspec.structs.replace(each, until=min(each.until - now, _LONGEST_S)) for each in rests]
        pipe = self._redis.pipeline(transaction=False)
        for each in relative:
            if (left_ms := int(each.until * 1000)) > 0:
                pipe.set(self._key(each), msgspec.json.encode(each), px=left_ms)
        for gone in ended:
            pipe.delete(self._key(gone))
        pipe.publish(self._prefix, msgspec.json.encode(_News(self._name, relative, list(ended))))
        try:
            await pipe.execute()
        except self.failures as error:
            self._failed(error)
        else:
            self._works()

    async def listen(self, heard: Heard) -> None:
        """What others tell, for good; ended by cancelling it."""
        while True:
            try:
                async with self._ear.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(self._prefix)
                    heard(await self._all(), ())
                    self._works()
                    while True:
                        self._hear(await channel.get_message(timeout=_LISTEN_S), heard)
            except self.failures as error:
                self._failed(error)
            await asyncio.sleep(_AGAIN_S)

    async def close(self) -> None:
        for each in (self._redis, self._ear):
            with contextlib.suppress(TimeoutError, *self.failures):
                async with asyncio.timeout(_GOODBYE_S):
                    await each.aclose()

    def _hear(self, message: dict[str, Any] | None, heard: Heard) -> None:
        if message is None:
            return
        try:
            news = msgspec.json.decode(message["data"], type=_News)
        except msgspec.MsgspecError:
            return
        if news.sender != self._name:
            heard(list(_here(news.rests)), news.ended)

    async def _all(self) -> list[Kept]:
        """Everything that rests now."""
        names = [name async for name in self._redis.scan_iter(match=f"{_literal(self._prefix)}*", count=500)]
        if not names:
            return []
        pipe = self._redis.pipeline(transaction=False)
        for name in names:
            pipe.get(name)
            pipe.pttl(name)
        answers = await pipe.execute()
        found = []
        for content, left_ms in zip(answers[::2], answers[1::2], strict=True):
            if content is not None and left_ms > 0:
                with contextlib.suppress(msgspec.MsgspecError):
                    rest = msgspec.json.decode(content, type=Kept)
                    found.append(msgspec.structs.replace(rest, until=left_ms / 1000))
        return list(_here(found))

    def _key(self, rest: Kept | Place) -> str:
        return f"{self._prefix}{rest.account}|{rest.key}|{rest.scope}"

    def _failed(self, error: BaseException) -> None:
        if self.error is None:
            _log.warning("rests.not_shared", error=f"{type(error).__name__}: {error}"[:200])
        self.error = f"Redis does not answer ({type(error).__name__})"

    def _works(self) -> None:
        if self.error is not None:
            _log.info("rests.shared_again")
            self.error = None


def _here(rests: Iterable[Kept]) -> Iterable[Kept]:
    """With the times of this machine."""
    now = time.time()
    return (msgspec.structs.replace(each, until=now + each.until) for each in rests)


def _literal(text: str) -> str:
    """For a pattern of Redis."""
    return "".join(f"\\{each}" if each in "*?[]\\" else each for each in text)
