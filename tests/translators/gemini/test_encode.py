"""Requests for a Gemini upstream: contents, tools, configuration, what is dropped and what is refused."""

import json
from typing import Any

import pytest
from msgspec import Raw, structs

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import registry
from llm_mux.translators.gemini.quirks import Quirks
from llm_mux.translators.gemini.seals import SKIP
from tests.translators.gemini.shorthand import (
    NEW,
    OLD,
    PNG,
    answered,
    asked,
    conversation,
    decoded,
    encoded,
    model,
    parts_of,
    said,
    sent,
    target,
    user,
)

OBJECT = Raw(b'{"type":"object","properties":{"a":{"type":"string"}}}')
PICTURE = ir.Image(ir.Inline("image/png", PNG))


def call(call_id: str, name: str = "f", arguments: str = '{"a":1}', native: ir.Native | None = None) -> ir.ToolCall:
    return ir.ToolCall(call_id, name, arguments, native=native)


def result(call_id: str, *content: ir.Part | str, is_error: bool | None = None) -> ir.ToolResult:
    parts = tuple(ir.Text(part) if isinstance(part, str) else part for part in content)
    return ir.ToolResult(call_id, parts, is_error=is_error)


def signed(signature: str, family: str = "gemini") -> ir.Native:
    return ir.Native("gemini", Raw(json.dumps({"thoughtSignature": signature}).encode()), family)


def roles(body: dict[str, Any]) -> list[str]:
    return [content["role"] for content in body["contents"]]


@pytest.mark.covers("FB-27", "PF-106")
def test_a_history_that_starts_with_the_model_gets_a_user_turn_in_front() -> None:
    assert roles(sent(asked(answered("Hi."), said("Hello.")))) == ["user", "model", "user"]


@pytest.mark.covers("FB-3B", "PF-106")
def test_a_prefill_is_kept_and_the_conversation_ends_with_the_user() -> None:
    made = encoded(asked(said("Write."), answered("Once")))
    body = json.loads(made.body)
    assert roles(body) == ["user", "model", "user"]
    assert parts_of(body, 1) == [{"text": "Once"}]
    assert made.dropped == ("prefill",)


def test_a_client_of_the_same_format_may_end_with_the_model() -> None:
    assert roles(sent(conversation(user("Write."), model("Once")))) == ["user", "model"]


@pytest.mark.covers("FB-123")
def test_a_request_of_instructions_alone_gets_a_user_turn() -> None:
    body = sent(asked(ir.Message("system", (ir.Text("Greet."),))))
    assert body["systemInstruction"] == {"parts": [{"text": "Greet."}]}
    assert roles(body) == ["user"]


@pytest.mark.covers("FB-126", "FB-125")
def test_leading_instructions_keep_their_boundaries_and_late_ones_their_place() -> None:
    body = sent(
        asked(
            ir.Message("system", (ir.Text("A."),)),
            ir.Message("developer", (ir.Text("B."), ir.Text(" "))),
            said("Hi."),
            answered("Hello."),
            ir.Message("developer", (ir.Text("C."),)),
            said("Go on."),
        )
    )
    assert body["systemInstruction"] == {"parts": [{"text": "A."}, {"text": "B."}]}
    assert parts_of(body, 2) == [{"text": "<system>\nC.\n</system>"}, {"text": "Go on."}]


@pytest.mark.covers("FB-129")
def test_empty_texts_and_turns_are_left_out() -> None:
    body = sent(asked(said("Hi.", "", "  "), answered(" "), said("There.")))
    assert body["contents"] == [{"parts": [{"text": "Hi."}, {"text": "There."}], "role": "user"}]


TWO_CALLS = answered("Both.", call("x"), call("y", "g"))


@pytest.mark.covers("FB-24", "FB-25", "PF-97", "PF-98", "FB-17")
def test_results_follow_their_calls_in_one_user_turn_in_order_with_names() -> None:
    body = sent(asked(said("Go."), TWO_CALLS, said(result("y", "two")), said("And?", result("x", "one"))))
    assert roles(body) == ["user", "model", "user"]
    assert parts_of(body, 2) == [
        {"functionResponse": {"id": "x", "name": "f", "response": {"output": "one"}}},
        {"functionResponse": {"id": "y", "name": "g", "response": {"output": "two"}}},
        {"text": "And?"},
    ]


