"""What a chat client may send, and what it means."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators.base import Hints
from llm_mux.translators.openai_chat.translator import TRANSLATOR
from tests.translators.openai_chat import chat

USER = {"role": "user", "content": "hi"}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def call(id_: str | None = "c1", name: str = "weather", arguments: Any = "{}") -> dict[str, Any]:
    return {**({"id": id_} if id_ else {}), "type": "function", "function": {"name": name, "arguments": arguments}}


def one(content: Any) -> tuple[ir.Part, ...]:
    return chat.decode(messages=[{"role": "user", "content": content}]).messages[0].parts


PNG = "iVBORw0KGgoAAAANSUhEUg=="


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        pytest.param("hi", (ir.Text("hi"),), id="string"),
        pytest.param([{"type": "text", "text": "hi"}], (ir.Text("hi"),), id="list"),
        pytest.param({"type": "text", "text": "hi"}, (ir.Text("hi"),), id="object"),
        pytest.param(["hi"], (ir.Text("hi"),), id="bare string in a list"),
        pytest.param([{"text": "hi"}], (ir.Text("hi"),), id="no type"),
        pytest.param([{"type": "input_text", "text": "hi"}], (ir.Text("hi"),), id="type of Responses"),
        pytest.param(None, (), id="null"),
        pytest.param([], (), id="empty list"),
    ],
)
@pytest.mark.covers("FB-130")
def test_content_is_taken_in_every_form(content: Any, parts: tuple[ir.Part, ...]) -> None:
    assert one(content) == parts


def test_absent_content_is_no_content() -> None:
    assert chat.decode(messages=[USER, {"role": "assistant", "tool_calls": [call()]}]).messages[1].parts[:1] != ()


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        pytest.param({"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                     ir.Image(ir.Url("https://x/y.png"), detail="low"), id="url"),
        pytest.param({"type": "image_url", "image_url": "https://x/y.png"}, ir.Image(ir.Url("https://x/y.png")), id="bare"),
        pytest.param({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                     ir.Image(ir.Inline("image/png", PNG)), id="data URL"),
        pytest.param({"type": "image_url", "image_url": {"url": f"data:image/png;name=a.png;base64,{PNG}"}},
                     ir.Image(ir.Inline("image/png", PNG)), id="data URL with parameters"),
        pytest.param({"type": "image_url", "image_url": {"url": "data:application/pdf;base64,JVBERi0xLjQK"}},
                     ir.Document(ir.Inline("application/pdf", "JVBERi0xLjQK")), id="pdf in an image's place"),
        pytest.param({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
                     ir.Audio(ir.Inline("audio/mpeg", "AAAA")), id="mp3"),
        pytest.param({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                     ir.Audio(ir.Inline("audio/wav", "AAAA")), id="wav"),
        pytest.param({"type": "video_url", "video_url": {"url": "https://x/y.mp4"}}, ir.Video(ir.Url("https://x/y.mp4")), id="video"),
        pytest.param({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
                     ir.Document(ir.Inline("application/pdf", "JVBERi0="), name="a.pdf"), id="file"),
        pytest.param({"type": "file", "file": {"filename": "notes.txt", "file_data": "aGk="}},
                     ir.Document(ir.Inline("text/plain", "aGk="), name="notes.txt"), id="raw base64, type by name"),
        pytest.param({"type": "file", "file": {"file_id": "file-1"}}, ir.Document(ir.FileId("openai_chat", "file-1")), id="file id"),
        pytest.param({"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                     ir.Text("a", cache=ir.Cache("1h")), id="cache_control"),
        pytest.param({"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
                     ir.Text("a", cache=ir.Cache()), id="breakpoint"),
        pytest.param({"type": "refusal", "refusal": "No."}, ir.Refusal("No."), id="refusal"),
        pytest.param({"type": "image_url", "image_url": {"url": "data:audio/wav;base64,AAAA"}},
                     ir.Audio(ir.Inline("audio/wav", "AAAA")), id="audio in an image's place"),
        pytest.param({"type": "input_audio", "input_audio": {"data": "data:audio/ogg;base64,AAAA"}},
                     ir.Audio(ir.Inline("audio/ogg", "AAAA")), id="audio as a data URL"),
        pytest.param({"type": "file", "file": {"filename": "a.png", "file_data": "data:application/octet-stream;base64,AAAA"}},
                     ir.Image(ir.Inline("image/png", "AAAA")), id="a picture as a file"),
        pytest.param({"type": "file", "file": {"file_url": "https://x/a.pdf"}}, ir.Document(ir.Url("https://x/a.pdf")), id="file by URL"),
    ],
)  # fmt: skip
@pytest.mark.covers("PF-76", "FB-132")
def test_a_part_means(part: Any, wanted: ir.Part) -> None:
    assert one([part]) == (wanted,)


@pytest.mark.covers("RC-12")
def test_an_unknown_part_is_kept_whole() -> None:
    (part,) = one([{"type": "hologram", "depth": 1e5}])
    assert isinstance(part, ir.Opaque)
    assert bytes(part.native.data) == b'{"type": "hologram", "depth": 100000.0}'
    assert part.label == "hologram"


ROLES = ["system", "developer", "user", "assistant"]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.covers("FB-126")
def test_a_role_stays_what_it_is(role: str) -> None:
    assert chat.decode(messages=[{"role": role, "content": "x"}]).messages[0].role == role


def test_a_tool_message_is_a_result_in_a_user_turn() -> None:
    request = chat.decode(messages=[USER, {"role": "tool", "tool_call_id": "c1", "content": "42"}])
    assert request.messages[1] == ir.Message("user", (ir.ToolResult("c1", (ir.Text("42"),)),))


def test_the_form_before_tools_is_understood() -> None:
    request = chat.decode(
        functions=[{"name": "weather", "parameters": {"type": "object"}}],
        function_call={"name": "weather"},
        messages=[
            USER,
            {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
            {"role": "function", "name": "weather", "content": "42"},
        ],
    )
    asked, answered = request.messages[1].parts[0], request.messages[2].parts[0]
    assert isinstance(asked, ir.ToolCall) and isinstance(answered, ir.ToolResult)
    assert asked.id == answered.call_id != ""
    assert request.tool_choice == ir.ToolChoice("tool", ("weather",))
    assert [tool.name for tool in request.tools] == ["weather"]


@pytest.mark.covers("FB-2", "PF-102")
def test_results_without_ids_find_their_calls_in_order() -> None:
    request = chat.decode(
        messages=[
            USER,
            {"role": "assistant", "tool_calls": [call(None, arguments='{"a":1}'), call(None, arguments='{"a":2}')]},
            {"role": "tool", "name": "weather", "content": "first"},
            {"role": "tool", "name": "weather", "content": "second"},
        ]
    )
    ids = [part.id for part in request.messages[1].parts if isinstance(part, ir.ToolCall)]
    results = [message.parts[0] for message in request.messages[2:]]
    assert ids == [part.call_id for part in results if isinstance(part, ir.ToolResult)]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"a": 1}', '{"a": 1}'), ({"a": 1}, '{"a":1}'), (None, ""), ("", ""), ("not json", "not json")],
)
def test_arguments_are_text_in_whatever_form_they_came(arguments: Any, text: str) -> None:
    request = chat.decode(messages=[USER, {"role": "assistant", "tool_calls": [call(arguments=arguments)]}])
    part = request.messages[1].parts[0]
    assert isinstance(part, ir.ToolCall) and part.arguments == text


def test_a_custom_call_and_tool_are_free_text() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: X"}}
    request = chat.decode(
        tools=[{"type": "custom", "custom": {"name": "patch", "description": "d", "format": grammar}}],
        messages=[USER, {"role": "assistant", "tool_calls": [
            {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** begin"}}]}],
    )  # fmt: skip
    (tool,) = request.tools
    assert isinstance(tool, ir.Tool) and tool.free_text and tool.custom is not None
    assert request.messages[1].parts == (ir.ToolCall("c", "patch", "*** begin", custom=True),)


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("auto", ir.ToolChoice("auto")),
        ("none", ir.ToolChoice("none")),
        ("required", ir.ToolChoice("any")),
        ({"type": "function", "function": {"name": "a"}}, ir.ToolChoice("tool", ("a",))),
        ({"type": "function", "name": "a"}, ir.ToolChoice("tool", ("a",))),
        ({"type": "custom", "custom": {"name": "a"}}, ir.ToolChoice("tool", ("a",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "a"}}]},
            },
            ir.ToolChoice("any", ("a",)),
        ),
        ({"type": "auto"}, ir.ToolChoice("auto")),
        (None, None),
    ],
)
def test_tool_choice_means(choice: Any, wanted: ir.ToolChoice | None) -> None:
    assert chat.decode(tools=[WEATHER], tool_choice=choice).tool_choice == wanted


def test_a_tool_of_another_type_is_the_vendors_own() -> None:
    (tool,) = chat.decode(tools=[{"type": "builtin_function", "function": None, "x": 1}]).tools
    assert isinstance(tool, ir.HostedTool)
    assert tool.kind == "builtin_function" and tool.native.owner == "openai_chat"


def test_web_search_options_are_a_hosted_search() -> None:
    (tool,) = chat.decode(web_search_options={"search_context_size": "low"}).tools
    assert isinstance(tool, ir.HostedTool) and tool.kind == "web_search"


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"max_tokens": 5}, "max_tokens", 5),
        ({"max_completion_tokens": 5}, "max_tokens", 5),
        ({"max_tokens": 9, "max_completion_tokens": 5}, "max_tokens", 5),
        ({"max_tokens": 5.0}, "max_tokens", 5),
        ({"max_tokens": "5"}, "max_tokens", 5),
        ({"max_tokens": -1}, "max_tokens", None),
        ({"stop": "a"}, "stop", ("a",)),
        ({"stop": ["a", "", "b"]}, "stop", ("a", "b")),
        ({"stop": None}, "stop", ()),
        ({"stream": True}, "stream", True),
        ({"stream": True}, "include_usage", False),
        ({"stream": True, "stream_options": {"include_usage": True}}, "include_usage", True),
        ({}, "include_usage", True),
        ({"user": "u"}, "user", "u"),
        ({"safety_identifier": "s"}, "user", "s"),
        ({"prompt_cache_key": "k"}, "cache_key", "k"),
        ({"prompt_cache_key": ""}, "cache_key", None),
        ({"service_tier": "flex"}, "service_tier", "flex"),
        ({"verbosity": "low"}, "verbosity", "low"),
        ({"modalities": ["text", "audio"]}, "modalities", ("text", "audio")),
        ({"parallel_tool_calls": False}, "parallel_tool_calls", False),
        ({"response_format": {"type": "json_object"}}, "output", ir.OutputFormat("json")),
        ({"response_format": {"type": "text"}}, "output", ir.OutputFormat()),
    ],
)
@pytest.mark.covers("FB-135", "PF-58")
def test_a_field_means(fields: Any, name: str, value: Any) -> None:
    assert getattr(chat.decode(**fields), name) == value


def test_a_json_schema_keeps_its_bytes() -> None:
    schema = b'{"type":"object","properties":{"n":{"maximum":1e5, "default":12345678901234567890}}}'
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema",' \
           b'"json_schema":{"name":"r","strict":true,"schema":' + schema + b"}}}"  # fmt: skip
    output = TRANSLATOR.decode_request(body, Hints()).output
    assert output.kind == "schema" and output.strict is True and output.name == "r"
    assert output.schema is not None and b"12345678901234567890" in bytes(output.schema)


def test_unknown_fields_are_kept() -> None:
    request = chat.decode(provider={"only": ["x"]}, top_a=0.5)
    assert {name: bytes(raw) for name, raw in request.extras.items()} == {
        "provider": b'{"only": ["x"]}',
        "top_a": b"0.5",
    }


def test_hints_win_over_the_body() -> None:
    request = chat.decode(Hints(model="forced", stream=True), stream=False)
    assert (request.model, request.stream) == ("forced", True)


def test_a_wish_to_continue_a_message_is_kept() -> None:
    request = chat.decode(messages=[USER, {"role": "assistant", "content": "Once", "prefix": True}])
    assert chat.encode(request, chat.target("deepseek-chat"))["messages"][1]["prefix"] is True


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ""}}]}]},
            "messages[0].content[0]",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]},
            "messages[0].content[0]",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, "messages[0].content[0].file"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]}]}, "messages[0].tool_calls"),
        ({"temperature": "warm"}, "temperature"),
        ({"n": {}}, "n"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0]"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
    ],
)
def test_a_request_that_cannot_be_understood_names_the_field(body: Any, param: str) -> None:
    with pytest.raises(MuxError) as caught:
        chat.decode(**body)
    assert caught.value.kind is Kind.BAD_REQUEST
    assert caught.value.param == param
    assert param.split("[", maxsplit=1)[0] in caught.value.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"model":"m","messages":[}'])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(MuxError) as caught:
        TRANSLATOR.decode_request(body, Hints())
    assert caught.value.kind is Kind.BAD_REQUEST


@pytest.mark.covers("PF-22")
def test_half_an_emoji_does_not_break_a_request() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"cut \\ud83d"}],"other":"\\ud83d"}'
    assert ir.joined(TRANSLATOR.decode_request(body, Hints()).messages[0].parts) == "cut �"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["role", "content", "type", "text", "image_url", "url", "tool_calls", "function", "name", "arguments", "id", "file",
         "tool_call_id", "reasoning_content", "reasoning_details", "data", "custom", "input"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
FIELDS = ["messages", "tools", "tool_choice", "functions", "function_call", "stop", "thinking",
    "reasoning", "reasoning_effort", "response_format", "stream_options", "google", "extra_body", "metadata", "n", "user",
    "model", "temperature", "modalities", "web_search_options", "chat_template_kwargs"]  # fmt: skip


@given(body=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6))
def test_any_json_is_understood_or_refused(body: dict[str, Any]) -> None:
    full = {"model": "m", "messages": [USER], **body}
    data = json.dumps(full).encode()
    TRANSLATOR.adapt(data, chat.OPENAI, True)
    try:
        request = TRANSLATOR.decode_request(data, Hints())
        TRANSLATOR.encode_request(request, chat.OPENAI)
    except MuxError as error:
        assert error.kind is Kind.BAD_REQUEST


@given(messages=st.lists(st.fixed_dictionaries({"role": st.sampled_from([*ROLES, "tool", "function"])}, optional={
    "content": JSON, "tool_calls": st.lists(JSON, max_size=3), "tool_call_id": JSON, "reasoning_details": st.lists(JSON, max_size=3),
    "name": st.text(max_size=3)}), min_size=1, max_size=4))  # fmt: skip
def test_any_message_is_understood_or_refused(messages: list[Any]) -> None:
    try:
        request = chat.decode(messages=messages)
        msgspec.json.decode(TRANSLATOR.encode_request(request, chat.OPENAI).body)
    except MuxError as error:
        assert error.kind is Kind.BAD_REQUEST


def test_raw_values_are_views_of_the_body() -> None:
    """Tool schemas are never parsed on the way through."""
    (tool,) = chat.decode(tools=[WEATHER]).tools
    assert isinstance(tool, ir.Tool) and isinstance(tool.schema, Raw)


def test_a_mark_on_a_message_is_a_mark_on_its_last_text() -> None:
    request = chat.decode(messages=[{"role": "user", "content": "a", "cache_control": {"type": "ephemeral"}}])
    assert request.messages[0].parts == (ir.Text("a", cache=ir.Cache()),)


def test_a_refusal_beside_the_content_is_kept() -> None:
    request = chat.decode(messages=[USER, {"role": "assistant", "content": None, "refusal": "No."}])
    assert request.messages[1].parts == (ir.Refusal("No."),)
