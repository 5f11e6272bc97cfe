"""A client's stream: events to chat completion chunks.

Rules. One chunk per event. The role comes first in each choice; a call's id, type and name go out once, since SDKs
join repeated strings; calls follow one another and never interleave; every list whose pieces SDKs join carries an
`index`. Usage is a chunk of its own and only for clients that asked. After an error no clean end follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from llm_mux import ir
from llm_mux.translators import moulds
from llm_mux.translators.ids import digest
from llm_mux.translators.openai_chat import decode, errors, reasoning, response, usage, wire
from llm_mux.translators.openai_chat.response import AnnotationOut, CallOut, CustomOut, FunctionOut, LogprobsOut
from llm_mux.wire import jsonx, sse


class DeltaOut(Struct, frozen=True, omit_defaults=True):
    role: str | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    refusal: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    reasoning_details: list[Raw | reasoning.Sealed] | UnsetType = UNSET
    tool_calls: tuple[CallOut, ...] | UnsetType = UNSET
    function_call: FunctionOut | UnsetType = UNSET
    annotations: list[AnnotationOut] | UnsetType = UNSET
    images: list[dict[str, object]] | UnsetType = UNSET
    audio: Raw | UnsetType = UNSET


class ChoiceOut(Struct, frozen=True):
    index: int
    delta: DeltaOut
    finish_reason: str | None = None
    logprobs: LogprobsOut | UnsetType = UNSET


class ChunkOut(Struct, frozen=True):
    id: str
    object: str
    created: int
    model: str
    choices: tuple[ChoiceOut, ...]
    usage: usage.UsageOut | UnsetType | None = UNSET
    system_fingerprint: Raw | UnsetType = UNSET
    service_tier: Raw | UnsetType = UNSET


class _Open(Struct):
    """A part of the answer while it streams. `size` counts characters sent; `around`: what its chunks share."""

    part: ir.Part
    said: _Said
    base: int = 0
    number: int = 0
    size: int = 0
    native: ir.Native | None = None
    cites: list[ir.Citation] = field(default_factory=list)
    around: tuple[bytes, bytes] | None = None


class _Said(Struct):
    """What one choice has sent so far."""

    choice: int
    ledger: reasoning.Ledger = field(default_factory=reasoning.Ledger)
    characters: int = 0
    images: int = 0
    sound: str = ""
    refused: bool = False


class Encoder:
    """Events to chunks for one client."""

    __slots__ = (
        "_created",
        "_functions",
        "_id",
        "_include_usage",
        "_model",
        "_nothing",
        "_open",
        "_over",
        "_own",
        "_said",
        "_spoken",
        "_usage",
    )

    def __init__(self, request: ir.Request) -> None:
        self._include_usage = request.include_usage
        self._functions = decode.LEGACY_FUNCTIONS in request.extras
        self._nothing: UnsetType | None = None if request.include_usage else UNSET
        self._id = self._model = ""
        self._created = 0
        self._own: dict[str, Raw] = {}
        self._said: dict[int, _Said] = {}
        self._open: dict[int, _Open] = {}
        self._spoken: dict[int, _Open] = {}
        self._usage: ir.Usage | None = None
        self._over = False

    def encode(self, events: Sequence[ir.Event]) -> bytes:
        if len(events) > 1 and not self._over and (texts := ir.one_text(events)) is not None:
            return self._texts(texts)
        return b"".join([self._event(event) for event in events])

    def _texts(self, events: Sequence[ir.TextDelta]) -> bytes:
        """Many pieces of one text at once."""
        open_ = self._open[events[0].index]
        first = self._text(events[0])
        if open_.around is None or isinstance(open_.part, ir.Refusal):
            return b"".join([first, *[self._text(event) for event in events[1:]]])
        texts = [event.text for event in events[1:]]
        spelled = [jsonx.encode(text) for text in texts]
        return first + self.row(ir.Row(events[0].index, texts, spelled, sum(map(len, texts))))

    def row(self, row: ir.Row) -> bytes:
        open_ = self._open.get(row.index)
        if self._over or open_ is None or open_.around is None or isinstance(open_.part, ir.Refusal):
            return self.encode(row.deltas)
        open_.size += row.size
        open_.said.characters += row.size
        return moulds.row(row.spelled, *open_.around)

    def keepalive(self) -> bytes:
        return sse.comment("keep-alive")

    def _event(self, event: ir.Event) -> bytes:
        if self._over:
            return b""
        match event:
            case ir.TextDelta():
                return self._text(event)
            case ir.ReasoningDelta(index=index, text=text):
                open_ = self._open[index]
                open_.size += len(text)
                open_.said.ledger.characters += len(text)
                return self._more(open_, text, _thought) if text else b""
            case ir.ArgumentsDelta(index=index, text=text):
                return self._arguments(self._open[index], text)
            case ir.PartStart():
                return self._start(event)
            case ir.PartEnd(index=index):
                return self._end(self._open.pop(index))
            case ir.Seal(index=index, native=native):
                self._open[index].native = native
                return b""
            case ir.Cite(index=index, citation=citation):
                self._spoken[index].cites.append(citation)
                return b""
            case _:
                return self._frame_of(event)

    def _frame_of(self, event: ir.Event) -> bytes:
        """The events about the answer as a whole."""
        match event:
            case ir.Start():
                self._id, self._model = response.answer_id(event.id), event.model
                self._created, self._usage = event.created, event.usage
                if event.native is not None and event.native.owner == wire.NAME:
                    self._own = msgspec.json.decode(event.native.data, type=dict[str, Raw])
                return b""
            case ir.UsageReport():
                self._usage = event.usage
                return b""
            case ir.Finish():
                return self._finish(event)
            case ir.Failed(error=error):
                self._over = True
                return errors.encode_failure(error)
            case ir.Done():
                self._over = True
                return self._counts() + errors.DONE
            case _:
                return b""

    def _chunk(
        self, said: _Said, delta: DeltaOut, finish: str | None = None, logprobs: LogprobsOut | UnsetType = UNSET
    ) -> bytes:
        return self._record((ChoiceOut(said.choice, delta, finish, logprobs),), self._nothing)

    def _more(self, open_: _Open, text: str, delta: Callable[[str], DeltaOut]) -> bytes:
        """A piece of an open part: its chunks differ in the text alone, so the rest of them is made once."""
        if open_.around is None:
            open_.around = moulds.around(lambda mark: self._chunk(open_.said, delta(mark)))
        before, after = open_.around
        return before + jsonx.encode(text) + after

    def _record(self, choices: tuple[ChoiceOut, ...], counted: usage.UsageOut | UnsetType | None) -> bytes:
        own = self._own
        chunk = ChunkOut(
            self._id,
            "chat.completion.chunk",
            self._created,
            self._model,
            choices,
            counted,
            own.get("system_fingerprint", UNSET) if own else UNSET,
            own.get("service_tier", UNSET) if own else UNSET,
        )
        return sse.frame(jsonx.encode(chunk))

    def _counts(self) -> bytes:
        if not self._include_usage or self._usage is None:
            return b""
        return self._record((), usage.encode_usage(self._usage))

    def _choice(self, number: int, first: str | None) -> tuple[_Said, bytes]:
        """The choice, and the chunk with its role when this is the first it says."""
        said = self._said.get(number)
        if said is not None:
            return said, b""
        said = self._said[number] = _Said(number)
        return said, self._chunk(said, DeltaOut(role="assistant", content=first))

    def _start(self, event: ir.PartStart) -> bytes:
        part = event.part
        said, role = self._choice(event.choice, None if isinstance(part, ir.ToolCall) else "")
        open_ = self._open[event.index] = _Open(part, said, base=said.characters)
        match part:
            case ir.ToolCall():
                open_.native = part.native
                return role + self._call(open_, part)
            case ir.Text(text=text) | ir.Refusal(text=text):
                if isinstance(part, ir.Text):
                    self._spoken[event.index] = open_
                return role + (self._text(ir.TextDelta(event.index, text)) if text else b"")
            case ir.Reasoning(text=text, native=native):
                open_.native = native
                return role + (self._event(ir.ReasoningDelta(event.index, text)) if text else b"")
            case ir.Image():
                said.images += 1
                return role + self._chunk(said, DeltaOut(images=[response.picture(part, said.images - 1)]))
            case ir.Audio(native=ir.Native(owner=wire.NAME, data=data)):
                return role + self._chunk(said, DeltaOut(audio=data))
            case ir.Audio(source=ir.Inline(data=data)):
                said.sound = said.sound or f"audio_{digest(data)}"
                return role + self._chunk(said, DeltaOut(audio=response.sound(data, said.sound)))
            case ir.Opaque(text=text, hint=False) if text:
                said.characters += len(text)
                return role + self._chunk(said, DeltaOut(content=text))
            case _:
                return role

    def _text(self, event: ir.TextDelta) -> bytes:
        open_ = self._open[event.index]
        said, text = open_.said, event.text
        refusal = isinstance(open_.part, ir.Refusal)
        if not text and event.logprobs is None:
            return b""
        if refusal:
            said.refused = True
        else:
            open_.size += len(text)
            said.characters += len(text)
        delta = _refusal if refusal else _content
        if event.logprobs is None:
            return self._more(open_, text, delta)
        log = LogprobsOut(refusal=event.logprobs) if refusal else LogprobsOut(event.logprobs)
        return self._chunk(said, delta(text), logprobs=log)

    def _call(self, open_: _Open, call: ir.ToolCall) -> bytes:
        ledger = open_.said.ledger
        open_.number = ledger.calls
        open_.size = len(call.arguments)
        ledger.calls += 1
        if self._functions:
            # The form before tools holds one call.
            named = FunctionOut(call.name, call.arguments)
            return b"" if open_.number else self._chunk(open_.said, DeltaOut(function_call=named))
        # The AI SDK reads it from a call's first piece alone.
        extra = reasoning.google(call.native) if call.native is not None else None
        if extra is not None:
            open_.native = None
        signed: dict[str, dict[str, str]] | UnsetType = extra or UNSET
        if call.custom:
            custom = CustomOut(call.name, call.arguments)
            piece = CallOut(open_.number, call.id, "custom", custom=custom, extra_content=signed)
        else:
            function = FunctionOut(call.name, call.arguments)
            piece = CallOut(open_.number, call.id, "function", function, extra_content=signed)
        return self._chunk(open_.said, DeltaOut(tool_calls=(piece,)))

    def _arguments(self, open_: _Open, text: str) -> bytes:
        if not text:
            return b""
        open_.size += len(text)
        if self._functions:
            return b"" if open_.number else self._more(open_, text, _function_arguments)
        if isinstance(open_.part, ir.ToolCall) and open_.part.custom:
            return self._more(open_, text, partial(_input, open_.number))
        return self._more(open_, text, partial(_arguments, open_.number))

    def _end(self, open_: _Open) -> bytes:
        said, native = open_.said, open_.native
        match open_.part:
            case ir.ToolCall() as call:
                return self._end_call(open_, call)
            case ir.Reasoning() if native is not None:
                details = said.ledger.reasoning(native, open_.size)
                return self._chunk(said, DeltaOut(reasoning_details=details)) if details else b""
            case ir.Text() if native is not None:
                return self._chunk(said, DeltaOut(reasoning_details=said.ledger.text(native)))
            case _:
                return b""

    def _end_call(self, open_: _Open, call: ir.ToolCall) -> bytes:
        """A call without arguments says so, and its seal follows in whichever slot knows it."""
        out = b"" if open_.size or call.custom else self._arguments(open_, "{}")
        if open_.native is None or self._functions:
            return out
        extra = reasoning.google(open_.native)
        if extra is not None:
            # The SDK's stream helper insists on a function in every piece.
            piece = CallOut(open_.number, function=FunctionOut(arguments=""), extra_content=extra)
            return out + self._chunk(open_.said, DeltaOut(tool_calls=(piece,)))
        details = open_.said.ledger.call(open_.native, call.id)
        return out + (self._chunk(open_.said, DeltaOut(reasoning_details=details)) if details else b"")

    def _finish(self, event: ir.Finish) -> bytes:
        if event.reason == "broken":
            self._over = True
            return errors.encode_failure(response.broken(event))
        said, out = self._choice(event.choice, "")
        texts = [text for text in self._spoken.values() if text.said is said]
        annotations = [response.annotation(c, text.base, text.size) for text in texts for c in text.cites if c.url]
        if annotations:
            # All at once: SDKs cannot join lists whose entries have no index.
            out += self._chunk(said, DeltaOut(annotations=annotations))
        if event.reason == "refusal" and not said.refused:
            out += self._chunk(said, DeltaOut(refusal=event.detail or usage.DECLINED))
        calls = said.ledger.calls > 0
        word = usage.finish_word(event, calls=calls, refused=said.refused, functions=self._functions)
        return out + self._chunk(said, DeltaOut(), word)


def _content(text: str) -> DeltaOut:
    return DeltaOut(content=text)


def _refusal(text: str) -> DeltaOut:
    return DeltaOut(refusal=text)


def _thought(text: str) -> DeltaOut:
    return DeltaOut(reasoning_content=text)


def _function_arguments(text: str) -> DeltaOut:
    return DeltaOut(function_call=FunctionOut(arguments=text))


def _arguments(number: int, text: str) -> DeltaOut:
    return DeltaOut(tool_calls=(CallOut(number, function=FunctionOut(arguments=text)),))


def _input(number: int, text: str) -> DeltaOut:
    return DeltaOut(tool_calls=(CallOut(number, custom=CustomOut(input=text)),))
