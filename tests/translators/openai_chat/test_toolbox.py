"""The tools a server gets, and which of them it may or must call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw, structs

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators.base import Target
from llm_mux.translators.openai_chat.quirks import COMPATIBLE, Quirks
from llm_mux.translators.openai_chat.translator import TRANSLATOR
from tests.translators.openai_chat import chat

OBJECT = Raw(b'{"type":"object","properties":{}}')
TOOL = ir.Tool("weather", "Weather.", OBJECT)
USER = ir.Message("user", (ir.Text("hi"),))
PNG = ir.Image(ir.Inline("image/png", "iVBORw0KGgoAAAANSUhEUg=="))
PDF = ir.Document(ir.Inline("application/pdf", "JVBERi0="), name="a.pdf")
COMPAT = Target("some-model", provider="server", quirks=COMPATIBLE)


def said(*parts: ir.Part) -> ir.Message:
    return ir.Message("assistant", parts)


def answered(*results: ir.ToolResult) -> ir.Message:
    return ir.Message("user", results)


def dropped(request: ir.Request, to: Target = chat.PLAIN) -> tuple[str, ...]:
    return TRANSLATOR.encode_request(request, to).dropped


def messages(*history: ir.Message, to: Target = chat.PLAIN, **fields: Any) -> Any:
    return chat.encode(chat.request(*history, **fields), to)["messages"]


@pytest.mark.covers("FB-26", "PF-62")
def test_names_are_made_legal_and_can_be_restored() -> None:
    long = ir.Tool("mcp.server/tool:" + "x" * 80, None, OBJECT)
    other = ir.Tool("mcp_server/tool:" + "x" * 80, None, OBJECT)
    sent = TRANSLATOR.encode_request(chat.request(tools=(long, other)), chat.PLAIN)
    made = [tool["function"]["name"] for tool in json.loads(sent.body)["tools"]]
    assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum() for name in made)
    assert [sent.names.to_client[name].name for name in made] == [long.name, other.name]


@pytest.mark.parametrize(
    ("schema", "parameters"),
    [
        (OBJECT, {"type": "object", "properties": {}}),
        (None, None),
        (Raw(b'{"type":"object"}'), {"type": "object", "properties": {}}),
        (Raw(b"{}"), {"type": "object", "properties": {}}),
    ],
)
@pytest.mark.covers("FB-51", "PF-34")
def test_parameters_are_an_object_schema(schema: Raw | None, parameters: Any) -> None:
    tools = chat.encode(chat.request(tools=(ir.Tool("t", None, schema),)))["tools"]
    assert tools[0]["function"].get("parameters") == parameters


def test_a_good_schema_keeps_its_bytes() -> None:
    schema = b'{"type":"object", "properties":{"n":{"maximum":1e400,"default":12345678901234567890}}}'
    body = TRANSLATOR.encode_request(chat.request(tools=(ir.Tool("t", None, Raw(schema)),)), chat.PLAIN).body
    assert schema in body


FREE = ir.Tool(
    "patch", "Patches.", free_text=True, custom=Raw(b'{"type":"grammar","syntax":"lark","definition":"start: X"}')
)


@pytest.mark.covers("FB-34")
def test_free_text_tools_are_custom_at_openai_and_functions_elsewhere() -> None:
    history = (USER, said(ir.ToolCall("call_1", "patch", "*** begin", custom=True)))
    request = chat.request(*history, tools=(FREE,), tool_choice=ir.ToolChoice("tool", ("patch",)))
    official, other = chat.encode(request, chat.OPENAI), chat.encode(request, COMPAT)
    assert official["tools"][0]["custom"]["format"] == {
        "type": "grammar",
        "grammar": {"syntax": "lark", "definition": "start: X"},
    }
    assert official["messages"][1]["tool_calls"][0]["custom"] == {"name": "patch", "input": "*** begin"}
    assert official["tool_choice"] == {"type": "custom", "custom": {"name": "patch"}}
    assert other["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert "start: X" in other["tools"][0]["function"]["description"]
    assert json.loads(other["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"input": "*** begin"}
    assert other["tool_choice"] == {"type": "function", "function": {"name": "patch"}}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ir.ToolChoice("auto"), "auto"),
        (ir.ToolChoice("none"), "none"),
        (ir.ToolChoice("any"), "required"),
        (ir.ToolChoice("tool", ("weather",)), {"type": "function", "function": {"name": "weather"}}),
        (
            ir.ToolChoice("auto", ("weather",)),
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "weather"}}]},
            },
        ),
        (ir.ToolChoice("auto", ("gone",)), "auto"),
    ],
)
def test_tool_choice_is_sent_as(choice: ir.ToolChoice, sent: Any) -> None:
    assert chat.encode(chat.request(tools=(TOOL,), tool_choice=choice))["tool_choice"] == sent


def test_a_subset_is_a_shorter_list_where_the_server_knows_no_allowed_tools() -> None:
    request = chat.request(tools=(TOOL, ir.Tool("other", None, OBJECT)), tool_choice=ir.ToolChoice("any", ("other",)))
    body = chat.encode(request, COMPAT)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["other"]
    assert body["tool_choice"] == "required"


@pytest.mark.covers("FB-16")
def test_without_tools_nothing_is_said_about_choosing() -> None:
    body = chat.encode(chat.request(tool_choice=ir.ToolChoice("any"), parallel_tool_calls=False))
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body)


@pytest.mark.covers("FB-15", "PF-61")
def test_the_parallel_switch_goes_where_it_is_known() -> None:
    request = chat.request(tools=(TOOL,), parallel_tool_calls=False)
    assert chat.encode(request)["parallel_tool_calls"] is False
    assert dropped(request, chat.target(parallel_switch=False)) == ("parallel_tool_calls",)


def test_a_server_without_forced_calls_is_asked_softly() -> None:
    request = chat.request(tools=(TOOL,), tool_choice=ir.ToolChoice("any"))
    soft = chat.target(forced_tools=False)
    assert chat.encode(request, soft)["tool_choice"] == "auto"
    assert dropped(request, soft) == ("tool_choice",)


@pytest.mark.parametrize(
    ("protocol", "quirks", "strict", "reported"),
    [
        ("openai_chat", Quirks(), True, ()),
        ("anthropic", Quirks(), None, ("tools.strict",)),
        ("openai_chat", Quirks(strict_tools=False), None, ("tools.strict",)),
    ],
)
@pytest.mark.covers("PF-75")
def test_strict_is_never_put_on_a_schema_made_for_another_vendor(
    protocol: str, quirks: Quirks, strict: Any, reported: Any
) -> None:
    request = chat.request(protocol=protocol, tools=(ir.Tool("t", None, OBJECT, strict=True),))
    to = Target("gpt-4.1", quirks=quirks)
    assert chat.encode(request, to)["tools"][0]["function"].get("strict") == strict
    assert dropped(request, to) == reported


SEARCH = ir.HostedTool("web_search", ir.Native("openai_responses", Raw(b'{"type":"web_search"}')), name="web_search")
OFFERED_ALWAYS = structs.replace(SEARCH, optional=True)


@pytest.mark.parametrize("protocol", ["anthropic", "openai_responses"])
def test_a_foreign_hosted_tool_is_refused(protocol: str) -> None:
    with pytest.raises(MuxError, match="web_search"):
        chat.encode(chat.request(protocol=protocol, tools=(SEARCH, TOOL)))


def test_the_tools_codex_always_sends_do_not_fail_its_requests() -> None:
    request = chat.request(protocol="openai_responses", tools=(OFFERED_ALWAYS, TOOL))
    assert [tool["function"]["name"] for tool in chat.encode(request)["tools"]] == ["weather"]
    assert dropped(request) == ("tools.web_search",)
    demanded = chat.request(
        protocol="openai_responses", tools=(OFFERED_ALWAYS, TOOL), tool_choice=ir.ToolChoice("tool", ("web_search",))
    )
    with pytest.raises(MuxError):
        chat.encode(demanded)


@pytest.mark.covers("FB-38")
def test_a_search_model_takes_a_foreign_search() -> None:
    assert chat.encode(chat.request(tools=(SEARCH,)), Target("gpt-5-search-api"))["web_search_options"] == {}


def test_an_own_hosted_tool_goes_out_as_it_came() -> None:
    tool = {"type": "openrouter:web_search", "x": 1}
    assert chat.crossed(tools=[tool])["tools"] == [tool]


def test_a_mark_on_a_tool_goes_where_marks_are_taken() -> None:
    request = chat.request(
        tools=(ir.Tool("t", None, OBJECT, cache=ir.Cache("1h")), ir.Tool("u", None, OBJECT, cache=ir.Cache()))
    )
    marks = [tool.get("cache_control") for tool in chat.encode(request, chat.target(cache_control_parts=True))["tools"]]
    assert marks == [{"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral"}]
    assert "cache_control" not in chat.encode(request)["tools"][0]


@pytest.mark.parametrize(
    "form", [b'{"type":"text"}', b'"odd"', b'{"type":"grammar","grammar":{"syntax":"regex","definition":"a"}}']
)
def test_other_forms_of_free_text_stay_as_they_are(form: bytes) -> None:
    tool = ir.Tool("t", None, free_text=True, custom=Raw(form))
    assert chat.encode(chat.request(tools=(tool,)))["tools"][0]["custom"]["format"] == json.loads(form)


def test_search_options_reach_a_search_model() -> None:
    request = chat.decode(web_search_options={"search_context_size": "low"})
    assert chat.encode(request, Target("gpt-5-search-api"))["web_search_options"] == {"search_context_size": "low"}
    with pytest.raises(MuxError, match="web_search"):
        chat.encode(request)


@pytest.mark.parametrize("schema", [b'{"type":5}', b'{"anyOf":[{"type":"object"}]}', b"true"])
@pytest.mark.covers("FB-50")
def test_odd_schemas_become_object_schemas(schema: bytes) -> None:
    tools = chat.encode(chat.request(tools=(ir.Tool("t", None, Raw(schema)),)))["tools"]
    assert tools[0]["function"]["parameters"]["type"] == "object"


def test_a_list_of_tools_that_comes_again_is_what_it_is_for_each_server() -> None:
    grammar = Raw(b'{"type":"grammar","syntax":"lark","definition":"d"}')
    patch = ir.Tool("patch", "Patches.", custom=grammar, free_text=True)
    search = ir.HostedTool("web_search", ir.Native("anthropic", Raw(b"{}")), optional=True)
    strict = structs.replace(TOOL, name="exact", strict=True, cache=ir.Cache("1h"))
    listed: tuple[ir.Tool | ir.HostedTool, ...] = (TOOL, patch, search, strict)
    servers = (chat.PLAIN, COMPAT, chat.target(cache_control_parts=True), chat.target(strict_tools=False))
    asked = [(protocol, to) for protocol in ("anthropic", "openai_responses") for to in servers]

    def sent(tools: tuple[ir.Tool | ir.HostedTool, ...], protocol: str, to: Target) -> tuple[bytes, tuple[str, ...]]:
        made = TRANSLATOR.encode_request(chat.request(USER, tools=tools, protocol=protocol), to)
        return made.body, made.dropped

    again = [sent(listed, *each) for _ in range(2) for each in asked]
    assert again == [sent(tuple(list(listed)), *each) for _ in range(2) for each in asked]
    assert sent(listed, "anthropic", chat.PLAIN)[1] == ("tools.web_search", "tools.strict")
