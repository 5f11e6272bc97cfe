"""Rows on their way to the database, on disk: a killed process or a database that is away costs none of them.

Rule: everything here blocks; the writer calls it in a thread. A batch is one line of a segment file, its number and its
rows. Segments belong to the writer whose name they carry; while it lives it holds the lock beside them, and whoever can
take that lock afterwards may read what is left. A line that was not finished ends its segment.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from llm_mux.ledger.balances import Settlement
from llm_mux.ledger.rows import Exchange
from llm_mux.paths import private_dir

MOST_BYTES = 128 << 20
SEGMENT_BYTES = 1 << 20


class Batch(Struct, frozen=True, array_like=True):
    """Rows that go into the books together, with what is paid for them. `number` grows with every batch of a writer."""

    number: int
    rows: list[Exchange]
    payments: list[Settlement] = []


@dataclass(slots=True)
class _Segment:
    path: Path
    size: int = 0
    last: int = 0


class Spool:
    """The segments of one writer in `folder`, oldest first; all together take `most_bytes` and no more."""

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.writer = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._folder = folder
        self._most_bytes = most_bytes
        self._segment_bytes = segment_bytes
        self._segments: deque[_Segment] = deque()
        self._lock: int | None = None
        self._made = 0

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(segment.size for segment in self._segments)

    def append(self, batch: Batch) -> None:
        """Put a batch at the end. Raises OSError, and then it is not there."""
        line = msgspec.json.encode(batch) + b"\n"
        if self.size + len(line) > self._most_bytes:
            raise OSError(errno.ENOSPC, "the spool is full")
        self._claim()
        segment = self._segments[-1] if self._segments else None
        if segment is None or segment.size >= self._segment_bytes:
            segment = self._new_segment()
        try:
            _append(segment.path, segment.size, line)
        except FileNotFoundError:
            private_dir(self._folder)
            _append(segment.path, 0, line)
        segment.size += len(line)
        segment.last = batch.number

    def after(self, number: int) -> list[Batch]:
        """The batches that follow `number`, as many as one segment has. Raises OSError."""
        for segment in list(self._segments):
            if segment.last > number:
                return [batch for batch in _read(segment.path) if batch.number > number]
        return []

    def written(self, number: int) -> None:
        """The database has every batch up to `number`: what holds only those is emptied. A file that cannot be emptied
        costs nothing but its room: what it holds is not written twice."""
        with contextlib.suppress(OSError):
            while len(self._segments) > 1 and self._segments[0].last <= number:
                self._drop_oldest()
            if self._segments and self._segments[0].last <= number:
                self._empty(self._segments[0])

    def close(self, number: int) -> None:
        """`written`, and let go of the lock, so that another may write what is left; nothing left, nothing stays."""
        self.written(number)
        while self._segments and not self._segments[0].size:
            self._drop_oldest()
        if self._lock is not None:
            if not self._segments:
                _lock_of(self._folder, self.writer).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def _claim(self) -> None:
        if self._lock is None:
            private_dir(self._folder)
            self._lock = _locked(_lock_of(self._folder, self.writer))

    def _new_segment(self) -> _Segment:
        self._made += 1
        segment = _Segment(self._folder / f"{self.writer}.{self._made:09d}.rows")
        self._segments.append(segment)
        return segment

    def _drop_oldest(self) -> None:
        self._segments.popleft().path.unlink(missing_ok=True)

    def _empty(self, segment: _Segment) -> None:
        if segment.size:
            os.truncate(segment.path, 0)
            segment.size = 0


class Left:
    """What writers that are gone left behind in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def anything(self) -> bool:
        """Whether there may be something; another that lives may have it."""
        return any(self._folder.glob("*.rows"))

    def batches(self) -> Iterator[tuple[str, list[Batch]]]:
        """Each segment's writer and batches, oldest first; a segment goes once the next is asked for."""
        for writer, paths in self._by_writer().items():
            lock = _locked(_lock_of(self._folder, writer))
            if lock is None:
                continue
            try:
                for path in paths:
                    yield writer, list(_read(path))
                    path.unlink(missing_ok=True)
                _lock_of(self._folder, writer).unlink(missing_ok=True)
            finally:
                os.close(lock)

    def _by_writer(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in sorted(self._folder.glob("*.rows")):
            found.setdefault(path.name.split(".", 1)[0], []).append(path)
        return found


def _append(path: Path, size: int, line: bytes) -> None:
    """Add a line to a file of `size` bytes; half a line does not stay."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.lseek(fd, min(size, os.fstat(fd).st_size), os.SEEK_SET)
        written = 0
        while written < len(line):
            written += os.write(fd, line[written:])
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(fd, size)
        raise
    finally:
        os.close(fd)


def _read(path: Path) -> Iterator[Batch]:
    decoder = msgspec.json.Decoder(Batch)
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    for line in lines[:-1]:
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError:
            return


def _lock_of(folder: Path, writer: str) -> Path:
    return folder / f"{writer}.lock"


def _locked(path: Path) -> int | None:
    """The lock's descriptor, None when another process has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd
