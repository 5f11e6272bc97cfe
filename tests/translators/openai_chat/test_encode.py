"""What a server gets, by its quirks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
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


@pytest.mark.parametrize(
    ("to", "name"),
    [(chat.PLAIN, "max_completion_tokens"), (chat.OPENAI, "max_completion_tokens"), (COMPAT, "max_tokens")],
)
@pytest.mark.covers("PF-58")
def test_the_token_limit_has_the_servers_name(to: Target, name: str) -> None:
    assert chat.encode(chat.request(max_tokens=9), to)[name] == 9


def test_the_token_limit_is_clamped_to_the_models() -> None:
    assert chat.encode(chat.request(max_tokens=9000), Target("m", max_output=100))["max_completion_tokens"] == 100


@pytest.mark.parametrize(("to", "role"), [(chat.OPENAI, "developer"), (COMPAT, "system")])
@pytest.mark.covers("PF-60")
def test_developer_messages_have_a_role_the_server_knows(to: Target, role: str) -> None:
    assert messages(ir.Message("developer", (ir.Text("x"),)), USER, to=to)[0]["role"] == role


def test_system_messages_keep_their_places() -> None:
    late = ir.Message("system", (ir.Text("late"),))
    roles = [m["role"] for m in messages(ir.Message("system", (ir.Text("a"),)), USER, said(ir.Text("b")), late, USER)]
    assert roles == ["system", "user", "assistant", "system", "user"]


def test_a_template_with_one_system_message_gets_one() -> None:
    system = ir.Message("system", (ir.Text("a"), ir.Text("b")))
    late = ir.Message("system", (ir.Text("late"),))
    out = messages(
        system, USER, said(ir.Text("b")), late, USER, to=chat.target(single_system=True, flatten_content=True)
    )
    assert [m["role"] for m in out] == ["system", "user", "assistant", "user"]
    assert out[0]["content"] == "a\n\nb"
    assert "late" in out[3]["content"]


@pytest.mark.covers("FB-127")
def test_claude_codes_attribution_line_stays_behind() -> None:
    line = ir.Text("x-anthropic-billing-header: cc", native=ir.Native("anthropic", Raw(b'{"attribution":true}')))
    out = messages(ir.Message("system", (line, ir.Text("real"))), USER)
    assert out[0]["content"] == "real"


@pytest.mark.covers("FB-129", "PF-28")
def test_empty_texts_and_messages_are_not_sent() -> None:
    out = messages(
        ir.Message("user", (ir.Text(" "), ir.Text("a"))), said(ir.Text("")), ir.Message("user", (ir.Text("b"),))
    )
    assert out == [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]


CALL = ir.ToolCall("call_1", "weather", '{"city":"Rome"}')


@pytest.mark.covers("FB-21", "FB-22")
def test_text_and_calls_of_a_turn_are_one_message() -> None:
    out = messages(USER, said(ir.Text("Let me see."), CALL, ir.ToolCall("call_2", "weather", "")), USER)
    assert out[1] == {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
            {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
        ],
    }


@pytest.mark.parametrize(("null_ok", "content"), [(True, None), (False, "")])
@pytest.mark.covers("PF-59")
def test_calls_without_text_have_the_content_the_server_takes(null_ok: bool, content: str | None) -> None:
    assert messages(USER, said(CALL), to=chat.target(content_null_ok=null_ok))[1]["content"] == content


@pytest.mark.covers("FB-17", "FB-18", "PF-65")
def test_results_follow_their_calls_in_order_before_anything_else() -> None:
    second = ir.ToolCall("call_2", "weather", "{}")
    results = (ir.Text("and now?"), ir.ToolResult("call_2", (ir.Text("b"),)), ir.ToolResult("call_1", (ir.Text("a"),)))
    out = messages(USER, said(CALL, second), ir.Message("user", results))
    assert [(m["role"], m.get("tool_call_id"), m["content"]) for m in out[2:]] == [
        ("tool", "call_1", "a"),
        ("tool", "call_2", "b"),
        ("user", None, "and now?"),
    ]


@pytest.mark.covers("FB-20", "PF-30")
def test_a_call_that_nobody_answered_gets_a_stub() -> None:
    out = messages(USER, said(CALL), USER)
    assert [m["role"] for m in out] == ["user", "assistant", "tool", "user"]


@pytest.mark.covers("FB-19")
def test_of_two_answers_to_a_call_the_last_counts() -> None:
    both = [ir.ToolResult("call_1", (ir.Text(text),)) for text in ("old", "new")]
    assert [m["content"] for m in messages(USER, said(CALL), answered(*both)) if m["role"] == "tool"] == ["new"]


@pytest.mark.parametrize(
    ("result", "content"),
    [
        (ir.ToolResult("call_1", (ir.Text("broken"),), is_error=True), "Error: broken"),
        (ir.ToolResult("call_1", (ir.Text("Error: broken"),), is_error=True), "Error: broken"),
        (ir.ToolResult("call_1", ()), ""),
        (ir.ToolResult("call_1", (ir.Text("a"), ir.Text("b"))), "a\nb"),
    ],
)
def test_a_result_is_text(result: ir.ToolResult, content: str) -> None:
    assert messages(USER, said(CALL), answered(result))[2]["content"] == content


@pytest.mark.covers("FB-32", "PF-64")
def test_images_of_results_follow_after_all_tool_messages() -> None:
    second = ir.ToolCall("call_2", "weather", "{}")
    first = ir.ToolResult("call_1", (ir.Text("see"), PNG))
    out = messages(USER, said(CALL, second), answered(first, ir.ToolResult("call_2", (ir.Text("b"),))))
    assert [m["role"] for m in out[2:]] == ["tool", "tool", "user"]
    assert "follows" in out[2]["content"]
    assert [part["type"] for part in out[4]["content"]] == ["text", "image_url"]
    assert "call_1" in out[4]["content"][0]["text"]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ('{"n": 12345678901234567890, "f": 1e5}', '{"n": 12345678901234567890, "f": 1e5}'),
        ("", "{}"),
        ("{broken", '{"_raw":"{broken"}'),
        ('["a"]', '["a"]'),
        ('"text"', '"text"'),
    ],
)
@pytest.mark.covers("FB-28", "FB-29", "FB-55", "PF-21")
def test_arguments_reach_the_server_whole(arguments: str, sent: str) -> None:
    out = messages(USER, said(ir.ToolCall("call_1", "weather", arguments)))
    assert out[1]["tool_calls"][0]["function"]["arguments"] == sent


@pytest.mark.parametrize(
    "call_id", ["x" * 65, "functions.weather:0", "toolu 1", "a|b", ""], ids=["long", "dots", "space", "bar", "empty"]
)
@pytest.mark.covers("FB-5", "PF-63")
def test_ids_are_made_legal_on_both_sides_alike(call_id: str) -> None:
    call = ir.ToolCall(call_id, "weather", "{}")
    out = messages(USER, said(call), answered(ir.ToolResult(call_id, (ir.Text("ok"),))))
    made = out[1]["tool_calls"][0]["id"]
    assert made == out[2]["tool_call_id"]
    assert len(made) <= 40 and made.replace("_", "").isalnum()


def test_nine_character_ids_for_mistral() -> None:
    out = messages(USER, said(CALL), answered(ir.ToolResult("call_1", ())), to=chat.target(tool_id_limit=9))
    made = out[1]["tool_calls"][0]["id"]
    assert len(made) == 9 and made.isalnum() and made == out[2]["tool_call_id"]


@pytest.mark.parametrize(
    ("stop", "taken", "left"),
    [(("a",), ["a"], ()), (tuple("abcdef"), ["a", "b", "c", "d"], ("e", "f"))],
)
@pytest.mark.covers("FB-97")
def test_stop_strings_are_a_list_and_the_rest_is_ours_to_cut(stop: Any, taken: Any, left: Any) -> None:
    sent = TRANSLATOR.encode_request(chat.request(stop=stop), chat.PLAIN)
    assert json.loads(sent.body)["stop"] == taken
    assert sent.stops == left


def test_reasoning_models_take_no_stop_strings() -> None:
    sent = TRANSLATOR.encode_request(chat.request(stop=("a",)), chat.OPENAI)
    assert "stop" not in json.loads(sent.body) and sent.stops == ("a",)


@pytest.mark.parametrize(
    ("model", "sampling", "effort", "reported"),
    [
        ("gpt-4.1", ir.Sampling(temperature=0.5, top_p=0.9, seed=1), None, ()),
        ("gpt-5.5", ir.Sampling(temperature=0.5, top_p=0.9, seed=1), None, ("temperature", "top_p")),
        ("gpt-5.5", ir.Sampling(temperature=0.5), "none", ()),
        ("gpt-5.5", ir.Sampling(temperature=1), None, ()),
        ("o3-mini", ir.Sampling(frequency_penalty=0.5), None, ("frequency_penalty",)),
        (
            "gpt-4.1",
            ir.Sampling(top_k=5, min_p=0.1, repetition_penalty=1.1),
            None,
            ("top_k", "min_p", "repetition_penalty"),
        ),
    ],
)
@pytest.mark.covers("PF-139")
def test_knobs_that_the_model_lacks_are_reported(
    model: str, sampling: ir.Sampling, effort: str | None, reported: Any
) -> None:
    request = chat.request(sampling=sampling, thinking=ir.Thinking(effort=effort))
    assert dropped(request, Target(model)) == reported


def test_a_server_that_knows_top_k_gets_it() -> None:
    assert chat.encode(chat.request(sampling=ir.Sampling(top_k=5)), COMPAT)["top_k"] == 5


@pytest.mark.parametrize("sampling", [ir.Sampling(n=2), ir.Sampling(logprobs=True)])
def test_what_changes_the_answers_shape_is_refused(sampling: ir.Sampling) -> None:
    with pytest.raises(MuxError) as caught:
        chat.encode(chat.request(sampling=sampling), chat.target(unsupported=frozenset({"n", "logprobs"})))
    assert caught.value.kind is Kind.BAD_REQUEST


def test_n_of_one_needs_no_support() -> None:
    assert "n" not in chat.encode(chat.request(sampling=ir.Sampling(n=1)), chat.target(unsupported=frozenset({"n"})))


SCHEMA = Raw(b'{"type":"object","properties":{"a":{"type":"string"}}}')


@pytest.mark.parametrize(
    ("quirks", "kind", "instructed"),
    [
        (Quirks(), "json_schema", False),
        (Quirks(json_schema=False), "json_object", True),
        (Quirks(json_schema=False, json_object=False), None, True),
    ],
)
@pytest.mark.covers("FB-57")
def test_a_json_schema_is_said_as_the_server_understands_it(quirks: Quirks, kind: str | None, instructed: bool) -> None:
    request = chat.request(output=ir.OutputFormat("schema", schema=SCHEMA))
    to = Target("gpt-4.1", quirks=quirks)
    body = chat.encode(request, to)
    assert body.get("response_format", {}).get("type") == kind
    assert (body["messages"][0]["role"] == "system") is instructed
    assert dropped(request, to) == (("response_format",) if instructed else ())


def test_a_schema_without_a_name_gets_one() -> None:
    sent = chat.encode(chat.request(output=ir.OutputFormat("schema", schema=SCHEMA)))["response_format"]
    assert sent["json_schema"]["name"] == "response"


@pytest.mark.parametrize(("words", "system"), [("Reply in JSON.", False), ("Reply.", True)])
@pytest.mark.covers("PF-74")
def test_json_mode_always_finds_the_word_json(words: str, system: bool) -> None:
    out = messages(ir.Message("user", (ir.Text(words),)), output=ir.OutputFormat("json"))
    assert (out[0]["role"] == "system") is system


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        (PNG, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="}}),
        (ir.Image(ir.Url("https://x/y.png"), detail="high"), {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "high"}}),
        (PDF, {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}),
        (ir.Document(ir.Inline("text/plain", "aGk="), name="n.txt"), {"type": "text", "text": "n.txt\n\nhi"}),
        (ir.Document(ir.FileId("openai_chat", "file-1")), {"type": "file", "file": {"file_id": "file-1"}}),
        (ir.Audio(ir.Inline("audio/wav", "AAAA")), {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
    ],
)  # fmt: skip
def test_a_part_is_sent_as(part: ir.Part, wanted: Any) -> None:
    assert messages(ir.Message("user", (ir.Text("x"), part)))[0]["content"][1] == wanted


@pytest.mark.parametrize(
    ("part", "to"),
    [
        pytest.param(PNG, chat.target(images=False), id="image"),
        pytest.param(ir.Image(ir.Url("https://x")), chat.target(image_urls=False), id="image by URL"),
        pytest.param(ir.Image(ir.FileId("anthropic", "f")), chat.PLAIN, id="image id"),
        pytest.param(PDF, COMPAT, id="file"),
        pytest.param(ir.Document(ir.Url("https://x")), chat.PLAIN, id="file by URL"),
        pytest.param(ir.Document(ir.FileId("anthropic", "f")), chat.PLAIN, id="another vendor's file"),
        pytest.param(ir.Audio(ir.Inline("audio/wav", "AA")), COMPAT, id="audio"),
        pytest.param(ir.Audio(ir.Inline("audio/flac", "AA")), chat.PLAIN, id="flac"),
        pytest.param(ir.Video(ir.Url("https://x")), chat.PLAIN, id="video"),
        pytest.param(ir.Opaque(ir.Native("anthropic", Raw(b"{}")), "container_upload"), chat.PLAIN, id="opaque"),
    ],
)
def test_what_the_server_cannot_take_is_refused_by_name(part: ir.Part, to: Target) -> None:
    with pytest.raises(MuxError) as caught:
        messages(ir.Message("user", (ir.Text("x"), part)), to=to)
    assert caught.value.kind is Kind.BAD_REQUEST and to.title in caught.value.message


def test_old_images_of_the_assistant_become_a_note() -> None:
    assert messages(USER, said(ir.Text("see "), PNG), USER)[1]["content"] == "see [image omitted]"


def test_opaque_parts_go_home_or_show_their_words_or_vanish() -> None:
    own = ir.Opaque(ir.Native("openai_chat", Raw(b'{"type":"hologram"}')), "hologram")
    words = ir.Opaque(ir.Native("anthropic", Raw(b"{}")), "search", text="[searched]")
    hint = ir.Opaque(ir.Native("anthropic", Raw(b"{}")), "compaction", hint=True)
    assert messages(ir.Message("user", (own, words, hint)))[0]["content"] == [
        {"type": "hologram"},
        {"type": "text", "text": "[searched]"},
    ]


@pytest.mark.covers("PF-79")
def test_text_parts_are_one_string_where_lists_get_lost() -> None:
    two = ir.Message("user", (ir.Text("a"), ir.Text("b")))
    assert messages(two, to=chat.target(flatten_content=True))[0]["content"] == "a\n\nb"
    assert len(messages(two)[0]["content"]) == 2


@pytest.mark.parametrize(("refusals", "content"), [(True, [{"type": "refusal", "refusal": "No."}]), (False, "No.")])
def test_a_refusal_of_the_past_is_told(refusals: bool, content: Any) -> None:
    assert messages(USER, said(ir.Refusal("No.")), USER, to=chat.target(refusals=refusals))[1]["content"] == content


MARKED = ir.Message("user", tuple(ir.Text(str(n), cache=ir.Cache("1h")) for n in range(6)))


@pytest.mark.parametrize(
    ("to", "field", "marked"),
    [
        (Target("gpt-5.6-sol"), "prompt_cache_breakpoint", ["3", "4", "5"]),
        (chat.PLAIN, "prompt_cache_breakpoint", []),
        (chat.target(cache_control_parts=True, cache_breakpoints=False), "cache_control", ["2", "3", "4", "5"]),
    ],
)
def test_cache_marks_are_written_where_they_count(to: Target, field: str, marked: list[str]) -> None:
    assert [part["text"] for part in messages(MARKED, to=to)[0]["content"] if field in part] == marked


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"user": "u" * 65}, "user", None),
        ({"user": "u"}, "user", "u"),
        ({"cache_key": "k"}, "prompt_cache_key", "k"),
        ({"verbosity": "low"}, "verbosity", "low"),
    ],
)
def test_identity_is_sent_as(fields: Any, name: str, value: Any) -> None:
    sent = chat.encode(chat.request(**fields))[name]
    assert sent == value or (value is None and len(sent) <= 64)


def test_a_conversation_of_another_format_has_one_cache_key() -> None:
    first = chat.encode(chat.request(user="session-1", tools=(TOOL,)))["prompt_cache_key"]
    later = chat.encode(chat.request(USER, said(ir.Text("a")), USER, user="session-1", tools=(TOOL,)))[
        "prompt_cache_key"
    ]
    assert first == later
    assert "prompt_cache_key" not in chat.encode(chat.request())
    marked = ir.Message("system", (ir.Text("rules", cache=ir.Cache()),))
    assert len({chat.encode(chat.request(marked, turn))["prompt_cache_key"] for turn in (USER, MARKED)}) == 1


@pytest.mark.parametrize(
    ("tier", "official", "compatible"),
    [
        ("auto", ((), "auto"), ((), None)),
        ("default", ((), "default"), (("service_tier",), None)),
        ("flex", ((), "flex"), (("service_tier",), None)),
        ("priority", ((), "priority"), (("service_tier",), None)),
        ("fast", (("service_tier",), None), (("service_tier",), None)),
    ],
)
def test_tiers_of_other_formats_are_said_where_they_exist(tier: str, official: Any, compatible: Any) -> None:
    request = chat.request(service_tier=tier)
    found = [(dropped(request, to), chat.encode(request, to).get("service_tier")) for to in (chat.PLAIN, COMPAT)]
    assert found == [official, compatible]


@pytest.mark.parametrize(("pairs", "taken"), [(b'{"team":"blue"}', True), (b'{"team":{"a":1}}', False)])
def test_metadata_of_other_formats_is_sent_where_it_is_pairs_of_strings(pairs: bytes, taken: bool) -> None:
    request = chat.request(metadata=Raw(pairs))
    assert ("metadata" in chat.encode(request), dropped(request)) == (taken, () if taken else ("metadata",))


@pytest.mark.covers("PF-61")
def test_parameters_that_only_openai_knows_are_removed_and_reported() -> None:
    request = chat.decode(store=True, metadata={"a": "b"}, service_tier="flex", verbosity="low", prompt_cache_key="k")
    body = chat.encode(request, COMPAT)
    assert set(body) == {"model", "messages"}
    assert set(dropped(request, COMPAT)) == {"store", "metadata", "service_tier", "verbosity", "prompt_cache_key"}


def test_fields_only_the_clients_format_knows_are_reported() -> None:
    assert dropped(chat.request(extras={"context_management": Raw(b"{}"), "__note": Raw(b"1")})) == (
        "context_management",
    )


def test_unknown_fields_of_a_chat_client_go_through() -> None:
    assert chat.crossed(provider={"only": ["x"]})["provider"] == {"only": ["x"]}


@pytest.mark.covers("FB-86")
def test_a_stream_is_always_asked_for_its_usage() -> None:
    body = chat.crossed(stream=True, stream_options={"include_usage": False, "include_obfuscation": False})
    assert body["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert "stream_options" not in chat.crossed(chat.target(stream_usage=False), stream=True)
    assert "stream" not in chat.crossed()


@pytest.mark.covers("PF-21")
def test_numbers_that_json_lacks_are_never_written() -> None:
    body = TRANSLATOR.encode_request(chat.request(sampling=ir.Sampling(temperature=float("nan"))), chat.PLAIN).body
    assert b"NaN" not in body


def test_a_lone_surrogate_is_replaced() -> None:
    body = TRANSLATOR.encode_request(chat.request(ir.Message("user", (ir.Text("cut \ud83d"),))), chat.PLAIN).body
    assert json.loads(body)["messages"][0]["content"] == "cut �"


def test_names_of_speakers_go_where_they_are_taken() -> None:
    named = ir.Message("user", (ir.Text("x"),), name="ada")
    assert messages(named)[0]["name"] == "ada"
    assert "name" not in messages(named, to=chat.target(unsupported=frozenset({"name"})))[0]


@pytest.mark.covers("PF-31", "RC-6")
def test_an_id_used_in_two_turns_is_made_unique() -> None:
    turn = (said(CALL), answered(ir.ToolResult("call_1", (ir.Text("ok"),))))
    out = messages(USER, *turn, *turn)
    ids = [m["tool_calls"][0]["id"] for m in out if m["role"] == "assistant"]
    assert len(set(ids)) == 2
    assert [m["tool_call_id"] for m in out if m["role"] == "tool"] == ids


def test_an_assistant_turn_with_nothing_to_say_is_left_out() -> None:
    assert [m["role"] for m in messages(USER, said(ir.Reasoning("hm")), USER)] == ["user", "user"]


def test_files_and_foreign_blocks_of_the_assistant_become_words() -> None:
    searched = ir.Opaque(ir.Native("anthropic", Raw(b"{}")), "search", text="[searched]")
    assert messages(USER, said(ir.Text("a "), PDF, searched), USER)[1]["content"] == "a [file omitted][searched]"


def test_own_blocks_of_the_assistant_go_back() -> None:
    block = ir.Opaque(ir.Native("openai_chat", Raw(b'{"type":"thinking"}')), "thinking", hint=True)
    assert messages(USER, said(block, ir.Text("a")), USER)[1]["content"] == [
        {"type": "thinking"},
        {"type": "text", "text": "a"},
    ]


def test_a_foreign_block_in_a_result_shows_its_words_or_is_refused() -> None:
    def block(text: str) -> ir.ToolResult:
        return ir.ToolResult("call_1", (ir.Opaque(ir.Native("anthropic", Raw(b"{}")), "search", text=text),))

    assert messages(USER, said(CALL), answered(block("[found]")))[2]["content"] == "[found]"
    with pytest.raises(MuxError, match="search"):
        messages(USER, said(CALL), answered(block("")))


def test_one_marked_text_is_a_part() -> None:
    marked = ir.Message("user", (ir.Text("a", cache=ir.Cache("12h")),))
    breakpoint = {"mode": "explicit", "ttl": "12h"}
    wanted = [{"type": "text", "text": "a", "prompt_cache_breakpoint": breakpoint}]
    assert messages(marked, to=Target("gpt-5.6-sol"))[0]["content"] == wanted


def test_video_goes_where_it_is_taken() -> None:
    out = messages(ir.Message("user", (ir.Video(ir.Url("https://x")),)), to=chat.target(video=True))
    assert out[0]["content"] == [{"type": "video_url", "video_url": {"url": "https://x"}}]


def test_a_text_document_that_is_no_base64_is_a_bad_request() -> None:
    with pytest.raises(MuxError, match="base64"):
        messages(ir.Message("user", (ir.Document(ir.Inline("text/plain", "a")),)))


def test_the_rest_of_the_format_goes_out() -> None:
    output = ir.OutputFormat("schema", "a name", SCHEMA, True, "d")
    fields: Any = {"protocol": "openai_chat", "output": output, "modalities": ("text", "audio")}
    body = chat.encode(chat.request(sampling=ir.Sampling(top_logprobs=2), **fields))
    assert body["response_format"]["json_schema"] == {
        "name": "a_name",
        "schema": json.loads(bytes(SCHEMA)),
        "description": "d",
        "strict": True,
    }
    assert body["modalities"] == ["text", "audio"] and body["logprobs"] is True
