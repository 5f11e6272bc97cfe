"""Who is signed in at the dashboard: sessions in memory, each a secret of the browser's cookie and a token of the page.

Rule: a cookie goes to every port of its host, so it opens nothing alone; the token, which only pages of this very
origin can read, has to come with it in a header, with every method. Both are compared by their digests. Time is
monotonic seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Mapping

from msgspec import Struct

from llm_mux.errors import Kind, MuxError

TOKEN_HEADER = "X-CSRF-Token"  # noqa: S105 - the name of a header
IDLE_S = 8 * 3600.0
LONGEST_S = 3 * 86_400.0
MOST = 32
_MOST_COOKIES = 8
_MOST_NAME = 300
_SALT = os.urandom(32)


class Session(Struct):
    """`token` is the page's half of it; `id` names it to others and opens nothing. `address` and `browser` are those
    that it was begun from."""

    token: str
    begun: float
    seen: float
    id: str = ""
    address: str = ""
    browser: str = ""
    ended: bool = False

    def left(self, now: float) -> float:
        """Seconds until it is over, whatever is done until then; 0 when it is."""
        if self.ended or now - self.seen >= IDLE_S:
            return 0.0
        return max(0.0, self.begun + LONGEST_S - now)


class Sessions:
    """As many as `MOST`; the one that was not used for longest makes room. They last no longer than the process, nor
    than the management key that they were begun with."""

    def __init__(self) -> None:
        self._by_digest: OrderedDict[bytes, Session] = OrderedDict()
        self._key: str | None = None

    def belong_to(self, key: str | None) -> None:
        """Ends all when the management key is another one."""
        if key != self._key:
            self._key = key
            for session in self._by_digest.values():
                session.ended = True
            self._by_digest.clear()

    def begin(self, now: float, address: str = "", browser: str = "") -> tuple[str, Session]:
        """A new session and the secret of its cookie."""
        named = f"session_{secrets.token_hex(6)}"
        secret, session = (
            secrets.token_urlsafe(32),
            Session(secrets.token_urlsafe(32), now, now, named, address, browser[:_MOST_NAME]),
        )
        self._by_digest[_digest(secret)] = session
        if len(self._by_digest) > MOST:
            self._by_digest.popitem(last=False)[1].ended = True
        return secret, session

    def find(self, headers: Mapping[str, str], now: float) -> Session:
        """The session that a request belongs to. Raises MuxError CLIENT_AUTH or FORBIDDEN."""
        known = [(digest, one) for digest in self._named(headers) if (one := self._alive(digest, now)) is not None]
        if not known:
            message = "This session has ended or is not known here. Sign in again."
            raise MuxError(Kind.CLIENT_AUTH, message, code="session_expired")
        token = _digest(headers.get(TOKEN_HEADER, ""))
        for digest, session in known:
            if hmac.compare_digest(_digest(session.token), token):
                session.seen = now
                self._by_digest.move_to_end(digest)
                return session
        message = f"A session needs the token that it was given at its begin, as {TOKEN_HEADER}."
        raise MuxError(Kind.FORBIDDEN, message, code="csrf_token_wrong")

    def listed(self, now: float) -> list[Session]:
        """Those that are not over, the one that was used last first."""
        alive = [one for digest in list(self._by_digest) if (one := self._alive(digest, now)) is not None]
        return alive[::-1]

    def end(self, session: Session) -> None:
        session.ended = True
        for digest in [digest for digest, each in self._by_digest.items() if each is session]:
            del self._by_digest[digest]

    def _named(self, headers: Mapping[str, str]) -> Iterator[bytes]:
        for secret in given(headers)[:_MOST_COOKIES]:
            yield _digest(secret)

    def _alive(self, digest: bytes, now: float) -> Session | None:
        session = self._by_digest.get(digest)
        if session is not None and not session.left(now):
            del self._by_digest[digest]
            session.ended = True
            return None
        return session


def claimed(headers: Mapping[str, str]) -> bool:
    """Whether a request says that it belongs to a session."""
    return TOKEN_HEADER in headers or bool(given(headers))


def given(headers: Mapping[str, str]) -> list[str]:
    """What the browser sent as our cookie. A server on another port may have set one of the same name beside it."""
    name = f"{cookie_name(headers)}="
    pairs = (pair.strip() for pair in headers.get("Cookie", "").split(";"))
    return [pair[len(name) :] for pair in pairs if pair.startswith(name)]


def cookie_name(headers: Mapping[str, str]) -> str:
    """Daemons on two ports of a host share its cookies, so each has a name of its own."""
    port = headers.get("Host", "").rpartition(":")[2]
    return f"llm-mux-{port}" if port.isascii() and port.isdigit() else "llm-mux"


def cookie(headers: Mapping[str, str], secret: str) -> str:
    """The `Set-Cookie` that hands a secret over, or with "" takes it back."""
    secure = "; Secure" if headers.get("Origin", "").lower().startswith("https://") else ""
    over = "" if secret else "; Max-Age=0"
    return f"{cookie_name(headers)}={secret}; Path=/; HttpOnly; SameSite=Strict{secure}{over}"


def _digest(text: str) -> bytes:
    return hashlib.sha256(_SALT + text.encode("utf-8", "surrogateescape")).digest()
