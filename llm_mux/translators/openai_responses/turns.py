"""The conversation as the input items we send.

Rules. Only reasoning items carry ids (the server checks them); all other items go without, so that no server looks for
them. A reasoning item goes only together with the assistant's item that follows it. Parts that this format made itself
go as they came. Spec: the Responses API page, section 3; pitfalls 82 to 85, 94.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias, TypeGuard

import msgspec
from msgspec import Raw, Struct, field

from llm_mux import ir
from llm_mux.errors import refused
from llm_mux.translators import documents, history, ids
from llm_mux.translators.base import Target, usable
from llm_mux.translators.openai_responses import beside, reasoning, wire
from llm_mux.translators.openai_responses.decode_input import STATE
from llm_mux.translators.openai_responses.parts import part_out
from llm_mux.translators.openai_responses.quirks import Quirks
from llm_mux.translators.openai_responses.reading import OWNER
from llm_mux.translators.tools import Names, lower_call
from llm_mux.wire import jsonx

ItemOut: TypeAlias = Struct | Raw

# Items that bring tools or settings, which servers without them get in the request's own fields.
_NEWER_ITEMS: Final = frozenset(
    {"additional_tools", "configuration_update", "tool_search_call", "tool_search_output", "program", "program_output"}
)
_MOST_MARKS: Final = 4


class Way(Struct, frozen=True):
    """Where the items go. `marks`: explicit cache marks are understood; `dropped`: what has no form."""

    target: Target
    quirks: Quirks
    names: Names
    marks: bool
    dropped: list[str] = field(default_factory=list)


def encode_turns(messages: Sequence[ir.Message], way: Way) -> list[ItemOut]:
    """The input items of a conversation that `history.tidy` has put in order."""
    writer = _Writer(way)
    for message in _last_marks(messages) if way.marks else messages:
        if message.role == "assistant":
            writer.assistant(message)
        else:
            writer.others(message)
    return writer.items


def _last_marks(messages: Sequence[ir.Message]) -> Sequence[ir.Message]:
    """The messages with the last cache marks only: a server writes four."""
    spare = sum(_marked(part) for message in messages for part in message.parts) - _MOST_MARKS
    if spare <= 0:
        return messages
    out: list[ir.Message] = []
    for message in messages:
        kept: list[ir.Part] = []
        for part in message.parts:
            early = spare > 0 and _marked(part)
            spare -= early
            kept.append(msgspec.structs.replace(part, cache=None) if early else part)
        out.append(msgspec.structs.replace(message, parts=tuple(kept)))
    return out


def _marked(part: ir.Part) -> TypeGuard[ir.Text | ir.Image | ir.Document]:
    return isinstance(part, ir.Text | ir.Image | ir.Document) and part.cache is not None


class _Writer:
    def __init__(self, way: Way) -> None:
        self.way = way
        self.items: list[ItemOut] = []
        self._thoughts: list[ItemOut] = []
        self._open: wire.MessageOut | None = None

    def assistant(self, message: ir.Message) -> None:
        """A turn of the assistant: its text in message items, everything else in items of their own."""
        self._open = None
        for part in message.parts:
            if isinstance(part, ir.Reasoning):
                self._reasoning(part)
            elif isinstance(part, ir.ToolCall):
                self._item(self._kept(part) or self._call(part))
            else:
                self._said(part, "assistant", message.phase or phase_of(part))

    def others(self, message: ir.Message) -> None:
        """A turn of the user, or system text in mid-conversation."""
        self._thoughts.clear()
        self._open = None
        role = message.role if message.role == "user" else self.way.quirks.system_role or message.role
        late: list[ir.Part] = []
        for part in message.parts:
            if isinstance(part, ir.ToolResult):
                late.extend(self._result(part))
            else:
                late.append(part)
        for part in documents.told(late):
            self._said(part, role, None)

    def _said(self, part: ir.Part, role: str, phase: str | None) -> None:
        """A part of a message, or a part that is an item by itself."""
        kept = self._kept(part)
        if kept is not None:
            self._item(kept)
            return
        made = self._content(part, role)
        if made is None:
            return
        if self._open is None or self._open.phase != phase:
            message = wire.MessageOut(role, [], phase=phase)
            self._item(message)
            self._open = message
        self._open.content.append(made)

    def _item(self, item: ItemOut) -> None:
        """Adds an item, after the reasoning that led to it."""
        self.items.extend(self._thoughts)
        self._thoughts.clear()
        self.items.append(item)
        self._open = None

    def _reasoning(self, part: ir.Reasoning) -> None:
        self._open = None
        item = reasoning.to_server(part, self.way.target.model)
        if item is not None:
            self._thoughts.append(item)

    def _content(self, part: ir.Part, role: str) -> wire.PartOut | Raw | None:
        if isinstance(part, ir.Opaque) and usable(part.native, OWNER, self.way.target.model):
            return inner_part(part.native)
        if isinstance(part, ir.Document):
            self.way.dropped.extend(documents.lost(part, details=True))
        return part_out(part, role, self.way.target.title, marks=self.way.marks)

    def _kept(self, part: ir.Part) -> Raw | None:
        """The item itself where this format made the part."""
        if not isinstance(part, ir.Opaque | ir.Image | ir.ToolCall | ir.ToolResult):
            return None
        native = part.native
        if native is None or not usable(native, OWNER, self.way.target.model) or native.data == STATE:
            return None
        if not self.way.quirks.custom_tools and _kind(native.data) in _NEWER_ITEMS:
            return None
        return None if beside.is_beside(native) or inner_part(native) is not None else native.data

    def _call(self, call: ir.ToolCall) -> ItemOut:
        call_id = ids.legal(call.id)
        if not self.way.quirks.custom_tools:
            lowered = lower_call(call, self.way.names)
            return wire.FunctionCallOut(call_id, lowered.name, arguments_text(lowered.arguments))
        name = call.name if call.namespace else self.way.names.wire(call.name)
        if call.custom:
            made: Struct = wire.CustomCallOut(call_id, name, call.arguments, namespace=call.namespace)
        else:
            made = wire.FunctionCallOut(call_id, name, arguments_text(call.arguments), namespace=call.namespace)
        return beside.put(made, call.native)

    def _result(self, result: ir.ToolResult) -> tuple[ir.Part, ...]:
        """Adds a result; returns the media that the server takes only in a message."""
        kept = self._kept(result)
        if kept is not None:
            self._item(kept)
            return ()
        call_id = ids.legal(result.call_id)
        media = history.result_media(result)
        rich = self.way.quirks.rich_results
        listed = rich and (media or len(result.content) > 1)
        output = self._rich(result) if listed else self._plain(result, bool(media))
        custom = result.custom and self.way.quirks.custom_tools
        made = wire.CustomResultOut(call_id, output) if custom else wire.FunctionResultOut(call_id, output)
        self._item(beside.put(made, result.native) if self.way.quirks.custom_tools else made)
        return () if rich else media

    def _rich(self, result: ir.ToolResult) -> list[wire.PartOut | Raw]:
        out = [self._content(part, "user") for part in documents.told(result.content)]
        if result.is_error:
            out.insert(0, wire.PartOut("input_text", text="Error:"))
        return [part for part in out if part is not None]

    def _plain(self, result: ir.ToolResult, media: bool) -> str:
        for part in result.content:
            if isinstance(part, ir.Opaque) and not part.hint and not part.text:
                raise refused(f"`{part.label}` in a tool result", self.way.target.title)
        text = history.result_text(result)
        return f"{text}\n[its media follow in the next message]".lstrip() if media else text


class _Inner(Struct):
    content_part: Raw


_inner: msgspec.json.Decoder[_Inner] = msgspec.json.Decoder(_Inner)


def inner_part(native: ir.Native) -> Raw | None:
    """The content part that an opaque part of a message holds; None for one that is a whole item."""
    if not bytes(memoryview(native.data)[:15]).startswith(b'{"content_part"'):
        return None
    return _inner.decode(native.data).content_part


def _kind(raw: Raw) -> str | None:
    return msgspec.json.decode(raw, type=wire.ItemKind).type


class _Phase(Struct):
    phase: str | None = None


def phase_of(part: ir.Part) -> str | None:
    """The phase that an answer's text carries in its own opaque data."""
    if not isinstance(part, ir.Text) or part.native is None or part.native.owner != OWNER:
        return None
    try:
        return msgspec.json.decode(part.native.data, type=_Phase).phase
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def arguments_text(arguments: str) -> str:
    """Arguments as the JSON text of an object, byte for byte where they are one."""
    return bytes(jsonx.object_arguments(arguments)).decode()
