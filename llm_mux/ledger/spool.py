"""Rows on their way to the database, on disk: a killed process or a database that is away costs none of them.

Rule: `append` is a copy into shared memory (`ring`), or, where there is none or it is full or the database is away, one
write at the end of an open file, so it may stand on the event loop; either outlives the process, however it ends. What
the disk has is always older than what the ring has. What reads, empties and removes files may take longer: the writer
calls it in a thread. Segments and ring belong to the writer whose name they carry; while it lives it holds the lock
beside them, and whoever can take that lock afterwards knows that it is gone and may read what is left. What is
appended together is there together; where that was not finished it ends its segment.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import struct
import threading
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from llm_mux.ledger import ring
from llm_mux.ledger.balances import Settlement
from llm_mux.ledger.ring import Ring
from llm_mux.ledger.rows import Exchange
from llm_mux.paths import private_dir

MOST_BYTES = 128 << 20
SEGMENT_BYTES = 1 << 20
_TRIES = 3

_ROWS, _RING, _LOCK = ".rows", ".ring", ".lock"
_LENGTH = struct.Struct("<I")
_HEAD = _LENGTH.size
_pack_into = _LENGTH.pack_into
_encode_into = msgspec.msgpack.Encoder().encode_into
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


class Piece(Struct, frozen=True, array_like=True, gc=False):
    """A row and what is paid for it, which go into the books together, or either alone. `number` grows with every piece
    of a writer."""

    number: int
    row: Exchange | None = None
    payment: Settlement | None = None


class _Segment(Struct):
    path: Path
    fd: int
    size: int = 0
    last: int = 0


class Spool:
    """The segments of one writer in `folder`, oldest first; all together take `most_bytes` and no more. The newest
    pieces are in `shared` memory, if there is such. Used from any thread."""

    def __init__(
        self,
        folder: Path,
        shared: Path | None = None,
        *,
        most_bytes: int = MOST_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        ring_bytes: int = ring.RING_BYTES,
    ) -> None:
        self.writer = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._folder = folder
        self._shared = shared
        self._most_bytes = most_bytes
        self._segment_bytes = segment_bytes
        self._ring_bytes = ring_bytes
        self._segments: deque[_Segment] = deque()
        self._ring: Ring | None = None
        self._late = False
        self._last = 0
        self._data = bytearray()
        self._busy = threading.Lock()
        self._lock: int | None = None
        self._made = 0
        self.size = 0
        """Bytes on disk."""

    def claim(self) -> None:
        """From here on others can see whether this writer lives. Raises OSError."""
        if self._lock is None:
            with self._busy:
                self._hold_lock()

    def append(self, *pieces: Piece) -> None:
        """Put pieces, which are some, at the end. Raises OSError, and then none of them is there."""
        data, last = self._data, pieces[-1].number
        with self._busy:
            try:
                _encode_into(pieces, data, _HEAD)
                _pack_into(data, 0, len(data) - _HEAD)
            except (UnicodeError, OverflowError, ValueError) as error:
                raise OSError(errno.EINVAL, f"a row that no file takes: {error}") from error
            if (ring := self._ring) is None or self._late or not ring.append(data):
                self._append_otherwise(data, last)
            self._last = last

    def settle(self) -> None:
        """The database is away: what it does not have goes to disk, and what comes until it has something, too."""
        with self._busy, contextlib.suppress(OSError):
            self._late = True
            self._to_disk()

    def mark(self) -> None:
        """What is in it now will be handed to the database together."""
        with self._busy:
            if self._ring is not None:
                self._ring.mark(self._last)

    def after(self, number: int) -> list[Piece]:
        """The pieces that follow `number`, as many as one segment has, or the ring. Raises OSError."""
        with self._busy:
            path = next((segment.path for segment in self._segments if segment.last > number), None)
            content = self._ring.content() if path is None and self._ring is not None else b""
        found = _pieces(content) if path is None else _read(path)
        return [piece for piece in found if piece.number > number]

    def written(self, number: int) -> None:
        """The database has every piece up to `number`: what holds only those is emptied. A file that cannot be emptied
        costs nothing but its room: what it holds is not written twice."""
        with self._busy, contextlib.suppress(OSError):
            self._late = False
            if self._ring is not None:
                self._ring.written(number)
                if not self._ring.found():
                    self._to_disk()
                    self._drop_ring()
            while len(self._segments) > 1 and self._segments[0].last <= number:
                self._drop_oldest()
            if self._segments and self._segments[0].last <= number:
                self._empty(self._segments[0])

    def close(self, number: int) -> None:
        """`written`, and let go of the lock, so that another may write what is left; nothing left, nothing stays."""
        self.mark()
        self.written(number)
        with self._busy:
            if self._ring is not None:
                with contextlib.suppress(OSError):
                    self._to_disk()
                self._drop_ring()
            while self._segments and not self._segments[0].size:
                self._drop_oldest()
            for segment in self._segments:
                os.close(segment.fd)
            if self._lock is not None:
                if not self._segments:
                    _lock_of(self._folder, self.writer).unlink(missing_ok=True)
                os.close(self._lock)
                self._lock = None

    def _append_otherwise(self, data: bytearray, number: int) -> None:
        """Not into the ring that there was."""
        if self._ring is None and self._shared is not None:
            self._ring = self._new_ring(self._shared)
        else:
            self._to_disk()
        if self._ring is None or self._late or not self._ring.append(data):
            self._append_to_segment(data, number)

    def _append_to_segment(self, data: bytes | bytearray, number: int) -> None:
        if self.size + len(data) > self._most_bytes:
            raise OSError(errno.ENOSPC, "the spool is full")
        segment = self._segments[-1] if self._segments else None
        if segment is None or segment.size >= self._segment_bytes:
            segment = self._new_segment()
        _write(segment, data)
        self.size += len(data)
        segment.size += len(data)
        segment.last = number

    def _to_disk(self) -> None:
        """What the ring has, for it is older than what comes."""
        if self._ring is not None and self._ring.used:
            self._append_to_segment(self._ring.content(), self._last)
            self._ring.clear()

    def _new_ring(self, shared: Path) -> Ring | None:
        """None where it cannot be; it is not tried again."""
        self._hold_lock()
        try:
            return Ring(self._folder / f"{self.writer}{_RING}", shared, size=self._ring_bytes)
        except OSError:
            self._shared = None
            return None

    def _drop_ring(self) -> None:
        if self._ring is not None:
            self._ring.close(keep=self._ring.used > 0)
            self._ring = None

    def _hold_lock(self) -> None:
        private_dir(self._folder)
        for _ in range(_TRIES):
            if self._lock is None:
                self._lock = _locked(_lock_of(self._folder, self.writer))

    def _new_segment(self) -> _Segment:
        self._hold_lock()
        self._made += 1
        path = self._folder / f"{self.writer}.{self._made:09d}{_ROWS}"
        segment = _Segment(path, os.open(path, _FLAGS, 0o600))
        self._segments.append(segment)
        return segment

    def _drop_oldest(self) -> None:
        segment = self._segments.popleft()
        self.size -= segment.size
        os.close(segment.fd)
        segment.path.unlink(missing_ok=True)

    def _empty(self, segment: _Segment) -> None:
        if segment.size:
            os.ftruncate(segment.fd, 0)
            self.size -= segment.size
            segment.size = 0


class Left:
    """What writers that are gone left behind in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def anything(self) -> bool:
        """Whether there may be something; another that lives may have it."""
        return any(path.suffix in (_ROWS, _RING, _LOCK) for path in self._folder.glob("*"))

    def pieces(self) -> Generator[tuple[str, list[Piece]], None, None]:
        """Each segment's writer and pieces, oldest first, those of its ring last, and then none; either goes once the
        next is asked for."""
        for writer, paths in self._by_writer().items():
            lock = _locked(_lock_of(self._folder, writer))
            if lock is None:
                continue
            try:
                for path in paths:
                    if pieces := list(_read(path) if path.suffix == _ROWS else _pieces(ring.left(path))):
                        yield writer, pieces
                    ring.remove(path) if path.suffix == _RING else path.unlink(missing_ok=True)
                yield writer, []
                _lock_of(self._folder, writer).unlink(missing_ok=True)
            finally:
                os.close(lock)

    def _by_writer(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self._folder.glob(f"*{_LOCK}"):
            found[path.name.split(".", 1)[0]] = []
        for path in (*sorted(self._folder.glob(f"*{_ROWS}")), *self._folder.glob(f"*{_RING}")):
            found.setdefault(path.name.split(".", 1)[0], []).append(path)
        return found


def _write(segment: _Segment, data: bytes | bytearray) -> None:
    """At the end of a segment; half a piece does not stay."""
    try:
        written = os.write(segment.fd, data)
        while written < len(data):
            written += os.write(segment.fd, data[written:])
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(segment.fd, segment.size)
        raise


def _read(path: Path) -> Iterator[Piece]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return iter(())
    return _pieces(content)


def _pieces(content: bytes) -> Iterator[Piece]:
    decoder = msgspec.msgpack.Decoder(list[Piece])
    at = 0
    while at + _HEAD <= len(content):
        (length,) = _LENGTH.unpack_from(content, at)
        begin, at = at + _HEAD, at + _HEAD + length
        if at > len(content):
            return
        try:
            yield from decoder.decode(content[begin:at])
        except msgspec.DecodeError:
            return


def _lock_of(folder: Path, writer: str) -> Path:
    return folder / f"{writer}{_LOCK}"


def _locked(path: Path) -> int | None:
    """The lock's descriptor, None when another process has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        ring.lock(fd)
    except OSError:
        os.close(fd)
        return None
    if _there(path, fd):
        return fd
    os.close(fd)
    return None


def _there(path: Path, fd: int) -> bool:
    """Whether the open file still has that name: whoever looked for writers that are gone may have removed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except OSError:
        return False
