"""Events as a binary stream for a client.

Rules. Blocks are counted as they are shown, from 0 without gaps; text and thoughts open with their first piece, calls
with a start. `metadata`, with the usage, comes after the stop. A failure is an exception and nothing after it.
Spec: the Bedrock Runtime page, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators.anthropic.response import broken
from llm_mux.translators.bedrock import errors, finish, response, seals, wire
from llm_mux.wire import eventstream, jsonx

_KEEPALIVE: Final = eventstream.event("keepAlive", b"{}")
"""An event that no SDK knows, and therefore passes over."""


class _Part:
    """A part as the client sees it. `block`: its index there, None while nothing of it was shown."""

    __slots__ = ("block", "part")

    def __init__(self, part: ir.Part) -> None:
        self.part = part
        self.block: int | None = None


class Encoder:
    """Events as a binary stream for a client. `metadata`, with the usage, comes after the stop, as the API does it."""

    def __init__(self, request: ir.Request) -> None:
        self._parts: dict[int, _Part] = {}
        self._texts: set[int] = set()
        self._next = 0
        self._usage: ir.Usage | None = None
        self._finish = ir.Finish("stop")
        self._calls = self._over = False
        self._seed = ""

    def encode(self, events: Sequence[ir.Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if self._over:
                break
            self._one(out, event)
        return b"".join(out)

    def keepalive(self) -> bytes:
        return _KEEPALIVE

    def _one(self, out: list[bytes], event: ir.Event) -> None:
        match event:
            case ir.TextDelta(index=index, text=text) | ir.ReasoningDelta(index=index, text=text):
                self._piece(out, index, text)
            case ir.ArgumentsDelta(index=index, text=text):
                self._say(out, index, wire.Delta(toolUse=wire.ToolUseDelta(text)))
            case ir.PartStart(index=index, part=part, choice=0):
                self._begin(out, index, part)
            case ir.PartEnd(index=index):
                self._end(out, index)
            case ir.Seal(index=index, native=native):
                self._seal(out, index, native)
            case ir.Cite(index=index, citation=citation):
                self._cite(out, index, wire.Delta(citation=response.source(citation)))
            case ir.UsageReport(usage=usage):
                self._usage = usage
            case ir.Start(id=id_, usage=usage):
                self._seed, self._usage = id_, usage
                out.append(_event("messageStart", wire.MessageStart()))
            case ir.Finish(choice=0):
                self._finish = event
            case ir.Failed(error=error):
                self._fail(out, error)
            case ir.Done():
                self._done(out)
            case _:
                pass

    def _piece(self, out: list[bytes], index: int, text: str) -> None:
        held = self._parts.get(index)
        if held is None or not text:
            return
        if isinstance(held.part, ir.Reasoning):
            self._say(out, index, wire.Delta(reasoningContent=wire.ReasoningDelta(text)))
        else:
            self._say(out, index, wire.Delta(text=text))

    def _say(self, out: list[bytes], index: int, delta: wire.Delta) -> None:
        held = self._parts.get(index)
        if held is None:
            return
        if held.block is None:
            held.block, self._next = self._next, self._next + 1
        out.append(_event("contentBlockDelta", wire.BlockDelta(delta, held.block)))

    def _cite(self, out: list[bytes], index: int, source: wire.Delta) -> None:
        """A source of the text that is open; one that came later has a block of its own."""
        if index in self._parts:
            self._say(out, index, source)
        elif index in self._texts:
            self._whole(out, source)

    def _begin(self, out: list[bytes], index: int, part: ir.Part) -> None:
        held = self._parts[index] = _Part(part)
        if isinstance(part, ir.Text):
            self._texts.add(index)
        match part:
            case ir.ToolCall():
                self._call(out, held, index, part)
            case ir.Text(text=text) | ir.Refusal(text=text) | ir.Reasoning(text=text):
                self._piece(out, index, text)
                if isinstance(part, ir.Reasoning) and part.native is not None:
                    self._seal(out, index, part.native)
            case ir.Opaque():
                block = response.opaque(part)
                if isinstance(block, wire.Block) and block.text:
                    self._whole(out, wire.Delta(text=block.text))
            case _:
                self._whole(out, wire.Delta(text=response.placeholder(part)))

    def _call(self, out: list[bytes], held: _Part, index: int, part: ir.ToolCall) -> None:
        if (sealed := seals.before_call(part)) is not None:
            self._whole(out, wire.Delta(reasoningContent=_sealing(sealed)))
        self._calls = True
        held.block, self._next = self._next, self._next + 1
        call = wire.ToolUse(response.call_id(part, self._seed, index), part.name or f"tool_{index}")
        out.append(_event("contentBlockStart", wire.BlockStart(wire.Begin(toolUse=call), held.block)))
        if part.arguments:
            self._say(out, index, wire.Delta(toolUse=wire.ToolUseDelta(part.arguments)))

    def _whole(self, out: list[bytes], delta: wire.Delta) -> None:
        block, self._next = self._next, self._next + 1
        out.append(_event("contentBlockDelta", wire.BlockDelta(delta, block)))
        out.append(_event("contentBlockStop", wire.BlockStop(block)))

    def _seal(self, out: list[bytes], index: int, native: ir.Native) -> None:
        held = self._parts.get(index)
        if held is None or not isinstance(held.part, ir.Reasoning):
            return
        if (shown := seals.shown(ir.Reasoning("", native))) is not None:
            self._say(out, index, wire.Delta(reasoningContent=_sealing(shown)))

    def _end(self, out: list[bytes], index: int) -> None:
        held = self._parts.pop(index, None)
        if held is not None and held.block is not None:
            out.append(_event("contentBlockStop", wire.BlockStop(held.block)))

    def _done(self, out: list[bytes]) -> None:
        if self._finish.reason == "broken" and self._finish.detail is None:
            self._fail(out, broken(self._finish))
            return
        self._over = True
        out.append(_event("messageStop", wire.MessageStop(finish.encode(self._finish, calls=self._calls))))
        metadata = {"usage": finish.told(self._usage), "metrics": {"latencyMs": 0}}
        out.append(eventstream.event("metadata", jsonx.encode(metadata)))

    def _fail(self, out: list[bytes], error: MuxError) -> None:
        self._over = True
        out.append(eventstream.exception(*errors.exception(error)))


def stream_encoder(request: ir.Request) -> Encoder:
    return Encoder(request)


def _event(kind: str, payload: object) -> bytes:
    return eventstream.event(kind, jsonx.encode(payload))


def _sealing(shown: wire.Reasoning) -> wire.ReasoningDelta:
    """The piece that carries the seal of a thought."""
    signature = shown.reasoningText.signature if shown.reasoningText is not None else None
    return wire.ReasoningDelta(signature=signature, redactedContent=shown.redactedContent)
