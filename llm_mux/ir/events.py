"""What comes back, as a stream: indexed start, delta and end events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Raw, Struct

from llm_mux.errors import MuxError
from llm_mux.ir.answer import Finish, Usage
from llm_mux.ir.content import Citation, Native, Part


class Start(Struct, frozen=True):
    """First event. `usage` holds what the upstream already knows (input tokens)."""

    id: str
    model: str
    created: int = 0
    usage: Usage | None = None
    native: Native | None = None


class PartStart(Struct, frozen=True):
    """Opens part `index` (counted from 0 over the whole answer). `part` holds what is known: a tool call's id and name
    with arguments "", an empty Text or Reasoning, or a complete Opaque, Image, Audio or Refusal("")."""

    index: int
    part: Part
    choice: int = 0


class TextDelta(Struct, frozen=True):
    """More text of an open Text or Refusal. `logprobs`: OpenAI chat's content list for these tokens."""

    index: int
    text: str
    logprobs: Raw | None = None


class ReasoningDelta(Struct, frozen=True):
    index: int
    text: str


class ArgumentsDelta(Struct, frozen=True):
    """More of a tool call's argument text (or of a custom call's free text)."""

    index: int
    text: str


class Seal(Struct, frozen=True):
    """The opaque data of the open part (signature, encrypted content, thought signature), whole, once."""

    index: int
    native: Native


class Cite(Struct, frozen=True):
    """A source of a text, while it is open or after it ended; before its choice's Finish."""

    index: int
    citation: Citation


class PartEnd(Struct, frozen=True):
    index: int


class UsageReport(Struct, frozen=True):
    """The usage so far; a later one replaces an earlier one."""

    usage: Usage


class Failed(Struct, frozen=True):
    """The stream broke. Last event; nothing of a clean end may follow."""

    error: MuxError


class Done(Struct, frozen=True):
    """The upstream ended properly. Last event, after a Finish for every choice."""


Event: TypeAlias = (
    Start
    | PartStart
    | TextDelta
    | ReasoningDelta
    | ArgumentsDelta
    | Seal
    | Cite
    | PartEnd
    | UsageReport
    | Finish
    | Failed
    | Done
)


class Row(Struct, frozen=True):
    """Pieces of one text that came at once, none of them empty: what as many `TextDelta`s say. `spelled` is each piece
    as JSON, `size` how many characters they have in all."""

    index: int
    texts: list[str]
    spelled: list[bytes]
    size: int

    @property
    def deltas(self) -> list[TextDelta]:
        return [TextDelta(self.index, text) for text in self.texts]


def one_text(events: Sequence[Event]) -> list[TextDelta] | None:
    """The events, if all of them are pieces of one text and say nothing else."""
    first = events[0]
    if type(first) is not TextDelta:
        return None
    index = first.index
    pieces = [e for e in events if type(e) is TextDelta and e.index == index and e.logprobs is None and e.text]
    return pieces if len(pieces) == len(events) else None
