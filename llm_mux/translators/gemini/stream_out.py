"""Events to a Gemini client's stream, as SSE records or as a growing JSON array.

Rules. Clients of this format read nothing but `data: ` records and blank lines: no comments, no event names, no end
mark. A call goes out whole. The finish reason and the usage are in the last record, which carries the last content
too when both come together, and an empty text otherwise: SDKs take a record without content for a broken answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, Raw, Struct, field
from msgspec.structs import replace

from llm_mux import ir
from llm_mux.translators import moulds, tools
from llm_mux.translators.gemini import answer_parts, citations, errors, finish, seals, wire
from llm_mux.translators.gemini.decode import FRAMING
from llm_mux.translators.gemini.logprobs import encode_logprobs
from llm_mux.translators.gemini.usage import encode_usage
from llm_mux.wire import jsonx, sse


class _Open(Struct):
    """A part that is being received; `held` until its end when it goes out whole."""

    part: ir.Part
    choice: int
    held: list[str] = field(default_factory=list)


class _Record(Struct):
    """The content of a record that waits to learn whether it is the last one. `index`: the part it is a piece of.

    `text`: the record has this piece and nothing else, said or, with `thought`, thought.
    """

    choice: int
    parts: list[wire.Part | Raw]
    index: int | None = None
    logprobs: wire.RawField = UNSET
    text: str | None = None
    thought: bool = False


class Encoder:
    """The stream of one answer."""

    def __init__(self, request: ir.Request) -> None:
        framing = request.extras.get(FRAMING)
        self._array = framing is not None and bytes(framing) == b'"array"'
        self._shown = request.thinking.show is True
        self._id = self._model = ""
        self._usage: ir.Usage | None = None
        self._parts: dict[int, _Open] = {}
        self._texts: dict[int, int] = {}
        self._sources: dict[int, citations.Sources] = {}
        self._finishes: dict[int, ir.Finish] = {}
        self._spoke: set[int] = set()
        self._waiting: _Record | None = None
        self._cut: list[tuple[int, ir.ToolCall]] = []
        self._around: dict[tuple[int, bool], tuple[bytes, bytes]] = {}
        self._out: list[bytes] = []
        self._begun = self._ended = False

    def encode(self, events: Sequence[ir.Event]) -> bytes:
        for event in events:
            if not self._ended:
                self._event(event)
        self._flush()
        data, self._out = b"".join(self._out), []
        return data

    def keepalive(self) -> bytes:
        return b"" if self._ended else b"\n"

    def _event(self, event: ir.Event) -> None:
        match event:
            case ir.TextDelta():
                self._text(event.index, event.text, event.logprobs)
            case ir.ReasoningDelta():
                self._thought(event.index, event.text)
            case ir.ArgumentsDelta():
                self._parts[event.index].held.append(event.text)
            case ir.PartStart(index=index, part=part, choice=choice):
                self._parts[index] = _Open(part, choice)
                if isinstance(part, ir.Text):
                    self._texts[index] = choice
            case ir.Seal(index=index, native=native):
                self._seal(index, native)
            case ir.Cite(index=index, citation=citation):
                self._source(self._texts[index]).cite(index, citation)
            case ir.PartEnd(index=index):
                self._end(self._parts.pop(index))
            case _:
                self._frame_event(event)

    def _frame_event(self, event: ir.Event) -> None:
        match event:
            case ir.Start():
                self._id, self._model, self._usage = event.id, event.model, event.usage
            case ir.UsageReport(usage=usage):
                self._usage = usage
            case ir.Finish(choice=choice):
                self._finishes[choice] = event
            case ir.Failed(error=error):
                self._flush()
                self._write(errors.encode_failure(error))
                self._finish_framing()
            case ir.Done():
                self._last()
                self._finish_framing()
            case _:
                pass

    def _text(self, index: int, text: str, tokens: Raw | None) -> None:
        """A piece of text; a seal that was known from the start goes with the first piece."""
        open_ = self._parts[index]
        self._source(open_.choice).say(index, text)
        native = open_.part.native if isinstance(open_.part, ir.Text) else None
        if native is not None:
            open_.part = ir.Text("")
        open_.held.append("")
        if native is None and tokens is None:
            self._piece(open_.choice, index, text, thought=False)
            return
        part = seals.beside(wire.Part(text=text), seals.for_client(native))
        self._put(open_.choice, part, index, encode_logprobs(tokens))

    def _thought(self, index: int, text: str) -> None:
        """A piece of reasoning; unless the client asked to see it, it waits for a seal that must come back with it."""
        open_ = self._parts[index]
        if self._shown and open_.part.native is None:  # type: ignore[union-attr]  # the grammar: it is Reasoning
            open_.held.append("")
            self._piece(open_.choice, index, text, thought=True)
        else:
            open_.held.append(text)

    def _seal(self, index: int, native: ir.Native) -> None:
        """A seal that came after its part; text that is still here as a whole takes it along."""
        open_ = self._parts[index]
        waiting = self._waiting
        if waiting is not None and waiting.index == index and len(open_.held) == 1:
            fields = seals.for_client(native)
            waiting.parts, waiting.text = [seals.beside(part, fields) for part in _parts(waiting)], None
        elif isinstance(open_.part, ir.Text | ir.Reasoning | ir.ToolCall | ir.Image):
            open_.part = replace(open_.part, native=native)

    def _end(self, open_: _Open) -> None:
        """The end of a part: what waited for it goes out now."""
        part = open_.part
        match part:
            case ir.Text():
                made = answer_parts.encode_part(part) if part.native is not None or not open_.held else None
            case ir.Reasoning(native=native):
                text = "".join(open_.held)
                made = answer_parts.encode_part(ir.Reasoning(text, native)) if native is not None else None
            case ir.ToolCall():
                made = self._called(open_.choice, replace(part, arguments="".join(open_.held) or part.arguments))
            case ir.Refusal():
                made = None
            case _:
                made = answer_parts.encode_part(part)
        if made is not None:
            self._put(open_.choice, made)

    def _called(self, choice: int, call: ir.ToolCall) -> wire.Part | Raw | None:
        """The whole call; one that is cut off waits for the finish, which says whether the token limit did it."""
        if tools.is_cut(call):
            self._cut.append((choice, call))
            return None
        return answer_parts.encode_part(call)

    def _source(self, choice: int) -> citations.Sources:
        found = self._sources.get(choice)
        if found is None:
            found = self._sources[choice] = citations.Sources()
        return found

    def _put(
        self, choice: int, part: wire.Part | Raw, index: int | None = None, logprobs: wire.RawField = UNSET
    ) -> None:
        self._flush()
        self._spoke.add(choice)
        self._waiting = _Record(choice, [part], index, logprobs)

    def _piece(self, choice: int, index: int, text: str, *, thought: bool) -> None:
        self._flush()
        self._spoke.add(choice)
        self._waiting = _Record(choice, [], index, UNSET, text, thought)

    def _flush(self) -> None:
        if self._waiting is None:
            return
        record, self._waiting = self._waiting, None
        if record.text is None:
            self._answer(self._whole(record))
        else:
            self._more(record, record.text)

    def _whole(self, record: _Record) -> wire.AnswerOut:
        content = wire.Turn(parts=_parts(record), role="model")
        candidate = wire.CandidateOut(content=content, index=record.choice, logprobsResult=record.logprobs)
        return wire.AnswerOut([candidate], modelVersion=self._model, responseId=self._id)

    def _more(self, record: _Record, text: str) -> None:
        """A piece of text alone: such records differ in it alone, so the rest of them is made once."""
        if not self._begun:
            self._answer(self._whole(record))
            return
        key = record.choice, record.thought
        found = self._around.get(key)
        if found is None:
            found = self._around[key] = moulds.around(lambda mark: self._framed(self._whole_of(record, mark)))
        self._out.append(found[0] + jsonx.encode(text) + found[1])

    def _whole_of(self, record: _Record, text: str) -> bytes:
        return jsonx.encode(self._whole(_Record(record.choice, [], text=text, thought=record.thought)))

    def _last(self) -> None:
        """The record with every finish, and the content that still waits if one of them is its candidate's."""
        for choice, call in self._cut:
            made = answer_parts.encode_part(call)
            if made is not None and self._finishes[choice].reason not in finish.OUT_OF_TOKENS:
                self._put(choice, made)
        record = self._waiting if self._waiting is not None and self._waiting.choice in self._finishes else None
        if record is not None:
            self._waiting = None
        self._flush()
        endings = {choice: finish.ending(one) for choice, one in sorted(self._finishes.items())}
        feedback = next((end.promptFeedback for end in endings.values() if end.promptFeedback is not None), None)
        candidates = [self._ended_candidate(choice, end, record) for choice, end in endings.items()]
        self._answer(
            wire.AnswerOut(
                candidates=None if feedback is not None else candidates,
                promptFeedback=feedback,
                usageMetadata=encode_usage(self._usage) if self._usage is not None else None,
                modelVersion=self._model,
                responseId=self._id,
            )
        )

    def _ended_candidate(self, choice: int, end: finish.Ending, record: _Record | None) -> wire.CandidateOut:
        parts: list[wire.Part | Raw] = [wire.Part(text="")] if choice in self._spoke else []
        logprobs: wire.RawField = UNSET
        if record is not None and record.choice == choice:
            parts, logprobs = _parts(record), record.logprobs
        own = end.groundingMetadata
        grounding = own if isinstance(own, Raw) else self._source(choice).grounding()
        content = wire.Turn(parts=parts, role="model") if parts else None
        return finish.candidate(end, content=content, index=choice, grounding=grounding, logprobs=logprobs)

    def _answer(self, answer: wire.AnswerOut) -> None:
        self._write(jsonx.encode(answer))

    def _write(self, data: bytes) -> None:
        """One record on one line, also where an upstream's own JSON has line breaks."""
        self._out.append(self._framed(jsonx.compact(data) if b"\n" in data else data))
        self._begun = True

    def _framed(self, data: bytes) -> bytes:
        if not self._array:
            return sse.frame(data)
        return (b",\n" if self._begun else b"[") + data

    def _finish_framing(self) -> None:
        self._ended = True
        if self._array:
            self._out.append(b"]")


def _parts(record: _Record) -> list[wire.Part | Raw]:
    if record.text is None:
        return record.parts
    return [wire.Part(text=record.text, thought=record.thought or None)]


def stream_encoder(request: ir.Request) -> Encoder:
    return Encoder(request)
