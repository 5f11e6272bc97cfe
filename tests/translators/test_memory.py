"""What is remembered of a growing conversation changes nothing but the time a turn takes."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators import registry
from llm_mux.translators.base import Encoded, Hints
from llm_mux.translators.memory import LEAST, MEMORY, Memory, Past, Thread
from tests.translators.conftest import forget
from tests.translators.transcripts import UPSTREAMS, target, transcripts

CHAT = registry.get("openai_chat")
SYSTEM = {"role": "system", "content": "You are a careful agent. " * 2000}
OFFERED = [
    {"type": "function", "function": {"name": name, "description": "x" * 1500, "parameters": {"type": "object"}}}
    for name in ("read", "go.on")
]
TARGETS = {name: target(name) for name in UPSTREAMS}

Turns = list[dict[str, Any]]


def body_of(messages: Turns, *, spaces: bool = False, tools_first: bool = False) -> bytes:
    body: dict[str, Any] = {"model": "m", "stream": True}
    if tools_first:
        body["tools"] = OFFERED
    body |= {"messages": [SYSTEM, *messages], "tools": OFFERED, "temperature": 0.5}
    return json.dumps(body, separators=None if spaces else (",", ":")).encode()


def outcome(body: bytes, format_: str) -> tuple[ir.Request | str, Encoded | str]:
    """What comes of a request: its canonical form and what is sent, or the words of the refusal."""
    try:
        request = CHAT.decode_request(body, Hints())
    except MuxError as error:
        return str(error), ""
    try:
        return request, sent(request, format_)
    except MuxError as error:
        return request, str(error)


def sent(request: ir.Request, format_: str) -> Encoded:
    return registry.get(format_).encode_request(request, TARGETS[format_])


def forgetful(body: bytes, format_: str) -> tuple[ir.Request | str, Encoded | str]:
    forget()
    return outcome(body, format_)


def steps(count: int, calls: int = 1) -> Turns:
    made: Turns = []
    for number in range(count):
        ids = [f"call_{number}_{n}" for n in range(calls)]
        listed = [
            {"id": id_, "type": "function", "function": {"name": "read", "arguments": '{"path": "a"}'}} for id_ in ids
        ]
        made.append({"role": "user", "content": f"Step {number}."})
        made.append({"role": "assistant", "content": "I will.", "tool_calls": listed})
        made += [{"role": "tool", "tool_call_id": id_, "content": f"line of {id_}\n" * 5} for id_ in ids]
        made.append({"role": "assistant", "content": "Done."})
    return [*made, {"role": "user", "content": "Go on."}]


def function(id_: str | None, name: str, arguments: str) -> dict[str, Any]:
    call: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return call if id_ is None else {"id": id_, **call}


ids = st.sampled_from([None, "a", "b", "c"])
names = st.sampled_from(["read", "go.on", "unknown"])
texts = st.sampled_from(["hi", "", " ", 'with "quotes" and \\ and \ud83d\ude00', "[1,2],{}", '"messages":[]'])
arguments = st.sampled_from(["{}", '{"a": 1}', "", "no json", "[1]"])
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
contents = texts | st.lists(texts.map(lambda text: {"type": "text", "text": text}) | st.just(PICTURE), max_size=2)
marked = st.builds(
    lambda text: {"role": "user", "content": [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]},
    texts,
)
users = st.builds(lambda said: {"role": "user", "content": said}, contents)
named = st.builds(lambda said: {"role": "user", "name": "ada", "content": said}, texts)
plain = st.builds(lambda said: {"role": "assistant", "content": said}, texts)
calling = st.builds(
    lambda said, calls: {"role": "assistant", "content": said, "tool_calls": calls},
    texts | st.none(),
    st.lists(st.builds(function, ids, names, arguments), min_size=1, max_size=2),
)
thinking = st.builds(lambda said: {"role": "assistant", "content": said, "reasoning_content": "hm"}, texts)
old = st.builds(
    lambda name: {"role": "assistant", "content": None, "function_call": {"name": name, "arguments": "{}"}}, names
)
results = st.builds(lambda id_, said: {"role": "tool", "tool_call_id": id_, "content": said}, ids, contents)
older = st.builds(lambda name: {"role": "function", "name": name, "content": "ok"}, names)
late = st.builds(lambda said: {"role": "system", "content": said}, texts)
wrong = st.just({"role": "nobody", "content": "x"})
turns = st.lists(
    users | named | marked | plain | calling | thinking | old | results | older | late | wrong, min_size=1, max_size=7
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(turns, st.booleans(), st.booleans(), st.sampled_from(UPSTREAMS))
def test_a_conversation_of_any_kind_comes_out_the_same_turn_by_turn(
    conversation: Turns, spaces: bool, tools_first: bool, format_: str
) -> None:
    forget()
    grown = [*steps(2), *conversation]
    bodies = [body_of(grown[:end], spaces=spaces, tools_first=tools_first) for end in range(6, len(grown) + 1)]
    remembered = [outcome(body, format_) for body in bodies]
    assert remembered == [forgetful(body, format_) for body in bodies]


@pytest.mark.parametrize("format_", UPSTREAMS)
@pytest.mark.parametrize("calls", [1, 3])
def test_an_agents_conversation_comes_out_the_same_turn_by_turn(format_: str, calls: int) -> None:
    grown = steps(8, calls)
    bodies = [body_of(grown[:end]) for end in range(1, len(grown) + 1)]
    remembered = [outcome(body, format_) for body in bodies]
    assert remembered == [forgetful(body, format_) for body in bodies]


@pytest.mark.parametrize("format_", UPSTREAMS)
@pytest.mark.parametrize("transcript", transcripts("request", lambda found: found.format == "openai_chat"), ids=str)
def test_a_transcript_that_goes_on_comes_out_the_same(transcript: Any, format_: str) -> None:
    body = json.loads(transcript.body("request"))
    body["messages"] = [SYSTEM, *body["messages"]]
    bodies = []
    for more in ([], steps(1), steps(2), steps(3), steps(4)):
        bodies.append(json.dumps({**body, "messages": [*body["messages"], *more]}).encode())
    remembered = [outcome(body, format_) for body in bodies]
    assert remembered == [forgetful(body, format_) for body in bodies]


def known_of(body: bytes) -> int:
    """How many of the messages were not read again."""
    before = MEMORY.meet("messages", body).before
    return len(before.messages) if isinstance(before, Past) else 0


def test_a_turn_reads_only_what_is_new_in_it() -> None:
    grown = steps(8)
    once, first, second, third = (body_of(grown[:end]) for end in (18, 20, 22, 24))
    outcome(once, "anthropic")
    assert known_of(first) == 0
    outcome(first, "anthropic")
    assert known_of(second) == 21
    before = CHAT.decode_request(second, Hints()).messages
    after = CHAT.decode_request(third, Hints()).messages
    assert known_of(third) == 25
    assert all(a is b for a, b in zip(before, after, strict=False))


def test_a_turn_writes_only_what_is_new_in_it() -> None:
    grown = steps(8)
    requests = [CHAT.decode_request(body_of(grown[:end]), Hints()) for end in (18, 20, 22, 24)]
    for request in requests:
        sent(request, "anthropic")
    thread = requests[-1].messages
    assert isinstance(thread, Thread)
    [(_, written)] = thread.past.written.items()
    assert [turn.role for turn in written.turns] == ["user", "assistant"] * 11


def test_a_turn_that_changed_what_was_said_is_read_anew() -> None:
    grown = steps(8)
    outcome(body_of(grown[:18]), "anthropic")
    outcome(body_of(grown[:20]), "anthropic")
    changed = [*grown[:19], {"role": "user", "content": "Another."}, *grown[20:]]
    assert known_of(body_of(changed)) == 0
    assert outcome(body_of(changed), "anthropic") == forgetful(body_of(changed), "anthropic")


HEAD = body_of(steps(2)).split(b'],"tools"')[0]


@pytest.mark.parametrize(
    "tail",
    [
        b',]}',
        b',{"role":"user","content":"x"}],"messages":[{"role":"user","content":"only this"}]}',
        b'],"\\u006dessages":[{"role":"user","content":"only this"}]}',
        b',{"role":"user","content":"x"}',
        b',17]}',
        b' , {"role":"user","content":"x"} ] , "n": 1 }',
        b']}',
    ],
)  # fmt: skip
def test_whatever_follows_a_known_beginning_is_read_as_without_it(tail: bytes) -> None:
    body = HEAD + tail
    expected = forgetful(body, "anthropic")
    outcome(HEAD + b"]}", "anthropic")
    outcome(HEAD + b"]}", "anthropic")
    outcome(HEAD + b',{"role":"assistant","content":"so"},{"role":"user","content":"x"}]}', "anthropic")
    forget()
    outcome(HEAD + b"]}", "anthropic")
    outcome(HEAD + b"]}", "anthropic")
    assert outcome(body, "anthropic") == expected
    assert outcome(body, "anthropic") == expected


def test_small_bodies_are_not_kept() -> None:
    request = CHAT.decode_request(b'{"model":"m","messages":[{"role":"user","content":"hi"}]}', Hints())
    assert type(request.messages) is tuple
    assert not isinstance(request.messages, Thread)


def past_of(number: int, size: int) -> Past:
    return Past(b'{"n":%d,"messages":["%b"]}' % (number, str(number % 10).encode() * size), "messages")


def test_the_oldest_conversations_go_first_when_there_is_no_room() -> None:
    memory = Memory(most=20 * LEAST)
    pasts = [past_of(number, LEAST) for number in range(8)]
    for past in pasts:
        memory.keep(past, past.body)
    found = [memory.meet("messages", past.body or past.chunks[0] + b"]}").before is not None for past in pasts]
    assert found == [False, False, True, True, True, True, True, True]


def test_a_body_that_would_fill_the_memory_is_not_kept() -> None:
    memory = Memory(most=20 * LEAST)
    past = past_of(1, 10 * LEAST)
    memory.keep(past, past.body)
    assert memory.meet("messages", past.body or past.chunks[0] + b"]}").before is None


def test_what_is_of_no_use_for_long_is_forgotten() -> None:
    memory = Memory()
    used, unused = past_of(1, LEAST), past_of(2, LEAST)
    for past in (used, unused):
        memory.keep(past, past.body)
    bodies = [past.body for past in (used, unused)]
    for _ in range(50):
        memory.age()
        assert memory.meet("messages", bodies[0]).before is used
    assert memory.meet("messages", bodies[1]).before is None
