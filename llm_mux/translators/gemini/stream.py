"""An upstream's stream to events: SSE records, a JSON array that grows, or a bare JSON body, whichever comes.

Rules. Gemini has no end mark: the stream is complete when it closes after every candidate gave a finish reason, and
cut short otherwise. Finishes wait for the close, because usage and a second finish may still follow. Text pieces of
consecutive unsigned parts are one part; a signed part stands alone. Spec: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import replace

from llm_mux import ir
from llm_mux.translators.base import FrameDecoder, Target, cut_short, present
from llm_mux.translators.gemini import answer_parts, citations, errors, finish, wire
from llm_mux.translators.gemini.logprobs import decode_logprobs
from llm_mux.translators.gemini.partial import PartialCall
from llm_mux.translators.gemini.usage import decode_usage
from llm_mux.wire import jsonarray, jsonx, sse

_plain: msgspec.json.Decoder[wire.PlainAnswer] = msgspec.json.Decoder(wire.PlainAnswer)
_MOST_ODD = 4
"""After so many records in a row that are not plain, a server is taken to write none that are."""


class _Records:
    """A splitter that finds out by the first byte whether records come as SSE or as JSON."""

    def __init__(self) -> None:
        self._head = b""
        self._sse: sse.Splitter | None = None
        self._array: jsonarray.Splitter | None = None

    def feed(self, data: bytes) -> list[sse.Frame]:
        if self._sse is not None:
            return self._sse.feed(data)
        if self._array is not None:
            return _frames(self._array.feed(data))
        self._head += data
        first = self._head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        if not first or first == b"\xef":
            return []
        head, self._head = self._head, b""
        if first == b"[":
            self._array = jsonarray.Splitter()
            return _frames(self._array.feed(head))
        self._sse = sse.Splitter()
        return self._sse.feed(head)

    def finish(self) -> list[sse.Frame]:
        if self._array is not None:
            return _frames(self._array.finish())
        return self._sse.finish() if self._sse is not None else []


def _frames(elements: list[bytes]) -> list[sse.Frame]:
    return [sse.Frame(None, element, element) for element in elements]


class _Candidate:
    """One candidate while it streams: its open part, what it said, and how it ended."""

    def __init__(self, calls: answer_parts.CallCount) -> None:
        self.calls = calls
        self.open: int | None = None
        self.kind: type[ir.Text] | type[ir.Reasoning] = ir.Text
        self.halves = jsonx.Surrogates()
        self.sealed = False  # The open text has its signature and takes no more words, only sources.
        self.said: list[str] = []
        self.spoke = False
        self.cited: set[ir.Citation] = set()
        self.texts: list[tuple[int, int]] = []  # Every text's index, and how much was said before it.
        self.early: list[ir.Citation] = []  # Sources that came before there was a text.
        self.kept: dict[str, object] = {}
        self.partial: PartialCall | None = None

    @property
    def finished(self) -> bool:
        return "finishReason" in self.kept

    def repeats(self, part: wire.Part) -> bool:
        """Whether a part after the finish says again what was said before (a closing record of some hosts)."""
        if not self.finished or part.text is None or part.thought:
            return False
        return bool(part.text) and part.text == "".join(self.said)


class Decoder(FrameDecoder):
    """The stream of one answer."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._records = _Records()
        self._target = target
        self._family = ir.family(target.model)
        self._started = False
        self._seed = ""
        self._next = 0
        self._candidates: dict[int, _Candidate] = {}
        self._usage: wire.UsageMetadata | None = None
        self._searches = 0
        self._blocked: wire.PromptFeedback | None = None
        self._odd = 0

    def feed(self, data: bytes) -> list[ir.Event]:
        return self._events(self._records.feed(data))

    def finish(self) -> list[ir.Event]:
        events = self._events(self._records.finish())
        return events + super().finish()

    def frame(self, frame: sse.Frame) -> list[ir.Event]:
        if frame.data.startswith(b"[DONE]"):
            return []
        if self._started and self._odd < _MOST_ODD and (more := self._more(frame.data)) is not None:
            return more
        answer = jsonx.decode(frame.data, wire.Answer, halves=True)
        if isinstance(answer.error, Raw) and present(answer.error):
            return [*self._usage_so_far(), ir.Failed(errors.decode_failure(frame.data))]
        events: list[ir.Event] = [] if self._started else [self._start(answer)]
        if answer.usageMetadata is not None:
            self._usage = answer.usageMetadata
        if answer.promptFeedback is not None and answer.promptFeedback.blockReason:
            self._blocked = answer.promptFeedback
        for at, candidate in enumerate(answer.candidates or ()):
            self._candidate(at if candidate.index is None else candidate.index, candidate, events)
        return events

    def _more(self, data: bytes) -> list[ir.Event] | None:
        """More of the open text of a candidate, None for a record that may say anything else."""
        try:
            answer = _plain.decode(data)
        except (ValueError, RecursionError):
            self._odd += 1
            return None
        self._odd = 0
        (candidate,) = answer.candidates
        (part,) = candidate.content.parts
        one = self._candidates.get(candidate.index or 0)
        if one is None or one.open is None or one.sealed or one.finished or not part.text:
            return None
        if one.kind is not (ir.Reasoning if part.thought else ir.Text):
            return None
        if answer.usageMetadata is not None:
            self._usage = answer.usageMetadata
        events: list[ir.Event] = []
        text = one.halves.feed(part.text)
        if text:
            self._say(one, text, None, events)
        return events

    def closed(self) -> list[ir.Event]:
        events: list[ir.Event] = []
        complete = all(one.finished for one in self._candidates.values())
        if not self._started or not complete or not (self._candidates or self._blocked):
            return [*self._usage_so_far(), ir.Failed(cut_short())]
        for one in self._candidates.values():
            self._close(one, events)
        events.extend(self._usage_so_far())
        for choice, one in self._candidates.items():
            called, cut = one.calls.count > 0, one.partial is not None
            events.append(finish.decode_finish(one.kept, choice, called=called, spoke=one.spoke, cut=cut))
        if not self._candidates and self._blocked is not None:
            events.append(finish.blocked(self._blocked))
        return [*events, ir.Done()]

    def _start(self, answer: wire.Answer) -> ir.Start:
        self._started = True
        self._seed = answer_parts.seed(answer)
        usage = decode_usage(answer.usageMetadata) if answer.usageMetadata is not None else None
        return ir.Start(answer.responseId or "", answer.modelVersion or self._target.model, usage=usage)

    def _usage_so_far(self) -> list[ir.Event]:
        if self._usage is None or not self._started:
            return []
        return [ir.UsageReport(decode_usage(self._usage, self._searches))]

    def _candidate(self, choice: int, record: wire.Candidate, events: list[ir.Event]) -> None:
        one = self._candidates.get(choice)
        if one is None:
            one = self._candidates[choice] = _Candidate(answer_parts.CallCount(self._seed, choice))
        parts = record.content.parts or [] if record.content is not None else []
        sources_first = not any(part.text for part in parts)
        if sources_first:
            self._cite(one, record, events)
        tokens = decode_logprobs(record.logprobsResult)
        for part in parts:
            if not one.repeats(part):
                self._part(one, part, tokens, events)
                tokens = None if part.text and not part.thought else tokens
        if not sources_first:
            self._cite(one, record, events)
        if one.sealed:
            self._close(one, events)
        finish.keep(record, one.kept)

    def _part(self, one: _Candidate, part: wire.Part, tokens: Raw | None, events: list[ir.Event]) -> None:
        call = part.functionCall
        if call is not None and (one.partial is not None or call.willContinue or call.partialArgs):
            whole = self._pieces(one, call)
            if whole is None:
                return
            part = replace(part, functionCall=whole)
        made = answer_parts.decode_part(part, self._family, one.calls)
        match made:
            case None:
                return
            case ir.Text() | ir.Reasoning():
                self._words(one, made, tokens, events)
            case ir.ToolCall():
                self._whole(one, replace(made, arguments=""), events, jsonx.whole_text(_joined(made.arguments)))
            case _:
                self._whole(one, made, events, "")
        one.spoke = True

    def _pieces(self, one: _Candidate, call: wire.FunctionCall) -> wire.FunctionCall | None:
        """The whole call once its last piece is there."""
        if one.partial is None:
            one.partial = PartialCall(call)
        one.partial.add(call)
        if call.willContinue:
            return None
        whole, one.partial = one.partial.whole(), None
        return whole

    def _words(self, one: _Candidate, part: ir.Text | ir.Reasoning, tokens: Raw | None, events: list[ir.Event]) -> None:
        if part.native is not None or one.open is None or one.sealed or one.kind is not type(part):
            self._close(one, events)
            one.open, one.kind = self._next, type(part)
            self._next += 1
            events.append(ir.PartStart(one.open, replace(part, text=""), one.calls.choice))
            if one.kind is ir.Text:
                one.texts.append((one.open, sum(map(len, one.said))))
                events.extend(ir.Cite(one.open, citation) for citation in one.early)
                one.early.clear()
        text = one.halves.feed(part.text)
        if text:
            self._say(one, text, tokens, events)
        one.sealed = part.native is not None

    def _say(self, one: _Candidate, text: str, tokens: Raw | None, events: list[ir.Event]) -> None:
        assert one.open is not None
        if one.kind is ir.Text:
            one.said.append(text)
            events.append(ir.TextDelta(one.open, text, tokens))
        else:
            events.append(ir.ReasoningDelta(one.open, text))

    def _whole(self, one: _Candidate, part: ir.Part, events: list[ir.Event], arguments: str) -> None:
        self._close(one, events)
        events.append(ir.PartStart(self._next, part, one.calls.choice))
        if arguments:
            events.append(ir.ArgumentsDelta(self._next, arguments))
        events.append(ir.PartEnd(self._next))
        self._next += 1

    def _close(self, one: _Candidate, events: list[ir.Event]) -> None:
        if one.open is None:
            return
        rest = one.halves.flush()
        if rest:
            self._say(one, rest, None, events)
        events.append(ir.PartEnd(one.open))
        one.open, one.sealed = None, False

    def _cite(self, one: _Candidate, record: wire.Candidate, events: list[ir.Event]) -> None:
        """Sources for the text they begin in, the last one if they have no place; each once, though records repeat
        them."""
        if record.groundingMetadata is UNSET and record.citationMetadata is UNSET:
            return
        self._searches = max(self._searches, citations.searches(record))
        for citation in citations.cited(record, "".join(one.said)):
            if citation in one.cited:
                continue
            one.cited.add(citation)
            if not one.texts:
                one.early.append(replace(citation, start=None, end=None))
                continue
            at = len(one.texts) - 1
            while citation.start is not None and one.texts[at][1] > citation.start:
                at -= 1
            index, before = one.texts[at]
            until = one.texts[at + 1][1] if at + 1 < len(one.texts) else None
            events.append(ir.Cite(index, citations.moved(citation, before, until)))


def _joined(arguments: str) -> str:
    """Arguments with stand-ins for halves of surrogate pairs put right."""
    if arguments.isascii():
        return arguments
    halves = jsonx.Surrogates()
    return halves.feed(arguments) + halves.flush()


def stream_decoder(target: Target) -> Decoder:
    return Decoder(target)
