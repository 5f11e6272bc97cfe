"""A server's stream, however odd, becomes well-formed events or an honest failure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_mux import ir
from llm_mux.translators.openai_chat.translator import TRANSLATOR
from tests.translators.openai_chat import chat
from tests.translators.openai_chat.chat import DONE, calls, chunk, events, failure, finishes, record, text

STOP = chunk(finish="stop")
CALLED = chunk(finish="tool_calls")
USAGE = record({"id": "c", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}})


def tool(index: int | None = 0, id_: str | None = None, name: str | None = None, arguments: Any = "") -> dict[str, Any]:
    piece: dict[str, Any] = {"function": {"arguments": arguments}}
    if name is not None:
        piece["function"]["name"] = name
    return (
        piece | ({} if index is None else {"index": index}) | ({} if id_ is None else {"id": id_, "type": "function"})
    )


def tools(*pieces: dict[str, Any]) -> bytes:
    return chunk({"tool_calls": list(pieces)})


def usages(found: list[ir.Event]) -> list[ir.Usage]:
    return [event.usage for event in found if isinstance(event, ir.UsageReport)]


A, B = ("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')


@pytest.mark.parametrize(
    ("records", "wanted"),
    [
        pytest.param([tools(tool(0, "a", "f")), tools(tool(0, arguments='{"x"')), tools(tool(0, arguments=":1}"))], [A], id="plain"),
        pytest.param([tools(tool(0, "a", "f", '{"x":1}'))], [A], id="all in one piece"),
        pytest.param([tools(tool(0, "a", "f", '{"x"')), tools(tool(0, "a", "f", ":1}"))], [A], id="id and name repeated"),
        pytest.param([tools(tool(None, "a", "f", '{"x"')), tools(tool(None, arguments=":1}"))], [A], id="no index"),
        pytest.param(
            [tools(tool(None, "a", "f", '{"x"')), tools(tool(None, "b", "g", '{"y"')), tools(tool(None, "a", arguments=":1}")),
             tools(tool(None, "b", arguments=":2}"))], [A, B], id="no index, by id"),
        pytest.param([tools(tool(0, "a", "f", {"x": 1}))], [A], id="object arguments"),
        pytest.param([tools(tool(0, "a", "f", None)), tools(tool(0, arguments='{"x":1}'))], [A], id="null arguments"),
        pytest.param([tools(tool(0, "a", "f", '{"x":1}')), tools(tool(0, "b", "g", '{"y":2}'))], [A, B], id="same index, new id"),
        pytest.param([tools(tool(0, "a", "f", '{"x":1}'), tool(1, "b", "g", '{"y":2}'))], [A, B], id="two in one record"),
        pytest.param(
            [tools(tool(0, "a", "f")), tools(tool(1, "b", "g")), tools(tool(0, arguments='{"x"')), tools(tool(1, arguments='{"y"')),
             tools(tool(0, arguments=":1}")), tools(tool(1, arguments=":2}"))], [A, B], id="interleaved"),
        pytest.param([tools(tool(0, "a")), tools(tool(0, arguments='{"x"')), tools(tool(0, name="f", arguments=":1}"))], [A], id="name late"),
        pytest.param([tools(tool(1, "a", "f", '{"x":1}')), tools(tool(5, "b", "g", '{"y":2}'))], [A, B], id="indexes with gaps"),
        pytest.param([tools(tool(0, "a", "f"))], [("a", "f", "")], id="no arguments"),
        pytest.param([tools(tool(0, "a", None, '{"x":1}'))], [("a", "tool_0", '{"x":1}')], id="never a name"),
    ],
)  # fmt: skip
@pytest.mark.covers("PF-66", "FB-8", "FB-9", "PF-50")
def test_calls_are_put_together_however_they_come(records: list[bytes], wanted: list[Any]) -> None:
    found = events(*records, CALLED, DONE)
    assert [(i, n, json.dumps(json.loads(a), separators=(",", ":")) if a else a) for i, n, a in calls(found)] == wanted
    assert finishes(found) == ["tool_calls"]


def test_calls_without_index_and_id_are_told_apart_when_whole() -> None:
    found = events(tools(tool(None, None, "f", '{"x":1}'), tool(None, None, "f", '{"x":2}')), CALLED, DONE)
    assert [arguments for _, _, arguments in calls(found)] == ['{"x":1}', '{"x":2}']


@pytest.mark.covers("FB-7", "FB-1", "RC-6")
def test_missing_ids_are_made_and_do_not_repeat() -> None:
    records = (tools(tool(0, None, "f", "{}"), tool(1, None, "f", "{}")), CALLED, DONE)
    ids = [id_ for id_, _, _ in calls(events(*records))]
    assert ids == [id_ for id_, _, _ in calls(events(*records))]
    assert len(set(ids)) == 2 and all(ids)


def test_a_repeated_id_of_another_call_is_replaced() -> None:
    found = events(tools(tool(0, "same", "f", "{}"), tool(1, "same", "g", "{}")), CALLED, DONE)
    assert len({id_ for id_, _, _ in calls(found)}) == 2


def test_the_first_of_parallel_calls_streams() -> None:
    decoder = TRANSLATOR.stream_decoder(chat.PLAIN)
    decoder.feed(tools(tool(0, "a", "f")))
    assert [type(e) for e in decoder.feed(tools(tool(0, arguments='{"x"')))] == [ir.ArgumentsDelta]
    assert decoder.feed(tools(tool(1, "b", "g"))) == []
    assert [type(e) for e in decoder.feed(tools(tool(0, arguments=":1}")))] == [ir.ArgumentsDelta]


def test_the_next_call_starts_when_the_one_before_is_whole() -> None:
    decoder = TRANSLATOR.stream_decoder(chat.PLAIN)
    decoder.feed(tools(tool(0, "a", "f", '{"x":1}')))
    assert [type(e) for e in decoder.feed(tools(tool(1, "b", "g")))] == [ir.PartEnd, ir.PartStart]


def test_words_between_unfinished_pieces_of_a_call_are_kept() -> None:
    found = events(
        tools(tool(0, "a", "f", '{"x"')), chunk({"content": "aside"}), tools(tool(0, arguments=":1}")), CALLED, DONE
    )
    assert calls(found) == [A] and text(found) == "aside"


def test_blank_content_beside_calls_is_no_part() -> None:
    found = events(
        tools(tool(0, "a", "f", '{"x"')), chunk({"content": "\n"}), tools(tool(0, arguments=":1}")), CALLED, DONE
    )
    assert sum(isinstance(event, ir.PartStart) for event in found) == 1


def test_the_form_before_tools_is_read() -> None:
    found = events(chunk({"function_call": {"name": "f", "arguments": ""}}), chunk({"function_call": {"arguments": "{}"}}),
                   chunk(finish="function_call"), DONE)  # fmt: skip
    assert [(name, arguments) for _, name, arguments in calls(found)] == [("f", "{}")]
    assert finishes(found) == ["tool_calls"]


def test_custom_calls_are_free_text() -> None:
    first = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "patch", "input": "***"}}
    found = events(tools(first), tools({"index": 0, "custom": {"input": " end"}}), CALLED, DONE)
    (start,) = [e.part for e in found if isinstance(e, ir.PartStart)]
    assert isinstance(start, ir.ToolCall) and start.custom
    assert calls(found) == [("a", "patch", "*** end")]


def test_geminis_signature_on_a_call_is_kept() -> None:
    piece = tool(0, "a", "f", "{}") | {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    (seal,) = [e for e in events(tools(piece), CALLED, DONE, to=chat.target("gemini-3-pro")) if isinstance(e, ir.Seal)]
    assert (seal.native.owner, seal.native.family) == ("gemini", "gemini")
    assert json.loads(bytes(seal.native.data)) == {"thoughtSignature": "c2ln"}


@pytest.mark.parametrize(
    ("word", "calling", "reason"),
    [
        ("stop", False, "stop"),
        ("stop", True, "tool_calls"),
        ("tool_calls", False, "stop"),
        ("length", True, "length"),
        ("content_filter", False, "filtered"),
        ("STOP", True, "tool_calls"),
        ("eos", False, "stop"),
        ("max_tokens", False, "length"),
        ("model_length", False, "context"),
        ("sensitive", False, "filtered"),
        ("error", False, "broken"),
        ("insufficient_system_resource", False, "broken"),
        ("brand_new", False, "stop"),
    ],
)
@pytest.mark.covers("FB-13", "FB-14", "PF-68", "FB-96")
def test_the_reason_is_decided_by_the_content(word: str, calling: bool, reason: str) -> None:
    said = tools(tool(0, "a", "f", "{}")) if calling else chunk({"content": "x"})
    assert finishes(events(said, chunk(finish=word), DONE)) == [reason]


@pytest.mark.covers("FB-116")
def test_two_finish_records_are_one_finish() -> None:
    assert finishes(events(chunk({"content": "x"}), chunk(finish="length"), STOP, DONE)) == ["length"]


def test_pieces_after_the_reason_still_count() -> None:
    found = events(chunk({"content": "a"}, finish="stop"), tools(tool(0, "a", "f", "{}")), DONE)
    assert calls(found) and finishes(found) == ["tool_calls"]


@pytest.mark.parametrize(
    ("records", "wanted"),
    [
        pytest.param([STOP, USAGE], [(5, 2)], id="after the reason"),
        pytest.param([record({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
                              "usage": {"prompt_tokens": 5, "completion_tokens": 2}})], [(5, 2)], id="with the reason"),
        pytest.param([chunk({"content": "x"}, usage={"prompt_tokens": 5, "completion_tokens": n}) for n in (1, 2)] + [STOP],
                     [(5, 1), (5, 2)], id="in every record"),
        pytest.param([chunk({"content": "x"}, usage=None), STOP], [], id="null"),
        pytest.param([STOP, chunk(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})], [], id="zeros"),
        pytest.param([STOP, chunk(x_groq={"usage": {"prompt_tokens": 5, "completion_tokens": 2}})], [(5, 2)], id="x_groq with choices"),
        pytest.param([STOP, record({"choices": [], "x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 2}}})], [(5, 2)], id="x_groq"),
    ],
)  # fmt: skip
@pytest.mark.covers("PF-69", "FB-87", "FB-88")
def test_usage_is_found_wherever_it_is(records: list[bytes], wanted: list[Any]) -> None:
    assert [(u.input, u.output) for u in usages(events(chunk({"content": "x"}), *records, DONE))] == wanted


@pytest.mark.covers("PF-70")
def test_records_without_choices_are_harmless() -> None:
    first = record({"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
    found = events(first, record({}), chunk({"content": "x"}), record({"choices": None, "id": "c"}), STOP, DONE)
    assert text(found) == "x"


@pytest.mark.covers("PF-78")
def test_choices_are_told_apart_and_each_is_finished() -> None:
    found = events(
        *(chunk({"content": w}, index=n) for n, w in enumerate("ab")),
        chunk(finish="stop"),
        chunk(finish="length", index=1),
        DONE,
    )
    assert [(e.choice, e.reason) for e in found if isinstance(e, ir.Finish)] == [(0, "stop"), (1, "length")]


def test_a_choice_without_a_reason_is_a_broken_stream() -> None:
    assert failure(events(chunk({"content": "a"}), chunk({"content": "b"}, index=1), STOP, DONE)) == "upstream_cut"


@pytest.mark.parametrize(
    ("records", "kind"),
    [
        pytest.param([], "upstream_cut", id="nothing"),
        pytest.param([DONE], "upstream_cut", id="only the end mark"),
        pytest.param([chunk({"content": "x"})], "upstream_cut", id="closed"),
        pytest.param([chunk({"content": "x"}), DONE], "upstream_cut", id="end mark without a reason"),
        pytest.param(
            [tools(tool(0, "a", "f", '{"x"')), USAGE, DONE], "upstream_cut", id="unfinished call before usage"
        ),
        pytest.param([chunk({"content": "x"}), b"data: {broken\n\n"], "upstream_nonsense", id="no JSON"),
        pytest.param([b"<html><body>502</body></html>"], "upstream_nonsense", id="HTML"),
        pytest.param([record({"choices": "x"})], "upstream_nonsense", id="wrong type"),
        pytest.param([record([1, 2])], "upstream_nonsense", id="a list"),
    ],
)
@pytest.mark.covers("FB-104", "FB-110", "FB-112", "PF-24", "RC-7")
def test_a_stream_without_its_end_is_a_failure(records: list[bytes], kind: str) -> None:
    assert failure(events(*records)) == kind


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([chunk({"content": "x"}), STOP], id="no end mark"),
        pytest.param([chunk({"content": "x"}), USAGE, DONE], id="usage and end mark, no reason"),
        pytest.param([chunk({"content": "x"}), STOP, b"data:[DONE]\n\n"], id="no space"),
        pytest.param([chunk({"content": "x"}), STOP, b"data: [DONE] bye\n\n"], id="words after the mark"),
        pytest.param(
            [chunk({"content": "x"}), STOP, DONE, chunk({"content": "late"}), record({"error": "late"})],
            id="more after the end",
        ),
        pytest.param([chunk({"content": "x"}), STOP, b"data: [DONE]"], id="no blank line"),
        pytest.param([b"\xef\xbb\xbf" + chunk({"content": "x"}), STOP, DONE], id="byte order mark"),
        pytest.param([b": ping\n\n", chunk({"content": "x"}), b": PROCESSING\n\n", STOP, DONE], id="comments"),
        pytest.param(
            [chunk({"content": "x"}).replace(b"\n", b"\r\n"), STOP.replace(b"\n", b"\r"), DONE], id="other line ends"
        ),
        pytest.param([chunk({"content": "x"}).replace(b"data: ", b"data:"), STOP, DONE], id="data without a space"),
        pytest.param(
            [b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"x"},"finish_reason":"stop"}]}\n\n'],
            id="two data lines",
        ),
        pytest.param([b"event: message\n" + chunk({"content": "x"}), STOP, DONE], id="event lines"),
    ],
)
@pytest.mark.covers("PF-4", "PF-5", "PF-6", "PF-7", "PF-8", "PF-9", "FB-103", "FB-108", "FB-117", "PF-2")
def test_a_proper_end_is_recognised_in_every_form(records: list[bytes]) -> None:
    found = events(*records)
    assert isinstance(found[-1], ir.Done)
    assert text(found) == "x" and finishes(found) == ["stop"]


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ({"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}, "rate_limit", "Slow down"),
        ({"error": {"message": "busy", "code": 503}}, "overloaded", "busy"),
        ({"error": {"message": "busy", "code": "529"}}, "overloaded", "busy"),
        ({"error": "it broke"}, "upstream_error", "it broke"),
        (
            {"object": "error", "message": "too long: maximum context length is 5 tokens", "code": 400},
            "context_length",
            "too long",
        ),
        ({"message": "odd", "code": 500}, "upstream_error", "odd"),
        ({"detail": "odd"}, "upstream_error", "odd"),
        ({"error": {"message": "no", "type": "invalid_request_error"}, "choices": []}, "bad_request", "no"),
    ],
)
@pytest.mark.covers("PF-11", "PF-77", "FB-105", "PF-23")
def test_an_error_in_mid_stream_is_told_as_one(body: Any, kind: str, message: str) -> None:
    found = events(chunk({"content": "x"}), record(body), STOP, DONE)
    assert failure(found) == kind
    last = found[-1]
    assert isinstance(last, ir.Failed) and message in last.error.message


def test_an_error_by_event_name_or_as_bare_json_is_an_error() -> None:
    assert failure(events(b'event: error\ndata: {"oops": 1}\n\n')) == "upstream_error"
    assert failure(events(b'{"error": {\n  "message": "quota", "code": "insufficient_quota"}\n}')) == "quota"


def test_null_in_the_error_field_is_no_error() -> None:
    assert finishes(events(chunk({"content": "x"}, error=None), STOP, DONE)) == ["stop"]


def test_a_whole_answer_where_a_stream_was_expected_is_read() -> None:
    body = {
        "id": "c",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}],
    }
    assert text(events(json.dumps(body).encode())) == "x"


@pytest.mark.parametrize(
    ("deltas", "thought"),
    [
        ([{"reasoning_content": "a"}, {"reasoning_content": "b"}], "ab"),
        ([{"reasoning": "a"}, {"reasoning": "b"}], "ab"),
        ([{"reasoning_details": [{"type": "reasoning.text", "text": t, "index": 0}]} for t in "ab"], "ab"),
        (
            [{"reasoning": t, "reasoning_details": [{"type": "reasoning.text", "text": t, "index": 0}]} for t in "ab"],
            "ab",
        ),
        ([{"reasoning_content": "ab", "reasoning": "ab"}], "ab"),
        ([{"reasoning": "ab"}, {"reasoning_details": [{"type": "reasoning.text", "text": "ab", "index": 0}]}], "ab"),
        ([{"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "ab"}]}]}], "ab"),
        ([{"reasoning_content": None}, {"reasoning_content": ""}], ""),
    ],
)
@pytest.mark.covers("PF-71", "FB-78")
def test_reasoning_is_read_in_every_spelling(deltas: list[Any], thought: str) -> None:
    found = events(*map(chunk, deltas), chunk({"content": "x"}), STOP, DONE)
    assert chat.reasoning(found) == thought and text(found) == "x"


def seals(found: list[ir.Event]) -> list[Any]:
    return [json.loads(bytes(event.native.data)) for event in found if isinstance(event, ir.Seal)]


def test_reasoning_details_are_joined_and_sealed() -> None:
    pieces = [[{"type": "reasoning.text", "text": "a", "index": 0, "format": "f"}], [{"type": "reasoning.text", "text": "b", "index": 0}],
              [{"type": "reasoning.text", "signature": "s", "index": 0}], [{"type": "reasoning.encrypted", "data": "d", "index": 1}]]  # fmt: skip
    found = events(*(chunk({"reasoning_details": p}) for p in pieces), chunk({"content": "x"}), STOP, DONE)
    joined = {"type": "reasoning.text", "text": "ab", "index": 0, "format": "f", "signature": "s"}
    assert seals(found) == [[joined, {"type": "reasoning.encrypted", "data": "d", "index": 1}]]


def test_details_that_come_late_get_a_part_of_their_own() -> None:
    late = {"type": "reasoning.encrypted", "data": "d", "index": 0}
    found = events(
        chunk({"reasoning_content": "a"}), chunk({"content": "x"}), chunk({"reasoning_details": [late]}), STOP, DONE
    )
    assert seals(found) == [[], [late]]


@pytest.mark.covers("PF-22")
def test_an_emoji_cut_into_two_deltas_is_joined() -> None:
    cut = [chunk({"content": "PIECE"}).replace(b"PIECE", piece) for piece in (b"a\\ud83d", b"\\ude00b")]
    assert text(events(*cut, STOP, DONE)) == "a\U0001f600b"
    assert text(events(cut[0], STOP, DONE)) == "a�"


def test_annotations_become_citations_of_the_text() -> None:
    note = {
        "type": "url_citation",
        "url_citation": {"url": "https://x", "title": "X", "start_index": 0, "end_index": 1},
    }
    found = events(chunk({"content": "x"}), chunk({"annotations": [note]}), STOP, DONE)
    assert [e.citation for e in found if isinstance(e, ir.Cite)] == [ir.Citation("https://x", "X", None, 0, 1)]


def test_addresses_beside_the_choices_speak_for_the_text() -> None:
    found = events(chunk({"content": "x"}, citations=["https://x"]), STOP, DONE)
    assert [e.citation.url for e in found if isinstance(e, ir.Cite)] == ["https://x"]


def test_images_and_audio_are_whole_parts() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    audio = [
        {"audio": {"id": "a", "data": "AA"}},
        {"audio": {"data": "BB", "transcript": "hi"}},
        {"audio": {"expires_at": 9}},
    ]
    found = events(chunk({"images": [picture]}), *map(chunk, audio), STOP, DONE)
    image, sound = [e.part for e in found if isinstance(e, ir.PartStart)]
    assert image == ir.Image(ir.Inline("image/png", "AAAA"))
    assert isinstance(sound, ir.Audio) and sound.source == ir.Inline("audio/wav", "AABB")


def test_refusals_are_their_own_part_and_reason() -> None:
    found = events(chunk({"refusal": "I "}), chunk({"refusal": "won't."}), STOP, DONE)
    assert [type(e.part) for e in found if isinstance(e, ir.PartStart)] == [ir.Refusal]
    (finish,) = [e for e in found if isinstance(e, ir.Finish)]
    assert (finish.reason, finish.detail) == ("refusal", "I won't.")


def test_logprobs_travel_with_their_tokens() -> None:
    log = {"content": [{"token": "x", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}
    body = {"choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": log, "finish_reason": "stop"}]}
    (delta,) = [e for e in events(record(body), DONE) if isinstance(e, ir.TextDelta)]
    assert delta.logprobs is not None and json.loads(bytes(delta.logprobs)) == log["content"]


def test_the_start_says_who_answers() -> None:
    (start,) = [e for e in events(chunk({"content": "x"}), STOP, DONE) if isinstance(e, ir.Start)]
    assert (start.id, start.model, start.created) == ("chatcmpl-1", "m", 7)


DELTA = st.fixed_dictionaries({}, optional={
    "content": st.sampled_from(["", "a", " ", None]),
    "reasoning_content": st.sampled_from(["", "t"]),
    "refusal": st.sampled_from(["r"]),
    "tool_calls": st.lists(st.builds(tool, st.sampled_from([None, 0, 1, 2]), st.sampled_from([None, "a", "b"]),
                                     st.sampled_from([None, "", "f", "g"]), st.sampled_from(["", "{", "}", "{}", None])), max_size=3),
    "reasoning_details": st.lists(st.sampled_from([{"type": "reasoning.encrypted", "data": "d"}, {"type": "reasoning.text", "text": "t"}]), max_size=2),
})  # fmt: skip


@given(
    deltas=st.lists(st.tuples(DELTA, st.sampled_from([None, None, "stop", "length"]), st.integers(0, 1)), max_size=12),
    tags=st.booleans(),
)
@pytest.mark.covers("FB-99", "PF-138b")
def test_the_grammar_holds_for_any_chunks(deltas: list[Any], tags: bool) -> None:
    """`events` checks the grammar; what comes out can be told to a client."""
    found = events(*(chunk(*delta) for delta in deltas), DONE, to=chat.target(think_tags=tags))
    out = TRANSLATOR.stream_encoder(chat.decode(stream=True)).encode(found)
    assert out.endswith(DONE)


@given(st.binary(max_size=200))
def test_the_grammar_holds_for_any_bytes(data: bytes) -> None:
    assert isinstance(events(data)[-1], ir.Failed)


@given(
    st.lists(
        st.sampled_from(
            [
                b"data: ",
                b"{",
                b"}",
                b'"choices":',
                b"[",
                b"]",
                b"null",
                b"\n\n",
                b"\n",
                b"[DONE]",
                b'"error":',
                b"1",
                b"event: error",
            ]
        ),
        max_size=14,
    )
)
def test_the_grammar_holds_for_any_scraps(scraps: list[bytes]) -> None:
    assert isinstance(events(b"".join(scraps))[-1], ir.Failed)


def test_notes_after_the_text_was_closed_get_a_part_of_their_own() -> None:
    note = {"type": "url_citation", "url_citation": {"url": "https://x"}}
    found = events(
        chunk({"content": "x"}), tools(tool(0, "a", "f", "{}")), chunk({"annotations": [note]}), CALLED, DONE
    )
    assert [e.citation.url for e in found if isinstance(e, ir.Cite)] == ["https://x"]


def test_empty_records_and_odd_details_are_harmless() -> None:
    found = events(
        b"data:  \n\n", chunk({"reasoning_details": ["odd", 5]}), chunk({"tool_calls": [{"index": 0}]}), STOP, DONE
    )
    assert calls(found) == [] and finishes(found) == ["stop"]
