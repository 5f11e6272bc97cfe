"""Every transcript in both directions, whole and streamed, read back by the official SDK."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from llm_mux import ir
from llm_mux.translators import history
from llm_mux.translators.base import Hints, Target
from llm_mux.translators.openai_chat.translator import TRANSLATOR
from tests.translators.openai_chat import chat

# What a server that keeps everything gets back: OpenRouter's form of reasoning, no model rules in the way.
KEEPS = chat.target("any", openai_models=False, send_back_reasoning="always", reasoning_details=True)


def read(case: str, name: str) -> bytes:
    return (chat.TRANSCRIPTS / case / name).read_bytes()


def decoded(case: str) -> ir.Request:
    return TRANSLATOR.decode_request(read(case, "request.json"), Hints())


def streamed(case: str) -> list[ir.Event]:
    return chat.events(read(case, "stream.sse"), to=Target(decoded(case).model))


@pytest.mark.parametrize("case", chat.CASES)
def test_a_request_decodes_the_same_after_a_round_trip(case: str) -> None:
    """Tool results hold text only here, so those with more than one part come back in another shape."""
    request = decoded(case)
    sent = TRANSLATOR.encode_request(request, Target(request.model, quirks=KEEPS.quirks)).body
    again = TRANSLATOR.decode_request(sent, Hints())
    if case in ("tool_results", "tool_result_image"):
        count = len(request.messages)
        assert [m.role for m in again.messages][:count] == [m.role for m in request.messages]
    else:
        assert msgspec.json.encode(history.tidy(again.messages)) == msgspec.json.encode(history.tidy(request.messages))
    assert again.tools == request.tools or msgspec.json.encode(again.tools) == msgspec.json.encode(request.tools)
    for field in (
        "tool_choice",
        "parallel_tool_calls",
        "max_tokens",
        "stop",
        "sampling",
        "thinking",
        "cache_key",
        "user",
    ):
        assert getattr(again, field) == getattr(request, field)


@pytest.mark.parametrize("case", chat.CASES)
@pytest.mark.covers("PF-132", "FB-138")
def test_the_same_request_gives_the_same_bytes(case: str) -> None:
    first, second = (TRANSLATOR.encode_request(decoded(case), chat.OPENAI).body for _ in range(2))
    assert first == second


@pytest.mark.parametrize("case", chat.CASES)
def test_a_whole_answer_survives_unchanged(case: str) -> None:
    answer = TRANSLATOR.decode_response(read(case, "response.json"), Target("gpt-5.5"))
    assert json.loads(TRANSLATOR.encode_response(answer, decoded(case))) == json.loads(read(case, "response.json"))


@pytest.mark.parametrize("case", chat.CASES)
def test_the_sdk_reads_a_whole_answer(case: str) -> None:
    answer = TRANSLATOR.decode_response(read(case, "response.json"), Target("gpt-5.5"))
    body = TRANSLATOR.encode_response(answer, decoded(case))
    ChatCompletion.model_validate_json(body, strict=True)


@pytest.mark.parametrize("case", chat.CASES)
def test_the_stream_says_what_the_whole_answer_says(case: str) -> None:
    whole = TRANSLATOR.decode_response(read(case, "response.json"), Target("gpt-5.5"))
    found = streamed(case)
    parts = whole.choices[0].parts
    assert chat.text(found) == "".join(p.text for p in parts if isinstance(p, ir.Text | ir.Refusal))
    assert chat.reasoning(found) == "".join(p.text for p in parts if isinstance(p, ir.Reasoning))
    assert chat.calls(found) == [(p.id, p.name, p.arguments) for p in parts if isinstance(p, ir.ToolCall)]
    assert chat.finishes(found) == [whole.choices[0].finish.reason]
    assert [e.usage for e in found if isinstance(e, ir.UsageReport)] == [whole.usage]
    seals = [msgspec.json.decode(e.native.data) for e in found if isinstance(e, ir.Seal)]
    natives = [msgspec.json.decode(p.native.data) for p in parts if isinstance(p, ir.Reasoning) and p.native]
    assert seals == natives


@pytest.mark.parametrize("case", chat.CASES)
@pytest.mark.covers("PF-67", "FB-98")
def test_the_sdk_gathers_a_stream_to_the_whole_answer(case: str) -> None:
    request = msgspec.structs.replace(decoded(case), include_usage=True)
    out = TRANSLATOR.stream_encoder(request).encode(streamed(case))
    wanted: Any = json.loads(read(case, "response.json"))
    wanted["choices"][0]["message"].pop("refusal", None)
    sdk = chat.client(out, "text/event-stream")
    if case == "length":
        # The helper raises for a cut answer; the plain stream shows it.
        chunks = list(sdk.chat.completions.create(model="m", messages=[], stream=True))
        assert chunks[-2].choices[0].finish_reason == "length"
        return
    with sdk.chat.completions.stream(model="m", messages=[], stream_options={"include_usage": True}) as stream:
        found: Any = stream.get_final_completion().to_dict()
    message, other = found["choices"][0]["message"], wanted["choices"][0]["message"]
    for call in message.get("tool_calls") or ():
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    assert (message.get("content") or "") == (other["content"] or "")
    assert message.get("tool_calls") == other.get("tool_calls")
    assert message.get("reasoning_content") == other.get("reasoning_content")
    assert message.get("reasoning_details") == other.get("reasoning_details")
    assert found["choices"][0]["finish_reason"] == wanted["choices"][0]["finish_reason"]
    assert found["usage"] == wanted["usage"]


@pytest.mark.parametrize("case", chat.CASES)
@settings(max_examples=15)
@given(data=st.data())
@pytest.mark.covers("PF-1", "PF-2", "PF-3")
def test_any_cut_of_the_bytes_gives_the_same_events(case: str, data: st.DataObject) -> None:
    body = read(case, "stream.sse")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert chat.plain(chat.events(*pieces)) == chat.plain(chat.events(body))


@pytest.mark.parametrize("case", chat.CASES)
@pytest.mark.covers("FB-104", "PF-9", "RC-7")
def test_a_stream_cut_after_any_record_fails_unless_the_reason_was_given(case: str) -> None:
    records = [part + b"\n\n" for part in read(case, "stream.sse").split(b"\n\n") if part]
    for cut in range(len(records)):
        found = chat.events(*records[:cut], to=Target("gpt-5.5"))
        given = any(b'"finish_reason":"' in record for record in records[:cut])
        assert isinstance(found[-1], ir.Done if given else ir.Failed)


@pytest.mark.parametrize("case", chat.CASES)
def test_the_books_read_a_whole_answer_that_goes_through(case: str) -> None:
    summary = TRANSLATOR.summary(read(case, "response.json"))
    whole = TRANSLATOR.decode_response(read(case, "response.json"), Target("gpt-5.5"))
    assert (summary.usage, summary.id, summary.model) == (whole.usage, whole.id, whole.model)
    assert summary.finish == json.loads(read(case, "response.json"))["choices"][0]["finish_reason"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"<html>", b'{"usage": 3}', b'{"choices": [null]}'])
def test_the_books_never_stumble(body: bytes) -> None:
    assert TRANSLATOR.summary(body).usage is None
