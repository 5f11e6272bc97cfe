"""Crossings: every transcript through every translator. What may be lost on the way is listed here, nothing else is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from _pytest.mark.structures import ParameterSet
from msgspec import structs

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.gateway.fold import Fold, unfold
from llm_mux.translators import registry
from llm_mux.translators.base import Encoded, Hints
from llm_mux.wire import jsonx
from tests.translators.meanings import Asked, Made, Said, asked, missing, said
from tests.translators.transcripts import CLIENTS, MODELS, UPSTREAMS, Transcript, events, target, transcripts

REQUESTS = transcripts("request")
STREAMS = transcripts("stream")
ANSWERS = [transcript for transcript in transcripts("response") if transcript.case != "error"]

# Case and target: content that the target's format has no form for, refused with a 400 that says so.
REFUSED = {
    ("pdf", "ollama"): "document",
    ("logprobs", "openai_chat"): "logprobs",
    ("logprobs", "anthropic"): "log probabilities",
    ("logprobs", "bedrock"): "log probabilities",
    ("logprobs", "bedrock_invoke"): "log probabilities",
    ("web_search", "openai_chat"): "web_search",
    ("web_search", "ollama"): "web_search",
    ("web_search", "bedrock"): "web_search",
    ("web_search", "bedrock_invoke"): "web_search",
}


# What is compared, the transcript (or its beginning) and the format: where a translator does otherwise for now.
PENDING: dict[tuple[str, str, str], str] = {}


def taken(transcript: Transcript, format_: str) -> bool:
    return (transcript.case, format_) not in REFUSED


def crossed(found: Sequence[Transcript], formats: Sequence[str], what: str = "") -> pytest.MarkDecorator:
    """Every transcript with every format. `what` is compared, see `PENDING`."""
    return _pairs(((transcript, name) for transcript in found for name in formats), what)


def own(found: Sequence[Transcript], what: str = "") -> pytest.MarkDecorator:
    """Every transcript with its own format."""
    return _pairs(((transcript, transcript.format) for transcript in found), what)


def arriving() -> pytest.MarkDecorator:
    """Every request with every upstream that takes it."""
    return _pairs((transcript, name) for transcript in REQUESTS for name in UPSTREAMS if taken(transcript, name))


def _pairs(pairs: Iterator[tuple[Transcript, str]], what: str = "") -> pytest.MarkDecorator:
    params = [_param(transcript, format_, _pending(what, str(transcript), format_)) for transcript, format_ in pairs]
    return pytest.mark.parametrize(("transcript", "format_"), params)


def _param(transcript: Transcript, format_: str, marks: Sequence[pytest.MarkDecorator]) -> ParameterSet:
    return pytest.param(transcript, format_, id=f"{transcript}-to-{format_}", marks=marks)


def _pending(what: str, transcript: str, format_: str) -> list[pytest.MarkDecorator]:
    reasons = [why for (w, t, f), why in PENDING.items() if (w, f) == (what, format_) and transcript.startswith(t)]
    return [pytest.mark.xfail(reason=reason) for reason in reasons]


# Requests.

# The shortest answer that a server may be asked for; a smaller limit is raised to it.
SHORTEST = {"openai_responses": 16}


def encoded(transcript: Transcript, format_: str) -> Encoded:
    return registry.get(format_).encode_request(transcript.request(), target(format_))


@crossed(REQUESTS, CLIENTS)
def test_a_request_crosses_or_is_refused_as_listed(transcript: Transcript, format_: str) -> None:
    reason = "legacy" if format_ == "openai_completions" else REFUSED.get((transcript.case, format_))
    try:
        encoded(transcript, format_)
    except MuxError as error:
        assert reason is not None, error.message
        assert reason in error.message
        assert error.http_status == 400
    else:
        assert reason is None


@arriving()
def test_a_request_means_the_same_to_every_upstream(transcript: Transcript, format_: str) -> None:
    made = encoded(transcript, format_)
    before, after = asked(_without_emulated(transcript.request(), made, format_)), _arrived(made, format_)
    lost = missing(before, after) - _reported(made)
    assert lost == set(), {name: (getattr(before, name), getattr(after, name)) for name in lost}


def _without_emulated(request: ir.Request, made: Encoded, format_: str) -> ir.Request:
    """What the upstream itself has to be told: the daemon cuts at the stop strings that it does not take."""
    limit = max(request.max_tokens, SHORTEST.get(format_, 0)) if request.max_tokens else None
    stops = tuple(stop for stop in request.stop if stop not in made.stops)
    return structs.replace(request, stop=stops, max_tokens=limit)


def _arrived(made: Encoded, format_: str) -> Asked:
    hints = Hints(model=MODELS[format_], stream=True, headers=made.headers)
    return asked(registry.get(format_).decode_request(made.body, hints), made.names)


REPORTS = {
    "parallel_tool_calls": "parallel",
    "tool_choice": "choice",
    "reasoning_effort": "effort",
    "response_format": "schema",
}


def _reported(made: Encoded) -> set[str]:
    return {REPORTS[name] for name in made.dropped if name in REPORTS}


@arriving()
def test_the_same_request_gives_the_same_bytes(transcript: Transcript, format_: str) -> None:
    assert encoded(transcript, format_) == encoded(transcript, format_)


@own([transcript for transcript in REQUESTS if taken(transcript, transcript.format)], "splice")
def test_a_spliced_request_means_what_the_translated_one_means(transcript: Transcript, format_: str) -> None:
    body, translator = transcript.body("request"), transcript.translator
    edits = translator.adapt(body, target(format_), True)
    if edits is None:
        return
    made = encoded(transcript, format_)
    hints = Hints(model=MODELS[format_], stream=True)
    spliced = translator.decode_request(jsonx.splice(body, edits.top), hints)
    assert missing(asked(spliced), _arrived(made, format_)) - _reported(made) == set()
    assert set(edits.dropped) == set(made.dropped)


# Answers.

# Formats without a form for a part of an answer. Their clients never ask for it, or get it as text.
WITHOUT_REASONING = WITHOUT_CALLS = {"openai_completions"}
WITHOUT_REFUSALS = {"openai_completions", "anthropic", "gemini", "ollama", "bedrock", "bedrock_invoke"}
WITHOUT_FREE_TEXT = {"anthropic", "gemini", "ollama", "bedrock", "bedrock_invoke"}
WITHOUT_FILTERED = {"ollama"}
# Legacy completions have them in a form of their own, which only their clients read.
WITHOUT_LOGPROBS = {"openai_completions", "anthropic", "bedrock", "bedrock_invoke"}
UNCOUNTED: dict[str, set[str]] = {
    "bedrock": {"reasoning"},
    "gemini": {"cache_write", "cache_write_1h"},
    "openai_chat": {"cache_write_1h"},
    "openai_completions": {"cache_write_1h"},
    "openai_responses": {"cache_write_1h"},
    "ollama": {"cache_read", "cache_write", "cache_write_1h", "reasoning"},
}


def folded(stream: list[ir.Event]) -> ir.Response:
    fold = Fold()
    fold.feed(stream)
    return fold.response()


def client(format_: str) -> ir.Request:
    """A client that wants to see everything."""
    return ir.Request(
        MODELS[format_],
        (ir.Message("user", (ir.Text("Hello."),)),),
        protocol=format_,
        stream=True,
        thinking=ir.Thinking(effort="high", show=True),
    )


def failed(stream: list[ir.Event]) -> bool:
    return isinstance(stream[-1], ir.Failed)


@own(STREAMS)
def test_every_stream_obeys_the_grammar(transcript: Transcript, format_: str) -> None:
    assert ir.violations(transcript.events()) == []


@own([transcript for transcript in STREAMS if transcript in ANSWERS])
def test_a_stream_folds_to_the_whole_answer(transcript: Transcript, format_: str) -> None:
    streamed, whole = folded(transcript.events()), transcript.response()
    assert said(streamed) == said(whole)
    assert streamed.usage == whole.usage


def differences(sent: ir.Response, received: ir.Response, format_: str) -> list[tuple[Said, Said]]:
    """Choices that a client of a format reads otherwise than they were sent, each as (expected, read)."""
    pairs = zip(said(sent), said(received), strict=True)
    found = [(_shown(before, format_), _shown(_unexplained(after, before), format_)) for before, after in pairs]
    return [(before, after) for before, after in found if before != after]


def _unexplained(after: Said, before: Said) -> Said:
    """Without the words by which some formats tell why an answer was withheld."""
    return replace(after, refusal="") if before.ending == "filtered" and not before.refusal else after


def _shown(choice: Said, format_: str) -> Said:
    """What a client of a format can see of a choice; an unfinished call may be missing."""
    calls = choice.calls
    if format_ in WITHOUT_CALLS:
        calls = ()
    elif choice.ending == "length":
        calls = tuple(call for call in calls if call.whole)
    if format_ in WITHOUT_FREE_TEXT:
        calls = tuple(Made(call.name, "") if call.name in FREE_TEXT else call for call in calls)
    choice = replace(choice, calls=calls, text=choice.text.partition(LINKS)[0])
    if format_ in WITHOUT_LOGPROBS:
        choice = replace(choice, tokens=())
    if format_ in WITHOUT_REASONING:
        choice = replace(choice, reasoning="")
    if format_ in WITHOUT_REFUSALS:
        choice = replace(choice, text=choice.text + choice.refusal, refusal="")
    if format_ in WITHOUT_CALLS and choice.ending == "tool_calls":
        choice = replace(choice, ending="stop")
    if format_ in WITHOUT_FILTERED and choice.ending == "filtered":
        choice = replace(choice, ending="stop", text=choice.text or WITHHELD)
    return choice


FREE_TEXT = {"apply_patch"}
LINKS = "\n\nSources:\n"
WITHHELD = "The answer was withheld."


def counted(usage: ir.Usage | None, format_: str) -> dict[str, object]:
    """The counts that a format can say."""
    if usage is None:
        return {}
    counts: dict[str, object] = {"prompt": usage.prompt, "output": usage.output}
    for name in ("cache_read", "cache_write", "cache_write_1h", "reasoning"):
        if name not in UNCOUNTED.get(format_, ()):
            counts[name] = getattr(usage, name) or 0
    return counts


@crossed(STREAMS, CLIENTS, "stream")
def test_a_stream_says_the_same_to_every_client(transcript: Transcript, format_: str) -> None:
    sent = transcript.events()
    received = events(format_, registry.get(format_).stream_encoder(client(format_)).encode(sent))
    assert ir.violations(received) == []
    assert failed(received) == failed(sent)
    if not failed(sent):
        assert differences(folded(sent), folded(received), format_) == []
        assert counted(folded(received).usage, format_) == counted(folded(sent).usage, format_)


@crossed(ANSWERS, CLIENTS, "whole")
def test_a_whole_answer_says_the_same_to_every_client(transcript: Transcript, format_: str) -> None:
    translator, sent = registry.get(format_), transcript.response()
    received = translator.decode_response(translator.encode_response(sent, client(format_)), target(format_))
    assert differences(sent, received, format_) == []
    assert counted(received.usage, format_) == counted(sent.usage, format_)


@crossed(ANSWERS, CLIENTS, "stream")
def test_a_whole_answer_streams_as_itself(transcript: Transcript, format_: str) -> None:
    sent = transcript.response()
    assert ir.violations(unfold(sent)) == []
    received = events(format_, registry.get(format_).stream_encoder(client(format_)).encode(unfold(sent)))
    assert ir.violations(received) == []
    assert differences(sent, folded(received), format_) == []


PREFIXES = {
    "openai_chat": ("chatcmpl-", "gen-"),
    "openai_completions": ("cmpl-",),
    "openai_responses": ("resp_",),
    "anthropic": ("msg_",),
    "bedrock_invoke": ("msg_",),
}


@crossed(ANSWERS, CLIENTS)
def test_an_answer_has_an_id_of_its_clients_kind_whole_and_streamed(transcript: Transcript, format_: str) -> None:
    translator, sent = registry.get(format_), structs.replace(transcript.response(), id="gen_1")
    whole = translator.decode_response(translator.encode_response(sent, client(format_)), target(format_))
    streamed = folded(events(format_, translator.stream_encoder(client(format_)).encode(unfold(sent))))
    assert whole.id == streamed.id
    assert whole.id.startswith(PREFIXES.get(format_, ""))


@crossed(STREAMS, CLIENTS)
def test_the_same_stream_gives_the_same_bytes(transcript: Transcript, format_: str) -> None:
    sent = transcript.events()
    first, second = (registry.get(format_).stream_encoder(client(format_)) for _ in range(2))
    assert _timeless(first.encode(sent)) == _timeless(second.encode(sent))


def _timeless(stream: bytes) -> bytes:
    """Ollama's last record says how long the answer took."""
    return re.sub(rb'_duration":\d+', b'_duration":0', stream)


