"""Bodies that arrive packed: as their head says, or gzip that nothing announced.

Rule: we ask for `identity`, so all of this is for servers that pack in spite of it. A plain body costs one look at its
first bytes; a packed one is unpacked piece by piece, so that a small body cannot become a large heap.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Any, Protocol

_GZIP = b"\x1f\x8b"
_MOST = 1 << 20


def packed_unsaid(start: bytes) -> bool:
    """Whether a body that starts so may be gzip although nothing says so."""
    return start[:1] == _GZIP[:1]


class Damaged(Exception):
    """What arrived cannot be unpacked."""


class _Decoder(Protocol):
    """`more`: `feed(b"")` gives more; `whole`: what was fed so far ends where a packed body may end."""

    more: bool
    whole: bool

    def feed(self, data: bytes) -> bytes: ...


class _Members:
    """A coding whose packed bodies may follow one another: members of gzip, frames of Zstandard. `make` gives the
    decompressor for one that starts with the given bytes."""

    def __init__(self, make: Callable[[bytes], Any], error: type[Exception]) -> None:
        self._make = make
        self._error = error
        self._member: Any = None
        self._input = b""
        self.more = False
        self.whole = True

    def feed(self, data: bytes) -> bytes:
        data, out = self._input + data, b""
        while (data or self.more) and not out:
            if self._member is None or self._member.eof:
                self._member = self._make(data)
            member = self._member
            try:
                out = member.decompress(data, _MOST)
            except self._error as error:
                raise Damaged(str(error)) from error
            # zlib leaves what it did not come to; Zstandard keeps it to itself.
            data = member.unused_data if member.eof else getattr(member, "unconsumed_tail", b"")
            self.more = not member.eof and len(out) == _MOST
        self._input = data
        self.more = self.more or bool(data)
        self.whole = self._member is None or bool(self._member.eof)
        return out


class _Brotli:
    def __init__(self) -> None:
        import brotli  # type: ignore[import-untyped]  # it has none

        self._error = brotli.error
        self._stream = brotli.Decompressor()
        self.more = False
        self.whole = True

    def feed(self, data: bytes) -> bytes:
        try:
            out: bytes = self._stream.process(data, output_buffer_limit=_MOST)
        except self._error as error:
            raise Damaged(str(error)) from error
        self.whole = bool(self._stream.is_finished())
        self.more = bool(out) and not self.whole
        return out


def _gzip() -> _Decoder:
    return _Members(lambda _: zlib.decompressobj(31), zlib.error)


def _deflate() -> _Decoder:
    """It is meant to be in zlib's wrapping; some servers send it bare."""
    return _Members(lambda start: zlib.decompressobj(15 if start[0] & 0x0F == 8 else -15), zlib.error)


def _zstd() -> _Decoder:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    return _Members(lambda _: zstd.ZstdDecompressor(), zstd.ZstdError)


_DECODERS: dict[str, Callable[[], _Decoder]] = {"gzip": _gzip, "deflate": _deflate, "br": _Brotli, "zstd": _zstd}


class Unpacking:
    """One body. `label`: its content coding; an unknown one is left as it is.

    `plain`: nothing is packed, and what follows need not be fed. `more`: `feed(b"")` gives more of what was fed.
    """

    __slots__ = ("_inner", "_outer", "_start", "more", "plain")

    def __init__(self, label: str | None = None) -> None:
        make = _DECODERS.get(label) if label is not None else None
        self._outer = make() if make is not None else None
        self._inner: _Decoder | None = None
        self._start: bytes | None = b""
        self.plain = False
        self.more = False

    def feed(self, data: bytes) -> bytes:
        """The unpacked bytes, at most a bounded piece of them (see `more`). Raises Damaged."""
        outer, inner = self._outer, self._inner
        if outer is not None and (data or not (inner is not None and inner.more)):
            data = outer.feed(data)
        out = self._looked_at(data)
        inner = self._inner
        self.more = (outer is not None and outer.more) or (inner is not None and inner.more)
        return out

    def _looked_at(self, data: bytes) -> bytes:
        """Gzip that nothing announced is unpacked."""
        if self._inner is not None:
            return self._inner.feed(data)
        if self._start is None or not data:
            return data
        data = self._start + data
        if data == _GZIP[:1]:
            self._start = data
            return b""
        self._start = None
        if data.startswith(_GZIP):
            self._inner = _gzip()
            return self._inner.feed(data)
        self.plain = self._outer is None
        return data

    @property
    def whole(self) -> bool:
        """Whether nothing is held back and nothing is missing."""
        decoders = (self._outer, self._inner)
        return not self._start and not self.more and all(each is None or each.whole for each in decoders)

    def end(self) -> bytes:
        """What was held back of a body that ended after one byte."""
        held, self._start = self._start, None
        return held or b""
