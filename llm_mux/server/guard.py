"""Who may talk to the daemon at all: Host and Origin even on loopback (a web page must not spend the user's quota),
and client keys: fixed ones, those of the database, signed tokens. Answers are remembered per value, those about wrong
keys nowhere; everything here is a few dictionary look-ups a request."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from llm_mux.auth import jwt
from llm_mux.auth.client_keys import fixed_name
from llm_mux.config import Config, is_loopback
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.ask import Caller
from llm_mux.ledger.key_book import KeyBook
from llm_mux.ledger.keys import ClientKey, reserved
from llm_mux.server.management.sessions import TOKEN_HEADER, Sessions, claimed
from llm_mux.server.tokens import Tokens

_HOSTS = ("localhost", "127.0.0.1", "::1", "host.docker.internal")
_SCHEMES = ("app", "file", "tauri", "vscode-webview", "vscode-file")
_MOST_CACHED = 1024
_SIGNED = "AWS4-HMAC-SHA256 Credential="
_KEY_HEADERS = ("x-api-key", "x-goog-api-key", "api-key")


class Passed(NamedTuple):
    """What a guard found of a request: the Origin to answer to, if there is one, and who asks."""

    guard: Guard
    origin: str | None
    caller: Caller


class Held(NamedTuple):
    """What a guard remembers of headers with a key of the database: where the key is looked up, and what it was taken
    for last."""

    guard: Guard
    place: bytes
    key: ClientKey
    caller: Caller


class Guard:
    """The rules of one configuration."""

    def __init__(
        self,
        config: Config,
        keys: Iterable[str],
        book: KeyBook,
        tokens: Tokens | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        self._hosts = {host.lower() for host in (*_HOSTS, config.host, *config.allowed_hosts)}
        self._origins = {origin.lower().rstrip("/") for origin in config.allowed_origins}
        self._keys = {_digest(key): _configured(key) for key in keys}
        self._book = book
        self._sessions = sessions or Sessions()
        self.tokens = tokens
        self.open = config.disable_auth
        self.local = is_loopback(config.host)
        self._seen_hosts: dict[str, bool] = {}
        self._seen_origins: dict[str, bool] = {}

    @property
    def fixed(self) -> list[str]:
        """What the keys of the configuration are called."""
        return [caller.name for caller in self._keys.values() if caller.name is not None]

    def check(self, headers: Mapping[str, str]) -> str | None:
        """Raises MuxError FORBIDDEN for a strange Host or Origin; gives the Origin to answer to, if there is one."""
        self.check_host(headers)
        origin = headers.get("Origin")
        if origin is None:
            return None
        if not self.origin_allowed(origin) and not _own(origin, headers.get("Host", "")):
            message = "This page may not use the daemon. Add its origin to `allowed-origins` to let it in."
            raise MuxError(Kind.FORBIDDEN, message, code="origin_not_allowed")
        return origin

    def _is_ours(self, name: str) -> bool:
        return name in self._hosts or any(fnmatchcase(name, each) for each in self._hosts if "*" in each)

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Raises MuxError FORBIDDEN for a strange Host."""
        host = headers.get("Host", "")
        good = self._seen_hosts.get(host)
        if good is None:
            good = _remember(self._seen_hosts, host, self._is_ours(_hostname(host)))
        if not good:
            message = "This Host is not one of the daemon's own. Add it to `allowed-hosts` to let it in."
            raise MuxError(Kind.FORBIDDEN, message, code="host_not_allowed")

    def origin_allowed(self, origin: str) -> bool:
        good = self._seen_origins.get(origin)
        return _remember(self._seen_origins, origin, self._allows(origin)) if good is None else good

    def _allows(self, origin: str) -> bool:
        lowered = origin.lower().rstrip("/")
        if lowered in self._origins:
            return True
        try:
            parts = urlsplit(lowered)
            return parts.scheme in _SCHEMES or (parts.scheme in ("http", "https") and is_loopback(parts.hostname or ""))
        except ValueError:
            return False

    async def admit(
        self, headers: Mapping[str, str], query_key: str | None, origin: str | None, memo: dict[object, Any]
    ) -> Passed:
        """`caller` beside the `origin` that `check` gave. What they give for these very headers is remembered in
        `memo`, where no other request with them could be told anything else."""
        key = client_key(headers, query_key)
        if key:
            fixed = self._keys.get(_digest(key)) if self._keys else None
        else:
            fixed = Caller() if self.open and TOKEN_HEADER not in headers else None
        if fixed is None:
            return Passed(self, origin, await self.caller(headers, query_key))
        passed = memo[Passed] = Passed(self, origin, fixed)
        return passed

    def caller_at_once(
        self, headers: Mapping[str, str], query_key: str | None, memo: dict[object, Any]
    ) -> Caller | None:
        """Who asks with a key, where `check` and `caller` would say so without waiting, of a request that has no
        origin; None for whoever they may refuse. `memo` is that of `admit`."""
        held: Held | None = memo.get(Held)
        if held is None or held.guard is not self:
            return self._told_at_once(headers, query_key, memo)
        found = self._book.at(held.place, time.time()) if self.open or self._book.fresh else None
        if found is not held.key:
            memo.pop(Held)
            return self._told_at_once(headers, query_key, memo)
        return held.caller

    def _told_at_once(
        self, headers: Mapping[str, str], query_key: str | None, memo: dict[object, Any]
    ) -> Caller | None:
        key = client_key(headers, query_key)
        if not key or (self.tokens is not None and jwt.looks_signed(key)) or self.check(headers) is not None:
            return None
        configured = self._keys.get(_digest(key)) if self._keys else None
        if configured is not None:
            memo[Passed] = Passed(self, None, configured)
            return configured
        place = self._book.place(key)
        found = self._book.at(place, time.time()) if self.open or self._book.fresh else None
        if found is not None:
            held = memo[Held] = Held(self, place, found, _owner(found, key))
            return held.caller
        return Caller(key=key) if self.open else None

    async def caller(self, headers: Mapping[str, str], query_key: str | None) -> Caller:
        """Who asks. Waits only for a key that is not known yet. Raises MuxError CLIENT_AUTH when keys are required and
        none, or a wrong one, came."""
        key = client_key(headers, query_key)
        configured = self._keys.get(_digest(key)) if key and self._keys else None
        if configured is not None:
            return configured
        if not key and self.open:
            return self._page(headers) if TOKEN_HEADER in headers else Caller()
        if not key and claimed(headers):
            return self._page(headers)
        if not key:
            message = "No API key was given. Send one as `Authorization: Bearer`, `x-api-key` or `x-goog-api-key`."
            raise MuxError(Kind.CLIENT_AUTH, message, code="invalid_api_key")
        if self.tokens is not None and jwt.looks_signed(key):
            return await self._signed(self.tokens, key)
        now = time.time()
        found = self._book.known(key, now) if self.open else await self._book.find(key, now)
        if found is not None:
            return _owner(found, key)
        if self.open:
            return Caller(key=key)
        if self._book.error is not None:
            message = "Client keys cannot be checked now: the database does not answer. Try again in a moment."
            raise MuxError(Kind.NO_TARGET, message, retry_after=1.0, code="keys_unavailable")
        message = (
            "Incorrect API key provided. Take one of `llm-mux keys create`, or of `api-keys` in the configuration."
        )
        raise MuxError(Kind.CLIENT_AUTH, message, code="invalid_api_key")

    def _page(self, headers: Mapping[str, str]) -> Caller:
        """The dashboard, for whoever is signed in there. Raises MuxError CLIENT_AUTH or FORBIDDEN."""
        origin, host = headers.get("Origin"), headers.get("Host", "")
        if origin is not None and not _own(origin, host):
            raise MuxError(Kind.FORBIDDEN, "A session is for its own page.", code="origin_not_allowed")
        self._sessions.find(headers, time.monotonic())
        return Caller(name="dashboard", tenant="dashboard")

    async def _signed(self, tokens: Tokens, token: str) -> Caller:
        try:
            user = await tokens.user(token, time.time())
        except MuxError:
            if self.open:
                return Caller(key=token)
            raise
        if reserved(user):
            raise jwt.refused("Its claim `sub` is a name that the daemon keeps for itself.")
        return Caller(name="jwt", tenant=f"user:{user}", key=token, user=user)


