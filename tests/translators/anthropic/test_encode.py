"""Conversations of any client as the Messages API wants them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import msgspec
import pytest

from llm_mux import ir
from llm_mux.translators.anthropic.quirks import Quirks
from llm_mux.translators.anthropic.translator import TRANSLATOR
from tests.translators.anthropic import kit

PNG = ir.Inline("image/png", kit.PNG)
PDF = ir.Inline("application/pdf", base64.b64encode(b"%PDF-1.4").decode())
CALL = ir.ToolCall("toolu_1", "look", "{}")


def turns(*messages: ir.Message | str, model: str = kit.MODEL, quirks: Quirks | None = None) -> list[dict[str, object]]:
    return kit.sent(kit.asked(*messages), model, quirks)["messages"]


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


@pytest.mark.covers("FB-122", "FB-126", "FB-3B")
def test_all_leading_system_and_developer_messages_become_blocks_of_the_system_slot() -> None:
    developer = ir.Message("developer", (ir.Text("two"), ir.Text("three")))
    body = kit.sent(kit.asked(kit.system("one"), developer, "hi"))
    assert body["system"] == [text("one"), text("two"), text("three")]
    assert body["messages"] == [{"role": "user", "content": [text("hi")]}]


@pytest.mark.covers("PF-41", "PF-42")
def test_a_late_system_message_keeps_its_place_where_the_model_takes_one() -> None:
    late = kit.system("Now in French.")
    assert [turn["role"] for turn in turns("hi", late)] == ["user", "system"]
    assert [turn["role"] for turn in turns("hi", late, kit.answered("oui"), "go")][1] == "system"


@pytest.mark.parametrize(
    ("model", "quirks"),
    [
        ("claude-haiku-4-5", None),
        ("claude-sonnet-4-5", None),
        ("claude-sonnet-4-6", None),
        ("claude-opus-4-6", None),
        ("claude-opus-5", Quirks(system_in_messages=False)),
    ],
)
@pytest.mark.covers("FB-128")
def test_elsewhere_it_becomes_tagged_text_after_the_results_of_its_turn(model: str, quirks: Quirks | None) -> None:
    result = kit.said(ir.ToolResult("toolu_1", (ir.Text("seen"),)))
    (*_, last) = turns("hi", kit.answered(CALL), result, kit.system("Hurry."), model=model, quirks=quirks)
    content = last["content"]
    assert isinstance(content, list)
    assert [block["type"] for block in content] == ["tool_result", "text"]
    assert content[1]["text"] == "<system>\nHurry.\n</system>"


def test_a_system_message_between_two_user_turns_cannot_stay_one() -> None:
    assert [turn["role"] for turn in turns("hi", kit.system("x"), "there")] == ["user"]


@pytest.mark.covers("FB-123")
@pytest.mark.parametrize("messages", [(), (kit.system("Be brief."),), (kit.answered("first"), "second")])
def test_the_first_turn_is_always_a_users_and_never_empty(messages: tuple[ir.Message | str, ...]) -> None:
    first = turns(*messages)[0]
    assert first == {"role": "user", "content": [text("Continue.")]}


@pytest.mark.covers("FB-129", "PF-28")
def test_empty_text_goes_and_a_turn_without_anything_too() -> None:
    found = turns(kit.said("hi", " \n"), kit.answered(""), kit.said("  "), "there")
    assert found == [{"role": "user", "content": [text("hi"), text("there")]}]


@pytest.mark.covers("FB-17", "FB-18", "PF-29", "PF-30")
def test_results_lead_the_one_user_turn_behind_their_calls() -> None:
    second = ir.ToolCall("toolu_2", "look", "{}")
    found = turns(
        "hi",
        kit.answered(CALL, second),
        kit.said("a reminder"),
        kit.said(ir.ToolResult("toolu_2", (ir.Text("two"),))),
        kit.said(ir.ToolResult("toolu_1", (ir.Text("one"),))),
    )
    assert [turn["role"] for turn in found] == ["user", "assistant", "user"]
    content = found[2]["content"]
    assert isinstance(content, list)
    assert [block.get("content") for block in content] == ["one", "two", None]
    assert content[2] == text("a reminder")


@pytest.mark.covers("FB-19", "FB-20", "FB-3B")
def test_a_call_has_one_result_the_last_and_a_missing_one_is_made() -> None:
    twice = kit.said(ir.ToolResult("toolu_1", (ir.Text("one"),)), ir.ToolResult("toolu_1", (ir.Text("two"),)))
    (*_, last) = turns("hi", kit.answered(CALL), twice)
    assert last["content"] == [kit.result("toolu_1", "two")]
    (*_, last) = turns("hi", kit.answered(CALL), "stop")
    content = last["content"]
    assert isinstance(content, list)
    assert (content[0]["tool_use_id"], content[0]["is_error"], content[1]) == ("toolu_1", True, text("stop"))


@pytest.mark.covers("FB-20")
def test_an_orphan_result_becomes_text() -> None:
    (only,) = turns(kit.said(ir.ToolResult("gone", (ir.Text("seen"),))))
    assert json.dumps(only["content"]).count("tool_result") == 0
    assert "seen" in json.dumps(only["content"])


@pytest.mark.covers("PF-31", "RC-6")
def test_an_id_used_twice_is_made_two() -> None:
    answer = kit.said(ir.ToolResult("toolu_1", (ir.Text("seen"),)))
    found = turns("hi", kit.answered(CALL), answer, kit.answered(CALL), answer)
    ids = [block["id"] for turn in found for block in turn["content"] if block["type"] == "tool_use"]
    answers = [b["tool_use_id"] for turn in found for b in turn["content"] if b["type"] == "tool_result"]
    assert len(set(ids)) == 2
    assert answers == ids


@pytest.mark.parametrize("call_id", ["functions.look:0", "a b", "x" * 80, "", "a|b/c"])
@pytest.mark.covers("FB-4", "PF-32", "PF-140")
def test_ids_of_other_vendors_are_made_legal_the_same_way_in_call_and_result(call_id: str) -> None:
    call = msgspec.structs.replace(CALL, id=call_id)
    found = turns("hi", kit.answered(call), kit.said(ir.ToolResult(call_id, (ir.Text("seen"),))))
    made = found[1]["content"][0]["id"]
    assert found[2]["content"][0]["tool_use_id"] == made
    assert made.replace("_", "").replace("-", "").isalnum()
    assert len(made) <= 64


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("", {}), ("{}", {}), ('{"a":1}', {"a": 1}), ("[1]", {"_raw": [1]}), ('{"a":', {"_raw": '{"a":'}), ("null", {})],
)
@pytest.mark.covers("FB-28", "PF-33")
def test_arguments_are_always_an_object(arguments: str, expected: object) -> None:
    found = turns("hi", kit.answered(ir.ToolCall("toolu_1", "look", arguments)))
    assert found[1]["content"][0]["input"] == expected


@pytest.mark.covers("FB-55", "PF-21")
def test_number_text_in_arguments_survives() -> None:
    request = kit.asked("hi", kit.answered(ir.ToolCall("toolu_1", "look", '{"n":12345678901234567890,"e":1e5}')))
    assert b'"input":{"n":12345678901234567890,"e":1e5}' in kit.encoded(request).body


@dataclass(frozen=True)
class Result:
    """The parts of a result and what is sent of them."""

    parts: tuple[ir.Part, ...]
    sent: object
    is_error: bool | None = None


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": kit.PNG}}


@pytest.mark.parametrize(
    "case",
    [
        Result((ir.Text("seen"),), "seen"),
        Result((), None),
        Result((), "Error", is_error=True),
        Result((ir.Text("a"), ir.Text("b")), [text("a"), text("b")]),
        Result((ir.Text("a"), ir.Image(PNG)), [text("a"), IMAGE]),
    ],
)
@pytest.mark.covers("FB-31", "FB-32")
def test_a_result_holds_text_and_images(case: Result) -> None:
    result = ir.ToolResult("toolu_1", case.parts, is_error=case.is_error)
    block = turns("hi", kit.answered(CALL), kit.said(result))[2]["content"][0]
    assert block.get("content") == case.sent
    assert block.get("is_error") == case.is_error


@pytest.mark.covers("PF-28")
def test_the_real_type_of_an_image_wins_over_what_was_said() -> None:
    (only,) = turns(kit.said(ir.Image(ir.Inline("image/jpeg", kit.PNG))))
    assert only["content"] == [IMAGE]


@dataclass(frozen=True)
class Medium:
    """A medium in a user's turn and its block, None: refused."""

    part: ir.Part
    block: dict[str, object] | None
    quirks: Quirks | None = None


