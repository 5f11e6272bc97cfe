"""What clients of the Messages API send, in canonical form."""

from __future__ import annotations

import json
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import history
from llm_mux.translators.anthropic.translator import TRANSLATOR
from llm_mux.translators.base import Hints
from tests.translators.anthropic import kit

BILLING = "x-anthropic-billing-header: cc_version=2.1.329"


def parts(*blocks: object, role: str = "user") -> tuple[ir.Part, ...]:
    content = {"role": role, "content": list(blocks)}
    return kit.decoded(*(["hi", content] if role == "assistant" else [content])).messages[-1].parts


@pytest.mark.parametrize("system", ["Be brief.", [{"type": "text", "text": "Be brief."}]])
@pytest.mark.covers("FB-124")
def test_system_is_a_string_or_blocks(system: object) -> None:
    assert kit.decoded("hi", system=system).messages[0] == kit.system("Be brief.")


@pytest.mark.covers("FB-127")
def test_the_attribution_line_is_marked_and_left_out_for_others() -> None:
    request = kit.decoded("hi", system=[{"type": "text", "text": BILLING}, {"type": "text", "text": "Be brief."}])
    assert history.is_attribution(request.messages[0].parts[0])
    slot, _ = history.system_slot(request.messages)
    assert ir.joined(slot) == "Be brief."


@pytest.mark.covers("PF-42", "RC-12")
def test_a_system_message_in_the_conversation_keeps_its_place_and_its_unknown_fields() -> None:
    late = {"role": "system", "content": "Now in French.", "output_config": {"effort": "low"}}
    request = kit.decoded("hi", late)
    assert [message.role for message in request.messages] == ["user", "system"]
    assert kit.sent(request)["messages"][-1] == {**late, "content": [{"type": "text", "text": "Now in French."}]}


@pytest.mark.covers("FB-15")
def test_parallel_calls_are_switched_off_inside_the_tool_choice() -> None:
    request = kit.decoded("hi", tools=[kit.TOOL], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert request.parallel_tool_calls is False
    assert request.tool_choice == ir.ToolChoice("auto")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "any"}, ir.ToolChoice("any")),
        ({"type": "none"}, ir.ToolChoice("none")),
        ({"type": "tool", "name": "look"}, ir.ToolChoice("tool", ("look",))),
    ],
)
def test_a_tool_choice_is_read(choice: object, expected: ir.ToolChoice) -> None:
    assert kit.decoded("hi", tools=[kit.TOOL], tool_choice=choice).tool_choice == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ""),
        ("text", '"text"'),
        ([1], "[1]"),
        (None, ""),
        ({"n": 12345678901234567890}, '{"n":12345678901234567890}'),
    ],
)
@pytest.mark.covers("FB-29", "PF-33", "FB-55")
def test_a_tool_input_of_any_shape_is_kept(given: object, expected: str) -> None:
    call = parts(kit.use("toolu_1", input=given), role="assistant")[0]
    assert isinstance(call, ir.ToolCall)
    assert call.arguments == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("done", (ir.Text("done"),)),
        ([{"type": "text", "text": "done"}], (ir.Text("done"),)),
        ([], ()),
        (None, ()),
    ],
)
def test_a_result_is_a_string_blocks_or_nothing(content: object, expected: tuple[ir.Part, ...]) -> None:
    assert parts(kit.result("toolu_1", content, is_error=True)) == (ir.ToolResult("toolu_1", expected, is_error=True),)


@pytest.mark.covers("PF-49", "FB-134")
def test_blocks_keep_their_order() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    found = parts("a", kit.use("toolu_1"), thought, {"type": "text", "text": "b"}, kit.use("toolu_2"), role="assistant")
    kinds = [type(part).__name__ for part in found]
    assert kinds == ["Text", "ToolCall", "Reasoning", "Text", "ToolCall"]


@pytest.mark.parametrize("signature", ["", None, 3])
@pytest.mark.covers("FB-59")
def test_thinking_without_a_signature_has_no_seal(signature: object) -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": signature}
    assert parts(thought, role="assistant") == (ir.Reasoning("hm"),)


@pytest.mark.covers("FB-68")
def test_redacted_thinking_keeps_its_place_and_its_data() -> None:
    blocks = [{"type": "redacted_thinking", "data": "aGlkZGVu"}, {"type": "text", "text": "x"}]
    request = kit.decoded("hi", kit.assistant(*blocks), "go", thinking={"type": "adaptive"})
    assert kit.sent(request)["messages"][1]["content"] == blocks


@pytest.mark.covers("FB-80", "PF-44")
def test_a_mark_on_thinking_moves_to_the_block_before() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln", "cache_control": {"type": "ephemeral"}}
    text, reasoning = parts("a", thought, role="assistant")
    assert isinstance(text, ir.Text)
    assert text.cache == ir.Cache()
    assert isinstance(reasoning, ir.Reasoning)


