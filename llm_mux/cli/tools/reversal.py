"""Taking a change back out of a settings file that was changed again since: what others wrote stays.

Rule: a pure function of three texts; None where theirs and ours cannot be told apart.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from llm_mux.cli.tools import jsonc

_MISSING = object()
Hunk = tuple[int, int, Sequence[str]]


def taken_back(name: str, before: str, written: str, now: str) -> str | None:
    """`now` without what made `written` out of `before`. `name` is the file's."""
    if now == written:
        return before
    if not name.endswith((".json", ".jsonc")):
        return _merged(written.splitlines(), before.splitlines(), now.splitlines())
    try:
        return _without(now, (), jsonc.read(before), jsonc.read(written), jsonc.read(now))
    except jsonc.NotJson:
        return None


def _without(text: str, path: tuple[str, ...], before: Any, written: Any, now: Mapping[str, Any]) -> str:
    """Each value that is still as it was written becomes what it was before; one that is not is somebody else's."""
    for name, ours in written.items():
        old, found = before.get(name, _MISSING), now.get(name, _MISSING)
        if old == ours or found is _MISSING:
            continue
        here = (*path, name)
        if found == ours:
            text = jsonc.drop(text, here) if old is _MISSING else jsonc.put(text, here, old)
        elif isinstance(ours, dict) and isinstance(found, dict):
            text = _without(text, here, old if isinstance(old, dict) else {}, ours, found)
    return text


def _merged(base: list[str], ours: list[str], theirs: list[str]) -> str | None:
    """Both changes of `base`, line by line; None where they meet."""
    hunks: list[tuple[Hunk, bool]] = [(hunk, True) for hunk in _hunks(base, ours)]
    hunks += [(hunk, False) for hunk in _hunks(base, theirs)]
    made: list[str] = []
    at = 0
    reached = (0, True)
    for (start, end, lines), mine in sorted(hunks, key=lambda each: (each[0][0], each[0][1])):
        if start < reached[0] and mine != reached[1]:
            return None
        made += [*base[at:start], *lines]
        at, reached = end, (end, mine)
    return "".join(f"{line}\n" for line in [*made, *base[at:]])


def _hunks(base: list[str], changed: list[str]) -> list[Hunk]:
    matcher = difflib.SequenceMatcher(None, base, changed, autojunk=False)
    return [
        (start, end, changed[begin:until]) for tag, start, end, begin, until in matcher.get_opcodes() if tag != "equal"
    ]
