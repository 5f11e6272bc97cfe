"""The look at a client's body that routing and splicing need, of which the beginning may be known from the turn before.

Rule: what it finds is what a look at the whole body finds, but for contents of messages that nobody looks into twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from llm_mux.translators.base import Outline, Repeats
from llm_mux.translators.memory import MEMORY, Beginning
from llm_mux.translators.repeated import KEY, TOOLS, marked
from llm_mux.wire import jsonx

_MOST_NEW = 8
"""Messages behind the known ones up to which it is not worth to remember them too."""

_KIND = "outline of "
_KEY = "messages"


@dataclass(slots=True, eq=False)
class Looked(Beginning):
    """The outlines of a conversation's messages up to some message. The first `checked` of them passed under `rules`:
    whoever looks at them one by one may leave those out."""

    messages: list[Any] = field(default_factory=list)
    rules: object = None
    checked: int = 0


class Known(list[Any]):
    """The outlines of a body's messages, the first of which are those of `looked`."""

    looked: Looked

    @classmethod
    def of(cls, looked: Looked, more: list[Any]) -> Known:
        made = cls(looked.messages)
        made.extend(more)
        made.looked = looked
        return made


def look(body: bytes, outline: type[Outline]) -> tuple[Outline, bytes]:
    """What `outline` finds in `body`, and the bytes that it was found in. Raises jsonx.Malformed."""
    repeats = outline.repeats
    if repeats is None:
        return jsonx.sound(body, outline)
    kind = _KIND + outline.__name__
    met = MEMORY.meet(_KEY, body, repeats.mark, kind)
    if isinstance(met.before, Looked) and (found := _shortly(body, met.before, met.short, outline, kind)) is not None:
        return found, body
    known = None if met.short else _without_tools(body, outline, repeats)
    whole, body = (known, body) if known is not None else jsonx.sound(body, outline)
    if known is None and (tools := getattr(whole, KEY)):
        TOOLS.note(body, repeats.names(tools))
    messages = getattr(whole, _KEY)
    if met.again and messages:
        MEMORY.keep(Looked(body, _KEY, messages=[repeats.kept(each) for each in messages]), body, kind=kind)
    elif messages:
        MEMORY.note(_KEY, body, kind)
    return whole, body


def _without_tools(body: bytes, outline: type[Outline], repeats: Repeats) -> Outline | None:
    """What `outline` finds in a body whose tools are known; None when they are not, or it has to be read as it is."""
    cut = TOOLS.cut(body)
    found = None if cut is None else _exactly(cut.short, outline)
    if cut is None or found is None or not marked(getattr(found, KEY)):
        return None
    return msgspec.structs.replace(found, **{KEY: cut.tools.outlined(repeats.tools)})


def _exactly(body: bytes, outline: type[Outline]) -> Outline | None:
    """What `outline` finds in bytes that need no repair."""
    try:
        found, read = jsonx.sound(body, outline)
    except jsonx.Malformed:
        return None
    return found if read is body else None


def _shortly(body: bytes, before: Looked, short: bytes, outline: type[Outline], kind: str) -> Outline | None:
    repeats = outline.repeats
    assert repeats is not None
    found = _without_tools(short, outline, repeats) or _exactly(short, outline)
    messages = getattr(found, _KEY, None)
    if found is None or not messages or not repeats.marked(messages[0]):
        return None
    looked, more = before, messages[1:]
    if len(more) > _MOST_NEW and (grown := before.grow(short, repeats.mark)) is not None:
        kept = [*before.messages, *[repeats.kept(each) for each in more]]
        chunks = before.extended(body, grown.length)
        looked = Looked(
            b"", _KEY, chunks, grown.length, before.opened, messages=kept, rules=before.rules, checked=before.checked
        )
        MEMORY.keep(looked, body, before, kind)
        more = []
    return msgspec.structs.replace(found, **{_KEY: Known.of(looked, more)})
