"""A Messages conversation that is remembered comes out as if it had been read and written as a whole."""

import json
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators import registry
from llm_mux.translators.base import Encoded, Hints
from llm_mux.translators.memory import MEMORY, Past, Thread
from tests.translators.anthropic import kit
from tests.translators.anthropic.test_outline import MARK, Message, agent, blocks, turn
from tests.translators.conftest import forget
from tests.translators.transcripts import UPSTREAMS, target

CLAUDE = registry.get("anthropic")
Outcome = tuple[ir.Request | str, Encoded | str]


def outcome(body: bytes, format_: str) -> Outcome:
    """What comes of a request: its canonical form and what is sent, or the words of the refusal."""
    try:
        request = CLAUDE.decode_request(body, Hints())
    except MuxError as error:
        return str(error), ""
    try:
        return request, registry.get(format_).encode_request(request, target(format_))
    except MuxError as error:
        return request, str(error)


def outcomes(bodies: list[bytes], format_: str) -> list[Outcome]:
    return [outcome(body, format_) for body in bodies]


def forgetful(bodies: list[bytes], format_: str) -> list[Outcome]:
    made = []
    for body in bodies:
        forget()
        made.append(outcome(body, format_))
    return made


def words(number: int) -> list[dict[str, str]]:
    return [{"type": "text", "text": f"You are agent {number}."}]


@pytest.mark.parametrize("format_", UPSTREAMS)
@pytest.mark.parametrize("marks", [0, 1, 2, 4])
def test_an_agents_conversation_comes_out_the_same_turn_by_turn(format_: str, marks: int) -> None:
    grown = agent(12)
    bodies = [turn(grown[:end], marks=marks, spaces=end % 4 > 1) for end in range(1, len(grown) + 1)]
    bodies = [turn(grown[:end], marks=marks) for end in range(1, len(grown) + 1)] + bodies
    assert outcomes(bodies, format_) == forgetful(bodies, format_)


@pytest.mark.parametrize("format_", UPSTREAMS)
def test_a_slot_that_says_something_else_is_heard(format_: str) -> None:
    grown = agent(12)
    bodies = [turn(grown[: 3 + 2 * n], system=words(n // 3)) for n in range(10)]
    bodies += [turn(grown[: 23 + n], **more) for n, more in enumerate(({"system": None}, {"system": "You."}))]
    assert outcomes(bodies, format_) == forgetful(bodies, format_)


odd = st.sampled_from(
    [
        {"role": "system", "content": "late", "output_config": {"effort": "high"}},
        {"role": "system", "content": "late", **MARK},
        {"role": "nobody", "content": "x"},
        {"role": "user"},
        {"role": "user", "content": {"type": "text", "text": "one"}},
        {"role": "user", "content": "x", "odd": 1},
        kit.user({"type": "no such"}, {"type": "text"}),
    ]
)
said = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["user", "assistant"]),
    st.lists(blocks | st.just(kit.use("toolu_3")) | st.just(kit.result("toolu_3")), min_size=1, max_size=3),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(said | odd, max_size=6), st.integers(0, 3), st.booleans(), st.sampled_from(UPSTREAMS))
def test_a_conversation_of_any_kind_comes_out_the_same_turn_by_turn(
    turns: list[Message], marks: int, spaces: bool, format_: str
) -> None:
    forget()
    grown = [*agent(4), *turns]
    bodies = [marked(grown[:end], marks, spaces=spaces) for end in range(4, len(grown) + 1)]
    assert outcomes(bodies, format_) == forgetful(bodies, format_)


def marked(grown: list[Message], marks: int, *, spaces: bool) -> bytes:
    """The same with marks on the last messages that can carry one."""
    can = [isinstance(message.get("content"), list) for message in grown]
    behind = can[::-1].index(False) if False in can else len(can)
    return turn(grown, marks=min(marks, behind), spaces=spaces)


def known_of(body: bytes) -> int:
    """How many of the messages were not read again."""
    before = MEMORY.meet("messages", body, "anthropic").before
    return len(before.messages) if isinstance(before, Past) else 0


@pytest.mark.parametrize("marks", [0, 1, 2])
def test_a_turn_reads_only_what_is_new_in_it(marks: int) -> None:
    grown = agent(20)
    requests = [CLAUDE.decode_request(turn(grown[:end], marks=marks), Hints()) for end in (31, 33, 35)]
    assert known_of(turn(grown[:37], marks=marks)) == 35 - marks
    same = [a is b for a, b in zip(requests[1].messages, requests[2].messages, strict=False)]
    assert same.count(True) == 1 + 33 - marks


@pytest.mark.parametrize("marks", [0, 1, 2])
def test_what_is_tidied_ends_before_what_may_change(marks: int) -> None:
    grown = agent(20)
    for end in (31, 33, 35, 37):
        request = CLAUDE.decode_request(turn(grown[:end], marks=marks), Hints())
        registry.get("openai_chat").encode_request(request, target("openai_chat"))
    assert isinstance(request.messages, Thread)
    assert request.messages.past.tidied is not None
    assert 32 - marks <= request.messages.past.tidied.until <= 37 - marks


def test_a_wrong_message_behind_known_ones_is_named_by_its_place() -> None:
    grown = agent(20)
    for end in (31, 33):
        CLAUDE.decode_request(turn(grown[:end], marks=0), Hints())
    wrong: Any = {"role": "nobody", "content": "x"}
    with pytest.raises(MuxError, match=r"messages\.34\.role"):
        CLAUDE.decode_request(turn([*grown[:34], wrong], marks=0), Hints())


def test_what_is_remembered_holds_on_to_no_body() -> None:
    grown = agent(20)
    thought = {"type": "thinking", "thinking": "hm", "signature": "EqQB"}
    for message in grown[1::2]:
        message["content"].insert(0, thought)
    bodies = [turn(grown[:end]) for end in (31, 33, 35)]
    for number in range(len(bodies)):
        CLAUDE.decode_request(bodies[number], Hints())
    assert known_of(turn(grown[:37])) > 30
    assert [sys.getrefcount(body) for body in bodies] == [3] * len(bodies)


def test_what_no_body_holds_is_said_as_ever() -> None:
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": [], "metadata": {"user_id": "u" * 40_000}}).encode()
    for _ in range(3):
        with pytest.raises(MuxError, match="at least one message"):
            CLAUDE.decode_request(body, Hints())
