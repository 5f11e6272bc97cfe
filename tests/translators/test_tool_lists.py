"""A list of tools that a client sends with every turn is read once, in every format."""

import json
from typing import Any

import pytest

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators import registry
from llm_mux.translators.base import Hints
from llm_mux.translators.tools import Reading

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
FUNCTION = {"name": "look", "description": "Looks.", "parameters": SCHEMA}
SAID = [{"role": "user", "content": "hi"}]
BODIES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "openai_chat": ({"messages": SAID}, [{"type": "function", "function": FUNCTION}]),
    "openai_responses": ({"input": "hi"}, [{"type": "function", **FUNCTION}]),
    "anthropic": ({"messages": SAID, "max_tokens": 9}, [{"name": "look", "input_schema": SCHEMA}]),
    "gemini": ({"contents": [{"parts": [{"text": "hi"}]}]}, [{"functionDeclarations": [FUNCTION]}]),
    "ollama": ({"messages": SAID}, [{"type": "function", "function": FUNCTION}]),
}


def offered(client: str, tools: list[dict[str, Any]] | None) -> tuple[ir.Tool | ir.HostedTool, ...]:
    body = {"model": "m", **BODIES[client][0]} | ({} if tools is None else {"tools": tools})
    return registry.get(client).decode_request(json.dumps(body).encode(), Hints(model="m")).tools


@pytest.mark.parametrize("client", BODIES)
def test_tools_that_come_again_are_the_same_object(client: str) -> None:
    tools = BODIES[client][1]
    other = json.loads(json.dumps(tools).replace("Looks.", "Peeks.").replace("path", "file"))
    first, between, second = offered(client, tools), offered(client, other), offered(client, tools)
    assert first is second
    assert first != between
    assert isinstance(first[0], ir.Tool)
    assert first[0].name == "look"
    assert offered(client, None) == offered(client, []) == ()


@pytest.mark.parametrize("client", BODIES)
def test_wrong_tools_are_refused_each_time(client: str) -> None:
    wrong: Any = [{"functionDeclarations": [{"description": "no name"}]}] if client == "gemini" else [17]
    for _ in range(2):
        with pytest.raises(MuxError):
            offered(client, wrong)


def test_only_so_many_lists_are_kept_and_none_that_is_very_long() -> None:
    asked: list[bytes] = []

    def read(raw: bytes) -> tuple[ir.Tool, ...]:
        asked.append(raw)
        return (ir.Tool(raw[:1].decode()),)

    reading = Reading(read)
    lists = [bytes([65 + number]) for number in range(17)]
    for raw in [*lists, lists[16], lists[1], lists[0]]:
        assert reading(raw) == (ir.Tool(raw.decode()),)
    assert asked == [*lists, lists[0]]
    long = b"x" * (300 << 10)
    assert reading(long) == reading(long)
    assert asked[-2:] == [long, long]
