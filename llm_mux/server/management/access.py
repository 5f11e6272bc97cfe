"""Who may manage: whoever has the management key or signed in with it, from this machine unless
`remote-management.allow-remote` says more.

Rule: the address is the connection's own; no header makes a request local, and one that a proxy passed on never is.
The key comes in a header, never in the URL, where logs and histories would keep it. Time is monotonic seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
from collections import OrderedDict
from collections.abc import Mapping

from msgspec import Struct

from llm_mux import log
from llm_mux.config import is_loopback
from llm_mux.errors import Kind, MuxError
from llm_mux.server.management.sessions import Session, Sessions, claimed

KEY_HEADER = "X-Management-Key"
FREE_GUESSES = 5
FIRST_LOCK_S = 30.0
LONGEST_LOCK_S = 900.0
FORGOTTEN_S = 3600.0
_MOST_ADDRESSES = 4096
_PASSED_ON = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via")
_SALT = os.urandom(32)


class _Guesses(Struct):
    """Wrong keys from one address: how many, when the last came, until when nothing of it is looked at."""

    count: int = 0
    last: float = 0.0
    locked_until: float = 0.0


class Lockout:
    """Wrong keys by address. It lasts as long as the process."""

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, _Guesses] = OrderedDict()

    @property
    def addresses(self) -> int:
        """How many are kept in mind."""
        return len(self._by_address)

    def wait(self, address: str, now: float) -> float:
        """Seconds until this address is listened to again, 0 when it is now."""
        found = self._by_address.get(address)
        return max(0.0, found.locked_until - now) if found is not None else 0.0

    def wrong(self, address: str, now: float) -> float:
        """Takes note of a wrong key: after the free ones each locks the address for twice as long as the one before.
        For how many seconds now."""
        found = self._by_address.pop(address, None)
        if found is None or now - found.last > FORGOTTEN_S:
            found = _Guesses()
        found.count, found.last = found.count + 1, now
        if found.count >= FREE_GUESSES:
            doubled = FIRST_LOCK_S * 2.0 ** min(found.count - FREE_GUESSES, 10)
            found.locked_until = now + min(doubled, LONGEST_LOCK_S)
        self._by_address[address] = found
        if len(self._by_address) > _MOST_ADDRESSES:
            self._by_address.popitem(last=False)
        return max(0.0, found.locked_until - now)

    def right(self, address: str) -> None:
        self._by_address.pop(address, None)


class Access:
    """The rules of one configuration. `key` None: nobody has made one yet."""

    def __init__(
        self, key: str | None, lockout: Lockout, sessions: Sessions | None = None, *, allow_remote: bool
    ) -> None:
        self._digest = _digest(key) if key is not None else None
        self._lockout = lockout
        self._sessions = sessions or Sessions()
        self._allow_remote = allow_remote

    @property
    def has_key(self) -> bool:
        return self._digest is not None

    def admit(self, peer: str, headers: Mapping[str, str], now: float) -> Session | None:
        """The session, of whoever has no key. Raises MuxError FORBIDDEN, LIMITED or CLIENT_AUTH. `peer` is the address
        at the connection's other end."""
        self._same_page(headers)
        if not self._allow_remote and not _local(peer, headers):
            message = "The management API answers this machine only; remote-management.allow-remote changes that."
            raise MuxError(Kind.FORBIDDEN, message, code="management_is_local")
        if self._digest is None:
            message = "There is no management key yet: llm-mux --init makes one."
            raise MuxError(Kind.FORBIDDEN, message, code="no_management_key")
        key = _given(headers)
        if not key and claimed(headers):
            return self._sessions.find(headers, now)
        self._known(key, _counted(peer), now)
        return None

    def _known(self, key: str, address: str, now: float) -> None:
        """Raises MuxError for what is not the management key, and for whoever tried too often."""
        if (wait := self._lockout.wait(address, now)) > 0:
            message = "Too many wrong management keys came from this address; wait a while."
            raise MuxError(Kind.LIMITED, message, code="locked_out", retry_after=wait)
        if not key:
            message = f"Send the management key as `{KEY_HEADER}` or `Authorization: Bearer`; llm-mux --init shows it."
            raise MuxError(Kind.CLIENT_AUTH, message, code="management_key_missing")
        if self._digest is None or not hmac.compare_digest(_digest(key), self._digest):
            if (locked := self._lockout.wrong(address, now)) > 0:
                log.logger.warning("management.locked_out", address=address, seconds=round(locked))
            message = "This is not the management key; llm-mux --init shows it."
            raise MuxError(Kind.CLIENT_AUTH, message, code="management_key_wrong")
        self._lockout.right(address)

    @staticmethod
    def _same_page(headers: Mapping[str, str]) -> None:
        """A web page may manage only the daemon that it came from, be it through a proxy that speaks TLS."""
        origin, host = headers.get("Origin"), headers.get("Host", "").lower()
        foreign = origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}")
        if foreign or headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            message = "Another page may not use the management API."
            raise MuxError(Kind.FORBIDDEN, message, code="origin_not_allowed")


def _given(headers: Mapping[str, str]) -> str:
    if key := headers.get(KEY_HEADER):
        return key.strip()
    bearer = headers.get("Authorization", "")
    return bearer[7:].strip() if bearer[:7].lower() == "bearer " else ""


def _local(peer: str, headers: Mapping[str, str]) -> bool:
    return is_loopback(_bare(peer)) and not any(name in headers for name in _PASSED_ON)


def _bare(peer: str) -> str:
    """An IPv4 address that came through an IPv6 socket is still itself."""
    return peer.lower().removeprefix("::ffff:").partition("%")[0]


def _counted(peer: str) -> str:
    """What guesses are counted by: whoever has one address of an IPv6 network has all of them."""
    try:
        address = ipaddress.ip_address(_bare(peer))
    except ValueError:
        return peer
    return str(ipaddress.ip_network(f"{address}/64", strict=False)) if address.version == 6 else str(address)


def _digest(key: str) -> bytes:
    return hashlib.sha256(_SALT + key.encode("utf-8", "surrogateescape")).digest()
