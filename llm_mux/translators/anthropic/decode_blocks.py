"""Content blocks as parts, for clients' messages and upstreams' answers alike.

Rules. Well-known content is read in one typed pass; anything else goes block by block, where unknown fields are kept
beside the part and unknown blocks as they came. A mark on a thinking block moves to the block before it.
Spec: the Messages API page, section 2.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux import ir
from llm_mux.errors import MuxError, bad_request
from llm_mux.translators.anthropic import opaque, seals, wire
from llm_mux.translators.anthropic.wire import NAME
from llm_mux.translators.base import present
from llm_mux.wire import jsonx

T = TypeVar("T")

_PLAIN_CACHE: Final = ir.Cache()


class Parts:
    """Collects the parts of one message. `family` is the model family of an upstream's answer, None for a client."""

    def __init__(self, role: str, family: str | None = None) -> None:
        self.found: list[ir.Part] = []
        self._role = role
        self._family = family
        self._call_seal: ir.Native | None = None

    def add(self, block: wire.Block) -> None:
        match block:
            case wire.Text():
                self.found.append(_text(block))
            case wire.ToolUse():
                self.found.append(self._call(block))
            case wire.ToolResult(content=content):
                self.found.append(_result(block, _inner(content)))
            case wire.Thinking():
                self._thinking(block)
            case wire.RedactedThinking():
                self.found.append(ir.Reasoning("", seals.own_redacted(block.data, self._family or "")))
                self._mark(block.cache_control)
            case wire.Image():
                self.found.append(_image(block))
            case wire.Document():
                self.found.append(_document(block))

    def add_raw(self, raw: Raw, where: str) -> None:
        """A block of whatever kind. Raises MuxError BAD_REQUEST naming the field that is wrong."""
        if bytes(raw).lstrip()[:1] == b'"':
            self.found.append(ir.Text(decoded(raw, str, where)))
            return
        kind = decoded(raw, wire.Kind, where).type
        if kind is None:
            raise bad_request(f"{where}.type: Field required", param=f"{where}.type")
        known = _BLOCKS.get(kind)
        if known is None:
            self.found.append(opaque.kept(raw, kind, self._role))
            return
        fields = decoded(raw, dict[str, Raw], where)
        inner = fields.pop("content", UNSET) if known is wire.ToolResult else UNSET
        extras = {key: fields.pop(key) for key in list(fields) if key not in FIELDS[kind]}
        block = decoded(Raw(msgspec.json.encode(fields)), known, where)
        before = len(self.found)
        if isinstance(block, wire.ToolResult):
            content = () if isinstance(inner, UnsetType) else raw_content(inner, f"{where}.content", "tool_result")
            self.found.append(_result(block, content))
        else:
            self.add(block)
        if extras and len(self.found) > before:
            self.found[-1] = _beside(self.found[-1], extras)

    def _call(self, block: wire.ToolUse) -> ir.ToolCall:
        native, self._call_seal = self._call_seal, None
        if native is None and block.caller is not UNSET:
            native = ir.Native(NAME, Raw(b'{"caller":%b}' % bytes(block.caller)))
        return ir.ToolCall(
            block.id, block.name, arguments(block.input), cache=cache(block.cache_control), native=native
        )

    def _thinking(self, block: wire.Thinking) -> None:
        self._mark(block.cache_control)
        if self._family is not None:
            native = seals.own(block.signature, self._family)
        else:
            seal = seals.read(block.signature)
            if seal.of_call:
                self._call_seal = seal.native
                return
            native = seal.native
        self.found.append(ir.Reasoning(block.thinking or "", native))

    def _mark(self, control: wire.CacheControl | None) -> None:
        """Moves a mark that thinking cannot carry to the nearest part before it that can."""
        if control is None:
            return
        for position in reversed(range(len(self.found))):
            part = self.found[position]
            if isinstance(part, ir.Text | ir.ToolCall | ir.Image | ir.Document | ir.ToolResult):
                self.found[position] = msgspec.structs.replace(part, cache=cache(control))
                return


def content(found: str | Sequence[wire.Block], role: str) -> tuple[ir.Part, ...]:
    """A client's content that was read in the typed pass."""
    if isinstance(found, str):
        return (ir.Text(found),)
    if (usual := _usual(found)) is not None:
        return tuple(usual)
    parts = Parts(role)
    for block in found:
        parts.add(block)
    return tuple(parts.found)


