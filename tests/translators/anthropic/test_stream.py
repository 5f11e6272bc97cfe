"""An upstream's stream as events, whatever it does."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_mux import ir
from llm_mux.errors import Kind
from tests.translators.anthropic import kit


def words(events: list[ir.Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ir.TextDelta))


def failure(events: list[ir.Event]) -> Kind:
    last = events[-1]
    assert isinstance(last, ir.Failed)
    assert ir.violations(events) == []
    return last.error.kind


def good(events: list[ir.Event]) -> list[ir.Event]:
    assert ir.violations(events) == []
    assert isinstance(events[-1], ir.Done)
    return events


TEXT = kit.opened() + kit.text("Hello") + kit.closed()
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}


@pytest.mark.covers("PF-45", "FB-85")
def test_the_later_usage_replaces_what_it_repeats_and_nothing_is_added() -> None:
    first = kit.start(usage={"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 1})
    later = kit.finish(usage={"output_tokens": 9, "input_tokens": 6})
    events = good(kit.streamed(first, TEXT, later, kit.STOP))
    assert [e.usage for e in events if isinstance(e, ir.UsageReport)] == [ir.Usage(6, 9, cache_read=7)]


@pytest.mark.covers("PF-50", "FB-11")
@pytest.mark.parametrize(
    ("pieces", "given", "expected"),
    [
        ([], {}, ""),
        ([""], {}, ""),
        (['{"a"', ":1}"], {}, '{"a":1}'),
        ([], {"a": 1}, '{"a":1}'),
        (['{"a":1}'], {"a": 1}, '{"a":1}'),
    ],
)
def test_arguments_come_in_pieces_or_with_the_start_but_once(pieces: list[str], given: object, expected: str) -> None:
    deltas = b"".join(kit.delta(type="input_json_delta", partial_json=piece) for piece in pieces)
    events = good(
        kit.streamed(
            kit.start(), kit.opened(**{**CALL, "input": given}), deltas, kit.closed(), kit.finish("tool_use"), kit.STOP
        )
    )
    assert "".join(e.text for e in events if isinstance(e, ir.ArgumentsDelta)) == expected
    assert [e.reason for e in events if isinstance(e, ir.Finish)] == ["tool_calls"]


def test_a_call_keeps_the_fields_that_only_this_format_knows() -> None:
    block = {**CALL, "caller": {"type": "direct"}, "toolset_name": "browser"}
    events = good(kit.streamed(kit.start(), kit.opened(**block), kit.closed(), kit.finish("tool_use"), kit.STOP))
    (part,) = (event.part for event in events if isinstance(event, ir.PartStart))
    assert isinstance(part, ir.ToolCall)
    assert part.native is not None
    assert kit.plain(part.native.data) == {"caller": {"type": "direct"}, "toolset_name": "browser"}


@pytest.mark.covers("FB-13", "FB-14")
def test_an_end_turn_after_a_call_is_tool_calls_and_tool_use_without_one_a_stop() -> None:
    call = kit.opened(**CALL) + kit.closed()
    reasons = [
        [
            e.reason
            for e in good(kit.streamed(kit.start(), inner, kit.finish(word), kit.STOP))
            if isinstance(e, ir.Finish)
        ]
        for inner, word in ((call, "end_turn"), (TEXT, "tool_use"), (call, "max_tokens"))
    ]
    assert reasons == [["tool_calls"], ["stop"], ["length"]]


@pytest.mark.covers("PF-35")
def test_omitted_thinking_has_its_seal_and_no_text() -> None:
    block = kit.opened(type="thinking", thinking="", signature="")
    sealed = kit.delta(type="signature_delta", signature="c2ln")
    events = good(kit.streamed(kit.start(), block, sealed, kit.closed(), TEXT, kit.finish(), kit.STOP))
    (seal,) = (event for event in events if isinstance(event, ir.Seal))
    assert (seal.native.owner, seal.native.family, kit.plain(seal.native.data)) == ("anthropic", "claude", "c2ln")
    assert not any(isinstance(event, ir.ReasoningDelta) for event in events)


def test_redacted_thinking_is_a_part_with_a_seal() -> None:
    block = kit.opened(type="redacted_thinking", data="aGlkZGVu")
    events = good(kit.streamed(kit.start(), block, kit.closed(), kit.finish(), kit.STOP))
    (seal,) = (event for event in events if isinstance(event, ir.Seal))
    assert kit.plain(seal.native.data) == {"redacted": "aGlkZGVu"}


@pytest.mark.covers("PF-51")
def test_a_server_tool_comes_out_whole_with_its_input() -> None:
    use = kit.opened(type="server_tool_use", id="srvtoolu_1", name="web_search", input={})
    deltas = kit.delta(type="input_json_delta", partial_json='{"query":') + kit.delta(
        type="input_json_delta", partial_json='"x"}'
    )
    events = good(kit.streamed(kit.start(), use, deltas, kit.closed(), TEXT, kit.finish(), kit.STOP))
    part = next(event.part for event in events if isinstance(event, ir.PartStart))
    assert isinstance(part, ir.Opaque)
    assert kit.plain(part.native.data)["input"] == {"query": "x"}


def test_a_compaction_arrives_in_its_delta() -> None:
    block = kit.opened(type="compaction", content=None)
    piece = kit.delta(type="compaction_delta", content="They met.")
    events = good(kit.streamed(kit.start(), block, piece, kit.closed(), kit.finish("compaction"), kit.STOP))
    part = next(event.part for event in events if isinstance(event, ir.PartStart))
    assert isinstance(part, ir.Opaque)
    assert part.text == "They met."


@pytest.mark.covers("PF-52", "PF-6")
def test_what_is_unknown_is_passed_over() -> None:
    odd = [
        b": comment\n\n",
        kit.record("ping"),
        kit.record("next_years_event", x=1),
        kit.delta(type="next_years_delta", x=1),
        b"data: [DONE]\n\n",
    ]
    block = kit.opened(1, type="next_years_block", x=1) + kit.closed(1)
    events = good(kit.streamed(odd[0], kit.start(), *odd, TEXT, block, *odd, kit.finish(), *odd, kit.STOP))
    assert words(events) == "Hello"


@pytest.mark.covers("FB-103", "FB-117")
def test_what_comes_after_the_end_is_ignored() -> None:
    events = good(kit.streamed(kit.start(), TEXT, kit.finish(), kit.STOP, TEXT, kit.record("error", error={})))
    assert isinstance(events[-1], ir.Done)


def test_records_without_event_lines_are_read_by_their_data() -> None:
    bare = b"".join(
        line + b"\n\n" for line in (kit.start() + TEXT + kit.finish() + kit.STOP).split(b"\n") if line[:5] == b"data:"
    )
    assert words(good(kit.streamed(bare))) == "Hello"


@pytest.mark.covers("PF-8", "FB-108")
def test_a_last_record_without_a_blank_line_counts() -> None:
    good(kit.streamed((kit.start() + TEXT + kit.finish() + kit.STOP).rstrip(b"\n")))


@pytest.mark.parametrize(
    "stream",
    [
        kit.start() + kit.opened() + kit.text("Hel") + kit.text("lo") + kit.finish() + kit.STOP,
        kit.start() + kit.text("Hello") + kit.finish() + kit.STOP,
        kit.opened() + kit.text("Hello") + kit.closed() + kit.finish() + kit.STOP,
        kit.start() + kit.start() + TEXT + kit.finish() + kit.finish("max_tokens") + kit.STOP,
        kit.start() + kit.opened(3) + kit.text("Hello", 3) + kit.closed(3) + kit.finish() + kit.STOP,
        kit.start() + kit.opened(type="text", text="Hel") + kit.text("lo") + kit.closed() + kit.finish() + kit.STOP,
        kit.start() + TEXT + kit.finish() + TEXT + kit.STOP,
        kit.start() + kit.opened() + kit.opened(1) + kit.text("Hello", 1) + kit.finish() + kit.STOP,
    ],
)
@pytest.mark.covers("FB-99", "PF-138b")
def test_a_careless_stream_is_put_in_order(stream: bytes) -> None:
    events = good(kit.streamed(stream))
    assert words(events) == "Hello"
    assert [event.reason for event in events if isinstance(event, ir.Finish)] == ["stop"]


@pytest.mark.covers("FB-104", "RC-7")
@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (b"", Kind.UPSTREAM_CUT),
        (kit.start(), Kind.UPSTREAM_CUT),
        (kit.start() + TEXT, Kind.UPSTREAM_CUT),
        (kit.start() + TEXT + kit.STOP, Kind.UPSTREAM_NONSENSE),
        (kit.start() + kit.opened() + b'event: content_block_delta\ndata: {"type":"content', Kind.UPSTREAM_NONSENSE),
        (b"<html><body>busy</body></html>", Kind.UPSTREAM_NONSENSE),
        (kit.start() + b"data: <html>\n\n", Kind.UPSTREAM_NONSENSE),
        (kit.start() + kit.delta(type="text_delta"), Kind.UPSTREAM_NONSENSE),
        (kit.start() + kit.opened(type="tool_use", name=3), Kind.UPSTREAM_NONSENSE),
        (kit.start() + kit.delta(type="input_json_delta", partial_json="{"), Kind.UPSTREAM_NONSENSE),
        (kit.record("message_start"), Kind.UPSTREAM_NONSENSE),
        (kit.start() + kit.record("error", error={"type": "overloaded_error", "message": "m"}), Kind.OVERLOADED),
        (kit.record("error", error={"type": "rate_limit_error", "message": "m"}), Kind.RATE_LIMIT),
        (b'event: error\ndata: {"message":"no"}\n\n', Kind.UPSTREAM_ERROR),
        (b'{"error":{"message":"no such model","type":"not_found_error"}}', Kind.UPSTREAM_MODEL),
        (b'{"type":"error",\n "error":{"type":"api_error","message":"m"}}', Kind.UPSTREAM_ERROR),
    ],
)
@pytest.mark.covers("PF-11", "FB-105", "FB-110", "FB-112", "PF-24")
def test_what_is_no_end_is_a_failure(stream: bytes, kind: Kind) -> None:
    assert failure(kit.streamed(stream)) is kind


def test_a_close_after_the_stop_reason_is_an_end() -> None:
    good(kit.streamed(kit.start(), TEXT, kit.finish()))


@pytest.mark.covers("PF-22")
def test_an_emoji_cut_in_two_deltas_is_put_together() -> None:
    high, low = kit.text("a X").replace(b"X", b"\\ud83d"), kit.text("X b").replace(b"X", b"\\ude00")
    events = good(kit.streamed(kit.start(), kit.opened(), high, low, kit.closed(), kit.finish(), kit.STOP))
    assert words(events) == "a \U0001f600 b"
    lost = good(kit.streamed(kit.start(), kit.opened(), high, kit.closed(), kit.finish(), kit.STOP))
    assert words(lost) == "a \ufffd"


@pytest.mark.covers("FB-109")
def test_a_record_of_many_megabytes_is_read() -> None:
    big = "x" * (3 << 20)
    data = kit.start() + kit.opened() + kit.text(big) + kit.closed() + kit.finish() + kit.STOP
    pieces = [data[at : at + 1400] for at in range(0, len(data), 1400)]
    assert words(good(kit.streamed(*pieces))) == big


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=5,
)
RECORDS = st.sampled_from(
    [
        kit.start(),
        kit.opened(),
        kit.opened(1),
        kit.opened(**CALL),
        kit.opened(type="thinking", thinking=""),
        kit.opened(type="server_tool_use", id="a", name="web_search", input={}),
        kit.text("a"),
        kit.text("b", 1),
        kit.delta(type="thinking_delta", thinking="t"),
        kit.delta(type="signature_delta", signature="s"),
        kit.delta(type="input_json_delta", partial_json="{"),
        kit.closed(),
        kit.closed(1),
        kit.finish(),
        kit.record("message_delta", delta={"stop_reason": None}),
        kit.STOP,
        kit.record("error", error={"type": "api_error", "message": "m"}),
    ]
)
ODD = st.builds(
    lambda kind, fields: f"data: {json.dumps({**fields, 'type': kind})}\n\n".encode(),
    st.sampled_from(["message_start", "content_block_start", "content_block_delta", "message_delta", "error", "x"]),
    st.dictionaries(
        st.sampled_from(["index", "delta", "content_block", "message", "usage", "error"]), JSON, max_size=4
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(RECORDS | ODD | st.binary(max_size=12), max_size=12))
def test_the_grammar_holds_for_any_input(pieces: list[bytes]) -> None:
    assert ir.violations(kit.streamed(*pieces)) == []
