"""A server's stream: chat completion chunks to events.

Rules. Ends are honest: Done only after a finish reason for every choice seen, or after `[DONE]` behind a usage report
when the calls are whole; anything else is Failed. The finish is told at the end, since pieces and usage still come
after the reason. At most one part per choice is open: of calls that interleave one is streamed and the rest held.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Raw, Struct

from llm_mux import ir
from llm_mux.translators import moulds
from llm_mux.translators.base import FrameDecoder, Target, cut_short, present
from llm_mux.translators.openai_chat import dull, models, quirks, reasoning, response, usage, wire
from llm_mux.translators.openai_chat.calls import Call, Calls
from llm_mux.translators.openai_chat.errors import decode_failure
from llm_mux.translators.openai_chat.tags import ThinkTags
from llm_mux.wire import jsonx, sse

_DELTAS = (ir.TextDelta, ir.ReasoningDelta, ir.ArgumentsDelta)
_CARRIED: dict[type | None, type] = {
    ir.Text: ir.TextDelta,
    ir.Reasoning: ir.ReasoningDelta,
    ir.ToolCall: ir.ArgumentsDelta,
}
_PIECES = moulds.values_of(b"content", b"reasoning", b"reasoning_content", b"arguments")


class Prose(Struct, frozen=True):
    """Text, reasoning or a refusal that waits until an unfinished call is closed."""

    kind: type
    text: str
    logprobs: Raw | None = None


class Decoder(FrameDecoder):
    """Chunks to events; also reads whole answers and legacy completion chunks where a stream was expected."""

    __slots__ = (
        "_choices",
        "_known",
        "_parts",
        "_sources",
        "_speaker",
        "_started",
        "_told",
        "_usage",
        "family",
        "id",
        "raw",
        "target",
    )

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target
        self.family = ir.family(target.model)
        self.raw = models.shows_chain(target.model)
        self.id = ""
        self._started = False
        self._choices: dict[int, _Choice] = {}
        self._parts = 0
        self._usage: ir.Usage | None = None
        self._sources: list[ir.Citation] = []
        self._known = moulds.Known(_PIECES)
        self._speaker: _Choice | None = None
        self._told = False

    def frame(self, frame: sse.Frame) -> list[ir.Event]:
        data = frame.data
        if self._speaker is not None and not frame.event and (text := self._known.text(data)):
            more = self._speaker.more(text)
            if more is not None:
                return [more]
        if data == b"[DONE]":
            return self._end(marked=True)
        try:
            chunk = wire.answer.decode(data)
        except (ValueError, RecursionError):
            if data.startswith(b"[DONE]"):
                return self._end(marked=True)
            if not data.strip():
                return []
            chunk = jsonx.decode(data, wire.Answer, strict=False, halves=True)
        if (chunk.choices is None or chunk.error is not UNSET or frame.event) and _is_error(chunk, frame):
            return [ir.Failed(decode_failure(data))]
        events: list[ir.Event] = []
        if not self._started or chunk.usage is not None or chunk.x_groq is not None or not chunk.choices:
            self._head(chunk, events)
        if chunk.citations is not UNSET:
            self._sources = response.sources(chunk.citations)
        for choice in chunk.choices or ():
            self._choice(choice).take(choice, events)
        if len(events) == 1 and type(events[0]) in _DELTAS:
            # Who only watches a stream reads one piece of a text: the second is worth learning.
            if self._told and self._known.curious:
                self._learn(frame, chunk, events[0])
            self._told = True
        return events

    def row(self, data: bytes) -> ir.Row | None:
        if self._speaker is None or (index := self._speaker.telling()) is None:
            return None
        return self._known.row(index, data) if self.splitter.between and not self.over else None

    def _learn(self, frame: sse.Frame, chunk: wire.Answer, event: ir.Event) -> None:
        """Remembers a record that says one piece of an open part and nothing else."""
        assert isinstance(event, _DELTAS)
        if (choice := dull.speaker(chunk)) is None:
            return
        speaker = self._choice(choice)
        if not speaker.ready(event):
            self._known.forget()
        elif self._known.learn(frame.data, event.text, b"" if frame.event else frame.raw):
            self._speaker = speaker

    def closed(self) -> list[ir.Event]:
        return self._end(marked=False)

    def open(self, part: ir.Part, choice: int, events: list[ir.Event]) -> int:
        """Starts the next part; its index."""
        index = self._parts
        self._parts += 1
        events.append(ir.PartStart(index, part, choice))
        return index

    def _head(self, chunk: wire.Answer, events: list[ir.Event]) -> None:
        counted = chunk.usage or (chunk.x_groq.usage if chunk.x_groq else None)
        if not self._started and (chunk.choices or counted):
            self._started = True
            self.id = "" if chunk.id is None else str(chunk.id)
            model = chunk.model or self.target.model
            events.append(ir.Start(self.id, model, response.created(chunk.created), native=_own_fields(chunk)))
        found = usage.decode_usage(counted) if counted is not None else None
        if found is not None and found != self._usage:
            self._usage = found
            events.append(ir.UsageReport(found))

    def _choice(self, choice: wire.Choice) -> _Choice:
        number = choice.index or 0
        found = self._choices.get(number)
        if found is None:
            found = self._choices[number] = _Choice(number, self)
        return found

    def _end(self, *, marked: bool) -> list[ir.Event]:
        choices = [self._choices[number] for number in sorted(self._choices)]
        proven = marked and self._usage is not None
        if not choices or not all(choice.word or (proven and choice.whole) for choice in choices):
            return [ir.Failed(cut_short())]
        events: list[ir.Event] = []
        for choice in choices:
            choice.finish(events, self._sources)
        events.append(ir.Done())
        # A choice knows its decoder: together they would wait for the garbage collector.
        self._choices, self._speaker = {}, None
        return events


def _is_error(chunk: wire.Answer, frame: sse.Frame) -> bool:
    """Whether a record is an error, also one that does not say so: a message where the choices should be."""
    if present(chunk.error) or chunk.object == "error" or frame.event == "error":
        return True
    if chunk.choices is not None or chunk.usage is not None or chunk.id is not None:
        return False
    top = jsonx.top(frame.data)
    return "message" in top or "detail" in top


def _own_fields(chunk: wire.Answer) -> ir.Native | None:
    fields = {"system_fingerprint": chunk.system_fingerprint, "service_tier": chunk.service_tier}
    kept = {name: raw for name, raw in fields.items() if isinstance(raw, Raw) and present(raw)}
    return ir.Native(wire.NAME, Raw(msgspec.json.encode(kept))) if kept else None


class _Choice:
    """One choice: the part that is open, what waits behind it, and the reason once given."""

    __slots__ = (
        "_audio",
        "_call",
        "_calls",
        "_carrying",
        "_cites",
        "_decoder",
        "_details",
        "_halves",
        "_held",
        "_index",
        "_kind",
        "_refusal",
        "_spelled",
        "_tags",
        "number",
        "word",
    )

    def __init__(self, number: int, decoder: Decoder) -> None:
        self.number = number
        self.word: str | None = None
        self._decoder = decoder
        self._calls = Calls(decoder.family)
        self._tags = ThinkTags() if quirks.of(decoder.target).think_tags else None
        self._kind: type | None = None
        self._index = -1
        self._call: Call | None = None
        self._held: list[Prose | Call] = []
        self._halves = jsonx.Surrogates()
        self._details: list[dict[str, object]] = []
        self._spelled = False
        self._refusal = ""
        self._cites: list[ir.Citation] = []
        self._audio: dict[str, object] = {}
        self._carrying: tuple[type | None, Call | None, int] | None = None

    def ready(self, event: ir.Event) -> bool:
        """Whether what `event` carries on is open, and more of it would need no other look than `more`."""
        self._carrying = self._kind, self._call, len(self._calls.all)
        return self._tags is None and self._kind in _CARRIED and type(event) is _CARRIED[self._kind]

    def more(self, text: str) -> ir.Event | None:
        """A piece like the last one that `ready` saw, None when its part is not open any more."""
        if (self._kind, self._call, len(self._calls.all)) != self._carrying:
            return None
        if self._call is not None:
            self._call.pieces.append(text)
            return ir.ArgumentsDelta(self._index, self._call.unsent())
        text = self._halves.feed(text)
        return ir.ReasoningDelta(self._index, text) if self._kind is ir.Reasoning else ir.TextDelta(self._index, text)

    def telling(self) -> int | None:
        """The index of the text that was open then, if it still is and nothing of it waits; None for anything else."""
        if self._kind is not ir.Text or (self._kind, self._call, len(self._calls.all)) != self._carrying:
            return None
        return None if self._halves.waits else self._index

    @property
    def whole(self) -> bool:
        """Whether nothing that was begun is unfinished."""
        return all(call.complete or not call.pieces for call in self._calls.all)

    def take(self, choice: wire.Choice, events: list[ir.Event]) -> None:
        said = choice.delta or choice.message
        if said is None:
            self._content(choice.text or "", None, events)
        else:
            self._delta(said, choice.logprobs, events)
        if choice.finish_reason and self.word in (None, "stop"):
            self.word = choice.finish_reason

    def _delta(self, delta: wire.Delta, logprobs: wire.Logprobs | None, events: list[ir.Event]) -> None:
        content = delta.content
        if delta.reasoning_content or delta.reasoning or delta.reasoning_details or isinstance(content, list):
            self._think(delta, events)
            content = response.content_text(content)
        if content:
            self._content(content, response.tokens(logprobs, refusal=False), events)
        if delta.refusal:
            self._refusal += delta.refusal
            self._say(ir.Refusal, delta.refusal, response.tokens(logprobs, refusal=True), events)
        if delta.tool_calls or delta.function_call or delta.annotations or delta.images or delta.audio:
            self._rest(delta, events)

    def _think(self, delta: wire.Delta, events: list[ir.Event]) -> None:
        thought = response.reasoning_text(delta) or response.thought_text(delta.content)
        self._spelled = self._spelled or bool(thought)
        if delta.reasoning_details:
            self._keep(delta.reasoning_details)
            # Entries repeat what the plain field says: at once with it (OpenRouter), or whole at the end (our own).
            thought = thought if self._spelled else reasoning.details_text(delta.reasoning_details)
        if thought:
            self._say(ir.Reasoning, thought, None, events)

    def _rest(self, delta: wire.Delta, events: list[ir.Event]) -> None:
        for piece in delta.tool_calls or ():
            call = self._calls.take(piece)
            if call.real:
                self._piece(call, events)
        if delta.function_call is not None:
            self._piece(self._calls.take(wire.Call(index=0, function=delta.function_call)), events)
        if delta.annotations:
            self._cites += response.citations(delta.annotations)
        for part in delta.images or ():
            picture = response.image(part)
            if picture is not None:
                self._whole(picture, events)
        if delta.audio is not None:
            self._hear(delta.audio)

    def _content(self, text: str, logprobs: Raw | None, events: list[ir.Event]) -> None:
        if self._tags is None:
            if text:
                self._say(ir.Text, text, logprobs, events)
            return
        for inside, piece in self._tags.feed(text):
            self._say(ir.Reasoning if inside else ir.Text, piece, None if inside else logprobs, events)

    def _say(self, kind: type, text: str, logprobs: Raw | None, events: list[ir.Event]) -> None:
        """Prose: into the open part of its kind, else into a new one, unless an unfinished call makes it wait."""
        if self._kind is not kind:
            if self._call is not None:
                if not text.strip():
                    return
                if self._held or not self._call.complete:
                    self._held.append(Prose(kind, text, logprobs))
                    return
            self._open(kind, events)
        text = self._halves.feed(text)
        if kind is ir.Reasoning:
            events.append(ir.ReasoningDelta(self._index, text))
        else:
            events.append(ir.TextDelta(self._index, text, logprobs))

    def _open(self, kind: type, events: list[ir.Event]) -> None:
        self._close(events)
        if kind is not ir.Reasoning:
            self._seal_rest(events)
        part: ir.Part = ir.Reasoning("", raw=self._decoder.raw) if kind is ir.Reasoning else kind("")
        self._index = self._decoder.open(part, self.number, events)
        self._kind = kind

    def _close(self, events: list[ir.Event]) -> None:
        """Ends the open part, if there is one."""
        if self._call is not None:
            self._close_call(self._call, events)
        elif self._kind is not None:
            left = self._halves.flush()
            if left:
                reasons = self._kind is ir.Reasoning
                events.append(ir.ReasoningDelta(self._index, left) if reasons else ir.TextDelta(self._index, left))
            if self._kind is ir.Reasoning:
                events.append(ir.Seal(self._index, self._native()))
            if self._kind is ir.Text:
                self._cite(events)
            events.append(ir.PartEnd(self._index))
        self._kind, self._call = None, None

    def _close_call(self, call: Call, events: list[ir.Event]) -> None:
        rest = call.unsent()
        if rest:
            events.append(ir.ArgumentsDelta(self._index, rest))
        if call.native is not None:
            events.append(ir.Seal(self._index, call.native))
        call.closed = True
        events.append(ir.PartEnd(self._index))

    def _cite(self, events: list[ir.Event]) -> None:
        events.extend(ir.Cite(self._index, citation) for citation in self._cites)
        self._cites = []

    def _piece(self, call: Call, events: list[ir.Event]) -> None:
        """A call has grown: streams it, or lets it wait for the one that is open."""
        if call is self._call:
            text = call.unsent()
            if text:
                events.append(ir.ArgumentsDelta(self._index, text))
        elif not call.closed:
            if call not in self._held:
                self._held.append(call)
            self._drain(events, final=False)

    def _drain(self, events: list[ir.Event], *, final: bool) -> None:
        """Opens what waits, in order, as far as the open call allows; at the end all of it."""
        while self._held:
            if self._call is not None and not final and not self._call.complete:
                return
            first = self._held[0]
            if isinstance(first, Call):
                if not first.name and not final:
                    return
                self._held.pop(0)
                self._start(first, events)
            else:
                self._held.pop(0)
                self._close(events)
                self._say(first.kind, first.text, first.logprobs, events)

    def _start(self, call: Call, events: list[ir.Event]) -> None:
        self._close(events)
        self._seal_rest(events)
        seed = self._decoder.id or f"{self._decoder.target.model}"
        self._index = self._decoder.open(self._calls.named(call, seed, self.number), self.number, events)
        self._kind, self._call = ir.ToolCall, call
        text = call.unsent()
        if text:
            events.append(ir.ArgumentsDelta(self._index, text))

    def _whole(self, part: ir.Part, events: list[ir.Event]) -> None:
        self._close(events)
        events.append(ir.PartEnd(self._decoder.open(part, self.number, events)))

    def _hear(self, piece: wire.AudioOut) -> None:
        for name in ("id", "data", "transcript", "expires_at"):
            value = getattr(piece, name)
            if value is not None:
                old = self._audio.get(name)
                joins = isinstance(old, str) and isinstance(value, str) and name != "id"
                self._audio[name] = f"{old}{value}" if joins else value

    def _keep(self, details: Sequence[Raw]) -> None:
        """Adds entries of `reasoning_details`: text pieces of one entry are joined, everything else stays as it is."""
        for raw in details:
            entry = msgspec.json.decode(raw)
            if not isinstance(entry, dict):
                continue
            last = self._details[-1] if self._details else {}
            same = all(last.get(key) == entry.get(key) for key in ("type", "index"))
            if same and entry.get("type") in ("reasoning.text", "reasoning.summary"):
                for key, value in entry.items():
                    joins = key in ("text", "summary") and isinstance(last.get(key), str) and isinstance(value, str)
                    last[key] = f"{last[key]}{value}" if joins else value if value is not None else last.get(key)
            else:
                self._details.append(entry)

    def _native(self) -> ir.Native:
        """The entries so far, as the seal of a reasoning part."""
        kept, self._details = self._details, []
        return ir.Native(wire.NAME, Raw(jsonx.encode(kept)), self._decoder.family)

    def _seal_rest(self, events: list[ir.Event]) -> None:
        """Entries that no open reasoning part takes get an empty one of their own."""
        if self._details:
            index = self._decoder.open(ir.Reasoning(""), self.number, events)
            events += [ir.Seal(index, self._native()), ir.PartEnd(index)]

    def finish(self, events: list[ir.Event], sources: Sequence[ir.Citation]) -> None:
        """Ends the choice: what is open or waits, then the reason."""
        if self._tags is not None:
            for inside, piece in self._tags.flush():
                self._say(ir.Reasoning if inside else ir.Text, piece, None, events)
        self._drain(events, final=True)
        self._cites = self._cites or (list(sources) if self._kind is ir.Text else [])
        self._close(events)
        self._seal_rest(events)
        if self._cites:
            self._open(ir.Text, events)
            self._close(events)
        if self._audio.get("data"):
            self._whole(response.audio(msgspec.convert(self._audio, wire.AudioOut)), events)
        events.append(
            usage.finish(
                self.word, self.number, calls=any(call.real for call in self._calls.all), refusal=self._refusal
            )
        )
