"""Content parts, both ways: a client's parts to the canonical form, canonical parts to a server's.

Rules. A part of an unknown type is kept whole as `Opaque` and only a server of this format sees it again. What a
server cannot take is refused by name; in the assistant's own history a short note stands in for lost media.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import MuxError, bad_request, refused
from llm_mux.translators import documents
from llm_mux.translators.base import Target, usable
from llm_mux.translators.openai_chat import quirks as quirks_
from llm_mux.translators.openai_chat import wire
from llm_mux.wire import media

OMITTED = "[image omitted]"
_TEXT_TYPES = ("text", "input_text", "output_text")


def decode_content(content: str | list[Raw] | dict[str, Raw] | None, where: str) -> tuple[ir.Part, ...]:
    """A message's `content`: a string, a list of parts, one part, null or absent."""
    if not content:
        return ()
    if isinstance(content, str):
        return (ir.Text(content),)
    if isinstance(content, dict):
        return (_part(Raw(msgspec.json.encode(content)), where),)
    return tuple(_part(item, f"{where}[{n}]") for n, item in enumerate(content))


def _part(raw: Raw, where: str) -> ir.Part:
    if memoryview(raw)[0] == ord('"'):
        return ir.Text(msgspec.json.decode(raw, type=str))
    try:
        part = wire.part.decode(raw)
    except msgspec.ValidationError as error:
        raise bad_request(f"{where} is not a content part: {error}.", param=where) from error
    return _known(part, where) or _unknown(raw, part)


def _known(part: wire.Part, where: str) -> ir.Part | None:
    cache = mark(part.cache_control, part.prompt_cache_breakpoint)
    if part.type in _TEXT_TYPES or (part.type is None and part.text is not None):
        return ir.Text(part.text or "", cache=cache)
    if part.type in ("image_url", "input_image") and part.image_url is not None:
        return _visual(media_url(part.image_url), cache, where)
    if part.type == "video_url" and part.video_url is not None:
        return _visual(media_url(part.video_url), cache, where, video=True)
    if part.type == "input_audio" and part.input_audio is not None:
        return _audio(part.input_audio)
    if part.type in ("file", "input_file") and part.file is not None:
        return _document(part.file, cache, where)
    if part.type == "refusal":
        return ir.Refusal(part.refusal or "")
    return None


def _unknown(raw: Raw, part: wire.Part) -> ir.Opaque:
    label = part.type or "content part"
    hint = label in ("thinking", "reasoning", "redacted_thinking")
    return ir.Opaque(ir.Native(wire.NAME, raw), label, hint=hint)


def mark(*marks: wire.CacheMark | None) -> ir.Cache | None:
    """The cache mark that any of the two spellings gives."""
    for found in marks:
        if found is not None:
            return ir.Cache(found.ttl)
    return None


def media_url(found: str | wire.MediaUrl) -> wire.MediaUrl:
    """An `image_url` value: the object, or the bare string that several clients send."""
    return wire.MediaUrl(found) if isinstance(found, str) else found


def _visual(found: wire.MediaUrl, cache: ir.Cache | None, where: str, *, video: bool = False) -> ir.Part:
    """An image, or what the data URL in an image's place really holds."""
    held = source(found.url, where)
    kind = held.media_type or ""
    if isinstance(held, ir.Inline) and not kind.startswith(("image/", "video/", "audio/", "text/")):
        kind = media.sniff(held.data) or kind
        held = ir.Inline(kind, held.data)
    if video or kind.startswith("video/"):
        return ir.Video(held)
    if kind.startswith("audio/"):
        return ir.Audio(held)
    if kind == "application/pdf" or kind.startswith("text/"):
        return ir.Document(held, cache=cache)
    return ir.Image(held, detail=found.detail, cache=cache)


