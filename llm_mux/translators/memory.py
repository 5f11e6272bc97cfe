"""What the beginning of a growing conversation was read and written as, so that a turn costs what is new in it.

An agent sends all of its conversation with every turn: the bytes of the turn before, and more behind them. Rules. What
is kept is found only by the very bytes that it was made of and is a pure function of them: with it and without it a
request comes out the same. It is bounded by bytes, the oldest goes first; bodies that are small or come once cost next
to nothing.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from operator import is_
from typing import Final, NamedTuple

from msgspec import Raw, Struct, field

from llm_mux import ir
from llm_mux.translators import history
from llm_mux.translators.base import Target
from llm_mux.translators.tools import Called, Names, called
from llm_mux.wire import jsonx

LEAST: Final = 32 << 10
"""Bytes of a body below which nothing is kept."""

_MOST: Final = 48 << 20
_STEP: Final = 8 << 10
_HEAD: Final = 512
_SAMPLE: Final = 96
_LIFE: Final = 40
_MOST_CHUNKS: Final = 24
_MOST_SEEN: Final = 4096
_LARGEST: Final = 6
"""A conversation is not kept of which that many would not fit."""

BLANKS: Final = b" \t\r\n"
_BETWEEN: Final = BLANKS + b","
MARK: Final = b'"%b"' % secrets.token_hex(16).encode()
"""A JSON string that stands for the messages that are known, by itself or in a message; no client can know it."""


_Place = tuple[str, bytes, int, bytes]


class Grown(NamedTuple):
    """A body that goes on from a known beginning: its top-level values, the JSON array of the new messages (None: there
    are none), and how many bytes it has up to its last message."""

    top: dict[str, Raw]
    added: bytes | None
    length: int


class Met(NamedTuple):
    """What is known of a body: what it goes on from and how many of its bytes that are, or whether it seems to go on
    from one that was seen without being kept."""

    before: Beginning | None = None
    length: int = 0
    again: bool = False

    def short(self, body: bytes, mark: bytes) -> bytes:
        """`body` with `mark` in place of the messages that are known."""
        opened = self.before.opened if self.before is not None else 0
        return b"%b%b%b" % (body[:opened], mark, body[self.length :])


class _Note(NamedTuple):
    """A body that was seen, and where its messages end (None: nobody has looked)."""

    key: str
    body: bytes
    kind: str
    end: int | None

    def places(self) -> set[_Place]:
        end = end_of(self.body, jsonx.top(self.body).get(self.key, b"")) if self.end is None else self.end
        return _places(self.kind + self.key, self.body, end)


class _Tidied(NamedTuple):
    """`history.tidy` of the messages from `skipped` to `until`, the ids of whose calls are `ids`."""

    skipped: int
    until: int
    turns: tuple[ir.Message, ...]
    ids: frozenset[str]


class Written(NamedTuple):
    """What was written for one target of the turns at the beginning, and those turns."""

    target: Target
    names: Names
    turns: list[ir.Message]
    raws: list[Raw]


class Beginning(Struct, eq=False):
    """A body that others may go on from. Its bytes up to its last message are `chunks`, `length` together; `opened` is
    where its messages begin, the array under `key`. They are looked for only when another body seems to go on. `share`:
    so many times its bytes it takes, about."""

    body: bytes
    key: str
    chunks: tuple[bytes, ...] = ()
    length: int = 0
    opened: int = 0
    size: int = 0
    used: int = 0
    places: set[_Place] = field(default_factory=set)
    share: float = 1.25

    def found(self) -> bool:
        """Looks for its messages in its body, once; False: it has none that could be recognised."""
        if not self.chunks:
            try:
                raw = bytes(jsonx.top(self.body).get(self.key, b""))
            except jsonx.Malformed:
                return False
            at, elements = self.body.find(raw), raw[:-1].rstrip(BLANKS)
            if at < 0 or not raw.startswith(b"[") or len(elements) < 2:
                return False
            self.length, self.opened = at + len(elements), at + 1
            self.chunks, self.body = (self.body[: self.length],), b""
        return True

    def begins(self, body: bytes) -> bool:
        """Whether `body` goes on from here."""
        if not self.chunks and not body.startswith(self.body[:LEAST]):
            return False
        if not self.found():
            return False
        at = 0
        for chunk in self.chunks:
            if not body.startswith(chunk, at):
                return False
            at += len(chunk)
        return True

    def grow(self, short: bytes, mark: bytes, missing: int = 0) -> Grown | None:
        """What goes on from here, by its shortened form, in which so many bytes more are `missing` before the messages;
        None when it is not easily read."""
        try:
            top = jsonx.top(short)
        except jsonx.Malformed:
            return None
        raw, opened = bytes(top.get(self.key, b"")), b"[" + mark
        if not raw.startswith(opened) or not short.startswith(raw, self.opened - 1 - missing):
            return None
        rest = raw[len(opened) :]
        length = self.length + len(rest[:-1].rstrip(BLANKS))
        rest = rest.lstrip(BLANKS)
        return Grown(top, b"[" + rest[1:] if rest.startswith(b",") else None, length)

    def extended(self, body: bytes, length: int) -> tuple[bytes, ...]:
        """The chunks of a body that goes on from here, up to `length`."""
        if len(self.chunks) >= _MOST_CHUNKS:
            return (body[:length],)
        return (*self.chunks, body[self.length : length]) if length > self.length else self.chunks


class Past(Beginning):
    """A conversation up to some message, as its translator read it. `state` is what its decoder needs to go on, `calls`
    the tools that it calls (None: nobody has looked)."""

    messages: tuple[ir.Message, ...] = ()
    state: object = None
    tidied: _Tidied | None = None
    written: dict[object, Written] = field(default_factory=dict)
    calls: frozenset[Called] | None = None

    # The bytes themselves, their canonical form, and what was written of it.
    share: float = 3.0

    @property
    def grown(self) -> bool:
        """Whether it went on at least once; before that nothing is written down."""
        return bool(self.chunks)

    def calls_and(self, new: Iterable[ir.Message]) -> frozenset[Called]:
        """The tools that it and the messages behind it call."""
        known = called(self.messages) if self.calls is None else self.calls
        return known | called(new)


class Thread(tuple[ir.Message, ...]):
    """The messages of a request whose beginning is remembered: the first `lasting` come again with the next turn."""

    past: Past
    lasting: int

    @classmethod
    def of(cls, past: Past, before: tuple[ir.Message, ...] = (), behind: tuple[ir.Message, ...] = ()) -> Thread:
        made = cls((*before, *past.messages, *behind) if before or behind else past.messages)
        made.past, made.lasting = past, len(made) - len(behind)
        return made


class Memory:
    """The conversations that are kept, each under its first bytes, a few of its last, and where those stand."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: OrderedDict[_Place, Beginning] = OrderedDict()
        self._bytes = 0
        self._age = 0
        # Hashes of places. What comes once is not worth more: keeping a conversation costs as much as reading a half.
        self._seen: set[int] = set()
        # Hashes of what places begin with: most bodies that nobody knows begin like none.
        self._heads: set[int] = set()
        # What is to be made a note of.
        self.noted: _Note | None = None

    def meet(self, key: str, body: bytes, kind: str = "") -> Met:
        """The longest known beginning of `body`, or whether it is to be kept. What is kept for one `kind` of reader is
        not for another."""
        if len(body) < LEAST:
            return STRANGER
        if self.noted is not None:
            self.settle()
        head, again, key = body[:_HEAD], False, kind + key
        if hash((key, head)) not in self._heads:
            return STRANGER
        for at in range(len(body) // _STEP * _STEP, 0, -_STEP):
            place = (key, head, at, body[at - _SAMPLE : at])
            before = self._kept.get(place)
            if before is not None and before.begins(body):
                self._use(before)
                return Met(before, before.length)
            again = again or hash(place) in self._seen
        return _SEEN if again else STRANGER

    def note(self, key: str, body: bytes, kind: str = "", end: int | None = None) -> None:
        """That `body` was seen, whose messages stand before `end` (None: nobody has looked): what comes behind is often
        the same in all bodies of a client. It is made a note of in `settle`, or when another one comes."""
        self.settle()
        self.noted = _Note(key, body, kind, end)

    def settle(self) -> None:
        """Called when the request that was read last is on its way and there is time."""
        noted, self.noted = self.noted, None
        if noted is None:
            return
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
            self._heads = {hash(place[:2]) for place in self._kept}
        places = noted.places()
        self._seen |= set(map(hash, places))
        self._heads |= {hash(place[:2]) for place in places}

    def keep(self, made: Beginning, body: bytes, before: Beginning | None = None, kind: str = "") -> None:
        """Keeps `made`, a beginning of `body`, instead of what it goes on from."""
        if before is not None:
            self._drop(before)
        length = made.length or len(body)
        size = int(made.share * length)
        if length >= LEAST and size <= self._most // _LARGEST:
            made.size, made.places = size, _places(kind + made.key, body, length)
            self._heads |= {hash(place[:2]) for place in made.places}
            for place in made.places:
                other = self._kept.get(place)
                self._kept[place] = made
                if other is not None:
                    other.places.discard(place)
                    if not other.places:
                        self._drop(other)
            self._use(made)
            self._bytes += made.size
            while self._bytes > self._most:
                self._drop(next(iter(self._kept.values())))

    def age(self) -> None:
        """Called now and then. What was of no use in the last `_LIFE` times is forgotten."""
        self.settle()
        self._age += 1
        while self._kept and (oldest := next(iter(self._kept.values()))).used < self._age - _LIFE:
            self._drop(oldest)

    def _use(self, kept: Beginning) -> None:
        kept.used = self._age
        for place in kept.places:
            self._kept.move_to_end(place)

    def clear(self) -> None:
        """Forgets everything."""
        self._kept.clear()
        self._seen.clear()
        self._heads.clear()
        self.noted = None
        self._bytes = 0

    def _drop(self, kept: Beginning) -> None:
        for place in kept.places:
            if self._kept.get(place) is kept:
                del self._kept[place]
        kept.places = set()
        self._bytes -= kept.size
        kept.size = 0


def _places(key: str, body: bytes, length: int) -> set[_Place]:
    """Where what begins like the first `length` bytes of `body` is looked for: at their end, and, as other values may
    follow the messages, in the middle."""
    head, ends = body[:_HEAD], (length, length // 2)
    return {(key, head, at, body[at - _SAMPLE : at]) for end in ends if (at := end // _STEP * _STEP) > 0}


def end_of(body: bytes, messages: Raw | bytes) -> int:
    """About where the messages of a body end, which are all that it has under their key; 0: it has none."""
    begun = bytes(memoryview(messages)[:64])
    return body.find(begun) + len(memoryview(messages))


def behind(body: bytes, start: int, end: int, count: int) -> int:
    """Where the first `count` messages end of those that stand between two places of a body."""
    rest = body[start:end].lstrip(_BETWEEN)
    at = end - len(rest)
    for raw in jsonx.elements(b"[%b]" % rest)[:count]:
        while body[at] in _BETWEEN:
            at += 1
        at += len(raw)
    return at


STRANGER: Final = Met()
_SEEN: Final = Met(again=True)

MEMORY: Final = Memory()
"""The process's own."""


def calls_of(messages: Sequence[ir.Message]) -> frozenset[Called] | None:
    """The tools that a history calls, where that is remembered."""
    return messages.past.calls if isinstance(messages, Thread) else None


def tidied(messages: Sequence[ir.Message], rest: Sequence[ir.Message]) -> tuple[ir.Message, ...]:
    """`history.tidy(rest)`, of which the beginning may be known. `rest` are the last of the request's `messages`."""
    if not isinstance(messages, Thread) or not messages.past.grown:
        return history.tidy(rest)
    past, skipped = messages.past, len(messages) - len(rest)
    known = past.tidied
    if known is None or known.skipped != skipped:
        known = _Tidied(skipped, 0, (), frozenset())
    changes = messages.lasting < len(messages)
    if changes:
        known = past.tidied = _sooner(known, rest[: messages.lasting - skipped])
    more = history.orderly(rest[known.until :]) if known.until < len(rest) else ()
    if more is None:
        return history.tidy(rest)
    if not known.ids.isdisjoint(_ids(more)):
        return history.tidy(rest)
    turns = known.turns + more
    if not changes:
        past.tidied = _closed(known, rest, turns) or past.tidied
    return turns


def _sooner(known: _Tidied, rest: Sequence[ir.Message]) -> _Tidied:
    """What is known where messages behind `rest` may be others with the next turn."""
    while rest and rest[-1].role == "assistant":
        rest = rest[:-1]
    more = history.orderly(rest[known.until :]) if known.until < len(rest) else ()
    if not more or not known.ids.isdisjoint(_ids(more)):
        return known
    return _closed(known, rest, known.turns + more) or known


def _ids(turns: Iterable[ir.Message]) -> list[str]:
    return [part.id for turn in turns for part in turn.parts if type(part) is ir.ToolCall]


def _closed(known: _Tidied, rest: Sequence[ir.Message], turns: tuple[ir.Message, ...]) -> _Tidied | None:
    """As much of `turns` as nothing that follows can change: all before the last turn of the assistant that follows one
    of the user. `known` is what was known of them before."""
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
    if last <= len(known.turns):
        return known
    return _Tidied(known.skipped, until, turns[:last], known.ids.union(_ids(turns[len(known.turns) : last])))


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
        found = past.written[style] = Written(target, names, [], [])
    settled, sealed = past.tidied.turns[: len(turns)], found.turns
    if not all(map(is_, settled, turns)):
        return []
    if not all(map(is_, sealed, settled)):
        sealed.clear()
        found.raws.clear()
    for turn in settled[len(sealed) :]:
        made = write(turn)
        if made is None:
            break
        sealed.append(turn)
        found.raws.append(made)
    return found.raws[: len(settled)]
