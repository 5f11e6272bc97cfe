"""An agent's large conversation with a provider of another format, turn by turn, through the whole daemon."""

import json
import pathlib
from typing import Any

import aiohttp
import pytest

from llm_mux.gateway import plan
from llm_mux.server.serving import DAEMON
from tests.daemon import daemon
from tests.fake_upstream import FakeUpstream, json_reply
from tests.translators.test_memory import function
from tests.translators.test_memory import steps as agent
from tests.translators.test_steps import SYSTEM, TOOLS, clear

MODEL = "claude-sonnet-4-6"
ASKED = {"model": MODEL, "tools": TOOLS, "reasoning_effort": "low"}
THINKING = {"type": "thinking", "thinking": "I should look.", "signature": "c2ln"}
WELL = {"type": "text", "text": "Well."}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"path": "a"}}


def message(*content: dict[str, Any]) -> dict[str, Any]:
    usage = {"input_tokens": 9, "output_tokens": 8}
    made = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": list(content)}
    return {**made, "stop_reason": "tool_use", "stop_sequence": None, "usage": usage}


def body_of(messages: list[dict[str, Any]], **more: Any) -> bytes:
    return json.dumps(ASKED | {"messages": messages} | more, separators=(",", ":")).encode()


def long_ways(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    taken: list[None] = []
    encode = plan._encode
    monkeypatch.setattr(plan, "_encode", lambda *given: (taken.append(None), encode(*given))[1])
    return taken


@pytest.mark.parametrize("stream", [False, True])
async def test_each_turn_is_told_whole_and_thoughts_are_put_back(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    clear()
    taken = long_ways(monkeypatch)
    grown = [SYSTEM, *agent(12)]
    ends = [end for end in range(8, len(grown) + 1) if grown[end - 1]["role"] == "user"]
    async with FakeUpstream() as upstream, aiohttp.ClientSession() as client:
        entry = {
            "type": "anthropic-compatible",
            "id": "up",
            "base-url": upstream.url,
            "api-key": "k",
            "models": [MODEL],
        }
        async with daemon(tmp_path, {"providers": [entry]}) as mux:

            async def ask(messages: list[dict[str, Any]], *content: dict[str, Any]) -> Any:
                upstream.on("/v1/messages", json_reply(message(*content)))
                body = body_of(messages, stream=stream)
                async with client.post(f"{mux.url}/v1/chat/completions", data=body) as answer:
                    assert answer.status == 200, await answer.text()
                return upstream.last.json()

            warm = [await ask(grown[:end], WELL) for end in ends]
            assert len(taken) <= 4, "nothing is known of the first few"
            assert warm == [await ask(grown[:end], WELL) for end in ends if clear() is None]
            assert not mux.app[DAEMON].gateway.seals.any
            await ask(grown[: ends[-1]], THINKING, CALL)
            called = {"role": "assistant", "content": None, "tool_calls": [function("toolu_1", "look", '{"path":"a"}')]}
            more = [*grown[: ends[-1]], called, {"role": "tool", "tool_call_id": "toolu_1", "content": "here"}]
            sent = await ask(more, WELL)
            assert sent["messages"][-2]["content"] == [THINKING, CALL]
            assert sent["messages"][:-2] == warm[-1]["messages"]
