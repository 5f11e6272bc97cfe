"""Heads of requests as clients of model APIs write them, read in one way or not at all.

Rule: whatever could be understood in two ways, or needs more of HTTP than a POST with a length, is left to aiohttp's
parser: `read` gives None for it. So nothing is decided here that two parsers could decide differently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct, field
from multidict import CIMultiDict, CIMultiDictProxy

from llm_mux.server.serving import ModelRoute

MOST_HEAD: Final = 16 << 10
_MOST_KEPT = 256
_LENGTHS = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")
_START = re.compile(rb"[A-Z]{1,20}(?: |\Z)")
_LINE = re.compile(rb"POST (/[!-~]*) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}):[ \t]*([!-~](?:[ -~\t]*[!-~])?)?[ \t]*")
# What changes how a message ends or is packed, or asks for another protocol.
_SPECIAL = frozenset(
    {"transfer-encoding", "content-encoding", "expect", "upgrade", "trailer", "http2-settings", "content-length"}
)
HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?", re.ASCII)
_ONCE = frozenset({"host", "content-type", "authorization", "origin", "connection"})
_PLAIN_QUERY = re.compile(r"[\w.~=&-]*", re.ASCII)

Find = Callable[[str, Mapping[str, str]], ModelRoute | None]


class Head(Struct, frozen=True):
    """What a head says beside its length; `memo` is for what follows from it."""

    route: ModelRoute
    path: str
    headers: CIMultiDictProxy[str]
    query_key: str | None
    memo: dict[object, Any] = field(default_factory=dict)


class Heads:
    """Reads heads. Clients send the same one over and over, but for the length: the last ones are remembered."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._known: dict[bytes, Head] = {}
        self._last: dict[bytes, tuple[Head, int]] = {}

    def read(self, head: bytes) -> tuple[Head, int] | None:
        """A head (without the blank line after it) and the length of its body, None for what aiohttp is to take."""
        found = self._last.get(head)
        if found is None:
            found = self._read(head)
            if found is not None:
                if len(self._last) >= _MOST_KEPT:
                    self._last.clear()
                self._last[head] = found
        return found

    def _read(self, head: bytes) -> tuple[Head, int] | None:
        for name in _LENGTHS:
            if (at := head.find(name)) >= 0:
                break
        else:
            return None
        start = at + len(name)
        end = head.find(b"\r\n", start)
        digits, rest = (head[start:], b"") if end < 0 else (head[start:end], head[end:])
        if not digits.isdigit() or len(digits) > 9:
            return None
        # No head holds a NUL: it stands for the line with the length.
        key = head[:at] + b"\0" + rest
        known = self._known.get(key)
        if known is None:
            known = self._parsed(head[:at] + rest)
            if known is None:
                return None
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            self._known[key] = known
        return known, int(digits)

    def _parsed(self, head: bytes) -> Head | None:
        first, *lines = head.split(b"\r\n")
        asked = _LINE.fullmatch(first)
        fields = _fields(lines)
        if asked is None or fields is None:
            return None
        path, _, query = asked[1].decode().partition("?")
        if "%" in path or "//" in path or "/." in path or "#" in path or not _PLAIN_QUERY.fullmatch(query):
            return None
        values = dict(_pair(pair) for pair in query.split("&")) if query else {}
        route = self._find(path, values)
        if route is None:
            return None
        return Head(route, path, CIMultiDictProxy(CIMultiDict(fields)), values.get("key"))


def unfinished(data: bytes) -> bool:
    """Whether the start of a request may yet become a head, of any method: the rest is waited for, but not for ever."""
    return len(data) < MOST_HEAD and data.count(b"\n") == data.count(b"\r\n") and _START.match(data) is not None


def _fields(lines: list[bytes]) -> list[tuple[str, str]] | None:
    """The fields beside the length, None when one of them is not plain."""
    fields: list[tuple[str, str]] = []
    seen: set[str] = set()
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            return None
        name, value = found[1].decode(), (found[2] or b"").decode()
        lowered = name.lower()
        if lowered in _SPECIAL or (lowered in _ONCE and lowered in seen):
            return None
        if lowered == "host" and HOST.fullmatch(value) is None:
            return None
        if lowered == "connection" and value.lower() != "keep-alive":
            return None
        seen.add(lowered)
        fields.append((name, value))
    return fields if "host" in seen and len(fields) < 100 else None


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value