def source(url: str, where: str) -> ir.Inline | ir.Url:
    if not url:
        raise bad_request(f"{where} has no url.", param=where)
    if url[:5].lower() != "data:":
        return ir.Url(url)
    parsed = media.parse_data_url(url)
    if parsed is None:
        raise bad_request(f"{where} is not a base64 data URL (data:<type>;base64,<data>).", param=where)
    return ir.Inline(*parsed)


def _audio(audio: wire.InputAudio) -> ir.Audio:
    parsed = media.parse_data_url(audio.data) if audio.data[:5].lower() == "data:" else None
    if parsed is not None:
        return ir.Audio(ir.Inline(*parsed))
    return ir.Audio(ir.Inline(media.audio_type(audio.format or "wav"), audio.data))


def _document(file: wire.File, cache: ir.Cache | None, where: str) -> ir.Part:
    if file.file_data:
        parsed = media.parse_data_url(file.file_data) if file.file_data[:5].lower() == "data:" else None
        guessed = media.guess(file.filename or "")
        kind, data = parsed or (guessed or media.sniff(file.file_data) or "application/pdf", file.file_data)
        if kind == "application/octet-stream":
            kind = guessed or media.sniff(data) or kind
        return _by_kind(ir.Inline(kind, data), file.filename, cache)
    if file.file_id:
        return ir.Document(ir.FileId(wire.NAME, file.file_id), name=file.filename, cache=cache)
    if file.file_url:
        return ir.Document(ir.Url(file.file_url), name=file.filename, cache=cache)
    raise bad_request(f"{where}.file needs file_data or file_id.", param=f"{where}.file")


def _by_kind(source: ir.Inline, name: str | None, cache: ir.Cache | None) -> ir.Part:
    for beginning, make in (("image/", ir.Image), ("audio/", ir.Audio), ("video/", ir.Video)):
        if source.media_type.startswith(beginning):
            return make(source)
    return ir.Document(source, name=name, cache=cache)


class TextOut(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="text"):
    text: str
    prompt_cache_breakpoint: dict[str, str] | None = None
    cache_control: dict[str, str] | None = None


class ImageOut(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="image_url"):
    image_url: dict[str, str]
    prompt_cache_breakpoint: dict[str, str] | None = None
    cache_control: dict[str, str] | None = None


class VideoOut(msgspec.Struct, frozen=True, tag_field="type", tag="video_url"):
    video_url: dict[str, str]


class AudioIn(msgspec.Struct, frozen=True, tag_field="type", tag="input_audio"):
    input_audio: dict[str, str]


class FileOut(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="file"):
    file: dict[str, str]
    prompt_cache_breakpoint: dict[str, str] | None = None
    cache_control: dict[str, str] | None = None


class RefusalOut(msgspec.Struct, frozen=True, tag_field="type", tag="refusal"):
    refusal: str


PartOut = TextOut | ImageOut | VideoOut | AudioIn | FileOut | RefusalOut | Raw


class Marks:
    """Decides which of a request's cache marks are written: the last ones, as many as the server counts."""

    def __init__(self, target: Target, messages: Sequence[ir.Message], most: int) -> None:
        quirks = quirks_.of(target)
        self._style = "cache_control" if quirks.cache_control_parts else "breakpoint" if most else ""
        self._skip = 0
        if self._style:
            marked = sum([_marked(p) for m in messages for p in m.parts if getattr(p, "cache", None)])
            self._skip = marked - (4 if quirks.cache_control_parts else most)

    def next(self, part: ir.Part) -> dict[str, dict[str, str]]:
        """The fields that mark `part`, to be asked once per part in order."""
        if not self._style:
            return {}
        cache = part.cache if isinstance(part, ir.Text | ir.Image | ir.Document) else None
        if cache is None:
            return {}
        self._skip -= 1
        if self._skip >= 0:
            return {}
        if self._style == "cache_control":
            return {"cache_control": {"type": "ephemeral", **({"ttl": cache.ttl} if cache.ttl in ("5m", "1h") else {})}}
        ttl = {"ttl": cache.ttl} if cache.ttl in ("30m", "12h") else {}
        return {"prompt_cache_breakpoint": {"mode": "explicit", **ttl}}


