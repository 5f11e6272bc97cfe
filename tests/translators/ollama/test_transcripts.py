"""Every transcript: read, written again, cut anywhere, and its whole answer compared with its stream."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.fold import unfold
from llm_mux.translators.base import Hints
from llm_mux.translators.ollama.translator import TRANSLATOR
from tests.translators.ollama.samples import NAMES, TARGET, decoded, encoded, events, folded, read

GOOD = [name for name in NAMES if name != "error"]
FIELDS = ("model", "think", "format", "tools", "logprobs", "top_logprobs", "options")


@pytest.mark.parametrize("case", NAMES)
def test_a_stream_obeys_the_grammar(case: str) -> None:
    found = events(read(case, "stream.ndjson"))
    assert ir.violations(found) == []
    assert isinstance(found[-1], ir.Failed if case == "error" else ir.Done)


@pytest.mark.parametrize("case", GOOD)
def test_a_stream_says_what_the_whole_answer_says(case: str) -> None:
    whole = TRANSLATOR.decode_response(read(case, "response.json"), TARGET)
    streamed = folded(events(read(case, "stream.ndjson")))
    assert streamed.choices == whole.choices or case == "logprobs"
    assert streamed.usage == whole.usage
    assert streamed.choices[0].parts == whole.choices[0].parts


@pytest.mark.covers("FB-104", "PF-9", "RC-7")
@pytest.mark.parametrize("case", GOOD)
def test_a_stream_that_is_cut_after_any_line_fails(case: str) -> None:
    whole = read(case, "stream.ndjson").splitlines(keepends=True)
    for count in range(len(whole)):
        found = events(b"".join(whole[:count]))
        assert ir.violations(found) == []
        last = found[-1]
        assert isinstance(last, ir.Failed) and last.error.kind is Kind.UPSTREAM_CUT


@pytest.mark.covers("FB-104")
@pytest.mark.parametrize("case", ["text", "parallel_tools"])
def test_a_stream_that_is_cut_at_any_byte_fails(case: str) -> None:
    data = read(case, "stream.ndjson").rstrip(b"\n")
    for count in range(len(data)):
        found = events(data[:count])
        assert ir.violations(found) == []
        assert isinstance(found[-1], ir.Failed)


@pytest.mark.covers("PF-1", "PF-8", "FB-108")
@given(case=st.sampled_from(NAMES), cuts=st.lists(st.integers(0, 1500), max_size=12))
def test_any_cut_of_the_bytes_gives_the_same_answer(case: str, cuts: list[int]) -> None:
    data = read(case, "stream.ndjson").rstrip(b"\n")
    assert events(data, [cut for cut in cuts if cut < len(data)]) == events(data)


@pytest.mark.parametrize("case", GOOD)
def test_an_answer_written_for_a_client_reads_the_same(case: str) -> None:
    asked = decoded(read(case, "request.json"))
    whole = TRANSLATOR.decode_response(read(case, "response.json"), TARGET)
    again = TRANSLATOR.decode_response(TRANSLATOR.encode_response(whole, asked), TARGET)
    assert [(c.parts, c.finish) for c in again.choices] == [(c.parts, c.finish) for c in whole.choices]
    assert (again.usage or ir.Usage()) == (whole.usage or ir.Usage())
    assert again.extras == whole.extras
    encoder = TRANSLATOR.stream_encoder(asked)
    written = b"".join(encoder.encode([event]) for event in events(read(case, "stream.ndjson")))
    assert folded(events(written)).choices[0].parts == whole.choices[0].parts


@pytest.mark.parametrize("case", GOOD)
def test_a_whole_answer_becomes_a_stream(case: str) -> None:
    whole = TRANSLATOR.decode_response(read(case, "response.json"), TARGET)
    written = TRANSLATOR.stream_encoder(decoded(read(case, "request.json"))).encode(unfold(whole))
    assert folded(events(written)).choices[0].parts == whole.choices[0].parts


@pytest.mark.covers("FB-138", "PF-132")
@pytest.mark.parametrize("case", [name for name in NAMES if name != "pdf"])
def test_a_request_keeps_its_meaning_through_both_directions(case: str) -> None:
    body = read(case, "request.json")
    asked = decoded(body)
    out = encoded(asked)
    given_ = json.loads(body)
    assert {k: out.get(k) for k in FIELDS} == {k: given_.get(k) for k in FIELDS}
    assert out["stream"] is True
    again = decoded(TRANSLATOR.encode_request(asked, TARGET).body)
    assert TRANSLATOR.encode_request(again, TARGET).body == TRANSLATOR.encode_request(asked, TARGET).body


def test_a_pdf_is_refused_by_name() -> None:
    with pytest.raises(MuxError, match="A document cannot be sent to ollama/qwen3:8b"):
        encoded(decoded(read("pdf", "request.json")))


def test_an_error_in_a_good_status_is_an_error() -> None:
    with pytest.raises(MuxError, match="model runner has unexpectedly stopped") as caught:
        TRANSLATOR.decode_response(read("error", "response.json"), TARGET)
    assert caught.value.kind is Kind.UPSTREAM_ERROR


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WORDS = [
    *("model", "messages", "role", "content", "images", "tool_calls", "tools", "function", "name", "arguments"),
    *("options", "format", "think", "stream", "prompt", "done", "message", "error", "created_at", "done_reason"),
    *("response", "logprobs", "thinking", "eval_count", "embeddings", "input", "models", "stop", "top_k"),
]
BODIES = st.recursive(
    JSON | st.sampled_from(["user", "assistant", "tool", "m", "json", [], {}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=14,
)


@pytest.mark.covers("PF-138")
@given(body=BODIES, operation=st.sampled_from(["chat", "generate"]))
def test_no_client_body_does_worse_than_a_refusal(body: object, operation: str) -> None:
    raw = msgspec.json.encode(body)
    try:
        asked = TRANSLATOR.decode_request(raw, Hints(operation=operation))
        TRANSLATOR.encode_request(asked, TARGET)
    except MuxError as error:
        assert error.policy.status < 500
    TRANSLATOR.adapt(raw, TARGET, True)
    TRANSLATOR.summary(raw)


@given(body=BODIES)
def test_no_upstream_body_does_worse_than_an_error(body: object) -> None:
    raw = msgspec.json.encode(body)
    assert ir.violations(events(raw + b"\n")) == []
    assert TRANSLATOR.decode_error(400, {}, raw).message
    for read_it in (TRANSLATOR.decode_response, TRANSLATOR.embedder.decode_response if TRANSLATOR.embedder else None):
        try:
            assert read_it is not None
            read_it(raw, TARGET)
        except MuxError:
            pass
