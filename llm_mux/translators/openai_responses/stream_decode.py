"""This format's stream to events, for upstreams.

Rules. One part is open at a time: records of another item wait until the open one is done. What was streamed is not
repeated; a `done` record gives only the missing tail, and items that came without deltas are given whole, at the
latest from the terminal record. Reasoning is sealed by its finished item. Only `response.completed` and
`response.incomplete` end a stream properly. Spec: the Responses API page, section 7; field bugs 9 to 13 and 96.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import UNSET, Raw

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators.base import FrameDecoder, Target, nonsense
from llm_mux.translators.openai_responses import errors, output, reasoning, response, wire
from llm_mux.translators.openai_responses.parts import citation
from llm_mux.translators.openai_responses.quirks import quirks_of
from llm_mux.translators.openai_responses.reading import present
from llm_mux.wire import jsonx, sse

_response: msgspec.json.Decoder[wire.Response] = msgspec.json.Decoder(wire.Response, strict=False)
_part: msgspec.json.Decoder[wire.Part] = msgspec.json.Decoder(wire.Part, strict=False)
_piece: msgspec.json.Decoder[wire.Piece] = msgspec.json.Decoder(wire.Piece)
_event: msgspec.json.Decoder[wire.StreamEvent] = msgspec.json.Decoder(wire.StreamEvent)

TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_CALL_DELTAS: Final = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")
_CALL_DONES: Final = ("response.function_call_arguments.done", "response.custom_tool_call_input.done")
_MOST_WAITING: Final = 100_000
_BEYOND: Final = 1_000_000
"""Added to the places of items that only the terminal record holds: no streamed item has such an index."""


class _Item:
    """What has been given of one output item. `finished`: its content parts that ended, and which texts (else -1) they
    were; `notes`: their citations."""

    def __init__(self) -> None:
        self.item = wire.Item()
        self.begun = self.done = False
        self.finished: dict[int, int] = {}
        self.notes: dict[int, int] = {}


class _Open:
    """The open part: its number, whose it is, and what was streamed of it."""

    def __init__(self, index: int, owner: int, content: int, kind: str) -> None:
        self.index, self.owner, self.content, self.kind = index, owner, content, kind
        self.pieces: list[str] = []
        self.summary = 0
        self.halves = jsonx.Surrogates()


class ResponsesStreamDecoder(FrameDecoder):
    """Records in, events out; see the module's rules."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._model = target.model
        self._family = ir.family(target.model)
        self._own_calls = quirks_of(target).shows_own_calls
        self._items: dict[int, _Item] = {}
        self._open: _Open | None = None
        self._next = 0
        self._id = ""
        self._started = False
        self._called = self._refused = False
        self._waiting: list[wire.StreamEvent] = []
        self._out: list[ir.Event] = []
        self._steps: dict[str, Callable[[wire.StreamEvent], None]] = {
            "response.output_item.added": self._added,
            "response.content_part.added": self._content_added,
            "response.output_text.delta": self._said,
            "response.refusal.delta": self._said,
            "response.output_text.annotation.added": self._annotated,
            "response.content_part.done": self._content_done,
            "response.reasoning_summary_text.delta": self._thought,
            "response.reasoning_text.delta": self._thought,
            **dict.fromkeys(_CALL_DELTAS, self._argued),
            **dict.fromkeys(_CALL_DONES, self._argued_all),
            "response.output_item.done": self._done,
        }

    def frame(self, frame: sse.Frame) -> list[ir.Event]:
        if frame.data.startswith(b"[DONE]"):
            return []
        part = self._open
        if part is not None and frame.event is not None and frame.event == _PIECES.get(part.kind):
            more = _more(part, frame)
            if more is not None:
                return more
        event = _read(frame)
        self._out = []
        step = self._steps.get(event.type)
        if step is not None:
            self._ensure_started(None)
            if self._must_wait(event):
                self._wait(event)
            else:
                step(event)
        else:
            self._lifecycle(event)
        return self._out

    def _lifecycle(self, event: wire.StreamEvent) -> None:
        if event.type == "error" or (not event.type and present(event.error)):
            raw = event.error if present(event.error) else None
            self._fail(errors.event_error(raw, event.message, event.code))
        elif event.type in TERMINAL:
            self._end(event)
        elif event.type in ("response.created", "response.in_progress", "response.queued"):
            self._ensure_started(event)

    def _fail(self, error: MuxError) -> None:
        self._out.append(ir.Failed(error))

    def _ensure_started(self, event: wire.StreamEvent | None) -> None:
        if self._started:
            return
        self._started = True
        found = _response_of(event) if event is not None and present(event.response) else wire.Response()
        self._id = found.id or ""
        self._out.append(ir.Start(self._id, found.model or self._model, int(found.created_at or 0)))

    def _must_wait(self, event: wire.StreamEvent) -> bool:
        """Records of an item wait while a part of another item is open."""
        return self._open is not None and self._open.owner != event.output_index

    def _wait(self, event: wire.StreamEvent) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            raise nonsense("a stream in which an item never ends")
        self._waiting.append(event)

    def _resume(self) -> None:
        """Gives what waited for the open part to end, in order."""
        while self._waiting and self._open is None:
            waiting, self._waiting = self._waiting, []
            for position, event in enumerate(waiting):
                if self._must_wait(event):
                    self._waiting.append(event)
                else:
                    self._steps[event.type](event)
                if self._open is None and self._waiting:
                    self._waiting.extend(waiting[position + 1 :])
                    break

    def _item(self, event: wire.StreamEvent) -> _Item:
        state = self._items.get(event.output_index)
        if state is None:
            state = self._items[event.output_index] = _Item()
        return state

    def _added(self, event: wire.StreamEvent) -> None:
        if not present(event.item):
            return
        state = self._item(event)
        if state.begun or state.done:
            return
        state.item = output.item_of(event.item)
        state.done = self._is_own(state.item)
        if state.done:
            return
        if state.item.type in output.CALLS and state.item.name and state.item.call_id:
            self._open_call(state, event.output_index)

    def _is_own(self, item: wire.Item) -> bool:
        """Whether it is a call that the server makes and answers itself."""
        return self._own_calls and item.type == output.FREE_TEXT_CALL

    def _begin(self, owner: int, content: int, kind: str, part: ir.Part) -> _Open:
        self._close()
        self._open = _Open(self._next, owner, content, kind)
        self._out.append(ir.PartStart(self._next, part))
        self._next += 1
        return self._open

    def _open_call(self, state: _Item, owner: int) -> _Open:
        call = msgspec.structs.replace(output.call_of(state.item, self._id, owner), arguments="")
        self._called = state.begun = True
        return self._begin(owner, 0, "call", call)

    def _content_added(self, event: wire.StreamEvent) -> None:
        """Opens a text as soon as it is announced, so that a client sees it begin."""
        part = _read_part(event.part)
        if part.type == "output_text" and not self._item(event).done:
            self._text_part(event, "text")

    def _text_part(self, event: wire.StreamEvent, kind: str) -> _Open | None:
        """The open text or refusal of this record; None for one that is finished."""
        part = self._open
        if part is not None and part.content == event.content_index and part.kind == kind:
            return part
        state = self._item(event)
        if state.done or event.content_index in state.finished:
            return None
        state.begun = True
        if kind == "refusal":
            self._refused = True
            return self._begin(event.output_index, event.content_index, kind, ir.Refusal(""))
        text = ir.Text("", native=output.phase_native(state.item.phase))
        return self._begin(event.output_index, event.content_index, kind, text)

    def _said(self, event: wire.StreamEvent) -> None:
        part = self._text_part(event, "refusal" if event.type == "response.refusal.delta" else "text")
        if part is None:
            return
        text = part.halves.feed(_delta(event))
        if not text:
            return
        part.pieces.append(text)
        tokens = event.logprobs
        logprobs = tokens.copy() if present(tokens) and tokens != wire.EMPTY_LIST else None
        self._out.append(ir.TextDelta(part.index, text, logprobs))

    def _annotated(self, event: wire.StreamEvent) -> None:
        part, state, content = self._text_part(event, "text"), self._item(event), event.content_index
        index = state.finished.get(content, -1) if part is None else part.index
        if index >= 0 and present(event.annotation):
            state.notes[content] = state.notes.get(content, 0) + 1
            self._out.append(ir.Cite(index, citation(event.annotation.copy())))

    def _content_done(self, event: wire.StreamEvent) -> None:
        part = _read_part(event.part)
        if part.type in ("output_text", "refusal"):
            self._finish_content(event, part)

    def _finish_content(self, event: wire.StreamEvent, found: wire.Part) -> None:
        """Gives what is missing of a text or refusal whose final form is known, and ends it."""
        kind = "refusal" if found.type == "refusal" else "text"
        part = self._text_part(event, kind)
        if part is None:
            return
        self._add_tail(part, (found.refusal if kind == "refusal" else found.text) or "")
        if kind == "text":
            seen = self._item(event).notes.get(part.content, 0)
            for raw in (found.annotations or [])[seen:]:
                self._out.append(ir.Cite(part.index, citation(raw.copy())))
        self._close()

    def _thought(self, event: wire.StreamEvent) -> None:
        state = self._item(event)
        if state.done:
            return
        chain = event.type == "response.reasoning_text.delta"
        kind = "chain" if chain else "summary"
        part = self._open or self._begin(event.output_index, 0, kind, ir.Reasoning("", raw=chain))
        state.begun = True
        if part.kind != kind:
            return
        text = part.halves.feed(_delta(event))
        if not chain and event.summary_index != part.summary:
            text = reasoning.JOINT + text if part.pieces else text
            part.summary = event.summary_index
        if text:
            part.pieces.append(text)
            self._out.append(ir.ReasoningDelta(part.index, text))

    def _argued(self, event: wire.StreamEvent) -> None:
        part = self._open
        if part is None or part.kind != "call":
            state = self._item(event)
            if state.done or state.begun or not state.item.name:
                return
            part = self._open_call(state, event.output_index)
        text = part.halves.feed(_delta(event))
        if text:
            part.pieces.append(text)
            self._out.append(ir.ArgumentsDelta(part.index, text))

    def _argued_all(self, event: wire.StreamEvent) -> None:
        """Ends a call whose whole arguments are said, so that the next item need not wait for the item's own end."""
        part = self._open
        if part is None or part.kind != "call":
            return
        self._add_tail(part, event.arguments or event.input or "")
        if part.pieces:
            self._close()
            self._resume()

    def _add_tail(self, part: _Open, whole: str) -> None:
        """What of `whole` was not streamed; nothing when the two differ, as what was shown cannot be taken back."""
        said = "".join(part.pieces)
        tail = part.halves.feed(whole[len(said) :]) if whole.startswith(said) else ""
        if tail:
            part.pieces.append(tail)
            self._out.append(_DELTAS[part.kind](part.index, tail))

    def _done(self, event: wire.StreamEvent) -> None:
        if present(event.item):
            self._finish_item(event.output_index, event.item)
            self._resume()

    def _finish_item(self, owner: int, raw: Raw) -> None:
        """Gives what is missing of a finished item."""
        state = self._items.setdefault(owner, _Item())
        if state.done:
            return
        item = output.item_of(raw)
        state.item = item
        if self._is_own(item):
            state.done = True
            return
        if item.type == "message":
            for index, found in enumerate(output.content_of(item.content)):
                self._finish_content(wire.StreamEvent(output_index=owner, content_index=index), found)
        elif item.type == "reasoning":
            self._finish_reasoning(owner, raw)
        elif item.type in output.CALLS:
            call = output.call_of(item, self._id, owner)
            part = self._open or (None if state.begun else self._open_call(state, owner))
            if part is not None:
                self._add_tail(part, call.arguments)
        elif not state.begun:
            self._whole(owner, raw)
        self._close()
        state.done = True

    def _finish_reasoning(self, owner: int, raw: Raw) -> None:
        for found in output.parts_of(raw, self._family):
            assert isinstance(found, ir.Reasoning)
            kind = "chain" if found.raw else "summary"
            part = self._open or self._begin(owner, 0, kind, ir.Reasoning("", raw=found.raw))
            if part.kind == kind:
                self._add_tail(part, found.text)
            if found.native is not None and part.kind in ("chain", "summary"):
                self._out.append(ir.Seal(part.index, found.native))

    def _whole(self, owner: int, raw: Raw) -> None:
        """An item that has no deltas, as complete parts."""
        for found in output.parts_of(raw, self._family):
            if isinstance(found, ir.ToolCall):
                self._called = True
                part = self._begin(owner, 0, "call", msgspec.structs.replace(found, arguments=""))
                self._add_tail(part, found.arguments)
            else:
                self._begin(owner, 0, "whole", found)
            self._close()

    def _close(self) -> None:
        part, self._open = self._open, None
        if part is None:
            return
        state = self._items.get(part.owner)
        if state is not None:
            state.finished[part.content] = part.index if part.kind == "text" else -1
        half = part.halves.flush()
        if half and part.kind in _DELTAS:
            self._out.append(_DELTAS[part.kind](part.index, half))
        self._out.append(ir.PartEnd(part.index))

    def _end(self, event: wire.StreamEvent) -> None:
        """The terminal record: everything that is still missing, then how it ended."""
        self._ensure_started(event)
        if not present(event.response):
            if event.type != "response.completed":
                self._fail(errors.event_error(None, "The provider's answer failed."))
                return
            found = wire.Response(status="completed")
        else:
            found = _response_of(event)
        if event.type in ("response.failed", "response.cancelled") or found.status in ("failed", "cancelled"):
            raw = found.error if present(found.error) else None
            self._fail(errors.event_error(raw, "The provider's answer failed."))
            return
        self._rest(found)
        usage = response.usage_of(found)
        if usage is not None:
            self._out.append(ir.UsageReport(usage))
        self._out.append(self._finish(event, found))
        self._out.append(ir.Done())

    def _rest(self, found: wire.Response) -> None:
        self._close()
        self._resume()
        while self._open is not None:
            self._close()
            self._resume()
        known = {_identity(state.item) for state in self._items.values() if state.begun or state.done}
        for raw in found.output or ():
            if _identity(output.item_of(raw)) not in known:
                self._finish_item(len(self._items) + _BEYOND, raw)

    def _finish(self, event: wire.StreamEvent, found: wire.Response) -> ir.Finish:
        if event.type == "response.incomplete" and found.status != "incomplete":
            found.status = "incomplete"
        finish = response.finish_of(found, ())
        if finish.reason != "stop":
            return finish
        if self._called:
            return ir.Finish("tool_calls")
        return ir.Finish("refusal") if self._refused else finish


