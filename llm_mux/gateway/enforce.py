"""Stop strings and token limits that a backend cannot honour are held here, whole and in streams.

A choice that hits one is finished with `stop_sequence` or `length`; once that is so for all, the upstream may be
closed: `Enforcer.satisfied`. Tokens are counted as four characters each, since no tokenizer is at hand.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import msgspec

from llm_mux import ir
from llm_mux.translators.estimate import CHARS_PER_TOKEN
from llm_mux.wire.stops import StopCutter


class Enforcer:
    """A filter over a stream's events. After `satisfied` nothing more of the upstream is needed.

    `choices`: how many the client asked for; a later one may not have begun when the first is cut. `most`: tokens of
    text that each may have, None for no limit of ours.
    """

    def __init__(self, stops: Sequence[str], choices: int = 1, most: int | None = None) -> None:
        self._stops = stops
        self._most_chars = None if most is None else most * CHARS_PER_TOKEN
        self._said: dict[int, int] = {}
        self._wanted = choices
        self._cutters: dict[int, StopCutter] = {}
        self._open: dict[int, int] = {}
        self._texts: dict[int, int] = {}
        self._left_out: list[int] = []
        self._cut: set[int] = set()
        self._choices: set[int] = set()
        self.satisfied = False

    def __call__(self, events: list[ir.Event]) -> list[ir.Event]:
        out: list[ir.Event] = []
        for event in events:
            if not self.satisfied:
                out.extend(self._numbered(each) for each in self._one(event))
        return out

    def _numbered(self, event: ir.Event) -> ir.Event:
        """Parts keep counting without a gap after one was left out."""
        index = getattr(event, "index", None)
        if not self._left_out or index is None:
            return event
        gone = bisect_left(self._left_out, index)
        return msgspec.structs.replace(event, index=index - gone) if gone else event

    def _one(self, event: ir.Event) -> list[ir.Event]:
        match event:
            case ir.PartStart(index=index, part=part, choice=choice):
                self._choices.add(choice)
                if choice in self._cut:
                    self._left_out.append(index)
                    return []
                self._open[index] = choice
                if isinstance(part, ir.Text):
                    self._texts[index] = choice
                    self._cutters[index] = StopCutter(self._stops)
                return [event]
            case ir.TextDelta() if event.index in self._cutters:
                return self._text(event)
            case ir.PartEnd(index=index):
                return self._end(index)
            case ir.Finish(choice=choice):
                return [] if choice in self._cut else [event]
            case ir.Cite(index=index):
                return [event] if self._texts.get(index, -1) not in {*self._cut, -1} else []
            case ir.ReasoningDelta() | ir.ArgumentsDelta() | ir.TextDelta() | ir.Seal():
                return [event] if event.index in self._open else []
            case _:
                return [event]

    def _text(self, event: ir.TextDelta) -> list[ir.Event]:
        index = event.index
        safe, hit = self._cutters[index].feed(event.text)
        choice = self._open[index]
        safe, full = self._within(choice, safe)
        # What tokens say goes with them, though some of their text may wait for the next.
        told = event.logprobs if safe or hit is None else None
        out: list[ir.Event] = [ir.TextDelta(index, safe, told)] if safe or told is not None else []
        if hit is None and not full:
            return out
        del self._open[index], self._cutters[index]
        self._cut.add(choice)
        finish = ir.Finish("length", choice) if full else ir.Finish("stop_sequence", choice, stop_sequence=hit)
        out += [ir.PartEnd(index), finish]
        if self._choices <= self._cut and len(self._cut) >= self._wanted:
            self.satisfied = True
            out.append(ir.Done())
        return out

    def _within(self, choice: int, text: str) -> tuple[str, bool]:
        """As much of a choice's next text as its limit leaves, and whether the limit cut it."""
        if self._most_chars is None:
            return text, False
        left = self._most_chars - self._said.get(choice, 0)
        self._said[choice] = self._said.get(choice, 0) + len(text)
        return text[:left], len(text) > left

    def _end(self, index: int) -> list[ir.Event]:
        if self._open.pop(index, None) is None:
            return []
        cutter = self._cutters.pop(index, None)
        rest = cutter.flush() if cutter is not None else ""
        return [ir.TextDelta(index, rest), ir.PartEnd(index)] if rest else [ir.PartEnd(index)]


def cut_whole(response: ir.Response, stops: Sequence[str], most: int | None = None) -> ir.Response:
    """A whole answer with each choice's text cut at the first stop string, or at `most` tokens."""
    if not stops and most is None:
        return response
    choices = tuple(_cut_choice(choice, stops, most) for choice in response.choices)
    return msgspec.structs.replace(response, choices=choices)


def _cut_choice(choice: ir.Choice, stops: Sequence[str], most: int | None) -> ir.Choice:
    parts: list[ir.Part] = []
    left = None if most is None else most * CHARS_PER_TOKEN
    for part in choice.parts:
        if isinstance(part, ir.Text):
            cutter = StopCutter(stops)
            safe, hit = cutter.feed(part.text)
            safe += cutter.flush() if hit is None else ""
            full = left is not None and len(safe) > left
            safe = safe[:left]
            left = None if left is None else left - len(safe)
            if hit is not None or full:
                number = choice.finish.choice
                finish = ir.Finish("length", number) if full else ir.Finish("stop_sequence", number, stop_sequence=hit)
                kept = (*parts, msgspec.structs.replace(part, text=safe, citations=()))
                return ir.Choice(parts=kept, finish=finish, logprobs=choice.logprobs)
        parts.append(part)
    return choice
