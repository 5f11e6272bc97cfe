"""What stands around the messages of a body is known again, and nothing is read differently for it."""

import json
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_mux.translators.around import AROUND, Arounds
from llm_mux.translators.memory import LEAST, MARK, MEMORY
from llm_mux.translators.openai_chat.outline import Usual
from llm_mux.translators.outlined import Known, look, spliced
from llm_mux.translators.repeated import Again
from llm_mux.wire import jsonx
from tests.translators.conftest import forget
from tests.translators.test_memory import OFFERED, steps
from tests.translators.test_outlined import TARGETS, edits

WORDS = iter(range(10**9))


def body_of(before: bytes = b'"model":"m"', after: bytes = b"", *, spaces: bool = False, steps_: int = 2) -> bytes:
    """A conversation that nobody has seen, with these members before and after its messages."""
    said = [{"role": "system", "content": f"{next(WORDS):09} " * (LEAST // 9)}, *steps(steps_)]
    messages = json.dumps(said, separators=None if spaces else (",", ":")).encode()
    parts = [part for part in (before, b'"messages":' + messages, after) if part]
    return b"{%b}" % (b" , " if spaces else b",").join(parts)


TOOLS = b'"tools":' + json.dumps(OFFERED).encode()


def known(body: bytes) -> bool:
    """Whether the messages of a body were read alone."""
    found = look(body, Usual)[0]
    assert isinstance(found, Usual)
    return type(found.messages) is Known and found.messages.around is not None


@pytest.mark.parametrize(
    ("before", "after"),
    [(b'"model":"m"', b""), (b'"model":"m"', TOOLS), (TOOLS + b',"model":"m"', b""), (b"", TOOLS + b',"model":"m"')],
)
def test_what_came_twice_is_known_by_the_third_time(before: bytes, after: bytes) -> None:
    assert [known(body_of(before, after)) for _ in range(4)] == [False, False, True, True]


def test_tools_around_a_conversation_are_the_same_object_each_time() -> None:
    found = [look(body_of(after=TOOLS), Usual)[0] for _ in range(4)]
    tools = [each.tools for each in found if isinstance(each, Usual)]
    assert type(tools[-1]) is Again
    assert tools[-1] is tools[-2]
    assert tools[-1] == tools[0]


MEMBERS = [
    b'"seed":1',
    b'"user":"\\"messages\\":[]"',
    b'"user":"],\\"messages\\":["',
    b'"metadata":{"messages":[{"role":"user","content":"nested"}]}',
    b'"messages":[{"role":"user","content":"before"}]',
    b'"messages":null',
    b'"messages":[]',
    b'"\\u006dessages":[{"role":"nobody","content":"this one"}]',
    b'"messages":%b' % MARK,
    b'"messages":[%b]' % MARK,
    b'"stop":["a"]',
    b'"n":NaN',
    b'"n":',
    b'"user":"\xff"',
    b'"max_completion_tokens":5,"max_tokens":7',
    b'"model":"another"',
    TOOLS,
]


def unusual(body: bytes) -> bytes:
    return body.replace(b'"content":"Go on."', b'"content":[{"type":"text","text":"Go on."}],"odd":1')


def cut(body: bytes) -> bytes:
    return body.replace(b'"Go on."}]', b'"Go on."}')


def closed_early(body: bytes) -> bytes:
    return body.replace(b'"Go on."}]', b'"Go on."}],"messages":[{"role":"user","content":"only this"}]')


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(MEMBERS), max_size=2),
    st.lists(st.sampled_from(MEMBERS), max_size=3),
    st.booleans(),
    st.sampled_from([bytes, unusual, cut, closed_early]),
)
def test_whatever_stands_around_messages_is_read_as_without_knowing_it(
    before: list[bytes], after: list[bytes], spaces: bool, wound: Any
) -> None:
    forget()
    members = (b",".join([b'"model":"m"', *before]), b",".join(after))
    for _ in range(3):
        edits(body_of(*members, spaces=spaces), TARGETS[0])
    bodies = [wound(body_of(*members, spaces=spaces, steps_=number)) for number in (2, 2, 3)]
    grown = [each for body in bodies for each in (body, body, body.replace(b"}]", b'},{"role":"user","content":"."}]'))]
    warm = [edits(body, target) for body in grown for target in TARGETS]
    cold = []
    for body in grown:
        for target in TARGETS:
            forget()
            cold.append(edits(body, target))
    assert warm == cold


EDITS: list[dict[str, bytes | None]] = [
    {"model": b'"other"'},
    {"model": b'"other"', "max_tokens": None, "max_completion_tokens": b"7"},
    {"stream_options": b'{"include_usage":true}'},
    {"seed": None, "messages": b"[]"},
]


@pytest.mark.parametrize("changes", EDITS, ids=str)
@pytest.mark.parametrize("spaces", [False, True])
def test_settings_are_changed_as_in_the_whole_body(changes: dict[str, bytes | None], spaces: bool) -> None:
    for number in range(5):
        body = body_of(b'"seed":1, "model":"m"', TOOLS + b',"max_tokens":7', spaces=spaces)
        found = look(body, Usual)[0]
        made = spliced(body, found, changes)
        assert json.loads(made, object_pairs_hook=list) == json.loads(
            jsonx.splice(body, changes), object_pairs_hook=list
        )
        assert isinstance(found, Usual)
        assert (type(found.messages) is Known) is (number > 1)


def test_what_is_other_each_time_is_hardly_ever_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []
    monkeypatch.setattr("llm_mux.translators.around._read", lambda body, outline: tried.append(body))
    for number in range(64):
        assert not known(body_of(b'"model":"m","user":"%d"' % number))
    assert len(tried) == 6


def test_only_so_many_are_kept_and_the_one_not_needed_for_longest_goes() -> None:
    models = [b'"model":"m%d"' % number for number in range(14)]
    for model in models:
        for _ in range(2):
            look(body_of(model), Usual)
        assert known(body_of(models[0]))
    assert [known(body_of(model)) for model in models[:4]] == [True, False, False, True]


def test_a_very_long_one_is_not_kept() -> None:
    long = b'"user":"%b"' % (b"x" * (300 << 10))
    assert [known(body_of(after=long)) for _ in range(4)] == [False] * 4


def test_nothing_that_is_kept_holds_on_to_a_body() -> None:
    body = body_of(after=TOOLS)
    holders = sys.getrefcount(body)
    for _ in range(3):
        look(body, Usual)
        MEMORY.clear()
    assert known(body)
    MEMORY.clear()
    assert sys.getrefcount(body) == holders


def test_what_one_outline_found_is_not_given_to_another() -> None:
    kept = Arounds()
    body = body_of()
    found, repeats = jsonx.sound(body, Usual)[0], Usual.repeats
    assert repeats is not None
    for _ in range(2):
        kept.note(body, found, repeats)
    assert kept.find(body, Usual) is not None

    class Other(Usual, frozen=True):
        pass

    assert kept.find(body, Other) is None
    assert AROUND.find(body, Usual) is None
