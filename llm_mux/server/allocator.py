"""How the C library keeps memory: what a large body was in stays for the next one instead of going back at once, and
what many connections at once took goes back when they are over.

Rule: without the first the kernel gives every body of 200 KB new pages and clears them first, which costs more than a
copy of the body. What is kept at the end of the heap is bounded (`_KEPT`); what lies between blocks that are in use is
not, and is asked for only after a crowd, because it takes a millisecond or two. Only glibc is told; elsewhere nothing
happens.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEPT: Final = 8 << 20
_OWN_PAGES: Final = 4 << 20
_CROWD: Final = 64
_FEW: Final = 4


def keep_pages() -> bool:
    """Has up to 8 MB of free memory kept, and blocks below 4 MB taken from it. Whether the library understood."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES) and mallopt(_M_TRIM_THRESHOLD, _KEPT))


def give_back() -> bool:
    """Has all free pages go back to the system. Whether there were any."""
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, AttributeError):
        return False


class Crowd:
    """How many connections there have been at once since memory was given back."""

    __slots__ = ("_most",)

    def __init__(self) -> None:
        self._most = 0

    def grew(self, present: int) -> None:
        self._most = max(self._most, present)

    def is_over(self, present: int) -> bool:
        """Whether it was one and most of it has left; it is told once."""
        over = self._most >= _CROWD and present * _FEW <= self._most
        if over:
            self._most = present
        return over
