"""Newline-delimited JSON, Ollama's framing: one object a line, no blank lines (the Python client raises on one).

Rule: split on LF only, at the level of bytes; U+2028 and its kin may stand raw inside JSON strings.
"""

from __future__ import annotations

from llm_mux.wire.carry import MAX_RECORD, Carry, TooLong

__all__ = ["Splitter", "TooLong", "line"]

_BOM = b"\xef\xbb\xbf"


class Splitter:
    """Bytes in any cut to whole lines without their ends; blank lines are dropped."""

    def __init__(self, limit: int = MAX_RECORD) -> None:
        self._carry = Carry(limit)
        self._fresh = True

    def feed(self, chunk: bytes) -> list[bytes]:
        head, *rest = chunk.split(b"\n")
        self._carry.add(head)
        if not rest:
            return []
        lines = [self._carry.take(), *rest[:-1]]
        self._carry.add(rest[-1])
        return self._shown(lines)

    def finish(self) -> list[bytes]:
        """The last line, when it came without its end."""
        return self._shown([self._carry.take()])

    def _shown(self, lines: list[bytes]) -> list[bytes]:
        if self._fresh:
            lines[0] = lines[0].removeprefix(_BOM)
            self._fresh = False
        return [text for text in (line.strip() for line in lines) if text]


def line(data: bytes) -> bytes:
    """One object as a line; `data` is compact JSON, which has no line breaks."""
    return data + b"\n"
