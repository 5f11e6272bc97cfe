"""Stop sequences, enforced on streamed text for backends that cannot.

Rule: text is held back only while it may be the beginning of a stop sequence, so nothing of one is ever shown. The
sequence that is complete first wins; of two that end together, the longer one. (Aho-Corasick: one step a character.)
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence


class _Node:
    """A beginning of one or more stop sequences. `hit` is the longest of them that ends here."""

    __slots__ = ("depth", "fail", "hit", "next")

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.next: dict[str, _Node] = {}
        self.fail: _Node = self
        self.hit: str | None = None


def _tree(stops: Sequence[str]) -> _Node:
    root = _Node(0)
    for stop in stops:
        node = root
        for char in stop:
            node = node.next.setdefault(char, _Node(node.depth + 1))
        node.hit = stop
    for child in root.next.values():
        child.fail = root
    waiting = deque(root.next.values())
    while waiting:
        node = waiting.popleft()
        for char, child in node.next.items():
            child.fail = _step(node.fail, char)
            child.hit = child.hit or child.fail.hit
            waiting.append(child)
    return root


def _step(node: _Node, char: str) -> _Node:
    while node.depth and char not in node.next:
        node = node.fail
    return node.next.get(char, node)


class StopCutter:
    """Text deltas in, text that may be shown out. After a hit everything else is swallowed."""

    def __init__(self, stops: Sequence[str]) -> None:
        wanted = [stop for stop in stops if stop]
        self._root = self._node = _tree(wanted)
        self._first = re.compile("|".join(map(re.escape, self._root.next))) if wanted else None
        self._held = ""
        self.hit: str | None = None

    def feed(self, text: str) -> tuple[str, str | None]:
        """The text that is safe to show, and the stop sequence that ended it or None."""
        if self._first is None:
            return text, None
        if self.hit is not None:
            return "", self.hit
        shown = self._held + text
        at = len(self._held)
        while at < len(shown):
            if not self._node.depth:
                match = self._first.search(shown, at)
                if match is None:
                    break
                at = match.start()
            self._node = _step(self._node, shown[at])
            at += 1
            if self._node.hit is not None:
                self.hit, self._held = self._node.hit, ""
                return shown[: at - len(self.hit)], self.hit
        safe = len(shown) - self._node.depth
        self._held = shown[safe:]
        return shown[:safe], None

    def flush(self) -> str:
        """What was held back when the text ended without a stop sequence."""
        held, self._held = self._held, ""
        self._node = self._root
        return held
