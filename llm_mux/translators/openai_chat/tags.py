"""`<think>...</think>` at the beginning of the content, as open-weight servers without a reasoning parser send it.

Rule: only a leading pair counts, so an answer that talks about the tag is left alone; the tags may be cut anywhere.
"""

from __future__ import annotations

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkTags:
    """Content pieces to (is reasoning, text) pieces."""

    def __init__(self) -> None:
        self._state = "before"
        self._held = ""

    def feed(self, text: str) -> list[tuple[bool, str]]:
        if self._state == "outside":
            return [(False, text)] if text else []
        if self._state == "after":
            return self._after(text)
        self._held += text
        return self._before() if self._state == "before" else self._inside()

    def flush(self) -> list[tuple[bool, str]]:
        """What was held back, at the end of the content."""
        held, self._held = self._held, ""
        inside = self._state == "inside"
        self._state = "outside"
        return [(inside, held)] if held else []

    def _before(self) -> list[tuple[bool, str]]:
        text = self._held.lstrip()
        if text.startswith(_OPEN):
            self._state, self._held = "inside", text[len(_OPEN) :].lstrip("\n")
            return self._inside()
        if not text or _OPEN.startswith(text):
            return []
        self._state = "outside"
        held, self._held = self._held, ""
        return [(False, held)]

    def _inside(self) -> list[tuple[bool, str]]:
        thought, found, rest = self._held.partition(_CLOSE)
        if found:
            self._state, self._held = "after", ""
            said = [(True, thought.rstrip("\n"))] if thought.strip() else []
            return said + self._after(rest)
        return self._thinking()

    def _thinking(self) -> list[tuple[bool, str]]:
        """All but what may be the beginning of the closing tag or of the line breaks before it."""
        keep = self._held.rfind("<")
        safe = self._held if keep < 0 or not _CLOSE.startswith(self._held[keep:]) else self._held[:keep]
        safe = safe.rstrip("\n")
        self._held = self._held[len(safe) :]
        return [(True, safe)] if safe else []

    def _after(self, rest: str) -> list[tuple[bool, str]]:
        text = rest.lstrip("\n")
        self._state = "outside" if text else "after"
        return [(False, text)] if text else []
