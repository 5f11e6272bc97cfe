"""What the beginning of a growing conversation was read and written as, so that a turn costs what is new in it.

An agent sends all of its conversation with every turn: the bytes of the turn before, and more behind them. Rules. What
is kept is found only by the very bytes that it was made of and is a pure function of them: with it and without it a
request comes out the same. It is bounded by bytes, the oldest goes first; bodies that are small or come once cost next
to nothing.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from msgspec import Raw

from llm_mux import ir
from llm_mux.translators import history
from llm_mux.translators.base import Target
from llm_mux.translators.tools import Names
from llm_mux.wire import jsonx

LEAST: Final = 32 << 10
"""Bytes of a body below which nothing is kept."""

_MOST: Final = 16 << 20
_STEP: Final = 8 << 10
_HEAD: Final = 512
_SAMPLE: Final = 96
_MOST_SEEN: Final = 4096
_SHARE: Final = 3
"""A conversation takes about so many times its bytes: they themselves, their canonical form, what was written of it."""

_BLANKS: Final = b" \t\r\n"
# Stands for the messages that are known; no client can know it.
_MARK: Final = b'"%b"' % secrets.token_hex(16).encode()
_OPENED: Final = b"[" + _MARK


_Place = tuple[str, bytes, int, bytes]


class Grown(NamedTuple):
    """A body that goes on from a known beginning: its top-level values, the JSON array of the new messages (None: there
    are none), and its bytes up to its last message."""

    top: dict[str, Raw]
    added: bytes | None
    start: bytes


class Met(NamedTuple):
    """What is known of a body: the conversation that it goes on from, or whether it seems to go on from one that was
    seen without being kept."""

    before: tuple[Past, Grown] | None = None
    again: bool = False


class _Tidied(NamedTuple):
    """`history.tidy` of the messages from `skipped` to `until`, the ids of whose calls are `ids`."""

    skipped: int
    until: int
    turns: tuple[ir.Message, ...]
    ids: frozenset[str]


class Written(NamedTuple):
    """What was written for one target of the turns at the beginning, each beside what it was written of."""

    target: Target
    names: Names
    turns: list[tuple[ir.Message, Raw]]


@dataclass(slots=True, eq=False)
class Past:
    """One conversation up to some message. `start` are the bytes of its body up to there, `opened` is where its
    messages begin; both are looked for only when it goes on. `state` is what its decoder needs to go on."""

    body: bytes
    key: str
    messages: tuple[ir.Message, ...]
    state: object
    start: bytes = b""
    opened: int = 0
    tidied: _Tidied | None = None
    written: dict[object, Written] = field(default_factory=dict)
    size: int = 0
    places: set[_Place] = field(default_factory=set)

    @property
    def grown(self) -> bool:
        """Whether it went on at least once; before that nothing is written down."""
        return bool(self.start)

    def found(self) -> bool:
        """Looks for its start in its body, once; False: it has none that could be recognised."""
        if not self.start:
            try:
                raw = bytes(jsonx.top(self.body).get(self.key, b""))
            except jsonx.Malformed:
                return False
            at, elements = self.body.find(raw), raw[:-1].rstrip(_BLANKS)
            if at < 0 or not raw.startswith(b"[") or len(elements) < 2:
                return False
            self.start, self.opened = self.body[: at + len(elements)], at + 1
            self.body = b""
        return True

    def grow(self, body: bytes) -> Grown | None:
        """`body` as a continuation; None when it is not one, or not one that is easily read."""
        if not self.start and not body.startswith(self.body[:LEAST]):
            return None
        if not self.found() or not body.startswith(self.start):
            return None
        short = b"%b%b%b" % (self.start[: self.opened], _MARK, body[len(self.start) :])
        try:
            top = jsonx.top(short)
        except jsonx.Malformed:
            return None
        raw = bytes(top.get(self.key, b""))
        if not raw.startswith(_OPENED) or not short.startswith(raw, self.opened - 1):
            return None
        rest = raw[len(_OPENED) :]
        start = body[: len(self.start) + len(rest[:-1].rstrip(_BLANKS))]
        rest = rest.lstrip(_BLANKS)
        return Grown(top, b"[" + rest[1:] if rest.startswith(b",") else None, start)


class Thread(tuple[ir.Message, ...]):
    """The messages of a request whose beginning is remembered."""

    past: Past


class Memory:
    """The conversations that are kept, each under its first bytes, a few of its last, and where those stand."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: OrderedDict[_Place, Past] = OrderedDict()
        self._bytes = 0
        # Hashes of places. What comes once is not worth more: keeping a conversation costs as much as reading a half.
        self._seen: set[int] = set()

    def meet(self, key: str, body: bytes) -> Met:
        """The longest known conversation that `body` goes on from, or whether it is to be kept."""
        if len(body) < LEAST:
            return _STRANGER
        head, again = body[:_HEAD], False
        for at in range(len(body) // _STEP * _STEP, 0, -_STEP):
            place = (key, head, at, body[at - _SAMPLE : at])
            past = self._kept.get(place)
            if past is not None and (grown := past.grow(body)) is not None:
                self._kept.move_to_end(place)
                return Met((past, grown))
            again = again or hash(place) in self._seen
        return _SEEN if again else _STRANGER

    def note(self, key: str, body: bytes, tail: int) -> None:
        """That `body` was seen. `tail`: bytes that may follow the messages in it."""
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen |= {hash(place) for place in _places(key, body, tail)}

    def keep(self, past: Past, before: Past | None = None, tail: int = 0) -> Thread:
        """The messages of `past` as a thread, kept instead of what it goes on from."""
        thread = Thread(past.messages)
        thread.past = past
        if before is not None:
            self._drop(before)
        bytes_ = past.start or past.body
        if LEAST <= len(bytes_) <= self._most // (2 * _SHARE):
            past.size, past.places = _SHARE * len(bytes_), _places(past.key, bytes_, tail)
            for place in past.places:
                if (other := self._kept.get(place)) is not None:
                    self._drop(other)
                self._kept[place] = past
            self._bytes += past.size
            while self._bytes > self._most:
                self._drop(next(iter(self._kept.values())))
        return thread

    def clear(self) -> None:
        """Forgets everything."""
        self._kept.clear()
        self._seen.clear()
        self._bytes = 0

    def _drop(self, past: Past) -> None:
        for place in past.places:
            if self._kept.get(place) is past:
                del self._kept[place]
        past.places = set()
        self._bytes -= past.size
        past.size = 0


def _places(key: str, body: bytes, tail: int) -> set[_Place]:
    """Where a conversation is looked for that ends with `body`, or `tail` bytes before its end."""
    head, ends = body[:_HEAD], (len(body), len(body) - tail)
    return {(key, head, at, body[at - _SAMPLE : at]) for end in ends if (at := end // _STEP * _STEP) > 0}


_STRANGER: Final = Met()
_SEEN: Final = Met(again=True)

MEMORY: Final = Memory()
"""The process's own."""


def tidied(messages: Sequence[ir.Message], rest: Sequence[ir.Message]) -> tuple[ir.Message, ...]:
    """`history.tidy(rest)`, of which the beginning may be known. `rest` are the last of the request's `messages`."""
    past = messages.past if isinstance(messages, Thread) else None
    if past is None or not past.grown:
        return history.tidy(rest)
    known, skipped = past.tidied, len(messages) - len(rest)
    if known is None or known.skipped != skipped:
        known = _Tidied(skipped, 0, (), frozenset())
    more = history.orderly(rest[known.until :]) if known.until < len(rest) else ()
    if more is None:
        return history.tidy(rest)
    ids = [part.id for turn in more for part in turn.parts if type(part) is ir.ToolCall]
    if not known.ids.isdisjoint(ids):
        return history.tidy(rest)
    turns = known.turns + more
    past.tidied = _closed(skipped, rest, turns) or past.tidied
    return turns


def _closed(skipped: int, rest: Sequence[ir.Message], turns: tuple[ir.Message, ...]) -> _Tidied | None:
    """As much of `turns` as nothing that follows can change: all before the last turn of the assistant that follows one
    of the user."""
    until, last = len(rest), len(turns)
    while until and rest[until - 1].role != "assistant":
        until -= 1
    while until and rest[until - 1].role == "assistant":
        until -= 1
    while last and turns[last - 1].role != "assistant":
        last -= 1
    last -= 1
    if last < 1 or not until or turns[last - 1].role != "user" or rest[until - 1].role != "user":
        return None
    kept = turns[:last]
    ids = frozenset([part.id for turn in kept for part in turn.parts if type(part) is ir.ToolCall])
    return _Tidied(skipped, until, kept, ids)


def written(
    request: ir.Request,
    turns: Sequence[ir.Message],
    target: Target,
    names: Names,
    style: object,
    write: Callable[[ir.Message], Raw | None],
) -> list[Raw]:
    """The turns at the beginning as they were written before, and what closed in the meantime written now, by `write`
    (None: a turn that cannot be kept, which ends them). `style` is all that they depend on beside target and names."""
    past = request.messages.past if isinstance(request.messages, Thread) else None
    if past is None or past.tidied is None:
        return []
    found = past.written.get(style)
    if found is None or found.target is not target or found.names is not names:
        found = past.written[style] = Written(target, names, [])
    kept, out = found.turns, []
    for number, turn in enumerate(past.tidied.turns[: len(turns)]):
        if turn is not turns[number]:
            break
        if number < len(kept) and kept[number][0] is turn:
            out.append(kept[number][1])
            continue
        made = write(turn)
        if made is None:
            break
        del kept[number:]
        kept.append((turn, made))
        out.append(made)
    return out
