"""Clients' requests: both spellings, the conversation's parts, tools, configuration, and what is refused."""

import base64
import json
from typing import Any

import pytest
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import envelope
from llm_mux.translators.base import Hints
from llm_mux.translators.gemini.translator import TRANSLATOR
from tests.translators.gemini.shorthand import NEW, PNG, conversation, decoded, encoded, model, plain, sent, user

CAMEL = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        user("Look.", {"inlineData": {"mimeType": "image/png", "data": PNG}}),
        model({"functionCall": {"id": "c1", "name": "f", "args": {"snake_case": 1}}, "thoughtSignature": "AAAA"}),
        user({"functionResponse": {"id": "c1", "name": "f", "response": {"output": "ok"}}}),
        user({"fileData": {"mimeType": "application/pdf", "fileUri": "https://example.com/a.pdf"}}),
    ],
    "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object", "a_b": 1}}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {
        "maxOutputTokens": 5,
        "stopSequences": ["x"],
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 512},
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object", "properties": {"a_b": {"type": "string"}}},
    },
    "safetySettings": [{"category": "C", "threshold": "OFF"}],
    "cachedContent": "cachedContents/1",
}
SNAKE = {
    "system_instruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        user("Look.", {"inline_data": {"mime_type": "image/png", "data": PNG}}),
        model({"function_call": {"id": "c1", "name": "f", "args": {"snake_case": 1}}, "thought_signature": "AAAA"}),
        user({"function_response": {"id": "c1", "name": "f", "response": {"output": "ok"}}}),
        user({"file_data": {"mime_type": "application/pdf", "file_uri": "https://example.com/a.pdf"}}),
    ],
    "tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": {"type": "object", "a_b": 1}}]}],
    "tool_config": {"function_calling_config": {"mode": "any", "allowed_function_names": ["f"]}},
    "generation_config": {
        "max_output_tokens": 5,
        "stop_sequences": ["x"],
        "thinking_config": {"include_thoughts": True, "thinking_budget": 512},
        "response_mime_type": "application/json",
        "response_json_schema": {"type": "object", "properties": {"a_b": {"type": "string"}}},
    },
    "safety_settings": [{"category": "C", "threshold": "OFF"}],
    "cached_content": "cachedContents/1",
}


@pytest.mark.parametrize(
    ("rest", "kept"), [({}, None), ({"retrieval_config": {"languageCode": "de"}}, b'{"retrievalConfig":')]
)
def test_of_a_tool_config_only_what_is_no_tool_choice_is_left_for_a_report(rest: Any, kept: bytes | None) -> None:
    config = {"functionCallingConfig": {"mode": "ANY"}, **rest}
    found = conversation(user("Hi."), toolConfig=config).extras
    assert bytes(found["toolConfig"]).startswith(kept) if kept else "toolConfig" not in found
    assert b'"functionCallingConfig"' in bytes(found["__toolConfig"])


@pytest.mark.covers("FB-37", "PF-108", "FB-125", "RC-12")
def test_both_spellings_mean_the_same() -> None:
    one, other = plain(decoded(CAMEL)), plain(decoded(SNAKE))
    one["extras"].pop("__toolConfig")
    other["extras"].pop("__toolConfig")
    assert one == other


@pytest.mark.covers("FB-43", "PF-108")
def test_a_clients_own_data_keeps_its_spelling() -> None:
    request = decoded(SNAKE)
    call = request.messages[2].parts[0]
    assert isinstance(call, ir.ToolCall) and json.loads(call.arguments) == {"snake_case": 1}
    assert plain(request.output.schema)["properties"] == {"a_b": {"type": "string"}}


def test_the_route_decides_model_streaming_and_framing() -> None:
    request = TRANSLATOR.decode_request(
        b'{"model":"models/other","contents":[{}]}', Hints(model="x", stream=True, framing="array")
    )
    assert (request.model, request.stream, plain(request.extras["__framing"])) == ("x", True, "array")