@pytest.mark.covers("FB-20", "PF-98")
def test_a_missing_result_is_an_error_and_an_orphan_is_text() -> None:
    body = sent(asked(said("Go.", result("gone", "old")), TWO_CALLS, said(result("x", "one"))))
    assert "functionResponse" not in json.dumps(parts_of(body, 0))
    responses = [part["functionResponse"]["response"] for part in parts_of(body, 2)]
    assert responses[0] == {"output": "one"} and "error" in responses[1]


@pytest.mark.parametrize(
    ("content", "is_error", "expected"),
    [
        ((), None, {"output": ""}),
        (("a", "b"), False, {"output": "a\nb"}),
        (("[1, 2]",), None, {"output": "[1, 2]"}),
        (("no",), True, {"error": "no"}),
    ],
)
@pytest.mark.covers("FB-30", "PF-97")
def test_a_result_is_always_an_object(content: tuple[str, ...], is_error: bool | None, expected: object) -> None:
    body = sent(asked(said("Go."), answered(call("x")), said(result("x", *content, is_error=is_error))))
    assert parts_of(body, 2)[0]["functionResponse"]["response"] == expected


@pytest.mark.covers("FB-31", "PF-64")
def test_an_image_in_a_result_is_inside_it_where_models_take_that() -> None:
    request = asked(said("Go."), answered(call("x"), call("y")), said(result("x", "shot", PICTURE), result("y", "ok")))
    first = parts_of(sent(request), 2)[0]["functionResponse"]
    assert first["response"] == {"output": "shot"}
    assert first["parts"] == [{"inlineData": {"mimeType": "image/png", "data": PNG}}]


@pytest.mark.covers("PF-139")
def test_what_stands_beside_a_medium_in_a_result_stays_there() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": PNG}, "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}}
    film = {"fileData": {"fileUri": "https://a.test/b.mp4", "mimeType": "video/mp4"}, "videoMetadata": {"fps": 2}}
    told = {"id": "x", "name": "f", "response": {"output": "shot"}, "parts": [image, film], "scheduling": "SILENT"}
    calling = model({"functionCall": {"id": "x", "name": "f", "args": {}}})
    request = conversation(user("Go."), calling, user({"functionResponse": told}))
    assert parts_of(sent(request), 2)[0]["functionResponse"] == told
    made = registry.get("openai_responses").encode_request(
        conversation(user("Go."), calling, user({"functionResponse": {**told, "parts": [image]}})), target("gpt-5.6")
    )
    assert json.loads(made.body)["input"][-1]["output"][-1]["detail"] == "low"
    assert "scheduling" in made.dropped


@pytest.mark.covers("FB-31")
def test_an_image_in_a_result_follows_all_results_for_older_models() -> None:
    request = asked(said("Go."), answered(call("x"), call("y")), said(result("x", PICTURE), result("y", "ok"), "See?"))
    parts = parts_of(sent(request, OLD), 2)
    assert [next(iter(part)) for part in parts] == ["functionResponse", "functionResponse", "inlineData", "text"]
    assert parts[0]["functionResponse"]["response"]["output"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("", {}), ('{"a":1}', {"a": 1}), ("[1]", {"_raw": [1]}), ("oops", {"_raw": "oops"}), ('{"a":', {"_raw": '{"a":'})],
)
@pytest.mark.covers("FB-28", "PF-33")
def test_arguments_are_always_an_object(arguments: str, expected: object) -> None:
    body = sent(asked(said("Go."), answered(call("x", arguments=arguments)), said(result("x", "ok"))))
    assert parts_of(body, 1)[0]["functionCall"]["args"] == expected


@pytest.mark.covers("FB-60", "PF-99", "FB-3B")
def test_each_steps_first_call_gets_the_stand_in_when_it_has_no_signature() -> None:
    request = asked(
        said("Go."),
        answered(call("a"), call("b")),
        said(result("a", "1"), result("b", "2")),
        answered(call("c", native=signed("AAAA"))),
        said(result("c", "3")),
        answered(ir.Reasoning("hm"), call("d")),
        said(result("d", "4")),
    )
    signatures = [
        part.get("thoughtSignature")
        for content in sent(request)["contents"]
        for part in content["parts"]
        if "functionCall" in part
    ]
    assert signatures == [SKIP, None, "AAAA", SKIP]
    assert SKIP not in encoded(request, OLD).body.decode()


