"""An agent's conversation that is written around the client's own bytes comes out as if it had been read as a whole."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.gateway import plan
from llm_mux.gateway.ask import Ask, Caller
from llm_mux.providers import registry as providers
from llm_mux.routing.accounts import Account
from llm_mux.routing.catalog import Route
from llm_mux.routing.select import Candidate
from llm_mux.server.serving import peek
from llm_mux.translators import registry
from llm_mux.translators.base import Hints, Target
from llm_mux.translators.memory import LEAST
from llm_mux.translators.openai_chat.outline import Function, Usual
from llm_mux.translators.outlined import Known
from llm_mux.translators.steps import Steps, steps
from tests.translators.conftest import forget
from tests.translators.test_memory import function
from tests.translators.test_memory import steps as agent

CHAT, CLAUDE = registry.get("openai_chat"), registry.get("anthropic")
MODEL = "claude-sonnet-4-6"
TOOLS = [
    {"type": "function", "function": {"name": name, "description": "d" * 900, "parameters": {"type": "object"}}}
    for name in ("read", "look", "go.on")
]
SYSTEM = {"role": "system", "content": "You are an agent. " * (LEAST // 18)}
Turns = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def _frames() -> Iterator[None]:
    yield
    plan.FRAMES.clear()


def clear() -> None:
    forget()
    plan.FRAMES.clear()


def body_of(messages: Turns, *, ascii_: bool = True, spaces: bool = False, **more: Any) -> bytes:
    body = {"model": "m", "messages": messages, "tools": TOOLS, **more}
    return json.dumps(body, ensure_ascii=ascii_, separators=None if spaces else (",", ":")).encode("utf-8", "replace")


Sent = tuple[object, tuple[str, ...], object, tuple[str, ...], object]
"""What is sent, whatever its escapes, and what comes with it."""


class Mux:
    """What the daemon makes of requests to one account, one after the other. `long`: how many went the long way."""

    def __init__(self, target: str = MODEL) -> None:
        provider = replace(providers.get("anthropic"), name="up", quota=None)
        self._candidate = Candidate(Account(provider, "a", "sk-1"), Route(target, "up"))
        self.long = 0

    def sends(self, body: bytes) -> Sent | str:
        try:
            peeked = peek(body, Hints(), False, CHAT.outline)
            ask = Ask(CHAT, peeked.body, Hints(), peeked.model, peeked.stream, "r", {}, Caller(), 0.0, 0.0)
            ask.outline = peeked.outline
            made = plan.choose(ask, self._candidate, lambda: self._decoded(ask), nothing, strict=False, adds=False)
        except MuxError as error:
            return error.message
        return json.loads(made.body, object_pairs_hook=list), made.dropped, made.names, made.stops, made.headers

    def _decoded(self, ask: Ask) -> ir.Request:
        self.long += 1
        return ask.decoded()


def nothing(provider: str, model: str) -> None:
    """Nobody has told anything of models."""


def whole(body: bytes, target: str = MODEL) -> Sent | str:
    """The same, read and written as a whole by somebody who knows nothing."""
    clear()
    return Mux(target).sends(body)


def taught(*bodies: bytes) -> Mux:
    """One that has seen the settings of these bodies, around other words."""
    clear()
    mux = Mux()
    for body in bodies:
        for number in range(4):
            mux.sends(body.replace(b"You are an agent.", b"You are no. %06d." % number, 1))
    mux.long = 0
    return mux


def test_a_conversation_that_nobody_has_seen_is_written_around_its_own_words() -> None:
    body = body_of([SYSTEM, *agent(9)])
    mux = taught(body)
    warm = mux.sends(body)
    assert mux.long == 0
    assert warm == whole(body)


@pytest.mark.parametrize("calls", [1, 3])
@pytest.mark.parametrize("ascii_", [True, False])
def test_a_conversation_comes_out_the_same_turn_by_turn(calls: int, ascii_: bool) -> None:
    grown = [SYSTEM, *agent(12, calls)]
    ends = [end for end in range(2, len(grown) + 1) if grown[end - 1]["role"] != "assistant"]
    bodies = [body_of(grown[:end], ascii_=ascii_) for end in ends]
    mux = taught(bodies[0], bodies[7])
    warm = [mux.sends(body) for body in bodies]
    assert warm == [whole(body) for body in bodies]
    assert mux.long <= len(bodies) // 2, "only those that end between two results of one turn"


def test_only_what_is_new_is_written() -> None:
    grown = [SYSTEM, *agent(20)]
    mux, lengths = taught(body_of(grown[:6])), []
    for end in (42, 46, 58, 62):
        body = body_of(grown[:end])
        found = peek(body, Hints(), False, CHAT.outline).outline
        mux.sends(body)
        messages = getattr(found, "messages", None)
        assert isinstance(messages, Known)
        kept = messages.looked.memo if messages.looked is not None else {}
        lengths.append([told.length for told in kept.values()])
    assert lengths == [[], [42], [58], [58]]
    assert mux.long == 0


WORDS = ["hi", "", " \n", 'a "quoted" \\ \t\x01 word', "\u00e9\u20ac\U0001f600", "\u3000", "]}],", '"content":[', "%b"]
CUSTOM = {"id": "a", "type": "custom", "custom": {"name": "read"}}
texts = st.sampled_from(WORDS)
ids = st.sampled_from(["a", "b", "c", "not legal", "x" * 65, "d,e", ""])
names = st.sampled_from(["read", "look", "go.on", "unknown"])
arguments = st.sampled_from(
    ["{}", '{"a": 1}', '{"a":"\u00e9"}', "", "no json", "[1]", '{"a":', "{},{}", "1}", '{"a":1} ']
)
users = st.builds(lambda said: {"role": "user", "content": said}, texts)
answers = st.builds(lambda said: {"role": "assistant", "content": said}, texts | st.none())
odd = st.sampled_from(
    [
        {"role": "system", "content": "late"},
        {"role": "user", "content": "x", "name": "ada"},
        {"role": "user", "content": [{"type": "text", "text": "part"}]},
        {"role": "assistant", "content": "x", "reasoning_content": "hm"},
        {"role": "assistant", "content": "x", "tool_calls": []},
        {"role": "assistant", "content": "x", "tool_call_id": "a"},
        {"role": "user", "content": "x", "tool_call_id": "a"},
        {"role": "tool", "tool_call_id": "a", "content": "to nothing"},
        {"role": "user", "content": "\ud83d"},
        {"role": "user", "content": "x", "tool_calls": [function("a", "read", "{}")]},
        {"role": "assistant", "content": "", "tool_calls": [CUSTOM]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "a", "function": {"name": "read", "arguments": {}}}],
        },
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [function("a", "read", "{}") | {"extra_content": {"google": {"thought_signature": "c2ln"}}}],
        },
    ]
)


@st.composite
def stretches(draw: st.DrawFn) -> Turns:
    """An answer with calls, and results for them, in their order or nearly so."""
    calls = draw(st.lists(st.builds(function, ids, names, arguments), min_size=1, max_size=3))
    results = [{"role": "tool", "tool_call_id": call["id"], "content": draw(texts)} for call in calls]
    if draw(st.integers(0, 5)) == 0:
        results = draw(st.permutations(results))
    if draw(st.integers(0, 5)) == 0:
        results = results[1:]
    return [{"role": "assistant", "content": draw(texts | st.none()), "tool_calls": calls}, *results]


@st.composite
def good(draw: st.DrawFn) -> Turns:
    """The same of ids that nobody else has, with nothing to mend."""
    numbers = draw(st.lists(st.integers(0, 10**9), min_size=1, max_size=3, unique=True))
    calls = [function(f"call_{n}", draw(st.sampled_from(["read", "look"])), draw(arguments)) for n in numbers]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": draw(texts)} for call in calls]
    return [{"role": "assistant", "content": draw(texts | st.none()), "tool_calls": calls}, *results]


conversations = st.lists(
    good() | stretches() | st.one_of(users, answers, odd).map(lambda one: [one]), min_size=1, max_size=6
).map(lambda found: [message for part in found for message in part])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(conversations, st.booleans(), st.booleans(), st.booleans())
def test_a_conversation_of_any_kind_comes_out_the_same(
    conversation: Turns, ascii_: bool, spaces: bool, system: bool
) -> None:
    begun = (
        [SYSTEM] if system else [{"role": "user", "content": SYSTEM["content"]}, {"role": "assistant", "content": "."}]
    )
    grown = [*begun, {"role": "user", "content": "Begin."}, *conversation, {"role": "user", "content": "Go on."}]
    bodies = [body_of(grown[:end], ascii_=ascii_, spaces=spaces) for end in range(len(begun) + 1, len(grown) + 1)]
    mux = taught(bodies[-1], body_of([*begun, *agent(2)], ascii_=ascii_, spaces=spaces))
    warm = [mux.sends(body) for body in bodies for _ in range(2)]
    assert warm == [made for body in bodies for made in [whole(body)] * 2]


SETTINGS: list[dict[str, Any]] = [
    {"reasoning_effort": "high", "max_completion_tokens": 9000},
    {"tool_choice": "required", "parallel_tool_calls": False},
    {"tool_choice": "none"},
    {"response_format": {"type": "json_object"}},
    {"n": 2},
    {"seed": 1, "stop": ["END", " "], "temperature": 1.5, "stream": True},
    {"metadata": {"messages": [{"role": "user", "content": "x"}]}, "unheard-of": [1]},
    {"tools": []},
    {"tools": [*TOOLS, {"type": "custom", "custom": {"name": "look"}}]},
    {"tools": [TOOLS[0] | {"cache_control": {"type": "ephemeral"}}, *TOOLS[1:]]},
]


@pytest.mark.parametrize("more", SETTINGS, ids=str)
@pytest.mark.parametrize(
    "model", ["claude-sonnet-4-6", "claude-3-5-haiku-20241022", "claude-opus-4-1", "deepseek-chat"]
)
def test_what_stands_around_a_conversation_is_that_of_its_own_settings(more: dict[str, Any], model: str) -> None:
    said_last = [*agent(3)[:-1], {"role": "user", "content": "Well?"}]
    called_last, alone = agent(3)[:-2], [{"role": "user", "content": "Begin."}]
    bodies = [body_of([SYSTEM, *each], **more) for each in (said_last, called_last, alone) for _ in range(3)]
    clear()
    mux = Mux(model)
    for number, body in enumerate(bodies):
        mux.sends(body.replace(b"You are an agent.", b"You are no. %06d." % number, 1))
    warm = [mux.sends(body) for body in bodies]
    assert warm == [whole(body, model) for body in bodies]


def test_calls_are_read_with_their_messages_where_others_like_them_were_told_in_steps() -> None:
    body = body_of([SYSTEM, *agent(3)])
    odd_call = {"id": "a", "function": {"name": "read", "arguments": {}}}
    odd_body = body_of([SYSTEM, *agent(2), {"role": "assistant", "tool_calls": [odd_call], "content": "x"}, RESULT])

    def called(body: bytes) -> tuple[set[type], object]:
        found = peek(body, Hints(), False, CHAT.outline).outline
        assert isinstance(found, Usual)
        calls = [call for message in found.messages or () for call in message.tool_calls or ()]
        return {type(call.function) for call in calls}, CHAT.adapt(body, Target("m", "up"), False, found)

    clear()
    before = [called(each) for each in (body, odd_body) for _ in range(3)]
    mux = taught(body)
    assert [called(body)[0], called(odd_body)[0]] == [{Function}, {Raw}]
    assert [called(body)[1], called(odd_body)[1]] == [before[0][1], before[-1][1]]
    assert mux.sends(odd_body) == whole(odd_body)


def test_a_second_key_of_the_same_name_is_the_one_that_counts() -> None:
    body = body_of([SYSTEM, *agent(3)])
    twice = body[:-1] + b',"messages":[{"role":"user","content":"only this"}]}'
    mux = taught(body)
    assert [mux.sends(each) for each in (twice, body, twice)] == [whole(each) for each in (twice, body, twice)]


@pytest.mark.parametrize("wrong", [b"I w\xffll.", b"\\ud83d.", b"I will\x01"])
def test_a_text_that_has_to_be_mended_goes_the_long_way(wrong: bytes) -> None:
    body = body_of([SYSTEM, *agent(3)])
    torn = body.replace(b"I will.", wrong, 1)
    mux = taught(body)
    assert [mux.sends(each) for each in (torn, torn, torn)] == [whole(torn)] * 3


def steps_of(body: bytes, rounds: int = 3) -> Steps | None:
    outline = [peek(body, Hints(), False, CHAT.outline).outline for _ in range(rounds)][-1]
    return steps(body, outline, CHAT.reads_steps, CLAUDE.tells_steps)


def told(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether a conversation is told in steps, and again in the turn after it."""
    found = [steps_of(body_of([SYSTEM, *messages])) for _ in range(2)]
    made = [each is not None and each.told() is not None for each in found]
    assert made[0] is made[1]
    return made[0]


USER = {"role": "user", "content": "one"}
CALL = {"role": "assistant", "content": None, "tool_calls": [function("a", "read", "{}")]}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "r"}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([USER], True),
        ([USER, USER], True),
        ([USER, CALL, RESULT], True),
        ([USER, CALL, RESULT | {"content": ""}], True),
        ([USER, CALL, RESULT, USER], True),
        ([USER, {"role": "assistant", "content": "so"}, CALL, RESULT], True),
        ([USER, CALL], False),
        ([USER, CALL, USER], False),
        ([USER, CALL, RESULT, RESULT], False),
        ([USER, CALL, RESULT | {"tool_call_id": "b"}], False),
        ([USER, CALL, RESULT, CALL, RESULT], False),
        ([USER, CALL, RESULT | {"content": " "}], False),
        ([USER, {"role": "assistant", "content": "so"}], False),
        ([USER, {"role": "assistant", "content": ""}, USER], False),
        ([{"role": "assistant", "content": "so"}, USER], False),
        ([RESULT, USER], False),
    ],
    ids=str,
)
def test_conversations_in_good_order_are_told_in_steps(messages: Turns, expected: bool) -> None:
    assert told(messages) is expected
