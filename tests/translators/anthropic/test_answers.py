"""Whole answers: those of upstreams as they are read, and those of every vendor as clients of this format see them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import anthropic
import msgspec
import pytest

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.fold import unfold
from llm_mux.translators.anthropic.translator import TRANSLATOR
from llm_mux.translators.base import Hints
from tests.translators.anthropic import kit


def finish(reason: str, *content: object, **more: object) -> ir.Finish:
    return kit.whole(kit.answer(*content, stop_reason=reason, **more)).choices[0].finish


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop_sequence"),
        ("pause_turn", "paused"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "context"),
        ("compaction", "stop"),
        ("next_years_reason", "stop"),
    ],
)
@pytest.mark.covers("FB-92", "FB-3B", "PF-47")
def test_every_stop_reason_has_its_meaning(reason: str, expected: str) -> None:
    assert finish(reason, "x").reason == expected


@pytest.mark.covers("FB-14", "FB-13")
def test_whether_tools_were_called_is_decided_by_the_content() -> None:
    assert finish("end_turn", kit.use("toolu_1")).reason == "tool_calls"
    assert finish("tool_use", "text").reason == "stop"
    server = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    assert finish("end_turn", server, "found").reason == "stop"
    assert finish("max_tokens", kit.use("toolu_1")).reason == "length"


@pytest.mark.covers("PF-48")
def test_a_refusal_with_empty_content_is_an_answer() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "Not this."}
    choice = kit.whole(kit.answer(stop_reason="refusal", stop_details=details)).choices[0]
    assert (choice.parts, choice.finish.reason, choice.finish.detail) == ((), "refusal", "Not this.")


@pytest.mark.covers("PF-46", "FB-83", "FB-85")
def test_usage_keeps_uncached_read_and_written_tokens_apart() -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 3},
        "server_tool_use": {"web_search_requests": 2},
    }
    found = kit.whole(kit.answer("x", usage=usage)).usage
    assert found == ir.Usage(10, 7, cache_read=100, cache_write=30, cache_write_1h=20, reasoning=3, searches=2)
    assert found.prompt == 140


def test_negative_and_missing_counts_are_nothing() -> None:
    assert kit.whole(kit.answer("x", usage={"input_tokens": -4, "output_tokens": None})).usage == ir.Usage()
    assert kit.whole(kit.answer("x")).usage is None


@dataclass(frozen=True)
class Nonsense:
    """A body with status 200 that is no answer, and the kind of error it is."""

    body: bytes
    kind: Kind = Kind.UPSTREAM_NONSENSE


@pytest.mark.parametrize(
    "case",
    [
        Nonsense(b""),
        Nonsense(b"<html>busy</html>"),
        Nonsense(b'{"id":"msg_1"'),
        Nonsense(b"[]"),
        Nonsense(b'{"type":"message","stop_reason":"end_turn"}'),
        Nonsense(b'{"type":"message","content":[],"stop_reason":null}'),
        Nonsense(b'{"type":"message","content":"x","stop_reason":"end_turn"}'),
        Nonsense(b'{"type":"message","content":[{"type":"text","text":3}],"stop_reason":"end_turn"}'),
        Nonsense(b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}', Kind.OVERLOADED),
        Nonsense(b'{"error":{"message":"insufficient balance"}}', Kind.UPSTREAM_ERROR),
    ],
)
@pytest.mark.covers("PF-23", "PF-24", "FB-110")
def test_what_is_no_answer_is_an_error(case: Nonsense) -> None:
    with pytest.raises(MuxError) as caught:
        kit.whole(case.body)
    assert caught.value.kind is case.kind


@pytest.mark.covers("FB-93", "FB-3B")
@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("context", "model_context_window_exceeded"),
        ("stop_sequence", "stop_sequence"),
        ("filtered", "refusal"),
        ("refusal", "refusal"),
        ("paused", "pause_turn"),
        ("tool_calls", "end_turn"),
    ],
)
def test_every_end_has_its_stop_reason(reason: ir.FinishReason, word: str) -> None:
    found = kit.written(kit.response("x", finish=ir.Finish(reason, stop_sequence="END")))
    assert found["stop_reason"] == word
    assert found["stop_sequence"] == ("END" if word == "stop_sequence" else None)


def test_calls_end_with_tool_use() -> None:
    call = ir.ToolCall("call_1", "look", "")
    for reason in ("stop", "tool_calls"):
        assert kit.written(kit.response(call, finish=ir.Finish(reason)))["stop_reason"] == "tool_use"
    assert kit.written(kit.response(call, finish=ir.Finish("length")))["stop_reason"] == "max_tokens"


@pytest.mark.parametrize("reason", ["length", "context"])
def test_a_call_that_the_token_limit_cut_off_is_left_out(reason: ir.FinishReason) -> None:
    sealed = ir.Native("gemini", msgspec.Raw(b'{"thoughtSignature":"c2ln"}'), "gemini")
    whole, cut = ir.ToolCall("toolu_1", "look", '{"a":1}'), ir.ToolCall("toolu_2", "look", '{"a":', native=sealed)
    found = kit.written(kit.response(ir.Text("I look."), whole, cut, finish=ir.Finish(reason)))
    assert [block["type"] for block in found["content"]] == ["text", "tool_use"]
    assert found["stop_reason"] in ("max_tokens", "model_context_window_exceeded")


def test_a_refusal_part_is_shown_and_named() -> None:
    found = kit.written(kit.response(ir.Refusal("I cannot.")))
    assert found["content"] == [{"type": "text", "text": "I cannot."}]
    assert (found["stop_reason"], found["stop_details"]["explanation"]) == ("refusal", "I cannot.")


def test_a_reason_of_next_year_comes_back_as_it_was() -> None:
    assert kit.written(kit.whole(kit.answer("x", stop_reason="compaction")))["stop_reason"] == "compaction"


def test_a_broken_call_is_an_error_and_no_answer() -> None:
    with pytest.raises(MuxError):
        kit.written(kit.response(finish=ir.Finish("broken")))
    with pytest.raises(MuxError):
        kit.written(ir.Response("id", kit.MODEL, ()))


@pytest.mark.covers("FB-100", "FB-79")
def test_an_empty_answer_has_no_content_and_one_of_thoughts_alone_gets_an_empty_text() -> None:
    assert kit.written(kit.response())["content"] == []
    assert kit.written(kit.response(ir.Reasoning("hm")))["content"][-1] == {"type": "text", "text": ""}


@pytest.mark.covers("FB-82")
def test_usage_for_a_client_has_all_counts() -> None:
    usage = ir.Usage(10, 7, cache_read=100, cache_write=30, cache_write_1h=20, reasoning=3, searches=2)
    assert kit.written(kit.response("x", usage=usage))["usage"] == {
        "input_tokens": 10,
        "output_tokens": 7,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens_details": {"thinking_tokens": 3},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
    }
    assert kit.written(kit.response("x"))["usage"]["input_tokens"] == 0


@dataclass(frozen=True)
class Sealed:
    """Reasoning of some upstream that a client of this format carries through a turn."""

    part: ir.Part
    kind: str = "thinking"


SEALED = [
    Sealed(ir.Reasoning("hm", kit.native("c2ln", family="claude"))),
    Sealed(ir.Reasoning("", kit.native("c2ln", family="claude"))),
    Sealed(ir.Reasoning("", kit.native({"redacted": "aGlkZGVu"}, family="claude")), "redacted_thinking"),
    Sealed(ir.Reasoning("hm", kit.native("c2ln", family="deepseek"))),
    Sealed(ir.Reasoning("hm", kit.native({"id": "rs_1", "encrypted_content": "x"}, "openai_responses", "gpt"))),
    Sealed(ir.Reasoning("hm", kit.native("c2ln", "gemini", "gemini"))),
    Sealed(ir.Reasoning("hm")),
]


@pytest.mark.parametrize("case", SEALED)
@pytest.mark.covers("FB-66", "FB-68", "FB-58", "PF-35")
def test_a_seal_of_any_vendor_survives_a_turn_through_a_client(case: Sealed) -> None:
    shown = kit.written(kit.response(case.part, "answer"))["content"]
    assert [block["type"] for block in shown] == [case.kind, "text"]
    assert shown[0].get("signature", shown[0].get("data"))
    back = kit.decoded("hi", {"role": "assistant", "content": shown}, "go").messages[1].parts[0]
    assert isinstance(back, ir.Reasoning)
    assert isinstance(case.part, ir.Reasoning)
    assert back.text == case.part.text
    native, before = back.native, case.part.native
    assert (native is None) == (before is None)
    if native is not None and before is not None:
        assert (native.owner, kit.plain(native.data)) == (before.owner, kit.plain(before.data))
        assert native.family == ("" if before.family == "claude" else before.family)


@pytest.mark.covers("FB-62")
def test_the_seal_of_a_call_goes_in_a_thinking_block_before_it() -> None:
    call = ir.ToolCall("call_1", "look", '{"a":1}', native=kit.native("c2ln", "gemini", "gemini"))
    shown = kit.written(kit.response(ir.ToolCall("call_0", "look", ""), call))["content"]
    assert [block["type"] for block in shown] == ["tool_use", "thinking", "tool_use"]
    back = kit.decoded("hi", {"role": "assistant", "content": shown}).messages[1].parts
    assert kit.plain(back) == kit.plain((ir.ToolCall("call_0", "look", ""), call))


def test_a_damaged_envelope_is_no_signature() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "gw1.gemini.x"}
    request = kit.decoded("hi", kit.assistant(thought, "answer"), "go")
    assert request.messages[1].parts[0] == ir.Reasoning("hm")


@pytest.mark.covers("FB-39")
def test_another_vendors_search_is_shown_as_search_blocks_that_nobody_gets_back() -> None:
    data = {"type": "web_search_call", "id": "ws_1", "action": {"type": "search", "query": "who won"}}
    part = ir.Opaque(kit.native(data, "openai_responses"), "web_search_call", hint=True)
    shown = kit.written(kit.response(part, "The reds."))["content"]
    assert [block["type"] for block in shown] == ["server_tool_use", "web_search_tool_result", "text"]
    assert shown[0]["input"] == {"query": "who won"}
    back = kit.decoded("hi", {"role": "assistant", "content": shown}, "go")
    assert kit.sent(back)["messages"][1]["content"] == [{"type": "text", "text": "The reds."}]


def test_another_vendors_citations_become_links_unless_the_text_has_them() -> None:
    cites = (ir.Citation(url="https://a.org/x", title="A"), ir.Citation(url="https://b.org", title="B"))
    (block,) = kit.written(kit.response(ir.Text("See https://b.org.", citations=cites)))["content"]
    assert block == {"type": "text", "text": "See https://b.org.\n\nSources:\n- [A](https://a.org/x)"}


def test_no_links_stand_below_json_that_was_asked_for() -> None:
    cited = ir.Text("{}", citations=(ir.Citation(url="https://a.org/x", title="A"),))
    asked = msgspec.structs.replace(kit.decoded("hi"), output=ir.OutputFormat("json"))
    made = kit.response(cited)
    assert kit.written(made, asked)["content"] == [{"type": "text", "text": "{}"}]
    assert b"Sources" not in kit.shown(list(unfold(made)), asked)


@pytest.mark.parametrize(
    ("arguments", "custom", "expected"),
    [
        ("", False, {}),
        ("[1]", False, {"_raw": [1]}),
        ('{"a":', False, {"_raw": '{"a":'}),
        ("raw", True, {"input": "raw"}),
    ],
)
def test_the_input_of_a_call_is_always_an_object(arguments: str, custom: bool, expected: object) -> None:
    (block,) = kit.written(kit.response(ir.ToolCall("call_1", "look", arguments, custom=custom)))["content"]
    assert block["input"] == expected


@pytest.mark.covers("FB-8")
def test_a_call_without_name_or_id_gets_both() -> None:
    (block,) = kit.written(kit.response(ir.ToolCall("", "", "")))["content"]
    assert (block["name"], block["id"][:5]) == ("tool_0", "call_")


def test_what_cannot_be_shown_is_said() -> None:
    (block,) = kit.written(kit.response(ir.Image(ir.Inline("image/png", kit.PNG))))["content"]
    assert block["text"] == "[image output cannot be shown here]"


def test_fields_of_this_format_alone_come_back_to_its_clients() -> None:
    extras = {"container": {"id": "c_1", "expires_at": "2026-11-20T00:00:00Z"}, "input_transformations": []}
    found = kit.written(kit.whole(kit.answer("x", **extras)))
    assert {key: found[key] for key in extras} == extras


def test_the_sdk_reads_an_answer_with_everything_in_it() -> None:
    made = kit.response(
        ir.Reasoning("hm", kit.native("c2ln", "gemini")),
        ir.ToolCall("call_1", "look", '{"a":1}', native=kit.native("x", "gemini")),
        ir.Refusal("no"),
        usage=ir.Usage(1, 2, cache_write=3, reasoning=1, searches=1),
    )
    body = TRANSLATOR.encode_response(made, kit.decoded("hi"))
    anthropic.types.Message.model_validate_json(body, strict=True)
    message = kit.sdk(body).messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])
    assert message.content[-1].type == "text"


def test_half_an_emoji_in_an_answer_does_not_stop_it() -> None:
    body = json.dumps(kit.answer("cut")).replace("cut", "cut \\ud83d").encode()
    assert kit.whole(body).choices[0].parts == (ir.Text("cut \ufffd"),)


def test_an_answer_goes_back_into_the_history_as_it_came() -> None:
    shown = kit.written(kit.whole(kit.read("thinking_tools", "response.json")))["content"]
    request = TRANSLATOR.decode_request(
        kit.body("hi", {"role": "assistant", "content": shown}, thinking={"type": "adaptive"}), Hints()
    )
    assert kit.sent(request)["messages"][1]["content"] == shown
