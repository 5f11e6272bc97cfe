"""The usual turns of a conversation are written in few steps, and come out as the long way writes them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators import history
from llm_mux.translators.base import Target
from llm_mux.translators.openai_chat import encode, turns
from llm_mux.translators.openai_chat.quirks import COMPATIBLE, OFFICIAL
from llm_mux.translators.tools import names_for
from llm_mux.wire import jsonx
from tests.translators.openai_chat.chat import request, target

QUIRKS: list[dict[str, Any]] = [
    {},
    {"send_back_reasoning": "always", "repeat_reasoning": True},
    {"send_back_reasoning": "tool_loops", "reasoning_field": "reasoning", "content_null_ok": False},
    {"reasoning_details": True, "tool_id_limit": 64},
    {"extra_content_signatures": True},
    {"tool_id_limit": 9, "flatten_content": True, "custom_tools": False, "refusals": False},
    {"cache_control_parts": True, "unsupported": frozenset({"name"})},
    {"single_system": True, "developer_role": False},
]
MODELS = ["gpt-4.1", "gpt-5.6", "gemini-3-pro"]
TARGETS = [target(model, **quirks) for model in MODELS for quirks in QUIRKS]
TARGETS += [Target("some-model", provider="server", quirks=COMPATIBLE), Target("gpt-5.6", quirks=OFFICIAL)]

NATIVES = [
    ir.Native("openai_chat", Raw(b'[{"type":"reasoning.text","text":"so"}]')),
    ir.Native("gemini", Raw(b'{"thoughtSignature":"c2ln"}'), "gemini"),
    ir.Native("anthropic", Raw(b'{"signature":"sealed"}'), "claude"),
    history.ATTRIBUTION,
]
PNG = ir.Image(ir.Inline("image/png", "iVBORw0KGgo="))
ODD: list[ir.Part] = [
    PNG,
    ir.Document(ir.Inline("text/plain", "aGk="), name="a.txt", context="mine", cited=True),
    ir.Audio(ir.FileId("openai_chat", "audio_1")),
    ir.Refusal("no"),
    ir.Opaque(ir.Native("anthropic", Raw(b'{"type":"odd"}')), "odd", "in words"),
    ir.Opaque(ir.Native("openai_chat", Raw(b'{"type":"odd"}')), "odd"),
    ir.Opaque(ir.Native("anthropic", Raw(b'{"type":"odd"}')), "odd"),
]

natives = st.none() | st.sampled_from(NATIVES)
words = st.sampled_from(
    ["hi", "", " \n", "\u3000", 'a "quoted" \\ \x01 word', "\u00e9\u20ac\U0001f600", "Error: no", "json"]
)
caches = st.none() | st.none() | st.sampled_from([ir.Cache(), ir.Cache("1h")])
texts = st.builds(ir.Text, words) | st.builds(ir.Text, words, cache=caches, native=natives)
thoughts = st.builds(ir.Reasoning, words, natives)
odd = st.sampled_from(ODD)
ids = st.sampled_from(["a", "b", "call_1", "not legal", "x" * 41, "x" * 65, "123456789", "\u00e9", ""])
arguments = st.sampled_from(
    ["{}", '{"a": 1}', '{"a":"\u00e9"}', "", " \t", "no json", "[1]", '{"a":', "{},{}", "1}", ' {"a":1} ', "null"]
)
calls = st.builds(
    ir.ToolCall,
    ids,
    st.sampled_from(["read", "go.on", "unknown", "x" * 70]),
    arguments,
    custom=st.sampled_from([False, False, True]),
    namespace=st.sampled_from([None, None, "files"]),
    native=natives,
)
speakers = st.sampled_from([None, None, None, "ada", ""])
flags = st.none() | st.none() | st.sampled_from([ir.Native("openai_chat", Raw(b'{"prefix":true}'))])
held = st.tuples(texts) | st.lists(texts | odd, max_size=3).map(tuple)
TOOLS = (
    ir.Tool("read"),
    ir.Tool("go.on", free_text=True),
    ir.Tool("read", namespace="files"),
    ir.Tool("read.it", free_text=True, namespace="files"),
)


def result(call: ir.ToolCall) -> st.SearchStrategy[ir.ToolResult]:
    return st.builds(ir.ToolResult, st.just(call.id), held, is_error=st.sampled_from([None, False, True]))


@st.composite
def rounds(draw: st.DrawFn) -> list[ir.Message]:
    """An answer that calls, and what the tools gave back with more words behind it, as one turn or several."""
    called = draw(st.lists(calls, min_size=1, max_size=3))
    said = draw(st.lists(texts | thoughts, max_size=2))
    answers: list[ir.Part] = [draw(result(call)) for call in called]
    more = draw(st.lists(texts, max_size=2))
    spoken = ir.Message("assistant", (*said, *called), draw(speakers), native=draw(flags))
    if draw(st.booleans()):
        return [spoken, ir.Message("user", (*answers, *more), draw(speakers))]
    return [spoken, *(ir.Message("user", (part,)) for part in (*answers, *more))]


def alone(role: ir.Role, parts: st.SearchStrategy[ir.Part]) -> st.SearchStrategy[list[ir.Message]]:
    listed = st.lists(parts, min_size=1, max_size=3).map(tuple)
    return st.builds(ir.Message, st.just(role), listed, speakers).map(lambda made: [made])


conversations = st.lists(
    rounds()
    | rounds()
    | alone("user", texts)
    | alone("user", texts | odd)
    | alone("assistant", texts | thoughts)
    | alone("assistant", texts | thoughts | calls | odd)
    | alone("system", texts)
    | alone("developer", texts | odd),
    min_size=1,
    max_size=5,
).map(lambda found: [message for some in found for message in some])


def written(asked: ir.Request, to: Target, *, briefly: bool) -> tuple[bytes, list[str]] | str:
    """The messages and what is reported as lost, or the words of the refusal."""
    dropped: list[str] = []
    names = names_for(asked, encode.RULES)
    try:
        return jsonx.encode(turns.encode(asked, to, names, dropped, briefly=briefly)), dropped
    except MuxError as error:
        return error.message


@settings(max_examples=300, deadline=None)
@given(conversations, st.sampled_from(TARGETS))
def test_a_conversation_of_any_kind_comes_out_as_the_long_way_writes_it(said: list[ir.Message], to: Target) -> None:
    asked = request(*said, tools=TOOLS)
    assert written(asked, to, briefly=True) == written(asked, to, briefly=False)


def agent(*parts: ir.Part, number: int = 1) -> list[ir.Message]:
    """An answer of these parts that calls a tool, and what that gave back."""
    call = ir.ToolCall(f"call_{number}", "read", '{"path":"a"}')
    found = ir.ToolResult(call.id, (ir.Text("line"),))
    return [ir.Message("assistant", (*parts, call)), ir.Message("user", (found, ir.Text("So?"), ir.Text("Go on.")))]


SYSTEM, ASKED = ir.Message("system", (ir.Text("Be brief."),)), ir.Message("user", (ir.Text("Begin."),))
STEPS = [
    SYSTEM,
    ASKED,
    *agent(ir.Text("I will."), number=1),
    *agent(number=2),
    *agent(ir.Reasoning("hm"), number=3),
    *agent(ir.Reasoning("hm", NATIVES[0]), ir.Text("I will."), number=4),
    ir.Message("assistant", (ir.Reasoning("hm"), ir.Text("Done."))),
    ASKED,
]


@pytest.mark.parametrize("to", TARGETS)
def test_an_agents_turns_come_out_as_the_long_way_writes_them(to: Target) -> None:
    marked = ir.Message("user", (ir.Text("Go on.", cache=ir.Cache("1h")),))
    asked = request(*STEPS, marked, tools=TOOLS)
    assert written(asked, to, briefly=True) == written(asked, to, briefly=False)


def test_an_agents_turns_are_not_written_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def long(*_: object) -> None:
        raise AssertionError

    for name in ("_assistant", "_user"):
        monkeypatch.setattr(turns._Writer, name, long)
    assert written(request(*STEPS, tools=TOOLS), target(), briefly=True)
