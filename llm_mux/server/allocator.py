"""How the C library keeps memory: what a large body was in stays for the next one instead of going back at once.

Rule: without it the kernel gives every body of 200 KB new pages and clears them first, which costs more than a copy of
the body. What is kept is bounded (`_KEPT`), and only glibc is told; elsewhere nothing happens.
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


def keep_pages() -> bool:
    """Has up to 8 MB of free memory kept, and blocks below 4 MB taken from it. Whether the library understood."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES) and mallopt(_M_TRIM_THRESHOLD, _KEPT))
