"""Parts as content blocks of a request.

Decisions. Thoughts go back only with a seal of their model's own. Media are checked by their bytes; only those in the
request or in S3 have a form. An empty result says so, since the API wants a block. A document never stands without a
text. Spec: the Bedrock Runtime page, sections 3 and 11; translation matrix, sections 2, 3 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct, field

from llm_mux import ir
from llm_mux.errors import refused
from llm_mux.translators import documents, ids, tools
from llm_mux.translators.base import Target
from llm_mux.translators.bedrock import media, seals, wire
from llm_mux.translators.bedrock.quirks import Quirks
from llm_mux.translators.bedrock.wire import NAME
from llm_mux.wire import jsonx

_NO_OUTPUT: Final = "(no output)"
_SEE_FILE: Final = "See the attached document."
_MOST_DOCUMENTS: Final = 5


class Page(Struct):
    """What the blocks of one request share: the target, the tools' names, names and number of its documents, marks."""

    target: Target
    quirks: Quirks
    names: tools.Names
    replay: bool = True
    documents: media.DocumentNames = field(default_factory=media.DocumentNames)
    held: int = 0
    dropped: dict[str, None] = field(default_factory=dict)

    def drop(self, knob: str) -> None:
        self.dropped[knob] = None


Blocks = list[wire.Block | Raw]


def blocks(parts: Sequence[ir.Part], role: str, page: Page) -> Blocks:
    """The blocks of one message. `role` is the message's, or "tool_result"."""
    found: Blocks = []
    for part in parts:
        block = _block(part, role, page)
        if block is None:
            continue
        found.append(block)
        cache = getattr(part, "cache", None)
        if cache is not None and page.quirks.cache_points and role != "tool_result":
            found.append(point(cache))
    if any(isinstance(part, ir.Document) for part in parts) and role == "user" and not _has_text(found):
        found.insert(0, wire.Block(text=_SEE_FILE))
    return found


def _has_text(found: Blocks) -> bool:
    return any(isinstance(block, wire.Block) and block.text is not None for block in found)


def point(cache: ir.Cache) -> wire.Block:
    """The mark behind what is worth caching."""
    return wire.Block(cachePoint=wire.CachePoint(cache.ttl if cache.ttl == "1h" else None, "default"))


def _block(part: ir.Part, role: str, page: Page) -> wire.Block | Raw | None:
    match part:
        case ir.Text(text=text) | ir.Refusal(text=text):
            return wire.Block(text=text) if text.strip() else None
        case ir.ToolCall():
            call = tools.lower_call(part, page.names)
            return wire.Block(
                toolUse=wire.ToolUse(ids.legal(call.id), call.name, jsonx.object_arguments(call.arguments))
            )
        case ir.ToolResult():
            return _result(part, page)
        case ir.Reasoning():
            thought = seals.replayed(part, page.target.model) if page.replay else None
            return None if thought is None else wire.Block(reasoningContent=thought)
        case ir.Opaque():
            return _opaque(part, page)
        case _ if role == "assistant":
            return wire.Block(text=f"[{type(part).__name__.lower()} omitted]")
        case _:
            return _media(part, page)


def _result(part: ir.ToolResult, page: Page) -> wire.Block:
    content = blocks(part.content, "tool_result", page) or [wire.Block(text=_NO_OUTPUT)]
    status = "error" if part.is_error else None
    return wire.Block(toolResult=wire.ToolResult(ids.legal(part.call_id), list(content), status))


def _opaque(part: ir.Opaque, page: Page) -> wire.Block | Raw | None:
    if part.native.owner == NAME:
        return part.native.data
    if part.hint:
        return None
    if not part.text:
        raise refused(f"`{part.label}`", page.target.title)
    return wire.Block(text=part.text)


def _media(part: ir.Part, page: Page) -> wire.Block:
    match part:
        case ir.Image(source=source, detail=detail):
            if detail not in (None, "auto"):
                page.drop("image.detail")
            return wire.Block(image=_medium(source, "An image", media.IMAGES, page))
        case ir.Video(source=source):
            return wire.Block(video=_medium(source, "A video", media.VIDEOS, page))
        case ir.Audio(source=source):
            return wire.Block(audio=_medium(source, "Audio", media.AUDIO, page))
        case ir.Document():
            return _document(part, page)
        case _:
            raise refused(f"{type(part).__name__} content", page.target.title)


def _medium(source: ir.Source, what: str, table: Mapping[str, str], page: Page) -> wire.Media:
    form, where = _placed(source, what, table, page)
    return wire.Media(form, where)


def _placed(source: ir.Source, what: str, table: Mapping[str, str], page: Page) -> tuple[str, wire.Source]:
    """The format's word and the place. Raises MuxError for what is neither here nor in S3."""
    if isinstance(source, ir.Inline):
        form = media.word(source.media_type, source.data, table)
        if form is None:
            raise refused(f"{what} of type {source.media_type}", page.target.title)
        return form, wire.Source(bytes=source.data)
    if isinstance(source, ir.Url) and source.url.startswith("s3://"):
        guessed = media.by_extension(source.url, source.media_type, table)
        if guessed is None:
            raise refused(f"{what} of unknown type in S3", page.target.title)
        return guessed, wire.Source(s3Location=wire.S3Location(source.url))
    url = source.url if isinstance(source, ir.Url) else None
    raise refused(f"{what} that is neither in the request nor in S3", page.target.title, url=url)


def _document(part: ir.Document, page: Page) -> wire.Block:
    source = part.source
    if isinstance(source, ir.Inline) and media.word(source.media_type, source.data, media.IMAGES):
        return wire.Block(image=_medium(source, "An image", media.IMAGES, page))
    page.held += 1
    if page.held > _MOST_DOCUMENTS:
        raise refused(f"More than {_MOST_DOCUMENTS} documents", page.target.title, param="messages")
    form, where = _placed(source, "A document", media.DOCUMENTS, page)
    for name in documents.lost(part, cites=True):
        page.drop(name)
    switch = wire.CitationsSwitch(True) if part.cited else None
    return wire.Block(document=wire.Document(page.documents.legal(part.name), where, form, part.context, switch))


def limited(lists: Sequence[Blocks | list[wire.Tool]], most: int) -> None:
    """Takes out the earliest cache points beyond `most`, over all lists in the order of the prompt."""
    found = [(one, at) for one in lists for at, block in enumerate(one) if is_point(block)]
    for one, at in reversed(found[: max(len(found) - most, 0)]):
        del one[at]


def is_point(block: object) -> bool:
    return isinstance(block, wire.Block | wire.Tool) and block.cachePoint is not None


def encoded(found: Blocks) -> list[Raw]:
    return [block if isinstance(block, Raw) else Raw(msgspec.json.encode(block)) for block in found]