def test_a_body_that_is_wrapped_for_counting_is_opened() -> None:
    inner = {"model": "models/x", "contents": [user("Hi.")], "system_instruction": {"parts": [{"text": "S"}]}}
    request = TRANSLATOR.decode_request(
        json.dumps({"generateContentRequest": inner}).encode(), Hints(operation="count")
    )
    assert request.model == "x"
    assert [message.role for message in request.messages] == ["system", "user"]


@pytest.mark.parametrize(
    "instruction", ["Be brief.", {"parts": [{"text": "Be brief."}]}, {"parts": {"text": "Be brief."}}]
)
@pytest.mark.covers("FB-124")
def test_a_system_instruction_may_be_text_or_a_content(instruction: object) -> None:
    request = conversation(user("Hi."), systemInstruction=instruction)
    assert request.messages[0] == ir.Message("system", (ir.Text("Be brief."),))


def test_contents_may_be_one_content_or_plain_strings() -> None:
    assert decoded({"contents": user("Hi.")}).messages == (ir.Message("user", (ir.Text("Hi."),)),)
    assert decoded({"contents": ["Hi."]}).messages == (ir.Message("user", (ir.Text("Hi."),)),)


CALL = {"functionCall": {"name": "f", "args": {"a": 1}}}


@pytest.mark.covers("FB-1", "PF-102", "RC-6", "PF-132")
def test_calls_without_ids_get_the_same_unique_ids_every_time() -> None:
    turns = [user("Go."), model(CALL, CALL), user(*_results("f", "f")), model(CALL)]
    calls = [part for m in conversation(*turns).messages for part in m.parts if isinstance(part, ir.ToolCall)]
    again = [part for m in conversation(*turns).messages for part in m.parts if isinstance(part, ir.ToolCall)]
    assert calls == again
    assert len({call.id for call in calls}) == 3


@pytest.mark.covers("FB-2", "FB-3")
def test_results_find_their_calls_by_id_then_by_name_in_order() -> None:
    request = conversation(
        user("Go."),
        model(
            {"functionCall": {"id": "x", "name": "f", "args": {}}},
            {"functionCall": {"id": "y", "name": "f", "args": {}}},
            {"functionCall": {"id": "z", "name": "g", "args": {}}},
        ),
        user(
            {"functionResponse": {"name": "g", "response": {"output": "third"}}},
            {"functionResponse": {"id": "y", "name": "f", "response": {"output": "second"}}},
            {"functionResponse": {"name": "f", "response": {"output": "first"}}},
        ),
    )
    results = {
        part.call_id: ir.joined(part.content) for part in request.messages[2].parts if isinstance(part, ir.ToolResult)
    }
    assert results == {"x": "first", "y": "second", "z": "third"}


def test_a_result_without_its_call_keeps_its_own_words() -> None:
    request = conversation(user({"functionResponse": {"name": "f", "response": {"output": "o"}}}))
    assert [part.call_id for part in request.messages[0].parts if isinstance(part, ir.ToolResult)] == ["f"]


def _results(*names: str) -> list[object]:
    return [{"functionResponse": {"name": name, "response": {"output": "o"}}} for name in names]


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"output": "fine"}, "fine", None),
        ({"error": "broken"}, "broken", True),
        ({"output": {"a": [1]}}, '{"a": [1]}', None),
        ({"temperature": 3}, '{"temperature": 3}', None),
        ({"output": ""}, "", None),
        (None, "", None),
        ({"name": "f", "content": "as one client does it"}, '{"name": "f", "content": "as one client does it"}', None),
    ],
)
def test_what_a_tool_said_is_read_by_the_formats_convention(response: object, text: str, is_error: bool | None) -> None:
    request = conversation(user("Go."), model(CALL), user({"functionResponse": {"name": "f", "response": response}}))
    result = request.messages[2].parts[0]
    assert isinstance(result, ir.ToolResult)
    assert (ir.joined(result.content), result.is_error) == (text, is_error)


