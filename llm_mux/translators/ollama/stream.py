"""A server's stream: lines of JSON to events.

Rules. The only clean end is a line with `done: true`; a stream that closes without one is cut, whatever was said
before. Calls come whole. Tool calls end with `stop` on the wire and are told as `tool_calls`. Thinking has no
signature; its seal only says whose it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET, Raw

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators.base import Target, cut_short, nonsense, present
from llm_mux.translators.ids import synthesised
from llm_mux.translators.ollama import wire
from llm_mux.translators.ollama.errors import decode_failure
from llm_mux.translators.ollama.reading import arguments, is_json, medium, seconds
from llm_mux.wire import jsonx, ndjson

_OWN = Raw(b"true")


def own(model: str) -> ir.Native:
    """The seal of a model's thinking: there is nothing in it, it only says where the thinking may go back to."""
    return ir.Native(wire.NAME, _OWN, ir.family(model))


def usage(answer: wire.Answer) -> ir.Usage | None:
    """The counts; one that is missing beside the other is a zero left out."""
    if answer.prompt_eval_count is None and answer.eval_count is None:
        return None
    return ir.Usage(input=max(0, answer.prompt_eval_count or 0), output=max(0, answer.eval_count or 0))


def finish(word: str | None, *, calls: bool) -> ir.Finish:
    if word == "length":
        return ir.Finish("length")
    detail = word if word not in (None, "", "stop") else None
    return ir.Finish("tool_calls" if calls else "stop", detail=detail)


class Ids:
    """Call ids of one answer: the server's, else made from what is unique about the answer, its time."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._given: set[str] = set()

    def call(self, call: wire.Call) -> ir.ToolCall:
        position = len(self._given)
        function = call.function or wire.Function()
        name = function.name or f"tool_{position}"
        text = arguments(function.arguments)
        id_ = call.id
        if not id_ or id_ in self._given:
            id_ = synthesised(self._seed, 0, position, name, text)
        self._given.add(id_)
        return ir.ToolCall(id_, name, text)

    @property
    def any(self) -> bool:
        return bool(self._given)


class Decoder:
    """Bytes to events; also reads a whole answer where a stream was expected."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._splitter = ndjson.Splitter()
        self._over = False
        self._ids: Ids | None = None
        self._next = 0
        self._open: type[ir.Text] | type[ir.Reasoning] | None = None
        self._halves = jsonx.Surrogates()

    def feed(self, data: bytes) -> list[ir.Event]:
        if self._over:
            return []
        try:
            return self._events(self._splitter.feed(data))
        except ndjson.TooLong as error:
            return self._failed(nonsense(f"a stream record that cannot be read ({error})"))

    def finish(self) -> list[ir.Event]:
        if self._over:
            return []
        events = self._events(line for line in self._splitter.finish() if is_json(jsonx.repair(line)))
        return events if self._over else events + self._failed(cut_short())

    def _events(self, lines: Iterable[bytes]) -> list[ir.Event]:
        events: list[ir.Event] = []
        for line in lines:
            if self._over:
                break
            try:
                self._line(line, events)
            except jsonx.Malformed as error:
                events += self._failed(nonsense(f"a stream record that cannot be read ({error})"))
        return events

    def _failed(self, error: MuxError) -> list[ir.Event]:
        self._over = True
        return [ir.Failed(error)]

    def _line(self, line: bytes, events: list[ir.Event]) -> None:
        answer = jsonx.decode(line, wire.Answer, strict=False, halves=True)
        if answer.error is not UNSET and present(answer.error):
            events += self._failed(decode_failure(line))
            return
        said = answer.message
        if said is None:
            if answer.response is None and answer.thinking is None and not answer.done:
                return
            said = wire.Said(answer.response, answer.thinking)
        ids = self._ids or self._start(answer, events)
        if said.thinking:
            self._text(ir.Reasoning, said.thinking, None, events)
        if said.content:
            tokens = answer.logprobs
            log = tokens if isinstance(tokens, Raw) and present(tokens) else None
            self._text(ir.Text, said.content, log, events)
        if said.images or said.tool_calls:
            self._wholes([medium(image) for image in said.images or ()], events)
            self._wholes([ids.call(call) for call in said.tool_calls or ()], events)
        if answer.done:
            self._end(answer, ids, events)

    def _start(self, answer: wire.Answer, events: list[ir.Event]) -> Ids:
        self._ids = Ids(answer.created_at or "")
        events.append(ir.Start("", answer.model or self._target.model, seconds(answer.created_at)))
        return self._ids

    def _text(
        self, kind: type[ir.Text] | type[ir.Reasoning], text: str, log: Raw | None, events: list[ir.Event]
    ) -> None:
        if self._open is not kind:
            self._close(events)
            self._open = kind
            part = ir.Text("") if kind is ir.Text else ir.Reasoning("", raw=True)
            events.append(ir.PartStart(self._next, part))
        text = self._halves.feed(text)
        if text:
            events.append(self._delta(text, log))

    def _delta(self, text: str, log: Raw | None = None) -> ir.Event:
        return ir.TextDelta(self._next, text, log) if self._open is ir.Text else ir.ReasoningDelta(self._next, text)

    def _close(self, events: list[ir.Event]) -> None:
        if self._open is None:
            return
        if rest := self._halves.flush():
            events.append(self._delta(rest))
        if self._open is ir.Reasoning:
            events.append(ir.Seal(self._next, own(self._target.model)))
        events.append(ir.PartEnd(self._next))
        self._next += 1
        self._open = None

    def _wholes(self, parts: Iterable[ir.Part], events: list[ir.Event]) -> None:
        """Parts that come in one piece: calls, images."""
        for part in parts:
            self._close(events)
            if isinstance(part, ir.ToolCall):
                events.append(ir.PartStart(self._next, ir.ToolCall(part.id, part.name, "")))
                if part.arguments:
                    events.append(ir.ArgumentsDelta(self._next, part.arguments))
            else:
                events.append(ir.PartStart(self._next, part))
            events.append(ir.PartEnd(self._next))
            self._next += 1

    def _end(self, answer: wire.Answer, ids: Ids, events: list[ir.Event]) -> None:
        self._close(events)
        counted = usage(answer)
        if counted is not None:
            events.append(ir.UsageReport(counted))
        events += (finish(answer.done_reason, calls=ids.any), ir.Done())
        self._over = True
