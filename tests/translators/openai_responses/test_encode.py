"""The canonical form to a request of this format: what servers accept, what goes, what is refused."""

import json
from typing import Any

import msgspec
import pytest

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import registry
from llm_mux.translators.base import Encoded, Target
from llm_mux.translators.openai_responses.quirks import Quirks
from llm_mux.translators.openai_responses.translator import TRANSLATOR
from tests.translators.openai_responses.kit import CODEX, MODEL, TARGET, again, decode, encode, other, raw

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SIMPLE = Target(
    "some-model", provider="local", quirks=Quirks(stateless=True, custom_tools=False, hosted_tools=frozenset())
)
USER = ir.Message("user", (ir.Text("Hi"),))
TOOL = ir.Tool("f", description="F", schema=raw({"type": "object", "properties": {}}))


def encoded(request: ir.Request, target: Target = TARGET) -> Encoded:
    return TRANSLATOR.encode_request(request, target)


def turn(*parts: ir.Part) -> ir.Request:
    calls = [part for part in parts if isinstance(part, ir.ToolCall)]
    results = tuple(ir.ToolResult(call.id, (ir.Text("ok"),), custom=call.custom) for call in calls)
    after = ir.Message("user", (*results, ir.Text("go on")))
    return other(USER, ir.Message("assistant", parts), after)


def items(request: ir.Request, target: Target = TARGET) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = encode(request, target)["input"]
    return found


def test_a_plain_request_is_stateless_and_asks_for_sealed_reasoning() -> None:
    body = encode(other(ir.Message("system", (ir.Text("Be kind."),)), USER, max_tokens=500))
    assert body == {
        "model": MODEL,
        "instructions": "Be kind.",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "max_output_tokens": 500,
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }


@pytest.mark.covers("PF-95")
def test_strict_is_always_said_and_never_turned_on() -> None:
    tools = (TOOL, msgspec.structs.replace(TOOL, name="g", strict=True))
    assert [tool["strict"] for tool in encode(other(tools=tools, protocol="openai_chat"))["tools"]] == [False, True]
    made = encoded(other(tools=tools, protocol="anthropic"))
    assert [tool["strict"] for tool in json.loads(made.body)["tools"]] == [False, False]
    assert made.dropped == ("tools.strict",)


@pytest.mark.covers("PF-34", "FB-51")
@pytest.mark.parametrize("schema", [None, {}, {"properties": {"a": {}}}, {"anyOf": [{"type": "object"}]}])
def test_parameters_always_describe_an_object(schema: Any) -> None:
    tool = msgspec.structs.replace(TOOL, schema=None if schema is None else raw(schema))
    parameters = encode(other(tools=(tool,)))["tools"][0]["parameters"]
    assert parameters["type"] == "object"
    assert "anyOf" not in parameters


@pytest.mark.covers("FB-55", "FB-138")
def test_schemas_that_need_nothing_keep_their_bytes() -> None:
    schema = msgspec.Raw(b'{"type":"object", "properties":{"n":{"maximum":12345678901234567890}}}')
    made = encoded(other(tools=(msgspec.structs.replace(TOOL, schema=schema),))).body
    assert bytes(schema) in made


@pytest.mark.covers("FB-5", "FB-4")
def test_call_ids_are_made_legal_on_both_sides() -> None:
    long = "toolu:" + "x" * 90
    call, result = (item for item in items(turn(ir.ToolCall(long, "f", "{}"))) if "call_id" in item)
    assert call["call_id"] == result["call_id"]
    assert len(call["call_id"]) <= 64


@pytest.mark.covers("FB-6", "FB-65", "PF-82")
def test_only_reasoning_items_are_sent_with_ids() -> None:
    found = again(
        input=[
            {"role": "user", "content": "x"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"},
            {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "y"}]},
            {"type": "function_call", "id": "call_1", "call_id": "call_1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "id": "out_1", "call_id": "call_1", "output": "z"},
        ]
    )["input"]
    assert [item.get("id") for item in found] == [None, "rs_1", None, None, None]


