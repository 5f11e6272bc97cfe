"""Tool calls put together from the pieces of a stream.

Rule: servers leave out the index or the id, repeat id and name in every piece, reuse an index for the next call, send
arguments as an object or all at once. A piece belongs to the call of its index, else of its id, else to the last
one; a new name beside a new id, or after complete arguments, begins a new call.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.translators.ids import synthesised
from llm_mux.translators.openai_chat import decode, reasoning, wire

_valid: msgspec.json.Decoder[Raw] = msgspec.json.Decoder(Raw)


class Call:
    """One call under construction. `part` is the index of its part once that is open."""

    __slots__ = ("closed", "custom", "id", "name", "native", "number", "part", "pieces", "sent")

    def __init__(self, number: int) -> None:
        self.number = number
        self.id = ""
        self.name = ""
        self.custom = False
        self.native: ir.Native | None = None
        self.pieces: list[str] = []
        self.sent = 0
        self.part: int | None = None
        self.closed = False

    @property
    def complete(self) -> bool:
        """Whether the arguments are a whole JSON value (free text has no such sign: another call ends it)."""
        if self.custom:
            return True
        text = "".join(self.pieces)
        if not text.rstrip().endswith("}"):
            return False
        try:
            _valid.decode(text)
        except msgspec.DecodeError:
            return False
        return True

    @property
    def real(self) -> bool:
        """Whether any piece said anything: some servers send empty ones beside text."""
        return bool(self.id or self.name or self.pieces)

    def unsent(self) -> str:
        """The argument text that no event has carried yet."""
        text = "".join(self.pieces[self.sent :])
        self.sent = len(self.pieces)
        return text


class Calls:
    """The calls of one choice."""

    __slots__ = ("_by_index", "_family", "all")

    def __init__(self, family: str) -> None:
        self._family = family
        self._by_index: dict[int, Call] = {}
        self.all: list[Call] = []

    def take(self, piece: wire.Call) -> Call:
        """The call that `piece` belongs to, with the piece added."""
        name, text = _read(piece)
        call = self._find(piece, name)
        call.id = call.id or piece.id or ""
        call.name = call.name or name
        call.custom = call.custom or piece.custom is not None
        call.native = call.native or reasoning.from_google(piece, self._family)
        if text and not (call.pieces and _whole_again(piece) and call.complete):
            call.pieces.append(text)
        return call

    def _find(self, piece: wire.Call, name: str) -> Call:
        if piece.index is not None:
            call = self._by_index.get(piece.index)
            if call is None or self._is_next(call, piece, name):
                call = self._by_index[piece.index] = self._new()
            return call
        if piece.id:
            same = next((call for call in self.all if call.id == piece.id), None)
            return same or self._new()
        last = self.all[-1] if self.all else None
        return self._new() if last is None or self._is_next(last, piece, name) else last

    @staticmethod
    def _is_next(call: Call, piece: wire.Call, name: str) -> bool:
        """Whether a piece at the place of `call` begins another one."""
        if not name or not call.name:
            return False
        if piece.id and call.id:
            return piece.id != call.id
        return bool(call.pieces) and call.complete and not piece.id

    def _new(self) -> Call:
        self.all.append(Call(len(self.all)))
        return self.all[-1]

    def named(self, call: Call, seed: str, choice: int) -> ir.ToolCall:
        """The call as its part begins: with an id that no other call of the answer has, and some name."""
        taken = any(other.id == call.id for other in self.all if other.number < call.number)
        name = call.name or f"tool_{call.number}"
        if not call.id or taken:
            call.id = synthesised(seed, choice, call.number, name, "")
        return ir.ToolCall(call.id, name, "", custom=call.custom)


def _read(piece: wire.Call) -> tuple[str, str]:
    if piece.custom is not None:
        return piece.custom.name or "", piece.custom.input or ""
    if piece.function is not None:
        return piece.function.name or "", decode.arguments(piece.function)
    return "", ""


def _whole_again(piece: wire.Call) -> bool:
    """Whether the piece repeats its call as an object, which is never a fragment."""
    return piece.function is not None and isinstance(piece.function.arguments, dict)
