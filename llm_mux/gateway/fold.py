"""Events to a whole answer and back, for clients and upstreams of which only one streams."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.wire import jsonx


class Fold:
    """Collects events; `response` is the whole answer. Raises the stream's own error when it failed."""

    def __init__(self) -> None:
        self._start = ir.Start("", "")
        self._parts: dict[int, tuple[int, ir.Part]] = {}
        self._text: dict[int, list[str]] = {}
        self._seals: dict[int, ir.Native] = {}
        self._cites: dict[int, list[ir.Citation]] = {}
        self._logprobs: dict[int, list[Raw]] = {}
        self._finish: dict[int, ir.Finish] = {}
        self._usage: ir.Usage | None = None
        self._done = False

    def feed(self, events: Iterable[ir.Event]) -> None:
        for event in events:
            self._one(event)

    def _one(self, event: ir.Event) -> None:
        match event:
            case ir.TextDelta(index=index, text=text, logprobs=logprobs):
                self._text[index].append(text)
                if logprobs is not None:
                    self._logprobs.setdefault(self._parts[index][0], []).append(logprobs)
            case ir.ReasoningDelta(index=index, text=text) | ir.ArgumentsDelta(index=index, text=text):
                self._text[index].append(text)
            case ir.PartStart(index=index, part=part, choice=choice):
                self._parts[index] = (choice, part)
                self._text[index] = []
            case ir.Seal(index=index, native=native):
                self._seals[index] = native
            case ir.Cite(index=index, citation=citation):
                self._cites.setdefault(index, []).append(citation)
            case _:
                self._frame(event)

    def _frame(self, event: ir.Event) -> None:
        match event:
            case ir.Start():
                self._start = event
                self._usage = event.usage or self._usage
            case ir.UsageReport(usage=usage):
                self._usage = usage
            case ir.Finish(choice=choice):
                self._finish[choice] = event
            case ir.Failed(error=error):
                raise error
            case ir.Done():
                self._done = True
            case _:
                pass

    def response(self) -> ir.Response:
        """The whole answer. Raises MuxError UPSTREAM_CUT when the end never came."""
        if not self._done:
            raise MuxError(Kind.UPSTREAM_CUT, "The provider's stream ended before the answer was complete.")
        return ir.Response(
            id=self._start.id,
            model=self._start.model,
            created=self._start.created,
            choices=tuple(self._choice(finish) for _, finish in sorted(self._finish.items())),
            usage=self._usage,
        )

    def _choice(self, finish: ir.Finish) -> ir.Choice:
        indexes = [index for index, (choice, _) in sorted(self._parts.items()) if choice == finish.choice]
        logprobs = self._logprobs.get(finish.choice)
        return ir.Choice(
            parts=tuple(self._whole(index) for index in indexes),
            finish=finish,
            logprobs=_joined_logprobs(logprobs) if logprobs else None,
        )

    def _whole(self, index: int) -> ir.Part:
        part = self._parts[index][1]
        more = "".join(self._text[index])
        native = self._seals.get(index)
        match part:
            case ir.Text():
                cites = (*part.citations, *self._cites.get(index, ()))
                whole = ir.Text(part.text + more, citations=cites, native=native or part.native)
                return whole
            case ir.Reasoning():
                return ir.Reasoning(part.text + more, native=native or part.native, raw=part.raw)
            case ir.ToolCall():
                return msgspec.structs.replace(part, arguments=part.arguments + more, native=native or part.native)
            case ir.Refusal():
                return ir.Refusal(part.text + more)
            case _:
                return part


def _joined_logprobs(pieces: list[Raw]) -> Raw:
    entries = [entry for piece in pieces for entry in jsonx.elements(piece)]
    return Raw(msgspec.json.encode(entries))


def unfold(response: ir.Response) -> list[ir.Event]:
    """A whole answer as the events of a stream, for a client that asked for one."""
    events: list[ir.Event] = [ir.Start(response.id, response.model, created=response.created, usage=response.usage)]
    index = 0
    for choice in response.choices:
        logprobs = choice.logprobs
        for part in choice.parts:
            events.extend(_part_events(index, part, choice.finish.choice, logprobs))
            logprobs = None if isinstance(part, ir.Text) and part.text else logprobs
            index += 1
        events.append(choice.finish)
    if response.usage is not None:
        events.append(ir.UsageReport(response.usage))
    events.append(ir.Done())
    return events


def _part_events(index: int, part: ir.Part, number: int, logprobs: Raw | None) -> list[ir.Event]:
    """The choice's `logprobs` go with its first text."""
    match part:
        case ir.Text():
            empty: ir.Part = ir.Text("")
            inner: list[ir.Event] = [ir.TextDelta(index, part.text, logprobs)] if part.text else []
            inner.extend(ir.Cite(index, citation) for citation in part.citations)
        case ir.Reasoning():
            empty = ir.Reasoning("", raw=part.raw)
            inner = [ir.ReasoningDelta(index, part.text)] if part.text else []
        case ir.ToolCall():
            empty = msgspec.structs.replace(part, arguments="", native=None)
            inner = [ir.ArgumentsDelta(index, part.arguments)] if part.arguments else []
        case ir.Refusal():
            empty = ir.Refusal("")
            inner = [ir.TextDelta(index, part.text)]
        case _:
            return [ir.PartStart(index, part, number), ir.PartEnd(index)]
    if part_native := getattr(part, "native", None):
        inner.append(ir.Seal(index, part_native))
    return [ir.PartStart(index, empty, number), *inner, ir.PartEnd(index)]
