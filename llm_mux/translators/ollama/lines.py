"""A client's stream: events to lines of JSON.

Rules. One object a line and never a blank one. Calls are sent whole, when their arguments are; one that the limit cut
off is left out. One `done: true` line ends a good stream and an `error` line a broken one; nothing follows either.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators import sources
from llm_mux.translators.ollama import wire
from llm_mux.translators.ollama.errors import broken, encode_error
from llm_mux.translators.ollama.response import (
    Clock,
    call_out,
    counts,
    created_at,
    done_reason,
    durations,
    instead,
    is_whole,
    keeps,
    token_list,
)
from llm_mux.wire import jsonx, ndjson

_MORE = b',"done":false}\n'
_REMEMBERED = 100_000
"""Characters of the end of an answer that are looked through for its links."""


class Encoder:
    """Lines for a chat or a generate client. `clock` gives nanoseconds and only differences of it are used."""

    def __init__(self, request: ir.Request, clock: Clock = time.perf_counter_ns) -> None:
        self._clock = clock
        self._begun = clock()
        self._first: int | None = None
        self._generates = wire.OPERATION in request.extras
        self._words, self._thought, self._after = _places(generates=self._generates)
        self._head = _head(request.model, 0)
        self._parts: dict[int, ir.Part] = {}
        self._arguments: dict[int, list[str]] = {}
        self._cut: list[ir.ToolCall] = []
        self._cites: list[ir.Citation] = []
        self._said: list[str] = []
        self._held = 0
        self._linked = sources.linked(request)
        self._texts: set[int] = set()
        self._calls = 0
        self._spoke = False
        self._usage: ir.Usage | None = None
        self._finish = ir.Finish("stop")
        self._over = False

    def encode(self, events: Sequence[ir.Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if self._over:
                break
            if type(event) is ir.TextDelta:
                self._text(event, out)
            else:
                self._one(event, out)
        return b"".join(out)

    def keepalive(self) -> bytes:
        """An empty piece of the answer: clients raise on anything that is no answer."""
        return b"" if self._over else self._line(self._words, "")

    def _one(self, event: ir.Event, out: list[bytes]) -> None:
        match event:
            case ir.ReasoningDelta(index=index, text=text) if index in self._parts and text:
                out.append(self._line(self._thought, text))
            case ir.ArgumentsDelta(index=index, text=text) if index in self._arguments:
                self._arguments[index].append(text)
            case ir.Cite(index=index, citation=citation) if index in self._texts and self._linked:
                self._cites.append(citation)
            case ir.PartStart(index=index, part=part, choice=0):
                self._open(index, part, out)
            case ir.PartEnd(index=index):
                self._close(index, out)
            case ir.Start(model=model, created=created, usage=usage):
                self._head = _head(model, created)
                self._usage = usage
            case ir.UsageReport(usage=usage):
                self._usage = usage
            case ir.Finish(choice=0):
                self._finish = event
            case ir.Failed(error=error):
                self._fail(error, out)
            case ir.Done():
                self._end(out)
            case _:
                pass

    def _line(self, place: bytes, text: str, log: bytes = b"") -> bytes:
        return b"".join((self._head, place, jsonx.encode(text), self._after, log, _MORE))

    def _text(self, event: ir.TextDelta, out: list[bytes]) -> None:
        if event.index not in self._parts or not (event.text or event.logprobs):
            return
        if self._first is None:
            self._first = self._clock()
        self._spoke = True
        if self._linked:
            self._remember(event.text)
        tokens = token_list(event.logprobs) if event.logprobs is not None else None
        log = b',"logprobs":' + bytes(tokens) if tokens is not None else b""
        out.append(self._line(self._words, event.text, log))

    def _remember(self, text: str) -> None:
        self._said.append(text)
        self._held += len(text)
        if self._held > 2 * _REMEMBERED:
            self._said = ["".join(self._said)[-_REMEMBERED:]]
            self._held = _REMEMBERED

    def _open(self, index: int, part: ir.Part, out: list[bytes]) -> None:
        if self._first is None:
            self._first = self._clock()
        self._parts[index] = part
        if isinstance(part, ir.Text):
            self._texts.add(index)
        match part:
            case ir.ToolCall(arguments=arguments):
                self._arguments[index] = [arguments]
            case ir.Text(text=text) | ir.Refusal(text=text) | ir.Opaque(text=text, hint=False) if text:
                self._spoke = True
                out.append(self._line(self._words, text))
            case ir.Reasoning(text=text) if text:
                out.append(self._line(self._thought, text))
            case ir.Image(source=ir.Inline(data=data)):
                self._spoke = True
                out.append(self._image(data))
            case ir.Image(source=ir.Url(url=url)):
                self._spoke = True
                out.append(self._line(self._words, f"![image]({url})"))
            case _:
                pass

    def _image(self, data: str) -> bytes:
        if self._generates:
            return self._head + b'"response":"","image":' + jsonx.encode(data) + _MORE
        return self._head + b'"message":' + jsonx.encode(wire.MessageOut("assistant", "", images=[data])) + _MORE

    def _close(self, index: int, out: list[bytes]) -> None:
        part = self._parts.pop(index, None)
        if not isinstance(part, ir.ToolCall):
            return
        text = "".join(self._arguments.pop(index))
        call = ir.ToolCall(part.id, part.name, text, custom=part.custom)
        if is_whole(call):
            out.append(self._call(call))
        else:
            self._cut.append(call)

    def _call(self, call: ir.ToolCall) -> bytes:
        made = call_out(call, self._calls)
        self._calls += 1
        return self._head + b'"message":' + jsonx.encode(wire.MessageOut("assistant", "", tool_calls=[made])) + _MORE

    def _end(self, out: list[bytes]) -> None:
        end = self._finish
        if end.reason == "broken":
            self._fail(broken(end.detail), out)
            return
        out += [self._call(call) for call in self._cut if keeps(call, end)]
        if self._cites and not self._calls and (links := sources.links(self._cites, "".join(self._said))):
            out.append(self._line(self._words, links))
        if not (self._spoke or self._calls) and (text := instead(end)):
            out.append(self._line(self._words, text))
        self._over = True
        now = self._clock()
        measured = durations(now - self._begun, (now if self._first is None else self._first) - self._begun)
        last = {"done": True, "done_reason": done_reason(end), **measured, **counts(self._usage)}
        out.append(self._head + self._words + b'""' + self._after + b"," + jsonx.encode(last)[1:] + b"\n")

    def _fail(self, error: MuxError, out: list[bytes]) -> None:
        self._over = True
        out.append(ndjson.line(encode_error(error, "")))


def _head(model: str, created: int) -> bytes:
    return jsonx.encode({"model": model, "created_at": created_at(created)})[:-1] + b","


def _places(*, generates: bool) -> tuple[bytes, bytes, bytes]:
    """What stands before a piece of text, before a piece of thinking, and after either."""
    if generates:
        return b'"response":', b'"response":"","thinking":', b""
    message = b'"message":{"role":"assistant","content":'
    return message, message + b'"","thinking":', b"}"
