"""What is wrong with a configuration, and where.

Rule: a message names what was expected and what to do; it never repeats a value, because a value may be a secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from msgspec import Struct


class Place(Struct, frozen=True):
    """Where a value was read: a file with line and column (from 1), an environment variable or a command-line flag."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.source, self.line, self.column) if part is not None)


class ConfigError(Exception):
    """A configuration that cannot be used. `more` holds the further problems of the same reading. `path` is the key to
    blame where its `place` is not known yet."""

    def __init__(
        self,
        message: str,
        place: Place | None = None,
        suggestion: str | None = None,
        *,
        path: tuple[str | int, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.place = place or Place("configuration")
        self.path = path
        self.suggestion = suggestion
        self.more: tuple[ConfigError, ...] = ()

    @property
    def file(self) -> str:
        return self.place.source

    @property
    def line(self) -> int | None:
        return self.place.line

    @property
    def column(self) -> int | None:
        return self.place.column

    def __str__(self) -> str:
        hint = f'; did you mean "{self.suggestion}"?' if self.suggestion else ""
        return f"{self.place}: {self.message}{hint}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, if one is close enough."""
    by_folded = {name.lower().replace("_", "-"): name for name in known}
    found = difflib.get_close_matches(word.lower().replace("_", "-"), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None
