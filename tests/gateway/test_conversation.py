"""What keeps a conversation with its account: the same name from turn to turn, another one for another conversation."""

from typing import Any

import msgspec
import pytest

from llm_mux.gateway.conversation import conversation

SYSTEM = {"role": "system", "content": "You are an agent. " * 500}


def chat(*said: str, **more: object) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {
        "model": "m",
        "messages": [SYSTEM, *({"role": roles[n % 2], "content": s} for n, s in enumerate(said))],
        **more,
    }


def contents(*said: str) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": each}]} for each in said]}


def name(body: object, tenant: str = "local", **headers: str) -> str:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return conversation(tenant, {key.replace("_", "-"): value for key, value in headers.items()}, raw)


@pytest.mark.parametrize(
    ("first", "later", "other"),
    [
        pytest.param(chat("a"), chat("a", "b", "c", tools=[1]), chat("x"), id="how it began, after a long system prompt"),
        pytest.param(chat("a", prompt_cache_key="k"), chat("z", prompt_cache_key="k"), chat("a", prompt_cache_key="l"), id="cache key"),
        pytest.param(chat("a", session_id="s"), chat("z", session_id="s"), chat("a", session_id="t"), id="session"),
        pytest.param(chat("a", metadata={"user_id": "u_session_1"}), chat("z", metadata={"user_id": "u_session_1"}), chat("a", metadata={"user_id": "u_session_2"}), id="user id with a session"),
        pytest.param({"input": "a", "conversation": {"id": "c1"}}, {"input": "z", "conversation": {"id": "c1"}}, {"input": "a", "conversation": {"id": "c2"}}, id="responses"),
        pytest.param({"input": [{"role": "user", "content": "a"}]}, {"input": [{"role": "user", "content": "a"}, {"type": "reasoning"}]}, {"input": [{"role": "user", "content": "b"}]}, id="items"),
        pytest.param(contents("a"), contents("a", "b"), contents("b"), id="gemini"),
        pytest.param(b'{"prompt": "a" oops', b'{"prompt": "a" oops', b'{"prompt": "b" oops', id="no JSON"),
        pytest.param({"messages": []}, {"messages": []}, {"messages": [7]}, id="nothing said"),
    ],
)  # fmt: skip
def test_a_conversation_keeps_its_name_and_another_has_another(first: object, later: object, other: object) -> None:
    assert name(first) == name(later)
    assert name(first) != name(other)
    assert name(first) != name(first, tenant="somebody else")


@pytest.mark.parametrize(
    "header", ["x_claude_code_session_id", "session_id", "x_session_affinity", "x_client_request_id"]
)
def test_a_session_header_wins_over_the_body(header: str) -> None:
    assert name(chat("a"), **{header: "s1"}) == name(chat("b", session_id="t"), **{header: "s1"})
    assert name(chat("a"), **{header: "s1"}) != name(chat("a"), **{header: "s2"})


def test_the_name_of_a_long_one_stays_short() -> None:
    assert len(name(chat("long " * 100_000))) < 5000
