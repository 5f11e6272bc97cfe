"""What an exchange through the whole daemon costs, and what the model list says of prices."""

import pathlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from llm_mux.ledger.schema import exchanges
from llm_mux.server.serving import DAEMON
from tests.daemon import Daemon, daemon
from tests.fake_upstream import FakeUpstream, json_reply

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "model": "gpt-5",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 50},
    },
}


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", json_reply(ANSWER))
        upstream.on("/v1/models", json_reply({"data": [{"id": "gpt-5"}, {"id": "my-own"}]}))
        yield upstream


def configuration(upstream: FakeUpstream) -> dict[str, Any]:
    return {
        "providers": [
            {"type": "openai", "id": "work", "base-url": f"{upstream.url}/v1", "api-key": "sk-1"},
            {"type": "openai-compatible", "id": "own", "base-url": f"{upstream.url}/v1", "api-key": "sk-2"},
        ],
        "prices": [{"model": "own/my-*", "input": 1, "output": 2, "cache-read": "0.5"}],
    }


async def rows(running: Daemon) -> list[Any]:
    parts = running.app[DAEMON].parts
    await parts.writer.close()
    async with parts.database.read() as connection:
        found = await connection.execute(select(exchanges).order_by(exchanges.c.id))
        return [dict(row) for row in found.mappings()]


async def test_the_books_have_the_cost_and_where_its_price_is_from(
    upstream: FakeUpstream, tmp_path: pathlib.Path
) -> None:
    async with daemon(tmp_path, configuration(upstream)) as running, aiohttp.ClientSession(running.url) as client:
        for model in ("work://gpt-5", "own://my-own", "own://unheard-of"):
            async with client.post("/v1/chat/completions", json={**CHAT, "model": model}) as answer:
                assert answer.status == 200
        book, own, unknown = await rows(running)
    # 600 x 1.25 + 400 x 0.125 + 200 x 10 dollars a million
    assert (str(book["cost"]), book["price_source"].split()[0]) == ("0.002800000000", "genai-prices")
    assert (str(own["cost"]), own["price_source"]) == ("0.001200000000", "config")
    assert (unknown["cost"], unknown["price_source"]) == (None, None)
    assert [row["input_tokens"] for row in (book, own, unknown)] == [600] * 3


async def test_model_lists_say_what_a_token_costs_and_how_many_fit(
    upstream: FakeUpstream, tmp_path: pathlib.Path
) -> None:
    async with daemon(tmp_path, configuration(upstream)) as running, aiohttp.ClientSession(running.url) as client:
        async with client.get("/v1/models?provider=work") as answer:
            listed = {model["id"]: model for model in (await answer.json())["data"]}
        async with client.get("/v1/models/own://my-own") as answer:
            own = await answer.json()
    assert listed["gpt-5"]["pricing"] == {
        "prompt": "0.00000125",
        "completion": "0.00001",
        "input_cache_read": "0.000000125",
        "web_search": "0.01",
        "source": listed["gpt-5"]["pricing"]["source"],
    }
    assert listed["gpt-5"]["context_window"] == 400_000
    assert (listed["my-own"]["pricing"], listed["my-own"]["context_window"]) == (None, None)
    assert own["pricing"]["completion"] == "0.000002"
