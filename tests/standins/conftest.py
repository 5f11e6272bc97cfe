"""The daemon as each of the other gateways' clients meet it, in front of scripted providers."""

from __future__ import annotations

import pathlib
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from tests.daemon import daemon
from tests.fake_upstream import FakeUpstream, Reply, json_reply, sse_reply
from tests.standins.scripted import BEDROCK_LISTS, CHUNKS, COMPLETION, CONVERSE, MESSAGE, Mux


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
async def bedrock(tmp_path: pathlib.Path, session: aiohttp.ClientSession) -> AsyncIterator[Mux]:
    """In front of Bedrock."""
    upstream = FakeUpstream().on("*", json_reply(CONVERSE))
    for path, found in BEDROCK_LISTS.items():
        upstream.on(path, json_reply(found))
    async with upstream:
        entry = {"type": "bedrock", "base-url": upstream.url, "api-key": "aws-key"}
        async with daemon(tmp_path, {"request-retry": 0, "providers": [entry]}) as running:
            mux = Mux(running.url, upstream, session)
            await mux.get("/v1/models")
            yield mux


@pytest.fixture
async def proxy(tmp_path: pathlib.Path, session: aiohttp.ClientSession) -> AsyncIterator[Mux]:
    """In front of an OpenAI and an Anthropic, both named by the environment."""
    upstream = FakeUpstream()
    upstream.on("/v1/chat/completions", json_reply(COMPLETION))
    upstream.on("/v1/messages", json_reply(MESSAGE))
    upstream.on("/v1/messages/count_tokens", json_reply({"input_tokens": 9}))
    upstream.on(
        "/v1/models",
        json_reply(
            {
                "object": "list",
                "data": [{"id": "gpt-4o-mini", "object": "model", "created": 1677610600, "owned_by": "openai"}],
            }
        ),
    )
    async with upstream:
        env = {
            "OPENAI_API_KEY": "sk-one sk-two",
            "OPENAI_BASE_URL": f"{upstream.url}/v1",
            "ANTHROPIC_API_KEY": "sk-ant",
            "ANTHROPIC_BASE_URL": upstream.url,
            "OPENAI_ALIAS_FAST": "gpt-4o-mini",
        }
        config = {"discover": True, "request-retry": 0, "default-provider": "openai"}
        async with daemon(tmp_path, config, env) as running:
            yield Mux(running.url, upstream, session)


@pytest.fixture
def streaming() -> Callable[[], Reply]:
    """A chat stream as a provider sends it."""
    return lambda: sse_reply(*CHUNKS)
