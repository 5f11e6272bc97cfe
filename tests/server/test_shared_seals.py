"""Seals of reasoning that one process has kept and another one needs."""

import json
import os
import pathlib
import sys
from collections import Counter
from functools import partial
from typing import Any

import pytest
from aiohttp import web

from llm_mux.gateway.seals import Seals
from llm_mux.server.redis_seals import RedisSeals
from tests.daemon import process_daemon
from tests.gateway.test_seals import CALL, GEMINI_CALL, THOUGHT, kept, parts_of, request
from tests.server.test_workers import Upstream, fresh, metric, provider, until, upstream_of, workers_of
from tests.services import named

THINKING = {"type": "thinking", "thinking": "I should look.", "signature": "c2lnbmF0dXJl"}
ASKED = {"model": "m", "max_tokens": 100, "reasoning_effort": "high"}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


class Elsewhere:
    """What one process tells, for another to find."""

    def __init__(self) -> None:
        self.there: dict[str, bytes] = {}
        self.asked = 0

    def told(self, keys: Any, packed: bytes) -> None:
        self.there |= dict.fromkeys(keys, packed)

    async def settled(self) -> None:
        pass

    async def found(self, keys: Any) -> list[bytes]:
        self.asked += 1
        return [self.there[key] for key in keys if key in self.there]


async def test_what_another_process_has_kept_is_put_back_as_if_it_were_our_own() -> None:
    elsewhere, one, two = Elsewhere(), Seals(), Seals()
    one.elsewhere = two.elsewhere = elsewhere
    one.keep("local", (THOUGHT, CALL, GEMINI_CALL), now=0)
    bare = request(CALL, type(GEMINI_CALL)("call_2", "look", "{}"))
    assert not await two.recalled("another", bare, now=1)
    assert await two.recalled("local", bare, now=1)
    assert parts_of(two.restore("local", bare, now=1)) == parts_of(one.restore("local", bare, now=1))
    assert elsewhere.asked == 2
    assert not await two.recalled("local", bare, now=1)
    assert not await two.recalled("local", request(THOUGHT, CALL), now=1)
    assert elsewhere.asked == 2, "nobody is asked for what is known, or came along"


def test_a_process_that_begins_takes_over_everything() -> None:
    old, new = kept(THOUGHT, CALL, GEMINI_CALL), Seals()
    for packed in old.packed():
        new.take(packed, now=5)
    bare = request(CALL)
    assert parts_of(new.restore("local", bare, now=6)) == (THOUGHT, CALL)
    assert len(old.packed()) == len(new.packed()) == 2


async def test_redis_has_it_under_a_name_that_tells_nothing_and_only_who_has_the_call_opens_it() -> None:
    url, key = named("LLM_MUX_TEST_REDIS", "Redis"), f"tenant {os.urandom(4).hex()}\0call_1"
    mine, yours, other = (RedisSeals(url, env) for env in ({}, {}, {"LLM_MUX_SECRETS_KEY": "another"}))
    await mine.put([key], b"the reasoning")
    assert await yours.find([key, "unknown"]) == [b"the reasoning"]
    assert await other.find([key]) == []
    name = mine._name(key)
    content = await mine._redis.get(name)
    assert b"reasoning" not in content and "tenant" not in name
    assert 0 < await mine._redis.ttl(name) <= 24 * 3600
    await mine._redis.delete(name)
    for each in (mine, yours, other):
        await each.close()


async def test_a_redis_that_is_away_costs_the_seal_and_nothing_else() -> None:
    gone = RedisSeals("redis://127.0.0.1:9/0", {})
    await gone.put(["a"], b"x")
    assert await gone.find(["a"]) == []
    await gone.close()


async def thinker(upstream: Upstream, asked: web.Request) -> web.StreamResponse:
    """Thinks and calls a tool first; then it wants its thought back."""
    body = await asked.json()
    said = [message["content"] for message in body["messages"] if message["role"] == "assistant"]
    answered = bool(said)
    if answered:
        upstream.asked["sealed" if THINKING in said[0] else "bare"] += 1
    call = {"type": "tool_use", "id": f"toolu_{os.urandom(8).hex()}", "name": "look", "input": {"at": "it"}}
    content = [{"type": "text", "text": "done"}] if answered else [THINKING, call]
    stop = "end_turn" if answered else "tool_use"
    usage = {"input_tokens": 1, "output_tokens": 1}
    whole = {"id": "m", "type": "message", "role": "assistant", "model": "claude-opus-4-5", "content": content}
    return web.json_response({**whole, "stop_reason": stop, "stop_sequence": None, "usage": usage})


async def both_serve(session: Any, url: str) -> bool:
    return await metric(session, url, "llm_mux_workers") == 2


@pytest.mark.skipif(sys.platform == "win32", reason="this platform has no sockets that processes share")
@pytest.mark.parametrize("redis", [False, True], ids=["over their own sockets", "over Redis"])
async def test_the_next_turn_finds_its_reasoning_at_whichever_worker(tmp_path: pathlib.Path, redis: bool) -> None:
    async with upstream_of(thinker) as upstream:
        entry = {**provider(upstream), "type": "anthropic-compatible", "base-url": upstream.url.removesuffix("/v1")}
        config = {"providers": [entry], "workers": 2}
        if redis:
            config["redis-url"] = named("LLM_MUX_TEST_REDIS", "Redis")
        with process_daemon(tmp_path, config) as mux:
            async with fresh() as session:

                async def turn(*messages: Any) -> tuple[Any, str]:
                    body = {**ASKED, "tools": [TOOL], "messages": [{"role": "user", "content": "hi"}, *messages]}
                    async with session.post(f"{mux.url}/v1/chat/completions", json=body) as answer:
                        told = await answer.json()
                        assert answer.status == 200, told
                        return told["choices"][0]["message"], answer.headers["X-Request-ID"][:16]

                pairs: Counter[bool] = Counter()
                while min(pairs[True], pairs[False]) < 2:
                    said, first = await turn()
                    (call,) = said["tool_calls"]
                    stripped = {"role": "assistant", "content": None, "tool_calls": [call]}
                    _, second = await turn(stripped, {"role": "tool", "tool_call_id": call["id"], "content": "ok"})
                    pairs[first == second] += 1
                # One that begins knows what was kept before it.
                workers_of(mux)[0].kill()
                await until(partial(both_serve, session, mux.url))
                last: Counter[str] = Counter()
                while len(last) < 2:
                    _, worker = await turn(stripped, {"role": "tool", "tool_call_id": call["id"], "content": "ok"})
                    last[worker] += 1
    assert upstream.asked["bare"] == 0, json.dumps(upstream.asked)
    assert upstream.asked["sealed"] == pairs.total() + last.total()