@pytest.mark.covers("PF-82")
def test_reasoning_goes_only_with_the_item_that_follows_it() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"}
    user = {"role": "user", "content": "x"}
    said = {"role": "assistant", "content": "y"}
    assert [item["type"] for item in again(input=[user, said, thought, user])["input"]] == ["message"] * 3
    kinds = [item["type"] for item in again(input=[user, thought, thought, said, user])["input"]]
    assert kinds == ["message", "reasoning", "reasoning", "message", "message"]


@pytest.mark.covers("PF-83")
def test_a_summary_is_always_a_list_and_keeps_its_parts() -> None:
    summary = [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]
    thought = {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "E"}
    said = {"role": "assistant", "content": "y"}
    assert again(input=[thought, said])["input"][0]["summary"] == summary
    bare = {"type": "reasoning", "encrypted_content": "E"}
    assert again(input=[bare, said])["input"][0] == {"type": "reasoning", "summary": [], "encrypted_content": "E"}


@pytest.mark.covers("FB-58", "FB-64", "PF-140", "FB-77")
def test_thoughts_of_other_vendors_are_dropped_whole_and_never_become_text() -> None:
    foreign = ir.Reasoning("secret plan", native=ir.Native("anthropic", raw("sig"), "claude"))
    other_family = ir.Native("openai_responses", raw({"id": "rs_1", "encrypted_content": "E"}), "grok")
    unsealed = ir.Reasoning("loose thought")
    found = items(turn(foreign, ir.Reasoning("x", native=other_family), unsealed, ir.Text("answer")))
    assert [item["type"] for item in found] == ["message"] * 3
    assert "secret" not in json.dumps(found)


@pytest.mark.covers("FB-21")
def test_a_turn_with_calls_only_has_no_empty_message() -> None:
    found = items(turn(ir.Text(""), ir.ToolCall("c1", "f", "{}")))
    assert [item["type"] for item in found] == ["message", "function_call", "function_call_output", "message"]


@pytest.mark.covers("FB-28", "FB-29")
@pytest.mark.parametrize(
    ("arguments", "sent"),
    [("", "{}"), ('{"b":1,"a":1e5}', '{"b":1,"a":1e5}'), ("[1]", '{"_raw":[1]}'), ("oops", '{"_raw":"oops"}')],
)
def test_arguments_are_always_an_object(arguments: str, sent: str) -> None:
    call = items(turn(ir.ToolCall("c1", "f", arguments)))[1]
    assert call["arguments"] == sent


@pytest.mark.covers("FB-17", "FB-18", "FB-20", "PF-30")
def test_results_follow_their_calls_in_order_and_missing_ones_are_made_up() -> None:
    calls = (ir.ToolCall("a", "f", "{}"), ir.ToolCall("b", "f", "{}"), ir.ToolCall("c", "f", "{}"))
    late = ir.Message(
        "user", (ir.Text("note"), ir.ToolResult("b", (ir.Text("B"),)), ir.ToolResult("a", (ir.Text("A"),)))
    )
    found = items(other(USER, ir.Message("assistant", calls), late))
    assert [item.get("call_id", item["type"]) for item in found] == ["message", "a", "b", "c", "a", "b", "c", "message"]


@pytest.mark.covers("FB-32", "PF-64")
def test_images_in_results_stay_there_or_follow_in_a_message() -> None:
    image = ir.Image(ir.Inline("image/png", PNG))
    result = ir.ToolResult("c1", (ir.Text("a screen"), image), is_error=None)
    request = other(USER, ir.Message("assistant", (ir.ToolCall("c1", "f", "{}"),)), ir.Message("user", (result,)))
    native = items(request)[2]
    assert [part["type"] for part in native["output"]] == ["input_text", "input_image"]
    poor = items(request, Target("m", quirks=Quirks(rich_results=False)))
    assert isinstance(poor[2]["output"], str)
    assert poor[3]["content"][0]["type"] == "input_image"


