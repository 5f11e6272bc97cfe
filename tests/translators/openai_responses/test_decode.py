"""A client's request to the canonical form: items, tools, settings, tolerance, and errors that name the field."""

import json
from typing import Any

import pytest

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import envelope
from llm_mux.translators.base import Hints
from llm_mux.translators.openai_responses.summary import sealed
from llm_mux.translators.openai_responses.translator import TRANSLATOR
from tests.translators.openai_responses.kit import CODEX, body, decode, plain, raw

CALL = {"type": "function_call", "id": "fc_9", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "ok"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": True}


def parts(*items: Any) -> list[ir.Part]:
    return [part for message in decode(input=list(items)).messages for part in message.parts]


def shape(*items: Any) -> list[tuple[str, list[str]]]:
    messages = decode(input=list(items)).messages
    return [(message.role, [type(part).__name__ for part in message.parts]) for message in messages]


@pytest.mark.covers("FB-122")
def test_instructions_and_system_items_keep_their_order_and_boundaries() -> None:
    request = decode(
        instructions="one",
        input=[
            {"role": "system", "content": "two"},
            {"role": "developer", "content": "three"},
            {"role": "user", "content": "hi"},
        ],
    )
    assert [(m.role, ir.joined(m.parts)) for m in request.messages] == [
        ("system", "one"),
        ("system", "two"),
        ("developer", "three"),
        ("user", "hi"),
    ]


@pytest.mark.covers("FB-130")
@pytest.mark.parametrize(
    ("content", "texts"),
    [
        pytest.param("hi", ["hi"], id="string"),
        pytest.param(
            [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}], ["a", "b"], id="parts"
        ),
        pytest.param({"type": "input_text", "text": "a"}, ["a"], id="one part"),
        pytest.param(["a", {"type": "text", "text": "b"}], ["a", "b"], id="strings among parts"),
        pytest.param(None, [], id="null"),
        pytest.param([], [], id="nothing"),
        pytest.param("", [], id="empty"),
    ],
)
def test_content_comes_in_every_form(content: Any, texts: list[str]) -> None:
    found = parts({"role": "user", "content": content}, {"role": "user", "content": "end"})
    assert [part.text for part in found if isinstance(part, ir.Text)][:-1] == texts


def test_a_message_without_content_is_nothing() -> None:
    assert shape({"type": "message", "role": "assistant"}, {"role": "user", "content": "end"}) == [("user", ["Text"])]


@pytest.mark.covers("FB-3B", "PF-76")
@pytest.mark.parametrize(
    ("part", "source"),
    [
        ({"image_url": "data:image/png;base64,AAAA"}, ir.Inline("image/png", "AAAA")),
        ({"image_url": "data:image/png;name=a.png;base64,AAAA"}, ir.Inline("image/png", "AAAA")),
        ({"image_url": "https://example.com/a.png"}, ir.Url("https://example.com/a.png")),
        ({"image_url": {"url": "https://example.com/a.png"}}, ir.Url("https://example.com/a.png")),
        ({"file_id": "file-1"}, ir.FileId("openai_responses", "file-1")),
    ],
)
def test_images_are_read_in_every_form(part: dict[str, Any], source: ir.Source) -> None:
    found = parts({"role": "user", "content": [{"type": "input_image", "detail": "high", **part}]})
    assert isinstance(found[0], ir.Image)
    assert (found[0].source, found[0].detail) == (source, "high")


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ({"file_data": "data:application/pdf;base64,JVBERi0="}, ir.Inline("application/pdf", "JVBERi0=")),
        ({"file_data": "JVBERi0=", "filename": "a.pdf"}, ir.Inline("application/pdf", "JVBERi0=")),
        ({"file_id": "file-2"}, ir.FileId("openai_responses", "file-2")),
    ],
)
def test_files_are_read_in_every_form(part: dict[str, Any], source: ir.Source) -> None:
    found = parts({"role": "user", "content": [{"type": "input_file", **part}]})
    assert isinstance(found[0], ir.Document)
    assert found[0].source == source


def test_audio_and_cache_marks_are_read() -> None:
    mark = {"mode": "explicit", "ttl": "12h"}
    found = parts(
        {
            "role": "user",
            "content": [
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
                {"type": "input_text", "text": "hi", "prompt_cache_breakpoint": mark},
            ],
        }
    )
    assert found[0] == ir.Audio(ir.Inline("audio/mpeg", "AAAA"))
    assert isinstance(found[1], ir.Text)
    assert found[1].cache == ir.Cache("12h")


