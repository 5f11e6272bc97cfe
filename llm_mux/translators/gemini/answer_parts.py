"""The parts of an answer, both ways: what whole answers and stream records have in common.

Rule: a call without an id gets one from the response's id and its place in it, the same whole and streamed.
"""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct

from llm_mux import ir
from llm_mux.translators import ids
from llm_mux.translators.base import present
from llm_mux.translators.gemini import seals, wire
from llm_mux.translators.gemini.decode_parts import medium, opaque
from llm_mux.wire import jsonx


class CallCount(Struct):
    """Names the calls of one candidate. `seed` is the response's id or what else tells this answer from others."""

    seed: str
    choice: int
    count: int = 0

    def named(self, call: wire.FunctionCall, arguments: str, native: ir.Native | None) -> ir.ToolCall:
        name = call.name or ""
        call_id = call.id or ids.synthesised(self.seed, self.choice, self.count, name, arguments)
        self.count += 1
        return ir.ToolCall(call_id, name, arguments, native=native)


def seed(answer: wire.Answer) -> str:
    """The response's id; without one the prompt's size, which grows from turn to turn."""
    if answer.responseId:
        return answer.responseId
    usage = answer.usageMetadata
    return f"{answer.modelVersion or ''}\x00{usage.promptTokenCount if usage is not None else ''}"


def decode_part(part: wire.Part, family: str, calls: CallCount) -> ir.Part | None:
    """A part of an answer; None for one that says nothing."""
    native = seals.of_part(part, family)
    if part.functionCall is not None:
        call = part.functionCall
        arguments = jsonx.text(jsonx.compact(call.args)) if isinstance(call.args, Raw) and present(call.args) else "{}"
        return calls.named(call, arguments, native)
    if part.text is not None:
        if not part.text and native is None:
            return None
        return ir.Reasoning(part.text, native) if part.thought else ir.Text(part.text, native=native)
    if part.inlineData is not None or part.fileData is not None:
        return medium(part, native)
    for kind in wire.SERVER_KINDS:
        if getattr(part, kind) is not UNSET:
            return opaque(part, kind)
    return None


def encode_part(part: ir.Part) -> wire.Part | Raw | None:
    """A part for a client, another owner's opaque data in an envelope; None for what has no form here."""
    match part:
        case ir.Text(text=text, native=native):
            return seals.beside(wire.Part(text=text), seals.for_client(native)) if text or native else None
        case ir.Reasoning(text=text, native=native):
            return (
                seals.beside(wire.Part(text=text, thought=True), seals.for_client(native)) if text or native else None
            )
        case ir.Refusal(text=text):
            return wire.Part(text=text) if text else None
        case ir.ToolCall(native=native):
            call = wire.FunctionCall(part.id or None, part.name, jsonx.object_arguments(part.arguments))
            return seals.beside(wire.Part(functionCall=call), seals.for_client(native))
        case ir.Image() | ir.Document() | ir.Audio() | ir.Video():
            made = _medium(part.source)
            return None if made is None else seals.beside(made, seals.for_client(part.native))
        case ir.Opaque(native=native, text=text, hint=hint):
            if native.owner == seals.OWNER:
                return native.data
            return wire.Part(text=text) if text and not hint else None
        case _:
            return None


def _medium(source: ir.Source) -> wire.Part | None:
    match source:
        case ir.Inline(media_type=type_, data=data):
            return wire.Part(inlineData=wire.Blob(type_, data))
        case ir.Url(url=url, media_type=given):
            return wire.Part(fileData=wire.FileData(url, given))
        case ir.FileId(owner=seals.OWNER, id=uri, media_type=given):
            return wire.Part(fileData=wire.FileData(uri, given))
        case _:
            return None