def test_a_failed_result_says_so_in_its_text() -> None:
    result = ir.ToolResult("c1", (ir.Text("no such file"),), is_error=True)
    request = other(USER, ir.Message("assistant", (ir.ToolCall("c1", "f", "{}"),)), ir.Message("user", (result,)))
    assert items(request)[2]["output"] == "Error: no such file"


@pytest.mark.covers("FB-131")
def test_documents_and_images_in_every_source() -> None:
    parts = (
        ir.Document(ir.Inline("application/pdf", "JVBERi0="), name="a.pdf"),
        ir.Document(ir.Inline("text/plain", "SGVsbG8="), name="a.txt"),
        ir.Document(ir.Url("https://example.com/a.pdf")),
        ir.Image(ir.Inline("image/jpeg", PNG)),
        ir.Image(ir.FileId("openai_chat", "file-1")),
    )
    content = items(other(ir.Message("user", parts)))[0]["content"]
    assert content[0] == {
        "type": "input_file",
        "filename": "a.pdf",
        "file_data": "data:application/pdf;base64,JVBERi0=",
    }
    assert content[1]["text"] == "a.txt\n\nHello"
    assert content[2] == {"type": "input_file", "file_url": "https://example.com/a.pdf"}
    assert content[3]["image_url"].startswith("data:image/png;base64,")
    assert content[4] == {"type": "input_image", "detail": "auto", "file_id": "file-1"}


@pytest.mark.parametrize(
    "part",
    [
        ir.Audio(ir.Inline("audio/wav", "AAAA")),
        ir.Video(ir.Url("https://example.com/v")),
        ir.Image(ir.FileId("anthropic", "file_1")),
        ir.Opaque(ir.Native("gemini", raw({})), label="executableCode"),
    ],
)
def test_content_without_a_form_is_refused_by_name(part: ir.Part) -> None:
    with pytest.raises(MuxError) as caught:
        encoded(other(ir.Message("user", (part,))))
    assert caught.value.kind is Kind.BAD_REQUEST
    assert "openai/gpt-6-sol" in caught.value.message


def test_pictures_the_assistant_made_leave_a_placeholder() -> None:
    found = items(turn(ir.Text("Here:"), ir.Image(ir.Inline("image/png", PNG))))
    assert [part["text"] for part in found[1]["content"]] == ["Here:", "[image omitted]"]


@pytest.mark.covers("PF-86", "PF-139")
def test_knobs_that_do_not_exist_are_reported_and_stops_are_left_to_the_daemon() -> None:
    sampling = ir.Sampling(seed=1, top_k=4, presence_penalty=0.5, frequency_penalty=0.1, logit_bias=raw({}))
    made = encoded(other(sampling=sampling, stop=("END",)))
    assert made.dropped == ("top_k", "presence_penalty", "frequency_penalty", "seed", "logit_bias")
    assert made.stops == ("END",)
    assert "stop" not in json.loads(made.body)


def test_more_than_one_choice_and_output_that_is_no_text_are_refused() -> None:
    asking = [other(modalities=("text", modality)) for modality in ("audio", "image", "video")]
    for request in (other(sampling=ir.Sampling(n=2)), *asking):
        with pytest.raises(MuxError):
            encoded(request)


@pytest.mark.parametrize(
    ("model", "sent", "dropped"),
    [
        ("gpt-6-sol", {}, ("temperature", "top_p")),
        ("o3", {}, ("temperature", "top_p")),
        ("gpt-4.1", {"temperature": 0.5, "top_p": 0.9}, ()),
        ("some/other-model", {"temperature": 0.5, "top_p": 0.9}, ()),
    ],
)
def test_sampling_goes_only_to_models_that_take_it(model: str, sent: dict[str, Any], dropped: tuple[str, ...]) -> None:
    made = encoded(other(sampling=ir.Sampling(temperature=0.5, top_p=0.9)), Target(model))
    body = json.loads(made.body)
    assert {name: body[name] for name in ("temperature", "top_p") if name in body} == sent
    assert made.dropped == dropped