@pytest.mark.covers("FB-22", "FB-3B")
def test_items_of_the_assistant_in_a_row_are_one_turn() -> None:
    second = {**CALL, "call_id": "c2"}
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"}
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "Looking."}]}
    assert shape(
        {"role": "user", "content": "hi"}, thought, said, CALL, second, RESULT, {**RESULT, "call_id": "c2"}
    ) == [
        ("user", ["Text"]),
        ("assistant", ["Reasoning", "Text", "ToolCall", "ToolCall"]),
        ("user", ["ToolResult", "ToolResult"]),
    ]


@pytest.mark.covers("PF-94")
def test_phases_divide_the_assistants_words_but_never_a_turn_with_calls() -> None:
    def said(text: str, phase: str) -> dict[str, Any]:
        return {"role": "assistant", "phase": phase, "content": text}

    request = decode(input=[said("a", "commentary"), said("b", "final_answer"), {"role": "user", "content": "x"}])
    assert [(m.phase, ir.joined(m.parts)) for m in request.messages[:2]] == [("commentary", "a"), ("final_answer", "b")]
    request = decode(input=[said("a", "commentary"), CALL, said("b", "final_answer"), RESULT])
    assert [m.role for m in request.messages] == ["assistant", "user"]


@pytest.mark.covers("PF-85")
def test_calls_are_known_by_their_call_id_and_not_by_the_items_id() -> None:
    call, result = parts(CALL, RESULT)
    assert isinstance(call, ir.ToolCall)
    assert isinstance(result, ir.ToolResult)
    assert call.id == result.call_id == "c1"


@pytest.mark.covers("FB-33")
@pytest.mark.parametrize(
    ("output", "content"),
    [
        pytest.param("text", [("Text", "text")], id="string"),
        pytest.param([{"type": "input_text", "text": "a"}], [("Text", "a")], id="parts"),
        pytest.param(["a", "b"], [("Text", "a"), ("Text", "b")], id="strings"),
        pytest.param(json.dumps([{"type": "text", "text": "a"}]), [("Text", "a")], id="a list as text"),
        pytest.param('[{"type":"row","id":1}]', [("Text", '[{"type":"row","id":1}]')], id="a tool's own list as text"),
        pytest.param({"b": 1, "a": 2}, [("Text", '{"b": 1, "a": 2}')], id="an object"),
        pytest.param([{"id": 1}], [("Text", '[{"id": 1}]')], id="a list of data"),
        pytest.param(7, [("Text", "7")], id="a number"),
        pytest.param(None, [], id="null"),
        pytest.param("", [], id="empty"),
    ],
)
def test_a_tools_output_comes_in_every_form(output: Any, content: list[tuple[str, str]]) -> None:
    found = parts(CALL, {**RESULT, "output": output})[1]
    assert isinstance(found, ir.ToolResult)
    assert [(type(part).__name__, getattr(part, "text", "")) for part in found.content] == content


def test_a_result_with_an_image_keeps_it() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    found = parts(CALL, {**RESULT, "output": [{"type": "input_text", "text": "a"}, image]})[1]
    assert isinstance(found, ir.ToolResult)
    assert [type(part) for part in found.content] == [ir.Text, ir.Image]


@pytest.mark.covers("FB-34", "PF-93")
def test_functions_free_text_tools_and_namespaces_are_the_clients_own_tools() -> None:
    custom = {
        "type": "custom",
        "name": "apply_patch",
        "format": {"type": "grammar", "syntax": "lark", "definition": "x"},
    }
    group = {
        "type": "namespace",
        "name": "mcp__git",
        "description": "Git",
        "tools": [FUNCTION, {**custom, "name": "raw"}],
    }
    tools = decode(tools=[FUNCTION, custom, group]).tools
    found = [(t.name, t.namespace, t.free_text) for t in tools if isinstance(t, ir.Tool)]
    assert found == [
        ("f", None, False),
        ("apply_patch", None, True),
        ("f", "mcp__git", False),
        ("raw", "mcp__git", True),
    ]