@dataclass(frozen=True)
class Block:
    """A block that others do not know, and what they get of it: text, nothing (hint), or a refusal ("")."""

    block: dict[str, object]
    role: str
    text: str = ""
    hint: bool = False

    def __str__(self) -> str:
        return str(self.block["type"])


FOREIGN = [
    Block({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}, "assistant", hint=True),
    Block({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}, "assistant", hint=True),
    Block({"type": "compaction", "content": "They met."}, "assistant", text="They met."),
    Block({"type": "compaction", "content": None}, "assistant", hint=True),
    Block({"type": "fallback", "from": {}, "to": {}}, "assistant", hint=True),
    Block({"type": "from_next_year", "x": 1}, "assistant", hint=True),
    Block({"type": "container_upload", "file_id": "file_1"}, "user"),
    Block({"type": "tool_addition", "tool": {"type": "tool_reference", "name": "look"}}, "system", hint=True),
    Block({"type": "tool_addition", "tool": {"type": "tool_definition", "definition": {}}}, "system"),
    Block(
        {"type": "search_result", "source": "doc-1", "title": "Notes", "content": [{"type": "text", "text": "abc"}]},
        "user",
        text="Notes\ndoc-1\nabc",
    ),
]


@pytest.mark.parametrize("case", FOREIGN, ids=str)
@pytest.mark.covers("PF-52", "RC-12")
def test_blocks_of_this_format_alone_are_kept_with_what_others_see_of_them(case: Block) -> None:
    request = kit.decoded("hi", {"role": case.role, "content": [case.block]})
    part = request.messages[-1].parts[0]
    assert isinstance(part, ir.Opaque)
    assert (part.text, part.hint) == (case.text, case.hint)
    assert kit.plain(part.native.data) == case.block


def test_a_tool_reference_in_a_result_becomes_words_for_others() -> None:
    reference = {"type": "tool_reference", "tool_name": "look"}
    (found,) = parts(kit.result("toolu_1", [reference]))
    assert isinstance(found, ir.ToolResult)
    assert [part.text for part in found.content if isinstance(part, ir.Opaque)] == ["[tool look is available]"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"type": "text", "media_type": "text/plain", "data": "abc"}, ir.Inline("text/plain", "YWJj")),
        ({"type": "url", "url": "https://a/b.pdf"}, ir.Url("https://a/b.pdf", "application/pdf")),
        ({"type": "file", "file_id": "file_1"}, ir.FileId("anthropic", "file_1")),
        ({"type": "content", "content": "abc"}, ir.Inline("text/plain", "YWJj")),
        ({"type": "content", "content": [{"type": "text", "text": "abc"}]}, ir.Inline("text/plain", "YWJj")),
    ],
)
def test_a_document_has_one_of_five_sources(source: dict[str, object], expected: ir.Source) -> None:
    block = {"type": "document", "source": source, "title": "T", "context": "C", "citations": {"enabled": True}}
    request = kit.decoded(kit.user(block))
    (part,) = request.messages[0].parts
    assert isinstance(part, ir.Document)
    assert (part.source, part.name, part.context, part.cited) == (expected, "T", "C", True)
    assert kit.sent(request)["messages"][0]["content"] == [block]


@pytest.mark.covers("RC-12")
def test_fields_of_next_year_come_back_at_every_level() -> None:
    tool = {**kit.TOOL, "defer_loading": True, "x_tool": 1}
    call = kit.use("toolu_1", caller={"type": "direct"}, x_call=[1])
    message = {**kit.user(kit.result("toolu_1", x_result=1), {"type": "text", "text": "go", "x_text": {}}), "x_turn": 2}
    extras = {"context_management": {"edits": []}, "x_top": "y", "container": "c_1", "speed": "fast"}
    request = kit.decoded("hi", kit.assistant(call), message, tools=[tool], thinking={"type": "adaptive"}, **extras)
    body = kit.sent(request)
    assert body["tools"] == [tool]
    assert body["messages"][1]["content"] == [call]
    assert body["messages"][2] == message
    assert {key: body[key] for key in extras} == extras


def test_the_rest_of_the_output_config_stays_beside_effort_and_format() -> None:
    config = {"effort": "high", "task_budget": {"type": "tokens", "total": 20000}}
    request = kit.decoded("hi", output_config=config)
    assert request.thinking.effort == "high"
    assert kit.sent(request)["output_config"] == config


@pytest.mark.parametrize("key", ["output_config", "output_format"])
def test_a_schema_is_read_from_the_new_and_the_old_place(key: str) -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    request = kit.decoded("hi", **{key: form if key == "output_format" else {"format": form}})
    assert request.output.kind == "schema"
    assert kit.plain(request.output.schema) == {"type": "object"}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"type": "enabled", "budget_tokens": 5000}, ir.Thinking(budget=5000)),
        ({"type": "adaptive", "display": "omitted"}, ir.Thinking(adaptive=True, show=False)),
        ({"type": "adaptive", "display": "updates"}, ir.Thinking(adaptive=True, show=True)),
        ({"type": "disabled"}, ir.Thinking(effort="none")),
        ({"type": "between_tools"}, ir.Thinking(effort="none")),
    ],
)
def test_thinking_is_read(sent: object, expected: ir.Thinking) -> None:
    found = kit.decoded("hi", thinking=sent).thinking
    assert msgspec.structs.replace(found, native=None) == expected


