"""What is open in a stream of this format, and the records that tell its pieces.

Spec: the Responses API page, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.translators import moulds
from llm_mux.translators.openai_responses import reasoning, wire
from llm_mux.wire import jsonx

INPUT_DELTAS: Final = {
    "function_call": "response.function_call_arguments.delta",
    "custom_tool_call": "response.custom_tool_call_input.delta",
}


class TextDeltaOut(Struct):
    type: str
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: Raw


class PartDeltaOut(Struct):
    type: str
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    delta: str


class SummaryDeltaOut(Struct):
    type: str
    sequence_number: int
    item_id: str
    output_index: int
    summary_index: int
    delta: str


class InputDeltaOut(Struct):
    type: str
    sequence_number: int
    item_id: str
    output_index: int
    delta: str


DeltaOut = TextDeltaOut | PartDeltaOut | SummaryDeltaOut | InputDeltaOut


class Around:
    """What the records with the pieces of one text share: all but their number and the piece."""

    __slots__ = ("_between", "_head", "_tail", "type")

    def __init__(self, item: Message | Thought | Call) -> None:
        before, self._tail = moulds.around(lambda mark: jsonx.encode(item.piece(mark, 0)))
        self._head, number, self._between = before.partition(b'"sequence_number":0')
        self._head += number[:-1]
        self.type = item.piece("", 0).type

    def record(self, number: int, text: str) -> bytes:
        return b"%b%d%b%b%b" % (self._head, number, self._between, jsonx.encode(text), self._tail)

    def row(self, first: int, spelled: Sequence[bytes]) -> bytes:
        """The server-sent events with pieces of the text, given as JSON; `first` is the number of the first."""
        head, between, tail = framed(self.type, self._head)[:-2], self._between, self._tail + b"\n\n"
        return b"".join([b"%b%d%b%b%b" % (head, n, between, piece, tail) for n, piece in enumerate(spelled, first)])


class Message:
    """An open message item; it may hold several content parts, of which the last may be open."""

    def __init__(self, id_: str, index: int, phase: str | None) -> None:
        self.id, self.index, self.phase = id_, index, phase
        self.content: list[wire.OutputTextOut | wire.RefusalOut] = []
        self.around: Around | None = None
        self.refusal = False
        self.pieces: list[str] = []
        self.notes: list[Raw] = []
        self.cites: list[ir.Citation] = []
        self.logprobs: list[Raw] = []

    def piece(self, text: str, number: int, logprobs: Raw = wire.EMPTY_LIST) -> DeltaOut:
        place = self.id, self.index, len(self.content)
        if self.refusal:
            return PartDeltaOut("response.refusal.delta", number, *place, text)
        return TextDeltaOut("response.output_text.delta", number, *place, text, logprobs)


class Thought:
    """An open reasoning item."""

    def __init__(self, id_: str, index: int, part: ir.Reasoning) -> None:
        self.id, self.index, self.raw, self.native = id_, index, reasoning.shown_raw(part), part.native
        self.around: Around | None = None
        self.pieces: list[str] = []

    def piece(self, text: str, number: int) -> DeltaOut:
        if self.raw:
            return PartDeltaOut("response.reasoning_text.delta", number, self.id, self.index, 0, text)
        return SummaryDeltaOut("response.reasoning_summary_text.delta", number, self.id, self.index, 0, text)


class Call:
    """An open call item."""

    def __init__(self, id_: str, index: int, call: ir.ToolCall, kind: str) -> None:
        self.id, self.index, self.call, self.kind = id_, index, call, kind
        self.around: Around | None = None
        self.pieces: list[str] = []

    def piece(self, text: str, number: int) -> DeltaOut:
        """For the two kinds of call whose input is streamed."""
        return InputDeltaOut(INPUT_DELTAS[self.kind], number, self.id, self.index, text)


class Note:
    """The text of a compaction item, which is sealed when it is whole."""

    def __init__(self) -> None:
        self.pieces: list[str] = []


Open = Message | Thought | Call | Note


def one_line(record: object) -> bytes:
    """JSON without line breaks, which another's data may bring."""
    data = jsonx.encode(record)
    return jsonx.compact(data) if b"\n" in data or b"\r" in data else data


def framed(type_: str, data: bytes) -> bytes:
    """`data` is compact JSON on one line."""
    return b"event: %b\ndata: %b\n\n" % (type_.encode(), data)
