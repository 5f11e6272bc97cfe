"""Many mixed exchanges through the whole daemon: the books say what the upstream said, to the token and the picodollar.

`LLM_MUX_TRUTH_CALLS` says how many; figures are printed (`pytest -s`).
"""

import asyncio
import contextlib
import os
import pathlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from sqlalchemy import select

from llm_mux.ledger.report import usage
from llm_mux.ledger.schema import exchanges
from llm_mux.server.serving import DAEMON
from llm_mux.server.usage import today
from tests.daemon import daemon

CALLS = int(os.environ.get("LLM_MUX_TRUTH_CALLS", "400"))
AT_ONCE = 32
MODEL = "claude-sonnet-4-5"
THINKER = "thinker"
KINDS = ("whole", "stream", "retry", "fail", "cut", "leave", "think", "think aloud")
RATES = {"input": "3", "cache_read": "0.3", "cache_write": "3.75", "cache_write_1h": "6", "output": "15"}
LONG = {"input": "6", "cache_read": "0.6", "cache_write": "7.5", "cache_write_1h": "12", "output": "22.5"}
THOUGHTS = {"input": "1.25", "cache_read": "0.125", "output": "10", "reasoning": "12.5"}
NOTHING = dict.fromkeys((*RATES, "reasoning"), 0)


def drawn(number: int) -> dict[str, int]:
    """What call `number` uses; some prompts are long enough for the higher price."""
    chance = random.Random(number)
    if KINDS[number % len(KINDS)].startswith("think"):
        output = chance.randrange(1, 4000)
        return {
            **NOTHING,
            "input": chance.randrange(1, 5000),
            "cache_read": chance.choice((0, chance.randrange(1, 100_000))),
            "output": output,
            "reasoning": chance.randrange(0, output + 1),
        }
    return {
        "input": chance.randrange(1, 250_000 if number % 7 == 0 else 5000),
        "cache_read": chance.choice((0, chance.randrange(1, 100_000))),
        "cache_write": chance.choice((0, chance.randrange(1, 3000))),
        "cache_write_1h": chance.choice((0, chance.randrange(1, 2000))),
        "output": chance.randrange(1, 4000),
        "reasoning": 0,
    }


def wire(used: dict[str, int], output: int) -> dict[str, Any]:
    return {
        "input_tokens": used["input"],
        "cache_read_input_tokens": used["cache_read"],
        "cache_creation_input_tokens": used["cache_write"] + used["cache_write_1h"],
        "cache_creation": {
            "ephemeral_5m_input_tokens": used["cache_write"],
            "ephemeral_1h_input_tokens": used["cache_write_1h"],
        },
        "output_tokens": output,
    }


def thinking(used: dict[str, int]) -> dict[str, Any]:
    """The same as OpenAI says it: all of the prompt, all of the answer, and of each what is special."""
    prompt = used["input"] + used["cache_read"]
    return {
        "prompt_tokens": prompt,
        "prompt_tokens_details": {"cached_tokens": used["cache_read"]},
        "completion_tokens": used["output"],
        "completion_tokens_details": {"reasoning_tokens": used["reasoning"]},
        "total_tokens": prompt + used["output"],
    }


@dataclass
class Upstream:
    """Speaks Anthropic's format, and OpenAI's for those that think; `told` is the usage that each call was told of, `asked` how often it came."""

    told: dict[int, dict[str, int]] = field(default_factory=dict)
    asked: Counter[int] = field(default_factory=Counter)

    async def messages(self, request: web.Request) -> web.StreamResponse:
        body = msgspec.json.decode(await request.read())
        content = body["messages"][0]["content"]
        number = int((content if isinstance(content, str) else content[0]["text"]).split()[1])
        kind, used = KINDS[number % len(KINDS)], drawn(number)
        self.asked[number] += 1
        if kind == "retry" and self.asked[number] == 1:
            return _error(500, "api_error")
        if kind == "fail":
            return _error(400, "invalid_request_error")
        if not body.get("stream"):
            self.told[number] = used
            message = {"id": "m", "type": "message", "role": "assistant", "model": MODEL, "stop_reason": "end_turn"}
            parts = [{"type": "text", "text": "Hello"}]
            return web.json_response({**message, "content": parts, "usage": wire(used, used["output"])})
        return await self._streamed(request, number, kind, used)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = msgspec.json.decode(await request.read())
        content = body["messages"][0]["content"]
        number = int((content if isinstance(content, str) else content[0]["text"]).split()[1])
        self.told[number] = used = drawn(number)
        head = {"id": "c", "created": 1, "model": THINKER}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "Hello", "reasoning_content": "Hm."}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return web.json_response(
                {**head, "object": "chat.completion", "choices": [choice], "usage": thinking(used)}
            )
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        deltas: list[dict[str, Any]] = [{"reasoning_content": "Hm."}, {"content": "Hello "}, {"content": "there"}, {}]
        for delta in deltas:
            choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
            await _piece(response, {**head, "object": "chat.completion.chunk", "choices": [choice]})
        await _piece(response, {**head, "object": "chat.completion.chunk", "choices": [], "usage": thinking(used)})
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _streamed(self, request: web.Request, number: int, kind: str, used: dict[str, int]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        self.told[number] = {**used, "output": 1}
        message = {"id": "m", "type": "message", "role": "assistant", "model": MODEL, "content": []}
        await _send(response, "message_start", message={**message, "usage": wire(used, 1)})
        await _send(response, "content_block_start", index=0, content_block={"type": "text", "text": ""})
        for _ in range(3):
            await _send(response, "content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello "})
        if kind == "cut":
            assert request.transport is not None
            request.transport.close()
            return response
        if kind == "leave":
            with contextlib.suppress(ConnectionError):
                while True:
                    await _send(response, "ping")
                    await asyncio.sleep(0.01)
            return response
        self.told[number] = used
        await _send(response, "content_block_stop", index=0)
        await _send(
            response, "message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": used["output"]}
        )
        await _send(response, "message_stop")
        return response


