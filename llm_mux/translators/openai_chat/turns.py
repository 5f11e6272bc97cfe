"""A conversation as chat messages for a server.

Rules. The history is tidied first, so results follow their calls directly and in order. A tool message holds text
only: images and files of results follow in a user message after all tool messages of the turn. Assistant turns hold
text, calls and, where the server wants it back, its own reasoning; nobody else's reasoning is ever written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux import ir
from llm_mux.errors import refused
from llm_mux.translators import documents, history, memory, openai_models
from llm_mux.translators.base import Target, usable
from llm_mux.translators.ids import digest, legal
from llm_mux.translators.openai_chat import parts as parts_
from llm_mux.translators.openai_chat import quirks as quirks_
from llm_mux.translators.openai_chat import reasoning, wire
from llm_mux.translators.openai_chat.parts import PartOut, RefusalOut, TextOut
from llm_mux.translators.tools import Names, lower_call
from llm_mux.wire import jsonx

# What Gemini's layer takes in place of a signature that was lost.
SKIP_SIGNATURE = {"google": {"thought_signature": "skip_thought_signature_validator"}}


class CallOut(Struct, frozen=True, omit_defaults=True, gc=False):
    id: str
    type: str | UnsetType = UNSET
    function: dict[str, str] | UnsetType = UNSET
    custom: dict[str, str] | UnsetType = UNSET
    extra_content: dict[str, dict[str, str]] | UnsetType = UNSET


class MessageOut(Struct, frozen=True, omit_defaults=True, gc=False):
    role: str
    content: str | Sequence[PartOut] | UnsetType | None = UNSET
    name: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    reasoning_details: Raw | UnsetType = UNSET
    tool_calls: Sequence[CallOut] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET
    audio: dict[str, str] | UnsetType = UNSET
    prefix: bool | UnsetType = UNSET
    partial: bool | UnsetType = UNSET


def encode(
    request: ir.Request, target: Target, names: Names, dropped: list[str], *, briefly: bool = True
) -> list[MessageOut | Raw]:
    """The messages of `request`; `briefly` False: all of them written the long way, which comes to the same. A `Raw`
    holds the messages of a turn that was written before."""
    quirks = quirks_.of(target)
    messages: Sequence[ir.Message] = memory.tidied(request.messages, request.messages)
    if quirks.single_system:
        messages = _one_system(messages)
    sealed = _sealed(request, messages, target, names) if briefly else []
    return [*sealed, *_Writer(messages[len(sealed) :], target, names, dropped).write(briefly=briefly)]


def _sealed(request: ir.Request, messages: Sequence[ir.Message], target: Target, names: Names) -> list[Raw]:
    """The turns at the beginning of a remembered conversation as they were written before, without the last two, for a
    server to which none of them is said by what stands in the others."""
    quirks = quirks_.of(target)
    if quirks.send_back_reasoning != "never" or quirks.cache_control_parts or _breakpoints(target):
        return []
    write = partial(_seal, target=target, names=names)
    return memory.written(request, messages[:-2], target, names, wire.NAME, write)


def _seal(turn: ir.Message, target: Target, names: Names) -> Raw | None:
    """The messages of a turn of which nothing is dropped."""
    dropped: list[str] = []
    out = _Writer([turn], target, names, dropped).write(briefly=True)
    return Raw(b",".join([jsonx.encode(each) for each in out])) if out and not dropped else None


def _breakpoints(target: Target) -> bool:
    return quirks_.of(target).cache_breakpoints and openai_models.facts(target.model).breakpoints


def _one_system(messages: Sequence[ir.Message]) -> tuple[ir.Message, ...]:
    system, rest = history.system_slot(messages)
    late = history.fold_late_system(rest)
    return (ir.Message("system", system), *late) if system else tuple(late)


_NO_FLAGS: dict[str, bool] = {}


class _Writer:
    def __init__(self, messages: Sequence[ir.Message], target: Target, names: Names, dropped: list[str]) -> None:
        self._messages = messages
        self._target = target
        self._quirks = quirks_.of(target)
        self._names = names
        self._dropped = dropped
        # Three, since the automatic one counts as the fourth.
        self._marks = parts_.Marks(target, messages, 3 if _breakpoints(target) else 0)
        self._reasoning = reasoning.History(target)
        self._plain_names: dict[str, str] = {}
        # What is asked of every turn.
        self._limit = self._quirks.tool_id_limit
        self._unsigned = not self._quirks.extra_content_signatures
        self._null_ok = self._quirks.content_null_ok
        self._flat = self._quirks.flatten_content
        self._old_name = self._quirks.reasoning_field == "reasoning_content"

    def write(self, *, briefly: bool) -> list[MessageOut]:
        out: list[MessageOut] = []
        for message in self._messages:
            if message.role == "assistant":
                back = self._reasoning.next(message.parts)
                brief = self._brief_answer(message, back) if briefly else None
                if brief is None:
                    out += self._assistant(message, back)
                else:
                    out.append(brief)
            elif message.role == "user":
                told = self._brief_user(message) if briefly else None
                out += self._user(message) if told is None else told
            else:
                out += self._system(message)
        return out

    def _brief_answer(self, message: ir.Message, back: reasoning.SentBack) -> MessageOut | None:
        """A turn of texts, thoughts and calls with nothing beside them, as nearly all are; None for any other."""
        if message.name or message.native is not None or back.details is not None:
            return None
        text: str | None = ""
        calls: list[CallOut] = []
        for part in message.parts:
            if type(part) is ir.Text:
                text = text + part.text if text else part.text
            elif type(part) is ir.ToolCall and self._unsigned:
                calls.append(self._brief_call(part))
            elif type(part) is not ir.Reasoning:
                return None
        thought = back.text
        if not text:
            if not calls:
                return None
            text = None if self._null_ok and thought is None else ""
        if thought is None:
            return MessageOut("assistant", text, tool_calls=calls or UNSET)
        if self._old_name:
            return MessageOut("assistant", text, reasoning_content=thought, tool_calls=calls or UNSET)
        return MessageOut("assistant", text, reasoning=thought, tool_calls=calls or UNSET)

    def _brief_call(self, call: ir.ToolCall) -> CallOut:
        """A call, for a server that takes no signatures."""
        if call.custom or call.namespace is not None:
            return self._call(call)
        name = self._plain_names.get(call.name)
        if name is None:
            name = self._plain_names[call.name] = self._names.wire(call.name)
        return CallOut(self._id(call.id), "function", {"name": name, "arguments": _arguments(call.arguments)})

    def _brief_user(self, message: ir.Message) -> list[MessageOut] | None:
        """A turn of results with one text each, and of texts without a mark; None for any other."""
        out: list[MessageOut] = []
        texts: list[str] = []
        for part in message.parts:
            if type(part) is ir.ToolResult:
                held = part.content
                if len(held) != 1 or type(only := held[0]) is not ir.Text:
                    return None
                text = history.result_text(part) if part.is_error else only.text
                out.append(MessageOut("tool", text, tool_call_id=self._id(part.call_id)))
            elif type(part) is ir.Text and part.cache is None:
                texts.append(part.text)
            else:
                return None
        if len(texts) > 1 and not self._flat:
            out.append(MessageOut("user", list(map(TextOut, texts)), self._name(message)))
        elif texts and (said := "\n\n".join(texts)):
            out.append(MessageOut("user", said, self._name(message)))
        return out

    def _name(self, message: ir.Message) -> str | UnsetType:
        if not message.name:
            return UNSET
        if "name" in self._quirks.unsupported:
            self._drop("messages.name")
            return UNSET
        return message.name

    def _drop(self, what: str) -> None:
        if what not in self._dropped:
            self._dropped.append(what)

    def _system(self, message: ir.Message) -> Iterator[MessageOut]:
        role = message.role if self._quirks.developer_role else "system"
        content = self._content([part for part in message.parts if not history.is_attribution(part)])
        if content:
            yield MessageOut(role, content, self._name(message))

    def _user(self, message: ir.Message) -> Iterator[MessageOut]:
        media: list[ir.Part] = []
        rest: list[ir.Part] = []
        for part in message.parts:
            if type(part) is not ir.ToolResult:
                rest.append(part)
                continue
            found = history.result_media(part)
            yield self._result(part, found)
            if found:
                media += [ir.Text(f"Attached to the result of tool call {self._id(part.call_id)}:"), *found]
        content = self._content([*media, *rest] if media else rest)
        if content:
            yield MessageOut("user", content, self._name(message))

    def _result(self, result: ir.ToolResult, media: Sequence[ir.Part]) -> MessageOut:
        text = history.result_text(result)
        if len(result.content) == 1 and type(result.content[0]) is ir.Text:
            return MessageOut("tool", text, tool_call_id=self._id(result.call_id))
        for part in result.content:
            if isinstance(part, ir.Opaque) and not part.hint and not part.text:
                raise refused(f"A tool result part of type {part.label}", self._target.title, param="messages")
        if media:
            kind = "image" if all(isinstance(part, ir.Image) for part in media) else "file"
            note = f"(The {kind} of this result follows in the next user message.)"
            text = f"{text}\n{note}" if text else note
        return MessageOut("tool", text, tool_call_id=self._id(result.call_id))

    def _id(self, call_id: str) -> str:
        limit = self._limit
        if limit >= 29:
            return legal(call_id, limit)
        fits = len(call_id) == limit and call_id.isalnum() and call_id.isascii()
        return call_id if fits else digest(call_id)[:limit]

    def _content(self, parts: Sequence[ir.Part]) -> str | list[PartOut]:
        """A string when that says it all, else a list; "" when there is nothing."""
        if not parts:
            return ""
        only = parts[0]
        if len(parts) == 1 and type(only) is ir.Text and only.cache is None:
            return only.text
        for part in parts:
            if type(part) is ir.Document:
                for name in documents.lost(part):
                    self._drop(name)
        out = parts_.encode_parts(parts, self._target, self._marks)
        texts = [part for part in out if type(part) is TextOut]
        plain = len(texts) == len(out)
        if plain and self._quirks.flatten_content:
            return "\n\n".join(part.text for part in texts)
        if plain and len(texts) <= 1:
            marked = any(part.prompt_cache_breakpoint or part.cache_control for part in texts)
            return out if marked else "".join(part.text for part in texts)
        return out

    def _assistant(self, message: ir.Message, back: reasoning.SentBack) -> Iterator[MessageOut]:
        calls = self._calls([part for part in message.parts if type(part) is ir.ToolCall])
        audio = self._heard(message.parts)
        content = self._said(message.parts)
        if not content:
            if not calls and not back.text and back.details is None and audio is UNSET:
                return
            bare = (bool(calls) or audio is not UNSET) and self._quirks.content_null_ok and back.text is None
            content = None if bare else ""
        text: str | UnsetType = UNSET if back.text is None else back.text
        old_name = self._quirks.reasoning_field == "reasoning_content"
        flags = self._continued(message)
        yield MessageOut(
            "assistant",
            content,
            self._name(message),
            reasoning_content=text if old_name else UNSET,
            reasoning=UNSET if old_name else text,
            reasoning_details=back.details or UNSET,
            tool_calls=calls or UNSET,
            audio=audio,
            prefix=flags.get("prefix", UNSET),
            partial=flags.get("partial", UNSET),
        )

    def _heard(self, parts: Sequence[ir.Part]) -> dict[str, str] | UnsetType:
        """An earlier spoken answer, which the server keeps under its id."""
        kept = [id_ for part in parts if isinstance(part, ir.Audio) and (id_ := self._kept(part.source))]
        return {"id": kept[-1]} if kept else UNSET

    def _kept(self, source: ir.Source) -> str | None:
        """The id of sound that the server itself made."""
        if isinstance(source, ir.FileId) and source.owner == wire.NAME and self._quirks.audio:
            return source.id
        return None

    def _continued(self, message: ir.Message) -> dict[str, bool]:
        if message.native is None or not usable(message.native, wire.NAME, self._target.model):
            return _NO_FLAGS
        return msgspec.json.decode(message.native.data, type=dict[str, bool])

    def _said(self, parts: Sequence[ir.Part]) -> str | list[PartOut] | None:
        """The assistant's own words: text as one string, a refusal in its own part where the server has one."""
        if len(parts) == 1 and type(parts[0]) is ir.Text:
            return parts[0].text
        text = "".join(self._words(parts))
        refusal = "".join(part.text for part in parts if isinstance(part, ir.Refusal))
        own = [
            p.native.data for p in parts if isinstance(p, ir.Opaque) and usable(p.native, wire.NAME, self._target.model)
        ]
        if own:
            return [*own, TextOut(text)] if text else list(own)
        if refusal and self._quirks.refusals:
            spoken: list[PartOut] = [TextOut(text)] if text else []
            return [*spoken, RefusalOut(refusal)]
        return text + refusal

    def _words(self, parts: Sequence[ir.Part]) -> Iterator[str]:
        for part in parts:
            match part:
                case ir.ToolCall() | ir.Reasoning() | ir.Refusal():
                    pass
                case ir.Text(text=text):
                    yield text
                case ir.Image():
                    yield parts_.OMITTED
                case ir.Audio(source=source) if self._kept(source):
                    pass
                case ir.Document() | ir.Audio() | ir.Video():
                    yield "[file omitted]"
                case ir.Opaque(native=native, text=text, hint=False) if not usable(
                    native, wire.NAME, self._target.model
                ):
                    yield text
                case _:
                    pass

    def _calls(self, calls: Sequence[ir.ToolCall]) -> list[CallOut]:
        out = [self._call(call) for call in calls]
        unsigned = self._quirks.extra_content_signatures and out and out[0].extra_content is UNSET
        if unsigned and ir.family(self._target.model) == "gemini":
            out[0] = msgspec.structs.replace(out[0], extra_content=SKIP_SIGNATURE)
        return out

    def _call(self, call: ir.ToolCall) -> CallOut:
        if call.custom and self._quirks.custom_tools and not call.namespace:
            custom = {"name": self._names.wire(call.name), "input": call.arguments}
            return CallOut(self._id(call.id), "custom", custom=custom)
        low = lower_call(call, self._names)
        function = {"name": low.name, "arguments": _arguments(low.arguments)}
        return CallOut(self._id(call.id), "function", function, extra_content=self._signature(call))

    def _signature(self, call: ir.ToolCall) -> dict[str, dict[str, str]] | UnsetType:
        if not self._quirks.extra_content_signatures or call.native is None:
            return UNSET
        if not usable(call.native, reasoning.GEMINI, self._target.model):
            return UNSET
        return reasoning.google(call.native) or UNSET


_valid: msgspec.json.Decoder[Raw] = msgspec.json.Decoder(Raw)


def _arguments(text: str) -> str:
    """Arguments as servers that parse them expect: nothing is `{}`, and what is not JSON is wrapped, never lost."""
    try:
        _valid.decode(text)
    except msgspec.DecodeError:
        return bytes(jsonx.object_arguments(text)).decode()
    return text
