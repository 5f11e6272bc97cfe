"""Bodies that arrive packed: as their head says, or gzip that nothing announced.

Rule: we ask for `identity`, so all of this is for servers that pack in spite of it; a plain body costs one look at its
first bytes.
"""

from __future__ import annotations

import zlib
from typing import Any

_GZIP = b"\x1f\x8b"


class Unlabelled:
    """Unpacks a body that is gzip although nothing said so, also one of several members. `cut`: its end is missing;
    `plain`: it is not gzip, and what follows need not be fed."""

    __slots__ = ("_start", "_unzip", "cut", "plain")

    def __init__(self) -> None:
        self._start: bytes | None = b""
        self._unzip: Any = None
        self.cut = False
        self.plain = False

    def feed(self, data: bytes) -> bytes:
        """The unpacked bytes. Raises zlib.error when they are damaged."""
        if self._start is not None:
            data = self._start + data
            self._start = data if data == _GZIP[:1] else None
            if self._start is not None:
                return b""
            if data.startswith(_GZIP):
                self._unzip = zlib.decompressobj(wbits=31)
            else:
                self.plain = True
        return data if self._unzip is None else self._unzipped(data)

    def _unzipped(self, data: bytes) -> bytes:
        out: list[bytes] = []
        while data:
            if self._unzip.eof:
                self._unzip = zlib.decompressobj(wbits=31)
            out.append(self._unzip.decompress(data))
            data = self._unzip.unused_data
        self.cut = not self._unzip.eof
        return b"".join(out)

    @property
    def unfinished(self) -> bool:
        """Whether a byte is held back that may be the start of gzip, or the end of one is missing."""
        return self.cut or bool(self._start)

    def end(self) -> bytes:
        """What was held back of a body that ended after one byte."""
        held, self._start = self._start, None
        return held or b""
