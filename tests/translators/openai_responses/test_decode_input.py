"""A Responses conversation that is remembered comes out as if it had been read and written as a whole."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators import envelope, registry
from llm_mux.translators.base import Encoded, Hints
from llm_mux.translators.memory import LEAST, MEMORY, Past, Thread
from llm_mux.translators.openai_responses.compact import compact_request
from llm_mux.translators.openai_responses.decode_input import _State
from llm_mux.translators.openai_responses.translator import TRANSLATOR
from tests.translators.conftest import forget
from tests.translators.openai_responses import kit
from tests.translators.transcripts import UPSTREAMS, target

Item = dict[str, Any]
Outcome = tuple[ir.Request | str, Encoded | str]
TOOLS = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]


def user(text: str) -> Item:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def said(text: str, phase: str | None = None) -> Item:
    content = [{"type": "output_text", "text": text}]
    return {"type": "message", "role": "assistant", "content": content, "phase": phase}


def call(id_: str, arguments: str = "{}") -> Item:
    return {"type": "function_call", "call_id": id_, "name": "look", "arguments": arguments}


def result(id_: str, output: object = "seen") -> Item:
    return {"type": "function_call_output", "call_id": id_, "output": output}


def thought(sealed: str = "gAAA") -> Item:
    return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed}


def agent(steps: int) -> list[Item]:
    made = [user("Begin. " + "words " * (LEAST // 6))]
    for number in range(steps):
        made += [
            thought(),
            said("I look.", "commentary"),
            call(f"call_{number}"),
            result(f"call_{number}", "line\n" * 40),
        ]
    return made


def turn(grown: list[Item], *, spaces: bool = False, **more: Any) -> bytes:
    body = {"model": kit.MODEL, "instructions": "You are an agent.", "input": grown, "tools": TOOLS, **more}
    return json.dumps(body, separators=None if spaces else (",", ":")).encode()


def outcome(body: bytes, format_: str, hints: Hints) -> Outcome:
    """What comes of a request: its canonical form and what is sent, or the words of the refusal."""
    try:
        request = TRANSLATOR.decode_request(body, hints)
    except MuxError as error:
        return str(error), ""
    try:
        return request, registry.get(format_).encode_request(request, target(format_))
    except MuxError as error:
        return request, str(error)


def outcomes(bodies: list[bytes], format_: str, headers: dict[str, str] | None = None) -> list[Outcome]:
    return [outcome(body, format_, Hints(headers=headers or {})) for body in bodies]


def forgetful(bodies: list[bytes], format_: str, headers: dict[str, str] | None = None) -> list[Outcome]:
    made = []
    for body in bodies:
        forget()
        made += outcomes([body], format_, headers)
    return made


@pytest.mark.parametrize("format_", UPSTREAMS)
@pytest.mark.parametrize("headers", [{}, kit.CODEX])
def test_an_agents_conversation_comes_out_the_same_turn_by_turn(format_: str, headers: dict[str, str]) -> None:
    grown = agent(8)
    bodies = [turn(grown[:end]) for end in range(1, len(grown) + 1)]
    assert outcomes(bodies, format_, headers) == forgetful(bodies, format_, headers)


@pytest.mark.parametrize("format_", UPSTREAMS)
def test_other_surroundings_are_heard(format_: str) -> None:
    grown = agent(8)
    others: list[dict[str, Any]] = [
        {},
        {},
        {"instructions": "You are another."},
        {"instructions": None},
        {"conversation": "conv_1"},
        {"tools": []},
        {"reasoning": {"effort": "low"}},
        {},
    ]
    bodies = [turn(grown[: 9 + n], **more) for n, more in enumerate(others)]
    assert outcomes(bodies, format_) == forgetful(bodies, format_)


def test_what_codex_was_read_as_is_not_given_to_another_client() -> None:
    grown = [{"type": "additional_tools", "tools": TOOLS}, *agent(8)]
    bodies = [turn(grown[:end]) for end in (10, 11, 12)]
    headers: list[dict[str, str]] = [kit.CODEX, kit.CODEX, {}]
    warm = [outcome(body, "anthropic", Hints(headers=each)) for body, each in zip(bodies, headers, strict=True)]
    assert warm[2] == forgetful(bodies[2:], "anthropic")[0]


texts = st.sampled_from(["hi", "", '"gw1', "caf\u00e9 \n"])
items = st.one_of(
    texts.map(user),
    st.builds(said, texts, st.sampled_from([None, "commentary", "final_answer"])),
    st.sampled_from(["a", "b", "call_1"]).map(call),
    st.builds(result, st.sampled_from(["a", "b", "call_1"]), texts | st.just([{"type": "input_text", "text": "x"}])),
    st.sampled_from(
        [
            thought(),
            thought(envelope.seal_of_call(ir.Native("gemini", Raw(b'"c2ln"')))),
            "a string",
            {"role": "developer", "content": "late"},
            {"type": "additional_tools", "tools": TOOLS},
            {"type": "configuration_update", "reasoning": {"effort": "high"}},
            {"type": "compaction_trigger"},
            {"type": "item_reference", "id": "msg_1"},
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "*** Begin"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
            {"type": "message", "role": "nobody", "content": "x"},
            {"type": "function_call", "call_id": "x"},
            17,
        ]
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(items, max_size=7), st.booleans(), st.sampled_from(UPSTREAMS), st.sampled_from([{}, kit.CODEX]))
def test_a_conversation_of_any_kind_comes_out_the_same_turn_by_turn(
    more: list[Item], spaces: bool, format_: str, headers: dict[str, str]
) -> None:
    forget()
    grown = [*agent(2), *more]
    bodies = [turn(grown[:end], spaces=spaces) for end in range(7, len(grown) + 1)]
    assert outcomes(bodies, format_, headers) == forgetful(bodies, format_, headers)


def known_of(body: bytes) -> int:
    """How many of the items were not read again."""
    before = MEMORY.meet("input", body, "openai_responses").before
    if not isinstance(before, Past) or not isinstance(before.state, _State):
        return 0
    return before.state.number


def test_a_turn_reads_only_what_is_new_in_it() -> None:
    grown = agent(20)
    requests = [TRANSLATOR.decode_request(turn(grown[:end]), Hints()) for end in (53, 57, 61)]
    assert known_of(turn(grown[:65])) == 61
    messages = requests[2].messages
    assert isinstance(messages, Thread)
    same = [a is b for a, b in zip(requests[1].messages, messages, strict=False)]
    assert same.count(True) >= len(requests[1].messages) - 2


def test_a_wrong_item_behind_known_ones_is_named_by_its_place() -> None:
    grown = agent(20)
    for end in (53, 57):
        TRANSLATOR.decode_request(turn(grown[:end]), Hints())
    wrong: Any = {"type": "message", "role": "nobody", "content": "x"}
    with pytest.raises(MuxError, match=r"input\[61\]\.role"):
        TRANSLATOR.decode_request(turn([*grown[:61], wrong]), Hints())


def test_a_request_to_compact_is_read_as_a_whole_and_leaves_no_trace() -> None:
    bodies = [turn(agent(20)[:end]) for end in (53, 57, 61)]
    for body in bodies[:2]:
        TRANSLATOR.decode_request(body, Hints())
    cold = forgetful(bodies[2:], "openai_responses")
    for body in bodies[:2]:
        TRANSLATOR.decode_request(body, Hints())
    asked = compact_request(bodies[2])
    assert "__compact" in asked.extras
    assert outcomes(bodies[2:], "openai_responses") == cold


@pytest.mark.parametrize("fields", [{}, {"input": None}, {"input": []}, {"input": "Go on."}], ids=str)
def test_a_long_request_may_go_on_from_what_the_server_keeps(fields: dict[str, Any]) -> None:
    sent = {"model": "m", "previous_response_id": "resp_1", "instructions": "words " * (LEAST // 6), **fields}
    read = [TRANSLATOR.decode_request(json.dumps(sent).encode(), Hints()) for _ in range(3)]
    assert read[0] == read[1] == read[2]
    assert len(read[0].messages) == (3 if fields.get("input") else 2)
