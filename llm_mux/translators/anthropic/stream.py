"""An upstream's stream as events.

Rules. Blocks are one after another, so a new one closes the one before; a piece of a block that is not open opens it
again where that can be (text, thinking) and is nonsense where it cannot (arguments). Server-side blocks come out
whole, at their end. The end is a stop reason and then `message_stop` or the close; anything less is a failure. Unknown
records, unknown deltas and `ping` are passed over. Spec: the Messages API page, section 7.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux import ir
from llm_mux.translators import moulds
from llm_mux.translators.anthropic import decode_blocks, errors, finish, opaque, response, seals, usage, wire
from llm_mux.translators.anthropic.wire import NAME
from llm_mux.translators.base import FrameDecoder, Target, cut_short, nonsense, present
from llm_mux.wire import jsonx, sse


class _Whole(Struct, frozen=True):
    """What tells a record that is no event of the format: an error in some shape, or an unknown type."""

    type: str | None = None
    error: Raw | UnsetType = UNSET


class _Open:
    """The block that is being told. `index` is its part's; -1: it comes out whole at its end."""

    __slots__ = ("block", "index", "kind", "pieces", "seal", "upstream")

    def __init__(self, upstream: int, kind: str, index: int, block: Raw) -> None:
        self.upstream = upstream
        self.kind = kind
        self.index = index
        self.block = block
        self.pieces: list[str] = []
        self.seal: ir.Native | None = None


