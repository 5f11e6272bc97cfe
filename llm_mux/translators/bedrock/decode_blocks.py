"""Content blocks as parts, for clients' messages and upstreams' answers alike.

Rules. A cache point marks the part before it. A block that this page does not know is kept as it came and goes back to
this format only. Spec: the Bedrock Runtime page, section 3.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators.base import present
from llm_mux.translators.bedrock import media, seals, wire
from llm_mux.translators.bedrock.wire import NAME
from llm_mux.wire import jsonx

T = TypeVar("T")
_MARKED: Final = ir.Text | ir.Image | ir.Document | ir.ToolCall | ir.ToolResult
_KNOWN: Final = frozenset(wire.Block.__struct_fields__)


def parts(blocks: Sequence[Raw], where: str, family: str) -> tuple[ir.Part, ...]:
    """The parts of one message. Raises MuxError BAD_REQUEST naming the block that is wrong."""
    found: list[ir.Part] = []
    call_seal: ir.Native | None = None
    for position, raw in enumerate(blocks):
        place = f"{where}.{position}"
        block = _block(raw, place)
        if block is None:
            found.append(_opaque(raw))
            continue
        if (mark := block.cachePoint) is not None:
            _mark(found, mark)
            continue
        thought = block.reasoningContent
        if thought is not None and thought.reasoningText is not None:
            sealed = seals.of_call(thought.reasoningText.signature)
            if sealed is not None:
                call_seal = sealed
                continue
        part = _part(block, raw, place, family)
        if isinstance(part, ir.ToolCall) and call_seal is not None:
            part, call_seal = msgspec.structs.replace(part, native=call_seal), None
        found.append(part)
    return tuple(found)


def _block(raw: Raw, where: str) -> wire.Block | None:
    """The block, None for one of a kind that is not known here."""
    keys = decoded(raw, dict[str, Raw], where).keys()
    if len(keys) != 1 or not _KNOWN.issuperset(keys):
        if not keys:
            raise bad_request(f"{where}: a content block must have one member", param=where)
        return None
    return decoded(raw, wire.Block, where)


def _part(block: wire.Block, raw: Raw, where: str, family: str) -> ir.Part:
    if block.text is not None:
        return ir.Text(block.text)
    if (call := block.toolUse) is not None:
        return _opaque(raw) if call.type else ir.ToolCall(call.toolUseId, call.name, arguments(call.input))
    if (result := block.toolResult) is not None:
        return _opaque(raw) if result.type else _result(result, where, family)
    if (thought := block.reasoningContent) is not None:
        return reasoning(thought, family)
    if block.citationsContent is not UNSET:
        return cited(block.citationsContent)
    if block.json is not UNSET:
        return ir.Text(bytes(block.json).decode())
    return _media(block) or _opaque(raw)


def _media(block: wire.Block) -> ir.Part | None:
    if (found := block.image) is not None:
        return ir.Image(_source(found.source, media.media_type(found.format, media.IMAGES)))
    if (found := block.video) is not None:
        return ir.Video(_source(found.source, media.media_type(found.format, media.VIDEOS)))
    if (found := block.audio) is not None:
        return ir.Audio(_source(found.source, media.media_type(found.format, media.AUDIO)))
    if (document := block.document) is not None:
        kind = media.media_type(document.format, media.DOCUMENTS) if document.format else "text/plain"
        return ir.Document(
            _source(document.source, kind),
            name=document.name,
            context=document.context,
            cited=bool(document.citations is not None and document.citations.enabled),
        )
    return None


def _source(source: wire.Source, kind: str) -> ir.Source:
    if source.bytes is not None:
        return ir.Inline(kind, source.bytes)
    if source.s3Location is not None:
        return ir.Url(source.s3Location.uri, kind)
    texts = [source.text or ""]
    if present(source.content):
        texts = [one.text for one in decoded(source.content, list[_Plain], "source.content")]
    return ir.Inline("text/plain", base64.b64encode("\n\n".join(texts).encode()).decode())


class _Plain(Struct, frozen=True):
    text: str = ""


def _result(result: wire.ToolResult, where: str, family: str) -> ir.ToolResult:
    inner = parts([Raw(msgspec.json.encode(one)) for one in result.content], f"{where}.toolResult.content", family)
    error = True if result.status == "error" else (False if result.status else None)
    return ir.ToolResult(result.toolUseId, inner, is_error=error)


def reasoning(thought: wire.Reasoning, family: str) -> ir.Reasoning:
    """A thought with its seal."""
    if thought.redactedContent is not None:
        return ir.Reasoning("", seals.own_redacted(thought.redactedContent, family))
    text = thought.reasoningText or wire.ReasoningText("")
    native = seals.read(text.signature, family)
    return ir.Reasoning(text.text, native, raw=family != "claude" and native is None)


class _Cited(Struct, frozen=True):
    content: list[_Plain] = []
    citations: list[Raw] = []


class _Web(Struct, frozen=True):
    url: str | None = None


class _Location(Struct, frozen=True):
    web: _Web | None = None


class _Citation(Struct, frozen=True):
    title: str | None = None
    source: str | None = None
    sourceContent: list[_Plain] | None = None
    location: _Location | None = None


def cited(raw: Raw | msgspec.UnsetType) -> ir.Text:
    """Text with its sources."""
    found = decoded(bytes(raw) if isinstance(raw, Raw) else b"{}", _Cited, "citationsContent")
    text = "".join(one.text for one in found.content)
    return ir.Text(text, tuple(citation(one) for one in found.citations))


def citation(raw: Raw) -> ir.Citation:
    """One source; its location stays with this format."""
    try:
        found = jsonx.decode(bytes(raw), _Citation, strict=False)
    except jsonx.Malformed:
        found = _Citation()
    web = found.location.web if found.location is not None else None
    texts = "".join(one.text for one in found.sourceContent or ()) or None
    return ir.Citation(web.url if web else None, found.title, texts, native=ir.Native(NAME, raw))


def _mark(found: list[ir.Part], mark: wire.CachePoint) -> None:
    """Marks the nearest part before that can carry it."""
    for position in reversed(range(len(found))):
        part = found[position]
        if isinstance(part, _MARKED):
            found[position] = msgspec.structs.replace(part, cache=ir.Cache(mark.ttl))
            return


def _opaque(raw: Raw) -> ir.Opaque:
    kind = next(iter(jsonx.top(bytes(raw))), "block")
    return ir.Opaque(ir.Native(NAME, raw), label=kind)


def arguments(found: Raw | msgspec.UnsetType) -> str:
    """A call's input as compact JSON text, "" for an empty one."""
    if not isinstance(found, Raw) or not present(found):
        return ""
    data = jsonx.compact(found)
    return "" if data == b"{}" else jsonx.text(data)


def decoded(raw: Raw | bytes | msgspec.UnsetType, type_: type[T], where: str) -> T:
    """`raw` as `type_`. Raises MuxError BAD_REQUEST that names `where`."""
    try:
        return jsonx.decode(b"null" if isinstance(raw, msgspec.UnsetType) else bytes(raw), type_, strict=False)
    except jsonx.Malformed as error:
        raise bad_request(f"{where}: {error}" if where else str(error), param=where or None) from error