@pytest.mark.covers("FB-61", "PF-132", "FB-138")
def test_what_was_sent_before_stays_the_same_when_the_conversation_grows() -> None:
    turns = (said("Go."), answered(call("a")), said(result("a", "1")), answered("Done."), said("More."))
    short, long = sent(asked(*turns[:3]))["contents"], sent(asked(*turns))["contents"]
    assert long[: len(short)] == short


@pytest.mark.covers("FB-58", "FB-61", "PF-140")
@pytest.mark.parametrize(
    "native",
    [
        ir.Native("anthropic", Raw(b'{"signature":"s"}'), "claude"),
        ir.Native("gemini", Raw(b'{"thoughtSignature":"AAAA"}'), "claude"),
        ir.Native("openai_responses", Raw(b'{"encrypted_content":"e"}'), "gpt"),
    ],
)
def test_foreign_seals_never_go_out(native: ir.Native) -> None:
    request = asked(
        said("Go."),
        answered(ir.Reasoning("secret thought", native), ir.Text("Yes.", native=native), call("a", native=native)),
        said(result("a", "1")),
    )
    body = encoded(request).body.decode()
    assert "secret thought" not in body and "AAAA" not in body and '"s"' not in body
    assert parts_of(json.loads(body), 1)[0] == {"text": "Yes."}


@pytest.mark.covers("FB-63", "FB-64", "PF-100")
def test_reasoning_goes_back_marked_and_only_with_its_own_seal() -> None:
    thoughts = (ir.Reasoning("", signed("AAAA")), ir.Reasoning("plain"), ir.Text("", native=signed("BBBB")))
    body = sent(asked(said("Go."), answered(*thoughts, "Yes."), said("On.")))
    assert parts_of(body, 1) == [
        {"text": "", "thought": True, "thoughtSignature": "AAAA"},
        {"text": "", "thoughtSignature": "BBBB"},
        {"text": "Yes."},
    ]


@pytest.mark.covers("FB-26", "PF-62")
def test_tool_names_are_made_legal_everywhere_and_can_be_restored() -> None:
    names = ["mcp.server/tool:x", "9lives", "mcp.server/tool;x", "n" * 80]
    tools = tuple(ir.Tool(name, schema=OBJECT) for name in names)
    request = asked(
        said("Go."),
        answered(call("a", names[0])),
        said(result("a", "1")),
        tools=tools,
        tool_choice=ir.ToolChoice("tool", (names[0],)),
    )
    made = encoded(request)
    body = json.loads(made.body)
    wire = [tool["name"] for tool in body["tools"][0]["functionDeclarations"]]
    assert len(set(wire)) == 4 and all(len(name) <= 64 and not name[0].isdigit() for name in wire)
    assert [made.names.to_client[name].name for name in wire] == names
    assert parts_of(body, 1)[0]["functionCall"]["name"] == wire[0]
    assert parts_of(body, 2)[0]["functionResponse"]["name"] == wire[0]
    assert body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == [wire[0]]


@pytest.mark.covers("FB-51", "FB-53", "FB-41", "PF-96")
def test_a_declaration_holds_only_what_the_format_knows() -> None:
    schema = Raw(b'{"$schema":"s","type":"object","properties":{"title":{"const":1}},"required":["title"]}')
    tools = (
        ir.Tool("f", "Does.", schema, strict=False, cache=ir.Cache("1h")),
        ir.Tool("none"),
        ir.Tool("bare", schema=Raw(b'{"type":"object","properties":{}}')),
    )
    declared = sent(asked(said("Go."), tools=tools))["tools"][0]["functionDeclarations"]
    assert declared[0]["parametersJsonSchema"]["properties"] == {"title": {"enum": [1]}}
    assert "$schema" not in declared[0]["parametersJsonSchema"]
    assert declared[0].keys() == {"name", "description", "parametersJsonSchema"}
    assert declared[1:] == [{"name": "none"}, {"name": "bare"}]


