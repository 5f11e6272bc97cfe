"""Tool call ids: pure functions, so that the same history always maps to the same ids."""

from __future__ import annotations

import hashlib
from functools import lru_cache

_LEGAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


@lru_cache(4096)
def legal(call_id: str, limit: int = 64) -> str:
    """`call_id` if every upstream takes it (`[A-Za-z0-9_-]`, at most `limit` long), else `call_` and a hash of it."""
    if call_id and len(call_id) <= limit and _LEGAL.issuperset(call_id):
        return call_id
    return "call_" + digest(call_id)


def synthesised(seed: str, turn: int, index: int, name: str, arguments: str) -> str:
    """An id for a call that came without one; unique in the conversation as `seed` (response id) and `turn` are."""
    return "call_" + digest(f"{seed}\x00{turn}\x00{index}\x00{name}\x00{arguments}")


def digest(text: str) -> str:
    """24 hex characters of a hash of `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
