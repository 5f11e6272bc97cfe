"""What a splitter keeps between two reads: the pieces of a record whose end has not come yet.

Rule: a piece is stored once and joined once, so a record of any size costs time in proportion to its bytes.
"""

from __future__ import annotations

MAX_RECORD = 64 * 1024 * 1024


class TooLong(ValueError):
    """A record has passed the limit; whoever sent it is not going to end it."""


class Carry:
    """Pieces in order of arrival; `add` raises `TooLong` past `limit` bytes."""

    __slots__ = ("_limit", "_pieces", "size")

    def __init__(self, limit: int = MAX_RECORD) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        if not piece:
            return
        self.size += len(piece)
        if self.size > self._limit:
            raise TooLong(f"a record of the stream is longer than {self._limit} bytes")
        self._pieces.append(piece)

    def take(self) -> bytes:
        """Everything stored, as one; the carry is empty afterwards."""
        whole = b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        return whole
