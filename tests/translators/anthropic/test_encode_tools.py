"""Tools, the choice among them, and output formats on their way to the Messages API."""

from __future__ import annotations

import json
from dataclasses import dataclass

import msgspec
import pytest

from llm_mux import ir
from llm_mux.translators.anthropic.quirks import Quirks
from llm_mux.translators.base import Encoded
from tests.translators.anthropic import kit

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]}
STRICT = "claude-opus-5"


def encoded(
    *tools: ir.Tool | ir.HostedTool, model: str = kit.MODEL, quirks: Quirks | None = None, **more: object
) -> Encoded:
    return kit.encoded(kit.asked("hi", tools=tools, **more), model, quirks)


def body(*tools: ir.Tool | ir.HostedTool, **more: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(encoded(*tools, **more).body)
    return found


@dataclass(frozen=True)
class Schema:
    """A tool's schema as it came and as it is sent."""

    given: object
    sent: object


@pytest.mark.parametrize(
    "case",
    [
        Schema(None, {"type": "object", "properties": {}}),
        Schema(SCHEMA, SCHEMA),
        Schema({"type": "object"}, {"type": "object"}),
        Schema({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
    ],
)
@pytest.mark.covers("FB-51", "PF-34")
def test_a_schema_is_an_object(case: Schema) -> None:
    (found,) = body(kit.tool(schema=case.given))["tools"]
    assert found["input_schema"] == case.sent


@pytest.mark.parametrize("union", ["anyOf", "oneOf", "allOf"])
@pytest.mark.covers("PF-34", "FB-48")
def test_a_union_at_the_top_of_a_schema_is_merged(union: str) -> None:
    branch = {"type": "object", "properties": {"a": {"type": "string"}}}
    (found,) = body(kit.tool(schema={union: [branch]}))["tools"]
    assert found["input_schema"]["type"] == "object"
    assert union not in found["input_schema"]
    assert "a" in found["input_schema"]["properties"]


@pytest.mark.covers("PF-132", "FB-138")
def test_a_schema_that_may_stay_keeps_its_bytes() -> None:
    raw = msgspec.Raw(b'{"type":"object",  "properties":{"n":{"const":1e5}}}')
    assert bytes(raw) in encoded(ir.Tool("look", schema=raw)).body


@pytest.mark.covers("FB-26")
def test_a_name_is_made_legal_and_can_be_restored() -> None:
    made = encoded(kit.tool("mcp.server/look up"), kit.tool("x" * 200))
    names = [tool["name"] for tool in json.loads(made.body)["tools"]]
    assert names[0] == "mcp_server_look_up"
    assert len(names[1]) == 128
    assert [made.names.to_client[name].name for name in names] == ["mcp.server/look up", "x" * 200]


def test_a_host_with_shorter_names_gets_them() -> None:
    (found,) = json.loads(encoded(kit.tool("x" * 200), quirks=Quirks(tool_name_limit=64)).body)["tools"]
    assert len(found["name"]) == 64


@pytest.mark.covers("FB-34")
def test_a_free_text_tool_and_a_namespace_become_functions() -> None:
    grammar = msgspec.Raw(b'{"type":"grammar","syntax":"lark","definition":"start: x"}')
    patch = ir.Tool("apply_patch", "Patches.", custom=grammar, free_text=True)
    shell = ir.Tool("run", namespace="shell")
    call = ir.ToolCall("toolu_1", "apply_patch", "*** Begin", custom=True)
    sent = json.loads(kit.encoded(kit.asked("hi", kit.answered(call), tools=(patch, shell))).body)
    assert [tool["name"] for tool in sent["tools"]] == ["apply_patch", "shell__run"]
    assert sent["tools"][0]["input_schema"]["required"] == ["input"]
    assert "start: x" in sent["tools"][0]["description"]
    assert sent["messages"][1]["content"][0]["input"] == {"input": "*** Begin"}


def test_strict_is_kept_in_the_apis_own_subset_and_never_switched_on() -> None:
    (strict,) = body(kit.tool(schema=SCHEMA, strict=True))["tools"]
    assert strict["strict"] is True
    assert strict["input_schema"]["additionalProperties"] is False
    assert "minimum" not in strict["input_schema"]["properties"]["a"]
    (loose,) = body(kit.tool(schema=SCHEMA, strict=False))["tools"]
    assert "strict" not in loose


@pytest.mark.parametrize(("model", "quirks"), [("claude-3-7-sonnet", None), (STRICT, Quirks(strict_tools=False))])
def test_strict_is_dropped_where_it_is_not_known(model: str, quirks: Quirks | None) -> None:
    made = encoded(kit.tool(schema=SCHEMA, strict=True), model=model, quirks=quirks)
    assert "strict" not in json.loads(made.body)["tools"][0]
    assert made.dropped == ("tools.strict",)


@dataclass(frozen=True)
class Choice:
    """A choice for one model, what is sent for it and what is reported."""

    model: str
    choice: ir.ToolChoice | None
    sent: dict[str, object] | None
    parallel: bool | None = None
    dropped: tuple[str, ...] = ()


CHOICES = [
    Choice(kit.MODEL, None, None),
    Choice(kit.MODEL, None, {"type": "auto", "disable_parallel_tool_use": True}, parallel=False),
    Choice(kit.MODEL, ir.ToolChoice("auto"), {"type": "auto"}, parallel=True),
    Choice(kit.MODEL, ir.ToolChoice("none"), {"type": "none"}, parallel=False),
    Choice(kit.MODEL, ir.ToolChoice("any"), {"type": "any"}),
    Choice(kit.OLD, ir.ToolChoice("tool", ("look",)), {"type": "tool", "name": "look"}),
    Choice(
        kit.OLD,
        ir.ToolChoice("any"),
        {"type": "any", "disable_parallel_tool_use": True},
        parallel=False,
    ),
    Choice("claude-opus-5-5", ir.ToolChoice("any"), {"type": "auto"}, dropped=("tool_choice",)),
    Choice("claude-fable-5-1", ir.ToolChoice("tool", ("look",)), {"type": "auto"}, dropped=("tool_choice",)),
]


@pytest.mark.parametrize("case", CHOICES)
@pytest.mark.covers("FB-15", "PF-40", "FB-3B")
def test_the_choice_is_said_as_the_model_takes_it(case: Choice) -> None:
    made = encoded(kit.tool(), model=case.model, tool_choice=case.choice, parallel_tool_calls=case.parallel)
    assert json.loads(made.body).get("tool_choice") == case.sent
    assert made.dropped == case.dropped


@pytest.mark.covers("PF-40")
def test_a_force_that_is_refused_is_asked_for_in_words() -> None:
    found = body(kit.tool(), model="claude-opus-5-5", tool_choice=ir.ToolChoice("tool", ("look",)))
    assert "`look`" in json.dumps(found["messages"])


LOOP = {"type": "object", "properties": {"next": {"$ref": "#"}}}
FREE = {"type": "object", "properties": {"headers": {"type": "object"}}}


@pytest.mark.parametrize(
    ("choice", "strict"),
    [
        (ir.ToolChoice("tool", ("plain",)), ["plain"]),
        (ir.ToolChoice("tool", ("loop",)), []),
        (ir.ToolChoice("tool", ("free",)), []),
        (ir.ToolChoice("any"), ["plain"]),
        (ir.ToolChoice("auto"), []),
        (None, []),
    ],
)
@pytest.mark.parametrize("model", ["claude-opus-5-5", kit.MODEL])
def test_a_tool_whose_call_is_demanded_but_cannot_be_forced_is_strict_where_its_schema_allows(
    choice: ir.ToolChoice | None, strict: list[str], model: str
) -> None:
    offered = (kit.tool("plain", schema=SCHEMA), kit.tool("loop", schema=LOOP), kit.tool("free", schema=FREE))
    found = body(*offered, ir.Tool("bare"), model=model, tool_choice=choice)
    forced = model == kit.MODEL
    assert [tool["name"] for tool in found["tools"] if tool.get("strict")] == ([] if forced else strict)


@pytest.mark.covers("FB-16")
def test_a_choice_without_tools_is_left_out() -> None:
    found = body(tool_choice=ir.ToolChoice("any"), parallel_tool_calls=False)
    assert "tool_choice" not in found
    assert "tools" not in found


def test_a_subset_leaves_only_its_tools() -> None:
    choice = ir.ToolChoice("any", ("b", "c"))
    found = body(kit.tool("a"), kit.tool("b"), kit.tool("c"), tool_choice=choice)
    assert [tool["name"] for tool in found["tools"]] == ["b", "c"]
    assert found["tool_choice"] == {"type": "any"}


def test_calls_of_a_history_without_tools_get_definitions_that_may_not_be_called() -> None:
    found = kit.sent(kit.asked("hi", kit.answered(ir.ToolCall("toolu_1", "look", "{}")), "go"))
    assert found["tools"] == [{"name": "look", "input_schema": {"type": "object", "properties": {}}}]
    assert found["tool_choice"] == {"type": "none"}


PLACE = {"type": "approximate", "city": "Paris"}
SEARCH = ir.HostedTool(
    "web_search",
    kit.native(
        {"type": "web_search", "filters": {"allowed_domains": ["a.org"]}, "user_location": PLACE},
        "openai_responses",
    ),
)


@pytest.mark.covers("FB-38")
def test_another_vendors_web_search_becomes_this_ones() -> None:
    assert body(SEARCH)["tools"] == [
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "allowed_domains": ["a.org"],
            "user_location": PLACE,
        }
    ]


def test_other_tools_of_other_vendors_are_refused_unless_they_are_optional() -> None:
    tool = ir.HostedTool("image_generation", kit.native({"type": "image_generation"}, "openai_responses"))
    assert "image_generation" in kit.refusal(kit.asked("hi", tools=(tool,))).message
    assert encoded(msgspec.structs.replace(tool, optional=True)).dropped == ("tools.image_generation",)
    assert "web_search" in kit.refusal(kit.asked("hi", tools=(SEARCH,)), quirks=Quirks(web_search="")).message


def output(schema: object) -> ir.OutputFormat:
    return ir.OutputFormat("schema", name="x", schema=msgspec.Raw(json.dumps(schema).encode()), strict=True)


def test_a_schema_for_the_answer_is_put_into_the_apis_own_subset() -> None:
    found = body(output=output(SCHEMA))["output_config"]
    assert found["format"]["type"] == "json_schema"
    assert found["format"]["schema"]["additionalProperties"] is False


@pytest.mark.parametrize(("model", "quirks"), [("claude-sonnet-4-0", None), ("deepseek-chat", kit.COMPATIBLE)])
def test_a_model_without_schemas_is_told_in_words(model: str, quirks: Quirks | None) -> None:
    made = encoded(model=model, quirks=quirks, output=output(SCHEMA))
    sent = json.loads(made.body)
    assert "output_config" not in sent
    assert '"minimum":1' in sent["system"][-1]["text"]
    assert made.dropped == ("response_format",)


def test_any_json_is_asked_for_in_one_sentence() -> None:
    found = body(output=ir.OutputFormat("json"))
    assert "JSON" in found["system"][-1]["text"]
