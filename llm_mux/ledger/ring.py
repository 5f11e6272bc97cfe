"""The newest rows of a writer in memory that outlives its process: keeping a row costs a copy and no system call.

Rule: a ring is a file in shared memory (tmpfs, Linux only), all of it reserved when it is made, so that no full disk
can end who writes to it. A symlink in the spool's folder, which is private, says where it is; a name in a folder that
everybody may write to is never guessed. What counts is one word at its beginning, stored last and at once: a process
that is killed anywhere leaves whole pieces only. What is too much or stays too long goes to disk (`spool`).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import sys
import time
from functools import cache
from pathlib import Path

RING_BYTES = 1 << 20
"""Eight thousand rows: most of a second of a daemon that does its utmost."""

_SHARED = Path("/dev/shm")  # noqa: S108  # names in it are random, and who owns a file is looked at
_PREFIX = "llm-mux-"
_HEAD = 4096
_WORD = 8
_ABANDONED_S = 86_400.0


class Ring:
    """`pointer` is the symlink; its name without its ending is the writer's, and the ring's. Raises OSError. Bytes are
    put in at the end, and go from the beginning."""

    def __init__(self, pointer: Path, shared: Path, *, size: int = RING_BYTES) -> None:
        self._pointer = pointer
        self._file = shared / f"{_PREFIX}{pointer.stem}"
        self._size = size
        self._fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            _reserve(self._fd, _HEAD + size)
            self._memory = mmap.mmap(self._fd, _HEAD + size)
            place = os.fsencode(pointer.absolute())[: _HEAD - _WORD - 1]
            self._memory[_WORD : _WORD + len(place)] = place
            lock(self._fd)
            pointer.symlink_to(self._file)
        except OSError:
            self._file.unlink(missing_ok=True)
            os.close(self._fd)
            raise
        self._word = memoryview(self._memory)[:_WORD].cast("Q")
        self._identity = _identity(os.fstat(self._fd))
        self._begin = self._used = self._end = 0
        self._marked = self._number = 0

    @property
    def used(self) -> int:
        """Bytes that are in it."""
        return self._used

    def append(self, data: bytes | bytearray) -> bool:
        """Whether there was room."""
        size, at = len(data), self._end
        end, used = at + size, self._used + size
        if used > self._size:
            return False
        if end < self._size:
            self._memory[_HEAD + at : _HEAD + end] = data
        else:
            first, end = self._size - at, end - self._size
            self._memory[_HEAD + at :] = data[:first]
            self._memory[_HEAD : _HEAD + end] = data[first:]
        self._end, self._used = end, used
        self._word[0] = self._begin << 32 | used
        return True

    def content(self) -> bytes:
        """What is in it."""
        return _round(self._memory, self._begin, self._used)

    def mark(self, number: int) -> None:
        """What is in it now has numbers up to `number`."""
        self._marked, self._number = self._used, number

    def written(self, number: int) -> None:
        """Let go of what was there at the last `mark`, if that was up to `number`."""
        if self._marked and number >= self._number:
            self._forget(self._marked)

    def clear(self) -> None:
        """Let go of everything."""
        self._forget(self._used)

    def found(self) -> bool:
        """Whether who comes later will find it: neither file nor symlink were deleted."""
        try:
            return _identity(self._pointer.stat()) == self._identity
        except OSError:
            return False

    def close(self, *, keep: bool = False) -> None:
        """Take it away, or leave it to who comes later."""
        self._word.release()
        self._memory.close()
        os.close(self._fd)
        if not keep:
            self._pointer.unlink(missing_ok=True)
            self._file.unlink(missing_ok=True)

    def _forget(self, size: int) -> None:
        self._used -= size
        self._marked = 0
        # An empty one begins anew: who does little touches little memory.
        self._begin = (self._begin + size) % self._size if self._used else 0
        self._end = (self._begin + self._used) % self._size
        self._word[0] = self._begin << 32 | self._used


def left(pointer: Path) -> bytes:
    """What a writer that is gone left in its ring; nothing when the machine was started anew since. Raises OSError."""
    try:
        fd = os.open(pointer.readlink(), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return b""
    with open(fd, "rb") as file:
        if not _ours(os.fstat(fd)):
            return b""
        memory = file.read()
    if len(memory) <= _HEAD:
        return b""
    word = int.from_bytes(memory[:_WORD], sys.byteorder)
    begin, used = word >> 32, word & 0xFFFFFFFF
    size = len(memory) - _HEAD
    return _round(memory, begin, used) if begin < size and used <= size else b""


def remove(pointer: Path) -> None:
    """The ring of a writer that is gone, and its symlink."""
    with contextlib.suppress(OSError):
        pointer.readlink().unlink(missing_ok=True)
    pointer.unlink(missing_ok=True)


@cache
def shared_memory() -> Path | None:
    """Where rings can be; None where there is no shared memory in the shape of files."""
    if sys.platform != "linux":
        return None
    try:
        device = _SHARED.stat().st_dev
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            kinds = {fields[2]: line.rpartition(" - ")[2] for line in mounts if len(fields := line.split(" ", 3)) > 3}
    except OSError:
        return None
    kind = kinds.get(f"{os.major(device)}:{os.minor(device)}", "")
    return _SHARED if kind.startswith("tmpfs ") and os.access(_SHARED, os.W_OK | os.X_OK) else None


def sweep(shared: Path) -> None:
    """Take away old rings of ours that nobody has and no symlink leads to: their spool was deleted."""
    for file in shared.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), open(file, "rb", opener=_without_following) as ring:
            facts = os.fstat(ring.fileno())
            if not _ours(facts) or facts.st_ctime > time.time() - _ABANDONED_S:
                continue
            lock(ring.fileno())
            pointer = os.fsdecode(ring.read(_HEAD)[_WORD:].partition(b"\0")[0])
            if not os.path.lexists(pointer):
                file.unlink()


def _round(memory: mmap.mmap | bytes, begin: int, used: int) -> bytes:
    """So many bytes from `begin`, on from the front where they reach the end."""
    size = len(memory) - _HEAD
    first = min(used, size - begin)
    return memory[_HEAD + begin : _HEAD + begin + first] + memory[_HEAD : _HEAD + used - first]


def _reserve(fd: int, size: int) -> None:
    if sys.platform != "linux":
        raise OSError("no shared memory")
    os.posix_fallocate(fd, 0, size)


def lock(fd: int) -> None:
    """Held until the descriptor is closed. Raises OSError when another has it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def _ours(facts: os.stat_result) -> bool:
    return stat.S_ISREG(facts.st_mode) and sys.platform != "win32" and facts.st_uid == os.geteuid()
