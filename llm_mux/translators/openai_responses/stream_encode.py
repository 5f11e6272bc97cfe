"""Events to this format's stream, for clients over SSE and over a websocket.

Rules (the SDK's accumulator and the coding tools check them). `response.created` first; one response id; sequence
numbers from 0 without gaps; contiguous output indexes; an item's content only between its `added` and its `done`, with
the same id in both; texts and arguments are told done exactly once; the terminal event holds all output and usage.
An item stays open after its part until the next event says whether it was cut. A failure is `response.failed`, after
`response.created` where nothing was sent yet. Spec: the Responses API page, section 7; pitfalls 80 to 91.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.translators import ids
from llm_mux.translators.openai_responses import answer, errors, reasoning, turns, wire
from llm_mux.translators.openai_responses.stream_items import (
    INPUT_DELTAS,
    Around,
    Call,
    DeltaOut,
    Message,
    Note,
    Open,
    Thought,
    framed,
    one_line,
)


class ResponsesStreamEncoder:
    """`encode` for SSE, `events` for a websocket; use one of them."""

    def __init__(self, request: ir.Request) -> None:
        self._request: ir.Request | None = request
        self._client = answer.client_of(request)
        self._object: answer.Object | None = None
        self._id = ""
        self._next = 0
        self._records: list[tuple[str, bytes]] = []
        self._output: list[Struct | Raw] = []
        self._open: Open | None = None
        self._part = -1
        self._texts: dict[int, tuple[Message, int]] = {}
        self._usage: ir.Usage | None = None
        self._finish = ir.Finish("stop")
        self._spoken = self._refused = False
        self._steps: dict[type, Callable[..., None]] = {
            ir.TextDelta: self._text,
            ir.ReasoningDelta: self._thought,
            ir.ArgumentsDelta: self._arguments,
            ir.Start: self._start,
            ir.PartStart: self._part_start,
            ir.PartEnd: self._part_end,
            ir.Seal: self._seal,
            ir.Cite: self._cite,
            ir.UsageReport: self._used,
            ir.Finish: self._finished,
            ir.Done: self._done,
            ir.Failed: self._failed,
        }

    def encode(self, events: Sequence[ir.Event]) -> bytes:
        """The records of `events` as server-sent events."""
        return b"".join([framed(name, data) for name, data in self._take(events)])

    def row(self, row: ir.Row) -> bytes:
        """The records of pieces of one text, for less than `encode` takes."""
        item = self._open
        if row.index != self._part or not isinstance(item, Message) or item.around is None:
            return self.encode(row.deltas)
        item.pieces.extend(row.texts)
        self._spoken = True
        number, self._next = self._next, self._next + len(row.spelled)
        return item.around.row(number, row.spelled)

    def events(self, events: Sequence[ir.Event]) -> list[bytes]:
        """The same records as JSON objects, one per websocket frame."""
        return [data for _, data in self._take(events)]

    def keepalive(self) -> bytes:
        """A record that says nothing new: some clients ignore comments. Nothing before the stream has begun."""
        if self._object is None:
            return b""
        self._lifecycle("response.in_progress", "in_progress")
        return b"".join([framed(name, data) for name, data in self._take(())])

    def _take(self, events: Sequence[ir.Event]) -> list[tuple[str, bytes]]:
        for event in events:
            self._steps[type(event)](event)
        records, self._records = self._records, []
        return records

    def _add(self, type_: str, **fields: object) -> None:
        record = {"type": type_, "sequence_number": self._next, **fields}
        self._next += 1
        self._records.append((type_, one_line(record)))

    def _delta(self, made: DeltaOut) -> None:
        self._next += 1
        self._records.append((made.type, one_line(made)))

    def _more(self, item: Message | Thought | Call, text: str) -> None:
        """A piece of the open text: its records differ in number and text alone, so the rest of them is made once."""
        if item.around is None:
            item.around = Around(item)
        around = item.around
        self._records.append((around.type, around.record(self._next, text)))
        self._next += 1

    def _lifecycle(self, type_: str, status: str, **changes: object) -> None:
        assert self._object is not None
        self._add(type_, response=self._object.at(status, **changes))

    def _start(self, event: ir.Start) -> None:
        self._id = answer.response_id(event.id or ids.digest(event.model))
        self._begin(event.model, event.created)
        self._usage = event.usage
        self._lifecycle("response.created", "in_progress")
        self._lifecycle("response.in_progress", "in_progress")

    def _begin(self, model: str, created: int) -> None:
        request = self._request
        if request is not None:
            self._object = answer.Object(request, self._id, model or request.model, created)
        # The object has what is told of it. A stream may last long, and the request is large.
        self._request = None

    def _part_start(self, event: ir.PartStart) -> None:
        if event.choice != 0:
            return
        self._part = event.index
        part = event.part
        match part:
            case ir.Text() | ir.Refusal():
                self._open_text(part)
            case ir.Reasoning():
                self._close("completed")
                self._open_thought(part)
            case ir.ToolCall():
                self._close("completed")
                self._open_call(part)
            case _:
                self._part = -1
                self._whole(part)

    def _whole(self, part: ir.Part) -> None:
        """A part that comes at once; one that has no form here is told in its words, if it has any."""
        index = len(self._output) + (self._open is not None)
        made = answer.opaque_out(part, self._id, index) if isinstance(part, ir.Opaque | ir.Image) else None
        if made is not None:
            self._close("completed")
            self._item_added(made)
            self._item_done(made)
        elif isinstance(part, ir.Opaque) and part.text and not part.hint:
            self._told(ir.Text(part.text))

    def _told(self, words: ir.Text | ir.Refusal) -> None:
        """A text that comes at once."""
        self._open_text(words)
        if isinstance(self._open, Message):
            self._close_text(self._open)

    def _item_added(self, item: Struct | Raw) -> None:
        self._add("response.output_item.added", output_index=len(self._output), item=item)

    def _item_done(self, item: Struct | Raw) -> None:
        self._add("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)

    def _open_text(self, part: ir.Text | ir.Refusal) -> None:
        if self._client.compacts:
            self._close("completed")
            self._open = Note()
            return
        phase = turns.phase_of(part)
        message = self._open
        if not isinstance(message, Message) or message.phase != phase:
            self._close("completed")
            index = len(self._output)
            message = Message(answer.item_id("msg", self._id, index), index, phase)
            self._open = message
            self._item_added(answer.message_out(message.id, (), phase, "in_progress"))
        message.refusal = isinstance(part, ir.Refusal) and not self._client.codex
        message.pieces, message.notes, message.cites, message.logprobs, message.around = [], [], [], [], None
        empty = wire.RefusalOut("") if message.refusal else wire.OutputTextOut("")
        if not message.refusal:
            self._texts[self._part] = message, len(message.content)
        self._content("response.content_part.added", message, part=empty)
        self._refused = self._refused or isinstance(part, ir.Refusal)
        if part.text:
            self._text(ir.TextDelta(self._part, part.text))

    def _content(self, type_: str, message: Message, **fields: object) -> None:
        place = {"item_id": message.id, "output_index": message.index, "content_index": len(message.content)}
        self._add(type_, **place, **fields)

    def _text(self, event: ir.TextDelta) -> None:
        item = self._open
        if event.index != self._part or not isinstance(item, Message | Note):
            return
        item.pieces.append(event.text)
        if isinstance(item, Note):
            return
        self._spoken = True
        if event.logprobs is not None and not item.refusal:
            item.logprobs.append(event.logprobs)
            self._delta(item.piece(event.text, self._next, event.logprobs))
        else:
            self._more(item, event.text)

    def _cite(self, event: ir.Cite) -> None:
        """An annotation of a text that is open or, with sources that came late, of one in the output."""
        if event.index not in self._texts:
            return
        item, at = self._texts[event.index]
        ended = item.content[at] if at < len(item.content) else None
        if isinstance(ended, wire.OutputTextOut):
            self._note(item, at, ended.annotations, len(ended.text), event.citation)
        elif answer.spans_all(event.citation):
            item.cites.append(event.citation)
        else:
            self._note(item, at, item.notes, sum(map(len, item.pieces)), event.citation)

    def _note(self, item: Message, at: int, notes: list[Raw], size: int, citation: ir.Citation) -> None:
        note = answer.annotation_out(citation, size)
        if note is not None:
            place = {"item_id": item.id, "output_index": item.index, "content_index": at}
            name = "response.output_text.annotation.added"
            self._add(name, **place, annotation_index=len(notes), annotation=note)
            notes.append(note)

    def _open_thought(self, part: ir.Reasoning) -> None:
        index = len(self._output)
        item = Thought(answer.item_id("rs", self._id, index), index, part)
        self._open = item
        self._item_added(wire.ReasoningOut([], id=item.id, status="in_progress"))
        if part.text:
            self._thought(ir.ReasoningDelta(self._part, part.text))

    def _thought(self, event: ir.ReasoningDelta) -> None:
        item = self._open
        if event.index != self._part or not isinstance(item, Thought):
            return
        if not item.pieces:
            self._thought_part("added", item, "")
        item.pieces.append(event.text)
        self._more(item, event.text)

    def _thought_part(self, step: str, item: Thought, text: str) -> None:
        place = {"item_id": item.id, "output_index": item.index}
        if item.raw:
            self._add(f"response.content_part.{step}", **place, content_index=0, part=wire.ReasoningTextOut(text))
        else:
            part = wire.SummaryOut(text)
            self._add(f"response.reasoning_summary_part.{step}", **place, summary_index=0, part=part)

    def _seal(self, event: ir.Seal) -> None:
        if event.index == self._part and isinstance(self._open, Thought):
            self._open.native = event.native

    def _open_call(self, call: ir.ToolCall) -> None:
        sealed = reasoning.before_call(call, answer.item_id("rs", self._id, len(self._output)))
        if sealed is not None:
            self._item_added(sealed)
            self._item_done(sealed)
        index = len(self._output)
        kind = answer.call_kind(call, self._client)
        item = Call(answer.item_id(answer.PREFIXES[kind], self._id, index), index, call, kind)
        self._open = item
        self._item_added(answer.call_out(msgspec.structs.replace(call, arguments=""), kind, item.id, "in_progress"))
        if call.arguments:
            self._arguments(ir.ArgumentsDelta(self._part, call.arguments))

    def _arguments(self, event: ir.ArgumentsDelta) -> None:
        item = self._open
        if event.index != self._part or not isinstance(item, Call) or not event.text:
            return
        item.pieces.append(event.text)
        if item.kind in INPUT_DELTAS:
            self._more(item, event.text)

    def _part_end(self, event: ir.PartEnd) -> None:
        if event.index != self._part:
            return
        self._part = -1
        if isinstance(self._open, Message):
            self._close_text(self._open)
        elif not isinstance(self._open, Call):
            self._close("completed")

    def _close(self, status: str) -> None:
        """Ends the open item, if there is one."""
        item, self._open = self._open, None
        match item:
            case Message():
                self._item_done(answer.message_out(item.id, item.content, item.phase, status))
            case Thought():
                self._close_thought(item)
            case Call():
                self._close_call(item, status)
            case Note():
                made = answer.compaction_out("".join(item.pieces), self._id, len(self._output))
                self._item_added(made)
                self._item_done(made)
            case None:
                pass

    def _close_text(self, item: Message) -> None:
        text = "".join(item.pieces)
        content: wire.OutputTextOut | wire.RefusalOut
        if item.refusal:
            content = wire.RefusalOut(text)
            self._content("response.refusal.done", item, refusal=text)
        else:
            for citation in item.cites:
                self._note(item, len(item.content), item.notes, len(text), citation)
            content = wire.OutputTextOut(text, item.notes, _one_list(item.logprobs))
            self._content("response.output_text.done", item, text=text, logprobs=content.logprobs)
        self._content("response.content_part.done", item, part=content)
        item.content.append(content)

    def _close_thought(self, item: Thought) -> None:
        text = "".join(item.pieces)
        if item.pieces:
            place = {"item_id": item.id, "output_index": item.index}
            if item.raw:
                self._add("response.reasoning_text.done", **place, content_index=0, text=text)
            else:
                self._add("response.reasoning_summary_text.done", **place, summary_index=0, text=text)
            self._thought_part("done", item, text)
        part = ir.Reasoning(text, native=item.native, raw=item.raw)
        self._item_done(reasoning.to_client(part, item.id, "completed"))

    def _close_call(self, item: Call, status: str) -> None:
        call = msgspec.structs.replace(item.call, arguments="".join(item.pieces))
        status = status if status == "completed" or answer.is_cut(call) else "completed"
        if status == "completed":
            place = {"item_id": item.id, "output_index": item.index}
            if item.kind == "function_call":
                arguments = answer.arguments_out(call.arguments, status)
                self._add("response.function_call_arguments.done", **place, name=call.name, arguments=arguments)
            elif item.kind == "custom_tool_call":
                self._add("response.custom_tool_call_input.done", **place, input=call.arguments)
        self._item_done(answer.call_out(call, item.kind, item.id, status))

    def _used(self, event: ir.UsageReport) -> None:
        self._usage = event.usage

    def _finished(self, event: ir.Finish) -> None:
        if event.choice != 0:
            return
        self._finish = event
        words = answer.last_words(event, self._client, spoken=self._spoken, refused=self._refused)
        if words is not None:
            self._told(words)
        self._close(answer.ending(event, self._client).item)

    def _done(self, event: ir.Done) -> None:
        end = answer.ending(self._finish, self._client)
        self._lifecycle(
            f"response.{end.status}",
            end.status,
            output=self._output,
            usage=answer.usage_out(self._usage),
            incomplete_details={"reason": end.reason} if end.reason else None,
            error=end.error,
        )

    def _failed(self, event: ir.Failed) -> None:
        if self._object is None:
            self._id = answer.response_id(ids.digest(event.error.message))
            self._begin("", 0)
            self._lifecycle("response.created", "in_progress")
        usage = answer.usage_out(self._usage) if self._usage is not None else None
        self._lifecycle("response.failed", "failed", output=self._output, usage=usage, error=errors.failed(event.error))


def _one_list(lists: list[Raw]) -> Raw:
    """Several JSON lists as one."""
    inner = [bytes(one).strip()[1:-1] for one in lists]
    return Raw(b"[%b]" % b",".join([one for one in inner if one.strip()])) if inner else wire.EMPTY_LIST
