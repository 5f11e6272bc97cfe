"""The look at a client's body that routing and splicing need, of which the beginning may be known from the turn before.

Rule: what it finds is what a look at the whole body finds, but for contents of messages that nobody looks into twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import field

from llm_mux.translators.around import AROUND, Around
from llm_mux.translators.base import Outline, Repeats
from llm_mux.translators.memory import BLANKS, LEAST, MEMORY, Beginning, Met, behind
from llm_mux.translators.repeated import KEY as TOOLS_KEY
from llm_mux.translators.repeated import TOOLS, marked
from llm_mux.wire import jsonx

_MOST_NEW = 8
"""Messages behind the known ones up to which it is not worth to remember them too."""

_KIND = "outline of "


class Looked(Beginning):
    """The outlines of a conversation's messages up to some message. The first `checked` of them passed under `rules`:
    whoever looks at them one by one may leave those out. `memo`: what others made of some of them."""

    messages: list[Any] = field(default_factory=list)
    rules: object = None
    checked: int = 0
    memo: dict[object, Any] = field(default_factory=dict)


class Known(list[Any]):
    """The outlines of a body's messages. Those of `looked` are the first, of which the first `short` are without their
    contents; `around` is what stands around all of them. Either may be None."""

    looked: Looked | None
    around: Around | None
    short: int

    @classmethod
    def of(cls, messages: list[Any], around: Around | None, looked: Looked | None = None, short: int = 0) -> Known:
        made = cls(messages)
        made.around, made.looked, made.short = around, looked, short
        return made


def look(body: bytes, outline: type[Outline]) -> tuple[Outline, bytes]:
    """What `outline` finds in `body`, and the bytes that it was found in. Raises jsonx.Malformed."""
    repeats = outline.repeats
    if repeats is None:
        return jsonx.sound(body, outline)
    # By its module: two formats may call theirs the same.
    kind = _KIND + outline.__module__
    around, met = AROUND.find(body, outline), MEMORY.meet(repeats.key, body, kind)
    if isinstance(met.before, Looked):
        found = _going_on(body, met.before, around, repeats, kind) or _shortly(body, met, outline, kind)
        if found is not None:
            return found, body
    if around is not None and (messages := _read(around.within(body), repeats, around)):
        looked = _remembered(body, messages, repeats, met, kind, around)
        return msgspec.structs.replace(around.head, **{repeats.key: Known.of(messages, around, looked)}), body
    known = None if met.before is not None else _without_tools(body, outline, repeats)
    whole, body = (known, body) if known is not None else jsonx.sound(body, outline)
    messages, tools = getattr(whole, repeats.key), getattr(whole, TOOLS_KEY)
    if messages and type(messages) is list:
        if known is None and tools:
            TOOLS.note(body, repeats.names(tools))
        if around is None:
            AROUND.note(body, whole, repeats)
        _remembered(body, messages, repeats, met, kind)
    return whole, body


def _remembered(
    body: bytes, messages: list[Any], repeats: Repeats, met: Met, kind: str, around: Around | None = None
) -> Looked | None:
    """Remembers the messages of a body that seems to come again, or that it was seen."""
    lasting = repeats.lasting(messages) if met.again else 0
    if not lasting or (around is None and lasting < len(messages)):
        if len(body) >= LEAST:
            MEMORY.note(repeats.key, body, kind, None if around is None else len(body) - len(around.after))
        return None
    kept = [repeats.kept(each) for each in messages[:lasting]]
    looked = Looked(body, repeats.key, share=repeats.share, messages=kept)
    if around is not None:
        opened, end = len(around.before), len(body) - len(around.after)
        looked.length = behind(body, opened, end, lasting) if lasting < len(messages) else _solid(body, end)
        looked.chunks, looked.opened, looked.body = (body[: looked.length],), opened, b""
    MEMORY.keep(looked, body, kind=kind)
    return looked


def _solid(body: bytes, end: int) -> int:
    """`end` without the blanks before it."""
    return len(body[:end].rstrip(BLANKS))


def _read(raw: bytes | memoryview, repeats: Repeats, around: Around) -> list[Any] | None:
    """The outlines of a list of messages, with what they call if others around which the same stood were to be told;
    None: it is none, or they are no usual ones."""
    for read in (repeats.called if around.told else None, repeats.messages):
        try:
            if read is not None:
                return read(raw)
        except (RecursionError, ValueError):
            pass
    return None


def _going_on(body: bytes, before: Looked, around: Around | None, repeats: Repeats, kind: str) -> Outline | None:
    """What is found where both the beginning of the messages and what stands around all of them are known."""
    if around is None or before.opened != len(around.before):
        return None
    end = len(body) - len(around.after)
    rest = body[before.length : end].rstrip(BLANKS)
    new = rest.lstrip(BLANKS)
    if before.length > end or (new and not new.startswith(b",")):
        return None
    more = _read(b"[%b]" % new[1:], repeats, around) if new else []
    if more is None or (new and not more):
        return None
    looked = _further(body, before, more, before.length + len(rest), repeats, kind)
    messages = Known.of(before.messages + more, around, looked, len(before.messages))
    return msgspec.structs.replace(around.head, **{repeats.key: messages})


def _further(body: bytes, before: Looked, more: list[Any], length: int, repeats: Repeats, kind: str) -> Looked:
    """What is remembered from now on of a conversation that went on by some messages, to that length of its bytes."""
    lasting = repeats.lasting(more)
    if lasting <= _MOST_NEW:
        return before
    if lasting < len(more):
        length = behind(body, before.length, length, lasting)
    messages = [*before.messages, *[repeats.kept(each) for each in more[:lasting]]]
    chunks = before.extended(body, length)
    looked = Looked(
        b"",
        repeats.key,
        chunks,
        length,
        before.opened,
        share=before.share,
        messages=messages,
        rules=before.rules,
        checked=before.checked,
        memo=before.memo,
    )
    MEMORY.keep(looked, body, before, kind)
    return looked


def _without_tools(body: bytes, outline: type[Outline], repeats: Repeats) -> Outline | None:
    """What `outline` finds in a body whose tools are known; None when they are not, or it has to be read as it is."""
    cut = TOOLS.cut(body)
    found = None if cut is None else _exactly(cut.short, outline)
    if cut is None or found is None or not marked(getattr(found, TOOLS_KEY)):
        return None
    return msgspec.structs.replace(found, **{TOOLS_KEY: cut.tools.outlined(repeats.tools)})


def _exactly(body: bytes, outline: type[Outline]) -> Outline | None:
    """What `outline` finds in bytes that need no repair."""
    try:
        found, read = jsonx.sound(body, outline)
    except jsonx.Malformed:
        return None
    return found if read is body else None


def _shortly(body: bytes, met: Met, outline: type[Outline], kind: str) -> Outline | None:
    """What is found where the beginning of the messages is known."""
    repeats, before = outline.repeats, met.before
    assert repeats is not None
    assert isinstance(before, Looked)
    short = met.short(body, repeats.mark)
    found = _without_tools(short, outline, repeats) or _exactly(short, outline)
    messages = getattr(found, repeats.key, None)
    if found is None or type(messages) is not list or not messages or not repeats.marked(messages[0]):
        return None
    looked, more = before, messages[1:]
    if len(more) > _MOST_NEW and (grown := before.grow(short, repeats.mark)) is not None:
        looked = _further(body, before, more, grown.length, repeats, kind)
    AROUND.note(body, found, repeats)
    known = Known.of(before.messages + more, None, looked, len(before.messages))
    return msgspec.structs.replace(found, **{repeats.key: known})


def unchecked(messages: Known, rules: object) -> list[Any]:
    """Those outlines of a body's messages that have not passed under `rules` before."""
    looked = messages.looked
    start = looked.checked if looked is not None and looked.rules is rules else 0
    return messages[start:] if start else messages


def passed(messages: Known, rules: object) -> None:
    """All of them pass under `rules`."""
    if (looked := messages.looked) is not None:
        looked.rules, looked.checked = rules, len(looked.messages)


def spliced(body: bytes, outline: Outline | None, edits: Mapping[str, bytes | None]) -> bytes:
    """What `jsonx.splice` makes of `body`, of which `outline` is what was found."""
    key = outline.repeats.key if outline is not None and outline.repeats is not None else ""
    found = getattr(outline, key, None)
    around = found.around if type(found) is Known else None
    return jsonx.splice(body, edits) if around is None or key in edits else around.spliced(body, edits)
