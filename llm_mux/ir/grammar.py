"""The grammar of a stream, checkable: `violations`. Every decoder's output obeys it, by test."""

from __future__ import annotations

from collections.abc import Iterable

from llm_mux.ir.answer import Finish
from llm_mux.ir.content import Image, Reasoning, Refusal, Text, ToolCall
from llm_mux.ir.events import (
    ArgumentsDelta,
    Cite,
    Done,
    Event,
    Failed,
    PartEnd,
    PartStart,
    ReasoningDelta,
    Seal,
    Start,
    TextDelta,
)

_TAKES: dict[type, tuple[type, ...]] = {
    TextDelta: (Text, Refusal),
    ReasoningDelta: (Reasoning,),
    ArgumentsDelta: (ToolCall,),
    Seal: (Text, Reasoning, ToolCall, Image),
    Cite: (Text,),
}


def violations(events: Iterable[Event]) -> list[str]:
    """Every breach of the event grammar, in words; an empty list is a well-formed stream.

    Start, then per choice parts one after another (indexes 0, 1, 2 ... over the whole answer), each started, fed and
    ended; a Cite also for a text that ended; a Finish once per choice with no part of it open; UsageReport anywhere
    after Start; Done or Failed last.
    """
    return _Grammar().check(events)


class _Grammar:
    def __init__(self) -> None:
        self.found: list[str] = []
        self.started = self.ended = False
        self.open: dict[int, tuple[int, type]] = {}
        self.texts: dict[int, int] = {}
        self.next = 0
        self.finished: set[int] = set()
        self.seen: set[int] = set()

    def check(self, events: Iterable[Event]) -> list[str]:
        for event in events:
            if self.ended:
                self.found.append(f"{type(event).__name__} after the end")
            self._one(event)
        if not self.ended:
            self.found.append("no Done or Failed at the end")
        return self.found

    def _one(self, event: Event) -> None:
        match event:
            case Start():
                self._require(not self.started, "Start twice")
                self.started = True
            case Failed():
                self.ended = True
            case Done():
                self._require(self.started, "Done before Start")
                self._require(not self.open, "Done with an open part")
                self._require(bool(self.finished) and self.seen <= self.finished, "Done without a Finish")
                self.ended = True
            case _:
                self._require(self.started, f"{type(event).__name__} before Start")
                self._body(event)

    def _body(self, event: Event) -> None:
        match event:
            case PartStart(index=index, part=part, choice=choice):
                self._require(index == self.next, f"part {index} where {self.next} comes next")
                self._require(all(c != choice for c, _ in self.open.values()), f"part {index} inside another")
                self._require(choice not in self.finished, f"part {index} after its choice finished")
                self.next += 1
                self.seen.add(choice)
                self.open[index] = (choice, type(part))
                if isinstance(part, Text):
                    self.texts[index] = choice
            case PartEnd(index=index):
                self._require(self.open.pop(index, None) is not None, f"end of part {index}, which is not open")
            case Finish(choice=choice):
                self._require(choice not in self.finished, f"choice {choice} finished twice")
                self._require(all(c != choice for c, _ in self.open.values()), "Finish with an open part")
                self.finished.add(choice)
            case TextDelta() | ReasoningDelta() | ArgumentsDelta() | Seal() | Cite():
                self._delta(event)
            case _:
                pass

    def _delta(self, event: TextDelta | ReasoningDelta | ArgumentsDelta | Seal | Cite) -> None:
        held = self.open.get(event.index)
        if isinstance(event, Cite) and event.index in self.texts and self.texts[event.index] not in self.finished:
            return
        if held is None:
            self.found.append(f"{type(event).__name__} for part {event.index}, which is not open")
            return
        self._require(held[1] in _TAKES[type(event)], f"{type(event).__name__} for a {held[1].__name__}")

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.found.append(otherwise)