@pytest.mark.parametrize(
    ("thinking", "model", "sent"),
    [
        (ir.Thinking(), MODEL, None),
        (ir.Thinking(effort="high"), MODEL, {"effort": "high", "summary": "auto"}),
        (ir.Thinking(effort="high", show=False), MODEL, {"effort": "high"}),
        (ir.Thinking(effort="none"), MODEL, {"effort": "none"}),
        (ir.Thinking(budget=2000), MODEL, {"effort": "low", "summary": "auto"}),
        (ir.Thinking(adaptive=True, show=True), MODEL, {"summary": "auto"}),
        (ir.Thinking(effort="max"), "gpt-5.1", {"effort": "high", "summary": "auto"}),
        (ir.Thinking(effort="minimal"), "gpt-5.1", {"effort": "low", "summary": "auto"}),
        (ir.Thinking(effort="minimal"), MODEL, {"effort": "low", "summary": "auto"}),
        (ir.Thinking(effort="none"), "gpt-5", {"effort": "minimal"}),
        (ir.Thinking(effort="high"), "gpt-4.1", None),
    ],
)
def test_reasoning_control(thinking: ir.Thinking, model: str, sent: dict[str, Any] | None) -> None:
    assert encode(other(thinking=thinking), Target(model)).get("reasoning") == sent


def test_the_clients_own_reasoning_object_goes_as_it_came() -> None:
    asked = {"effort": "ultra", "context": "all_turns", "summary": "detailed"}
    assert again(reasoning=asked)["reasoning"] == asked
    assert again(Target("gpt-5.1"), reasoning={"effort": "xhigh", "context": "auto"})["reasoning"] == {
        "context": "auto",
        "effort": "high",
    }


def test_an_effort_that_was_decided_elsewhere_wins() -> None:
    request = decode(reasoning={"effort": "low", "summary": "auto"})
    thinking = msgspec.structs.replace(request.thinking, effort="high")
    body = encode(msgspec.structs.replace(request, thinking=thinking))
    assert body["reasoning"] == {"summary": "auto", "effort": "high"}


@pytest.mark.covers("FB-57")
def test_structured_output_is_flat_and_named() -> None:
    output = ir.OutputFormat("schema", schema=raw({"type": "object"}))
    assert encode(other(output=output, verbosity="low"))["text"] == {
        "format": {"type": "json_schema", "name": "response", "schema": {"type": "object"}},
        "verbosity": "low",
    }


@pytest.mark.covers("PF-74")
def test_json_mode_says_the_word_json() -> None:
    output = ir.OutputFormat("json")
    assert "JSON" in encode(other(output=output))["instructions"]
    said = other(ir.Message("user", (ir.Text("as json please"),)), output=output)
    assert "instructions" not in encode(said)


@pytest.mark.covers("FB-16")
def test_a_tool_choice_without_tools_goes() -> None:
    body = encode(other(tool_choice=ir.ToolChoice("auto"), parallel_tool_calls=False))
    assert "tool_choice" not in body
    assert "parallel_tool_calls" not in body


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ir.ToolChoice("any"), "required"),
        (ir.ToolChoice("none"), "none"),
        (ir.ToolChoice("tool", ("f",)), {"type": "function", "name": "f"}),
        (
            ir.ToolChoice("any", ("f",)),
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
        ),
    ],
)
def test_tool_choice(choice: ir.ToolChoice, sent: Any) -> None:
    body = encode(other(tools=(TOOL,), tool_choice=choice, parallel_tool_calls=False))
    assert (body["tool_choice"], body["parallel_tool_calls"]) == (sent, False)


@pytest.mark.covers("PF-62", "FB-26")
def test_illegal_names_are_made_legal_and_can_be_restored() -> None:
    tool = msgspec.structs.replace(TOOL, name="mcp.server/run it")
    request = other(
        USER,
        ir.Message("assistant", (ir.ToolCall("c1", tool.name, "{}"),)),
        ir.Message("user", (ir.ToolResult("c1", (ir.Text("ok"),)),)),
        tools=(tool,),
        tool_choice=ir.ToolChoice("tool", (tool.name,)),
    )
    made = encoded(request)
    body = json.loads(made.body)
    names = {body["tools"][0]["name"], body["tool_choice"]["name"], body["input"][1]["name"]}
    assert names == {"mcp_server_run_it"}
    assert made.names.to_client["mcp_server_run_it"].name == tool.name


