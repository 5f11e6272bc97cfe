"""What the daemon holds of a request while its model thinks (as it came, as it was sent), and while it answers (as it
came, where it may be needed)."""

import asyncio
import gc
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest

from llm_mux import ir
from llm_mux.gateway.ask import Ask
from llm_mux.gateway.plan import Plan
from llm_mux.gateway.upstream import Call
from tests.daemon import daemon
from tests.fake_upstream import FakeUpstream, Step, Wait, sse_reply

SAID = "what was said in a long conversation, again and again. " * 100
TURNS = [{"role": "user", "content": f"{SAID}{number}"} for number in range(4)]


def events(*records: dict[str, object]) -> list[bytes]:
    return [f"event: {each.get('type', '')}\ndata: {json.dumps(each)}\n\n".encode() for each in records]


def chunk(**more: object) -> dict[str, object]:
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", **more}


def chosen(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
    return chunk(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


CHAT = [
    *(line.split(b"\n", 1)[1] for line in events(chosen({"role": "assistant", "content": "a"}), chosen({}, "stop"))),
    b"data: [DONE]\n\n",
]
MESSAGES = events(
    {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "m",
     "content": [], "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 7, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)  # fmt: skip


def objects() -> list[Any]:
    """What requests are turned into, as far as it is there."""
    return [each for each in gc.get_objects() if type(each) in (ir.Request, Plan, Call, Ask)]


def held(others: Sequence[Any]) -> dict[str, int]:
    """How many there are, beside those of other tests, each with all that was said in it."""
    known = set(map(id, others))
    found = [each for each in objects() if id(each) not in known]
    return {
        "canonical": sum(type(each) is ir.Request and bool(each.messages) for each in found),
        "plans": sum(type(each) is Plan for each in found),
        "calls": sum(type(each) is Call and bool(each.body) for each in found),
        "bodies": sum(type(each) is Ask and bool(each.body) for each in found),
    }


CASES = [
    pytest.param("/v1/chat/completions", "anthropic-compatible", "/v1/messages", MESSAGES, 3, 0, id="translated"),
    pytest.param("/v1/chat/completions", "openai-compatible", "/v1/chat/completions", CHAT, 1, 0, id="spliced"),
    pytest.param("/v1/messages", "openai-compatible", "/v1/chat/completions", CHAT, 1, 1, id="for Claude's clients"),
    pytest.param("/v1/responses", "openai-compatible", "/v1/chat/completions", CHAT, 1, 1, id="for Codex"),
]


@pytest.mark.parametrize(("path", "provider", "asked", "answer", "begun", "bodies"), CASES)
async def test_a_stream_keeps_what_was_said_once_at_the_most(
    tmp_path: pathlib.Path, path: str, provider: str, asked: str, answer: Sequence[bytes], begun: int, bodies: int
) -> None:
    others = objects()
    think, go = asyncio.Event(), asyncio.Event()
    steps: list[Step] = [Wait(think), *answer[:begun], Wait(go), *answer[begun:]]
    body = {"model": "m", "max_tokens": 9, "stream": True, "input" if "responses" in path else "messages": TURNS}
    async with FakeUpstream() as upstream:
        upstream.on(asked, sse_reply(*steps))
        base = upstream.url + ("" if provider.startswith("anthropic") else "/v1")
        config = {"providers": [{"id": "p", "type": provider, "base-url": base, "models": ["m"], "api-key": "k"}]}
        async with daemon(tmp_path, config) as mux, aiohttp.ClientSession() as client:
            asking = asyncio.create_task(client.post(mux.url + path, json=body))
            await upstream.arrived.wait()
            thinking = held(others)
            think.set()
            async with await asking as stream:
                assert await stream.content.readany()
                answering = held(others)
                go.set()
                assert await stream.read()
            assert stream.status == 200
    # Clients of these two are told of their request when the answer starts.
    assert thinking == {"canonical": int(path != "/v1/chat/completions"), "plans": 1, "calls": 1, "bodies": 1}
    assert answering == {"canonical": 0, "plans": 0, "calls": 0, "bodies": bodies}
    assert held(others) == {"canonical": 0, "plans": 0, "calls": 0, "bodies": 0}


async def test_the_usage_that_nobody_told_is_estimated_from_what_was_asked(tmp_path: pathlib.Path) -> None:
    go = asyncio.Event()
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", sse_reply(CHAT[0], Wait(go), *CHAT[1:]))
        url = f"{upstream.url}/v1"
        config = {"providers": [{"id": "p", "type": "openai-compatible", "base-url": url, "models": ["m"]}]}
        body = {"model": "m", "max_tokens": 9, "stream": True, "messages": TURNS}
        async with daemon(tmp_path, config) as mux, aiohttp.ClientSession() as client:
            async with client.post(f"{mux.url}/v1/messages", json=body) as stream:
                await stream.content.readany()
                go.set()
                told = (await stream.read()).decode()
    usage = [
        json.loads(line[6:])["usage"] for line in told.splitlines() if line.startswith("data:") and "usage" in line
    ]
    assert usage[-1]["input_tokens"] > len(SAID)