@pytest.mark.covers("FB-35")
def test_a_tool_of_the_vendor_has_a_type_and_no_schema() -> None:
    search = {"type": "web_search_20260209", "name": "web_search"}
    bash = {"type": "bash_20250124", "name": "bash"}
    own = {"type": "custom", "name": "web_search_2", "input_schema": {"type": "object"}}
    first, second, third = kit.decoded("hi", tools=[search, bash, own]).tools
    assert isinstance(first, ir.HostedTool)
    assert (first.kind, first.name) == ("web_search", "web_search")
    assert isinstance(second, ir.HostedTool)
    assert second.kind == "bash_20250124"
    assert isinstance(third, ir.Tool)


def test_the_hints_win_over_the_body() -> None:
    hints = Hints(model="other", stream=True, headers={"x-claude-code-session-id": "s1"})
    request = TRANSLATOR.decode_request(kit.body("hi"), hints)
    assert (request.model, request.stream, request.cache_key) == ("other", True, "s1")


@pytest.mark.covers("PF-22")
def test_half_an_emoji_in_a_request_is_mended() -> None:
    sent = kit.body("cut").replace(b"cut", b"cut \\ud83d")
    assert TRANSLATOR.decode_request(sent, Hints()).messages[0].parts == (ir.Text("cut \ufffd"),)


@dataclass(frozen=True)
class Wrong:
    """A request that cannot be understood, and the field that the error names."""

    changes: dict[str, object]
    param: str | None

    def __str__(self) -> str:
        return str(self.param)


WRONG = [
    Wrong({"model": None}, "model"),
    Wrong({"messages": None}, "messages"),
    Wrong({"messages": []}, "messages"),
    Wrong({"messages": 3}, "messages"),
    Wrong({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
    Wrong({"messages": [{"content": "x"}]}, "messages.0.role"),
    Wrong({"messages": [{"role": "user"}]}, "messages.0.content"),
    Wrong({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content.0.type"),
    Wrong({"messages": [{"role": "user", "content": [{"type": "text", "text": 3}]}]}, "messages.0.content.0.text"),
    Wrong({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages.0.content.0"),
    Wrong({"max_tokens": "many"}, "max_tokens"),
    Wrong({"stop_sequences": [1]}, "stop_sequences.0"),
    Wrong({"tools": [{"input_schema": {}}]}, "tools.0.name"),
    Wrong({"tool_choice": {"type": "must"}}, "tool_choice.type"),
    Wrong({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
    Wrong({"thinking": "on"}, "thinking"),
    Wrong({"metadata": {"user_id": 7}}, "metadata.user_id"),
]


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_a_request_that_is_wrong_is_refused_by_the_field(case: Wrong) -> None:
    body = {**json.loads(kit.body("hi")), **case.changes}
    with pytest.raises(MuxError) as caught:
        TRANSLATOR.decode_request(json.dumps(body).encode(), Hints())
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, case.param)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"<html>", b'{"model":"m"}', b"\xff", b"[" * 100_000])
@pytest.mark.covers("PF-138")
def test_a_body_that_is_no_request_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(MuxError) as caught:
        TRANSLATOR.decode_request(body, Hints())
    assert caught.value.kind is Kind.BAD_REQUEST


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "metadata", "stream")
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "tool_result", "thinking", "image", "document", "compaction"])},
    optional=dict.fromkeys(("text", "id", "name", "input", "content", "source", "signature", "tool_use_id"), JSON),
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "x"]), "content": st.lists(BLOCKS, max_size=3) | JSON}
    ),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({"model": st.just("m"), "messages": MESSAGES}, optional=dict.fromkeys(KEYS[2:], JSON)))
@pytest.mark.covers("FB-28")
def test_whatever_comes_is_understood_or_refused(body: dict[str, object]) -> None:
    try:
        request = TRANSLATOR.decode_request(json.dumps(body).encode(), Hints())
        kit.sent(request)
        kit.sent(request, kit.OLD)
    except MuxError as error:
        assert error.kind is Kind.BAD_REQUEST


@pytest.mark.parametrize("fields", [{"thinking": None}, {"output_config": {"effort": None}}])
def test_a_wish_that_is_null_is_none(fields: dict[str, object]) -> None:
    request = kit.decoded("hi", **fields)
    assert request.thinking == ir.Thinking()
    assert kit.sent(request).keys() == kit.sent(kit.decoded("hi")).keys()