@pytest.mark.covers("FB-34")
def test_free_text_tools_and_namespaces_go_as_they_are_or_as_functions() -> None:
    custom = {"type": "custom", "name": "patch", "format": {"type": "text"}}
    group = {
        "type": "namespace",
        "name": "ns",
        "description": "N",
        "tools": [{"type": "function", "name": "g", "parameters": None}],
    }
    history = [
        {"role": "user", "content": "x"},
        {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "a\nb"},
        {"type": "function_call", "call_id": "c2", "name": "g", "namespace": "ns", "arguments": "{}"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
        {"type": "function_call_output", "call_id": "c2", "output": "ok"},
    ]
    own = again(tools=[custom, group], input=history)
    assert own["tools"] == [custom, group]
    assert [item["type"] for item in own["input"][1:]] == [item["type"] for item in history[1:]]
    assert own["input"][2]["namespace"] == "ns"
    made = encoded(decode(tools=[custom, group], input=history), SIMPLE)
    body = json.loads(made.body)
    assert [(tool["type"], tool["name"]) for tool in body["tools"]] == [("function", "patch"), ("function", "ns__g")]
    assert [(i["type"], i.get("name")) for i in body["input"][1:3]] == [
        ("function_call", "patch"),
        ("function_call", "ns__g"),
    ]
    assert json.loads(body["input"][1]["arguments"]) == {"input": "a\nb"}
    assert made.names.to_client["ns__g"].namespace == "ns"


@pytest.mark.covers("PF-93")
def test_what_codex_sends_beyond_functions_reaches_openai_unchanged() -> None:
    tools = [
        {"type": "web_search", "external_web_access": True},
        {"type": "tool_search", "execution": "client", "description": "d", "parameters": {"type": "object"}},
    ]
    listed = [
        {"type": "additional_tools", "role": "developer", "tools": [{"type": "custom", "name": "exec"}]},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]},
        {
            "type": "tool_search_call",
            "call_id": "s",
            "execution": "client",
            "arguments": {"query": "q"},
            "status": "completed",
        },
        {"type": "tool_search_output", "call_id": "s", "execution": "client", "tools": [], "status": "completed"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "configuration_update", "reasoning": {"effort": "high"}},
    ]
    body = again(tools=tools, input=listed, client_metadata={"a": "b"}, store=False)
    assert body["input"] == listed
    assert body["tools"] == tools
    assert body["client_metadata"] == {"a": "b"}
    assert "instructions" not in body


