"""Content parts: content lists of clients and upstreams to parts, and parts to the content lists we send.

Rule: a part that the format cannot hold is refused by name; a part that nobody knows is kept as it came (`Opaque`).
Spec: the Responses API page, section 3; translation matrix, section 2.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, UnsetType

from llm_mux import ir
from llm_mux.errors import bad_request, refused
from llm_mux.translators import documents
from llm_mux.translators.openai_responses import wire
from llm_mux.translators.openai_responses.reading import OWNER, first_byte, present, read
from llm_mux.wire import media

FILE_OWNERS: Final = (OWNER, "openai_chat")
"""Translators whose file ids mean the same files (they live at OpenAI)."""

_TEXTS: Final = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
KNOWN: Final = frozenset({*_TEXTS, "refusal", "input_image", "image_url", "input_file", "input_audio"})
"""The types of content parts that have a canonical form."""

_usual: msgspec.json.Decoder[str | list[wire.Part]] = msgspec.json.Decoder(str | list[wire.Part], strict=False)


def content(raw: Raw | UnsetType, where: str) -> tuple[ir.Part, ...]:
    """The parts of a `content` (a string, a list of parts or of strings, one part, null or nothing at all)."""
    if not present(raw):
        return ()
    try:
        parts = _usual.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _mixed(raw, where)
    if isinstance(parts, str):
        return (ir.Text(parts),) if parts else ()
    for part in parts:
        if part.type not in KNOWN:
            return _mixed(raw, where)
    return tuple([_part(part, where, index) for index, part in enumerate(parts)])


def _mixed(raw: Raw, where: str) -> tuple[ir.Part, ...]:
    """One part without a list, or a list that holds strings or parts that nobody knows, or is wrong somewhere."""
    parts: list[ir.Part] = []
    if first_byte(raw) == b"{":
        raw = Raw(b"[" + bytes(raw) + b"]")
    for index, one in enumerate(read(raw, list[Raw], where)):
        place = f"{where}[{index}]"
        if first_byte(one) == b'"':
            parts.append(ir.Text(read(one, str, place)))
            continue
        kind = read(one, wire.ItemKind, place).type
        if kind in KNOWN:
            parts.append(_part(read(one, wire.Part, place), where, index))
        else:
            data = Raw(b'{"content_part":%b}' % bytes(one))
            parts.append(ir.Opaque(ir.Native(OWNER, data), label=kind or "a content part without a type"))
    return tuple(parts)


def _part(part: wire.Part, where: str, index: int) -> ir.Part:
    mark = part.prompt_cache_breakpoint
    cache = ir.Cache(mark.ttl) if mark is not None else None
    match part.type:
        case "refusal":
            return ir.Refusal(part.refusal or "")
        case "input_image" | "image_url":
            return ir.Image(_image_source(part, f"{where}[{index}]"), detail=part.detail, cache=cache)
        case "input_file":
            source = _file_source(part, f"{where}[{index}]")
            return ir.Document(source, name=part.filename, cache=cache, detail=part.detail)
        case "input_audio":
            audio = part.input_audio or wire.InputAudio()
            return ir.Audio(ir.Inline(media.audio_type(audio.format), audio.data))
        case _:
            return ir.Text(part.text or "", citations=citations(part.annotations), cache=cache)


def _image_source(part: wire.Part, where: str) -> ir.Source:
    url = _url(part.image_url, f"{where}.image_url")
    if url:
        parsed = media.parse_data_url(url)
        return ir.Inline(*parsed) if parsed else ir.Url(url)
    if part.file_id:
        return ir.FileId(OWNER, part.file_id)
    raise bad_request("An image needs `image_url` or `file_id`.", param=where, code="missing_required_parameter")


def _url(raw: Raw | UnsetType, where: str) -> str | None:
    """`image_url` as the plain string it is here, or as the object that chat clients send."""
    if not present(raw):
        return None
    if first_byte(raw) == b"{":
        return read(raw, wire.ImageUrl, where).url
    return read(raw, str, where)


def _file_source(part: wire.Part, where: str) -> ir.Source:
    if part.file_data:
        return _file_data(part.file_data, part.filename)
    if part.file_url:
        return ir.Url(part.file_url, media.guess(part.file_url))
    if part.file_id:
        return ir.FileId(OWNER, part.file_id)
    message = "A file needs `file_data`, `file_url` or `file_id`."
    raise bad_request(message, param=where, code="missing_required_parameter")


def _file_data(data: str, filename: str | None) -> ir.Inline:
    parsed = media.parse_data_url(data)
    if parsed is not None:
        return ir.Inline(*parsed)
    return ir.Inline(media.guess(filename or "") or media.sniff(data) or "application/pdf", data)


def citations(annotations: list[Raw] | None) -> tuple[ir.Citation, ...]:
    """The annotations of an output text; each keeps its own form too."""
    return tuple([citation(raw) for raw in annotations]) if annotations else ()


def citation(raw: Raw) -> ir.Citation:
    """One annotation. Offsets only where the kind has them."""
    try:
        found = msgspec.json.decode(raw, type=wire.Annotation)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = wire.Annotation()
    return ir.Citation(
        url=found.url,
        title=found.title or found.filename,
        start=found.start_index,
        end=found.end_index,
        native=ir.Native(OWNER, raw),
    )


def part_out(part: ir.Part, role: str, title: str, *, marks: bool = True) -> wire.PartOut | None:
    """A part as we send it in a message of `role` to the target `title`; None when it may silently go.

    `marks`: explicit cache marks are understood.
    """
    text_type = "output_text" if role == "assistant" else "input_text"
    mark = breakpoint_out(getattr(part, "cache", None)) if marks and role != "assistant" else None
    match part:
        case ir.Text(text=text):
            return wire.PartOut(text_type, text=text, prompt_cache_breakpoint=mark)
        case ir.Refusal(text=text):
            return wire.PartOut("refusal", refusal=text) if role == "assistant" else wire.PartOut(text_type, text=text)
        case ir.Opaque(hint=hint, text=text, label=label):
            if hint:
                return None
            if text:
                return wire.PartOut(text_type, text=text)
            raise refused(f"`{label}`", title)
        case ir.Image() if role != "assistant":
            return _image_out(part, title, mark)
        case ir.Document() if role != "assistant":
            return _document_out(part, title, mark)
        case ir.Image() | ir.Document() | ir.Audio() | ir.Video() if role == "assistant":
            return wire.PartOut(text_type, text=f"[{type(part).__name__.lower()} omitted]")
        case _:
            raise refused(f"{type(part).__name__} content", title)


def breakpoint_out(cache: ir.Cache | None) -> dict[str, str] | None:
    """A cache mark; lifetimes of other vendors become the default one."""
    if cache is None:
        return None
    return {"mode": "explicit", "ttl": cache.ttl} if cache.ttl in ("30m", "12h") else {"mode": "explicit"}


def _image_out(image: ir.Image, title: str, mark: dict[str, str] | None) -> wire.PartOut:
    detail = image.detail or "auto"
    match image.source:
        case ir.Inline(media_type=kind, data=data):
            url = media.data_url(media.sniff(data) or kind, data)
            return wire.PartOut("input_image", image_url=url, detail=detail, prompt_cache_breakpoint=mark)
        case ir.Url(url=url):
            return wire.PartOut("input_image", image_url=url, detail=detail, prompt_cache_breakpoint=mark)
        case ir.FileId(owner=owner, id=file_id) if owner in FILE_OWNERS:
            return wire.PartOut("input_image", file_id=file_id, detail=detail, prompt_cache_breakpoint=mark)
        case _:
            raise refused("An image that is stored at another vendor", title)


def _document_out(document: ir.Document, title: str, mark: dict[str, str] | None) -> wire.PartOut:
    match document.source:
        case ir.Inline() if documents.is_text(document):
            return wire.PartOut("input_text", text=documents.as_text(document), prompt_cache_breakpoint=mark)
        case ir.Inline(media_type=kind, data=data):
            name = document.name or ("document.pdf" if kind == "application/pdf" else "document")
            url = media.data_url(kind, data)
            made = wire.PartOut("input_file", filename=name, file_data=url)
        case ir.Url(url=url):
            made = wire.PartOut("input_file", file_url=url)
        case ir.FileId(owner=owner, id=file_id) if owner in FILE_OWNERS:
            made = wire.PartOut("input_file", file_id=file_id)
        case _:
            raise refused("A document that is stored at another vendor", title)
    return msgspec.structs.replace(made, detail=document.detail, prompt_cache_breakpoint=mark)
