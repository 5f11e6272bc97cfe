"""What holds for any input: any cut of the bytes, any cut of the stream, any JSON."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators.base import Hints
from llm_mux.translators.gemini.translator import TRANSLATOR
from tests.translators.gemini.shorthand import CASES, NEW, TRANSCRIPTS, plain, record, sse, streamed, target

STREAMS = {case: (TRANSCRIPTS / case / "stream.sse").read_bytes() for case in CASES}
ARRAY = json.dumps(
    [record("Café \U0001f600"), record({"functionCall": {"name": "f", "args": {"a": "}]"}}}, finish="STOP")], indent=1
)


@given(st.sampled_from([*STREAMS.values(), ARRAY.encode(), ARRAY.encode("utf-8").replace(b"\n", b"\r\n")]), st.data())
@settings(max_examples=200, deadline=None)
@pytest.mark.covers("PF-1", "PF-2", "FB-108", "FB-109")
def test_any_cut_of_the_bytes_gives_the_same_events(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    decoder = TRANSLATOR.stream_decoder(target())
    events: list[ir.Event] = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        events += decoder.feed(data[start:end])
    assert plain(events + decoder.finish()) == plain(streamed(data))


@pytest.mark.covers("FB-104", "PF-9", "RC-7")
@pytest.mark.parametrize("case", [case for case in CASES if case != "error"])
def test_a_stream_cut_after_any_record_failed_unless_the_finish_was_seen(case: str) -> None:
    records = STREAMS[case].split(b"\r\n\r\n")[:-1]
    for count in range(len(records) + 1):
        data = b"".join(one + b"\r\n\r\n" for one in records[:count])
        last = streamed(data)[-1]
        assert isinstance(last, ir.Done if b"finishReason" in data else ir.Failed)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "text",
        "thought",
        "thoughtSignature",
        "inlineData",
        "fileData",
        "functionCall",
        "functionResponse",
        "executableCode",
        "toolCall",
        "mimeType",
        "data",
        "fileUri",
        "name",
        "args",
        "id",
        "response",
        "parts",
        "role",
        "contents",
        "candidates",
        "content",
        "finishReason",
        "index",
        "groundingMetadata",
        "usageMetadata",
        "promptTokenCount",
        "promptFeedback",
        "blockReason",
        "error",
        "code",
        "message",
        "status",
        "details",
        "tools",
        "toolConfig",
        "functionDeclarations",
        "parameters",
        "parametersJsonSchema",
        "generationConfig",
        "thinkingConfig",
        "thinkingLevel",
        "temperature",
        "systemInstruction",
        "functionCallingConfig",
        "mode",
        "partialArgs",
        "jsonPath",
        "stringValue",
        "willContinue",
        "logprobsResult",
        "groundingSupports",
        "segment",
        "endIndex",
        "citationMetadata",
        "citations",
        "mediaResolution",
        "requests",
    ]
)
ODD: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "STOP", "user", "$.a", "AAAA"])
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)


def raises_only_ours(call: Any, *arguments: Any) -> None:
    with contextlib.suppress(MuxError):
        call(*arguments)


@given(ODD | JSON)
@settings(max_examples=400, deadline=None)
def test_any_body_is_understood_or_refused(body: Any) -> None:
    wrapped = {"contents": [{"role": "model", "parts": [body]}], "tools": [body], "generationConfig": body}
    for one in (body, {"contents": body}, wrapped):
        raises_only_ours(_through, json.dumps(one).encode())


def _through(body: bytes) -> None:
    TRANSLATOR.encode_request(TRANSLATOR.decode_request(body, Hints(model=NEW)), target())


@given(ODD | JSON)
@settings(max_examples=400, deadline=None)
def test_any_answer_is_understood_or_refused(body: Any) -> None:
    data = json.dumps(body).encode()
    wrapped = {"candidates": [{"content": {"parts": [body]}, "finishReason": "STOP", "groundingMetadata": body}]}
    for one in (data, json.dumps(wrapped).encode()):
        raises_only_ours(TRANSLATOR.decode_response, one, target())
        TRANSLATOR.summary(one)
        TRANSLATOR.decode_error(429, {}, one)


@given(st.lists(ODD, max_size=4), st.binary(max_size=30))
@settings(max_examples=400, deadline=None)
def test_any_stream_obeys_the_grammar_and_can_be_passed_on(bodies: list[Any], tail: bytes) -> None:
    records = [one for body in bodies for one in (body, {"candidates": [{"content": {"parts": [body]}}]})]
    events = streamed(sse(*records) + tail)
    assert ir.violations(events) == []
    TRANSLATOR.stream_encoder(TRANSLATOR.decode_request(b'{"contents":[{}]}', Hints(model=NEW))).encode(events)


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_end_honestly(data: bytes) -> None:
    events = streamed(data)
    assert ir.violations(events) == [] and isinstance(events[-1], ir.Failed)


@pytest.mark.covers("PF-132", "FB-138")
@pytest.mark.parametrize("case", CASES)
def test_the_same_request_gives_the_same_bytes(case: str) -> None:
    body = (TRANSCRIPTS / case / "request.json").read_bytes()
    made = {
        TRANSLATOR.encode_request(TRANSLATOR.decode_request(body, Hints(model=NEW)), target()).body for _ in range(2)
    }
    assert len(made) == 1
