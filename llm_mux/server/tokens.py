"""Who a signed client token speaks for: verified once and remembered until it expires, public keys fetched and kept.

Rule: a token that is refused is remembered nowhere, and no token, however many come, makes the daemon ask for public
keys more often than `REFETCH_S`. When their server does not answer, the keys that were there go on to count.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from llm_mux.auth import jwt
from llm_mux.auth.client_keys import digest
from llm_mux.config.schema import Jwt
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.upstream import Call, Timeouts, Upstream
from llm_mux.structured import structlog

if TYPE_CHECKING:
    from joserfc.jwk import Key

KEYS_FRESH_S = 600.0
KEYS_OLD_S = 3600.0
"""Older keys are not believed before their server was asked: one of them may have been taken away long ago."""
REFETCH_S = 10.0
REMEMBERED_S = 300.0
MOST_REMEMBERED = 4096
_MOST_BYTES = 1 << 20
_TIMEOUTS = Timeouts(connect=5, first_byte=5, between_bytes=5)

_log = structlog.get_logger()


class PublicKeys:
    """The keys behind a JWKS URL: `tried_at` is when they were asked for last, `had_at` when they came, in monotonic
    seconds."""

    def __init__(self, url: str, upstream: Upstream) -> None:
        self._url = url
        self._upstream = upstream
        self._keys: list[Key] = []
        self.had_at = float("-inf")
        self.tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def of(self, header: jwt.Header) -> list[Key]:
        """The keys that may have signed a token: the one that its header names, else all."""
        now = time.monotonic()
        found = self._named(header.kid)
        if not found and now - self.tried_at > REFETCH_S:
            await asyncio.shield(self._start())
            found = self._named(header.kid)
        elif now - self.had_at > KEYS_FRESH_S and now - self.tried_at > REFETCH_S:
            asked = self._start()
            if now - self.had_at > KEYS_OLD_S:
                await asyncio.shield(asked)
                found = self._named(header.kid)
        elif not found and self._fetching is not None:
            await asyncio.shield(self._fetching)
            found = self._named(header.kid)
        if not self._keys:
            message = "The keys that tokens are signed with cannot be fetched now; try again in a moment."
            raise MuxError(Kind.NO_TARGET, message, retry_after=REFETCH_S, code="jwks_unavailable")
        return found

    def _named(self, kid: str | None) -> list[Key]:
        return [key for key in self._keys if kid is None or key.kid in (None, kid)]

    def _start(self) -> asyncio.Task[None]:
        if self._fetching is None or self._fetching.done():
            self.tried_at = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        call = Call(
            self._url, {"Accept": "application/json"}, method="GET", place="auth.jwt.jwks-url", timeouts=_TIMEOUTS
        )
        try:
            reply = await self._upstream.send(call)
            try:
                body = await reply.read(_MOST_BYTES)
            finally:
                reply.close()
            if reply.status != 200:
                raise ValueError(f"status {reply.status}")
            self._keys = await asyncio.to_thread(jwt.public_keys, body)
            self.had_at = time.monotonic()
        except (MuxError, ValueError) as error:
            _log.warning("jwks.unread", error=str(error))


class Tokens:
    """The tokens of one configuration."""

    def __init__(self, settings: Jwt, secret: str | None, upstream: Upstream) -> None:
        self._rules = jwt.Rules.of(settings)
        self._secret = secret
        self._shared: list[Key] | None = None
        self.keys = PublicKeys(settings.jwks_url, upstream) if settings.jwks_url is not None else None
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    async def user(self, token: str, now: float) -> str:
        """The user that a token speaks for; `now` is unix seconds. Raises MuxError CLIENT_AUTH."""
        name = digest(token)
        known = self._known.get(name)
        if known is not None and known[1] > now:
            return known[0]
        claims = jwt.verify(token, await self._signers(token), self._rules, now)
        self._known[name] = claims.user, min(claims.expires, now + REMEMBERED_S)
        self._known.move_to_end(name)
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return claims.user

    async def _signers(self, token: str) -> list[Key]:
        header = jwt.header(token)
        if header.alg not in self._rules.algorithms:
            raise jwt.refused("Its signature is not one that the daemon accepts.")
        if self.keys is not None:
            return await self.keys.of(header)
        if self._shared is None:
            self._shared = [jwt.secret_key(self._secret)] if self._secret else []
        return self._shared