@pytest.mark.covers("FB-43")
@pytest.mark.parametrize("name", [NEW, "gemini-2.0-flash"])
def test_what_is_taken_out_of_a_schema_stays_in_the_arguments_of_earlier_calls(name: str) -> None:
    given = b'{"$schema":"s","title":"t","const":1,"properties":{"format":"x"},"additionalProperties":false}'
    history = (said("Go."), answered(ir.ToolCall("x", "f", given.decode())), said(result("x", "ok")))
    schema = Raw(b'{"$schema":"s","type":"object","properties":{"title":{"const":1}}}')
    body = sent(asked(*history, tools=(ir.Tool("f", schema=schema),)), name)
    (made,) = [part["functionCall"] for part in parts_of(body, 1)]
    assert made["args"] == json.loads(given)
    assert "$schema" not in json.dumps(body["tools"])


@pytest.mark.covers("FB-55", "PF-132")
def test_a_plain_schema_keeps_its_bytes() -> None:
    schema = b'{ "type": "object", "properties": {"a": {"type":"integer","maximum":12345678901234567890}} }'
    assert schema in encoded(asked(said("Go."), tools=(ir.Tool("f", schema=Raw(schema)),))).body


@pytest.mark.parametrize(("name", "quirks"), [("gemini-2.0-flash", None), (NEW, Quirks(json_schema=False))])
def test_older_models_and_servers_get_the_schema_message(name: str, quirks: Quirks | None) -> None:
    request = asked(
        said("Go."),
        tools=(ir.Tool("f", schema=Raw(b'{"type":"object","properties":{"a":{"type":["string","null"]}}}')),),
    )
    declared = sent(request, name, quirks)["tools"][0]["functionDeclarations"][0]
    assert declared["parameters"]["properties"]["a"] == {"type": "string", "nullable": True}


