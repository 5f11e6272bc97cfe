"""An upstream's binary stream as events.

Rules. Text and thoughts open with their first piece. The end is a stop reason and then `metadata`, which has the usage;
anything less is a failure, and so is a frame whose checksum is wrong. Unknown events are passed over; exceptions end
the stream. Spec: the Bedrock Runtime page, sections 5, 8 and 9.
"""

from __future__ import annotations

from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators.base import Target, cut_short, nonsense
from llm_mux.translators.bedrock import decode_blocks, errors, finish, seals, wire
from llm_mux.wire import eventstream, jsonx


class _Open:
    """The block that is being told."""

    __slots__ = ("index", "kind", "redacted", "signature", "upstream")

    def __init__(self, upstream: int, kind: str, index: int) -> None:
        self.upstream = upstream
        self.kind = kind
        self.index = index
        self.signature: list[str] = []
        self.redacted: list[str] = []


class Decoder:
    """The state of one stream."""

    def __init__(self, target: Target) -> None:
        self._splitter = eventstream.Splitter()
        self._model = target.model
        self._family = ir.family(target.model)
        self._over = self._started = self._calls = False
        self._stop: wire.MessageStop | None = None
        self._open: _Open | None = None
        self._next = 0

    def feed(self, data: bytes) -> list[ir.Event]:
        if self._over:
            return []
        events: list[ir.Event] = []
        try:
            for frame in self._splitter.feed(data):
                events += self._frame(frame)
        except eventstream.Damaged as error:
            events.append(self._failed(nonsense(f"a damaged event stream ({error})")))
        except (MuxError, jsonx.Malformed) as error:
            events.append(self._failed(error))
        return events

    def finish(self) -> list[ir.Event]:
        if self._over:
            return []
        try:
            self._splitter.finish()
        except eventstream.Damaged as error:
            return [self._failed(nonsense(f"a damaged event stream ({error})"))]
        if self._stop is None:
            return [self._failed(cut_short())]
        return self._end()

    def _failed(self, error: MuxError | jsonx.Malformed) -> ir.Failed:
        self._over = True
        if isinstance(error, MuxError):
            return ir.Failed(error)
        return ir.Failed(nonsense(f"an event that cannot be read ({error})"))

    def _frame(self, frame: eventstream.Frame) -> list[ir.Event]:
        if self._over:
            return []
        match frame.text(":message-type"):
            case "exception":
                named = {"x-amzn-errortype": frame.text(":exception-type")}
                raise errors.decode_error(200, named, frame.payload)
            case "error":
                named = {"x-amzn-errortype": frame.text(":error-code")}
                raise errors.decode_error(200, named, jsonx.encode({"message": frame.text(":error-message")}))
            case _:
                return self._event(frame.text(":event-type"), frame.payload)

    def _event(self, kind: str, payload: bytes) -> list[ir.Event]:
        match kind:
            case "contentBlockDelta":
                return self._delta(jsonx.decode(payload, wire.BlockDelta))
            case "contentBlockStart":
                return self._start(jsonx.decode(payload, wire.BlockStart))
            case "contentBlockStop":
                stop = jsonx.decode(payload, wire.BlockStop)
                held = self._open
                return self._close() if held is not None and held.upstream == stop.contentBlockIndex else []
            case "messageStart":
                return self._begun()
            case "messageStop":
                self._stop = jsonx.decode(payload, wire.MessageStop)
                return self._close()
            case "metadata":
                return self._metadata(jsonx.decode(payload, wire.Metadata))
            case _:
                return []

    def _begun(self) -> list[ir.Event]:
        if self._started:
            return []
        self._started = True
        return [ir.Start("", self._model)]

    def _opened(self, upstream: int, kind: str, part: ir.Part) -> list[ir.Event]:
        events = [*self._begun(), *self._close()]
        self._open = _Open(upstream, kind, self._next)
        self._next += 1
        return [*events, ir.PartStart(self._open.index, part)]

    def _start(self, record: wire.BlockStart) -> list[ir.Event]:
        call = record.start.toolUse
        if call is None:
            return []
        self._calls = True
        return self._opened(record.contentBlockIndex, "call", ir.ToolCall(call.toolUseId, call.name, ""))

    def _delta(self, record: wire.BlockDelta) -> list[ir.Event]:
        delta, at = record.delta, record.contentBlockIndex
        if delta.text is not None:
            events, held = self._telling(at, "text", ir.Text(""))
            return [*events, ir.TextDelta(held.index, delta.text)] if delta.text else events
        if (thought := delta.reasoningContent) is not None:
            events, held = self._telling(at, "thought", ir.Reasoning("", raw=self._family != "claude"))
            return events + self._thought(held, thought)
        if (piece := delta.toolUse) is not None:
            held_call = self._open
            if held_call is None or held_call.upstream != at or held_call.kind != "call":
                raise nonsense("arguments of a tool call that is not open")
            return [ir.ArgumentsDelta(held_call.index, piece.input)] if piece.input else []
        if isinstance(delta.citation, Raw):
            events, held = self._telling(at, "text", ir.Text(""))
            return [*events, ir.Cite(held.index, decode_blocks.citation(delta.citation.copy()))]
        return []

    def _telling(self, upstream: int, kind: str, part: ir.Part) -> tuple[list[ir.Event], _Open]:
        """The open block that the piece belongs to, opened now when it is a new one."""
        held = self._open
        if held is not None and held.upstream == upstream and held.kind == kind:
            return [], held
        events = self._opened(upstream, kind, part)
        opened = self._open
        if opened is None:
            raise nonsense("a piece of no block")
        return events, opened

    def _thought(self, held: _Open, thought: wire.ReasoningDelta) -> list[ir.Event]:
        if thought.signature:
            held.signature.append(thought.signature)
        if thought.redactedContent:
            held.redacted.append(thought.redactedContent)
        return [ir.ReasoningDelta(held.index, thought.text)] if thought.text else []

    def _close(self) -> list[ir.Event]:
        held, self._open = self._open, None
        if held is None:
            return []
        native = None
        if held.redacted:
            native = seals.own_redacted("".join(held.redacted), self._family)
        elif held.signature:
            native = seals.own("".join(held.signature), self._family)
        sealed = [ir.Seal(held.index, native)] if native is not None else []
        return [*sealed, ir.PartEnd(held.index)]

    def _metadata(self, record: wire.Metadata) -> list[ir.Event]:
        events = self._begun()
        if record.usage is not None:
            events.append(ir.UsageReport(finish.usage(record.usage, self._model)))
        return events + self._end() if self._stop is not None else events

    def _end(self) -> list[ir.Event]:
        self._over = True
        reason = self._stop.stopReason if self._stop is not None else None
        if reason is None:
            return [ir.Failed(nonsense("the end of a stream without a stop reason"))]
        return [*self._begun(), *self._close(), finish.decode(reason, calls=self._calls), ir.Done()]


def stream_decoder(target: Target) -> Decoder:
    return Decoder(target)
