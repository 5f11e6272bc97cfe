"""What stands around the messages of a body: a client says the same around those of every turn, often a third of it.

Rules. It is known by all of its bytes, at both ends of a body, and was read once with a mark in place of the messages.
So what is between is read by itself, and both together say what the whole body says; where it is no list of messages,
all of the body is read. What is kept is bounded by number and bytes, the one that was of use longest ago goes first,
and a client that says something else each time pays next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from llm_mux.translators.base import Outline, Repeats
from llm_mux.translators.memory import MARK
from llm_mux.translators.repeated import KEY as TOOLS_KEY
from llm_mux.translators.repeated import Again, Seen
from llm_mux.wire import jsonx

_MOST: Final = 256 << 10
_KEPT: Final = 12
_MOST_EDITS: Final = 2
_NUMBERS = count(1)


class Around(Struct, eq=False):
    """The bytes up to the bracket that opens the messages, those from the one that closes them, and what an outline
    finds in both. `number`: no other has it; `memo`: what others worked out of it, once; `told`: what stands between is
    to be told in steps (`translators.steps`), for which its calls are read."""

    before: bytes
    after: bytes
    head: Outline
    number: int
    memo: dict[object, Any] = field(default_factory=dict)
    told: bool = False
    _edited: dict[object, tuple[bytes, ...]] = field(default_factory=dict)

    def stands(self, body: bytes) -> bool:
        """Whether `body` begins and ends with it."""
        long_enough = len(body) >= len(self.before) + len(self.after)
        return long_enough and body.startswith(self.before) and body.endswith(self.after)

    def within(self, body: bytes) -> memoryview:
        """What stands between, with its brackets."""
        return memoryview(body)[len(self.before) - 1 : len(body) - len(self.after) + 1]

    def spliced(self, body: bytes, edits: Mapping[str, bytes | None]) -> bytes:
        """What `jsonx.splice` makes of a body around whose messages it stands; edits do not concern those."""
        key = tuple(edits.items())
        made: tuple[bytes, ...] | None = self._edited.get(key)
        if made is None:
            if len(self._edited) >= _MOST_EDITS:
                self._edited.clear()
            marked = jsonx.splice(b"%b%b%b" % (self.before, MARK, self.after), edits)
            made = self._edited[key] = tuple(marked.split(MARK))
        before, after = made
        return b"".join((before, memoryview(body)[len(self.before) : len(body) - len(self.after)], after))


class Arounds:
    """Those that are kept, the one that was of use last first."""

    def __init__(self) -> None:
        self._kept: list[Around] = []
        self._seen = Seen()

    def find(self, body: bytes, outline: type[Outline]) -> Around | None:
        """The one that stands around the messages of `body`."""
        for number, known in enumerate(self._kept):
            if known.stands(body) and type(known.head) is outline:
                if number:
                    self._kept.insert(0, self._kept.pop(number))
                return known
        return None

    def note(self, body: bytes, found: Outline, repeats: Repeats) -> None:
        """`body`, of which that was found, has something around its messages that was not known."""
        tools = getattr(found, TOOLS_KEY)
        if not self._seen.pays(found.model, found.stream, repeats.names(tools) if tools else ()):
            return
        if (made := _read(body, type(found))) is not None:
            self._kept = [made, *self._kept[: _KEPT - 1]]

    def clear(self) -> None:
        """Forgets everything."""
        self._kept.clear()
        self._seen.clear()


def _read(body: bytes, outline: type[Outline]) -> Around | None:
    """What stands around the messages of `body`, if those are found and it is not too long."""
    repeats = outline.repeats
    try:
        raw = b"" if repeats is None else bytes(jsonx.top(body).get(repeats.key, b""))
        at = body.find(raw) + 1
        before, after = body[:at], body[at + len(raw) - 2 :]
        if repeats is None or at < 1 or not raw.startswith(b"[") or len(before) + len(after) > _MOST:
            return None
        marked = b"%b%b%b" % (before, repeats.mark, after)
        head, read = jsonx.sound(marked, outline)
    except jsonx.Malformed:
        return None
    messages, tools = getattr(head, repeats.key), getattr(head, TOOLS_KEY)
    if read is not marked or type(messages) is not list or len(messages) != 1 or not repeats.marked(messages[0]):
        return None
    told = Again(tools) if tools else tools
    return Around(before, after, msgspec.structs.replace(head, **{repeats.key: None, TOOLS_KEY: told}), next(_NUMBERS))


AROUND: Final = Arounds()
"""The process's own."""
