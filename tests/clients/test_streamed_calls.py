"""Calls in streams: arguments come as they are made where both sides can, and calls that an upstream mixes come apart."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.clients.conversation import WEATHER, Ask, Driver, User
from tests.clients.crossing import DIRECT, DRIVERS, PYTHON, Play
from tests.clients.played import MODELS, Model, Played
from tests.clients.scenes import Scene, records, streamed

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="the played upstream is behind the daemon")]

ASK = Ask((User("hello"),), tools=(WEATHER,))
CALLING = Scene(call="call_1", arguments={"city": "Oslo", "note": "naïve café 東京"})
PIECEMEAL = ("openai-chat", "openai-responses", "anthropic", "bedrock")
"""The formats in which a call's arguments come in pieces; the others give whole calls."""


def _chat(client: Any, model: str) -> list[str]:
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER.schema}}]
    asked = {"model": model, "messages": [{"role": "user", "content": "hello"}], "tools": tools}
    deltas = [c.choices[0].delta for c in client.chat.completions.create(**asked, stream=True) if c.choices]
    return [call.function.arguments for delta in deltas for call in delta.tool_calls or () if call.function.arguments]


def _responses(client: Any, model: str) -> list[str]:
    tools: Any = [{"type": "function", "name": "weather", "parameters": WEATHER.schema, "strict": False}]
    events = client.responses.create(model=model, input="hello", tools=tools, store=False, stream=True)
    return [event.delta for event in events if event.type == "response.function_call_arguments.delta"]


def _messages(client: Any, model: str) -> list[str]:
    tools: Any = [{"name": "weather", "input_schema": WEATHER.schema}]
    asked = {"model": model, "max_tokens": 99, "messages": [{"role": "user", "content": "hello"}], "tools": tools}
    deltas = [e.delta for e in client.messages.create(**asked, stream=True) if e.type == "content_block_delta"]
    return [delta.partial_json for delta in deltas if delta.type == "input_json_delta" and delta.partial_json]


def _converse(client: Any, model: str) -> list[str]:
    spec = {"name": "weather", "inputSchema": {"json": WEATHER.schema}}
    messages = [{"role": "user", "content": [{"text": "hello"}]}]
    stream = client.converse_stream(modelId=model, messages=messages, toolConfig={"tools": [{"toolSpec": spec}]})[
        "stream"
    ]
    deltas = [event["contentBlockDelta"]["delta"] for event in stream if "contentBlockDelta" in event]
    return [delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta]


PIECES: Mapping[str, Callable[[Any, str], list[str]]] = {
    "openai-chat": _chat,
    "openai-responses": _responses,
    "anthropic": _messages,
    "bedrock": _converse,
}


@pytest.mark.parametrize("client", PIECEMEAL)
@pytest.mark.parametrize(
    "model", [m for m in MODELS if m.format in PIECEMEAL], indirect=True, ids=lambda model: f"to-{model.format}"
)
def test_arguments_come_in_the_pieces_they_are_made_in(
    drivers: Mapping[str, Driver], client: str, model: Model, played_upstream: Played
) -> None:
    played_upstream.says(model, "stream", CALLING)
    sdk: Any = drivers[client]
    pieces = PIECES[client](sdk.client, model.alias)
    assert len(pieces) == 2
    assert json.loads("".join(pieces)) == dict(CALLING.arguments)


def _mixed() -> list[bytes]:
    """Two calls of a chat completions stream, whose pieces take turns."""
    told = records("openai-chat", CALLING)
    head, begun, first, second, *rest = told
    other: dict[bytes, bytes] = defaultdict(bytes)
    for record in (begun, first, second):
        chunk = json.loads(record.removeprefix(b"data: "))
        (call,) = chunk["choices"][0]["delta"]["tool_calls"]
        call["index"] = 1
        if "id" in call:
            call["id"] = "call_2"
        call["function"]["arguments"] = call["function"]["arguments"].replace("Oslo", "Rome")
        other[record] = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    return [head, begun, other[begun], first, other[first], second, other[second], *rest]


@pytest.mark.covers("PF-66")
@pytest.mark.parametrize("mode", ["stream"], indirect=True)
@pytest.mark.parametrize("driver", list(DRIVERS), indirect=True)
@pytest.mark.parametrize("model", MODELS[:1], indirect=True, ids=["to-openai-chat"])
def test_calls_whose_pieces_take_turns_come_apart(play: Play) -> None:
    play.played.answers(streamed(play.model.format, _mixed()))
    answer = play.ask(ASK)
    assert [call.arguments["city"] for call in answer.calls] == ["Oslo", "Rome"]


@pytest.mark.parametrize("mode", ["stream"], indirect=True)
@pytest.mark.parametrize("driver", list(PYTHON), indirect=True)
def test_a_call_without_arguments_has_none(play: Play) -> None:
    play.says(Scene(call="call_1"))
    (call,) = play.ask(ASK).calls
    assert call.arguments == {}