def test_calls_of_free_text_tools_and_namespaces_keep_their_kind() -> None:
    custom = {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": 'a "b"'}
    result = {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"}
    found = parts(custom, {**CALL, "call_id": "c2", "namespace": "mcp__git"}, result)
    assert found[0] == ir.ToolCall("c1", "apply_patch", 'a "b"', custom=True)
    assert found[1] == ir.ToolCall("c2", "f", '{"a":1}', namespace="mcp__git")
    assert isinstance(found[2], ir.ToolResult)
    assert found[2].custom


@pytest.mark.covers("PF-93", "RC-12")
def test_tools_of_codex_that_its_vendor_runs_are_optional_unless_demanded() -> None:
    hosted = [{"type": "web_search", "external_web_access": True}, {"type": "image_generation"}]

    def optional(headers: dict[str, str], **fields: Any) -> dict[str, bool]:
        tools = decode(headers, tools=hosted, **fields).tools
        return {tool.kind: tool.optional for tool in tools if isinstance(tool, ir.HostedTool)}

    assert optional(CODEX, tool_choice="auto") == {"web_search": True, "image_generation": True}
    assert optional(CODEX, tool_choice={"type": "web_search_preview"}) == {
        "web_search": False,
        "image_generation": True,
    }
    assert optional({}) == {"web_search": False, "image_generation": False}
    assert optional({"user-agent": "Codex-TUI/1"}) == {"web_search": True, "image_generation": True}


def test_a_tool_search_of_the_client_is_a_function_and_one_of_the_server_is_optional() -> None:
    client = {
        "type": "tool_search",
        "execution": "client",
        "description": "Finds tools.",
        "parameters": {"type": "object"},
    }
    found = decode(tools=[client]).tools[0]
    assert isinstance(found, ir.Tool)
    assert (found.name, plain(found.schema)) == ("tool_search", {"type": "object"})
    server = decode(tools=[{"type": "tool_search"}]).tools[0]
    assert isinstance(server, ir.HostedTool)
    assert server.optional


@pytest.mark.covers("PF-93")
def test_tools_that_come_in_items_can_be_called_on_every_target() -> None:
    group = {"type": "namespace", "name": "ns", "description": "", "tools": [FUNCTION]}
    request = decode(
        input=[
            {"type": "additional_tools", "role": "developer", "tools": [group]},
            {"role": "developer", "content": "Rules."},
            {"role": "user", "content": "hi"},
            {"type": "tool_search_call", "call_id": "s1", "execution": "client", "arguments": {"query": "x"}},
            {
                "type": "tool_search_output",
                "call_id": "s1",
                "execution": "client",
                "tools": [{**FUNCTION, "name": "g"}],
            },
        ]
    )
    assert [(tool.namespace, tool.name) for tool in request.tools if isinstance(tool, ir.Tool)] == [
        ("ns", "f"),
        (None, "g"),
    ]
    assert [m.role for m in request.messages] == ["developer", "developer", "user", "assistant", "user"]
    call, result = request.messages[3].parts[0], request.messages[4].parts[0]
    assert isinstance(call, ir.ToolCall)
    assert (call.name, json.loads(call.arguments)) == ("tool_search", {"query": "x"})
    assert isinstance(result, ir.ToolResult)
    assert "g" in ir.joined(result.content)


@pytest.mark.covers("PF-93")
def test_the_latest_configuration_update_counts() -> None:
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    request = decode(
        reasoning={"effort": "low"},
        input=[
            {"role": "user", "content": "a"},
            {"type": "configuration_update", "reasoning": {"effort": "high"}},
            {"type": "configuration_update", "text": {"format": form}},
        ],
    )
    assert request.thinking.effort == "high"
    assert request.output.kind == "schema"
    assert all(part.hint for m in request.messages for part in m.parts if isinstance(part, ir.Opaque))


def test_a_compaction_of_ours_opens_and_a_foreign_one_leaves_a_note() -> None:
    ours, theirs = parts(
        {"type": "compaction", "encrypted_content": sealed("The user builds a boat.")},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA"},
    )
    assert isinstance(ours, ir.Text)
    assert "The user builds a boat." in ours.text
    assert isinstance(theirs, ir.Opaque)
    assert "compacted" in theirs.text


def test_a_trailing_compaction_trigger_asks_for_a_summary() -> None:
    request = decode(input=[{"role": "user", "content": "a"}, {"type": "compaction_trigger"}])
    part = request.messages[-1].parts[0]
    assert isinstance(part, ir.Opaque)
    assert "hand-over note" in part.text
    with_tools = decode(tools=[FUNCTION], input=[{"role": "user", "content": "a"}, {"type": "compaction_trigger"}])
    assert with_tools.tool_choice == ir.ToolChoice("none")


@pytest.mark.covers("FB-65", "FB-66", "FB-68", "PF-84")
def test_reasoning_keeps_its_seal_and_goes_without_one() -> None:
    sealed_, redacted, shown, nothing = (
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "E",
        },
        {"type": "reasoning", "summary": [], "encrypted_content": "R", "content": None},
        {"type": "reasoning", "id": "rs_3", "summary": [], "content": [{"type": "reasoning_text", "text": "chain"}]},
        {"type": "reasoning", "id": "rs_4", "summary": []},
    )
    found = parts(sealed_, redacted, shown, nothing, {"role": "assistant", "content": "x"})
    assert [type(part).__name__ for part in found] == ["Reasoning", "Reasoning", "Reasoning", "Text"]
    assert plain(found[0])["native"] == {
        "owner": "openai_responses",
        "data": {"id": "rs_1", "encrypted_content": "E"},
        "family": "",
    }
    assert isinstance(found[2], ir.Reasoning)
    assert (found[2].text, found[2].raw, found[2].native) == ("chain", True, None)


@pytest.mark.covers("FB-58")
def test_seals_of_other_formats_come_back_out_of_their_envelope() -> None:
    native = ir.Native("anthropic", raw({"signature": "sig"}), "claude")
    item = {"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": envelope.seal(native)}
    damaged = {**item, "encrypted_content": "gw1.broken"}
    found = parts(item, damaged, {"role": "assistant", "content": "x"})
    assert isinstance(found[0], ir.Reasoning)
    assert plain(found[0].native) == plain(native)
    assert len(found) == 2


def test_a_seal_of_a_call_is_for_the_next_call_of_the_same_turn() -> None:
    native = ir.Native("gemini", raw({"thoughtSignature": "c2ln"}), "gemini")
    item = {"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": envelope.seal_of_call(native)}
    custom = {"type": "custom_tool_call", "call_id": "c", "name": "p", "input": "x"}
    (found,) = parts(item, custom)
    assert isinstance(found, ir.ToolCall) and plain(found.native) == plain(native)
    (found,) = parts({**item, "encrypted_content": "gw1-call.broken"}, custom)
    assert isinstance(found, ir.ToolCall) and found.native is None
    turns = decode(input=[item, {"role": "user", "content": "x"}, custom]).messages
    assert [getattr(part, "native", None) for turn in turns for part in turn.parts] == [None, None]


@pytest.mark.parametrize(
    ("asked", "thinking"),
    [
        ({"effort": "high", "summary": "auto"}, ("high", None, True)),
        ({"effort": None, "summary": "auto"}, (None, None, True)),
        ({"effort": "none"}, ("none", None, None)),
        ({"effort": "ultra"}, ("max", None, None)),
        ({"effort": "persistent"}, ("max", None, None)),
        ({"effort": 4000}, (None, 4000, None)),
        ({"generate_summary": "concise"}, (None, None, True)),
        ({"effort": "low", "context": "all_turns"}, ("low", None, None)),
    ],
)
def test_reasoning_is_understood_in_every_spelling(asked: dict[str, Any], thinking: tuple[Any, ...]) -> None:
    found = decode(reasoning=asked).thinking
    assert (found.effort, found.budget, found.show) == thinking


@pytest.mark.covers("FB-57")
def test_the_output_format_is_flat() -> None:
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    output = decode(text={"format": form, "verbosity": "low"}).output
    assert (output.kind, output.name, output.strict, plain(output.schema)) == ("schema", "n", True, {"type": "object"})
    assert decode(text={"format": {"type": "json_object"}}).output.kind == "json"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ir.ToolChoice("auto")),
        ("required", ir.ToolChoice("any")),
        ("none", ir.ToolChoice("none")),
        ({"type": "function", "name": "f"}, ir.ToolChoice("tool", ("f",))),
        ({"type": "custom", "name": "p"}, ir.ToolChoice("tool", ("p",))),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            ir.ToolChoice("any", ("f",)),
        ),
        ({"type": "web_search_preview_2025_03_11"}, ir.ToolChoice("tool", ("web_search",))),
        ({"type": "mcp", "server_label": "s"}, ir.ToolChoice("tool", ("s",))),
    ],
)
def test_tool_choices(choice: Any, expected: ir.ToolChoice) -> None:
    assert decode(tools=[FUNCTION], tool_choice=choice).tool_choice == expected


