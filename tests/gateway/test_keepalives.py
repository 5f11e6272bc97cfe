"""A model that thinks in the middle of its answer: the client hears something meanwhile, and gets the answer whole."""

import asyncio
import pathlib

import aiohttp
import msgspec
import pytest

from llm_mux.server.serving import DAEMON
from tests.daemon import daemon
from tests.fake_upstream import FakeUpstream, Wait, sse_reply
from tests.gateway.test_exchange import CHAT, MESSAGES, chunk, one_account

GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


@pytest.mark.parametrize(
    ("path", "body", "mark", "end"),
    [
        pytest.param("/v1/chat/completions", CHAT, b"\n: ", b"data: [DONE]\n\n", id="splice"),
        pytest.param("/v1/messages", MESSAGES, b"event: ping", b'"type":"message_stop"}\n\n', id="anthropic"),
        pytest.param("/v1/responses", {"model": "m", "input": "hi"}, b"response.in_progress", b"}\n\n", id="responses"),
        pytest.param("/v1beta/models/m:streamGenerateContent?alt=sse", GEMINI, b"\n\n\n", b"}\n\n", id="gemini"),
        pytest.param("/api/chat", CHAT, b'"content":""}', b"}\n", id="ollama"),
    ],
)
async def test_a_silence_in_the_middle_of_a_stream_is_filled(
    tmp_path: pathlib.Path, path: str, body: dict[str, object], mark: bytes, end: bytes
) -> None:
    go = asyncio.Event()
    last = (chunk("lo"), chunk(finish="stop"), b"data: [DONE]\n\n")
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", sse_reply(chunk("Hel"), Wait(go), *last))
        async with daemon(tmp_path, one_account(upstream)) as running, aiohttp.ClientSession(running.url) as client:
            gateway = running.app[DAEMON].gateway
            gateway.settings = msgspec.structs.replace(gateway.settings, keepalive_s=0.05)
            async with client.post(path, json={**body, "stream": True}) as answer, asyncio.timeout(10):
                got = b""
                while mark not in got.partition(b"Hel")[2]:
                    got += await answer.content.readany()
                go.set()
                rest = await answer.read()
    assert b'"lo"' in rest, "what the model said after it had thought"
    assert rest.endswith(end)