def document(source: dict[str, object], **more: object) -> dict[str, object]:
    return {"type": "document", "source": source, **more}


MEDIA = [
    Medium(ir.Image(ir.Url("https://a/b.png")), {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}),
    Medium(ir.Image(ir.FileId("anthropic", "f1")), {"type": "image", "source": {"type": "file", "file_id": "f1"}}),
    Medium(ir.Image(ir.FileId("openai_chat", "f1")), None),
    Medium(ir.Image(ir.Url("gs://a/b.png")), None),
    Medium(ir.Image(ir.Inline("image/tiff", base64.b64encode(b"II*\0abcdefgh").decode())), None),
    Medium(ir.Image(PNG), None, Quirks(images=False)),
    Medium(ir.Image(ir.Url("https://a/b.png")), None, Quirks(urls=False)),
    Medium(
        ir.Document(PDF, name="a.pdf"),
        document({"type": "base64", "media_type": "application/pdf", "data": PDF.data}, title="a.pdf"),
    ),
    Medium(ir.Document(PDF), None, Quirks(documents=False)),
    Medium(
        ir.Document(ir.Inline("text/csv", "YSxi")),
        document({"type": "text", "media_type": "text/plain", "data": "a,b"}),
    ),
    Medium(
        ir.Document(ir.Inline("application/json", "e30=")),
        document({"type": "text", "media_type": "text/plain", "data": "{}"}),
    ),
    Medium(ir.Document(ir.Url("https://a/b.pdf")), document({"type": "url", "url": "https://a/b.pdf"})),
    Medium(ir.Document(PNG), IMAGE),
    Medium(ir.Document(ir.Inline("application/zip", base64.b64encode(b"PK\3\4zip").decode())), None),
    Medium(ir.Audio(ir.Inline("audio/wav", "UklGRg==")), None),
    Medium(ir.Video(ir.Url("https://a/b.mp4")), None),
]


