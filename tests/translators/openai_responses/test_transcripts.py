"""Every transcript: request, whole answer and stream agree with each other, with the SDK, and in any cut."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response as SdkResponse

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators.base import Hints
from llm_mux.translators.openai_responses.translator import TRANSLATOR
from tests.translators.openai_responses.kit import (
    ANSWERED,
    CASES,
    CODEX,
    MODEL,
    TARGET,
    client_for,
    encode,
    events_of,
    file,
    fold,
    last,
    plain,
    record,
    request_of,
    unfold,
)


@pytest.mark.parametrize("case", CASES)
def test_a_translated_request_means_what_the_client_said(case: str) -> None:
    asked = request_of(case)
    again = TRANSLATOR.decode_request(json.dumps(encode(asked)).encode(), Hints())
    assert said(again) == said(asked)
    assert plain(again.tools) == plain(asked.tools)
    assert (again.tool_choice, again.thinking.effort, again.max_tokens) == (
        asked.tool_choice,
        asked.thinking.effort,
        asked.max_tokens,
    )
    assert plain(again.output) == plain(asked.output)


def said(request: ir.Request) -> list[Any]:
    """The words and calls of a conversation, without the boundaries of messages of one role and the names of results."""
    found: list[Any] = []
    for message in request.messages:
        for part in message.parts:
            one = plain(part)
            one.pop("name", None) if isinstance(part, ir.ToolResult) else None
            found.append([message.role, message.phase, one])
            if isinstance(part, ir.ToolResult):
                one["content"] = ir.joined(part.content)
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_request_is_translated_to_the_same_bytes_every_time(case: str) -> None:
    bodies = {TRANSLATOR.encode_request(request_of(case), TARGET).body for _ in range(3)}
    assert len(bodies) == 1


@pytest.mark.parametrize("case", ANSWERED)
def test_the_stream_and_the_whole_answer_are_the_same(case: str) -> None:
    whole = TRANSLATOR.decode_response(file(case, "response.json"), TARGET)
    events = events_of(file(case, "stream.sse"))
    assert ir.violations(events) == []
    assert plain(fold(events)) == plain(whole.choices[0].parts)
    assert last(events, ir.Finish).reason == whole.choices[0].finish.reason
    assert last(events, ir.UsageReport).usage == whole.usage
    assert isinstance(events[-1], ir.Done)
    start = events[0]
    assert isinstance(start, ir.Start)
    assert (start.id, start.model, start.created) == (whole.id, whole.model, whole.created)


@pytest.mark.parametrize("case", ANSWERED)
def test_the_summary_agrees_with_the_decoded_answer(case: str) -> None:
    whole = TRANSLATOR.decode_response(file(case, "response.json"), TARGET)
    summary = TRANSLATOR.summary(file(case, "response.json"))
    assert (summary.usage, summary.model, summary.id) == (whole.usage, whole.model, whole.id)
    if case != "refusal":
        assert summary.finish == whole.choices[0].finish.reason


@pytest.mark.covers("FB-114", "FB-115", "PF-83")
@pytest.mark.parametrize("case", ANSWERED)
def test_the_sdk_takes_our_whole_answer_strictly(case: str) -> None:
    answer = TRANSLATOR.decode_response(file(case, "response.json"), TARGET)
    made = TRANSLATOR.encode_response(answer, request_of(case))
    SdkResponse.model_validate_json(made, strict=False)
    parsed = client_for(made, "application/json").responses.create(model=MODEL, input="x")
    upstream = SdkResponse.model_validate_json(file(case, "response.json"))
    assert parsed.output_text == upstream.output_text
    assert [item.type for item in parsed.output] == [item.type for item in upstream.output]
    assert parsed.usage == upstream.usage
    assert parsed.status == upstream.status


@pytest.mark.covers("PF-80", "PF-81", "FB-113")
@pytest.mark.parametrize("case", ANSWERED)
def test_the_sdk_accumulates_our_stream(case: str) -> None:
    request = request_of(case)
    whole = TRANSLATOR.decode_response(file(case, "response.json"), TARGET)
    choice = whole.choices[0]
    made = TRANSLATOR.stream_encoder(request).encode(unfold(choice.parts, choice.finish, whole.usage))
    with client_for(made).responses.stream(model=MODEL, input="x") as stream:
        kinds = [event.type for event in stream]
        if choice.finish.reason == "length":
            assert kinds[-1] == "response.incomplete"
            return
        final = stream.get_final_response()
    upstream = SdkResponse.model_validate_json(file(case, "response.json"))
    assert final.output_text == upstream.output_text
    assert [item.type for item in final.output] == [item.type for item in upstream.output]


@pytest.mark.parametrize("headers", [{}, CODEX], ids=["any", "codex"])
@pytest.mark.parametrize("case", ANSWERED)
def test_our_own_stream_decodes_to_what_was_encoded(case: str, headers: dict[str, str]) -> None:
    request = request_of(case, headers)
    choice = TRANSLATOR.decode_response(file(case, "response.json"), TARGET).choices[0]
    made = TRANSLATOR.stream_encoder(request).encode(unfold(choice.parts, choice.finish))
    events = events_of(made)
    assert ir.violations(events) == []
    spoken = [part for part in fold(events) if not isinstance(part, ir.Reasoning | ir.Opaque)]
    expected = [part for part in choice.parts if not isinstance(part, ir.Reasoning | ir.Opaque)]
    assert [type(part) for part in spoken if headers == {}] == [type(part) for part in expected if headers == {}]
    assert [getattr(p, "text", "") for p in spoken] == [getattr(p, "text", "") for p in expected]


@pytest.mark.parametrize("case", ANSWERED)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
def test_whole_answers_and_streams_give_the_same_items(case: str, whole: bool) -> None:
    request = request_of(case)
    answer = TRANSLATOR.decode_response(file(case, "response.json"), TARGET)
    choice = answer.choices[0]
    made = TRANSLATOR.stream_encoder(request).events(unfold(choice.parts, choice.finish, answer.usage, choice.logprobs))
    streamed = json.loads(made[-1])["response"]["output"]
    once = json.loads(TRANSLATOR.encode_response(answer, request))["output"]
    assert [item["type"] for item in streamed] == [item["type"] for item in once]
    for one, two in zip(streamed, once, strict=True):
        for key in ("content", "arguments", "name", "call_id", "status", "phase", "input", "namespace"):
            if one["type"] != "reasoning":
                assert one.get(key) == two.get(key)


@pytest.mark.covers("PF-1", "FB-108", "FB-109")
@settings(max_examples=60, deadline=None)
@given(case=st.sampled_from(CASES), data=st.data())
def test_any_cut_of_the_bytes_gives_the_same_events(case: str, data: st.DataObject) -> None:
    stream = file(case, "stream.sse")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    decoder = TRANSLATOR.stream_decoder(TARGET)
    events: list[ir.Event] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        events += decoder.feed(stream[start:end])
    events += decoder.finish()
    assert plain([e for e in events if not isinstance(e, ir.Failed)]) == plain(
        [e for e in events_of(stream) if not isinstance(e, ir.Failed)]
    )


@pytest.mark.covers("FB-104", "FB-3B")
@pytest.mark.parametrize("case", ANSWERED)
def test_a_stream_cut_after_any_record_fails_honestly(case: str) -> None:
    records = file(case, "stream.sse").split(b"\n\n")[:-1]
    for count in range(len(records)):
        events = events_of(b"".join(one + b"\n\n" for one in records[:count]))
        assert isinstance(events[-1], ir.Failed)
        assert ir.violations(events) == []
    assert isinstance(events_of(b"".join(one + b"\n\n" for one in records))[-1], ir.Done)


@pytest.mark.covers("FB-103", "FB-117")
def test_what_follows_the_end_is_ignored() -> None:
    stream = file("text", "stream.sse")
    extra = b"data: [DONE]\n\n" + record("error", message="late", code="x") + b"data: nonsense\n\n"
    assert plain(events_of(stream + extra)) == plain(events_of(stream))


def test_the_transcript_of_an_error_fails_in_both_forms() -> None:
    with pytest.raises(MuxError, match="Rate limit reached"):
        TRANSLATOR.decode_response(file("error", "response.json"), TARGET)
    events = events_of(file("error", "stream.sse"))
    assert isinstance(events[-1], ir.Failed)
    assert "error while processing" in events[-1].error.message
    assert ir.violations(events) == []
