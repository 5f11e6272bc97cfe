"""What an upstream left out of an answer and a client needs: call ids new to the conversation, and usage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from llm_mux import ir
from llm_mux.translators.ids import digest, legal

_NO_IDS: Final[frozenset[str]] = frozenset()
Estimate = Callable[[int], ir.Usage]
_DELTAS = (ir.TextDelta, ir.ReasoningDelta, ir.ArgumentsDelta)


def taken_ids(request: ir.Request) -> frozenset[str]:
    """The ids of the conversation's earlier tool calls."""
    if not request.tools:
        return _NO_IDS
    turns = (message.parts for message in request.messages if message.role == "assistant")
    return frozenset(part.id for parts in turns for part in parts if isinstance(part, ir.ToolCall))


class Completion:
    """The same for a stream, as a filter over its events.

    `taken` are the ids of the conversation's earlier calls, `seed` makes another one of a repeated id; `estimate` gives
    the usage for so many characters of output, of which it has seen `characters`, when the upstream told none: until
    it has `told` some, the request may have to be counted.
    """

    __slots__ = ("_estimate", "_seed", "_taken", "characters", "told")

    def __init__(self, taken: frozenset[str], seed: str, estimate: Estimate) -> None:
        self._taken = taken
        self._seed = seed
        self._estimate = estimate
        self.characters = 0
        self.told = False

    def __call__(self, events: list[ir.Event]) -> list[ir.Event]:
        for position, event in enumerate(events):
            if type(event) is ir.TextDelta or isinstance(event, _DELTAS):
                self.characters += len(event.text)
            elif isinstance(event, ir.PartStart):
                events[position] = self._started(event)
            elif isinstance(event, ir.UsageReport) or (isinstance(event, ir.Start) and event.usage is not None):
                self.told = True
            elif isinstance(event, ir.Done) and not self.told:
                return [*events[:position], ir.UsageReport(self._estimate(self.characters)), *events[position:]]
        return events

    def _started(self, event: ir.PartStart) -> ir.PartStart:
        part = _fresh(event.part, self._taken, f"{self._seed}\x00{event.index}")
        return event if part is event.part else msgspec.structs.replace(event, part=part)


def new_id(call_id: str, seed: str) -> str:
    """Another id for a call whose own was used before in the conversation."""
    return "call_" + digest(f"{call_id}\x00{seed}")


def completed(response: ir.Response, taken: frozenset[str], seed: str, estimate: Estimate) -> ir.Response:
    """A whole answer with both."""
    choices = response.choices
    if calls(response):
        choices = tuple(
            msgspec.structs.replace(
                choice, parts=tuple(_fresh(part, taken, f"{seed}\x00{n}") for n, part in enumerate(choice.parts))
            )
            for choice in choices
        )
    usage = response.usage
    if usage is None:
        usage = estimate(sum(len(getattr(part, "text", "")) for choice in choices for part in choice.parts))
    return msgspec.structs.replace(response, choices=choices, usage=usage)


def calls(response: ir.Response) -> bool:
    """Whether an answer calls tools."""
    return any([isinstance(part, ir.ToolCall) for choice in response.choices for part in choice.parts])


def _fresh(part: ir.Part, taken: frozenset[str], seed: str) -> ir.Part:
    if isinstance(part, ir.ToolCall) and (not part.id or not taken.isdisjoint(_spellings(part.id))):
        return msgspec.structs.replace(part, id=new_id(part.id, seed))
    return part


def _spellings(call_id: str) -> tuple[str, ...]:
    """The forms in which a client may have seen an id."""
    return call_id, legal(call_id), legal(call_id, 40)