async def _piece(response: web.StreamResponse, chunk: dict[str, Any]) -> None:
    await response.write(b"data: " + msgspec.json.encode(chunk) + b"\n\n")


async def _send(response: web.StreamResponse, event: str, **fields: Any) -> None:
    data = msgspec.json.encode({"type": event, **fields})
    await response.write(b"event: " + event.encode() + b"\ndata: " + data + b"\n\n")


def _error(status: int, kind: str) -> web.Response:
    return web.json_response({"type": "error", "error": {"type": kind, "message": "scripted"}}, status=status)


@contextlib.asynccontextmanager
async def served(upstream: Upstream) -> AsyncIterator[str]:
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/v1/messages", upstream.messages)
    app.router.add_post("/v1/chat/completions", upstream.chat)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def call(client: aiohttp.ClientSession, number: int) -> None:
    """One exchange of its kind, by Anthropic's protocol or by OpenAI's."""
    kind = KINDS[number % len(KINDS)]
    anthropic = number // len(KINDS) % 2 == 0
    body: dict[str, Any] = {
        "model": THINKER if kind.startswith("think") else MODEL,
        "messages": [{"role": "user", "content": f"call {number}"}],
        "max_tokens": 9,
    }
    if kind in ("stream", "cut", "leave", "think aloud") or (kind == "retry" and number % 4):
        body["stream"] = True
        if not anthropic:
            body["stream_options"] = {"include_usage": True}
    path = "/v1/messages" if anthropic else "/v1/chat/completions"
    headers = {"X-Request-ID": f"call-{number}", **({"anthropic-version": "2023-06-01"} if anthropic else {})}
    async with client.post(path, json=body, headers=headers) as answer:
        if kind != "leave":
            with contextlib.suppress(aiohttp.ClientPayloadError):
                await answer.read()
            return
        seen = b""
        while b"Hello" not in seen:
            seen += await answer.content.readany()
        answer.close()


def price(used: dict[str, int], *, thinks: bool) -> Decimal:
    prompt = sum(used.values()) - used["output"] - used["reasoning"]
    rates = LONG if prompt > 200_000 else RATES
    if thinks:
        rates, used = THOUGHTS, {**used, "output": used["output"] - used["reasoning"]}
    exact = sum((Decimal(rates[kind]) * count for kind, count in used.items() if count), Decimal(0)) / 1_000_000
    return exact.quantize(Decimal("1e-12"), ROUND_HALF_EVEN)


async def test_the_books_say_what_the_upstream_said(tmp_path: pathlib.Path) -> None:
    upstream = Upstream()
    async with served(upstream) as url:
        keys = [{"key": f"sk-{number}", "label": f"key{number}"} for number in range(3)]
        provider = {"type": "anthropic", "base-url": url, "api-keys": keys, "models": [MODEL]}
        other = {"type": "openai-compatible", "base-url": f"{url}/v1", "api-key": "k", "models": [THINKER]}
        rates = {name.replace("_", "-"): rate for name, rate in THOUGHTS.items()}
        prices = [{"model": f"openai-compatible/{THINKER}", **rates}]
        async with daemon(tmp_path, {"providers": [provider, other], "prices": prices}) as running:
            started = time.perf_counter()
            async with aiohttp.ClientSession(running.url, connector=aiohttp.TCPConnector(limit=AT_ONCE)) as client:
                turns = asyncio.Semaphore(AT_ONCE)

                async def one(number: int) -> None:
                    async with turns:
                        await call(client, number)

                await asyncio.gather(*(one(number) for number in range(CALLS)))
            seconds = time.perf_counter() - started
            parts = running.app[DAEMON].parts
            assert await parts.drain.idle(30)
            assert await parts.writer.catch_up()
            async with parts.database.read() as connection:
                rows = (await connection.execute(select(exchanges))).mappings().all()
            (line,) = await usage(parts.database, None, today(), today())
            by_model = await usage(parts.database, "model", today(), today())
    compared = {int(row["request_id"].removeprefix("call-")): row for row in rows}
    assert len(rows) == len(compared) == CALLS
    total = Decimal(0)
    for number, row in compared.items():
        told = upstream.told.get(number, NOTHING)
        found = {
            "input": row["input_tokens"],
            "cache_read": row["cache_read_tokens"],
            "cache_write": row["cache_write_tokens"] - row["cache_write_1h_tokens"],
            "cache_write_1h": row["cache_write_1h_tokens"],
            "output": row["output_tokens"],
            "reasoning": row["reasoning_tokens"] or 0,
        }
        assert found == told, (number, KINDS[number % len(KINDS)], row["status"], row["error_kind"])
        thinks = KINDS[number % len(KINDS)].startswith("think")
        assert row["cost"] == (price(told, thinks=thinks) if number in upstream.told else None), number
        total += row["cost"] or 0
    assert (line.requests, line.cost) == (CALLS, total)
    thoughts = sum(told["reasoning"] for told in upstream.told.values())
    assert thoughts > 0
    assert line.reasoning_tokens == thoughts
    assert sum(each.cost or 0 for each in by_model) == total
    kinds = Counter((KINDS[number % len(KINDS)], row["error_kind"]) for number, row in compared.items())
    print(
        f"\n{CALLS} mixed exchanges in {seconds:.1f} s: {line.tokens} tokens ({thoughts} of reasoning), {total} USD, no difference; {dict(kinds)}"
    )