@pytest.mark.covers("RC-12", "PF-52")
def test_unknown_fields_items_and_parts_are_kept_and_nothing_is_refused_for_them() -> None:
    request = decode(
        client_metadata={"a": 1},
        access_programs={"cyber": "standard"},
        input=[
            {"type": "hologram", "call_id": 5, "shape": [1]},
            {"role": "user", "content": [{"type": "input_smell", "data": "x"}, {"type": "input_text", "text": "hi"}]},
        ],
    )
    assert plain(request.extras["access_programs"]) == {"cyber": "standard"}
    labels = [part.label for m in request.messages for part in m.parts if isinstance(part, ir.Opaque)]
    assert labels == ["hologram", "input_smell"]


@pytest.mark.covers("PF-139")
def test_what_the_daemon_answers_itself_is_not_reported_as_lost() -> None:
    quiet = {"store": False, "include": ["reasoning.encrypted_content"], "client_metadata": {}, "user": "u"}
    assert [name for name in decode(**quiet).extras if not name.startswith("__")] == []
    assert "include" in decode(include=["web_search_call.results"]).extras


@pytest.mark.covers("PF-92")
@pytest.mark.parametrize("field", ["previous_response_id", "conversation", "prompt"])
def test_state_of_a_server_is_content_that_others_must_refuse(field: str) -> None:
    request = decode(**{field: "x_1"})
    opaque = [part for m in request.messages for part in m.parts if isinstance(part, ir.Opaque)]
    assert [(part.label, part.text, part.hint) for part in opaque] == [(field, "", False)]


