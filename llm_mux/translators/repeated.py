"""Lists of tools that come again with every request, told by their bytes and by where they stood.

An agent sends the same tools with each turn, often a third of its body. Rules. Only the very bytes that were read
before are left out of a body, at the place where they stood the last time, counted from its start or from its end;
whoever reads what is left has to find the mark where the tools belong, else all of the body is read. What is kept is
bounded by number and bytes, the one that was of use longest ago goes first, and a client whose tools are never twice
the same pays next to nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from msgspec import Raw, Struct, field

from llm_mux.wire import jsonx

KEY: Final = "tools"
_WORD: Final = secrets.token_hex(16)
MARK: Final = b'[{"type":"%b"}]' % _WORD.encode()
"""A JSON list that stands for known tools; no client can know it. It begins like theirs, so that a body which has those
bytes within a string is wrong with both."""

_LEAST: Final = 2 << 10
_MOST: Final = 256 << 10
_KEPT: Final = 12
_MOST_SEEN: Final = 256


Read: TypeAlias = Callable[[bytes], list[Any]]


_Rules = TypeVar("_Rules")


class Again(list[Any]):
    """The outlines of a known list of tools, the same object for every body that has it. `rules`: those under which all
    of them passed the last time."""

    rules: object = None


def all_pass(tools: list[Any], rules: _Rules, passes: Callable[[list[Any], _Rules], bool]) -> bool:
    """Whether all tools pass under `rules`, which is asked once of a list that comes again."""
    known = tools if type(tools) is Again else None
    if known is not None and known.rules is rules:
        return True
    if not passes(tools, rules):
        return False
    if known is not None:
        known.rules = rules
    return True


class Tools(Struct, eq=False):
    """A list of tools as it stood in a body: its bytes, where they began, and how far before the body's end."""

    raw: bytes
    start: int
    end: int
    outlines: dict[Read, Again] = field(default_factory=dict)

    def outlined(self, read: Read) -> Again:
        """What `read` makes of them, once for each that reads them."""
        found = self.outlines.get(read)
        if found is None:
            found = self.outlines[read] = Again(read(self.raw))
        return found


class Cut(Struct, frozen=True, eq=False):
    """A body without its tools, and which those are. `before` says how many bytes are missing before a place in it."""

    short: bytes
    tools: Tools

    def before(self, at: int) -> int:
        return len(self.tools.raw) - len(MARK) if self.tools.start < at else 0

    def stands(self, top: Mapping[str, Raw]) -> bool:
        """Whether the mark is where the tools belong among the values of the short body."""
        return bytes(top.get(KEY, b"")) == MARK


def marked(tools: Sequence[Any] | None) -> bool:
    """Whether the outlines of some tools are those of the mark."""
    return bool(tools) and tools is not None and len(tools) == 1 and tools[0].type == _WORD


class Seen:
    """How often the same came without being known."""

    def __init__(self) -> None:
        self._times: dict[int, int] = {}

    def pays(self, *what: object) -> bool:
        """Whether it is to be kept now: when it comes for the second time, and then more and more rarely, since its
        bytes are others each time."""
        if len(self._times) >= _MOST_SEEN:
            self._times.clear()
        key = hash(what)
        times = self._times[key] = self._times.get(key, 0) + 1
        return times > 1 and times & (times - 1) == 0

    def clear(self) -> None:
        """Forgets everything."""
        self._times.clear()


class Lists:
    """The lists that are kept, the one that was of use last first."""

    def __init__(self) -> None:
        self._kept: list[Tools] = []
        self._seen = Seen()

    def cut(self, body: bytes) -> Cut | None:
        """`body` without the tools that are known, if they stand where they stood."""
        for number, known in enumerate(self._kept):
            at = known.start
            if not body.startswith(known.raw, at):
                at = len(body) - known.end
                if at <= 0 or not body.startswith(known.raw, at):
                    continue
            known.start, known.end = at, len(body) - at
            if number:
                self._kept.insert(0, self._kept.pop(number))
            whole = memoryview(body)
            return Cut(b"".join((whole[:at], MARK, whole[at + len(known.raw) :])), known)
        return None

    def note(self, body: bytes, names: tuple[object, ...]) -> None:
        """`body` has tools of these names that were not known."""
        if self._seen.pays(names):
            self._keep(body)

    def _keep(self, body: bytes) -> None:
        try:
            raw = bytes(jsonx.top(body).get(KEY, b""))
        except jsonx.Malformed:
            return
        at = body.find(raw) if _LEAST <= len(raw) <= _MOST else -1
        if at > 0 and raw.startswith(b'[{"'):
            self._kept = [Tools(raw, at, len(body) - at), *self._kept[: _KEPT - 1]]

    def clear(self) -> None:
        """Forgets everything."""
        self._kept.clear()
        self._seen.clear()


TOOLS: Final = Lists()
"""The process's own."""
