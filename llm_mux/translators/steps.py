"""Agents' conversations of texts, calls and results, written around the very bytes that the client sent of them.

Nearly all that an agent sends with every turn is of this kind: a format says what stands around a text, a call and a
result, and none of it has to be read into canonical form. Rules. What comes out says what the long way would have
written, of the same turns in the same order; whatever the long way would repair, rename or leave out goes the long way.
What was written of the beginning of a remembered conversation is kept with it, and only what is new is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw

from llm_mux.translators.around import Around
from llm_mux.translators.base import Outline
from llm_mux.translators.outlined import Known
from llm_mux.translators.plain import CACHE_MARKS
from llm_mux.translators.repeated import KEY
from llm_mux.translators.tools import Names
from llm_mux.wire import jsonx

Piece: TypeAlias = bytes | Raw
"""Of what is written: a `Raw` is the client's own text, result or arguments."""


class Read(NamedTuple):
    """Messages as turns, by turns the client's and the model's; the client has the last. No text is blank, every call
    is answered in the turn after it, and every id can go as it is. `system` stands before them; `calls`: whether the
    model's last turn ends with calls."""

    system: Raw | None
    turns: Sequence[Piece]
    ids: Sequence[str]
    names: frozenset[str]
    calls: bool


class Told(NamedTuple):
    """What was written of a conversation's first `length` messages: the `system` text, and the bytes of the turns one
    after the other, without what closes the last. `calls`: whether the model's last turn has calls."""

    length: int
    system: bytes | None
    turns: Sequence[Piece]
    ids: frozenset[str]
    names: frozenset[str]
    calls: bool

    @property
    def said(self) -> Sequence[Sequence[Piece]]:
        """The pieces, in the order in which they stand in a request."""
        return (self.turns,) if self.system is None else ((self.system,), self.turns)


class Telling:
    """How a format writes them, with a `%b` for each JSON that goes in: a text, a call with its id, its name and its
    arguments, a result with its call's id, and one of nothing; the beginnings of the client's turn and the model's, and
    their end. The system's text stands before the turns. What begins something is a pair: behind another one, first."""

    def __init__(
        self,
        *,
        system: bytes,
        user: bytes,
        assistant: bytes,
        end: bytes,
        text: bytes,
        call: bytes,
        result: bytes,
        nothing: bytes,
    ) -> None:
        self._system = system
        self.user, self.assistant = (end + b"," + user, user), (end + b"," + assistant, assistant)
        begins, self.text_end = text.split(b"%b")
        self.text = _pair(begins)
        begins, self.call_named, self.call_given, self.call_end = call.split(b"%b")
        self.call = _pair(begins)
        begins, self.result_said, self.result_end = result.split(b"%b")
        self.result = _pair(begins)
        begins, self.nothing_end = nothing.split(b"%b")
        self.nothing = _pair(begins)

    def system(self, text: Raw | bytes) -> bytes:
        """The system's text."""
        return self._system % bytes(text)


def _pair(begins: bytes) -> tuple[bytes, bytes]:
    return b"," + begins, begins


Reader: TypeAlias = Callable[[Sequence[Any], bool, Telling], Read | None]
"""Reads the outlines of messages, and writes them as is told; True: turns stand before them, the last of them the
client's, and the model has the first of these. None: they hold anything else. That texts are UTF-8 is for others to
see."""


class Steps:
    """A body whose messages can be told in steps, as far as its outline shows."""

    def __init__(self, body: bytes, outline: Known, around: Around, read: Reader, telling: Telling) -> None:
        self._body = body
        self._found = outline
        self._read = read
        self._telling = telling
        self.around = around

    def told(self) -> Told | None:
        """What a format makes of them; None where they have to go the long way."""
        found, telling = self._found, self._telling
        kept: Told | None = None if found.looked is None else found.looked.memo.get(telling)
        if kept is None or not found.short <= kept.length <= len(found):
            return self._keep(self._anew())
        if kept.length == len(found):
            return kept
        read = self._read(found[kept.length :], True, telling)
        if read is None or not kept.ids.isdisjoint(read.ids) or not _is_text(more := b"".join(read.turns)):
            return self._anew()
        ids, names = kept.ids.union(read.ids), kept.names | read.names
        return self._keep(Told(len(found), kept.system, [*kept.turns, more], ids, names, read.calls))

    def normal(self) -> tuple[bytes, ...]:
        """What `told` says in the spelling of the long way."""
        telling = self._telling
        read = self._read(self._whole(), False, telling)
        if read is None:
            return ()
        texts = jsonx.BEHIND_TEXTS
        turns = b"".join([_spelled(p) if isinstance(p, Raw) and texts > p else p for p in read.turns])
        return (turns,) if read.system is None else (telling.system(_spelled(read.system)), turns)

    def takes(self, names: Names, told: Told) -> bool:
        """Whether the request declares all tools that are called, and the target knows them by the same names."""
        declared: frozenset[str] | None = self.around.memo.get(_declared)
        if declared is None:
            declared = self.around.memo[_declared] = _declared(self.around)
        return told.names <= declared and all([names.to_wire.get((None, name)) == name for name in told.names])

    def _whole(self) -> Sequence[Any]:
        """All messages with their contents and what they call; none where that cannot be read."""
        found, around = self._found, self.around
        repeats, before = around.head.repeats, around.told
        around.told = True
        if repeats is None or repeats.called is None or (before and not found.short):
            return found
        try:
            return repeats.called(around.within(self._body))
        except (RecursionError, ValueError):
            return ()

    def _anew(self) -> Told | None:
        found, telling = self._whole(), self._telling
        read = self._read(found, False, telling)
        if read is None or not _is_text(self._body):
            return None
        system = None if read.system is None else telling.system(read.system)
        return Told(len(found), system, read.turns, frozenset(read.ids), read.names, read.calls)

    def _keep(self, told: Told | None) -> Told | None:
        looked = self._found.looked
        if told is not None and looked is not None and len(looked.messages) == told.length:
            # What is kept holds on to no body.
            told = looked.memo[self._telling] = told._replace(turns=(b"".join(told.turns),))
        return told


def steps(body: bytes, outline: Outline | None, read: Reader | None, telling: Telling | None) -> Steps | None:
    """The steps of a request, where both formats have such, and what stands around its messages is known and says
    nothing of caches: that would depend on the messages too."""
    repeats = outline.repeats if outline is not None else None
    if read is None or telling is None or repeats is None:
        return None
    found = getattr(outline, repeats.key)
    if type(found) is not Known or (around := found.around) is None:
        return None
    marked: bool | None = around.memo.get(_marked)
    if marked is None:
        marked = around.memo[_marked] = _marked(around)
    return None if marked else Steps(body, found, around, read, telling)


def _marked(around: Around) -> bool:
    return any([mark in around.before or mark in around.after for mark in CACHE_MARKS])


def _declared(around: Around) -> frozenset[str]:
    repeats, tools = around.head.repeats, getattr(around.head, KEY)
    return frozenset(map(str, repeats.names(tools))) if repeats and tools else frozenset()


def _is_text(body: bytes) -> bool:
    return body.isascii() or jsonx.is_utf8(body)


_text: Final[msgspec.json.Decoder[str]] = msgspec.json.Decoder(str)


def _spelled(text: Raw) -> Raw:
    return Raw(msgspec.json.encode(_text.decode(text)))