def _usual(found: Sequence[wire.Block]) -> list[ir.Part] | None:
    """The parts of texts, calls and results with a text each, as nearly all blocks of an agent's history are; None for
    any other. What is done for each is done in as few steps as possible."""
    parts: list[ir.Part] = []
    for block in found:
        if isinstance(block, wire.ToolResult):
            said, mark = block.content, block.cache_control
            if not isinstance(said, str):
                return None
            text = (ir.Text(said),)
            if mark is None:
                parts.append(ir.ToolResult(block.tool_use_id, text, None, block.is_error))
            else:
                parts.append(ir.ToolResult(block.tool_use_id, text, None, block.is_error, cache=cache(mark)))
        elif isinstance(block, wire.ToolUse):
            if block.caller is not UNSET or block.cache_control is not None:
                return None
            parts.append(ir.ToolCall(block.id, block.name, arguments(block.input)))
        elif isinstance(block, wire.Text):
            if block.citations is not UNSET:
                return None
            mark = block.cache_control
            parts.append(ir.Text(block.text) if mark is None else ir.Text(block.text, (), cache(mark)))
        else:
            return None
    return parts


def raw_content(raw: Raw, where: str, role: str) -> tuple[ir.Part, ...]:
    """A client's content that was not: a string, null, one block or a list. Raises MuxError BAD_REQUEST."""
    first = bytes(raw).lstrip()[:1]
    if first == b'"':
        return (ir.Text(decoded(raw, str, where)),)
    if not present(raw):
        return ()
    blocks = [raw] if first == b"{" else decoded(raw, list[Raw], where)
    parts = Parts(role)
    for position, block in enumerate(blocks):
        parts.add_raw(block, f"{where}.{position}")
    return tuple(parts.found)


def answer(blocks: Sequence[Raw], family: str) -> tuple[ir.Part, ...]:
    """The content of an upstream's whole answer. Raises MuxError naming the field that is wrong."""
    if len(blocks) == 1 and (said := _said(blocks[0])) is not None:
        return (ir.Text(said),)
    parts = Parts("assistant", family)
    for position, raw in enumerate(blocks):
        try:
            parts.add(_typed.decode(raw))
        except msgspec.ValidationError:
            parts.add_raw(raw, f"content.{position}")
    return tuple(parts.found)


def _said(raw: Raw) -> str | None:
    """The text of a block that holds nothing else."""
    try:
        return _only_text.decode(raw).text
    except ValueError:
        return None


def arguments(found: Raw | UnsetType) -> str:
    """A call's input as compact JSON text, "" for an empty one; what is no object stays what it is."""
    if isinstance(found, UnsetType) or not present(found):
        return ""
    data = bytes(found)
    if b": " in data or b"\n" in data:
        data = jsonx.compact(data)
    return "" if data == b"{}" else jsonx.text(data)


def cache(control: wire.CacheControl | None) -> ir.Cache | None:
    if control is None:
        return None
    return _PLAIN_CACHE if control.ttl is None else ir.Cache(control.ttl)


def decoded(raw: Raw | bytes, type_: type[T], where: str) -> T:
    """`raw` as `type_`. Raises MuxError BAD_REQUEST whose parameter is `where` and the path inside."""
    try:
        return jsonx.decode(bytes(raw), type_, strict=False)
    except jsonx.Malformed as error:
        raise wrong(str(error), where) from error


def wrong(message: str, where: str) -> MuxError:
    """A decoder's complaint in the API's own form: `messages.0.content.1.text: Expected ...`."""
    said, _, path = message.partition(" - at `$")
    inner = path.partition("`")[0].replace("[...]", "").replace("[", ".").replace("]", "")
    place = (where + inner).lstrip(".")
    return bad_request(f"{place}: {said}" if place else said, param=place or None)


def citation(raw: Raw) -> ir.Citation:
    """One citation; its location stays with this format."""
    try:
        found = jsonx.decode(bytes(raw), _Citation, strict=False)
    except jsonx.Malformed:
        found = _Citation()
    return ir.Citation(
        url=found.url or found.source,
        title=found.title or found.document_title,
        cited_text=found.cited_text,
        native=ir.Native(NAME, raw.copy()) if found.encrypted_index != "" else None,
    )