def test_the_route_and_the_headers_win_over_the_body() -> None:
    hints = Hints(model="other", stream=True, headers=CODEX)
    request = TRANSLATOR.decode_request(body(stream=False), hints)
    assert (request.model, request.stream, request.protocol) == ("other", True, "openai_responses")


def test_lone_surrogates_and_pretty_printing_do_no_harm() -> None:
    sent = b'{\n "model": "m",\n "input": "cut \\ud83d"\n}'
    request = TRANSLATOR.decode_request(sent, Hints())
    assert ir.joined(request.messages[0].parts) == "cut \ufffd"


@pytest.mark.covers("PF-138")
@pytest.mark.parametrize(
    ("sent", "param"),
    [
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"{", None, id="cut"),
        pytest.param(b"[]", None, id="a list"),
        pytest.param(b'{"input":"x"}', "model", id="no model"),
        pytest.param(body(model=7), "model", id="model is a number"),
        pytest.param(b'{"model":"m"}', "input", id="no input"),
        pytest.param(body(input=[]), "input", id="empty input"),
        pytest.param(body(input=""), "input", id="empty text"),
        pytest.param(body(input=5), "input", id="input is a number"),
        pytest.param(body(input=[{"role": "robot", "content": "x"}]), "input[0].role", id="unknown role"),
        pytest.param(body(input=[{"type": "message", "content": "x"}]), "input[0].role", id="no role"),
        pytest.param(body(input=[{"role": "user", "content": 5}]), "input[0].content", id="content is a number"),
        pytest.param(
            body(input=[{"role": "user", "content": [{"type": "input_text", "text": 5}]}]),
            "input[0].content[0].text",
            id="text is a number",
        ),
        pytest.param(
            body(input=[{"role": "user", "content": [{"type": "input_image"}]}]),
            "input[0].content[0]",
            id="empty image",
        ),
        pytest.param(body(input=[{"type": "function_call", "call_id": "c"}]), "input[0].name", id="no name"),
        pytest.param(body(input=[{"type": "function_call", "name": "f"}]), "input[0].call_id", id="no call id"),
        pytest.param(body(input=[{}]), "input[0].type", id="empty item"),
        pytest.param(body(tools=[{"name": "f"}]), "tools[0].type", id="tool without a type"),
        pytest.param(body(tools=[{"type": "function"}]), "tools[0].name", id="tool without a name"),
        pytest.param(body(tools="f"), "tools", id="tools is a text"),
        pytest.param(body(tool_choice="sometimes"), "tool_choice", id="unknown choice"),
        pytest.param(body(temperature="warm"), "temperature", id="temperature is a word"),
        pytest.param(body(max_output_tokens=[1]), "max_output_tokens", id="limit is a list"),
        pytest.param(body(reasoning="high"), "reasoning", id="reasoning is a word"),
        pytest.param(body(include=5), "include", id="include is a number"),
        pytest.param(b'{"model":"m","input":' + b"[" * 3000 + b"]" * 3000 + b"}", None, id="nested too deeply"),
    ],
)
def test_what_is_wrong_is_named(sent: bytes, param: str | None) -> None:
    with pytest.raises(MuxError) as caught:
        TRANSLATOR.decode_request(sent, Hints())
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)
