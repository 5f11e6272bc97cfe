"""Tools that come again are left out of what is read of a body, and nothing is read differently for it."""

import contextlib
import json
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_mux.translators.base import Target
from llm_mux.translators.memory import LEAST, MEMORY
from llm_mux.translators.openai_chat import adapt
from llm_mux.translators.openai_chat.outline import Usual
from llm_mux.translators.openai_chat.quirks import Quirks
from llm_mux.translators.outlined import look
from llm_mux.translators.repeated import MARK, TOOLS, Again, Lists, marked
from llm_mux.wire import jsonx
from tests.translators.conftest import forget
from tests.translators.test_memory import OFFERED, outcome, steps
from tests.translators.test_outlined import edits

TARGET = Target("m", "up")
RAW = json.dumps(OFFERED, separators=(",", ":")).replace("go.on", "go_on").encode()
WORDS = iter(range(10**9))


def body_of(raw: bytes = RAW, *, first: bool = False, more: bytes = b"", steps_: int = 2) -> bytes:
    """A conversation that nobody has seen, with these tools before or after its messages and another user each time."""
    said = [{"role": "system", "content": f"{next(WORDS):09} " * (LEAST // 9)}, *steps(steps_)]
    messages = json.dumps(said, separators=(",", ":")).encode()
    parts = [b'"messages":' + messages, b'"tools":' + raw]
    return b'{"model":"m","user":"%09d",' % next(WORDS) + b",".join(parts[::-1] if first else parts) + more + b"}"


def known(body: bytes) -> bool:
    """Whether the body was read without its tools."""
    found = look(body, Usual)[0]
    assert isinstance(found, Usual)
    return type(found.tools) is Again


@pytest.mark.parametrize("first", [False, True], ids=["behind the messages", "before them"])
def test_tools_that_came_twice_are_known_by_the_third_time(first: bool) -> None:
    assert [known(body_of(first=first)) for _ in range(4)] == [False, False, True, True]


def test_tools_are_found_wherever_the_body_grows() -> None:
    for _ in range(2):
        look(body_of(), Usual)
    assert known(body_of(steps_=9)), "the messages before them are longer"
    assert known(body_of(first=True)) is False, "nobody looks everywhere"
    look(body_of(first=True), Usual)
    assert known(body_of(first=True, steps_=9, more=b',"n":1'))


@pytest.mark.parametrize("changed", [RAW.replace(b"read", b"reed"), RAW.replace(b'"x', b'"y'), RAW[:-1] + b" ]"])
def test_one_byte_that_differs_makes_them_unknown(changed: bytes) -> None:
    for _ in range(3):
        look(body_of(), Usual)
    body = body_of(changed)
    assert not known(body)
    warm = edits(body, TARGET)
    forget()
    assert warm == edits(body, TARGET)


NESTED = b',"metadata":{"tools":%b}' % RAW
SHAPES = [
    b',"tools":%b' % RAW,
    b',"tools":[]',
    b',"tools":null',
    b',"tools":[{"type":"custom","custom":{"name":"odd one"}}]',
    b',"functions":%b' % RAW,
    b',"user":"%b"' % RAW,
    b',"user":"\\"tools\\":%b"' % RAW.replace(b'"', b'\\"'),
    b',"user":"%b"' % MARK.replace(b'"', b'\\"'),
    b',"tools":%b' % MARK,
    b',"user":"\xff"',
    b',"user":"\\ud83d"',
    b',"seed":NaN',
    b',"n":',
    b',"tool_choice":"auto","parallel_tool_calls":false',
    NESTED,
]
TARGETS = [TARGET, Target("m", "up", Quirks(strict_tools=False, custom_tools=False, tool_id_limit=9))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from(SHAPES), max_size=3), st.lists(st.sampled_from(SHAPES), max_size=2), st.booleans())
def test_whatever_stands_around_known_tools_is_read_as_without_knowing_them(
    before: list[bytes], after: list[bytes], first: bool
) -> None:
    forget()
    for _ in range(3):
        with contextlib.suppress(jsonx.Malformed):
            look(body_of(first=first, more=b"".join(after)), Usual)
    plain = body_of(first=first, more=b"".join(after))
    body = plain.replace(b'{"model":"m"', b'{"model":"m"' + b"".join(before), 1)
    warm = [edits(each, target) for each in (body, body) for target in TARGETS]
    read = translated(body)
    forget()
    assert warm == [edits(body, target) for target in TARGETS] * 2
    forget()
    assert read == translated(body)


def translated(body: bytes) -> object:
    try:
        _, sound = look(body, Usual)
    except jsonx.Malformed as error:
        return str(error)
    return outcome(jsonx.repair(sound), "anthropic")


def test_tools_that_only_a_nested_value_has_are_not_the_requests_own() -> None:
    bare = body_of(b"null", more=NESTED)
    for _ in range(3):
        look(body_of(b"null", more=b',"metadata":{"tools":null}'), Usual)
        look(body_of(), Usual)
    TOOLS._kept[0].end = len(RAW) + 2  # where the nested ones stand
    assert TOOLS.cut(bare) is not None
    found = look(bare, Usual)[0]
    assert isinstance(found, Usual)
    assert found.tools is None


def test_a_translated_conversation_reads_its_tools_once() -> None:
    said = steps(40)
    bodies = []
    for count in (60, 62, 64, 66, 68):
        content = {"role": "system", "content": "a word " * LEAST}
        messages = json.dumps([content, *said[:count]], separators=(",", ":")).encode()
        bodies.append(b'{"model":"m","messages":%b,"tools":%b}' % (messages, RAW))
    cold = [outcome(each, "anthropic") for each in bodies if forget() is None]
    forget()
    warm = []
    for each in bodies:
        look(each, Usual)
        warm.append(outcome(each, "anthropic"))
    assert warm == cold
    requests: list[Any] = [request for request, _ in warm]
    assert requests[-1].tools is requests[-2].tools


def test_what_a_target_does_not_take_is_looked_at_for_each_target() -> None:
    named = RAW.replace(b'"name":"read"', b'"strict":true,"name":"read"')
    for _ in range(3):
        body = body_of(named)
        found, read = look(body, Usual)
        outcomes = [adapt.adapt(read, target, True, found) is None for target in (TARGETS[1], *TARGETS, TARGETS[1])]
        assert outcomes == [True, False, True, True]


def test_tools_that_are_others_each_time_are_hardly_ever_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bytes] = []
    monkeypatch.setattr(Lists, "_keep", lambda self, body: kept.append(body))
    for number in range(64):
        assert not known(body_of(RAW.replace(b"xxxxx", b"%05d" % number)))
    assert len(kept) == 6


def test_only_so_many_lists_are_kept_and_the_one_not_needed_for_longest_goes() -> None:
    lists = [RAW.replace(b"read", b"read%02d" % number) for number in range(14)]
    for raw in lists:
        for _ in range(2):
            look(body_of(raw), Usual)
        assert known(body_of(lists[0]))
    assert [known(body_of(raw)) for raw in lists] == [True, False, False, *[True] * 11]


def test_small_lists_and_odd_ones_are_not_kept() -> None:
    small = b'[{"type":"function","function":{"name":"a"}}]'
    for raw in (small, RAW.replace(b"[{", b"[ {"), b"[]", b"null"):
        assert [known(body_of(raw)) for _ in range(4)] == [False] * 4


def test_nothing_that_is_kept_of_tools_holds_on_to_a_body() -> None:
    body = body_of(RAW.replace(b'"name":"read"', b'"strict":true,"name":"read"'))
    holders = sys.getrefcount(body)
    for _ in range(3):
        MEMORY.clear()
        look(body, Usual)
    assert known(body)
    MEMORY.clear()
    assert sys.getrefcount(body) == holders


def test_the_mark_is_known_again_and_nothing_else() -> None:
    tools = Usual.repeats.tools if Usual.repeats else None
    assert tools is not None
    assert marked(tools(MARK))
    assert not any(marked(each) for each in (None, [], tools(RAW), tools(MARK) * 2))