class Decoder(FrameDecoder):
    """The state of one stream."""

    __slots__ = (
        "_calls",
        "_family",
        "_finished",
        "_halves",
        "_known",
        "_model",
        "_next",
        "_open",
        "_started",
        "_telling",
        "_told",
        "_usage",
    )

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._model = target.model
        self._family = ir.family(target.model)
        self._started = False
        self._finished = False
        self._calls = False
        self._next = 0
        self._open: _Open | None = None
        self._usage = wire.Usage()
        self._halves: jsonx.Surrogates | None = None
        self._known = moulds.Known(_PIECES)
        self._telling: _Open | None = None
        self._told = False

    def frame(self, frame: sse.Frame) -> list[ir.Event]:
        held = self._open
        if held is not None and held is self._telling and (text := self._known.text(frame.data)):
            return self._more(held, text)
        record = self._read(frame.data)
        match record:
            case wire.BlockDelta(delta=delta, index=index):
                events = self._delta(delta, index)
                self._learn(frame, events)
                return events
            case wire.BlockStart():
                return self._start_of_block(record)
            case wire.BlockStop(index=index):
                return self._close() if self._open is not None and self._open.upstream == index else []
            case wire.MessageStart(message=message):
                return self._start(message)
            case wire.MessageDelta():
                return self._end_of_message(record)
            case wire.MessageStop():
                return self._done()
            case wire.ErrorRecord():
                raise errors.decode_error(200, {}, frame.data)
            case None if frame.event == "error":
                raise errors.decode_error(200, {}, frame.data)
            case _:
                return []

    def row(self, data: bytes) -> ir.Row | None:
        held = self._open
        if held is None or held is not self._telling or held.kind != "text" or self._halves is not None:
            return None
        return self._known.row(held.index, data) if self.splitter.between and not self.over else None

    def _learn(self, frame: sse.Frame, events: list[ir.Event]) -> None:
        """Remembers a record that says one piece of the open block."""
        if len(events) != 1 or not isinstance(event := events[0], _PIECE):
            return
        # Who only watches a stream reads one piece of a text: the second is worth learning.
        if self._told and self._known.curious:
            self._telling = self._open if self._known.learn(frame.data, event.text, frame.raw) else None
        self._told = True

    def _more(self, held: _Open, text: str) -> list[ir.Event]:
        """The next piece of what `_learn` saw."""
        if held.kind == "tool_use":
            held.pieces.append("")
            return [ir.ArgumentsDelta(held.index, text)]
        text = self._joined(text)
        if not text:
            return []
        return [ir.TextDelta(held.index, text) if held.kind == "text" else ir.ReasoningDelta(held.index, text)]

    def _read(self, data: bytes) -> Any:
        """The record in `data`, None for one that is to be passed over. Raises MuxError for errors and nonsense."""
        try:
            return _record.decode(data)
        except msgspec.ValidationError:
            return _odd(data)
        except ValueError:
            pass
        if data.lstrip().startswith(b"<"):
            raise nonsense("a web page instead of a stream")
        try:
            record: Any = jsonx.decode(data, _RECORD, halves=True)
        except jsonx.Malformed:
            return _odd(data)
        self._halves = self._halves or jsonx.Surrogates()
        return record

    def _joined(self, text: str) -> str:
        """`text` with an emoji put together that the upstream cut in two."""
        return text if self._halves is None else self._halves.feed(text)

    def closed(self) -> list[ir.Event]:
        return [ir.Done()] if self._finished else [ir.Failed(cut_short())]

    def _start(self, message: wire.Answer) -> list[ir.Event]:
        if message.usage is not None:
            self._usage = usage.merged(self._usage, message.usage)
        if self._started:
            return []
        self._started = True
        known = usage.decode(self._usage) if message.usage is not None else None
        extras = response.extras(message)
        native = ir.Native(NAME, Raw(msgspec.json.encode(extras))) if extras else None
        return [ir.Start(message.id or "", message.model or self._model, usage=known, native=native)]

    def _begun(self) -> list[ir.Event]:
        """A start for streams that have none."""
        return [] if self._started else self._start(wire.Answer())

    def _start_of_block(self, record: wire.BlockStart) -> list[ir.Event]:
        if self._finished:
            return []
        events = [*self._begun(), *self._close()]
        block = _block(record.content_block)
        match block:
            case wire.Text(text=text, citations=citations):
                events += self._opened(record, "text", ir.Text(""))
                events += [ir.TextDelta(self._next - 1, text)] if text else []
                events += [ir.Cite(self._next - 1, decode_blocks.citation(raw)) for raw in _listed(citations)]
            case wire.Thinking(thinking=thought, signature=signature):
                events += self._opened(record, "thinking", ir.Reasoning(""))
                events += [ir.ReasoningDelta(self._next - 1, thought)] if thought else []
                self._sealed(seals.own(signature, self._family))
            case wire.RedactedThinking(data=data):
                events += self._opened(record, "thinking", ir.Reasoning(""))
                self._sealed(seals.own_redacted(data, self._family))
            case wire.ToolUse():
                events += self._opened(record, "tool_use", _call(block, record.content_block))
                self._calls = True
            case _:
                self._open = _Open(record.index, "opaque", -1, record.content_block)
        return events

    def _opened(self, record: wire.BlockStart, kind: str, part: ir.Part) -> list[ir.Event]:
        index, self._next = self._next, self._next + 1
        self._open = _Open(record.index, kind, index, record.content_block)
        return [ir.PartStart(index, part)]

    def _sealed(self, native: ir.Native | None) -> None:
        if self._open is not None and native is not None:
            self._open.seal = native

    def _delta(self, delta: Any, upstream: int) -> list[ir.Event]:
        if self._finished:
            return []
        held = self._open
        if held is None or held.upstream != upstream:
            return self._reopened(delta, upstream)
        match delta:
            case wire.TextDelta(text=text) if held.kind == "text":
                return [ir.TextDelta(held.index, joined)] if (joined := self._joined(text)) else []
            case wire.InputDelta(partial_json=text) if held.kind == "tool_use":
                if not text:
                    return []
                held.pieces.append("")
                return [ir.ArgumentsDelta(held.index, text)]
            case wire.ThinkingDelta(thinking=text) if held.kind == "thinking":
                return [ir.ReasoningDelta(held.index, joined)] if (joined := self._joined(text)) else []
            case wire.SignatureDelta(signature=signature) if held.kind == "thinking":
                self._sealed(seals.own(signature, self._family))
            case wire.CitationsDelta(citation=raw) if held.kind == "text":
                return [ir.Cite(held.index, decode_blocks.citation(raw))]
            case wire.InputDelta(partial_json=text) if held.kind == "opaque":
                held.pieces.append(text or "")
            case wire.CompactionDelta(content=content) if held.kind == "opaque" and content is not UNSET:
                held.block = Raw(jsonx.splice(bytes(held.block), {"content": bytes(content)}))
            case _:
                pass
        return []

    def _reopened(self, delta: Any, upstream: int) -> list[ir.Event]:
        """The piece of a block that is not open: of text and thought a new part, of a call nothing can be made."""
        match delta:
            case wire.TextDelta():
                block = wire.BlockStart(Raw(b'{"type":"text","text":""}'), upstream)
            case wire.ThinkingDelta() | wire.SignatureDelta():
                block = wire.BlockStart(Raw(b'{"type":"thinking"}'), upstream)
            case wire.InputDelta(partial_json=text) if text:
                raise nonsense("arguments of a tool call that is not open")
            case _:
                return []
        return [*self._start_of_block(block), *self._delta(delta, upstream)]

    def _close(self) -> list[ir.Event]:
        held, self._open = self._open, None
        if held is None:
            return []
        if held.index < 0:
            return self._whole(held)
        events = self._rest(held)
        if (
            held.kind == "tool_use"
            and not held.pieces
            and (arguments := decode_blocks.arguments(jsonx.top(bytes(held.block)).get("input", UNSET)))
        ):
            events.append(ir.ArgumentsDelta(held.index, arguments))
        if held.seal is not None:
            events.append(ir.Seal(held.index, held.seal))
        return [*events, ir.PartEnd(held.index)]

    def _rest(self, held: _Open) -> list[ir.Event]:
        """Half an emoji whose other half never came."""
        text = "" if self._halves is None else self._halves.flush()
        if not text or held.kind not in ("text", "thinking"):
            return []
        return [ir.TextDelta(held.index, text) if held.kind == "text" else ir.ReasoningDelta(held.index, text)]

    def _whole(self, held: _Open) -> list[ir.Event]:
        """A block of the server's own, with the input that came in pieces."""
        block = held.block
        if text := "".join(held.pieces):
            block = Raw(jsonx.splice(bytes(block), {"input": bytes(jsonx.object_arguments(text))}))
        index, self._next = self._next, self._next + 1
        kind = jsonx.decode(bytes(block), wire.Kind).type or ""
        return [ir.PartStart(index, opaque.kept(block.copy(), kind, "assistant")), ir.PartEnd(index)]

    def _end_of_message(self, record: wire.MessageDelta) -> list[ir.Event]:
        events = self._begun()
        if record.usage is not None:
            self._usage = usage.merged(self._usage, record.usage)
            events.append(ir.UsageReport(usage.decode(self._usage)))
        reason = record.delta.stop_reason
        if reason is None or self._finished:
            return events
        self._finished = True
        return [*events, *self._close(), finish.decode(reason, record.delta, calls=self._calls)]

    def _done(self) -> list[ir.Event]:
        if not self._finished:
            raise nonsense("the end of a stream without a stop reason")
        return [ir.Done()]