def test_what_only_this_format_says_in_a_result_comes_back_to_it() -> None:
    body = [
        user("Go."),
        model({"functionCall": {"id": "c", "name": "f", "args": {}}}),
        user({"functionResponse": {"id": "c", "name": "f", "response": {"rows": [1]}, "scheduling": "SILENT"}}),
    ]
    given = sent(conversation(*body))["contents"][2]["parts"][0]["functionResponse"]
    assert given == {"id": "c", "name": "f", "response": {"rows": [1]}, "scheduling": "SILENT"}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"inlineData": {"mimeType": "image/png", "data": "AA"}}, ir.Image(ir.Inline("image/png", "AA"))),
        ({"inlineData": {"mimeType": "audio/mpeg", "data": "AA"}}, ir.Audio(ir.Inline("audio/mpeg", "AA"))),
        ({"inlineData": {"mimeType": "video/mp4", "data": "AA"}}, ir.Video(ir.Inline("video/mp4", "AA"))),
        (
            {"inlineData": {"mimeType": "application/pdf", "data": "AA", "displayName": "a.pdf"}},
            ir.Document(ir.Inline("application/pdf", "AA"), name="a.pdf"),
        ),
        (
            {"fileData": {"fileUri": "https://example.com/cat.png?x=1"}},
            ir.Image(ir.Url("https://example.com/cat.png?x=1", "image/png")),
        ),
        (
            {
                "fileData": {
                    "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/7",
                    "mimeType": "image/png",
                }
            },
            ir.Image(ir.FileId("gemini", "https://generativelanguage.googleapis.com/v1beta/files/7", "image/png")),
        ),
        (
            {"fileData": {"fileUri": "gs://b/a.pdf"}},
            ir.Document(ir.FileId("gemini", "gs://b/a.pdf", "application/pdf")),
        ),
        ({"fileData": {"fileUri": "https://youtu.be/1"}}, ir.Video(ir.Url("https://youtu.be/1"))),
    ],
)
def test_media_are_told_apart(part: object, expected: ir.Part) -> None:
    assert conversation(user(part)).messages[0].parts == (expected,)


def test_a_parts_resolution_is_its_detail() -> None:
    part = {
        "inlineData": {"mimeType": "image/png", "data": PNG},
        "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"},
    }
    request = conversation(user(part))
    image = request.messages[0].parts[0]
    assert isinstance(image, ir.Image) and image.detail == "low"
    assert sent(request)["contents"][0]["parts"] == [part]


@pytest.mark.covers("PF-99", "PF-100")
def test_signatures_stay_on_their_parts() -> None:
    body = [
        user("Go."),
        model(
            {"text": "a"},
            {"text": "", "thoughtSignature": "AAAA"},
            {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "BBBB"},
            {"functionCall": {"id": "d", "name": "f", "args": {}}},
        ),
        user(*_results("f", "f")),
    ]
    request = conversation(*body)
    assert sent(request)["contents"][1] == body[1]


def test_another_vendors_seal_is_opened_with_the_thought_it_followed() -> None:
    seal = envelope.seal_base64(ir.Native("anthropic", Raw(b'{"signature":"s"}'), "claude"))
    request = conversation(
        user("Go."),
        model({"text": "First, ", "thought": True}),
        model({"text": "then.", "thought": True}),
        model({"text": "", "thought": True, "thoughtSignature": seal}),
        model("Do"),
        model("ne."),
    )
    assert len(request.messages) == 2
    thought, text = request.messages[1].parts
    assert isinstance(thought, ir.Reasoning) and thought.text == "First, then."
    assert thought.native == ir.Native("anthropic", Raw(b'{"signature":"s"}'), "claude")
    assert text == ir.Text("Done.")


@pytest.mark.covers("FB-58", "PF-140")
def test_a_damaged_envelope_is_dropped() -> None:
    seal = base64.b64encode(b"gw1.anthropic.claude.!!!").decode()
    request = conversation(user("Go."), model({"text": "x", "thoughtSignature": seal}))
    assert request.messages[1].parts == (ir.Text("x"),)


