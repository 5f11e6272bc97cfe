"""Reasoning effort in words and in tokens: the ladder, and the conversions all translators share.

Numbers are conventions from the translation matrix (section 4); a vendor's own limits are applied by its translator.
"""

from __future__ import annotations

from collections.abc import Collection

from llm_mux.ir import EFFORTS, Thinking

_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768}


def budget(effort: str, most: int | None = None) -> int:
    """Tokens for an effort word: 0 for none, `most` (else 32768) for max."""
    if effort == "none":
        return 0
    wanted = most or 32768 if effort == "max" else _BUDGETS.get(effort, 8192)
    return min(wanted, most) if most else wanted


def word(tokens: int) -> str:
    """The effort word for a budget: 0 is none; below 4096 low, 16384 medium, 32000 high, else xhigh; -1 is medium."""
    if tokens == 0:
        return "none"
    for limit, effort in ((0, "medium"), (4096, "low"), (16384, "medium"), (32000, "high")):
        if tokens < limit:
            return effort
    return "xhigh"


def of(thinking: Thinking) -> str | None:
    """The effort word the client asked for by any means; None when it said nothing or left the depth to the model."""
    if thinking.effort is not None:
        return thinking.effort
    if thinking.budget is not None and thinking.budget != -1:
        return word(thinking.budget)
    return None


def nearest(effort: str, allowed: Collection[str]) -> str | None:
    """`effort` if allowed, else the nearest allowed word below it, else the nearest above; None if nothing is."""
    if effort in allowed:
        return effort
    if effort not in EFFORTS:
        return None
    rank = EFFORTS.index(effort)
    below = [e for e in EFFORTS[:rank] if e in allowed and e != "none"]
    above = [e for e in EFFORTS[rank:] if e in allowed]
    return below[-1] if below and effort != "none" else (above[0] if above else None)