def _configured(key: str) -> Caller:
    name = fixed_name(key)
    return Caller(name=name, tenant=name, key=key)


def _owner(found: ClientKey, key: str) -> Caller:
    tenant = f"user:{found.user}" if found.user is not None else f"key:{found.id}"
    return Caller(found.name, tenant, key, key_id=found.id, user=found.user, scopes=found.scopes)


def client_key(headers: Mapping[str, str], query_key: str | None) -> str:
    """The key a client sent, in whichever place its protocol puts it; "" when it sent none."""
    bearer = headers.get("Authorization", "")
    if bearer[:7].lower() == "bearer ":
        return bearer[7:].strip()
    if bearer.startswith(_SIGNED):
        return bearer[len(_SIGNED) :].partition("/")[0]
    for name in _KEY_HEADERS:
        if value := headers.get(name):
            return value
    return query_key or ""


def _digest(key: str) -> bytes:
    # Looking up salted digests tells an attacker's clock nothing about the keys' own bytes.
    return hashlib.sha256(_SALT + key.encode("utf-8", "surrogateescape")).digest()


_SALT = os.urandom(32)


def _own(origin: str, host: str) -> bool:
    """Whether it is the daemon's own page, be it through a proxy that speaks TLS. `host` has been checked."""
    return origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def _hostname(host: str) -> str:
    name = host.lower()
    if name.startswith("["):
        return name[1:].split("]", 1)[0]
    return name.rsplit(":", 1)[0] if name.count(":") == 1 else name


def _remember(seen: dict[str, bool], value: str, good: bool) -> bool:
    if len(seen) >= _MOST_CACHED:
        seen.clear()
    seen[value] = good
    return good
