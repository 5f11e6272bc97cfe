"""Stop strings that a backend cannot honour are cut here, whole and in streams.

When one is hit its choice is finished with `stop_sequence`; once that is so for all, the upstream may be closed:
`Enforcer.satisfied`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import msgspec

from llm_mux import ir
from llm_mux.wire.stops import StopCutter


class Enforcer:
    """A filter over a stream's events. After `satisfied` nothing more of the upstream is needed.

    `choices`: how many the client asked for; a later one may not have begun when the first is cut.
    """

    def __init__(self, stops: Sequence[str], choices: int = 1) -> None:
        self._stops = stops
        self._wanted = choices
        self._cutters: dict[int, StopCutter] = {}
        self._open: dict[int, int] = {}
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
                    self._cutters[index] = StopCutter(self._stops)
                return [event]
            case ir.TextDelta(index=index, text=text) if index in self._cutters:
                return self._text(index, text)
            case ir.PartEnd(index=index):
                return self._end(index)
            case ir.Finish(choice=choice):
                return [] if choice in self._cut else [event]
            case ir.ReasoningDelta() | ir.ArgumentsDelta() | ir.TextDelta() | ir.Seal() | ir.Cite():
                return [event] if event.index in self._open else []
            case _:
                return [event]

    def _text(self, index: int, text: str) -> list[ir.Event]:
        safe, hit = self._cutters[index].feed(text)
        out: list[ir.Event] = [ir.TextDelta(index, safe)] if safe else []
        if hit is None:
            return out
        choice = self._open.pop(index)
        del self._cutters[index]
        self._cut.add(choice)
        out += [ir.PartEnd(index), ir.Finish("stop_sequence", choice, stop_sequence=hit)]
        if self._choices <= self._cut and len(self._cut) >= self._wanted:
            self.satisfied = True
            out.append(ir.Done())
        return out

    def _end(self, index: int) -> list[ir.Event]:
        if self._open.pop(index, None) is None:
            return []
        cutter = self._cutters.pop(index, None)
        rest = cutter.flush() if cutter is not None else ""
        return [ir.TextDelta(index, rest), ir.PartEnd(index)] if rest else [ir.PartEnd(index)]


def cut_whole(response: ir.Response, stops: Sequence[str]) -> ir.Response:
    """A whole answer with each choice's text cut at the first stop string."""
    if not stops:
        return response
    choices = tuple(_cut_choice(choice, stops) for choice in response.choices)
    return msgspec.structs.replace(response, choices=choices)


def _cut_choice(choice: ir.Choice, stops: Sequence[str]) -> ir.Choice:
    parts: list[ir.Part] = []
    for part in choice.parts:
        if isinstance(part, ir.Text):
            safe, hit = StopCutter(stops).feed(part.text)
            if hit is not None:
                finish = ir.Finish("stop_sequence", choice.finish.choice, stop_sequence=hit)
                kept = (*parts, msgspec.structs.replace(part, text=safe, citations=()))
                return ir.Choice(parts=kept, finish=finish, logprobs=choice.logprobs)
        parts.append(part)
    return choice
