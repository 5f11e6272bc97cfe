"""The conversation as Ollama messages: content is one string, images stand beside it, arguments are objects.

Rules. Every result is a `tool` message with its tool's name (templates need it) and id; what a result holds beside text
follows in one user message after all results of the turn. Thinking goes back only where it is this format's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from llm_mux import ir
from llm_mux.errors import refused
from llm_mux.translators import documents, history
from llm_mux.translators.base import Target, usable
from llm_mux.translators.ollama import wire
from llm_mux.translators.tools import Names, lower_call
from llm_mux.wire import jsonx

_KINDS = {ir.Image: "An image", ir.Document: "A document", ir.Audio: "Audio", ir.Video: "A video"}
Medium = ir.Image | ir.Document | ir.Audio | ir.Video


def encode_messages(request: ir.Request, target: Target, names: Names, dropped: list[str]) -> list[wire.MessageOut]:
    """The messages; what of them has no form is named in `dropped`."""
    lowered = [_lowered(message, names) for message in request.messages]
    writer = _Writer(target, dropped, own_thoughts=request.protocol == wire.NAME)
    return [out for message in history.tidy(lowered) for out in writer.write(message)]


def _lowered(message: ir.Message, names: Names) -> ir.Message:
    if message.role != "assistant" or not any(isinstance(part, ir.ToolCall) for part in message.parts):
        return message
    parts = tuple(lower_call(part, names) if isinstance(part, ir.ToolCall) else part for part in message.parts)
    return msgspec.structs.replace(message, parts=parts)


class _Writer:
    """`own_thoughts`: the client speaks this format, so that its bare thinking text is meant for such a model."""

    def __init__(self, target: Target, dropped: list[str], *, own_thoughts: bool) -> None:
        self._target = target
        self._dropped = dropped
        self._own_thoughts = own_thoughts

    def write(self, message: ir.Message) -> Iterator[wire.MessageOut]:
        if message.role == "assistant":
            yield from self._assistant(message)
        elif message.role == "user":
            yield from self._user(message)
        else:
            yield from self._said("system", message.parts)

    def _user(self, message: ir.Message) -> Iterator[wire.MessageOut]:
        beside: list[ir.Part] = []
        for result in message.parts:
            if isinstance(result, ir.ToolResult):
                yield self._result(result, beside)
        yield from self._said("user", [*beside, *(p for p in message.parts if not isinstance(p, ir.ToolResult))])

    def _result(self, result: ir.ToolResult, beside: list[ir.Part]) -> wire.MessageOut:
        media = [part for part in history.result_media(result) if not documents.is_text(part)]
        if any(not isinstance(part, ir.Text) for part in result.content):
            told = tuple(ir.Text(word) for part in result.content for word in self._words(part))
            result = msgspec.structs.replace(result, content=told)
        text = history.result_text(result)
        if media:
            kind = "image" if all(isinstance(part, ir.Image) for part in media) else "file"
            note = f"(The {kind} of this result is in the next user message.)"
            text = f"{text}\n{note}" if text else note
            beside += [ir.Text(f"From the result of {result.name or 'the tool'}:"), *media]
        return wire.MessageOut("tool", text, tool_name=result.name, tool_call_id=result.call_id or None)

    def _said(self, role: str, parts: Sequence[ir.Part]) -> Iterator[wire.MessageOut]:
        texts = [word for part in parts for word in self._words(part)]
        images = [self._image(part) for part in parts if isinstance(part, Medium) and not documents.is_text(part)]
        if texts or images:
            yield wire.MessageOut(role, "\n\n".join(texts), images=images or None)

    def _words(self, part: ir.Part) -> Iterator[str]:
        match part:
            case ir.Text(text=text) | ir.Refusal(text=text):
                yield text
            case ir.Document() if documents.is_text(part):
                self._dropped.extend(documents.lost(part))
                yield documents.as_text(part)
            case ir.Opaque(hint=False, text=text, label=label):
                if not text:
                    raise refused(f"A part of type {label}", self._target.title, param="messages")
                yield text
            case _:
                pass

    def _image(self, part: Medium) -> str:
        source = part.source
        if isinstance(part, ir.Image | ir.Audio) and isinstance(source, ir.Inline):
            return source.data
        where = "" if isinstance(source, ir.Inline) else " that is not inside the request"
        url = source.url if isinstance(source, ir.Url) and isinstance(part, ir.Image | ir.Audio) else None
        raise refused(f"{_KINDS[type(part)]}{where}", self._target.title, param="messages", url=url)

    def _assistant(self, message: ir.Message) -> Iterator[wire.MessageOut]:
        content = "".join(word for part in message.parts for word in self._spoken(part))
        thinking = "".join(part.text for part in message.parts if isinstance(part, ir.Reasoning) and self._own(part))
        calls = [_call(part) for part in message.parts if isinstance(part, ir.ToolCall)]
        if content or calls or thinking:
            yield wire.MessageOut("assistant", content, thinking or None, tool_calls=calls or None)

    def _spoken(self, part: ir.Part) -> Iterator[str]:
        if isinstance(part, Medium) and not documents.is_text(part):
            yield "[image omitted]" if isinstance(part, ir.Image) else "[file omitted]"
        else:
            yield from self._words(part)

    def _own(self, part: ir.Reasoning) -> bool:
        if part.native is None:
            return self._own_thoughts
        return usable(part.native, wire.NAME, self._target.model)


def _call(call: ir.ToolCall) -> wire.CallOut:
    return wire.CallOut(wire.FunctionOut(call.name, jsonx.object_arguments(call.arguments)), call.id)