@pytest.mark.covers("PF-139")
def test_who_called_and_what_may_come_later_stay_with_calls_and_results() -> None:
    program = {"type": "program", "caller_id": "cm_1"}
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}", "caller": program, "async": True}
    free = {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": "x", "caller": program}
    told = {"type": "function_call_output", "call_id": "a", "output": "ok", "caller": program, "namespace": "n"}
    tools = [{"type": "custom", "name": "g"}, {"type": "function", "name": "f", "parameters": {"type": "object"}}]
    free_told = {"type": "custom_tool_call_output", "call_id": "b", "output": "ok"}
    request = decode(tools=tools, input=[{"role": "user", "content": "x"}, call, free, told, free_told])
    assert encode(request)["input"][1:] == [call, free, told, free_told]
    plain = encode(request, SIMPLE)["input"][1:]
    assert [item["type"] for item in plain] == ["function_call", "function_call", *["function_call_output"] * 2]
    assert "caller" not in plain[2]
    direct = {**call, "caller": {"type": "direct"}, "async": False}
    again_ = decode(tools=tools, input=[{"role": "user", "content": "x"}, direct, told])
    assert encode(again_)["input"][1] == {k: v for k, v in call.items() if k not in ("caller", "async")}


@pytest.mark.covers("PF-139")
def test_tools_that_an_item_brings_keep_their_settings_for_others() -> None:
    search = {"type": "web_search", "filters": {"allowed_domains": ["a.org"]}, "search_context_size": "low"}
    listed = [{"type": "additional_tools", "role": "developer", "tools": [search]}, {"role": "user", "content": "x"}]
    request = decode(input=listed)
    assert "tools" not in encode(request)
    made = registry.get("anthropic").encode_request(request, Target("claude-sonnet-4-5"))
    assert json.loads(made.body)["tools"][0]["allowed_domains"] == ["a.org"]
    assert "tools.web_search.search_context_size" in made.dropped


@pytest.mark.covers("PF-93")
def test_codex_tools_that_a_server_does_not_run_are_dropped_and_reported() -> None:
    tools = [{"type": "web_search", "external_web_access": True}, {"type": "function", "name": "f", "parameters": None}]
    lite = [{"type": "additional_tools", "role": "developer", "tools": [{"type": "custom", "name": "exec"}]}]
    request = decode(CODEX, tools=tools, input=[*lite, {"role": "user", "content": "x"}])
    made = encoded(request, SIMPLE)
    body = json.loads(made.body)
    assert [tool["name"] for tool in body["tools"]] == ["f", "exec"]
    assert made.dropped == ("tools.web_search",)
    assert [item["type"] for item in body["input"]] == ["message"]
    with pytest.raises(MuxError, match="web_search"):
        encoded(decode(tools=tools), SIMPLE)


@pytest.mark.covers("FB-16")
def test_a_tool_choice_loses_the_tools_that_were_dropped() -> None:
    tools = [{"type": "web_search"}, {"type": "function", "name": "f", "parameters": None}]
    listed = [{"type": "web_search"}, {"type": "function", "name": "f"}]
    for allowed, sent in ((listed, ["f"]), (listed[:1], None)):
        choice = {"type": "allowed_tools", "mode": "auto", "tools": allowed}
        body = encode(decode(CODEX, tools=tools, tool_choice=choice), SIMPLE)
        assert [tool["name"] for tool in body["tool_choice"]["tools"]] == sent if sent else "tool_choice" not in body


@pytest.mark.covers("FB-38")
def test_web_search_of_other_vendors_becomes_ours() -> None:
    native = ir.Native(
        "anthropic", raw({"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.org"]})
    )
    tools = (ir.HostedTool("web_search", native, name="web_search"),)
    body = encode(other(tools=tools, tool_choice=ir.ToolChoice("tool", ("web_search",))))
    assert body["tools"] == [{"type": "web_search", "filters": {"allowed_domains": ["a.org"]}}]
    assert body["tool_choice"] == {"type": "web_search_preview"}
    with pytest.raises(MuxError):
        encoded(other(tools=(ir.HostedTool("computer", ir.Native("anthropic", raw({}))),)))


@pytest.mark.covers("PF-92")
def test_a_server_without_a_memory_is_asked_nothing_about_it() -> None:
    made = encoded(decode(store=True, background=True), SIMPLE)
    assert json.loads(made.body)["store"] is False
    assert made.dropped == ("background",)
    assert encoded(other(protocol="openai_chat", extras={"store": raw(True)}), SIMPLE).dropped == ("store",)
    assert encoded(other(protocol="openai_chat", extras={"store": raw(False)}), SIMPLE).dropped == ()
    with pytest.raises(MuxError, match="previous_response_id"):
        encoded(decode(previous_response_id="resp_1"), SIMPLE)
    assert again(previous_response_id="resp_1", store=True)["previous_response_id"] == "resp_1"


def test_keys_a_server_refuses_are_removed_and_reported() -> None:
    target = Target(MODEL, quirks=Quirks(unsupported=frozenset({"max_output_tokens", "safety_identifier"})))
    made = encoded(other(max_tokens=100, user="u"), target)
    assert (made.dropped, made.max_tokens) == (("user",), 100)
    assert encoded(decode(safety_identifier="u"), target).dropped == ("safety_identifier",)
    assert "max_output_tokens" not in json.loads(made.body)


