"""What the scripted providers say, and the daemon in front of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.fake_upstream import FakeUpstream

SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
BEDROCK_LISTS = {
    "/foundation-models": {
        "modelSummaries": [
            {
                "modelId": "anthropic.claude-sonnet-4-5-20250929-v1:0",
                "providerName": "Anthropic",
                "outputModalities": ["TEXT"],
            },
            {
                "modelId": "amazon.nova-pro-v1:0",
                "providerName": "Amazon",
                "outputModalities": ["TEXT"],
                "inferenceTypesSupported": ["ON_DEMAND"],
            },
        ]
    },
    "/inference-profiles": {
        "inferenceProfileSummaries": [{"inferenceProfileId": SONNET}, {"inferenceProfileId": HAIKU}]
    },
}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello! How can I help you?"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 5, "outputTokens": 10, "totalTokens": 15},
    "metrics": {"latencyMs": 1},
}
COMPLETION = {
    "id": "chatcmpl-123",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "gpt-4o-mini",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hello! How can I help you?"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
}
MESSAGE = {
    "id": "msg_123",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "Hello! How can I help you?"}],
    "model": "claude-3-haiku-20240307",
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 12},
}
HELLO = [{"role": "user", "content": "Hello!"}]


def chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {
        "id": "chatcmpl-123",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [choice],
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


CHUNKS = (
    chunk({"role": "assistant", "content": "Once"}),
    chunk({"content": " upon"}),
    chunk({}, "stop"),
    b"data: [DONE]\n\n",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def records(self) -> list[str]:
        """The `data:` lines of a stream, as line-reading clients see them."""
        return [line[6:] for line in self.text.split("\n") if line.startswith("data: ")]


@dataclass(frozen=True, slots=True)
class Mux:
    """A running daemon."""

    url: str
    upstream: FakeUpstream
    session: aiohttp.ClientSession

    async def get(self, path: str, **headers: str) -> Answer:
        return await self._ask("GET", path, None, headers)

    async def post(self, path: str, body: object, **headers: str) -> Answer:
        return await self._ask("POST", path, body, headers)

    async def _ask(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            named.setdefault("Content-Type", "application/json")
        async with self.session.request(method, self.url + path, data=data, headers=named) as answer:
            return Answer(answer.status, answer.headers, await answer.text())
