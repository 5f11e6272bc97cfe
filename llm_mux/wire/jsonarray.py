"""The elements of a JSON array that grows while it is read: Gemini's streams without `alt=sse`.

Rule: an element is given out as soon as its last byte is there, with its exact bytes; a bare object counts as one
element, and so does a body that is no JSON array at all (an HTML page), whole, at `finish`.
"""

from __future__ import annotations

import re

from llm_mux.wire.carry import MAX_RECORD, Carry, TooLong
from llm_mux.wire.nesting import Nesting

__all__ = ["Splitter", "TooLong"]

_BETWEEN = re.compile(rb"[\s,\]]*+")
_BEFORE = re.compile(rb"[\s\xef\xbb\xbf]*+")
_SCALAR_END = re.compile(rb"[\s,\]]")


class Splitter:
    """Bytes in any cut to elements; what is unfinished at the end comes out of `finish`, for its reader to judge."""

    def __init__(self, limit: int = MAX_RECORD) -> None:
        self._carry = Carry(limit)
        self._nesting: Nesting | None = None
        self._in_scalar = False
        self._in_array = False
        self._foreign = False

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._foreign:
            self._carry.add(chunk)
            return []
        elements: list[bytes] = []
        at = 0
        while at < len(chunk):
            if self._nesting is None and not self._in_scalar:
                at = self._begin(chunk, at)
                continue
            end = self._end(chunk, at)
            if end < 0:
                break
            self._carry.add(chunk[at:end])
            elements.append(self._carry.take())
            self._nesting, self._in_scalar = None, False
            at = end
        self._carry.add(chunk[at:])
        return elements

    def finish(self) -> list[bytes]:
        """An element that was cut off, or the whole body when it was no array."""
        rest = self._carry.take().strip()
        return [rest] if rest else []

    def _begin(self, chunk: bytes, at: int) -> int:
        """Goes to the next element's first byte and says how its end is to be found."""
        match = (_BETWEEN if self._in_array else _BEFORE).match(chunk, at)
        at = match.end() if match else at
        first = chunk[at : at + 1]
        if not first:
            return at
        if not self._in_array and first == b"[":
            self._in_array = True
            return at + 1
        if first in (b"{", b"[", b'"'):
            self._nesting = Nesting()
        elif self._in_array:
            self._in_scalar = True
        else:
            self._foreign = True
            self._carry.add(chunk[at:])
            return len(chunk)
        return at

    def _end(self, chunk: bytes, at: int) -> int:
        if self._nesting is not None:
            return self._nesting.close(chunk, at)
        match = _SCALAR_END.search(chunk, at)
        return match.start() if match else -1