def _marked(part: ir.Part) -> bool:
    return isinstance(part, ir.Text | ir.Image | ir.Document) and part.cache is not None


def encode_parts(parts: Sequence[ir.Part], target: Target, marks: Marks) -> list[PartOut]:
    """Parts of a system or user message as a server takes them."""
    return [out for part in documents.told(parts) for out in _encode(part, target, marks)]


def _encode(part: ir.Part, target: Target, marks: Marks) -> Iterator[PartOut]:
    marked = marks.next(part)
    match part:
        case ir.Text(text=text):
            yield TextOut(text, **marked)
        case ir.Refusal(text=text):
            yield TextOut(text)
        case ir.Opaque():
            yield from _opaque(part, target)
        case ir.Image() | ir.Document() | ir.Audio() | ir.Video():
            yield _media(part, target, marked)
        case _:
            pass


def _media(
    part: ir.Image | ir.Document | ir.Audio | ir.Video, target: Target, marked: dict[str, dict[str, str]]
) -> PartOut:
    if isinstance(part, ir.Document):
        return _document_out(part, target, marked)
    if not quirks_.takes(target, part):
        raise _refusal(part, target)
    match part:
        case ir.Image(source=source, detail=detail):
            image = {"url": _url(source, target, "An image file id")}
            return ImageOut({**image, "detail": detail} if detail else image, **marked)
        case ir.Video(source=source):
            return VideoOut({"url": _url(source, target, "A video file id")})
        case ir.Audio(source=source):
            return _audio_out(source, target)


def _refusal(part: ir.Part, target: Target) -> MuxError:
    by_url = isinstance(part, ir.Image) and quirks_.of(target).images
    what = "An image by URL" if by_url else {ir.Image: "An image", ir.Audio: "Audio"}.get(type(part), "A video")
    url = part.source.url if by_url and isinstance(part, ir.Image) and isinstance(part.source, ir.Url) else None
    return refused(what, target.title, param="messages", url=url)


def _url(source: ir.Source, target: Target, what: str) -> str:
    match source:
        case ir.Inline(media_type=media_type, data=data):
            return media.data_url(media_type, data)
        case ir.Url(url=url):
            return url
        case ir.FileId():
            raise refused(what, target.title, param="messages")


def _audio_out(source: ir.Source, target: Target) -> PartOut:
    form = media.audio_format(source.media_type) if isinstance(source, ir.Inline) else None
    if not isinstance(source, ir.Inline) or form not in ("wav", "mp3"):
        url = source.url if isinstance(source, ir.Url) else None
        raise refused("Audio other than inline wav or mp3", target.title, param="messages", url=url)
    return AudioIn({"data": source.data, "format": form})


def _document_out(part: ir.Document, target: Target, marked: dict[str, dict[str, str]]) -> PartOut:
    source = part.source
    if documents.is_text(part):
        return TextOut(documents.as_text(part), **marked)
    if not quirks_.takes(target, part):
        raise refused("A file", target.title, param="messages")
    match source:
        case ir.Inline(media_type=media_type, data=data):
            name = part.name or ("document.pdf" if media_type == "application/pdf" else "document")
            return FileOut({"filename": name, "file_data": media.data_url(media_type, data)}, **marked)
        case ir.FileId(owner=owner, id=id_) if owner.startswith("openai"):
            return FileOut({"file_id": id_}, **marked)
        case ir.FileId():
            raise refused("A file that lives at another provider", target.title, param="messages")
        case ir.Url(url=url):
            raise refused("A file by URL", target.title, param="messages", url=url)


def _opaque(part: ir.Opaque, target: Target) -> Iterator[PartOut]:
    if usable(part.native, wire.NAME, target.model):
        yield part.native.data
    elif part.hint:
        return
    elif part.text:
        yield TextOut(part.text)
    else:
        raise refused(f"A part of type {part.label}", target.title, param="messages")
