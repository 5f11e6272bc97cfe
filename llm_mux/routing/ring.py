"""In what order a conversation asks many accounts, without looking at all of them. Pure.

Every account has points on a ring, more of them the more it weighs; a conversation begins at its own point and goes
round. Rule: an account's points follow from its name and weight alone, so where others come, go or rest, the order of
those that stay is the same.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect
from collections.abc import Iterator
from functools import lru_cache
from struct import unpack
from typing import Final

_POINTS: Final = 64
"""Of an account that weighs 1."""
_MOST_POINTS: Final = 2048
_AT_ONCE: Final = 8
_KEPT: Final = 16

Weighed = tuple[tuple[str, float], ...]
"""The names of accounts and what they weigh."""


class Ring:
    """The points of some accounts; those that weigh nothing have none and come last."""

    __slots__ = ("_last", "_owners", "_points", "_size")

    def __init__(self, accounts: Weighed) -> None:
        points = sorted(
            (point, number) for number, (name, weight) in enumerate(accounts) for point in _points(name, weight)
        )
        self._points = array("Q", (point for point, _ in points))
        self._owners = array("L", (number for _, number in points))
        self._last = [number for number, (_, weight) in enumerate(accounts) if weight <= 0]
        self._size = len(accounts) - len(self._last)

    def walk(self, conversation: bytes) -> Iterator[int]:
        """The numbers of all accounts in the conversation's order. `conversation` is eight bytes of a digest."""
        seen: set[int] = set()
        at, points = bisect(self._points, int.from_bytes(conversation)), len(self._points)
        while len(seen) < self._size:
            number = self._owners[at % points]
            if number not in seen:
                seen.add(number)
                yield number
            at += 1
        yield from self._last


@lru_cache(maxsize=_KEPT)
def ring_of(accounts: Weighed) -> Ring:
    """The ring of these accounts, which many requests ask for."""
    return Ring(accounts)


def _points(name: str, weight: float) -> Iterator[int]:
    if weight <= 0:
        return
    left = max(1, min(round(_POINTS * weight), _MOST_POINTS))
    said = name.encode("utf-8", "surrogatepass")
    for number in range(0, left, _AT_ONCE):
        drawn = hashlib.blake2b(said, digest_size=64, salt=number.to_bytes(4)).digest()
        yield from unpack(f">{_AT_ONCE}Q", drawn)[: left - number]
