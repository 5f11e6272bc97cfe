"""Parts as content blocks of a request.

Decisions. Thinking goes only with a seal that this format and model family made, else not at all. Media are checked by
their bytes. Content the format cannot hold is refused; in the assistant's history a placeholder stands for it.
Spec: the Messages API page, section 2; translation matrix, sections 2, 3 and 5.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from llm_mux import ir
from llm_mux.errors import bad_request, refused
from llm_mux.translators import documents, history, ids, tools
from llm_mux.translators.anthropic import marks, seals, wire
from llm_mux.translators.anthropic.outlook import Outlook
from llm_mux.translators.anthropic.wire import NAME
from llm_mux.translators.base import usable
from llm_mux.wire import jsonx, media

Blocks = list[wire.Block | Raw]

_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_TEXTUAL: Final = frozenset({"application/json", "application/yaml", "application/xml", "application/x-yaml"})
_PDF: Final = "application/pdf"
_ERROR: Final = "Error"


def blocks(parts: Sequence[ir.Part], role: str, look: Outlook, *, thinking: bool = True) -> Blocks:
    """The blocks of one message. `role` is the message's, or "tool_result"; `thinking` False leaves thoughts out."""
    found: Blocks = []
    block: wire.Block | Raw | None
    for part in parts:
        if type(part) is ir.Text:
            block = _text(part, role, look)
        elif type(part) is ir.ToolResult:
            block = _result(part, look)
        elif type(part) is ir.ToolCall:
            block = _call(part, look)
        else:
            look.bare = False
            block = _block(part, role, look, thinking=thinking)
        if block is not None:
            found.append(block)
    return found


def _block(part: ir.Part, role: str, look: Outlook, *, thinking: bool) -> wire.Block | Raw | None:
    match part:
        case ir.Reasoning():
            return reasoning(part, look.target.model) if thinking else None
        case ir.Refusal(text=text):
            return wire.Text(text) if text.strip() else None
        case ir.Opaque():
            return _opaque(part, look)
        case _:
            return _media(part, role, look)


def _text(part: ir.Text, role: str, look: Outlook) -> wire.Block | Raw | None:
    text = part.text
    if not text or text.isspace():
        return None
    if not part.citations and part.native is None and part.cache is None:
        return wire.Text(text)
    look.bare = False
    citations: Raw | UnsetType = UNSET
    if part.citations and role == "assistant":
        own = [c.native.data for c in part.citations if c.native is not None and c.native.owner == NAME]
        citations = Raw(msgspec.json.encode(own)) if own else UNSET
    block = wire.Text(part.text, citations, _mark(part.cache))
    return block if part.native is None or history.is_attribution(part) else beside(block, part.native)


def reasoning(part: ir.Reasoning, model: str) -> wire.Block | None:
    """Thinking for `model`, None when its seal is missing or not this model family's."""
    native = part.native
    if native is None or not usable(native, NAME, model):
        return None
    redacted = seals.redacted_data(native)
    if redacted is not None:
        return wire.RedactedThinking(redacted)
    return wire.Thinking(part.text, native.data)


def _call(part: ir.ToolCall, look: Outlook) -> wire.Block | Raw:
    call = tools.lower_call(part, look.names)
    arguments = jsonx.object_arguments(call.arguments)
    if part.cache is None and part.native is None:
        return wire.ToolUse(ids.legal(call.id), call.name, arguments)
    look.bare = False
    block = wire.ToolUse(ids.legal(call.id), call.name, arguments, _mark(part.cache))
    return block if part.native is None else beside(block, part.native)


def _result(part: ir.ToolResult, look: Outlook) -> wire.Block | Raw:
    held = part.content
    if len(held) == 1 and type(only := held[0]) is ir.Text and _bare(only, part):
        return wire.ToolResult(ids.legal(part.call_id), only.text, part.is_error or None)
    look.bare = False
    inner = blocks(held, "tool_result", look)
    content: str | Blocks | None = inner or None
    if len(inner) == 1 and isinstance(first := inner[0], wire.Text) and first.cache_control is None:
        content = first.text
    if content is None and part.is_error:
        content = _ERROR
    block = wire.ToolResult(
        ids.legal(part.call_id),
        cast("str | list[wire.Text | wire.Image | wire.Document] | None", content),
        part.is_error or None,
        _mark(part.cache),
    )
    return block if part.native is None else beside(block, part.native)


