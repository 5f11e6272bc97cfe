"""An upstream's stream to events: what servers leave out, repeat, mix up or break."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_mux import ir
from llm_mux.errors import Kind
from llm_mux.translators.base import Target
from llm_mux.translators.openai_responses.translator import TRANSLATOR
from tests.translators.openai_responses.kit import (
    MODEL,
    TARGET,
    completed,
    events_of,
    fold,
    last,
    plain,
    record,
    stream,
)


def call(name: str = "f", call_id: str = "c1", arguments: str = "", **fields: Any) -> dict[str, Any]:
    made = {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name, "arguments": arguments}
    return made | fields


def added(index: int, item: dict[str, Any]) -> bytes:
    return record("response.output_item.added", output_index=index, item=item)


def done(index: int, item: dict[str, Any]) -> bytes:
    return record("response.output_item.done", output_index=index, item=item)


def arguments(index: int, text: str) -> bytes:
    return record("response.function_call_arguments.delta", output_index=index, item_id="x", delta=text)


def arguments_done(index: int, text: str) -> bytes:
    return record("response.function_call_arguments.done", output_index=index, item_id="x", arguments=text)


def message(text: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content} | fields


def text(delta: str, index: int = 0, content: int = 0) -> bytes:
    return record("response.output_text.delta", output_index=index, content_index=content, delta=delta)


def thought(delta: str, summary: int = 0, index: int = 0) -> bytes:
    return record("response.reasoning_summary_text.delta", output_index=index, summary_index=summary, delta=delta)


def checked(data: bytes, target: Target = TARGET) -> list[ir.Event]:
    events = events_of(data, target)
    assert ir.violations(events) == []
    return events


def calls(events: list[ir.Event]) -> list[tuple[str, str, str]]:
    return [(part.id, part.name, part.arguments) for part in fold(events) if isinstance(part, ir.ToolCall)]


FULL = '{"a":1}'


@pytest.mark.covers("FB-10", "FB-11", "FB-12")
@pytest.mark.parametrize(
    "records",
    [
        pytest.param(
            (added(0, call()), arguments(0, '{"a"'), arguments(0, ":1}"), done(0, call(arguments=FULL))), id="deltas"
        ),
        pytest.param((added(0, call()), arguments_done(0, FULL), done(0, call(arguments=FULL))), id="done only"),
        pytest.param(
            (added(0, call()), arguments(0, FULL), arguments_done(0, FULL), done(0, call(arguments=FULL))), id="both"
        ),
        pytest.param((added(0, call()), arguments(0, '{"a"'), arguments_done(0, FULL)), id="a tail is missing"),
        pytest.param((added(0, call()), done(0, call(arguments=FULL))), id="in the item only"),
        pytest.param((done(0, call(arguments=FULL)),), id="never announced"),
        pytest.param(
            (added(0, call(name="")), arguments(0, FULL), done(0, call(arguments=FULL))), id="the name comes late"
        ),
        pytest.param((), id="in the terminal record only"),
        pytest.param((added(0, call()), arguments(0, FULL), arguments_done(0, '{"a": 1}')), id="done in other words"),
        pytest.param((added(0, call()), added(0, call()), arguments(0, FULL)), id="announced twice"),
        pytest.param(
            (added(0, call()), done(0, call(arguments=FULL)), done(0, call(arguments=FULL))), id="ended twice"
        ),
    ],
)
def test_arguments_are_given_once_however_they_come(records: tuple[bytes, ...]) -> None:
    events = checked(stream(*records, completed([call(arguments=FULL)])))
    assert calls(events) == [("c1", "f", FULL)]
    assert last(events, ir.Finish).reason == "tool_calls"


@pytest.mark.covers("FB-9", "PF-66")
def test_parallel_calls_whose_records_are_mixed_stay_apart() -> None:
    first, second = call(call_id="c1"), call(call_id="c2", name="g")
    events = checked(
        stream(
            added(0, first),
            added(1, second),
            arguments(1, '{"b"'),
            arguments(0, '{"a"'),
            arguments(1, ":2}"),
            arguments(0, ":1}"),
            done(1, call(call_id="c2", name="g", arguments='{"b":2}')),
            done(0, call(call_id="c1", arguments=FULL)),
            completed(),
        )
    )
    assert calls(events) == [("c1", "f", FULL), ("c2", "g", '{"b":2}')]


def test_an_item_that_never_ends_holds_back_nothing_at_the_end() -> None:
    events = checked(
        stream(added(0, call()), arguments(0, "{}"), added(1, call(call_id="c2")), arguments(1, "{}"), completed())
    )
    assert [one[0] for one in calls(events)] == ["c1", "c2"]


@pytest.mark.covers("FB-7")
def test_calls_without_ids_get_their_own_and_always_the_same() -> None:
    items = [{"type": "function_call", "name": "f", "arguments": "{}"} for _ in range(2)]
    data = stream(*(done(index, item) for index, item in enumerate(items)), completed())
    ids = [one[0] for one in calls(checked(data))]
    assert len(set(ids)) == 2
    assert ids == [one[0] for one in calls(checked(data))]
    whole = {"id": "resp_1", "status": "completed", "output": items}
    parts = TRANSLATOR.decode_response(json.dumps(whole).encode(), TARGET).choices[0].parts
    assert [part.id for part in parts if isinstance(part, ir.ToolCall)] == ids


@pytest.mark.covers("FB-13", "PF-87", "PF-68")
def test_a_call_decides_how_the_answer_ended_and_a_limit_wins() -> None:
    item = call(arguments="{}")
    assert last(checked(stream(done(0, item), completed([item]))), ir.Finish).reason == "tool_calls"
    details = {"reason": "max_output_tokens"}
    cut = stream(added(0, call()), arguments(0, '{"a'), completed([item], "incomplete", incomplete_details=details))
    events = checked(cut)
    assert last(events, ir.Finish).reason == "length"
    assert calls(events) == [("c1", "f", '{"a')]


@pytest.mark.covers("FB-96")
@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_output_tokens", "length"), ("content_filter", "filtered"), ("max_messages", "length"), ("steered", "stop")],
)
def test_an_incomplete_answer_is_a_normal_end(reason: str, finish: str) -> None:
    events = checked(stream(text("x"), completed([], "incomplete", incomplete_details={"reason": reason})))
    assert last(events, ir.Finish).reason == finish
    assert isinstance(events[-1], ir.Done)


def test_texts_come_whole_from_every_form() -> None:
    for records in (
        (text("He"), text("llo"), done(0, message("Hello"))),
        (text("He"), done(0, message("Hello"))),
        (done(0, message("Hello")),),
        (),
    ):
        events = checked(stream(*records, completed([message("Hello")])))
        assert [part.text for part in fold(events) if isinstance(part, ir.Text)] == ["Hello"]


def test_citations_come_once_from_the_stream_or_the_item() -> None:
    note = {"type": "url_citation", "url": "https://a.org", "title": "A", "start_index": 0, "end_index": 2}
    announced = record("response.output_text.annotation.added", output_index=0, content_index=0, annotation=note)
    item = message("Hi")
    item["content"][0]["annotations"] = [note]
    for records in ((text("Hi"), announced, done(0, item)), (text("Hi"), done(0, item))):
        parts = fold(checked(stream(*records, completed([item]))))
        assert isinstance(parts[0], ir.Text)
        assert [(c.url, c.start, c.end) for c in parts[0].citations] == [("https://a.org", 0, 2)]


def test_a_refusal_is_told_as_one() -> None:
    said = record("response.refusal.delta", output_index=0, content_index=0, delta="No.")
    item = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    events = checked(stream(said, done(0, item), completed([item])))
    assert fold(events) == [ir.Refusal("No.")]
    assert last(events, ir.Finish).reason == "refusal"


@pytest.mark.covers("FB-66", "FB-67", "PF-84")
def test_reasoning_is_one_part_sealed_by_its_finished_item() -> None:
    summary = [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}]
    item = {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "FINAL"}
    events = checked(
        stream(
            added(0, {**item, "summary": [], "encrypted_content": "EARLY"}),
            thought("one", 0),
            thought("two", 1),
            done(0, item),
            done(1, message("ok")),
            completed([item, message("ok")]),
        )
    )
    parts = fold(events)
    assert isinstance(parts[0], ir.Reasoning)
    assert parts[0].text == "one\n\ntwo"
    assert plain(parts[0].native)["data"] == {"id": "rs_1", "encrypted_content": "FINAL", "summary": summary}
    assert plain(parts[0].native)["family"] == "gpt"


def test_the_chain_itself_is_marked_as_such() -> None:
    chain = record("response.reasoning_text.delta", output_index=0, content_index=0, delta="hm")
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    assert fold(checked(stream(chain, done(0, item), completed([item])))) == [ir.Reasoning("hm", raw=True)]


def test_reasoning_that_says_and_seals_nothing_gives_no_part() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": []}
    assert fold(checked(stream(added(0, item), done(0, item), completed([item])))) == []


def test_items_of_server_side_tools_stay_raw_and_pictures_become_images() -> None:
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    }
    picture = {
        "type": "image_generation_call",
        "id": "ig_1",
        "result": "AAAA",
        "output_format": "webp",
        "status": "completed",
    }
    parts = fold(checked(stream(done(0, search), done(1, picture), completed([search, picture]))))
    assert isinstance(parts[0], ir.Opaque)
    assert plain(parts[0].native)["data"] == search
    assert isinstance(parts[1], ir.Image)
    assert parts[1].source == ir.Inline("image/webp", "AAAA")


def test_free_text_calls_and_namespaces() -> None:
    custom = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c1", "name": "patch", "input": 'a "b"'}
    delta = record("response.custom_tool_call_input.delta", output_index=0, delta='a "')
    events = checked(
        stream(added(0, {**custom, "input": ""}), delta, done(0, custom), done(1, call(namespace="ns")), completed())
    )
    first, second = fold(events)
    assert first == ir.ToolCall("c1", "patch", 'a "b"', custom=True)
    assert isinstance(second, ir.ToolCall)
    assert second.namespace == "ns"


@pytest.mark.covers("PF-22")
def test_an_emoji_cut_into_two_deltas_is_joined() -> None:
    halves = [
        b'data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"' + half + b'"}\n\n'
        for half in (rb"a\ud83d", rb"\ude00b")
    ]
    parts = fold(checked(stream(*halves, completed())))
    assert [part.text for part in parts if isinstance(part, ir.Text)] == ["a\U0001f600b"]
    alone = fold(checked(stream(halves[0], completed())))
    assert [part.text for part in alone if isinstance(part, ir.Text)] == ["a\ufffd"]


@pytest.mark.covers("PF-11", "FB-105", "FB-106", "FB-107")
@pytest.mark.parametrize(
    ("ending", "kind", "message"),
    [
        (record("error", code="server_error", message="boom", param=None), Kind.UPSTREAM_ERROR, "boom"),
        (record("error", error={"code": "rate_limit_exceeded", "message": "slow"}), Kind.RATE_LIMIT, "slow"),
        (
            b'data: {"error":{"message":"too long","code":"context_length_exceeded"}}\n\n',
            Kind.CONTEXT_LENGTH,
            "too long",
        ),
        (b'data: {"error":"plain words"}\n\n', Kind.UPSTREAM_ERROR, "plain words"),
        (
            completed([], "failed", error={"code": "server_is_overloaded", "message": "busy"}),
            Kind.OVERLOADED,
            "busy",
        ),
        (completed([], "failed", error=None), Kind.UPSTREAM_ERROR, "The provider's answer failed."),
        (completed([], "cancelled"), Kind.UPSTREAM_ERROR, "The provider's answer failed."),
    ],
)
def test_a_failure_in_the_stream_keeps_its_words(ending: bytes, kind: Kind, message: str) -> None:
    events = checked(stream(text("Hel"), ending, completed()))
    failed = events[-1]
    assert isinstance(failed, ir.Failed)
    assert (failed.error.kind, failed.error.message) == (kind, message)


@pytest.mark.covers("FB-110", "PF-8")
@pytest.mark.parametrize(
    "broken",
    [
        b'data: {"type":"response.output_text.delta","output_index":0,"delt\n\n',
        b"<html>Bad gateway</html>\n\n",
        b"data: [1,2]\n\n",
        record("response.completed", response=5),
        record("response.output_item.done", output_index=0, item={"type": "message", "content": 5}),
        record("response.output_item.done", output_index=0, item={"type": "reasoning", "summary": 5}),
        record("response.output_item.done", output_index=0, item={"type": "function_call", "name": 5}),
        record("response.output_item.done", output_index=0, item=[]),
    ],
)
def test_nonsense_is_never_a_clean_end_and_never_the_clients_fault(broken: bytes) -> None:
    events = checked(stream(text("Hel"), broken))
    failed = events[-1]
    assert isinstance(failed, ir.Failed)
    assert failed.error.kind in (Kind.UPSTREAM_NONSENSE, Kind.UPSTREAM_CUT)


def test_records_nobody_knows_are_ignored() -> None:
    events = checked(
        stream(
            record("response.compaction.compacting"),
            record("response.shell_call_output_content.delta", delta={"stdout": "x"}, output_index="a"),
            record("keepalive", sequence_number=4),
            b": comment\n\n",
            text("x"),
            completed(),
        )
    )
    assert [part.text for part in fold(events) if isinstance(part, ir.Text)] == ["x"]


def test_a_stream_without_created_starts_all_the_same() -> None:
    events = checked(stream(text("x"), completed(), created=False))
    assert events[0] == ir.Start("", MODEL, 0)


@pytest.mark.covers("FB-88")
def test_a_placeholder_of_zeros_is_no_usage() -> None:
    events = checked(stream(text("x"), completed(usage={"input_tokens": 0, "output_tokens": 0, "total_tokens": 0})))
    assert not [event for event in events if isinstance(event, ir.UsageReport)]


NAMES = (
    *("created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "refusal.delta"),
    *("reasoning_summary_text.delta", "reasoning_text.delta", "function_call_arguments.delta", "content_part.done"),
    *("function_call_arguments.done", "custom_tool_call_input.delta", "output_item.done", "completed", "incomplete"),
    *("output_text.annotation.added", "custom_tool_call_input.done", "failed"),
)
ITEMS = st.sampled_from(
    [
        message("abc"),
        message("abc", phase="commentary"),
        call(arguments="{}"),
        call(call_id="c2", name="", arguments=FULL),
        {"type": "custom_tool_call", "call_id": "c3", "name": "p", "input": "x"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "ab"}],
            "encrypted_content": "E",
        },
        {"type": "reasoning", "id": "rs_2"},
        {"type": "web_search_call", "id": "ws"},
        {"type": "message", "content": None},
        {"type": None},
    ]
)
RECORDS = st.builds(
    lambda name, index, content, delta, item: record(
        f"response.{name}",
        output_index=index,
        content_index=content,
        summary_index=content,
        delta=delta,
        arguments=delta,
        item=item,
        part=(item.get("content") or [{}])[0] if isinstance(item.get("content"), list) else {},
        annotation={"type": "url_citation"},
        response={"id": "r", "output": [item], "status": name},
    ),
    st.sampled_from(NAMES),
    st.integers(-1, 3),
    st.integers(0, 2),
    st.sampled_from(["", "a", "abc", "{}"]),
    ITEMS,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(RECORDS, max_size=14))
def test_records_in_any_order_obey_the_grammar(records: list[bytes]) -> None:
    checked(b"".join(records))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_obey_the_grammar_and_never_end_well(data: bytes) -> None:
    events = checked(data)
    assert isinstance(events[-1], ir.Failed)
