"""A look of which the beginning is known finds what a look at the whole body finds."""

import json
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_mux.translators.anthropic.outline import Usual as Messages
from llm_mux.translators.base import Edits, Outline, Target
from llm_mux.translators.memory import LEAST
from llm_mux.translators.openai_chat import adapt
from llm_mux.translators.openai_chat.outline import Usual
from llm_mux.translators.openai_chat.quirks import Quirks
from llm_mux.translators.outlined import Known, look
from llm_mux.wire import jsonx
from tests.translators.conftest import forget
from tests.translators.test_memory import Turns, body_of, steps, turns

TARGETS = [
    Target("m", "up"),
    Target("other", "up", Quirks(flatten_content=True)),
    Target("m", "up", Quirks(content_null_ok=False, tool_id_limit=9, images=False)),
]


def edits(body: bytes, target: Target) -> tuple[Edits | None, str | None] | str:
    """What is changed in a body that goes through (None: it is translated), and the model it asks for."""
    try:
        found, read = look(body, Usual)
    except jsonx.Malformed as error:
        return str(error)
    return adapt.adapt(read, target, True, found), found.model


def outcomes(bodies: list[bytes]) -> list[object]:
    return [edits(body, target) for body in bodies for target in TARGETS]


def forgetful(bodies: list[bytes]) -> list[object]:
    made: list[object] = []
    for body in bodies:
        for target in TARGETS:
            forget()
            made.append(edits(body, target))
    return made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(turns, st.booleans(), st.booleans())
def test_a_conversation_of_any_kind_is_seen_the_same_turn_by_turn(
    conversation: Turns, spaces: bool, tools_first: bool
) -> None:
    forget()
    grown = [*steps(2), *conversation]
    bodies = [body_of(grown[:end], spaces=spaces, tools_first=tools_first) for end in range(6, len(grown) + 1)]
    remembered = outcomes(bodies)
    assert remembered == forgetful(bodies)


def test_a_long_conversation_is_seen_the_same_turn_by_turn() -> None:
    grown = steps(20)
    bodies = [body_of(grown[:end]) for end in range(1, len(grown) + 1)]
    assert outcomes(bodies) == forgetful(bodies)


def test_only_what_is_new_is_looked_at() -> None:
    grown = steps(20)
    for end in (40, 42, 44):
        found, _ = look(body_of(grown[:end]), Usual)
    assert isinstance(found, Usual)
    assert isinstance(found.messages, Known)
    assert len(found.messages) == 45
    assert len(found.messages.looked.messages) == 43


def test_what_one_format_found_is_not_given_to_another() -> None:
    plain = [{"role": "user", "content": "words " * (LEAST // 6)}, {"role": "assistant", "content": "so"}]
    grown = [*plain, *[{"role": role, "content": "x"} for _ in range(20) for role in ("user", "assistant")]]
    bodies = [json.dumps({"model": "m", "max_tokens": 9, "messages": grown[:end]}).encode() for end in (21, 23, 25, 27)]
    for first, second in ((Usual, Messages), (Messages, Usual)):
        forget()
        for body in bodies[:3]:
            look(body, first)
        found, _ = look(bodies[3], second)
        assert type(found) is second
        assert {type(message) for message in getattr(found, "messages", None) or ()} == {of(second)}


def of(outline: type[Outline]) -> type:
    """What the messages of an outline are."""
    assert outline.repeats is not None
    return type(outline.repeats.messages(b'[{"role":"user","content":"x"}]')[0])


HEAD = body_of(steps(2)).split(b'],"tools"')[0]


@pytest.mark.parametrize(
    "tail",
    [
        b",]}",
        b',{"role":"user","content":"x"}],"messages":[{"role":"user","content":[{"type":"odd"}]}]}',
        b'],"\\u006dessages":[{"role":"nobody","content":"only this"}]}',
        b',{"role":"user","content":"x"}',
        b',{"role":"user","content":"x","odd":1}]}',
        b",17]}",
        b"]}",
    ],
)
def test_whatever_follows_a_known_beginning_is_seen_as_without_it(tail: bytes) -> None:
    expected = forgetful([HEAD + tail])
    forget()
    outcomes([HEAD + b"]}"] * 2)
    assert outcomes([HEAD + tail] * 2) == expected * 2


def test_nothing_that_is_kept_holds_on_to_a_body() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * LEAST}]}] * 2}).encode()
    holders = sys.getrefcount(body)
    kept = [look(body, Usual)[0] for _ in range(3)][-1]
    assert isinstance(kept, Usual)
    assert isinstance(kept.messages, Known)
    looked = kept.messages.looked
    del kept
    assert len(looked.messages) == 2
    assert sys.getrefcount(body) == holders