def _bare(text: ir.Text, result: ir.ToolResult) -> bool:
    """Whether a result is that text and nothing else has to be said of either."""
    said = text.text
    plain = bool(said) and not said.isspace() and text.native is None and text.cache is None and not text.citations
    return plain and result.cache is None and result.native is None


def _opaque(part: ir.Opaque, look: Outlook) -> wire.Block | Raw | None:
    if usable(part.native, NAME, look.target.model) and ir.family(look.target.model) == "claude":
        return part.native.data
    if part.hint:
        return None
    if not part.text:
        raise refused(f"`{part.label}`", look.target.title)
    return wire.Text(part.text)


def _media(part: ir.Part, role: str, look: Outlook) -> wire.Block | Raw:
    if role == "assistant" and not look.own:
        return wire.Text(f"[{type(part).__name__.lower()} omitted]")
    match part:
        case ir.Image() if look.quirks.images:
            return _image(part, look)
        case ir.Document() if look.quirks.documents or _is_text(part):
            return _document(part, look)
        case _:
            raise refused(f"{type(part).__name__} content", look.target.title)


def _image(part: ir.Image, look: Outlook) -> wire.Block | Raw:
    source: wire.Base64Source | wire.UrlSource | wire.FileSource
    if part.detail not in (None, "auto"):
        look.drop("image.detail")
    match part.source:
        case ir.Inline(media_type=said, data=data):
            kind = media.sniff(data) or said
            if kind not in _IMAGES:
                raise refused(f"An image of type {kind}", look.target.title)
            source = wire.Base64Source(kind, data)
        case other:
            source = _stored(other, "An image", look)
    block = wire.Image(source, _mark(part.cache))
    return block if part.native is None else beside(block, part.native)


def _stored(source: ir.Source, what: str, look: Outlook) -> wire.UrlSource | wire.FileSource:
    match source:
        case ir.Url(url=url) if look.quirks.urls and url.startswith(("https://", "http://")):
            return wire.UrlSource(url)
        case ir.FileId(owner=owner, id=file_id) if owner == NAME:
            return wire.FileSource(file_id)
        case ir.Url(url=url):
            raise refused(f"{what} by this kind of URL", look.target.title, url=url)
        case _:
            raise refused(f"{what} that is stored at another vendor", look.target.title)


def _document(part: ir.Document, look: Outlook) -> wire.Block | Raw:
    source: wire.Base64Source | wire.UrlSource | wire.FileSource | wire.TextSource
    match part.source:
        case ir.Inline(media_type=said, data=data):
            kind = media.sniff(data) or said
            if kind in _IMAGES:
                return _image(ir.Image(part.source, cache=part.cache), look)
            if kind == _PDF:
                source = wire.Base64Source(_PDF, data)
            elif _is_text(part):
                source = wire.TextSource(_plain(data), "text/plain")
            else:
                raise refused(f"A document of type {kind}", look.target.title)
        case other:
            source = _stored(other, "A document", look)
    for name in documents.lost(part, cites=True):
        look.drop(name)
    switch = wire.CitationsSwitch(True) if part.cited else None
    block = wire.Document(source, part.name, part.context, switch, _mark(part.cache))
    return block if part.native is None else beside(block, part.native)


def _is_text(part: ir.Document) -> bool:
    source = part.source
    return isinstance(source, ir.Inline) and (source.media_type.startswith("text/") or source.media_type in _TEXTUAL)


def _plain(data: str) -> str:
    try:
        return base64.b64decode(data).decode("utf-8", "replace")
    except (binascii.Error, ValueError) as error:
        raise bad_request("A text document holds base64 that cannot be decoded.") from error


def _mark(cache: ir.Cache | None) -> wire.CacheControl | None:
    return None if cache is None else marks.control(cache.ttl)


def beside(block: wire.Block, native: ir.Native) -> wire.Block | Raw:
    """`block` with the fields of ours that the canonical form does not know."""
    if native.owner != NAME:
        return block
    return Raw(
        jsonx.splice(msgspec.json.encode(block), {k: bytes(v) for k, v in jsonx.top(bytes(native.data)).items()})
    )
