"""The conversation as Gemini contents: roles alternate, calls and results pair up, each step's first call is signed.

Rules. Parts keep their boundaries: a signed part is never joined with another nor loses or gains a signature. Newer
models refuse a step whose first call carries none; then it gets the documented stand-in, in every step of the
conversation and not only of the last turn, so that the prompt's beginning stays the same from turn to turn.
Spec: https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import refused
from llm_mux.translators import documents, history, memory
from llm_mux.translators.base import usable
from llm_mux.translators.gemini import seals, wire
from llm_mux.translators.gemini.outlook import Outlook
from llm_mux.translators.tools import lower_call
from llm_mux.wire import jsonx, media

OPENING = "Begin."
CONTINUE = "Continue."
_DEFAULT_TYPES = {ir.Image: "image/jpeg", ir.Document: "application/pdf", ir.Audio: "audio/mpeg", ir.Video: "video/mp4"}
Medium = ir.Image | ir.Document | ir.Audio | ir.Video
WirePart = wire.Part | wire.ResultOut | Raw


def system_and_turns(look: Outlook) -> tuple[list[WirePart], list[wire.Turn]]:
    """The parts of the system instruction, and the contents."""
    lead, rest = history.system_slot(look.request.messages)
    messages = rest if not look.names.changed else [_with_wire_names(message, look) for message in rest]
    if any(message.role in ("system", "developer") for message in messages):
        messages = history.fold_late_system(messages)
    tidied = memory.tidied(look.request.messages, rest) if messages is rest else history.tidy(messages)
    if any(message.role == following.role for message, following in pairwise(tidied)):
        tidied = history.alternate(tidied)
    return [part for one in lead for part in _system_part(one, look)], _framed(_turns(tidied, look), look)


def _with_wire_names(message: ir.Message, look: Outlook) -> ir.Message:
    if not any(isinstance(part, ir.ToolCall) for part in message.parts):
        return message
    parts = tuple(lower_call(part, look.names) if isinstance(part, ir.ToolCall) else part for part in message.parts)
    return msgspec.structs.replace(message, parts=parts)


def _system_part(part: ir.Part, look: Outlook) -> Iterator[WirePart]:
    match part:
        case ir.Text(text=text):
            if text.strip():
                yield wire.Part(text=text)
        case ir.Opaque():
            yield from _opaque(part, look)
        case ir.Reasoning():
            pass
        case _:
            raise refused(f"{type(part).__name__} content in a system message", look.target.title, param="system")


def _turns(messages: Sequence[ir.Message], look: Outlook) -> list[wire.Turn]:
    turns: list[wire.Turn] = []
    for message in messages:
        role = "model" if message.role == "assistant" else "user"
        parts = _model_parts(message, look) if role == "model" else _user_parts(message, look)
        if parts and turns and turns[-1].role == role:
            turns[-1] = wire.Turn(parts=[*turns[-1].parts, *parts], role=role)
        elif parts:
            turns.append(wire.Turn(parts=parts, role=role))
    return turns


def _framed(turns: list[wire.Turn], look: Outlook) -> list[wire.Turn]:
    """A user turn in front, and one at the end unless a client of this format left its last turn open on purpose."""
    if not turns or turns[0].role == "model":
        turns.insert(0, wire.Turn(parts=[wire.Part(text=OPENING)], role="user"))
    if turns[-1].role == "model" and not look.same_format:
        look.drop("prefill")
        turns.append(wire.Turn(parts=[wire.Part(text=CONTINUE)], role="user"))
    return turns


def _model_parts(message: ir.Message, look: Outlook) -> list[WirePart]:
    parts: list[WirePart] = []
    unsigned_step = look.facts.signatures
    for part in message.parts:
        if isinstance(part, ir.ToolCall):
            fields = _own(part.native, look)
            if unsigned_step and seals.signature(part.native if fields is not None else None) is None:
                fields = _with_stand_in(fields)
            unsigned_step = False
            parts.append(seals.beside(wire.Part(functionCall=_call(part, look)), fields))
        elif isinstance(part, Medium) and isinstance(part.source, ir.FileId) and part.source.owner != seals.OWNER:
            parts.append(wire.Part(text=f"[{type(part).__name__.lower()} omitted]"))
        else:
            parts.extend(_part(part, look))
    return parts


def _with_stand_in(fields: Raw | None) -> Raw:
    known = {} if fields is None else jsonx.decode(bytes(fields), dict[str, Raw])
    return Raw(jsonx.encode(known | {"thoughtSignature": seals.SKIP}))


def _call(call: ir.ToolCall, look: Outlook) -> wire.FunctionCall:
    return wire.FunctionCall(
        id=None if look.quirks.vertex else call.id, name=call.name, args=jsonx.object_arguments(call.arguments)
    )


def _own(native: ir.Native | None, look: Outlook) -> Raw | None:
    """The fields that may stand beside a part: this format's own, of no other model family."""
    if native is None or not usable(native, seals.OWNER, look.target.model):
        return None
    return native.data