@crossed(STREAMS, CLIENTS, "stream")
def test_events_one_by_one_say_what_they_say_together(transcript: Transcript, format_: str) -> None:
    sent = transcript.events()
    encoder = registry.get(format_).stream_encoder(client(format_))
    received = events(format_, b"".join(encoder.encode([event]) for event in sent))
    assert ir.violations(received) == []
    assert failed(received) == failed(sent)
    if not failed(sent):
        assert differences(folded(sent), folded(received), format_) == []


@own(STREAMS, "stream")
def test_a_stream_that_passes_through_says_what_the_translated_one_says(transcript: Transcript, format_: str) -> None:
    passed = transcript.events()
    translated = events(format_, transcript.translator.stream_encoder(client(format_)).encode(passed))
    assert failed(translated) == failed(passed)
    if not failed(passed):
        assert _unsealed(folded(translated)) == _unsealed(folded(passed))
        assert folded(translated).usage == folded(passed).usage


def _unsealed(answer: ir.Response) -> list[tuple[list[ir.Part], ir.Finish, object]]:
    """Every part, finish and logprob; the seals of reasoning travel in an envelope that the next request opens."""
    return [(_bare(choice.parts), choice.finish, choice.logprobs) for choice in answer.choices]


def _bare(parts: Sequence[ir.Part]) -> list[ir.Part]:
    return [structs.replace(part, native=None) if isinstance(part, ir.Reasoning) else part for part in parts]
