"""Where an answer's body ends: by its length, by its chunks, or with the connection.

Rule: pure and strict. `feed` gives the body bytes of one read as one piece; `over` says the body is whole, and `rest`
holds what came after it. Nothing is copied that is a body and nothing else.
"""

from __future__ import annotations

import re

from llm_mux.gateway.http.head import Malformed

_MOST_SIZE_LINE = 4096
_MOST_TRAILERS = 1 << 16
_MOST_EXTENSIONS = 1 << 20
"""In a whole body; short ones are not counted."""
_SHORT = 64
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\0\r\n]*")
_HEX = b"0123456789abcdefABCDEF"
_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")


class Sized:
    """A body of `length` bytes."""

    __slots__ = ("_left", "over", "rest")

    def __init__(self, length: int) -> None:
        self._left = length
        self.over = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The part of `data` that is body."""
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return data
        self.over = True
        if left == 0:
            return data
        self.rest = data[left:]
        return data[:left]

    def ended(self) -> bool:
        """Whether the body may end where the connection does."""
        return self.over


class UntilClose:
    """A body without a length: all that comes."""

    __slots__ = ("over", "rest")

    def __init__(self) -> None:
        self.over = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The part of `data` that is body."""
        return data

    def ended(self) -> bool:
        """Whether the body may end where the connection does."""
        return True


class Chunked:
    """A chunked body; extensions and trailers are read over."""

    __slots__ = ("_extensions", "_held", "_left", "_trailing", "over", "rest")

    def __init__(self) -> None:
        self._held = b""
        # Bytes of the chunk under way and the CR LF after it; 0: a size line comes next.
        self._left = 0
        self._trailing = 0
        self._extensions = 0
        self.over = False
        self.rest = b""

    def ended(self) -> bool:
        """Whether the body may end where the connection does."""
        return self.over

    def feed(self, data: bytes) -> bytes:
        """The body bytes of all chunks in `data`. Raises Malformed."""
        if not (self._left or self._held or self._trailing):
            # One whole chunk, as an event of a stream comes.
            start = data.find(b"\r\n", 0, 10)
            size = len(data) - start - 4
            if size > 0 and data[:start] == b"%x" % size and data.endswith(b"\r\n"):
                return data[start + 2 : -2]
        if self._held:
            data, self._held = self._held + data, b""
        out: list[bytes] = []
        at, size, line = 0, len(data), _SIZE.match
        while at < size:
            if self._left:
                at = self._within(data, at, out)
            elif self._trailing:
                at = self._trailer(data, at)
            else:
                # Whole chunks after plain sizes, as nearly all are.
                while (found := line(data, at)) is not None:
                    start = found.end()
                    stop = start + int(found[1], 16)
                    if stop == start or data[stop : stop + 2] != b"\r\n":
                        break
                    out.append(data[start:stop])
                    at = stop + 2
                if at < size:
                    at = self._chunk(data, at, out)
            if at < 0 or self.over:
                break
        return out[0] if len(out) == 1 else b"".join(out)

    def _chunk(self, data: bytes, at: int, out: list[bytes]) -> int:
        """Reads a size line and, when it is all there, its chunk; where to go on, -1 to wait for more."""
        end = data.find(b"\r\n", at)
        if end < 0:
            return self._hold(data, at, _MOST_SIZE_LINE)
        text = data[at:end]
        if len(text) > 8 or text.strip(_HEX):
            self._extensions += len(text) if len(text) > _SHORT else 0
            text = _size(text) if self._extensions <= _MOST_EXTENSIONS else b""
        if not text:
            raise Malformed("a chunk without a size, or too much beside the sizes")
        length = int(text, 16)
        start = end + 2
        if not length:
            self._trailing = 1
            return start
        stop = start + length
        if stop + 2 <= len(data):
            if data[stop : stop + 2] != b"\r\n":
                raise Malformed("a chunk that is longer than its size")
            out.append(data[start:stop])
            return stop + 2
        self._left = length + 2
        return start

    def _within(self, data: bytes, at: int, out: list[bytes]) -> int:
        """The next part of a chunk that did not come in one read."""
        body = self._left - 2
        here = len(data) - at
        if body > 0:
            piece = data[at : at + body]
            out.append(piece)
            self._left -= len(piece)
            return at + len(piece)
        if data[at] != (13 if self._left == 2 else 10):
            raise Malformed("a chunk that is longer than its size")
        step = min(here, self._left)
        if step == 2 and data[at + 1] != 10:
            raise Malformed("a chunk that is longer than its size")
        self._left -= step
        return at + step

    def _trailer(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at)
        if end < 0:
            return self._hold(data, at, _MOST_TRAILERS)
        if end == at:
            self.over = True
            self.rest = data[at + 2 :]
            return at + 2
        line = data[at:end]
        self._trailing += len(line)
        if self._trailing > _MOST_TRAILERS or _TRAILER.fullmatch(line) is None:
            raise Malformed("a trailer that is none, or too much of them")
        return end + 2

    def _hold(self, data: bytes, at: int, most: int) -> int:
        """Keeps the start of a line until the rest of it comes."""
        self._held = data[at:]
        if len(self._held) > most or b"\n" in self._held:
            raise Malformed("a line between chunks that is too long or not ended by CR LF")
        return -1


def _size(line: bytes) -> bytes:
    """The size in a line with an extension or space after it; b"" when it is none."""
    size, mark, extension = line.partition(b";")
    size = size.rstrip(b" \t")
    bad = len(line) > _MOST_SIZE_LINE or b"\n" in line or b"\r" in line or (not mark and extension)
    return b"" if bad or len(size) > 15 or size.strip(_HEX) else size


Framing = Sized | Chunked | UntilClose


def framing_of(length: int | None) -> Framing:
    """By `Head.length`."""
    if length is None:
        return Chunked()
    return UntilClose() if length < 0 else Sized(length)
