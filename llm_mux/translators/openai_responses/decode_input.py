"""The input of a client's request as turns, with the instructions before it.

Rule: of a conversation that goes on from one that is remembered only the new items are read. What is remembered is
where its items ended, since its last turn may go on with the next one.
Spec: the Responses API page, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from msgspec import UNSET, Raw

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators.memory import LEAST, MARK, MEMORY, STRANGER, Met, Past, Thread, end_of
from llm_mux.translators.openai_responses import items, parts
from llm_mux.translators.openai_responses.reading import OWNER, first_byte, present, read
from llm_mux.translators.tools import called
from llm_mux.wire import jsonx

STATE: Final = Raw(b'{"type":"server_state"}')
"""Data of the opaque parts that stand for server state; the state itself is in `extras`."""


_KEY: Final = "input"
_SERVER_STATE: Final = ("previous_response_id", "conversation", "prompt")


class Found(NamedTuple):
    """What was read of a body: its top-level fields, what its items say, and all messages."""

    fields: dict[str, Raw]
    conversation: items.Conversation
    messages: tuple[ir.Message, ...]


class _Before(NamedTuple):
    """What stands before the items, as far as it decides how they are read."""

    instructions: bytes
    stateful: tuple[str, ...]
    codex: bool


class _State(NamedTuple):
    before: _Before
    number: int
    conversation: items.Conversation


def look(body: bytes, *, codex: bool) -> Found:
    """The conversation in `body`, remembered if it seems to be sent with every turn. Raises BAD_REQUEST."""
    met = MEMORY.meet(_KEY, body, OWNER) if len(body) >= LEAST else STRANGER
    if isinstance(met.before, Past) and (found := _grown(body, met, met.before, codex=codex)) is not None:
        return found
    fields = fields_of(body)
    into, count = _read(fields, codex=codex)
    begun = into.copy() if met.again else None
    found = Found(fields, into, into.finished())
    if begun is not None:
        state = _State(_before(fields, codex=codex), count, begun)
        past = Past(body, _KEY, state=state, calls=called(found.messages))
        MEMORY.keep(past, body, kind=OWNER)
        return found._replace(messages=Thread.of(past, found.messages))
    if len(body) >= LEAST:
        MEMORY.note(_KEY, body, OWNER, end_of(body, fields.get(_KEY, b"")))
    return found


def whole(fields: dict[str, Raw], *, codex: bool) -> Found:
    """The same of top-level fields, of which nothing is remembered."""
    into, _ = _read(fields, codex=codex)
    return Found(fields, into, into.finished())


def fields_of(body: bytes) -> dict[str, Raw]:
    """The top-level fields of a body."""
    try:
        return jsonx.top(body)
    except jsonx.Malformed as error:
        raise bad_request(f"The request body cannot be read: {error}.", code="invalid_json") from None


def _grown(body: bytes, met: Met, past: Past, *, codex: bool) -> Found | None:
    """What goes on from a remembered conversation; None where that was read in other surroundings."""
    grown, state = past.grow(met.short(body, MARK), MARK), past.state
    if grown is None or not isinstance(state, _State) or state.before != _before(grown.top, codex=codex):
        return None
    into, known = state.conversation.copy(), len(state.conversation.messages)
    new = jsonx.elements(grown.added) if grown.added is not None else []
    _add(into, new, state.number)
    begun = into.copy()
    messages = into.finished()
    made = Past(
        b"",
        _KEY,
        past.extended(body, grown.length),
        grown.length,
        past.opened,
        state=_State(state.before, state.number + len(new), begun),
        tidied=past.tidied,
        written=past.written,
        calls=past.calls_and(messages[max(0, known - 1) :]),
    )
    MEMORY.keep(made, body, past, OWNER)
    return Found(grown.top, into, Thread.of(made, messages))


def _before(fields: Mapping[str, Raw], *, codex: bool) -> _Before:
    instructions = fields.get("instructions")
    stateful = tuple([name for name in _SERVER_STATE if present(fields.get(name))])
    return _Before(b"" if instructions is None else bytes(instructions), stateful, codex)


def _read(fields: Mapping[str, Raw], *, codex: bool) -> tuple[items.Conversation, int]:
    """What all items say, and how many they are."""
    into = items.Conversation(codex=codex)
    instructions = parts.content(fields.get("instructions", UNSET), "instructions")
    if instructions:
        into.add("system", instructions)
    stateful = [name for name in _SERVER_STATE if present(fields.get(name))]
    for name in stateful:
        into.aside(ir.Opaque(ir.Native(OWNER, STATE), label=name))
    listed = input_items(fields.get(_KEY))
    if not listed and not stateful:
        raise bad_request("`input` is missing or empty.", param="input", code="missing_required_parameter")
    _add(into, listed)
    return into, len(listed)


def _add(into: items.Conversation, listed: list[Raw], first: int = 0) -> None:
    for index, raw in enumerate(listed, first):
        items.add_item(into, raw, f"input[{index}]")


def input_items(raw: Raw | None) -> list[Raw]:
    """The items of `input`; a text is one item, and so is a single object."""
    if raw is None or not present(raw):
        return []
    first = first_byte(raw)
    if first == b"[":
        return read(raw, list[Raw], "input")
    if first == b'"' and raw == Raw(b'""'):
        return []
    if first in (b'"', b"{"):
        return [raw]
    raise bad_request("`input` must be a text or a list of items.", param="input", code="invalid_type")
