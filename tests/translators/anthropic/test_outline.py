"""One look at a Messages request says the same as a search through all of its bytes, and less of it is looked at twice."""

import copy
import json
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_mux.translators.anthropic.outline import Head, Usual
from llm_mux.translators.anthropic.splice import adapt
from llm_mux.translators.base import Edits, Target
from llm_mux.translators.memory import LEAST
from llm_mux.translators.outlined import Known, look
from llm_mux.wire import jsonx
from tests.translators.anthropic import kit
from tests.translators.conftest import forget

TARGETS = [kit.target(), kit.target("claude-opus-4-8", max_output=50), kit.target("deepseek-chat", kit.COMPATIBLE)]
MARK = {"cache_control": {"type": "ephemeral"}}
Message = dict[str, Any]

texts = st.sampled_from(["hi", "", " ", '"signature":"gw1', '{"role":"system"}', "caf\u00e9", 'a "word" \\ \n'])
said = texts.map(lambda text: {"type": "text", "text": text})
seals = st.sampled_from(["", "EqQB", "gw1.gemini.x.e30", "gw1-call.gemini.x.e30", None])
thoughts = seals.map(lambda seal: {"type": "thinking", "thinking": "hm", "signature": seal})
image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": kit.PNG}}
pdf = {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": ""}]}}
searched = [
    {"type": "server_tool_use", "id": id_, "name": "web_search", "input": {}}
    for id_ in ("srvtoolu_1", "srvtoolu_gw1_a")
]
inner = st.lists(said | st.just(image), max_size=2)
results = st.builds(kit.result, st.just("toolu_1"), texts | inner)
found = [
    {"type": "web_search_tool_result", "tool_use_id": id_, "content": [{"type": "web_search_result", "title": ""}]}
    for id_ in ("srvtoolu_1", "srvtoolu_gw1_a")
]
odd = st.sampled_from(
    [pdf, *searched, *found, {"type": "redacted_thinking", "data": "x"}, {"type": "container_upload"}]
)
blocks = said | thoughts | results | odd | st.sampled_from([image, kit.use("toolu_1", input={"a": [1, {"b": ""}]})])
marked = st.tuples(blocks, st.sampled_from([{}, {}, MARK])).map(lambda pair: {**pair[0], **pair[1]})
contents = texts | st.lists(marked, max_size=3)
roles = st.sampled_from(["user", "assistant", "user", "assistant", "system", "nobody"])
messages = st.lists(st.fixed_dictionaries({"role": roles, "content": contents}), max_size=5)
settings_of = st.fixed_dictionaries(
    {},
    optional={
        "system": texts | st.lists(said, max_size=2) | st.just("x-anthropic-billing-header: a"),
        "thread": st.sampled_from([None, {"type": "continue"}]),
        "metadata": st.just({"user_id": "u"}),
        "output_config": st.sampled_from([None, {}, {"effort": "high"}]),
        "context_management": st.none(),
        "tools": st.just([kit.TOOL]),
        "temperature": st.just(0.3),
    },
)


def outlined(body: bytes, target: Target) -> Edits | None:
    """By a typed look at the whole body, where it is of the usual kind."""
    try:
        found: Head = jsonx.decode(body, Usual)
    except jsonx.Malformed:
        found = jsonx.decode(body, Head)
    return adapt(body, target, False, found)


@given(messages, settings_of, st.booleans())
def test_a_look_says_what_a_search_says(turns: list[Message], more: dict[str, Any], spaces: bool) -> None:
    body = json.dumps(
        {"model": kit.MODEL, "max_tokens": 99, "messages": turns, **more}, separators=None if spaces else (",", ":")
    ).encode()
    for target in TARGETS:
        assert outlined(body, target) == adapt(body, target, False, jsonx.decode(body, Head))


@pytest.mark.parametrize(
    ("given_", "goes"),
    [
        ({"type": "text", "text": ""}, True),
        ({"signature": "gw1.gemini.x.e30"}, True),
        ({"role": "system"}, True),
    ],
)
def test_what_looks_like_a_mark_in_a_tools_input_is_none(given_: Message, goes: bool) -> None:
    call = kit.use("toolu_1", input=given_)
    body = kit.body("hi", kit.assistant(call), kit.user(kit.result("toolu_1")))
    assert (outlined(body, kit.target("deepseek-chat", kit.COMPATIBLE)) is not None) is goes


@pytest.mark.parametrize(
    "blank",
    [
        kit.user("hi", {"type": "text", **MARK, "text": ""}),
        kit.user(kit.result("toolu_1", [{"type": "text", **MARK, "text": ""}])),
    ],
)
def test_a_blank_text_is_found_wherever_its_words_stand(blank: Message) -> None:
    assert outlined(kit.body(kit.assistant(kit.use("toolu_1")), blank), kit.target()) is None


def agent(steps: int, *, blank: int = -1) -> list[Message]:
    made: list[Message] = []
    for number in range(steps):
        made.append(kit.assistant("" if number == blank else "I look.", kit.use(f"toolu_{number}")))
        made.append(kit.user(kit.result(f"toolu_{number}", "a line\n" * 40)))
    return [kit.user("Begin.", "words " * (LEAST // 6)), *made]


def turn(grown: list[Message], *, marks: int = 1, spaces: bool = False, **more: Any) -> bytes:
    """A request as Claude Code sends it: the last messages are marked, the settings stand behind."""
    turns = copy.deepcopy(grown)
    for message in turns[-marks:] if marks else []:
        message["content"][-1] |= MARK
    system = [{"type": "text", "text": "You are an agent.", **MARK}]
    body = {"model": kit.MODEL, "messages": turns, "system": system, "tools": [kit.TOOL], "max_tokens": 9, **more}
    return json.dumps(body, separators=None if spaces else (",", ":")).encode()


def outcomes(bodies: list[bytes], *, forgetting: bool) -> list[object]:
    made: list[object] = []
    for body in bodies:
        for target in TARGETS:
            if forgetting:
                forget()
            try:
                found, read = look(body, Usual)
            except jsonx.Malformed:
                made.append("no usual one")
            else:
                made.append((adapt(read, target, True, found), found.model, read))
    return made


@pytest.mark.parametrize("marks", [0, 1, 2, 4])
@pytest.mark.parametrize("spaces", [False, True])
@pytest.mark.parametrize("blank", [-1, 3, 20])
def test_a_conversation_whose_marks_move_is_seen_the_same_turn_by_turn(marks: int, spaces: bool, blank: int) -> None:
    grown = agent(30, blank=blank)
    bodies = [turn(grown[:end], marks=marks, spaces=spaces) for end in range(1, len(grown) + 1, 2)]
    assert outcomes(bodies, forgetting=False) == outcomes(bodies, forgetting=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(messages, st.integers(0, 2), st.booleans())
def test_a_conversation_of_any_kind_is_seen_the_same_turn_by_turn(
    turns: list[Message], marks: int, spaces: bool
) -> None:
    forget()
    grown = [*agent(8), *[each for each in turns if isinstance(each["content"], list) and each["content"]]]
    bodies = [turn(grown[:end], marks=marks, spaces=spaces) for end in range(5, len(grown) + 1)]
    assert outcomes(bodies, forgetting=False) == outcomes(bodies, forgetting=True)


@pytest.mark.parametrize("marks", [0, 1, 2])
def test_only_what_is_new_is_looked_at_though_the_marks_have_moved(marks: int) -> None:
    grown = agent(40)
    for end in (61, 63, 65, 67, 77, 79):
        found, _ = look(turn(grown[:end], marks=marks), Usual)
    assert isinstance(found, Usual)
    assert isinstance(found.messages, Known)
    assert len(found.messages) == 79
    assert found.messages.looked is not None
    assert len(found.messages.looked.messages) >= 77 - marks
    assert found.messages.short >= 65 - marks


def test_what_was_found_sound_is_not_asked_again() -> None:
    grown = agent(40)
    for end in (61, 63, 65, 67):
        body = turn(grown[:end])
        found, _ = look(body, Usual)
        assert adapt(body, kit.target(), False, found) == Edits()
    assert isinstance(found, Usual)
    assert isinstance(found.messages, Known)
    assert found.messages.looked is not None
    assert found.messages.looked.checked == len(found.messages.looked.messages) > 50


def test_nothing_that_is_kept_holds_on_to_a_body() -> None:
    grown = agent(40)
    bodies = [turn(grown[:end]) for end in (61, 63, 65, 77)]
    for number in range(len(bodies)):
        look(bodies[number], Usual)
    assert [sys.getrefcount(body) for body in bodies] == [3] * len(bodies)