@pytest.mark.parametrize(
    ("asked", "limit", "sent", "held"),
    [(8, None, 16, 8), (16, None, 16, None), (100, None, 100, None), (9000, 4096, 4096, None)],
)
def test_token_limits_stay_within_what_the_server_takes(
    asked: int, limit: int | None, sent: int, held: int | None
) -> None:
    """What is below the least that the server takes is held by the daemon."""
    made = encoded(other(max_tokens=asked), Target(MODEL, max_output=limit))
    assert (json.loads(made.body)["max_output_tokens"], made.max_tokens) == (sent, held)
    assert not made.dropped


def test_the_names_of_speakers_are_reported() -> None:
    made = encoded(other(ir.Message("user", (ir.Text("Hi"),), name="ada"), protocol="openai_chat"))
    assert made.dropped == ("messages.name",)


def test_users_tiers_and_metadata() -> None:
    long = json.dumps({"device_id": "d" * 100})
    body = encode(other(user=long, service_tier="flex", metadata=raw({"k": "v"}), cache_key="c"))
    assert len(body["safety_identifier"]) <= 64
    assert (body["service_tier"], body["metadata"], body["prompt_cache_key"]) == ("flex", {"k": "v"}, "c")
    assert encoded(other(service_tier="standard_only")).dropped == ("service_tier",)


@pytest.mark.covers("FB-138", "PF-132")
def test_cache_marks_become_breakpoints_and_a_stable_key() -> None:
    cached = ir.Message("system", (ir.Text("long rules", cache=ir.Cache("1h")),))
    users = [ir.Message("user", (ir.Text(str(n), cache=ir.Cache()),)) for n in range(5)]
    body = encode(other(cached, *users))
    assert "instructions" not in body
    marks = [part.get("prompt_cache_breakpoint") for item in body["input"] for part in item["content"]]
    assert marks == [None, None, *([{"mode": "explicit"}] * 4)]
    keys = {encode(other(cached, user))["prompt_cache_key"] for user in users}
    assert len(keys) == 1
    old = encode(other(cached, users[0]), Target("gpt-5"))
    assert old["instructions"] == "long rules"
    assert "prompt_cache_breakpoint" not in json.dumps(old)


@pytest.mark.covers("FB-126")
def test_late_system_text_stays_in_its_place_under_the_role_the_server_knows() -> None:
    late = ir.Message("system", (ir.Text("new rule"),))
    request = other(ir.Message("developer", (ir.Text("rules"),)), USER, late, USER)
    assert [item["role"] for item in items(request)] == ["user", "system", "user"]
    codex = Target(MODEL, quirks=Quirks(system_role="developer"))
    assert [item["role"] for item in items(request, codex)] == ["user", "developer", "user"]


@pytest.mark.covers("FB-129", "PF-28")
def test_empty_texts_and_turns_are_left_out() -> None:
    found = items(other(ir.Message("user", (ir.Text(" "), ir.Text("Hi"))), ir.Message("assistant", (ir.Text("\n"),))))
    assert found == [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]


def test_unknown_parts_of_our_own_clients_go_as_they_came() -> None:
    part = {"type": "input_smell", "data": "x"}
    item = {"type": "hologram", "call_id": 5, "shape": [1]}
    sent = again(input=[item, {"role": "user", "content": [part, {"type": "input_text", "text": "hi"}]}])["input"]
    assert sent[0] == item
    assert sent[1]["content"][0] == part


def test_fields_of_other_formats_are_reported() -> None:
    made = encoded(other(extras={"safetySettings": raw([]), "__private": raw(1)}))
    assert made.dropped == ("safetySettings",)
    hints = {"stream_options": raw({"include_usage": True}), "user": raw("u"), "prompt_cache_options": raw({})}
    assert encoded(other(extras=hints)).dropped == ()
    chat = encode(other(protocol="openai_chat", extras={"store": raw(True)}))
    assert chat["store"] is True


@pytest.mark.covers("PF-84")
def test_phase_goes_back() -> None:
    history = [{"role": "user", "content": "x"}, {"role": "assistant", "phase": "commentary", "content": "y"}]
    assert again(input=[*history, {"role": "user", "content": "z"}])["input"][1]["phase"] == "commentary"
