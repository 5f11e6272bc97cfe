"""Seals of reasoning that one process has kept and another one needs."""

import asyncio
import contextlib
import json
import os
import pathlib
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from llm_mux.gateway.seals import Seals
from llm_mux.server.peers import ROOT, Peers
from llm_mux.server.redis_seals import RedisSeals
from llm_mux.server.serving import DAEMON
from llm_mux.server.shared_seals import SharedSeals
from llm_mux.server.worker import Worker
from tests.daemon import daemon, process_daemon
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
        self.silent = 0

    def told(self, keys: Any, packed: bytes) -> None:
        self.there |= dict.fromkeys(keys, packed)

    telling = False
    current = False

    async def settled(self) -> None:
        pass

    async def found(self, keys: Any) -> tuple[list[bytes], bool]:
        self.asked += 1
        return [self.there[key] for key in keys if key in self.there], self.asked > self.silent


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


class Slow(Elsewhere):
    """Where it takes until `arrive` that something has arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.arrive = asyncio.Event()
        self.waited = asyncio.Event()

    @property
    def telling(self) -> bool:
        return bool(self.there) and not self.arrive.is_set()

    async def settled(self) -> None:
        self.waited.set()
        await self.arrive.wait()


@pytest.mark.parametrize("told", ["whole", "in a stream at once", "in a stream in pieces"])
async def test_an_answer_with_seals_ends_when_other_processes_have_heard_of_them(
    tmp_path: pathlib.Path, told: str
) -> None:
    async with upstream_of(thinker) as upstream:
        entry = {**provider(upstream), "type": "anthropic-compatible", "base-url": upstream.url.removesuffix("/v1")}
        async with daemon(tmp_path, {"providers": [entry]}) as mux, aiohttp.ClientSession() as session:
            body = {
                **ASKED,
                "tools": [TOOL],
                "messages": [{"role": "user", "content": told}],
                "stream": told != "whole",
            }

            async def asked() -> bytes:
                async with session.post(f"{mux.url}/v1/chat/completions", json=body) as answer:
                    return bytes(await answer.read())

            await asked()  # in a task: neither its key nor the way to its model are known yet
            slow = mux.app[DAEMON].parts.seals.elsewhere = Slow()
            answer = asyncio.create_task(asked())
            async with asyncio.timeout(10):
                await slow.waited.wait()
            assert not answer.done()
            slow.arrive.set()
            assert b"toolu_" in await answer
            assert slow.there


async def test_what_nobody_knew_is_not_asked_for_again_soon() -> None:
    """A call that never had a seal comes back with every turn of its conversation."""
    elsewhere, seals = Elsewhere(), Seals()
    elsewhere.silent = 1
    seals.elsewhere = elsewhere
    bare = request(CALL)
    for _ in range(3):
        assert not await seals.recalled("local", bare, now=1)
    assert elsewhere.asked == 2, "once more, as somebody had not answered"
    assert not seals.unknown("local", bare, now=2)
    assert not await seals.recalled("local", bare, now=100)
    assert elsewhere.asked == 3


async def test_only_the_newest_calls_are_asked_for() -> None:
    seals = Seals()
    assert not seals.unknown("local", request(CALL), now=1), "there is nobody else"
    seals.elsewhere = Elsewhere()
    calls = [type(CALL)(f"call_{number}", "look", "{}") for number in range(20)]
    unknown = seals.unknown("local", request(*calls), now=1)
    assert [keys[0].rpartition("\0")[2] for keys in unknown] == [f"call_{number}" for number in range(12, 20)]


def test_a_process_that_was_told_all_looks_for_nothing_where_there_is_nothing() -> None:
    """So large requests are written as they are read, which what may be put back into them would forbid."""
    elsewhere, seals = Elsewhere(), Seals()
    seals.elsewhere = elsewhere
    assert seals.any, "others may have something"
    elsewhere.current = True
    assert not seals.any
    for packed in kept(THOUGHT, CALL).packed():
        seals.take(packed, now=1)
    assert seals.any


@contextlib.asynccontextmanager
async def door(worker: Worker, number: int, packed: list[bytes]) -> AsyncIterator[asyncio.Event]:
    """Where a worker is asked for what it has kept, and whether it was."""
    asked = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        asked.set()
        return web.Response(body=msgspec.msgpack.encode(packed))

    app = web.Application()
    app.router.add_get(f"{ROOT}/seals", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.UnixSite(runner, worker.door_of(number)).start()
        yield asked
    finally:
        await runner.cleanup()


async def test_a_worker_has_been_told_all_when_another_answers_after_its_own_door_was_open() -> None:
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(number=0, of=2, folder=folder, supervisor=0, door=0, line=0)
        peers = Peers(worker)
        shared = SharedSeals(peers, {})
        shared.become(None)
        learning = asyncio.create_task(shared.learn())
        async with asyncio.timeout(20), door(worker, 1, kept(THOUGHT, CALL).packed()) as asked:
            await asked.wait()
            while not shared.seals.packed():
                await asyncio.sleep(0)
            assert not shared.current, "what is kept meanwhile would not be heard of"
            async with door(worker, 0, []):
                await learning
        assert shared.current
        assert shared.seals.packed() == kept(THOUGHT, CALL).packed()
        shared.become("redis://127.0.0.1:9/0")
        assert not shared.current
        shared.become(None)
        assert not shared.current, "what was told to that Redis was not told to this worker"
        await shared.close()
        await peers.close()


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
    assert await gone.find(["a"]) is None
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
    whole |= {"stop_reason": stop, "stop_sequence": None, "usage": usage}
    return await told_in(asked, events_of(whole)) if body.get("stream") else web.json_response(whole)


async def told_in(asked: web.Request, events: list[bytes]) -> web.StreamResponse:
    """A stream, of which each piece is on its way before the next, if the client wants it in pieces."""
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(asked)
    pieces = events if b"pieces" in await asked.read() else [b"".join(events)]
    for piece in pieces:
        await answer.write(piece)
        await asyncio.sleep(0.002)
    return answer


def events_of(whole: dict[str, Any]) -> list[bytes]:
    """The same answer as a stream of Messages."""
    found: list[dict[str, Any]] = [{"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}]
    for index, block in enumerate(whole["content"]):
        empty, deltas = {**block}, []
        for name, kind in (("thinking", "thinking_delta"), ("signature", "signature_delta"), ("text", "text_delta")):
            if name in block:
                empty[name] = ""
                deltas.append({"type": kind, name: block[name]})
        if "input" in block:
            empty["input"] = {}
            deltas.append({"type": "input_json_delta", "partial_json": json.dumps(block["input"])})
        found.append({"type": "content_block_start", "index": index, "content_block": empty})
        found += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        found.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    found += [{"type": "message_delta", "delta": ending, "usage": whole["usage"]}, {"type": "message_stop"}]
    return [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in found]


async def message_in(answer: Any) -> dict[str, Any]:
    """What a stream of chat said."""
    calls: dict[int, dict[str, Any]] = {}
    async for line in answer.content:
        if not line.startswith(b"data: {"):
            continue
        for choice in json.loads(line[6:])["choices"]:
            for delta in choice["delta"].get("tool_calls") or ():
                function = delta["function"]
                call = calls.setdefault(delta["index"], {"id": delta.get("id"), "type": "function", "function": {}})
                for name in ("name", "arguments"):
                    call["function"][name] = call["function"].get(name, "") + (function.get(name) or "")
    return {"role": "assistant", "tool_calls": [calls[index] for index in sorted(calls)]}


async def both_serve(session: Any, url: str) -> bool:
    return await metric(session, url, "llm_mux_workers") == 2


@pytest.mark.skipif(sys.platform == "win32", reason="this platform has no sockets that processes share")
@pytest.mark.parametrize("told", ["whole", "in a stream at once", "in a stream in pieces"])
@pytest.mark.parametrize("redis", [False, True], ids=["over their own sockets", "over Redis"])
async def test_the_next_turn_finds_its_reasoning_at_whichever_worker(
    tmp_path: pathlib.Path, redis: bool, told: str
) -> None:
    async with upstream_of(thinker) as upstream:
        entry = {**provider(upstream), "type": "anthropic-compatible", "base-url": upstream.url.removesuffix("/v1")}
        config = {"providers": [entry], "workers": 2}
        if redis:
            config["redis-url"] = named("LLM_MUX_TEST_REDIS", "Redis")
        with process_daemon(tmp_path, config) as mux:
            async with fresh() as session:

                async def turn(*messages: Any) -> tuple[Any, str]:
                    body = {**ASKED, "tools": [TOOL], "messages": [{"role": "user", "content": told}, *messages]}
                    body["stream"] = told != "whole"
                    async with session.post(f"{mux.url}/v1/chat/completions", json=body) as answer:
                        assert answer.status == 200, await answer.text()
                        worker = answer.headers["X-Request-ID"][:16]
                        if body["stream"]:
                            return await message_in(answer), worker
                        return (await answer.json())["choices"][0]["message"], worker

                pairs: Counter[bool] = Counter()
                while min(pairs[True], pairs[False]) < 3:
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