@pytest.mark.parametrize("case", MEDIA)
def test_a_medium_has_its_block_or_is_refused(case: Medium) -> None:
    request = kit.asked(kit.said(case.part))
    if case.block is None:
        assert kit.refusal(request, quirks=case.quirks).http_status == 400
    else:
        assert kit.sent(request, quirks=case.quirks)["messages"][0]["content"] == [case.block]


def test_a_medium_in_the_assistants_history_becomes_a_placeholder() -> None:
    assert turns("hi", kit.answered(ir.Image(PNG)), "go")[1]["content"] == [text("[image omitted]")]


@pytest.mark.parametrize("owner", ["openai_responses", "gemini"])
@pytest.mark.covers("FB-58", "PF-140")
def test_reasoning_of_other_vendors_is_left_out_whole(owner: str) -> None:
    thought = ir.Reasoning("secret thoughts", kit.native("c2VhbA==", owner))
    assert turns("hi", kit.answered(thought, "answer"), "go")[1]["content"] == [text("answer")]


@pytest.mark.parametrize("family", ["deepseek", "gpt"])
def test_a_seal_of_another_model_family_in_this_format_is_left_out_too(family: str) -> None:
    thought = ir.Reasoning("hm", kit.native("c2VhbA==", family=family))
    assert turns("hi", kit.answered(thought, "answer"), "go")[1]["content"] == [text("answer")]


@pytest.mark.covers("FB-59")
def test_a_thought_without_a_seal_is_left_out_and_never_becomes_text() -> None:
    assert turns("hi", kit.answered(ir.Reasoning("hm"), "answer"), "go")[1]["content"] == [text("answer")]


@pytest.mark.covers("PF-35", "FB-66")
def test_own_thinking_goes_back_unchanged_also_when_its_text_is_empty() -> None:
    thoughts = [
        {"type": "thinking", "thinking": " kept \n", "signature": "c2ln"},
        {"type": "thinking", "thinking": "", "signature": "c2lnMg=="},
    ]
    request = kit.decoded("hi", kit.assistant(*thoughts, kit.use("toolu_1")), kit.user(kit.result("toolu_1")))
    assert kit.sent(request, "claude-opus-5")["messages"][1]["content"][:2] == thoughts