@pytest.mark.covers("PF-52", "RC-12")
def test_unknown_parts_and_fields_are_kept_for_their_owner() -> None:
    contents = [user({"hologram": {"data": 1}}, {"text": "x", "holoMetadata": {"k": 1}})]
    body = {"contents": contents, "futureSwitch": {"on": True}, "generationConfig": {"futureKnob": 3}}
    request = decoded(body)
    assert isinstance(request.messages[0].parts[0], ir.Opaque)
    assert sent(request) == body


@pytest.mark.parametrize(
    ("part", "text", "hint"),
    [
        ({"executableCode": {"language": "PYTHON", "code": "1+1"}}, "```python\n1+1\n```", False),
        ({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}, "2", False),
        ({"toolCall": {"id": "t", "toolType": "URL_CONTEXT", "args": {}}}, "", True),
        ({"toolResponse": {"id": "t", "toolType": "URL_CONTEXT", "response": {}}}, "", True),
    ],
)
def test_googles_own_tool_parts_are_opaque_with_a_stand_in(part: dict[str, object], text: str, hint: bool) -> None:
    request = conversation(user("Go."), model(part), user("On."))
    opaque = request.messages[1].parts[0]
    assert isinstance(opaque, ir.Opaque) and (opaque.text, opaque.hint) == (text, hint)
    assert sent(request)["contents"][1]["parts"] == [part]


@pytest.mark.parametrize(
    ("config", "thinking"),
    [
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, ir.Thinking()),
        ({"thinkingLevel": "low"}, ir.Thinking(effort="low")),
        ({"thinkingLevel": "XHIGH", "includeThoughts": False}, ir.Thinking(effort="xhigh", show=False)),
        ({"thinkingBudget": -1}, ir.Thinking(adaptive=True)),
        ({"thinkingBudget": 0}, ir.Thinking(budget=0)),
    ],
)
def test_thinking_is_read_in_levels_and_budgets(config: object, thinking: ir.Thinking) -> None:
    assert conversation(user("Hi."), generationConfig={"thinkingConfig": config}).thinking == thinking


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({"mode": "AUTO"}, ir.ToolChoice("auto")),
        ({"mode": "none"}, ir.ToolChoice("none")),
        ({"mode": "ANY"}, ir.ToolChoice("any")),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ir.ToolChoice("tool", ("f",))),
        ({"mode": "MODE_ANY", "allowedFunctionNames": ["f", "g"]}, ir.ToolChoice("any", ("f", "g"))),
        ({"mode": "VALIDATED"}, ir.ToolChoice("auto")),
        ({"mode": "MODE_UNSPECIFIED"}, None),
    ],
)
def test_the_tool_choice_is_read_in_every_spelling(calling: object, choice: ir.ToolChoice | None) -> None:
    assert conversation(user("Hi."), toolConfig={"functionCallingConfig": calling}).tool_choice == choice


