"""The messages of a client's Messages request, and the system slot before them.

Rules. Messages are read in one typed pass, one by one where that fails. Of a conversation that goes on from one that is
remembered only what is new is read; what is remembered ends before the first cache mark, since clients move those with
each turn. Spec: the Messages API page, sections 1 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, cast

import msgspec
from msgspec import UNSET, Raw

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators import history
from llm_mux.translators.anthropic import decode_blocks, wire
from llm_mux.translators.anthropic.decode_blocks import decoded
from llm_mux.translators.anthropic.wire import NAME
from llm_mux.translators.base import present
from llm_mux.translators.memory import LEAST, MARK, MEMORY, STRANGER, Met, Past, Thread, behind

ATTRIBUTION_LINE: Final = "x-anthropic-billing-header"
"""How the first system block of Claude Code begins."""
SESSION_HEADER: Final = "x-claude-code-session-id"

_KEY: Final = "messages"
_NAMES: Final = tuple([name for name in wire.Body.__struct_fields__ if name != _KEY])
# Bytes from which on one pass less over a body is worth the look for all names.
_MANY: Final = 8 << 10
_ROLES: Final = ("user", "assistant", "system")
_MARKABLE: Final = (ir.Text, ir.ToolResult, ir.ToolCall, ir.Image, ir.Document)

_Slot = tuple[bytes, tuple[ir.Message, ...]]
"""The bytes of a system slot, and its messages."""


class Found(NamedTuple):
    """The top-level values of a body. `whole`: its messages, where they were read with them; `added`: the new ones,
    where they go on from remembered ones to that `length` of the body."""

    top: dict[str, Raw]
    met: Met
    whole: list[wire.Message] | None = None
    added: bytes | None = None
    length: int = 0


def look(body: bytes) -> Found:
    """A first look at a body. Raises MuxError BAD_REQUEST."""
    met = MEMORY.meet(_KEY, body, NAME) if len(body) >= LEAST else STRANGER
    if isinstance(met.before, Past) and (grown := met.before.grow(met.short(body, MARK), MARK)) is not None:
        return Found(grown.top, met, None, grown.added, grown.length)
    if len(body) >= _MANY and not met.again:
        try:
            read = _body.decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        else:
            return Found(
                {name: raw for name in _NAMES if (raw := getattr(read, name)) is not UNSET}, met, read.messages
            )
    return Found(decoded(body, dict[str, Raw], ""), met)


def messages(body: bytes, found: Found) -> tuple[ir.Message, ...]:
    """All messages, those of the system slot first; remembered if they seem to be sent with every turn. Raises
    MuxError BAD_REQUEST naming what is wrong."""
    if found.length and isinstance(found.met.before, Past):
        return _grown(body, found, found.met.before)
    slot = _slot(found.top.get("system"))
    raw = found.top.get(_KEY)
    if found.whole is not None:
        turns = _read(found.whole)
    elif raw is not None and present(raw):
        turns = _turns(raw)
    else:
        raise bad_request("messages: Field required", param="messages")
    if not turns:
        raise bad_request("messages: at least one message is required", param="messages")
    if len(body) >= LEAST:
        if raw is not None and found.met.again and (past := _begun(body, bytes(raw), turns, slot)) is not None:
            return Thread.of(past, slot[1], turns[len(past.messages) :])
        MEMORY.note(_KEY, body, NAME, len(body))
    return slot[1] + turns


def _begun(body: bytes, raw: bytes, turns: tuple[ir.Message, ...], slot: _Slot) -> Past | None:
    """What is remembered of a conversation from now on."""
    lasting, at = _lasting(turns), body.find(raw[:LEAST])
    if not lasting or not body.startswith(raw, at):
        return None
    opened = at + 1
    length = behind(body, opened, at + len(raw) - 1, lasting)
    past = Past(b"", _KEY, (body[:length],), length, opened, messages=turns[:lasting], state=slot)
    MEMORY.keep(past, body, kind=NAME)
    return past


def _grown(body: bytes, found: Found, past: Past) -> tuple[ir.Message, ...]:
    """The messages of a conversation whose beginning is remembered."""
    new = () if found.added is None else _turns(Raw(found.added), len(past.messages))
    slot = cast(_Slot, past.state)
    raw = found.top.get("system")
    changed = (b"" if raw is None else bytes(raw)) != slot[0]
    if changed:
        slot = _slot(raw)
    lasting, length = _lasting(new), found.length
    if lasting < len(new):
        length = behind(body, past.length, length, lasting)
    made = Past(
        b"",
        _KEY,
        past.extended(body, length),
        length,
        past.opened,
        messages=past.messages + new[:lasting],
        state=slot,
        # Both begin with what stood in the slot.
        tidied=None if changed else past.tidied,
        written={} if changed else past.written,
        calls=past.calls_and(new),
    )
    MEMORY.keep(made, body, past, NAME)
    return Thread.of(made, slot[1], new[lasting:])


def _lasting(turns: Sequence[ir.Message]) -> int:
    """How many of the first messages have no cache mark."""
    for number, turn in enumerate(turns):
        if turn.native is not None or any([isinstance(p, _MARKABLE) and p.cache is not None for p in turn.parts]):
            return number
    return len(turns)


def _slot(raw: Raw | None) -> _Slot:
    """The system slot as one message; its attribution line is marked for those who must leave it out."""
    if raw is None or not present(raw):
        return b"" if raw is None else bytes(raw), ()
    parts = decode_blocks.raw_content(raw, "system", "system")
    marked = tuple(_marked(part) for part in parts)
    return bytes(raw), (ir.Message("system", marked),) if marked else ()


def _marked(part: ir.Part) -> ir.Part:
    if isinstance(part, ir.Text) and part.text.startswith(ATTRIBUTION_LINE):
        return msgspec.structs.replace(part, native=history.ATTRIBUTION)
    return part


def _turns(raw: Raw, first: int = 0) -> tuple[ir.Message, ...]:
    """The messages of a list, of which that many stand before it."""
    try:
        found = _typed.decode(raw)
    except msgspec.ValidationError:
        elements = decoded(raw, list[Raw], _KEY)
        return tuple(_message(element, n) for n, element in enumerate(elements, first))
    return _read(found, first)


def _read(found: Sequence[wire.Message], first: int = 0) -> tuple[ir.Message, ...]:
    return tuple(
        [ir.Message(_role(m.role, n), decode_blocks.content(m.content, m.role)) for n, m in enumerate(found, first)]
    )


def _role(role: str, position: int) -> ir.Role:
    if role not in _ROLES:
        where = f"messages.{position}.role"
        raise bad_request(f"{where}: Input should be 'user', 'assistant' or 'system'", param=where)
    return cast(ir.Role, role)


def _message(raw: Raw, position: int) -> ir.Message:
    try:
        typed = _typed_one.decode(raw)
    except msgspec.ValidationError:
        return _odd_message(raw, position)
    return ir.Message(_role(typed.role, position), decode_blocks.content(typed.content, typed.role))


def _odd_message(raw: Raw, position: int) -> ir.Message:
    """A message with unknown fields or blocks, or a wrong one."""
    where = f"messages.{position}"
    fields = decoded(raw, dict[str, Raw], where)
    if "role" not in fields:
        raise bad_request(f"{where}.role: Field required", param=f"{where}.role")
    role = _role(decoded(fields.pop("role"), str, f"{where}.role"), position)
    content = fields.pop("content", None)
    parts = decode_blocks.raw_content(content, f"{where}.content", role) if content is not None else ()
    if content is None and role != "system":
        raise bad_request(f"{where}.content: Field required", param=f"{where}.content")
    native = ir.Native(NAME, Raw(msgspec.json.encode(fields))) if fields else None
    return ir.Message(role, parts, native=native)


_body: msgspec.json.Decoder[wire.Body] = msgspec.json.Decoder(wire.Body, strict=False)
_typed: msgspec.json.Decoder[list[wire.Message]] = msgspec.json.Decoder(list[wire.Message], strict=False)
_typed_one: msgspec.json.Decoder[wire.Message] = msgspec.json.Decoder(wire.Message, strict=False)