@pytest.mark.parametrize("hint", [True, False])
def test_blocks_of_other_vendors_are_left_out_shown_as_text_or_refused(hint: bool) -> None:
    data = kit.native({"type": "file_search_call"}, "openai_responses")
    hinted = ir.Opaque(data, "file_search_call", text="[searched]", hint=hint)
    found = turns("hi", kit.answered(hinted, "answer"), "go")[1]["content"]
    assert found == ([text("answer")] if hint else [text("[searched]"), text("answer")])
    silent = ir.Opaque(data, "computer_call")
    assert "computer_call" in kit.refusal(kit.asked(kit.said(silent))).message


def test_own_blocks_go_back_to_claude_and_not_to_others() -> None:
    block = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    request = kit.decoded("hi", kit.assistant(block, "found"), "go")
    assert kit.sent(request)["messages"][1]["content"] == [block, text("found")]
    assert kit.sent(request, "deepseek-chat", kit.COMPATIBLE)["messages"][1]["content"] == [text("found")]


@pytest.mark.covers("FB-127")
def test_the_attribution_line_goes_to_claude_alone() -> None:
    line = "x-anthropic-billing-header: cc_version=1"
    request = kit.decoded("hi", system=[text(line), text("Be brief.")])
    assert kit.sent(request)["system"] == [text(line), text("Be brief.")]
    assert kit.sent(request, "deepseek-chat", kit.COMPATIBLE)["system"] == [text("Be brief.")]


@pytest.mark.covers("PF-43")
def test_a_last_word_of_the_assistant_is_continued_where_the_model_does_that() -> None:
    *_, last = turns("hi", kit.answered("The answer is  \n"), model=kit.OLD)
    assert last == {"role": "assistant", "content": [text("The answer is")]}


@pytest.mark.covers("PF-43")
def test_and_elsewhere_a_user_turn_asks_to_go_on_which_is_reported() -> None:
    encoded = kit.encoded(kit.asked("hi", kit.answered("The answer is")))
    assert json.loads(encoded.body)["messages"][-1] == {"role": "user", "content": [text("Continue.")]}
    assert encoded.dropped == ("prefill",)


def test_a_client_of_this_format_gets_the_apis_own_answer_to_a_prefill() -> None:
    assert kit.sent(kit.decoded("hi", kit.assistant("So")))["messages"][-1]["role"] == "assistant"


@pytest.mark.covers("PF-47")
def test_a_paused_turn_is_sent_again_without_a_user_turn() -> None:
    block = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    assert kit.sent(kit.decoded("hi", kit.assistant(block)))["messages"][-1] == kit.assistant(block)


def marked(words: str, ttl: str | None = None) -> ir.Text:
    return ir.Text(words, cache=ir.Cache(ttl))


def ttls(body: dict[str, object]) -> list[str | None]:
    """The lifetimes of all marks in the order of the render."""
    found: list[str | None] = []

    def walk(value: object) -> None:
        if isinstance(value, dict):
            for inner in value.values():
                walk(inner)
            if "cache_control" in value and "messages" not in value:
                found.append(value["cache_control"].get("ttl"))
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    for key in ("tools", "system", "messages"):
        walk(body.get(key))
    return found


@pytest.mark.covers("FB-139", "PF-44")
def test_at_most_four_marks_are_sent_the_last_ones() -> None:
    tools = (kit.tool(cache=ir.Cache()),)
    result = ir.ToolResult("toolu_1", (marked("a"),), cache=ir.Cache("5m"))
    messages = (kit.said(marked("hi", "5m")), kit.answered(CALL), kit.said(result, marked("go")))
    body = kit.sent(kit.asked(ir.Message("system", (marked("s"),)), *messages, tools=tools))
    assert ttls(body) == ["5m", None, "5m", None]
    assert "cache_control" not in body["tools"][0]


@pytest.mark.covers("FB-139", "PF-44")
def test_no_mark_of_an_hour_comes_after_one_of_five_minutes() -> None:
    system = ir.Message("system", (marked("a", "1h"), marked("b", "24h"), marked("c")))
    assert ttls(kit.sent(kit.asked(system, kit.said(marked("hi", "1h"))))) == ["1h", "1h", None, None]