def _read(frame: sse.Frame) -> wire.StreamEvent:
    try:
        event = _event.decode(frame.data)
    except msgspec.ValidationError:
        event = _odd(frame.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        event = jsonx.decode(frame.data, wire.StreamEvent, strict=False, halves=True)
    if not event.type and frame.event is not None:
        event.type = frame.event
    return event


def _odd(data: bytes) -> wire.StreamEvent:
    """A record whose fields have other types than we know: ignored if its kind is not ours."""
    kind = jsonx.decode(data, wire.ItemKind).type or ""
    if kind.startswith(_OURS):
        return jsonx.decode(data, wire.StreamEvent, strict=False, halves=True)
    return wire.StreamEvent(type=kind)


_OURS: Final = (
    *("response.output_", "response.content_part", "response.reasoning", "response.function_call", "response.refusal"),
    *("response.custom_tool", "response.c", "response.in", "response.failed", "error"),
)


def _response_of(event: wire.StreamEvent) -> wire.Response:
    try:
        return _response.decode(event.response)  # type: ignore[arg-type]  # asked by `present` at every call
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise nonsense("a response object that cannot be read") from error


def _read_part(raw: Raw | msgspec.UnsetType) -> wire.Part:
    try:
        return _part.decode(raw) if present(raw) else wire.Part()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return wire.Part()


def _delta(event: wire.StreamEvent) -> str:
    """The text of a delta; some servers send an object for tool arguments."""
    delta = event.delta
    if isinstance(delta, str):
        return delta
    return "" if delta is None else msgspec.json.encode(delta).decode("utf-8", "replace")


def _more(part: _Open, frame: sse.Frame) -> list[ir.Event] | None:
    """The next piece of the open part, None for a record that may be or say anything else."""
    try:
        piece = _piece.decode(frame.data)
    except (ValueError, RecursionError):
        return None
    if piece.type != frame.event or piece.output_index != part.owner or not piece.delta:
        return None
    if (part.kind == "text" and piece.content_index != part.content) or (
        part.kind == "summary" and piece.summary_index != part.summary
    ):
        return None
    if piece.logprobs is not UNSET and piece.logprobs != wire.EMPTY_LIST:
        return None
    text = part.halves.feed(piece.delta)
    if not text:
        return []
    part.pieces.append(text)
    return [_DELTAS[part.kind](part.index, text)]


_PIECES: Final = {
    "text": "response.output_text.delta",
    "summary": "response.reasoning_summary_text.delta",
    "chain": "response.reasoning_text.delta",
    "call": "response.function_call_arguments.delta",
}
_DELTAS: Final[dict[str, Callable[[int, str], ir.Event]]] = {
    "text": ir.TextDelta,
    "refusal": ir.TextDelta,
    "summary": ir.ReasoningDelta,
    "chain": ir.ReasoningDelta,
    "call": ir.ArgumentsDelta,
}


def _identity(item: wire.Item) -> tuple[str | None, str | None]:
    """What tells one item from another: calls by their call, all others by their own id."""
    return item.type, item.call_id or item.id
