"""Where a JSON value ends in bytes that arrive in pieces, found by counting brackets outside strings.

Rule: every byte is looked at once, whatever the cuts.
"""

from __future__ import annotations

import re

_OUTSIDE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(")?|[{}\[\]]', re.DOTALL)
_INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_QUOTE, _BACKSLASH = 0x22, 0x5C
_OPEN = frozenset(b"{[")


class Nesting:
    """Counts through one object, array or string that begins with the first byte given to `close`."""

    __slots__ = ("_depth", "_escaped", "_in_string")

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def close(self, data: bytes, start: int = 0) -> int:
        """The offset just past the byte in `data` that ends the value, or -1 when it goes on in the next piece."""
        at = start
        if self._in_string:
            at = self._string_end(data, at)
            if at < 0:
                return -1
            if self._depth == 0:
                return at
        for match in _OUTSIDE.finditer(data, at):
            first = data[match.start()]
            if first == _QUOTE:
                if match.end(1) < 0:
                    self._in_string = True
                    self._string_end(data, match.start() + 1)
                    return -1
            elif first in _OPEN:
                self._depth += 1
                continue
            else:
                self._depth -= 1
            if self._depth <= 0:
                return match.end()
        return -1

    def _string_end(self, data: bytes, at: int) -> int:
        if self._escaped and at < len(data):
            at += 1
            self._escaped = False
        match = _INSIDE.match(data, at)
        stop = match.end() if match else at
        if stop < len(data) and data[stop] == _QUOTE:
            self._in_string = False
            return stop + 1
        self._escaped = self._escaped or (stop < len(data) and data[stop] == _BACKSLASH)
        return -1