def _user_parts(message: ir.Message, look: Outlook) -> list[WirePart]:
    """Results first, then for older models the media that came with them, then the rest."""
    parts: list[WirePart] = []
    beside: list[WirePart] = []
    others: list[WirePart] = []
    for part in message.parts:
        if isinstance(part, ir.ToolResult):
            parts.append(wire.ResultOut(_result(part, beside, look)))
        else:
            others.extend(_part(part, look))
    return parts + beside + others


def _result(result: ir.ToolResult, beside: list[WirePart], look: Outlook) -> wire.FunctionResponseOut:
    attached = history.result_media(result)
    inside: list[wire.ResultPart | Raw] | None = None
    if attached and look.facts.media_in_results:
        inside = [_inner(part, look) for part in attached]
    else:
        beside.extend(_medium(part, look) for part in attached)
    own = _own(result.native, look)
    kept = jsonx.decode(bytes(own), wire.FunctionResponse) if own is not None else None
    return wire.FunctionResponseOut(
        id=None if look.quirks.vertex else result.call_id,
        name=result.name or result.call_id,
        response=kept.response if kept is not None else _output(result, attached and inside is None, look),
        parts=inside,
        willContinue=kept.willContinue if kept is not None else msgspec.UNSET,
        scheduling=kept.scheduling if kept is not None else msgspec.UNSET,
    )


def _inner(part: ir.Part, look: Outlook) -> wire.ResultPart | Raw:
    """A medium inside of a result, with what this format's own clients say beside it."""
    made = _medium(part, look)
    plain = wire.ResultPart(made.inlineData, made.fileData)
    fields = _own(part.native, look) if isinstance(part, Medium) else None
    if fields is None:
        return plain
    return Raw(jsonx.splice(jsonx.encode(plain), {k: bytes(v) for k, v in jsonx.top(bytes(fields)).items()}))


def _output(result: ir.ToolResult, media_follows: object, look: Outlook) -> Raw:
    lines = [line for part in result.content for line in _result_line(part, look)]
    if not lines and media_follows:
        lines.append("The content of this result follows.")
    return Raw(jsonx.encode({"error" if result.is_error else "output": "\n".join(lines)}))


def _result_line(part: ir.Part, look: Outlook) -> Iterator[str]:
    match part:
        case ir.Text(text=text) | ir.Refusal(text=text):
            yield text
        case ir.Opaque(text=text) if text:
            yield text
        case ir.Document():
            for name in documents.lost(part):
                look.drop(name)
            if part.context:
                yield part.context
        case ir.Opaque(hint=False, label=label):
            raise refused(f"A block of type {label} in a tool result", look.target.title)
        case _:
            pass


def _part(part: ir.Part, look: Outlook) -> Iterator[WirePart]:
    match part:
        case ir.Text(text=text, native=native):
            fields = _own(native, look)
            if fields is not None or text.strip():
                yield seals.beside(wire.Part(text=text), fields)
        case ir.Reasoning(text=text, native=native):
            fields = _own(native, look)
            if fields is not None:
                yield seals.beside(wire.Part(text=text, thought=True), fields)
        case ir.Refusal(text=text):
            if text.strip():
                yield wire.Part(text=text)
        case ir.Opaque():
            yield from _opaque(part, look)
        case ir.Image() | ir.Document() | ir.Audio() | ir.Video():
            yield from _media(part, look)
        case ir.ToolCall() | ir.ToolResult():
            raise refused(f"A {type(part).__name__} in this place", look.target.title)


def _opaque(part: ir.Opaque, look: Outlook) -> Iterator[WirePart]:
    fields = _own(part.native, look)
    if fields is not None:
        yield fields
    elif part.hint:
        return
    elif part.text:
        yield wire.Part(text=part.text)
    else:
        raise refused(f"A block of type {part.label}", look.target.title)


def _media(part: Medium, look: Outlook) -> Iterator[WirePart]:
    if isinstance(part, ir.Document):
        if part.context:
            yield wire.Part(text=part.context)
        for name in documents.lost(part):
            look.drop(name)
    fields = _own(part.native, look)
    yield seals.beside(_medium(part, look), fields)


def _medium(part: ir.Part, look: Outlook) -> wire.Part:
    assert isinstance(part, Medium)
    match part.source:
        case ir.Inline(media_type=type_, data=data):
            seen = media.sniff(data) if isinstance(part, ir.Image) else None
            return wire.Part(inlineData=wire.Blob(seen or type_, data))
        case ir.FileId(owner=seals.OWNER, id=uri, media_type=given):
            return wire.Part(fileData=wire.FileData(uri, given))
        case ir.FileId():
            raise refused("A file that is stored at another vendor", look.target.title)
        case ir.Url(url=url, media_type=given):
            return wire.Part(fileData=_fetched(part, url, given, look))


def _fetched(part: Medium, url: str, given: str | None, look: Outlook) -> wire.FileData:
    if "youtube.com/" in url or "youtu.be/" in url:
        return wire.FileData(url, given)
    if not look.https_files:
        what = {ir.Image: "An image", ir.Document: "A document", ir.Audio: "Audio", ir.Video: "A video"}[type(part)]
        raise refused(f"{what} by URL", look.target.title, url=url)
    type_ = given or media.guess(url.split("?", 1)[0].rsplit("/", 1)[-1])
    return wire.FileData(url, type_ or _DEFAULT_TYPES[type(part)])
