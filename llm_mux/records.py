"""The newest records of the log, as the lines they were written as.

Rule: they are kept as bytes. A few thousand records would be tens of thousands of small objects that live long, and
between which nothing goes back to the system that a burst of requests took. Whoever asks for them has them read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeAlias

import msgspec

Record: TypeAlias = dict[str, Any]

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
RING_SIZE = 2000

_read = msgspec.json.Decoder(Record).decode


class Ring:
    """The newest `size` records, each with a number that only grows."""

    def __init__(self, size: int = RING_SIZE) -> None:
        # The number of each piece's last record, how many it has, and their lines.
        self._pieces: deque[tuple[int, int, bytes]] = deque()
        self._size = size
        self._held = 0
        self._last = 0

    @property
    def last(self) -> int:
        return self._last

    def add(self, lines: bytes, count: int = 1) -> None:
        """Adds records, each a line of JSON with its line break."""
        self._last += count
        self._held += count
        self._pieces.append((self._last, count, lines))
        while self._held - self._pieces[0][1] >= self._size:
            self._held -= self._pieces.popleft()[1]

    def after(self, number: int = 0, *, limit: int = 100, level: str = "debug") -> list[Record]:
        """The newest `limit` records past `number` of at least this level, oldest first, each with its `seq`."""
        least = LEVELS.get(level, 0)
        records = ((seq, _read(line)) for seq, line in self._newest_first(number))
        newer = ({"seq": seq, **record} for seq, record in records if LEVELS.get(record.get("level", ""), 0) >= least)
        return list(islice(newer, limit))[::-1]

    def newest(self, number: int, limit: int) -> list[bytes]:
        """The lines of the newest `limit` records past `number`, oldest first, without their line breaks."""
        return [line for _, line in islice(self._newest_first(number), limit)][::-1]

    def _newest_first(self, number: int) -> Iterator[tuple[int, bytes]]:
        number = max(number, self._last - self._size)
        for last, count, lines in reversed(tuple(self._pieces)):
            for seq, line in zip(range(last, last - count, -1), reversed(lines.split(b"\n")[:count]), strict=True):
                if seq <= number:
                    return
                yield seq, line

    def clear(self) -> None:
        self._pieces.clear()
        self._held = 0
