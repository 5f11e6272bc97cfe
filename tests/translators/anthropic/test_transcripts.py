"""Every transcript in both directions, whole and streamed, read back by the official SDK."""

from __future__ import annotations

import json

import anthropic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_mux import ir
from llm_mux.gateway.fold import Fold
from llm_mux.translators import history
from llm_mux.translators.anthropic.translator import TRANSLATOR
from llm_mux.translators.base import Hints
from tests.translators.anthropic import kit


def decoded(case: str) -> ir.Request:
    return TRANSLATOR.decode_request(kit.read(case, "request.json"), Hints())


def folded(events: list[ir.Event]) -> ir.Response:
    fold = Fold()
    fold.feed(events)
    return fold.response()


@pytest.mark.parametrize("case", kit.CASES)
def test_a_request_means_the_same_after_a_round_trip(case: str) -> None:
    request = decoded(case)
    again = TRANSLATOR.decode_request(kit.encoded(request).body, Hints())
    assert kit.plain(history.tidy(again.messages)) == kit.plain(history.tidy(request.messages))
    for field in (
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_tokens",
        "stop",
        "sampling",
        "thinking",
        "output",
    ):
        assert kit.plain(getattr(again, field)) == kit.plain(getattr(request, field))
    assert again.user == request.user


@pytest.mark.parametrize("case", kit.CASES)
@pytest.mark.covers("PF-132", "FB-138")
def test_the_same_request_gives_the_same_bytes(case: str) -> None:
    first, second = (kit.encoded(decoded(case)).body for _ in range(2))
    assert first == second


@pytest.mark.parametrize("case", kit.CASES)
def test_a_whole_answer_survives_unchanged(case: str) -> None:
    body = kit.read(case, "response.json")
    assert kit.written(kit.whole(body), decoded(case)) == json.loads(body)


@pytest.mark.parametrize("case", kit.CASES)
def test_the_sdk_reads_a_whole_answer(case: str) -> None:
    answer = TRANSLATOR.encode_response(kit.whole(kit.read(case, "response.json")), decoded(case))
    anthropic.types.Message.model_validate_json(answer, strict=True)


@pytest.mark.parametrize("case", kit.CASES)
@pytest.mark.covers("PF-45", "PF-50", "PF-51")
def test_a_stream_is_the_whole_answer(case: str) -> None:
    events = kit.streamed(kit.read(case, "stream.sse"))
    assert ir.violations(events) == []
    streamed, whole = folded(events), kit.whole(kit.read(case, "response.json"))
    assert kit.plain(streamed.choices) == kit.plain(whole.choices)
    assert (streamed.id, streamed.usage) == (whole.id, whole.usage)


@pytest.mark.parametrize("case", kit.CASES)
@pytest.mark.covers("PF-10", "PF-138b", "FB-99", "FB-98")
def test_the_sdk_gathers_a_stream_to_the_whole_answer(case: str) -> None:
    stream = kit.shown(kit.streamed(kit.read(case, "stream.sse")), decoded(case))
    wanted = anthropic.types.Message.model_validate_json(kit.read(case, "response.json"))
    found = kit.gathered(stream)
    assert found.content == wanted.content
    assert (found.stop_reason, found.stop_sequence) == (wanted.stop_reason, wanted.stop_sequence)
    assert found.stop_details == wanted.stop_details
    assert found.usage.output_tokens == wanted.usage.output_tokens
    assert found.usage.input_tokens == wanted.usage.input_tokens


@pytest.mark.parametrize("case", kit.CASES)
@settings(max_examples=15)
@given(data=st.data())
@pytest.mark.covers("PF-1", "PF-2", "PF-3")
def test_any_cut_of_the_bytes_gives_the_same_events(case: str, data: st.DataObject) -> None:
    body = kit.read(case, "stream.sse")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert kit.plain(kit.streamed(*pieces)) == kit.plain(kit.streamed(body))


@pytest.mark.parametrize("case", kit.CASES)
@pytest.mark.covers("FB-104", "RC-7", "FB-117")
def test_a_stream_cut_after_any_record_fails_unless_the_reason_was_given(case: str) -> None:
    records = [part + b"\n\n" for part in kit.read(case, "stream.sse").split(b"\n\n") if part]
    for cut in range(len(records)):
        events = kit.streamed(*records[:cut])
        given = any(b'"stop_reason":"' in record for record in records[:cut])
        assert isinstance(events[-1], ir.Done if given else ir.Failed)
        assert ir.violations(events) == []


@pytest.mark.parametrize("case", kit.CASES)
def test_the_books_read_a_whole_answer_that_goes_through(case: str) -> None:
    summary = TRANSLATOR.summary(kit.read(case, "response.json"))
    whole = kit.whole(kit.read(case, "response.json"))
    assert (summary.usage, summary.id, summary.model) == (whole.usage, whole.id, whole.model)
    assert summary.finish == whole.choices[0].finish.reason


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"<html>", b'{"usage": 3}', b'{"content": [null]}'])
def test_the_books_never_stumble(body: bytes) -> None:
    assert TRANSLATOR.summary(body).usage is None


def test_an_error_in_the_middle_of_a_stream_is_passed_on() -> None:
    events = kit.streamed(kit.read("error", "stream.sse"))
    assert ir.violations(events) == []
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        kit.gathered(kit.shown(events))