@pytest.mark.covers("FB-139")
def test_marks_on_blocks_kept_as_they_came_count_too() -> None:
    cache = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    search = {"type": "web_search_20250305", "name": "web_search", **cache}
    deferred = {**kit.TOOL, "defer_loading": True, **cache}
    blocks = [{"type": "text", "text": str(n), "cache_control": {"type": "ephemeral"}, "x": 1} for n in range(4)]
    body = kit.sent(kit.decoded(kit.user(*blocks), tools=[search, deferred], cache_control={"type": "ephemeral"}))
    assert ttls(body) == [None, None, None]
    assert body["cache_control"] == {"type": "ephemeral"}
    assert all("cache_control" not in tool for tool in body["tools"])


def test_a_host_without_marks_gets_none() -> None:
    request = kit.asked(kit.said(marked("hi")), cache=ir.Cache())
    assert "cache_control" not in json.dumps(kit.sent(request, quirks=Quirks(max_cache_marks=0)))


@dataclass(frozen=True)
class Knobs:
    """Sampling for one model: what is sent and what is reported as dropped."""

    model: str
    asked: ir.Sampling
    sent: dict[str, float]
    dropped: tuple[str, ...] = ()


SAMPLING = [
    Knobs(kit.OLD, ir.Sampling(temperature=0.3), {"temperature": 0.3}),
    Knobs(kit.OLD, ir.Sampling(temperature=1.7), {"temperature": 1.0}),
    Knobs(kit.OLD, ir.Sampling(temperature=0.3, top_p=0.9), {"temperature": 0.3}, ("top_p",)),
    Knobs(kit.OLD, ir.Sampling(top_p=0.9, top_k=40), {"top_p": 0.9, "top_k": 40}),
    Knobs(kit.MODEL, ir.Sampling(temperature=0.3, top_p=0.9, top_k=4), {}, ("temperature", "top_p", "top_k")),
    Knobs(kit.MODEL, ir.Sampling(temperature=1, top_p=1), {}),
    Knobs(
        kit.OLD,
        ir.Sampling(seed=1, presence_penalty=0.1, frequency_penalty=0.1, min_p=0.1, repetition_penalty=1.1),
        {},
        ("min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "seed"),
    ),
    Knobs("deepseek-chat", ir.Sampling(temperature=1.5, top_p=0.9), {"temperature": 1.5, "top_p": 0.9}),
]


@pytest.mark.parametrize("case", SAMPLING)
@pytest.mark.covers("FB-73", "PF-27", "PF-39")
def test_sampling_is_sent_as_far_as_the_model_takes_it(case: Knobs) -> None:
    encoded = kit.encoded(kit.asked("hi", sampling=case.asked), case.model)
    body = json.loads(encoded.body)
    assert {key: body[key] for key in ("temperature", "top_p", "top_k") if key in body} == case.sent
    assert encoded.dropped == case.dropped


@pytest.mark.parametrize("thinking", [ir.Thinking(effort="high"), ir.Thinking(budget=2000)])
@pytest.mark.covers("FB-73", "PF-38")
def test_sampling_goes_where_the_model_thinks(thinking: ir.Thinking) -> None:
    sampling = ir.Sampling(temperature=0.3, top_p=0.5, top_k=3)
    encoded = kit.encoded(kit.asked("hi", sampling=sampling, thinking=thinking), kit.OLD)
    assert encoded.dropped == ("temperature", "top_p", "top_k")
    assert "temperature" not in json.loads(encoded.body)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"sampling": ir.Sampling(n=2)}, "n"),
        ({"sampling": ir.Sampling(logprobs=True)}, "logprobs"),
        ({"modalities": ("text", "audio")}, "modalities"),
    ],
)
def test_what_would_change_the_shape_of_the_answer_is_refused(changes: dict[str, object], param: str) -> None:
    assert kit.refusal(kit.asked("hi", **changes)).param == param


@dataclass(frozen=True)
class Limit:
    """`max_tokens` for a model: what was asked, what the list says, what is sent."""

    model: str
    asked: int | None
    listed: int | None
    sent: int