@pytest.mark.covers("FB-35", "FB-45", "FB-46", "FB-56")
def test_a_schema_message_is_json_schema_to_others_and_itself_to_gemini() -> None:
    message = {
        "type": "OBJECT",
        "nullable": True,
        "properties": {
            "type": {"type": "STRING", "format": "enum", "enum": ["a"]},
            "many": {
                "type": "ARRAY",
                "min_items": "2",
                "items": {"any_of": [{"type": "INTEGER"}, {"ref": "#/defs/n"}]},
            },
        },
        "defs": {"n": {"type": "NUMBER"}},
        "propertyOrdering": ["type"],
    }
    request = conversation(
        user("Hi."),
        tools=[{"functionDeclarations": [{"name": "f", "parameters": message}]}],
        generationConfig={"responseMimeType": "application/json", "responseSchema": message},
    )
    expected = {
        "type": ["object", "null"],
        "properties": {
            "type": {"type": "string", "format": "enum", "enum": ["a"]},
            "many": {"type": "array", "minItems": 2, "items": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/n"}]}},
        },
        "$defs": {"n": {"type": "number"}},
    }
    assert plain(request.tools[0])["schema"] == plain(request.output.schema) == expected
    body = sent(request)
    assert body["tools"][0]["functionDeclarations"][0]["parameters"] == message
    assert body["generationConfig"]["responseSchema"] == message
    assert "responseJsonSchema" not in body["generationConfig"]


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"responseMimeType": "application/json"}, "json"),
        ({"responseMimeType": "text/plain"}, "text"),
        ({"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}}, "text"),
        ({"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}}, "schema"),
        ({"responseFormat": [{"text": {"mimeType": "application/json", "jsonSchema": {"type": "object"}}}]}, "schema"),
    ],
)
def test_the_answers_form_is_read_and_comes_back(config: dict[str, object], kind: str) -> None:
    request = conversation(user("Hi."), generationConfig=config)
    assert request.output.kind == kind
    given = sent(request).get("generationConfig", {})
    assert given == {name: value for name, value in config.items() if value != "text/plain"}


@pytest.mark.parametrize(("given", "neutral"), [("flex", "flex"), ("STANDARD", "default"), ("unspecified", None)])
def test_the_tier_is_read(given: str, neutral: str | None) -> None:
    assert conversation(user("Hi."), serviceTier=given).service_tier == neutral


@pytest.mark.covers("FB-36")
def test_hosted_tools_are_told_from_functions() -> None:
    tools = [{"googleSearch": {}}, {"functionDeclarations": [{"name": "googleSearch"}]}, {"codeExecution": {}}]
    request = conversation(user("Hi."), tools=tools)
    assert [type(tool).__name__ for tool in request.tools] == ["HostedTool", "Tool", "HostedTool"]
    assert [tool.kind for tool in request.tools if isinstance(tool, ir.HostedTool)] == ["web_search", "codeExecution"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b"{", None),
        (b"{}", "contents"),
        (b'{"contents":7}', "contents"),
        (b'{"contents":[{"role":"wizard","parts":[]}]}', "contents[0].role"),
        (b'{"contents":[{"parts":[{"text":7}]}]}', "contents[0].parts[0]"),
        (b'{"contents":[{"parts":[{"inlineData":{"data":"AA"}}]}]}', "contents[0].parts[0]"),
        (b'{"contents":[{"role":"model","parts":[{"functionCall":{}}]}]}', "contents[0].parts.functionCall.name"),
        (b'{"contents":[{}],"tools":[{"functionDeclarations":[{}]}]}', "tools[0].functionDeclarations[0].name"),
        (b'{"contents":[{}],"generationConfig":{"temperature":"hot"}}', "generationConfig.temperature"),
        (b'{"contents":[{}],"generationConfig":[]}', "generationConfig"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_its_field(body: bytes, param: str | None) -> None:
    with pytest.raises(MuxError) as caught:
        TRANSLATOR.decode_request(body, Hints(model=NEW))
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)


@pytest.mark.covers("PF-22")
def test_a_lone_surrogate_does_not_break_a_request() -> None:
    assert decoded(b'{"contents":[{"parts":[{"text":"a\\ud83d"}]}]}').messages[0].parts == (ir.Text("a\ufffd"),)


@pytest.mark.covers("PF-138")
def test_a_deeply_nested_body_is_refused() -> None:
    deep = b'{"contents":[{"parts":[{"functionCall":{"name":"f","args":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    with pytest.raises(MuxError) as caught:
        decoded(deep + b"}}]}]}")
    assert caught.value.kind is Kind.BAD_REQUEST


@pytest.mark.covers("FB-55", "PF-21")
def test_big_numbers_in_arguments_keep_their_digits() -> None:
    body = b'{"contents":[{"role":"model","parts":[{"functionCall":{"id":"c","name":"f","args":{"n":12345678901234567890123,"e":1e5}}}]}]}'
    assert b'{"n":12345678901234567890123,"e":1e5}' in encoded(decoded(body)).body
