"""Reasoning seals in Redis, shared by all daemons that name it: for a day, each under a name that tells nothing.

Rule: name and cipher key are made of the tenant and the call itself, with LLM_MUX_SECRETS_KEY where that is set. Who
reads Redis finds neither reasoning nor whose it is; who sends the call back can open what belongs to it. Redis that
does not answer costs the seal, not the request, and is asked again a second later.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from llm_mux.auth.postgres_store import KEY
from llm_mux.config import ConfigError
from llm_mux.gateway.seals import LIFE_S

_PREFIX = "{llm-mux}:seals:"
_TIMEOUT_S = 0.5
_GOODBYE_S = 2.0
_AGAIN_S = 1.0
_MOST_BYTES = 1 << 20
_NONCE = 12


class RedisSeals:
    """Used from one event loop."""

    def __init__(self, url: str, env: Mapping[str, str]) -> None:
        try:
            import redis.asyncio as client
            from redis.exceptions import RedisError
        except ModuleNotFoundError as error:
            raise ConfigError(
                "redis-url needs the Redis client; install it with: pip install 'llm-mux[redis]'"
            ) from error
        self._failures: tuple[type[BaseException], ...] = (RedisError, OSError, TimeoutError)
        self._redis: Any = client.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        self._secret = b"llm-mux seals " + env.get(KEY, "").split(" ")[0].encode()
        self._again_at = 0.0

    async def put(self, keys: Sequence[str], packed: bytes) -> None:
        """Never raises."""
        if len(packed) > _MOST_BYTES or time.monotonic() < self._again_at:
            return
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.set(self._name(key), self._closed(key, packed), px=int(LIFE_S * 1000))
        try:
            await pipe.execute()
        except self._failures:
            self._again_at = time.monotonic() + _AGAIN_S

    async def find(self, keys: Sequence[str]) -> list[bytes] | None:
        """What is there of it; None when Redis does not answer."""
        if time.monotonic() < self._again_at:
            return None
        try:
            answers = await self._redis.mget([self._name(key) for key in keys])
        except self._failures:
            self._again_at = time.monotonic() + _AGAIN_S
            return None
        opened = [self._opened(key, sealed) for key, sealed in zip(keys, answers, strict=True) if sealed is not None]
        return [packed for packed in opened if packed is not None]

    async def close(self) -> None:
        with contextlib.suppress(TimeoutError, *self._failures):
            async with asyncio.timeout(_GOODBYE_S):
                await self._redis.aclose()

    def _made(self, what: bytes, key: str) -> bytes:
        return hmac.digest(self._secret, what + key.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def _name(self, key: str) -> str:
        return _PREFIX + self._made(b"name ", key).hex()

    def _closed(self, key: str, packed: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE)
        return nonce + AESGCM(self._made(b"key ", key)).encrypt(nonce, packed, None)

    def _opened(self, key: str, sealed: bytes) -> bytes | None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self._made(b"key ", key)).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
        except InvalidTag:
            return None
