"""An upstream's output items to parts; whole answers and streams read finished items here.

Rule: every item gives something, in order: what has no canonical form stays raw (`Opaque`) for clients of this format.
A reasoning item that neither says nor seals anything gives nothing. Spec: the Responses API page, sections 3 and 5.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw, UnsetType

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators import ids
from llm_mux.translators.base import nonsense
from llm_mux.translators.openai_responses import beside, items, parts, reasoning, tools, wire
from llm_mux.translators.openai_responses.reading import OWNER, first_byte, present
from llm_mux.wire import jsonx

FREE_TEXT_CALL: Final = "custom_tool_call"
CALLS: Final = frozenset({"function_call", FREE_TEXT_CALL})

_item: msgspec.json.Decoder[wire.Item] = msgspec.json.Decoder(wire.Item, strict=False)
_kind: msgspec.json.Decoder[wire.ItemKind] = msgspec.json.Decoder(wire.ItemKind)
_content: msgspec.json.Decoder[list[wire.Part]] = msgspec.json.Decoder(list[wire.Part], strict=False)


def item_of(raw: Raw) -> wire.Item:
    """An output item. One of a kind that nobody knows may have fields of any type; one that we know may not."""
    try:
        return _item.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        kind = kind_of(raw)
        if kind is None or kind in ("message", "reasoning", *CALLS):
            raise nonsense("an output item that cannot be read") from error
        return wire.Item(type=kind)


def kind_of(raw: Raw) -> str | None:
    """The type of an item; never raises."""
    try:
        return _kind.decode(raw).type
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def parts_of(raw: Raw, family: str, response: str = "", index: int = 0) -> list[ir.Part]:
    """A finished item's parts. `family` is what seals are bound to; `response` and `index` are the item's place."""
    item = item_of(raw)
    match item.type:
        case "message":
            return list(_message(item))
        case "reasoning":
            return list(_reasoning(item, family))
        case "function_call" | "custom_tool_call":
            return [call_of(item, response, index)]
        case "tool_search_call" if item.execution == "client" and item.call_id:
            return [search_of(item)]
        case "image_generation_call" if present(item.result) and first_byte(item.result) == b'"':
            source = ir.Inline(f"image/{item.output_format or 'png'}", jsonx.decode(bytes(item.result), str))
            return [ir.Image(source, native=ir.Native(OWNER, raw.copy()))]
        case None:
            raise nonsense("an output item without a type")
        case kind:
            return [ir.Opaque(ir.Native(OWNER, raw.copy()), label=kind, hint=True)]


def _message(item: wire.Item) -> Iterable[ir.Part]:
    native = phase_native(item.phase)
    for part in content_of(item.content):
        if part.type == "refusal":
            yield ir.Refusal(part.refusal or "")
        elif part.type in ("output_text", "text"):
            yield ir.Text(part.text or "", citations=parts.citations(part.annotations), native=native)


def content_of(raw: Raw | UnsetType) -> list[wire.Part]:
    """The content parts of a message, which imitating servers also send as one text."""
    if not present(raw):
        return []
    try:
        if first_byte(raw) == b'"':
            return [wire.Part("output_text", text=msgspec.json.decode(raw, type=str))]
        return _content.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise nonsense("a message whose content cannot be read") from error


def phase_native(phase: str | None) -> ir.Native | None:
    """A text's opaque data: the phase, which clients of this format have to send back."""
    return ir.Native(OWNER, Raw(msgspec.json.encode({"phase": phase}))) if phase else None


def _reasoning(item: wire.Item, family: str) -> Iterable[ir.Part]:
    try:
        text, raw = reasoning.text_of(item, "reasoning")
        native = reasoning.seal(item, family)
    except MuxError as error:
        raise nonsense("a reasoning item that cannot be read") from error
    if text or native is not None:
        yield ir.Reasoning(text, native=native, raw=raw)


def call_of(item: wire.Item, response: str, index: int) -> ir.ToolCall:
    """A call. Where the server left out its id it gets one from its place, the same in a stream and whole."""
    custom = item.type == "custom_tool_call"
    name = item.name or "tool"
    call_id = item.call_id or item.id or ids.synthesised(response, 0, index, name, "")
    arguments = _arguments(item.input if custom else item.arguments)
    native = beside.of_call(item)
    return ir.ToolCall(call_id, name, arguments, custom=custom, namespace=item.namespace, native=native)


def search_of(item: wire.Item) -> ir.ToolCall:
    """A tool search that the client runs, as the function it is for everybody else."""
    return ir.ToolCall(item.call_id or "", tools.SEARCH, _arguments(item.arguments))


def _arguments(raw: Raw | UnsetType) -> str:
    try:
        return items.text_of(raw)
    except MuxError as error:
        raise nonsense("tool arguments that cannot be read") from error


def logprobs_of(output: list[Raw]) -> Raw | None:
    """The log probabilities of all texts of an answer as one list; None when there are none."""
    found: list[Raw] = []
    for raw in output:
        if kind_of(raw) != "message" or b'"logprobs"' not in bytes(raw):
            continue
        for part in content_of(item_of(raw).content):
            if present(part.logprobs):
                found.extend(jsonx.elements(part.logprobs))
    return Raw(msgspec.json.encode(found)) if found else None