class _Citation(Struct, frozen=True):
    url: str | None = None
    source: str | None = None
    title: str | None = None
    document_title: str | None = None
    cited_text: str | None = None
    encrypted_index: str | None = None


def _text(block: wire.Text) -> ir.Text:
    citations: tuple[ir.Citation, ...] = ()
    if block.citations is not UNSET and present(block.citations):
        citations = tuple(citation(raw) for raw in decoded(block.citations, list[Raw], "citations"))
    return ir.Text(block.text, citations, cache(block.cache_control))


def _inner(found: str | list[wire.Text | wire.Image | wire.Document] | None) -> tuple[ir.Part, ...]:
    if isinstance(found, str):
        return (ir.Text(found),)
    if not found:
        return ()
    parts = Parts("tool_result")
    for block in found:
        parts.add(block)
    return tuple(parts.found)


def _result(block: wire.ToolResult, found: tuple[ir.Part, ...]) -> ir.ToolResult:
    return ir.ToolResult(block.tool_use_id, found, is_error=block.is_error, cache=cache(block.cache_control))


def _image(block: wire.Image) -> ir.Image:
    source = block.source
    mark = cache(block.cache_control)
    match source:
        case wire.Base64Source(media_type=media_type, data=data):
            return ir.Image(ir.Inline(media_type, data), cache=mark)
        case wire.UrlSource(url=url):
            return ir.Image(ir.Url(url), cache=mark)
        case wire.FileSource(file_id=file_id):
            return ir.Image(ir.FileId(NAME, file_id), cache=mark)


def _document(block: wire.Document) -> ir.Document | ir.Opaque:
    source: ir.Source
    native: ir.Native | None = None
    match block.source:
        case wire.Base64Source(media_type=media_type, data=data):
            source = ir.Inline(media_type, data)
        case wire.UrlSource(url=url):
            source = ir.Url(url, "application/pdf")
        case wire.FileSource(file_id=file_id):
            source = ir.FileId(NAME, file_id)
        case wire.TextSource(data=data):
            source = _inline_text(data)
        case wire.ContentSource(content=raw):
            inner = raw_content(raw, "document.source.content", "document")
            if not all(isinstance(part, ir.Text) for part in inner):
                return ir.Opaque(ir.Native(NAME, Raw(msgspec.json.encode(block))), label="document with images inside")
            source = _inline_text(ir.joined(inner, "\n\n"))
            native = ir.Native(NAME, Raw(b'{"source":%b}' % msgspec.json.encode(block.source)))
    return ir.Document(
        source,
        name=block.title,
        context=block.context,
        cited=bool(block.citations is not None and block.citations.enabled),
        cache=cache(block.cache_control),
        native=native,
    )


def _inline_text(text: str) -> ir.Inline:
    return ir.Inline("text/plain", base64.b64encode(text.encode()).decode())


def _beside(part: ir.Part, extras: dict[str, Raw]) -> ir.Part:
    """`part` with the fields that only this format knows."""
    if isinstance(part, ir.Reasoning | ir.Refusal | ir.Opaque):
        return part
    if part.native is not None and part.native.owner == NAME:
        extras = {**jsonx.top(bytes(part.native.data)), **extras}
    elif part.native is not None:
        return part
    return msgspec.structs.replace(part, native=ir.Native(NAME, Raw(msgspec.json.encode(extras))))


class _OnlyText(Struct, frozen=True, tag_field="type", tag="text", forbid_unknown_fields=True):
    text: str
    citations: None = None


_typed: msgspec.json.Decoder[Any] = msgspec.json.Decoder(wire.Block)
_only_text: msgspec.json.Decoder[_OnlyText] = msgspec.json.Decoder(_OnlyText)
_BLOCKS: Final[dict[str, type[wire.Block]]] = {
    "text": wire.Text,
    "image": wire.Image,
    "document": wire.Document,
    "tool_use": wire.ToolUse,
    "tool_result": wire.ToolResult,
    "thinking": wire.Thinking,
    "redacted_thinking": wire.RedactedThinking,
}
FIELDS: Final = {kind: frozenset((*block.__struct_fields__, "type")) for kind, block in _BLOCKS.items()}
"""The fields of each block that have a place in the canonical form."""
