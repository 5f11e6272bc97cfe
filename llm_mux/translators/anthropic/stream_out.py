"""Events as a stream for a client.

Rules. Blocks are counted as they are written, from 0 without gaps; one opens with its first piece and ends before the
next. Every record has `event:` and `data:`. `message_delta` waits for the end, so that it has the whole usage, input
included. A failure is an `error` record and nothing after it. Spec: the Messages API page, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators import estimate, moulds, sources
from llm_mux.translators.anthropic import answer_blocks, encode_blocks, errors, finish, response, seals, usage, wire
from llm_mux.translators.anthropic.wire import NAME
from llm_mux.wire import jsonx, sse

_EMPTY_INPUT: Final = Raw(b"{}")
_PING: Final = sse.frame(b'{"type": "ping"}', "ping")


class _Thought(Struct, frozen=True, tag_field="type", tag="thinking"):
    thinking: str = ""
    signature: str = ""


class _BlockStart(Struct, frozen=True, tag_field="type", tag="content_block_start"):
    index: int
    content_block: Any


class _BlockDelta(Struct, frozen=True, tag_field="type", tag="content_block_delta"):
    index: int
    delta: Any


class _MessageDelta(Struct, frozen=True, tag_field="type", tag="message_delta"):
    delta: wire.StopDelta
    usage: wire.Usage


class _MessageStart(Struct, frozen=True, tag_field="type", tag="message_start"):
    message: wire.AnswerOut


_Delta = wire.TextDelta | wire.ThinkingDelta | wire.InputDelta

# What an answer said is looked through for links at its end; of a very long one only so much of the end is kept.
_MOST_PIECES = 4096
_REMEMBERED = 100_000


class _Part:
    """An open part. `block` is the number of its block, None until something of it is written. `around` is what all
    its records with pieces of text have beside the text."""

    __slots__ = ("around", "block", "cites", "part", "text")

    def __init__(self, part: ir.Part) -> None:
        self.part = part
        self.block: int | None = None
        self.around: tuple[bytes, bytes] | None = None
        self.cites: list[ir.Citation] = []
        self.text: list[str] = []


class Encoder:
    """The state of one stream. Only the first choice is shown: the format has one."""

    def __init__(self, request: ir.Request) -> None:
        self._request: ir.Request | None = request
        self._linked = sources.linked(request)
        self._seed = ""
        self._next = 0
        self._shown = False
        self._calls = False
        self._refusal: str | None = None
        self._parts: dict[int, _Part] = {}
        self._ended: dict[int, _Part] = {}
        self._finish = ir.Finish("stop")
        self._usage = ir.Usage()
        self._over = False

    def encode(self, events: Sequence[ir.Event]) -> bytes:
        out: list[bytes] = []
        if len(events) > 1 and not self._over and (texts := ir.one_text(events)) is not None:
            self._texts(out, texts)
            return b"".join(out)
        for position, event in enumerate(events):
            if self._over:
                break
            match event:
                case ir.TextDelta():
                    self._text(out, event.index, event.text)
                case ir.ReasoningDelta():
                    self._piece(out, event.index, wire.ThinkingDelta, event.text)
                case ir.ArgumentsDelta():
                    self._piece(out, event.index, wire.InputDelta, event.text)
                case ir.PartStart(choice=0):
                    self._begin(out, event, events[position + 1 :])
                case ir.PartEnd(index=index):
                    self._end(out, index)
                case ir.Seal(index=index, native=native):
                    self._seal(out, index, native)
                case ir.Cite(index=index, citation=citation):
                    self._cite(out, index, citation)
                case _:
                    self._frame(out, event)
        return b"".join(out)

    def keepalive(self) -> bytes:
        return _PING

    def _frame(self, out: list[bytes], event: ir.Event) -> None:
        match event:
            case ir.Start():
                self._start(out, event)
            case ir.UsageReport(usage=found):
                self._usage = found
            case ir.Finish(choice=0):
                self._finish = event
            case ir.Done() if self._finish.reason == "broken":
                self._fail(out, response.broken(self._finish))
            case ir.Done():
                self._done(out)
            case ir.Failed(error=error):
                self._fail(out, error)
            case _:
                pass

    def _start(self, out: list[bytes], start: ir.Start) -> None:
        self._seed = start.id
        known, request = start.usage or ir.Usage(), self._request
        # A stream may last long, and the request is large.
        self._request = None
        if not known.prompt and request is not None:
            known = msgspec.structs.replace(known, input=estimate.prompt(request), estimated=True)
        self._usage = known
        native = start.native
        own = jsonx.top(bytes(native.data)) if native is not None and native.owner == NAME else {}
        message = wire.AnswerOut(
            id=response.message_id(start.id),
            model=start.model,
            content=[],
            stop_reason=None,
            stop_sequence=None,
            usage=usage.encode(known),
        )
        out.append(_record(_MessageStart(response.with_extras(message, own)), "message_start"))

    def _begin(self, out: list[bytes], event: ir.PartStart, coming: Sequence[ir.Event]) -> None:
        part = event.part
        self._parts[event.index] = held = _Part(part)
        match part:
            case ir.ToolCall():
                self._begin_call(out, held, event.index, part, coming)
            case ir.Text(text=text) if text:
                self._text(out, event.index, text)
            case ir.Reasoning(text=text, native=native):
                if text:
                    self._piece(out, event.index, wire.ThinkingDelta, text)
                if native is not None:
                    self._seal(out, event.index, native)
            case ir.Refusal(text=text):
                self._refusal = self._refusal or ""
                self._text(out, event.index, text)
            case ir.Opaque():
                for block in answer_blocks.opaque(part):
                    self._complete(out, block)
            case ir.Image() | ir.Audio() | ir.Document() | ir.Video():
                self._complete(out, wire.Text(answer_blocks.placeholder(part)))
            case _:
                pass

    def _begin_call(
        self, out: list[bytes], held: _Part, index: int, part: ir.ToolCall, coming: Sequence[ir.Event]
    ) -> None:
        """Opens a call; a seal of its that is already at hand goes before it."""
        at_hand = (event.native for event in coming if isinstance(event, ir.Seal) and event.index == index)
        sealed = seals.call_signature(part.native or next(at_hand, None))
        if sealed is not None:
            self._complete(out, wire.Thinking("", sealed))
        self._calls = True
        id_, name = answer_blocks.call_id(part, self._seed, index), answer_blocks.call_name(part, index)
        block: wire.Block | Raw = wire.ToolUse(id_, name, _EMPTY_INPUT)
        if part.native is not None:
            block = encode_blocks.beside(wire.ToolUse(id_, name, _EMPTY_INPUT), part.native)
        self._open(out, held, block)
        if part.arguments:
            self._piece(out, index, wire.InputDelta, part.arguments)

    def _open(self, out: list[bytes], held: _Part, block: object) -> None:
        held.block, self._next = self._next, self._next + 1
        self._shown = self._shown or not isinstance(block, _Thought | wire.RedactedThinking)
        out.append(_record(_BlockStart(held.block, block), "content_block_start"))

    def _complete(self, out: list[bytes], block: wire.Block | Raw) -> None:
        """A block that is known as a whole, told in the pieces that clients expect of its kind."""
        whole = _Part(ir.Text(""))
        match block:
            case wire.Thinking(signature=signature) if isinstance(signature, Raw):
                self._open(out, whole, _Thought())
                self._write(out, whole, wire.SignatureDelta(signature))
            case wire.Text(text=text):
                self._open(out, whole, wire.Text(""))
                self._write(out, whole, wire.TextDelta(text))
            case Raw() if b'"server_tool_use"' in bytes(block) or b'"mcp_tool_use"' in bytes(block):
                given = jsonx.top(bytes(block)).get("input", _EMPTY_INPUT)
                self._open(out, whole, Raw(jsonx.splice(bytes(block), {"input": b"{}"})))
                self._write(out, whole, wire.InputDelta(jsonx.text(bytes(given))))
            case _:
                self._open(out, whole, block)
        self._close(out, whole)

    def _text(self, out: list[bytes], index: int, text: str) -> None:
        held = self._parts.get(index)
        if held is None or not text:
            return
        if isinstance(held.part, ir.Refusal):
            self._refusal = (self._refusal or "") + text
        if held.block is None:
            self._open(out, held, wire.Text(""))
        self._remember(held, (text,))
        self._more(out, held, wire.TextDelta, text)

    def _texts(self, out: list[bytes], events: Sequence[ir.TextDelta]) -> None:
        """Many pieces of one text at once."""
        first = events[0]
        self._text(out, first.index, first.text)
        held = self._parts.get(first.index)
        if held is None:
            return
        if held.around is None or isinstance(held.part, ir.Refusal):
            for event in events[1:]:
                self._text(out, event.index, event.text)
            return
        texts = [event.text for event in events[1:]]
        self._remember(held, texts)
        out.append(moulds.row([jsonx.encode(text) for text in texts], *held.around))

    def row(self, row: ir.Row) -> bytes:
        held = self._parts.get(row.index)
        if self._over or held is None or held.around is None or isinstance(held.part, ir.Refusal):
            return self.encode(row.deltas)
        self._remember(held, row.texts)
        return moulds.row(row.spelled, *held.around)

    def _remember(self, held: _Part, texts: Sequence[str]) -> None:
        held.text.extend(texts)
        if len(held.text) > _MOST_PIECES:
            held.text[:] = ["".join(held.text)[-_REMEMBERED:]]

    def _piece(self, out: list[bytes], index: int, delta: type[_Delta], text: str) -> None:
        held = self._parts.get(index)
        if held is None:
            return
        if held.block is None:
            self._open(out, held, _Thought())
        held.text.append("")
        self._more(out, held, delta, text)

    def _more(self, out: list[bytes], held: _Part, delta: type[_Delta], text: str) -> None:
        """A piece of an open block: its records differ in the text alone, so the rest of them is made once."""
        if held.around is None:
            block = held.block or 0
            held.around = moulds.around(lambda mark: _record(_BlockDelta(block, delta(mark)), "content_block_delta"))
        before, after = held.around
        out.append(before + jsonx.encode(text) + after)

    def _seal(self, out: list[bytes], index: int, native: ir.Native) -> None:
        held = self._parts.get(index)
        if held is None or not isinstance(held.part, ir.Reasoning):
            return
        data = seals.redacted(native)
        if data is not None and held.block is None:
            self._open(out, held, wire.RedactedThinking(data))
            held.part = ir.Opaque(native, label="redacted_thinking")
        elif data is None:
            held.part = ir.Reasoning("", native)
            if held.block is None:
                self._open(out, held, _Thought())

    def _cite(self, out: list[bytes], index: int, citation: ir.Citation) -> None:
        held = self._parts.get(index)
        if held is None:
            if (text := self._ended.get(index)) is not None and self._linked:
                text.cites.append(citation)
            return
        own = answer_blocks.own_citations([citation])
        if own and held.block is not None:
            self._write(out, held, wire.CitationsDelta(own[0]))
        elif not own and self._linked:
            held.cites.append(citation)

    def _end(self, out: list[bytes], index: int) -> None:
        held = self._parts.pop(index, None)
        if held is None:
            return
        if held.cites and (links := answer_blocks.links(held.cites, "".join(held.text))):
            self._parts[index] = held
            self._text(out, index, links)
            del self._parts[index]
        if isinstance(held.part, ir.Text):
            self._ended[index] = held
            held.cites = []
        if held.block is None:
            return
        if isinstance(held.part, ir.Reasoning):
            self._write(out, held, wire.SignatureDelta(seals.signature(held.part.native)))
        elif isinstance(held.part, ir.ToolCall) and not held.text:
            self._write(out, held, wire.InputDelta(""))
        self._close(out, held)

    def _write(self, out: list[bytes], held: _Part, delta: object) -> None:
        out.append(_record(_BlockDelta(held.block or 0, delta), "content_block_delta"))

    def _close(self, out: list[bytes], held: _Part) -> None:
        out.append(_record(wire.BlockStop(held.block or 0), "content_block_stop"))

    def _done(self, out: list[bytes]) -> None:
        self._over = True
        for text in self._ended.values():
            # Sources that came when the text had ended stand below everything else.
            if links := answer_blocks.links(text.cites, "".join(text.text)):
                self._complete(out, wire.Text(links.lstrip()))
        if not self._shown:
            # An answer without any block, or with thinking alone, is more than some SDKs can read.
            self._complete(out, wire.Text(""))
        end = finish.encode(self._finish, calls=self._calls, refusal=self._refusal)
        out.append(_record(_MessageDelta(end, usage.encode(self._usage)), "message_delta"))
        out.append(_record(wire.MessageStop(), "message_stop"))

    def _fail(self, out: list[bytes], error: MuxError) -> None:
        self._over = True
        out.append(sse.frame(errors.encode_error(error, ""), "error"))


def stream_encoder(request: ir.Request) -> Encoder:
    return Encoder(request)


def _record(record: object, event: str) -> bytes:
    data = jsonx.encode(record)
    if b"\n" in data or b"\r" in data:
        # Another's data that rides along may be spread over lines, which would end the record.
        data = jsonx.compact(data)
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
