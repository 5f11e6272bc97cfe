"""Of a conversation that goes on only what is new is looked at, and it is decided as by a look at all of it."""

import json
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_mux.providers.codex import BACKEND
from llm_mux.translators.base import Edits, Target
from llm_mux.translators.memory import LEAST
from llm_mux.translators.openai_responses.outline import Head
from llm_mux.translators.openai_responses.quirks import Quirks
from llm_mux.translators.openai_responses.translator import TRANSLATOR
from llm_mux.translators.outlined import Known, look, spliced
from llm_mux.wire import jsonx
from tests.translators.conftest import forget
from tests.translators.openai_responses.kit import MODEL
from tests.translators.openai_responses.test_adapt import NO_CUSTOM, NO_MARKS, PLAIN_RESULTS, SYSTEM, TOP, items

Items = list[dict[str, Any]]
TOOLS = [{"type": "function", "name": f"tool_{n}", "description": "d" * 200, "parameters": {}} for n in range(20)]
TARGETS = [
    Target(name, quirks=quirks)
    for name, quirks in ((MODEL, None), (MODEL, BACKEND), ("a", NO_CUSTOM), ("a", NO_MARKS), ("b", PLAIN_RESULTS))
]


def agent(steps: int) -> Items:
    made: Items = [{"role": "user", "content": [{"type": "input_text", "text": "words " * (LEAST // 6)}]}]
    for number in range(steps):
        call = {"type": "function_call", "call_id": f"call_{number}", "name": "tool_1", "arguments": "{}"}
        made += [call, {"type": "function_call_output", "call_id": f"call_{number}", "output": "a line\n" * 40}]
    return made


def turn(said: object, *, spaces: bool = False, **more: Any) -> bytes:
    """A request as Codex sends it."""
    body = {"model": MODEL, "instructions": "You are an agent.", "input": said, "tools": TOOLS, "store": False, **more}
    return json.dumps(body, separators=None if spaces else (",", ":")).encode()


def outcomes(bodies: list[bytes], targets: list[Target], *, forgetting: bool) -> list[object]:
    """What is changed in each body for each target, and what is sent then."""
    made: list[object] = []
    for body in bodies:
        for target in targets:
            if forgetting:
                forget()
            try:
                found, read = look(body, Head)
            except jsonx.Malformed:
                made.append("no outline")
                continue
            edits = TRANSLATOR.adapt(read, target, True, found)
            made.append((edits, found.model, None if edits is None else spliced(read, found, edits.top)))
    return made


some_settings = st.lists(st.sampled_from(sorted(TOP)), unique=True, max_size=2).flatmap(
    lambda names: st.fixed_dictionaries({name: TOP[name] for name in names})
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=120)
@given(st.lists(items, max_size=6), some_settings, st.booleans())
def test_a_conversation_of_any_kind_is_seen_the_same_turn_by_turn(
    said: Items, more: dict[str, Any], spaces: bool
) -> None:
    forget()
    targets = [*TARGETS, Target("a", quirks=SYSTEM)]
    grown = [*agent(4), *said, *agent(6)[1:]]
    bodies = [turn(grown[:end], spaces=spaces, **more) for end in range(7, len(grown) + 1)]
    assert outcomes(bodies, targets, forgetting=False) == outcomes(bodies, targets, forgetting=True)


def test_a_conversation_may_begin_and_go_on_as_a_text() -> None:
    bodies = [turn("words " * LEAST), turn(agent(3)), turn("words " * LEAST), turn(agent(9)), turn([]), turn(agent(4))]
    assert outcomes(bodies * 3, TARGETS, forgetting=False) == outcomes(bodies * 3, TARGETS, forgetting=True)


HEAD = turn(agent(12)).split(b'],"tools"')[0]


@pytest.mark.parametrize(
    "tail",
    [
        b",]}",
        b',{"role":"user","content":"x"}],"input":"only this"}',
        b',{"role":"user","content":"x"}],"input":[{"id":"ws_gw1_1"}]}',
        b'],"\\u0069nput":"only this"}',
        b',{"role":"user","content":"x"}',
        b',{"role":"user","odd":1}]}',
        b",17]}",
        b"]}",
    ],
)
def test_whatever_follows_a_known_beginning_is_seen_as_without_it(tail: bytes) -> None:
    expected = outcomes([HEAD + tail], TARGETS, forgetting=True)
    forget()
    outcomes([HEAD + b"]}"] * 2, TARGETS, forgetting=False)
    assert outcomes([HEAD + tail] * 2, TARGETS, forgetting=False) == expected * 2


MARKED = {"prompt_cache_breakpoint": {"mode": "explicit"}}


@pytest.mark.parametrize(
    ("item", "quirks"),
    [
        ({"type": "additional_tools", "tools": [{"type": "namespace", "tools": [TOOLS[0] | MARKED]}]}, NO_MARKS),
        ({"type": "tool_search_output", "tools": [TOOLS[0] | MARKED]}, NO_MARKS),
        ({"role": "user", "content": [{"type": "input_text", "text": "x", **MARKED}]}, NO_MARKS),
        ({"type": "function_call", "arguments": "{}", "namespace": "n"}, NO_CUSTOM),
        ({"type": "custom_tool_call", "input": "x"}, NO_CUSTOM),
        ({"type": "function_call_output", "output": [{"type": "input_image", "image_url": "x"}]}, PLAIN_RESULTS),
        ({"role": "developer", "content": "x"}, SYSTEM),
    ],
    ids=str,
)
def test_a_server_that_does_not_take_what_was_said_before_gets_it_translated(
    item: dict[str, Any], quirks: Quirks
) -> None:
    grown = [*agent(3), item, *agent(30)[1:]]
    bodies = [turn(grown[:end]) for end in (40, 42, 44, 46)]
    outcomes(bodies, [Target("a")], forgetting=False)
    found, read = look(turn(grown[:48]), Head)
    assert isinstance(found, Head)
    assert isinstance(found.input, Known)
    assert found.input.short > 10
    assert TRANSLATOR.adapt(read, Target("a"), True, found) is not None
    assert TRANSLATOR.adapt(read, Target("a", quirks=quirks), True, found) is None


def seen(*ends: int) -> Known:
    """What is found of the last of some turns of one conversation."""
    grown = agent(40)
    for end in ends:
        body = turn(grown[:end])
        found, _ = look(body, Head)
        assert TRANSLATOR.adapt(body, Target(MODEL), False, found) == Edits()
    assert isinstance(found, Head)
    assert isinstance(found.input, Known)
    return found.input


def test_only_what_is_new_is_looked_at_and_what_passed_is_not_asked_again() -> None:
    found = seen(61, 63, 65, 67, 77, 79)
    assert found.looked is not None
    assert len(found) == 79
    assert found.short >= 65
    assert found.looked.checked == len(found.looked.messages) >= 77


def test_nothing_that_is_kept_holds_on_to_a_body() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    grown = [*agent(30), {"type": "function_call_output", "call_id": "x", "output": [image]}, *agent(8)[1:]]
    bodies = [turn(grown[:end]) for end in (61, 63, 65, 77)]
    for number in range(len(bodies)):
        look(bodies[number], Head)
    assert [sys.getrefcount(body) for body in bodies] == [3] * len(bodies)
