"""Events of any upstream as the stream that clients of this format read."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import msgspec
import pytest

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators.anthropic.translator import TRANSLATOR
from tests.translators.anthropic import kit

START = ir.Start("msg_1", kit.MODEL, usage=ir.Usage(5, 1))
END = (ir.PartEnd(0), ir.Finish("stop"), ir.UsageReport(ir.Usage(5, 9)), ir.Done())


def stream(*events: ir.Event, request: ir.Request | None = None) -> bytes:
    return kit.shown([START, *events], request)


def records(*events: ir.Event) -> list[dict[str, Any]]:
    return kit.records(stream(*events))


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [record["type"].removeprefix("content_block_").removeprefix("message_") for record in found]


TEXT = (ir.PartStart(0, ir.Text("")), ir.TextDelta(0, "Hel"), ir.TextDelta(0, "lo"))


@pytest.mark.covers("PF-10", "FB-98", "FB-99", "FB-3B")
def test_a_stream_is_start_blocks_delta_stop_each_with_its_event_line() -> None:
    found = records(*TEXT, *END)
    assert kinds(found) == ["start", "start", "delta", "delta", "stop", "delta", "stop"]
    assert found[0]["message"]["stop_reason"] is None
    assert found[0]["message"]["stop_sequence"] is None
    assert found[0]["message"]["content"] == []
    assert found[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}


@pytest.mark.covers("FB-90")
def test_the_start_has_an_estimate_of_the_prompt_until_the_true_count_comes() -> None:
    request = kit.asked("x" * 400, kit.said(ir.Image(ir.Inline("image/png", kit.PNG))), tools=(kit.tool(schema={}),))
    bare = ir.Start("msg_1", kit.MODEL)
    found = kit.records(kit.shown([bare, *TEXT, *END], request))
    assert found[0]["message"]["usage"]["input_tokens"] >= 1100
    assert found[-2]["usage"]["input_tokens"] == 5
    silent = kit.records(kit.shown([bare, *TEXT, ir.PartEnd(0), ir.Finish("stop"), ir.Done()], request))
    assert silent[-2]["usage"]["input_tokens"] >= 1100


@pytest.mark.covers("FB-90")
def test_the_usage_at_the_end_repeats_the_input() -> None:
    usage = ir.Usage(3, 9, cache_read=4, cache_write=5, reasoning=2)
    found = records(*TEXT, ir.PartEnd(0), ir.UsageReport(usage), ir.Finish("stop"), ir.Done())[-2]["usage"]
    assert found["input_tokens"] == 3
    assert found["cache_read_input_tokens"] == 4
    assert found["cache_creation_input_tokens"] == 5
    assert found["output_tokens_details"] == {"thinking_tokens": 2}


@pytest.mark.covers("FB-100", "FB-79")
@pytest.mark.parametrize(
    "inner",
    [
        (),
        (ir.PartStart(0, ir.Text("")), ir.PartEnd(0)),
        (ir.PartStart(0, ir.Reasoning("")), ir.ReasoningDelta(0, "hm"), ir.PartEnd(0)),
    ],
)
def test_an_answer_without_words_has_one_empty_text_block(inner: tuple[ir.Event, ...]) -> None:
    found = stream(*inner, ir.Finish("stop"), ir.Done())
    message = kit.gathered(found)
    assert [block.text for block in message.content if block.type == "text"] == [""]
    assert message.stop_reason == "end_turn"


@pytest.mark.covers("PF-138b", "FB-134")
def test_blocks_are_counted_as_they_are_written() -> None:
    events: list[ir.Event] = [
        ir.PartStart(0, ir.Text("")),
        ir.PartEnd(0),
        ir.PartStart(1, ir.Reasoning("")),
        ir.PartEnd(1),
        ir.PartStart(2, ir.ToolCall("call_1", "look", "")),
        ir.PartEnd(2),
        ir.PartStart(3, ir.Text("")),
        ir.TextDelta(3, "x"),
        ir.PartEnd(3),
    ]
    message = kit.gathered(stream(*events, ir.Finish("tool_calls"), ir.Done()))
    assert [block.type for block in message.content] == ["tool_use", "text"]
    assert message.stop_reason == "tool_use"


@pytest.mark.parametrize("pieces", [[], [""], ['{"a":', "1}"]])
@pytest.mark.covers("PF-50")
def test_a_call_has_an_input_that_the_sdk_reads(pieces: list[str]) -> None:
    deltas = [ir.ArgumentsDelta(0, piece) for piece in pieces]
    call = ir.PartStart(0, ir.ToolCall("call_1", "look", ""))
    (block,) = kit.gathered(stream(call, *deltas, ir.PartEnd(0), ir.Finish("stop"), ir.Done())).content
    assert isinstance(block, anthropic.types.ToolUseBlock)
    assert block.input == ({"a": 1} if any(pieces) else {})


@pytest.mark.parametrize(
    ("native", "whole"),
    [
        (kit.native("c2ln", family="claude"), "c2ln"),
        (kit.native("c2ln", "gemini"), None),
        (None, None),
    ],
)
@pytest.mark.covers("FB-66", "FB-67")
def test_a_thinking_block_always_has_a_signature_before_it_ends(native: ir.Native | None, whole: str | None) -> None:
    seal = [ir.Seal(0, native)] if native is not None else []
    found = records(ir.PartStart(0, ir.Reasoning("")), ir.ReasoningDelta(0, "hm"), *seal, *END)
    signatures = [r["delta"]["signature"] for r in found if r.get("delta", {}).get("type") == "signature_delta"]
    assert len(signatures) == 1
    assert signatures[0] == whole or (whole is None and signatures[0].startswith("gw1."))


def test_redacted_thinking_is_whole_in_its_start() -> None:
    seal = ir.Seal(0, kit.native({"redacted": "aGlkZGVu"}, family="claude"))
    message = kit.gathered(stream(ir.PartStart(0, ir.Reasoning("")), seal, *END))
    assert message.content[0].to_dict() == {"type": "redacted_thinking", "data": "aGlkZGVu"}


@pytest.mark.covers("FB-62")
@pytest.mark.parametrize("at_start", [True, False])
def test_the_seal_of_a_call_at_hand_goes_before_it(at_start: bool) -> None:
    native = kit.native("c2ln", "gemini")
    call = ir.ToolCall("call_1", "look", "", native=native if at_start else None)
    inner = [ir.ArgumentsDelta(0, "{}"), *([] if at_start else [ir.Seal(0, native)]), ir.PartEnd(0)]
    out = TRANSLATOR.stream_encoder(kit.asked())
    data = (
        out.encode([START]) + out.encode([ir.PartStart(0, call), *inner]) + out.encode([ir.Finish("stop"), ir.Done()])
    )
    content = kit.gathered(data).content
    assert [block.type for block in content] == ["thinking", "tool_use"]
    shown = {"role": "assistant", "content": [block.to_dict() for block in content]}
    (back,) = kit.decoded("hi", shown).messages[1].parts
    assert isinstance(back, ir.ToolCall)
    assert kit.plain(back.native) == kit.plain(native)


@pytest.mark.covers("FB-39")
def test_a_search_of_another_vendor_is_told_in_two_blocks() -> None:
    data = {"type": "web_search_call", "action": {"query": "who won"}}
    part = ir.Opaque(kit.native(data, "openai_responses"), "web_search_call", hint=True)
    use, result = kit.gathered(stream(ir.PartStart(0, part), *END)).content[:2]
    assert isinstance(use, anthropic.types.ServerToolUseBlock)
    assert use.input == {"query": "who won"}
    assert isinstance(result, anthropic.types.WebSearchToolResultBlock)
    assert result.tool_use_id == use.id


def test_own_blocks_pass_as_they_are_whatever_lines_they_came_in() -> None:
    raw = msgspec.Raw(b'{\n "type": "web_search_tool_result",\r\n "tool_use_id": "srvtoolu_1",\n "content": []}')
    part = ir.Opaque(ir.Native("anthropic", raw), "web_search_tool_result")
    block = kit.gathered(stream(ir.PartStart(0, part), *END)).content[0]
    assert block.type == "web_search_tool_result"


def test_own_citations_are_deltas_and_others_become_links() -> None:
    location = {
        "type": "web_search_result_location",
        "url": "https://a",
        "title": "A",
        "cited_text": "x",
        "encrypted_index": "i",
    }
    own = ir.Cite(0, ir.Citation(url="https://a", native=kit.native(location)))
    (block,) = kit.gathered(stream(*TEXT, own, *END)).content
    assert isinstance(block, anthropic.types.TextBlock)
    assert block.citations is not None
    assert (block.text, len(block.citations)) == ("Hello", 1)
    foreign = ir.Cite(0, ir.Citation(url="https://b", title="B"))
    (block,) = kit.gathered(stream(*TEXT, foreign, *END)).content
    assert isinstance(block, anthropic.types.TextBlock)
    assert block.text == "Hello\n\nSources:\n- [B](https://b)"


@pytest.mark.covers("FB-93", "FB-3B")
@pytest.mark.parametrize(
    ("finish", "word"),
    [
        (ir.Finish("length"), "max_tokens"),
        (ir.Finish("filtered"), "refusal"),
        (ir.Finish("stop_sequence", stop_sequence="END"), "stop_sequence"),
        (ir.Finish("tool_calls"), "end_turn"),
        (ir.Finish("context"), "model_context_window_exceeded"),
    ],
)
def test_the_end_has_its_stop_reason(finish: ir.Finish, word: str) -> None:
    message = kit.gathered(stream(*TEXT, ir.PartEnd(0), finish, ir.Done()))
    assert message.stop_reason == word
    assert message.stop_sequence == finish.stop_sequence


def test_a_refusal_is_told_as_text_and_named_at_the_end() -> None:
    refusal = (ir.PartStart(0, ir.Refusal("")), ir.TextDelta(0, "I cannot."))
    message = kit.gathered(stream(*refusal, *END))
    assert (message.stop_reason, message.content[0].to_dict()["text"]) == ("refusal", "I cannot.")
    assert message.stop_details is not None
    assert message.stop_details.explanation == "I cannot."


@pytest.mark.covers("PF-11", "FB-105")
@pytest.mark.parametrize("broken", [True, False])
def test_a_failure_is_an_error_record_and_the_last(broken: bool) -> None:
    error = MuxError(Kind.OVERLOADED, "Busy.")
    ending = (ir.PartEnd(0), ir.Finish("broken"), ir.Done()) if broken else (ir.Failed(error),)
    out = TRANSLATOR.stream_encoder(kit.asked())
    found = kit.records(out.encode([START, *TEXT, *ending]))
    assert found[-1]["type"] == "error"
    assert found[-1]["error"]["type"] == ("api_error" if broken else "overloaded_error")
    assert out.encode([ir.Done()]) == b""


def test_the_sdk_raises_for_a_failure() -> None:
    failed = stream(*TEXT, ir.Failed(MuxError(Kind.RATE_LIMIT, "Slow down.")))
    with pytest.raises(anthropic.APIStatusError, match="Slow down"):
        kit.gathered(failed)


@pytest.mark.covers("PF-18", "FB-119")
def test_a_keep_alive_is_a_ping_that_the_sdk_skips_anywhere() -> None:
    out = TRANSLATOR.stream_encoder(kit.asked())
    data = out.encode([START]) + out.keepalive() + out.encode([*TEXT]) + out.keepalive() + out.encode([*END])
    assert data.count(b"event: ping\n") == 2
    assert kit.gathered(data).content[0].to_dict()["text"] == "Hello"


def test_choices_beside_the_first_are_not_shown() -> None:
    other = (ir.PartStart(1, ir.Text(""), choice=1), ir.TextDelta(1, "second"), ir.PartEnd(1), ir.Finish("length", 1))
    message = kit.gathered(stream(*TEXT, *other, *END))
    assert [block.to_dict()["text"] for block in message.content] == ["Hello"]
    assert message.stop_reason == "end_turn"


@pytest.mark.covers("PF-57")
def test_the_model_is_the_one_that_the_start_says() -> None:
    found = kit.records(kit.shown([msgspec.structs.replace(START, model="my-alias"), *TEXT, *END]))
    assert found[0]["message"]["model"] == "my-alias"


def test_fields_of_this_format_alone_come_back_at_the_start() -> None:
    start = ir.Start("msg_1", kit.MODEL, native=kit.native({"input_transformations": [], "x": 1}))
    message = kit.records(kit.shown([start, *TEXT, *END]))[0]["message"]
    assert message["input_transformations"] == []
    assert "x" not in message


def test_lone_halves_of_an_emoji_do_not_stop_a_stream() -> None:
    found = stream(ir.PartStart(0, ir.Text("")), ir.TextDelta(0, "a\ud83d"), *END)
    assert "a\ufffd" in json.dumps(kit.records(found), ensure_ascii=False)