def stream_decoder(target: Target) -> Decoder:
    return Decoder(target)


def _odd(data: bytes) -> None:
    """Passes over what is newer than this page; a known record in a wrong shape, or an error, is one."""
    if data.strip() == b"[DONE]":
        # Hosts of several formats send the end mark of another one.
        return
    found = jsonx.decode(data, _Whole)
    if present(found.error):
        raise errors.decode_error(200, {}, data)
    if found.type == "content_block_delta":
        inner = jsonx.top(data).get("delta")
        kind = jsonx.decode(bytes(inner), wire.Kind).type if inner is not None else None
        if kind is not None and kind not in _DELTAS:
            return
    elif found.type not in _RECORDS:
        return
    raise nonsense(f"a `{found.type}` record that cannot be read")


def _block(raw: Raw) -> Any:
    """The block that opens, None for one that only the server understands."""
    try:
        return _typed.decode(raw)
    except msgspec.ValidationError:
        pass
    except msgspec.DecodeError:
        return _block(Raw(jsonx.repair(bytes(raw))))
    kind = jsonx.decode(bytes(raw), wire.Kind).type
    if kind not in _TOLD:
        return None
    known = {key: value for key, value in jsonx.top(bytes(raw)).items() if key in decode_blocks.FIELDS[kind]}
    try:
        return _typed.decode(msgspec.json.encode(known))
    except msgspec.ValidationError as error:
        raise nonsense(f"a `{kind}` block that cannot be read") from error


def _call(block: wire.ToolUse, raw: Raw) -> ir.ToolCall:
    kept = {key: value for key, value in jsonx.top(bytes(raw)).items() if key not in _CALL_FIELDS}
    native = ir.Native(NAME, Raw(msgspec.json.encode(kept))) if kept else None
    return ir.ToolCall(block.id, block.name, "", native=native)


def _listed(citations: Raw | UnsetType) -> list[Raw]:
    return jsonx.decode(bytes(citations), list[Raw]) if citations is not UNSET and present(citations) else []


_PIECE: Final = (ir.TextDelta, ir.ReasoningDelta, ir.ArgumentsDelta)
_PIECES: Final = moulds.values_of(b"text", b"thinking", b"partial_json")
_RECORD: Final[Any] = wire.Record
_record: msgspec.json.Decoder[Any] = msgspec.json.Decoder(wire.Record)
_typed: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
    wire.Text | wire.Thinking | wire.RedactedThinking | wire.ToolUse
)
_CALL_FIELDS: Final = frozenset({"type", "id", "name", "input"})
_TOLD: Final = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
_RECORDS: Final = frozenset(
    {"message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"}
    | {"message_stop", "error"}
)
_DELTAS: Final = frozenset(
    {"text_delta", "input_json_delta", "thinking_delta", "signature_delta", "citations_delta", "compaction_delta"}
)