@pytest.mark.parametrize(
    "case",
    [
        Limit("claude-opus-5", None, None, 128000),
        Limit("claude-3-5-haiku-20241022", None, None, 8192),
        Limit("claude-opus-5", None, 50000, 50000),
        Limit("claude-opus-5", 99999, 50000, 50000),
        Limit("claude-3-haiku-20240307", 32000, None, 4096),
        Limit("claude-opus-5", 0, None, 0),
        Limit("deepseek-chat", None, None, 8192),
        Limit("deepseek-chat", 60000, None, 60000),
    ],
)
@pytest.mark.covers("FB-135", "PF-25", "FB-3B")
def test_max_tokens_is_always_there_and_within_the_models_limit(case: Limit) -> None:
    body = kit.sent(kit.asked("hi", max_tokens=case.asked), case.model, max_output=case.listed)
    assert body["max_tokens"] == case.sent


@pytest.mark.covers("FB-97")
def test_stop_strings_are_a_list_without_blank_ones_which_the_daemon_cuts_at() -> None:
    encoded = kit.encoded(kit.asked("hi", stop=("END", "\n", "", " ")))
    assert json.loads(encoded.body)["stop_sequences"] == ["END"]
    assert (encoded.stops, encoded.dropped) == (("\n", " "), ())


@pytest.mark.parametrize(
    ("tier", "sent", "dropped"),
    [("auto", "auto", ()), ("default", "standard_only", ()), ("flex", None, ("service_tier",))],
)
def test_the_service_tier_is_mapped_or_dropped(tier: str, sent: str | None, dropped: tuple[str, ...]) -> None:
    encoded = kit.encoded(kit.asked("hi", service_tier=tier))
    assert json.loads(encoded.body).get("service_tier") == sent
    assert encoded.dropped == dropped


@pytest.mark.covers("FB-3B")
def test_metadata_is_the_user_and_nothing_else() -> None:
    metadata = msgspec.Raw(b'{"team":"a","x":"y"}')
    encoded = kit.encoded(kit.asked("hi", user="user-1", metadata=metadata, verbosity="low"))
    assert json.loads(encoded.body)["metadata"] == {"user_id": "user-1"}
    assert encoded.dropped == ("verbosity", "metadata")


def test_fields_of_other_formats_never_go_out() -> None:
    request = kit.asked("hi", extras={"prediction": msgspec.Raw(b"{}"), "__store": msgspec.Raw(b"true")})
    assert set(kit.sent(request)) == {"model", "max_tokens", "messages"}
    assert kit.encoded(request).dropped == ("prediction",)


def test_the_names_of_speakers_are_reported() -> None:
    assert kit.encoded(kit.asked(ir.Message("user", (ir.Text("hi"),), name="ada"))).dropped == ("messages.name",)


@pytest.mark.parametrize(("detail", "dropped"), [(None, ()), ("auto", ()), ("low", ("image.detail",))])
def test_the_detail_of_an_image_is_reported(detail: str | None, dropped: tuple[str, ...]) -> None:
    image = ir.Image(ir.Url("https://example.com/a.png"), detail=detail)
    assert kit.encoded(kit.asked(ir.Message("user", (image,)))).dropped == dropped


def test_a_compatible_host_gets_no_key_that_it_does_not_know() -> None:
    request = kit.decoded("hi", context_management={"edits": []}, metadata={"user_id": "u"}, stream=True)
    encoded = kit.encoded(request, "deepseek-chat", kit.COMPATIBLE)
    assert set(json.loads(encoded.body)) == {"model", "max_tokens", "messages", "stream"}
    assert encoded.dropped == ("context_management", "user")


def test_clearing_old_thoughts_is_not_asked_for_where_there_is_no_thinking() -> None:
    edits = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    encoded = kit.encoded(kit.decoded("hi", context_management=edits), kit.OLD)
    assert encoded.dropped == ("context_management",)


@pytest.mark.covers("FB-140")
def test_a_count_holds_no_field_of_generation() -> None:
    counter = TRANSLATOR.counter
    assert counter is not None
    request = kit.decoded("hi", tools=[kit.TOOL], system="s", stream=True, thinking={"type": "adaptive"}, temperature=1)
    body = json.loads(counter.encode_request(request, kit.target()).body)
    assert set(body) == {"model", "messages", "tools", "system", "thinking"}
    assert counter.decode_response(b'{"input_tokens":42}') == 42
    assert json.loads(counter.encode_response(42, request)) == {"input_tokens": 42}