@pytest.mark.parametrize(
    ("choice", "name", "calling"),
    [
        (None, NEW, None),
        (ir.ToolChoice("auto"), NEW, {"mode": "AUTO"}),
        (ir.ToolChoice("any"), NEW, {"mode": "ANY"}),
        (ir.ToolChoice("any", ("f",)), NEW, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ir.ToolChoice("tool", ("f",)), OLD, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ir.ToolChoice("none"), NEW, {"mode": "NONE"}),
        (ir.ToolChoice("auto", ("f",)), NEW, {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
        (ir.ToolChoice("auto", ("f",)), OLD, {"mode": "AUTO"}),
    ],
)
@pytest.mark.covers("FB-3B")
def test_the_tool_choice_is_mapped(choice: ir.ToolChoice | None, name: str, calling: object) -> None:
    tools = (ir.Tool("f", schema=OBJECT), ir.Tool("g", schema=OBJECT))
    body = sent(asked(said("Go."), tools=tools, tool_choice=choice), name)
    assert body.get("toolConfig", {}).get("functionCallingConfig") == calling
    offered = [tool["name"] for tool in body["tools"][0]["functionDeclarations"]]
    assert offered == (["f"] if calling == {"mode": "AUTO"} and choice and choice.names else ["f", "g"])


@pytest.mark.covers("FB-16")
def test_a_choice_without_tools_is_left_out() -> None:
    made = encoded(asked(said("Go."), tool_choice=ir.ToolChoice("any"), parallel_tool_calls=False))
    assert "toolConfig" not in json.loads(made.body) and made.dropped == ()


def test_strict_tools_are_validated_where_models_can() -> None:
    request = asked(said("Go."), tools=(ir.Tool("f", schema=OBJECT, strict=True),), parallel_tool_calls=False)
    new, old = encoded(request), encoded(request, OLD)
    assert json.loads(new.body)["toolConfig"]["functionCallingConfig"] == {"mode": "VALIDATED"}
    assert new.dropped == ("parallel_tool_calls",)
    assert old.dropped == ("parallel_tool_calls", "tools.strict")


SEARCH = ir.HostedTool("web_search", ir.Native("anthropic", Raw(b"{}")), "web_search")


@pytest.mark.covers("FB-38", "FB-36")
def test_another_vendors_web_search_is_googles() -> None:
    for name in (NEW, OLD):
        assert sent(asked(said("Go."), tools=(SEARCH,)), name)["tools"] == [{"googleSearch": {}}]
    made = encoded(asked(said("Go."), tools=(SEARCH,), tool_choice=ir.ToolChoice("tool", ("web_search",))))
    assert "toolConfig" not in json.loads(made.body) and made.dropped == ("tool_choice",)


@pytest.mark.parametrize(
    ("choice", "calling", "dropped"),
    [
        (None, None, ()),
        (ir.ToolChoice("any"), {"mode": "ANY"}, ()),
        (ir.ToolChoice("auto", ("web_search", "f")), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, ()),
        (ir.ToolChoice("tool", ("web_search",)), None, ("tool_choice",)),
    ],
)
def test_newer_models_take_a_web_search_beside_functions(
    choice: ir.ToolChoice | None, calling: object, dropped: tuple[str, ...]
) -> None:
    made = encoded(asked(said("Go."), tools=(SEARCH, ir.Tool("f", schema=OBJECT)), tool_choice=choice))
    body = json.loads(made.body)
    assert [list(tool) for tool in body["tools"]] == [["functionDeclarations"], ["googleSearch"]]
    assert body["toolConfig"]["includeServerSideToolInvocations"] is True
    assert body["toolConfig"].get("functionCallingConfig") == calling
    assert made.dropped == dropped


def test_older_models_and_accounts_without_it_refuse_a_web_search_unless_it_is_optional() -> None:
    optional = structs.replace(SEARCH, optional=True)
    function = ir.Tool("f", schema=OBJECT)
    for name, quirks, others in ((OLD, None, (function,)), (NEW, Quirks(web_search=False), ())):
        with pytest.raises(MuxError, match="web_search"):
            encoded(asked(said("Go."), tools=(SEARCH, *others)), name, quirks=quirks)
        made = encoded(asked(said("Go."), tools=(optional, *others)), name, quirks=quirks)
        assert made.dropped == ("tools.web_search",)
        assert b"googleSearch" not in made.body


@pytest.mark.parametrize(
    "tools",
    [
        {"tools": (ir.HostedTool("file_search", ir.Native("openai_responses", Raw(b"{}"))),)},
    ],
)
def test_other_vendors_tools_are_refused(tools: dict[str, Any]) -> None:
    _refused(asked(said("Go."), **tools))


def test_tools_that_a_client_offers_always_are_dropped_and_named() -> None:
    tool = ir.HostedTool("tool_search", ir.Native("openai_responses", Raw(b"{}")), optional=True)
    assert encoded(asked(said("Go."), tools=(tool,))).dropped == ("tools.tool_search",)


@pytest.mark.covers("FB-36")
def test_googles_own_tools_stand_in_objects_of_their_own() -> None:
    tools = [
        {"functionDeclarations": [{"name": "f", "behavior": "NON_BLOCKING"}]},
        {"googleSearch": {"searchTypes": {}}},
    ]
    assert sent(conversation(user("Hi."), tools=tools))["tools"] == tools


@pytest.mark.parametrize(
    ("name", "thinking", "expected"),
    [
        (NEW, ir.Thinking(), None),
        (NEW, ir.Thinking(effort="none"), {"thinkingLevel": "MINIMAL", "includeThoughts": False}),
        (NEW, ir.Thinking(effort="medium"), {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        (NEW, ir.Thinking(effort="max"), {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-4-argon", ir.Thinking(effort="max"), {"thinkingLevel": "XHIGH", "includeThoughts": True}),
        (NEW, ir.Thinking(budget=2000, show=False), {"thinkingLevel": "LOW", "includeThoughts": False}),
        (NEW, ir.Thinking(adaptive=True), {"includeThoughts": True}),
        ("gemini-3-pro-preview", ir.Thinking(effort="minimal"), {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-3-pro-preview", ir.Thinking(effort="medium"), {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", ir.Thinking(effort="medium"), {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        (OLD, ir.Thinking(effort="none"), {"thinkingBudget": 0, "includeThoughts": False}),
        ("gemini-2.5-pro", ir.Thinking(effort="none"), {"thinkingBudget": 128, "includeThoughts": False}),
        ("gemini-2.5-pro", ir.Thinking(budget=0), {"thinkingBudget": 128, "includeThoughts": False}),
        (OLD, ir.Thinking(effort="high"), {"thinkingBudget": 24576, "includeThoughts": True}),
        (OLD, ir.Thinking(budget=99999), {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-2.5-flash-lite", ir.Thinking(budget=1), {"thinkingBudget": 512, "includeThoughts": True}),
        ("gemini-2.5-pro", ir.Thinking(effort="xhigh"), {"thinkingBudget": 32768, "includeThoughts": True}),
        (OLD, ir.Thinking(adaptive=True), {"thinkingBudget": -1, "includeThoughts": True}),
        ("gemini-2.0-flash", ir.Thinking(effort="high"), None),
        ("gemma-3-27b-it", ir.Thinking(effort="none"), None),
    ],
)
@pytest.mark.covers("FB-74", "FB-75", "PF-105")
def test_thinking_is_a_level_or_a_budget_by_model(name: str, thinking: ir.Thinking, expected: object) -> None:
    made = encoded(asked(said("Hi."), thinking=thinking), name)
    assert json.loads(made.body).get("generationConfig", {}).get("thinkingConfig") == expected
    assert made.dropped == (("reasoning_effort",) if expected is None and thinking.effort == "high" else ())


@pytest.mark.parametrize("protocol", ["gemini", "openai_responses"])
def test_thoughts_are_asked_for_only_when_such_clients_ask(protocol: str) -> None:
    request = asked(said("Hi."), protocol=protocol, thinking=ir.Thinking(effort="low"))
    assert sent(request)["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "LOW"}


def test_a_model_list_that_says_nothing_of_thinking_rules_it_out() -> None:
    request = asked(said("Hi."), thinking=ir.Thinking(effort="low"))
    assert encoded(request, capabilities=frozenset({"generate"})).dropped == ("reasoning_effort",)
    assert encoded(request, capabilities=frozenset({"generate", "thinking.enabled"})).dropped == ()


@pytest.mark.covers("FB-3B", "FB-135", "FB-97")
def test_sampling_and_limits_are_mapped_and_the_rest_named() -> None:
    sampling = ir.Sampling(
        temperature=3.0,
        top_p=0.9,
        top_k=40.0,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        seed=2**40 + 5,
        logprobs=True,
        top_logprobs=3,
        n=2,
        min_p=0.1,
        repetition_penalty=1.1,
        logit_bias=Raw(b"{}"),
    )
    stops = ("a", "", "b", "c", "d", "e", "f")
    request = asked(said("Hi."), sampling=sampling, max_tokens=99999, stop=stops, verbosity="low", user="u")
    made = encoded(request, max_output=8192)
    assert json.loads(made.body)["generationConfig"] == {
        "temperature": 2,
        "topP": 0.9,
        "topK": 40,
        "candidateCount": 2,
        "presencePenalty": 0.5,
        "frequencyPenalty": -0.5,
        "seed": 5,
        "responseLogprobs": True,
        "logprobs": 3,
        "maxOutputTokens": 8192,
        "stopSequences": ["a", "b", "c", "d", "e"],
    }
    assert made.stops == ("f",)
    assert made.dropped == ("min_p", "repetition_penalty", "logit_bias", "verbosity", "user")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (ir.OutputFormat("json"), {"responseMimeType": "application/json"}),
        (
            ir.OutputFormat("schema", "n", OBJECT, True),
            {"responseMimeType": "application/json", "responseJsonSchema": json.loads(bytes(OBJECT))},
        ),
    ],
)
@pytest.mark.covers("FB-56", "FB-57")
def test_structured_output_is_mapped(output: ir.OutputFormat, expected: object) -> None:
    assert sent(asked(said("Hi."), output=output))["generationConfig"] == expected


@pytest.mark.covers("FB-54")
def test_an_answers_schema_message_keeps_closed_objects() -> None:
    schema = Raw(b'{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}')
    body = sent(asked(said("Hi."), output=ir.OutputFormat("schema", schema=schema)), quirks=Quirks(json_schema=False))
    assert body["generationConfig"]["responseSchema"]["additionalProperties"] is False


def test_older_models_hear_the_schema_in_words_beside_tools() -> None:
    request = asked(said("Hi."), tools=(ir.Tool("f", schema=OBJECT),), output=ir.OutputFormat("schema", schema=OBJECT))
    old = sent(request, OLD)
    assert "generationConfig" not in old
    assert bytes(OBJECT).decode() in old["systemInstruction"]["parts"][-1]["text"]
    assert "responseJsonSchema" in sent(request)["generationConfig"]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (PICTURE, {"inlineData": {"mimeType": "image/png", "data": PNG}}),
        (ir.Image(ir.Inline("image/jpeg", PNG)), {"inlineData": {"mimeType": "image/png", "data": PNG}}),
        (
            ir.Document(ir.Inline("application/pdf", "JVBERg==")),
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}},
        ),
        (
            ir.Image(ir.Url("https://example.com/a.webp?s=1")),
            {"fileData": {"fileUri": "https://example.com/a.webp?s=1", "mimeType": "image/webp"}},
        ),
        (
            ir.Document(ir.Url("https://example.com/get")),
            {"fileData": {"fileUri": "https://example.com/get", "mimeType": "application/pdf"}},
        ),
        (ir.Video(ir.Url("https://youtu.be/1")), {"fileData": {"fileUri": "https://youtu.be/1"}}),
        (ir.Audio(ir.Inline("audio/wav", "AA")), {"inlineData": {"mimeType": "audio/wav", "data": "AA"}}),
        (
            ir.Image(ir.FileId("gemini", "files/1", "image/png")),
            {"fileData": {"fileUri": "files/1", "mimeType": "image/png"}},
        ),
    ],
)
@pytest.mark.covers("FB-132", "FB-3B")
def test_media_are_mapped(part: ir.Part, expected: object) -> None:
    assert parts_of(sent(asked(said(part))), 0) == [expected]


def test_a_documents_context_goes_before_it() -> None:
    document = ir.Document(ir.Inline("application/pdf", "JVBERg=="), context="From 2020.", cited=True)
    made = encoded(asked(said(document)))
    assert [next(iter(part)) for part in parts_of(json.loads(made.body), 0)] == ["text", "inlineData"]
    assert made.dropped == ("citations",)


@pytest.mark.parametrize(
    ("details", "resolution", "dropped"),
    [
        (("low", "low"), "MEDIA_RESOLUTION_LOW", ()),
        (("high", None), "MEDIA_RESOLUTION_HIGH", ()),
        (("auto", None), None, ()),
        (("low", "high"), None, ("image.detail",)),
    ],
)
def test_the_images_detail_is_one_resolution_for_all(
    details: tuple[str | None, ...], resolution: str | None, dropped: tuple[str, ...]
) -> None:
    images = [ir.Image(ir.Inline("image/png", PNG), detail) for detail in details]
    made = encoded(asked(said(*images)))
    assert json.loads(made.body).get("generationConfig", {}).get("mediaResolution") == resolution
    assert made.dropped == dropped


@pytest.mark.parametrize(
    ("part", "name", "quirks"),
    [
        (ir.Image(ir.Url("https://example.com/a.png")), OLD, None),
        (ir.Image(ir.Url("https://example.com/a.png")), NEW, Quirks(file_urls=False)),
        (ir.Document(ir.FileId("openai_responses", "file-1")), NEW, None),
        (ir.Opaque(ir.Native("anthropic", Raw(b"{}")), "container_upload"), NEW, None),
    ],
)
def test_content_without_a_form_is_refused(part: ir.Part, name: str, quirks: Quirks | None) -> None:
    _refused(asked(said(part)), name, quirks)


def _refused(request: ir.Request, name: str = NEW, quirks: Quirks | None = None) -> None:
    with pytest.raises(MuxError) as caught:
        encoded(request, name, quirks)
    assert caught.value.kind is Kind.BAD_REQUEST and name in caught.value.message


def test_other_owners_blocks_show_their_stand_in_or_vanish() -> None:
    native = ir.Native("anthropic", Raw(b'{"type":"x"}'))
    body = sent(asked(said(ir.Opaque(native, "x", "shown"), ir.Opaque(native, "y", hint=True), "Hi.")))
    assert parts_of(body, 0) == [{"text": "shown"}, {"text": "Hi."}]


@pytest.mark.covers("PF-139")
def test_what_only_another_format_knows_is_dropped_and_named() -> None:
    extras = {"prediction": Raw(b"{}"), "__note": Raw(b"1"), "stream_options": Raw(b"{}")}
    named = structs.replace(said("Hi."), name="ada")
    made = encoded(asked(named, extras=extras, metadata=Raw(b'{"a":"b"}'), service_tier="ultrafast"))
    assert made.dropped == ("metadata", "service_tier", "messages.name", "prediction")
    assert json.loads(made.body).keys() == {"contents"}


@pytest.mark.parametrize(
    ("neutral", "wire"), [("default", "standard"), ("flex", "flex"), ("priority", "priority"), ("auto", None)]
)
def test_the_tier_is_mapped(neutral: str, wire: str | None) -> None:
    assert sent(asked(said("Hi."), service_tier=neutral)).get("serviceTier") == wire


def test_vertex_gets_no_ids_and_only_its_own_fields() -> None:
    body = {
        "contents": [
            user("Go."),
            model({"functionCall": {"id": "c", "name": "f", "args": {}}}),
            user({"functionResponse": {"id": "c", "name": "f", "response": {"output": "o"}}}),
        ],
        "labels": {"team": "a"},
        "serviceTier": "flex",
        "store": True,
    }
    made = encoded(decoded(body), quirks=Quirks(vertex=True))
    assert b'"id"' not in made.body
    assert json.loads(made.body).keys() == {"contents", "labels"}
    assert made.dropped == ("service_tier", "store")
    metadata = {"metadata": Raw(b'{"team":"a"}')}
    assert sent(asked(said("Hi."), **metadata), quirks=Quirks(vertex=True))["labels"] == {"team": "a"}
    odd = encoded(asked(said("Hi."), metadata=Raw(b'{"Team":"A B"}')), quirks=Quirks(vertex=True))
    assert odd.dropped == ("metadata",)


@pytest.mark.parametrize(("user", "label"), [("ada-1", "ada-1"), ("Ada Lovelace", None), ("u" * 64, None)])
def test_who_asks_is_a_label_on_vertex_and_reported_elsewhere(user: str, label: str | None) -> None:
    request = asked(said("Hi."), user=user, metadata=Raw(b'{"team":"a"}'))
    labels = sent(request, quirks=Quirks(vertex=True))["labels"]
    assert labels.pop("team") == "a"
    assert labels.keys() == {"user"} and len(labels["user"]) <= 63
    assert labels["user"] == label if label else labels["user"].isalnum()
    assert encoded(request).dropped == ("user", "metadata")


@pytest.mark.covers("PF-107")
def test_a_cached_content_brings_its_own_instructions_and_tools() -> None:
    request = conversation(
        user("Hi."), cachedContent="cachedContents/1", systemInstruction="S", tools=[{"googleSearch": {}}]
    )
    made = encoded(request)
    assert json.loads(made.body).keys() == {"contents", "cachedContent"}
    assert made.dropped == ("messages.system", "tools")


@pytest.mark.covers("FB-133")
def test_modalities_are_upper_case_and_text_alone_is_left_out() -> None:
    config = sent(asked(said("Draw."), modalities=("text", "image")))["generationConfig"]
    assert config == {"responseModalities": ["TEXT", "IMAGE"]}
    assert "generationConfig" not in sent(asked(said("Hi."), modalities=("text",)))


def test_free_text_tools_become_functions_with_one_string() -> None:
    tool = ir.Tool("patch", "Applies.", free_text=True)
    history = (said("Go."), answered(ir.ToolCall("c", "patch", "*** Begin", custom=True)), said(result("c", "ok")))
    body = sent(asked(*history, tools=(tool,)))
    assert parts_of(body, 1)[0]["functionCall"]["args"] == {"input": "*** Begin"}
    assert body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]["required"] == ["input"]
