"""A client's request read, and requests of every client written for an Ollama server."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators.base import Hints, Target
from llm_mux.translators.ollama.quirks import Quirks
from llm_mux.translators.ollama.translator import TRANSLATOR
from llm_mux.wire import jsonx
from tests.translators.ollama.samples import CHAT, GENERATE, PNG, TARGET, TOOL, chat, decoded, encoded, request, user

SAME = Target("m")


@pytest.mark.covers("PF-13", "FB-3B")
@pytest.mark.parametrize(
    ("said", "hint", "streams"), [(None, None, True), (False, None, False), (True, None, True), (True, False, False)]
)
def test_streaming_is_the_default_and_the_route_wins(said: bool | None, hint: bool | None, streams: bool) -> None:
    body = chat(user()) if said is None else chat(user(), stream=said)
    assert decoded(body, Hints(operation="chat", stream=hint)).stream is streams


@dataclass(frozen=True)
class Option:
    given: dict[str, Any]
    expected: dict[str, Any]
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    rest: dict[str, Any] = field(default_factory=dict)


@pytest.mark.covers("FB-3B", "PF-118")
@pytest.mark.parametrize(
    "case",
    [
        Option({"num_predict": 40, "temperature": 0}, {"temperature": 0}, max_tokens=40),
        Option({"num_predict": -1, "seed": -1}, {}),
        Option({"num_predict": -2, "stop": "END"}, {}, stop=("END",)),
        Option({"stop": ["a", "", "b"], "seed": 5}, {"seed": 5}, stop=("a", "b")),
        Option({"top_k": 40, "top_p": 0.9, "min_p": 0.05}, {"top_k": 40, "top_p": 0.9, "min_p": 0.05}),
        Option({"repeat_penalty": 1.1, "presence_penalty": 1}, {"repetition_penalty": 1.1, "presence_penalty": 1}),
        Option({"top_k": 0, "num_ctx": 8192, "mirostat": 1}, {}, rest={"top_k": 0, "num_ctx": 8192, "mirostat": 1}),
        Option({"temperature": None}, {}),
        Option({"num_predict": 12.0, "top_k": "7"}, {"top_k": 7}, max_tokens=12),
    ],
)
def test_options_are_read(case: Option) -> None:
    asked = decoded(chat(user(), options=case.given))
    assert asked.sampling == ir.Sampling(**case.expected)
    assert (asked.max_tokens, asked.stop) == (case.max_tokens, case.stop)
    assert json.loads(bytes(asked.extras.get("options", Raw(b"{}")))) == case.rest


@pytest.mark.parametrize(
    ("think", "expected"),
    [
        (True, ir.Thinking(adaptive=True, show=True)),
        (False, ir.Thinking(effort="none", show=False)),
        ("low", ir.Thinking(effort="low", show=True)),
        ("max", ir.Thinking(effort="max", show=True)),
        (None, ir.Thinking()),
    ],
)
def test_think_is_read(think: object, expected: ir.Thinking) -> None:
    assert decoded(chat(user(), think=think)).thinking == expected


@pytest.mark.covers("FB-3B")
def test_a_format_is_json_or_a_schema_with_its_own_bytes() -> None:
    assert decoded(chat(user(), format="json")).output == ir.OutputFormat("json")
    assert decoded(chat(user(), format="")).output == ir.OutputFormat()
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"format":{"type": "object",  "b":1,"a":1e2}}'
    assert decoded(body).output.schema == Raw(b'{"type": "object",  "b":1,"a":1e2}')


@pytest.mark.covers("FB-3B", "PF-121b", "PF-115", "FB-2")
def test_calls_without_type_and_id_are_kept_and_results_find_them_by_name_then_order() -> None:
    calls: list[dict[str, Any]] = [
        {"function": {"name": name, "arguments": given}}
        for name, given in (("a", {"n": 1}), ("b", {}), ("a", '{"n":2}'), ("b", None))
    ]
    results: list[dict[str, Any]] = [
        {"role": "tool", "tool_name": "b", "content": "b1"},
        {"role": "tool", "tool_name": "a", "content": "a1"},
        {"role": "tool", "content": "a2"},
        {"role": "tool", "name": "zzz", "content": "b2"},
    ]
    asked = decoded(chat(user(), {"role": "assistant", "tool_calls": calls}, *results))
    made = [part for part in asked.messages[1].parts if isinstance(part, ir.ToolCall)]
    assert [(call.name, call.arguments) for call in made] == [
        ("a", '{"n":1}'),
        ("b", "{}"),
        ("a", '{"n":2}'),
        ("b", ""),
    ]
    assert len({call.id for call in made}) == 4
    found = {p.call_id: ir.joined(p.content) for m in asked.messages for p in m.parts if isinstance(p, ir.ToolResult)}
    assert [found[call.id] for call in made] == ["a1", "b1", "a2", "b2"]


@pytest.mark.covers("RC-6", "FB-1", "PF-132")
def test_the_same_call_in_two_turns_has_two_ids_that_stay() -> None:
    turn: list[dict[str, Any]] = [
        {"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": {}}}]},
        {"role": "tool", "tool_name": "a", "content": "r"},
    ]
    once, twice = decoded(chat(user(), *turn)), decoded(chat(user(), *turn, *turn))
    assert once.messages[1] == twice.messages[1]
    assert twice.messages[1].parts[0] != twice.messages[3].parts[0]


def test_ids_that_a_client_keeps_are_its_own() -> None:
    call = {"id": "call_9", "function": {"name": "a", "arguments": {}}}
    result = {"role": "tool", "tool_call_id": "call_9", "tool_name": "a", "content": "r"}
    asked = decoded(chat(user(), {"role": "assistant", "tool_calls": [call]}, result))
    assert asked.messages[1].parts == (ir.ToolCall("call_9", "a", "{}"),)
    assert asked.messages[2].parts == (ir.ToolResult("call_9", (ir.Text("r"),), name="a"),)


@pytest.mark.covers("FB-3B")
@pytest.mark.parametrize(
    ("data", "kind", "media_type"),
    [
        (PNG, ir.Image, "image/png"),
        ("/9j/4AAQSkZJRgABAQ==", ir.Image, "image/jpeg"),
        ("data:image/gif;base64,R0lGODlhAQABAA==", ir.Image, "image/gif"),
        ("UklGRiQAAABXQVZFZm10IA==", ir.Audio, "audio/wav"),
        ("JVBERi0xLjQK", ir.Document, "application/pdf"),
    ],
)
def test_an_image_is_what_its_bytes_say(data: str, kind: type, media_type: str) -> None:
    part = decoded(chat(user(images=[data]))).messages[0].parts[1]
    assert isinstance(part, kind)
    assert isinstance(part, ir.Image | ir.Audio | ir.Document) and isinstance(part.source, ir.Inline)
    assert part.source.media_type == media_type
    assert not part.source.data.startswith("data:")


@pytest.mark.covers("PF-116")
def test_content_in_parts_is_understood() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    asked = decoded(chat({"role": "user", "content": [{"type": "text", "text": "See"}, image]}))
    assert encoded(asked)["messages"] == [{"role": "user", "content": "See", "images": [PNG]}]


@pytest.mark.covers("PF-22")
def test_half_an_emoji_does_not_fail_a_request() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"a\\ud83d"}]}'
    assert decoded(body).messages[0].parts == (ir.Text("a\ufffd"),)


@dataclass(frozen=True)
class Wrong:
    body: bytes
    param: str
    hints: Hints = CHAT


@pytest.mark.parametrize(
    "case",
    [
        Wrong(b"[1]", "None"),
        Wrong(b"{", "None"),
        Wrong(b'{"messages":[]}', "model"),
        Wrong(b'{"model":"m"}', "messages"),
        Wrong(chat(), "messages"),
        Wrong(chat({"role": "king", "content": ""}), "messages[0].role"),
        Wrong(chat({"content": "x"}), "messages[0]"),
        Wrong(chat(user(images=[{}])), "messages[0].images[0]"),
        Wrong(chat({"role": "assistant", "tool_calls": [{}]}), "messages[0].tool_calls[0].function.name"),
        Wrong(chat({"role": "user", "content": [{"type": "video"}]}), "messages[0].content[0]"),
        Wrong(chat(user(), options={"temperature": "hot"}), "options.temperature"),
        Wrong(chat(user(), tools=[{"type": "function"}]), "tools[0].function.name"),
        Wrong(chat(user(), format=3), "format"),
        Wrong(chat(user(), think="loudly"), "think"),
        Wrong(chat(user(), think=3), "think"),
        Wrong(b'{"model":"m","prompt":""}', "prompt", GENERATE),
        Wrong(b'{"model":"m","prompt":"def f(","suffix":"return x"}', "suffix", GENERATE),
    ],
)
def test_what_cannot_be_understood_is_named(case: Wrong) -> None:
    with pytest.raises(MuxError) as caught:
        decoded(case.body, case.hints)
    assert caught.value.kind is Kind.BAD_REQUEST
    assert str(caught.value.param) == case.param


def test_generate_is_a_conversation_of_one_turn() -> None:
    fields = {"prompt": "Why?", "system": "Be brief.", "images": [PNG], "suffix": "", "raw": False, "context": []}
    asked = decoded(json.dumps({"model": "m", **fields, "keep_alive": "10m"}).encode(), GENERATE)
    assert [message.role for message in asked.messages] == ["system", "user"]
    assert asked.messages[1].parts[0] == ir.Text("Why?")
    assert {key for key in asked.extras if not key.startswith("__")} == {"keep_alive"}


@pytest.mark.covers("FB-3B", "PF-139")
def test_what_generate_cannot_have_is_named() -> None:
    asked = decoded(b'{"model":"m","prompt":"x","raw":true,"template":"{{.P}}","context":[1],"keep_alive":0}', GENERATE)
    made = TRANSLATOR.encode_request(asked, TARGET)
    assert made.dropped == ("raw", "template", "context")
    assert json.loads(made.body)["keep_alive"] == 0


def test_unknown_fields_and_options_come_out_again() -> None:
    body = encoded(decoded(chat(user(), keep_alive=-1, truncate=False, newest={"a": 1}, options={"num_gpu": 3})))
    assert (body["keep_alive"], body["truncate"], body["newest"]) == (-1, False, {"a": 1})
    assert body["options"] == {"num_gpu": 3}


@dataclass(frozen=True)
class Think:
    asked: ir.Thinking
    expected: object
    quirks: Quirks | None = None


@pytest.mark.covers("PF-117")
@pytest.mark.parametrize(
    "case",
    [
        Think(ir.Thinking(), None),
        Think(ir.Thinking(show=True), None),
        Think(ir.Thinking(effort="none"), False),
        Think(ir.Thinking(budget=0), False),
        Think(ir.Thinking(adaptive=True), True),
        Think(ir.Thinking(budget=-1), True),
        Think(ir.Thinking(effort="minimal"), "low"),
        Think(ir.Thinking(effort="medium"), "medium"),
        Think(ir.Thinking(effort="xhigh"), "max"),
        Think(ir.Thinking(budget=2000), "low"),
        Think(ir.Thinking(effort="max"), "high", Quirks(think_levels=("low", "medium", "high"))),
        Think(ir.Thinking(effort="xhigh"), "high", Quirks(think_levels=("low", "medium", "high"))),
        Think(ir.Thinking(effort="high"), True, Quirks(think_levels=())),
    ],
)
def test_think_says_only_what_the_client_asked(case: Think) -> None:
    body = encoded(request(thinking=case.asked), Target("m", quirks=case.quirks))
    assert body.get("think") == case.expected
    assert ("think" in body) is (case.expected is not None)


@pytest.mark.covers("PF-117")
def test_think_is_left_out_for_a_model_that_is_known_not_to() -> None:
    plain = Target("m", capabilities=frozenset({"generate", "tools"}))
    made = TRANSLATOR.encode_request(request(thinking=ir.Thinking(effort="high")), plain)
    assert (made.dropped, b"think" in made.body) == (("reasoning_effort",), False)


@pytest.mark.covers("PF-118")
@pytest.mark.parametrize(
    ("target", "options", "expected"),
    [
        (Target("m", context=32768), {}, 32768),
        (Target("m", context=32768), {"num_ctx": 4096}, 4096),
        (Target("m", context=32768, quirks=Quirks(set_num_ctx=False)), {}, None),
        (Target("m"), {}, None),
    ],
)
def test_the_context_size_is_set_where_it_is_known(
    target: Target, options: dict[str, Any], expected: int | None
) -> None:
    assert encoded(decoded(chat(user(), options=options)), target).get("options", {}).get("num_ctx") == expected


WEATHER = ir.Tool("get weather", "How it is", Raw(b'{"properties":{"n":{"type":"integer"}}}'))


@dataclass(frozen=True)
class Choice:
    choice: ir.ToolChoice | None
    names: list[str]
    dropped: tuple[str, ...] = ()
    parallel: bool | None = None


@pytest.mark.covers("PF-120", "FB-16")
@pytest.mark.parametrize(
    "case",
    [
        Choice(None, ["get_weather", "b"]),
        Choice(ir.ToolChoice("auto"), ["get_weather", "b"]),
        Choice(ir.ToolChoice("none"), []),
        Choice(ir.ToolChoice("any"), ["get_weather", "b"], ("tool_choice",)),
        Choice(ir.ToolChoice("tool", ("b",)), ["get_weather", "b"], ("tool_choice",)),
        Choice(ir.ToolChoice("auto", ("get weather",)), ["get_weather"]),
        Choice(ir.ToolChoice("any", ("b",)), ["b"], ("tool_choice",)),
        Choice(None, ["get_weather", "b"], ("parallel_tool_calls",), parallel=False),
    ],
)
def test_a_tool_choice_becomes_a_list_of_tools(case: Choice) -> None:
    asked = request(
        tools=(WEATHER, ir.Tool("b")), tool_choice=case.choice, parallel_tool_calls=case.parallel, max_tokens=9
    )
    made = TRANSLATOR.encode_request(asked, TARGET)
    body = json.loads(made.body)
    assert [tool["function"]["name"] for tool in body.get("tools", [])] == case.names
    assert made.dropped == case.dropped
    assert body["options"] == {"num_predict": 9}


def test_a_schema_is_an_object_and_otherwise_untouched() -> None:
    tools = encoded(request(tools=(WEATHER, ir.Tool("b"), ir.Tool("c", schema=Raw(b"true")))))["tools"]
    empty = {"type": "object", "properties": {}}
    assert [tool["function"]["parameters"] for tool in tools[1:]] == [empty, empty]
    assert tools[0]["function"]["parameters"] == {"properties": {"n": {"type": "integer"}}, "type": "object"}
    assert encoded(decoded(chat(user(), tools=[TOOL])))["tools"] == [TOOL]


def test_a_free_text_tool_is_wrapped_and_its_calls_too() -> None:
    tool = ir.Tool("patch", free_text=True)
    call = ir.Message("assistant", (ir.ToolCall("c1", "patch", "*** x", custom=True),))
    result = ir.Message("user", (ir.ToolResult("c1", (ir.Text("ok"),), custom=True),))
    body = encoded(request(tools=(tool,), messages=(ir.Message("user", (ir.Text("go"),)), call, result)))
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"input": "*** x"}


@pytest.mark.covers("FB-17", "FB-32", "PF-64", "PF-29", "FB-25")
def test_results_come_first_with_names_and_their_images_after_all_of_them() -> None:
    calls = ir.Message("assistant", (ir.ToolCall("1", "see it", ""), ir.ToolCall("2", "b", '{"x":')))
    results = ir.Message(
        "user",
        (
            ir.Text("And now?"),
            ir.ToolResult("2", (ir.Text("no"),), is_error=True),
            ir.ToolResult("1", (ir.Image(ir.Inline("image/png", PNG)),)),
        ),
    )
    body = encoded(request(messages=(ir.Message("user", (ir.Text("go"),)), calls, results)))
    arguments = [call["function"]["arguments"] for call in body["messages"][1]["tool_calls"]]
    assert arguments == [{}, {"_raw": '{"x":'}]
    first, second, last = body["messages"][2:]
    note = "(The image of this result is in the next user message.)"
    assert first == {"role": "tool", "content": note, "tool_name": "see_it", "tool_call_id": "1"}
    assert second == {"role": "tool", "content": "Error: no", "tool_name": "b", "tool_call_id": "2"}
    assert last["images"] == [PNG]
    assert last["content"] == "From the result of see_it:\n\nAnd now?"


@pytest.mark.covers("FB-20", "PF-30", "FB-129", "PF-28")
def test_what_is_missing_or_empty_in_a_history_is_mended() -> None:
    messages = (
        ir.Message("user", (ir.Text("go"),)),
        ir.Message("assistant", (ir.ToolCall("1", "a", "{}"),)),
        ir.Message("user", (ir.Text("  "),)),
        ir.Message("assistant", (ir.Text(""),)),
    )
    roles = [message["role"] for message in encoded(request(messages=messages))["messages"]]
    assert roles == ["user", "assistant", "tool"]


@pytest.mark.covers("PF-60", "FB-130")
def test_system_messages_stay_where_they_are() -> None:
    messages = (
        ir.Message("developer", (ir.Text("a"), ir.Text("b"))),
        ir.Message("user", (ir.Text("go"),)),
        ir.Message("system", (ir.Text("late"),)),
    )
    found = encoded(request(messages=messages))["messages"]
    assert [(m["role"], m["content"]) for m in found] == [("system", "a\n\nb"), ("user", "go"), ("system", "late")]


def _thought(owner: str | None, family: str = "") -> ir.Reasoning:
    return ir.Reasoning("hm", native=None if owner is None else ir.Native(owner, Raw(b"true"), family))


@pytest.mark.covers("PF-140", "FB-58")
@pytest.mark.parametrize(
    ("thought", "protocol", "kept"),
    [
        (_thought("ollama", "qwen"), "anthropic", True),
        (_thought("ollama", "llama"), "anthropic", False),
        (_thought("anthropic", "claude"), "anthropic", False),
        (_thought(None), "anthropic", False),
        (_thought(None), "ollama", True),
    ],
)
def test_thinking_goes_back_only_to_its_own_kind_and_never_as_text(
    thought: ir.Reasoning, protocol: str, kept: bool
) -> None:
    turn = ir.Message("assistant", (thought, ir.Text("Yes.")))
    messages = (ir.Message("user", (ir.Text("go"),)), turn, ir.Message("user", (ir.Text("and?"),)))
    found = encoded(request(messages=messages, protocol=protocol))["messages"][1]
    assert found == {"role": "assistant", "content": "Yes."} | ({"thinking": "hm"} if kept else {})


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (ir.Image(ir.Url("https://x/y.png")), "An image that is not inside the request"),
        (ir.Document(ir.Inline("application/pdf", "JVBERi0=")), "A document"),
        (ir.Video(ir.Inline("video/mp4", "AAAA")), "A video"),
        (ir.Image(ir.FileId("gemini", "f1")), "An image that is not inside the request"),
        (ir.Opaque(ir.Native("anthropic", Raw(b"{}")), "server_tool_use"), "A part of type server_tool_use"),
    ],
)
def test_content_without_a_form_is_refused(part: ir.Part, words: str) -> None:
    with pytest.raises(MuxError, match=words) as caught:
        encoded(request(ir.Text("see"), part))
    assert caught.value.kind is Kind.BAD_REQUEST


def test_text_documents_and_old_images_become_words() -> None:
    document = ir.Document(ir.Inline("text/plain", "aGVsbG8="), name="a.txt")
    old = ir.Message("assistant", (ir.Text("Here:"), ir.Image(ir.Url("https://x/y.png"))))
    found = encoded(request(messages=(ir.Message("user", (document,)), old, ir.Message("user", (ir.Text("?"),)))))
    assert [m["content"] for m in found["messages"]] == ["a.txt\n\nhello", "Here:[image omitted]", "?"]


@pytest.mark.covers("PF-139")
def test_knobs_without_a_form_are_named_and_shapes_are_refused() -> None:
    hosted = ir.HostedTool("web_search", ir.Native("openai_responses", Raw(b"{}")), optional=True)
    asked = request(
        user="u",
        verbosity="low",
        metadata=Raw(b"{}"),
        tools=(hosted,),
        extras={"top_a": Raw(b"1"), "__note": Raw(b"1")},
    )
    dropped = ("tools.web_search", "top_a", "verbosity", "user", "metadata")
    assert TRANSLATOR.encode_request(asked, TARGET).dropped == dropped
    said = ir.Message("user", (ir.Text("see"), ir.Image(ir.Inline("image/png", "AAAA"), detail="low")), name="ada")
    fine = request(messages=(said,), tools=(ir.Tool("f", strict=True),), extras={"stream_options": Raw(b"{}")})
    assert TRANSLATOR.encode_request(fine, TARGET).dropped == ("tools.strict", "messages.name", "image.detail")
    firm = ir.HostedTool("web_search", ir.Native("openai_responses", Raw(b"{}")))
    for refused in (
        request(sampling=ir.Sampling(n=2)),
        request(modalities=("text", "audio")),
        request(tools=(firm,)),
        request(ir.Text(" ")),
    ):
        with pytest.raises(MuxError) as caught:
            TRANSLATOR.encode_request(refused, TARGET)
        assert caught.value.kind is Kind.BAD_REQUEST


@dataclass(frozen=True)
class Splice:
    body: bytes
    expected: dict[str, Any] | None
    target: Target = SAME
    stream: bool = True
    dropped: tuple[str, ...] = ()


@pytest.mark.covers("FB-101")
@pytest.mark.parametrize(
    "case",
    [
        Splice(chat(user()), {}),
        Splice(chat(user()), {"model": "n"}, Target("n")),
        Splice(chat(user()), {"stream": False}, stream=False),
        Splice(chat(user(), stream=False), {}, stream=False),
        Splice(chat(user(), stream=False), {"stream": True}),
        Splice(chat(user()), {"options": {"num_ctx": 9000}}, Target("m", context=9000)),
        Splice(chat(user(), options={"seed": 1}), {"options": {"seed": 1, "num_ctx": 9000}}, Target("m", context=9000)),
        Splice(chat(user(), options={"num_ctx": 1}), {}, Target("m", context=9000)),
        Splice(chat(user(), think=True), {}),
        Splice(
            chat(user(), think=True),
            {"think": None},
            Target("m", capabilities=frozenset({"generate"})),
            dropped=("reasoning_effort",),
        ),
        Splice(chat(user(), think="max"), {"think": "high"}, Target("m", quirks=Quirks(think_levels=("low", "high")))),
        Splice(chat(), None),
        Splice(b'{"model":"m","prompt":"x"}', None),
        Splice(b"nonsense", None),
        Splice(chat({"role": "user", "content": [{"text": "x"}]}), None),
        Splice(chat(user(images=["data:image/png;base64,AA=="])), None),
        Splice(chat({"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "{}"}}]}), None),
    ],
)
def test_bytes_go_through_with_the_edits_that_translation_would_make(case: Splice) -> None:
    edits = TRANSLATOR.adapt(case.body, case.target, case.stream)
    if edits is None:
        assert case.expected is None
        return
    assert {k: None if v is None else json.loads(v) for k, v in edits.top.items()} == case.expected
    assert edits.dropped == case.dropped
    spliced = json.loads(jsonx.splice(case.body, edits.top))
    asked = decoded(case.body, Hints(operation="chat", stream=case.stream))
    translated = encoded(asked, case.target)
    spliced.setdefault("stream", True)
    assert spliced == translated
