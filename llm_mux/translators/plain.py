"""Requests whose conversation is texts said by turns, as most small ones are, and what comes again with the next one.

A client sends the same settings with all of its requests, and what a format writes of them does not depend on what is
said in such a conversation. So a request is written around new words as it was around others. Rules. What is kept is
found only by all bytes of the settings: with it and without it a request comes out the same. It is bounded by bytes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec import Raw

T = TypeVar("T")
Buffer: TypeAlias = bytes | Raw

CACHE_MARKS: Final = (b'"cache_control"', b'"prompt_cache_breakpoint"')
"""Who marks what to cache gets a key for it, which depends on what is said too."""

_MOST: Final = 1 << 20
_OVERHEAD: Final = 2 << 10
_BY_TURNS: Final = ("user", "assistant") * 32
_encoder: Final = msgspec.json.Encoder()


class Plain(NamedTuple):
    """A request in which a system message may stand first, and client and model then say `texts` by turns, the client
    first and last. No text is blank. `settings` is all else that its body says."""

    settings: bytes
    system: str | None
    texts: list[str]


def by_turns(roles: tuple[str, ...]) -> bool:
    """Whether client and model speak by turns, and not uncommonly often."""
    return len(roles) % 2 == 1 and roles == _BY_TURNS[: len(roles)]


def worded(texts: Sequence[str]) -> bool:
    """Whether no text is blank."""
    return all(texts) and not any(map(str.isspace, texts))


class Spelling:
    """How a format writes a user's, an assistant's and the system's text: JSON with a `%b` for the text. Turns stand
    in an array; the system's text before it, unless it is `system_last`."""

    __slots__ = ("_forms", "_system", "_system_last", "_turns")

    def __init__(self, user: bytes, assistant: bytes, system: bytes, *, system_last: bool = False) -> None:
        self._turns = (user, assistant)
        self._system = system
        self._system_last = system_last
        self._forms: dict[int, bytes] = {}

    def pieces(self, plain: Plain) -> tuple[bytes, ...]:
        """What is said, in the order in which it stands in a request."""
        texts, system = plain.texts, plain.system
        form = self._forms.get(len(texts)) or self._form(len(texts))
        turns = form % tuple(_encoder.encode_lines(texts).split(b"\n")[:-1])
        if system is None:
            return (turns,)
        told = self._system % _encoder.encode(system)
        return (turns, told) if self._system_last else (told, turns)

    def _form(self, length: int) -> bytes:
        form = self._forms[length] = b",".join([self._turns[n % 2] for n in range(length)])
        return form


class Frame(NamedTuple, Generic[T]):
    """What is written around what is said: the bytes `before` each of its one or two pieces and `after` the last, and
    what else was `kept` of the settings."""

    before: tuple[bytes, ...]
    after: bytes
    kept: T

    def around(self, said: Sequence[bytes]) -> bytes:
        if len(said) == 1:
            return b"%b%b%b" % (*self.before, *said, self.after)
        (first, second), (one, other) = self.before, said
        return b"%b%b%b%b%b" % (first, one, second, other, self.after)

    def around_parts(self, said: Sequence[Sequence[Buffer]]) -> bytes:
        """The same of pieces that are in parts."""
        parts: list[Buffer] = []
        for before, piece in zip(self.before, said, strict=True):
            parts.append(before)
            parts += piece
        parts.append(self.after)
        return b"".join(parts)


class Frames(Generic[T]):
    """The frames of the last requests, all of which are forgotten when there are too many."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: dict[Hashable, Frame[T]] = {}
        self._bytes = 0
        self.get = self._kept.get

    def learn(self, key: Hashable, settings: bytes, body: bytes, said: Sequence[bytes], kept: T) -> None:
        """Keeps what stands around the pieces of what is `said` in a `body`, where it is sure which bytes those are."""
        around, rest = [], body
        for piece in said:
            before, found, rest = rest.partition(piece)
            if not found:
                return
            around.append(before)
        if any([piece in other for piece in said for other in (*around, rest)]):
            return
        size = len(settings) + len(body) - sum(map(len, said)) + _OVERHEAD
        if size > self._most // 8:
            return
        self._bytes += size
        if self._bytes > self._most:
            self._kept.clear()
            self._bytes = size
        self._kept[key] = Frame(tuple(around), rest, kept)

    def clear(self) -> None:
        """Forgets everything."""
        self._kept.clear()
        self._bytes = 0
