"""An upstream of every format that answers what a test gives it, whole or as a stream, in order or as nonsense.

Beside the independent mock, which cannot seal its thoughts, count what was cached, or break off where it is told to.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.clients.scenes import Scene, said
from tests.fake_upstream import FakeUpstream, Reply


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the upstream: the provider's type, the format, and what its base URL ends in."""

    format: str
    type: str
    name: str
    version: str = ""
    other: str = ""

    @property
    def alias(self) -> str:
        """The name by which clients ask the daemon for it."""
        return self.other or f"played-{self.format}"


MODELS = (
    Model("openai-chat", "openrouter", "anthropic/claude-opus-5", "/v1"),
    Model("openai-responses", "openai", "gpt-5.5", "/v1"),
    Model("anthropic", "anthropic", "claude-opus-5"),
    Model("gemini", "gemini", "gemini-3-flash-preview"),
    Model("ollama", "ollama", "qwen3:8b"),
    Model("bedrock", "bedrock", "us.anthropic.claude-opus-5"),
)
SAMPLED = Model("openai-chat", "openai", "gpt-4.1", "/v1", "played-sampled")
"""A model of OpenAI's that samples: those that reason tell no probabilities and take no temperature."""
SEARCHING = Model("openai-chat", "openai", "gpt-4o-search-preview", "/v1", "played-searching")
OLDER = Model("gemini", "gemini", "gemini-2.5-flash", other="played-older")
"""A model of Gemini's that reads no files at URLs."""

PATIENCE_S = 10


@dataclass(frozen=True, slots=True)
class Played:
    """The running upstream."""

    upstream: FakeUpstream
    loop: asyncio.AbstractEventLoop

    def answers(self, *replies: Reply) -> None:
        """From now on these, in order; the last one stays. What was asked before is forgotten."""
        self.upstream.requests.clear()
        self.upstream.on("*", *replies)

    def says(self, model: Model, mode: str, *scenes: Scene) -> None:
        self.answers(*(said(model.format, scene, mode) for scene in scenes))

    def is_silent(self) -> None:
        """From now on nothing is answered."""
        self.upstream.arrived.clear()
        self.upstream.closed.clear()
        self.answers(Reply(before=asyncio.Event()))

    def soon(self, event: asyncio.Event) -> None:
        """Waits for an event of the upstream's own thread."""
        asyncio.run_coroutine_threadsafe(asyncio.wait_for(event.wait(), PATIENCE_S), self.loop).result()

    def bodies(self) -> list[Any]:
        """What it was asked since then, parsed."""
        return [json.loads(request.body) for request in self.upstream.requests]

    def providers(self) -> list[dict[str, Any]]:
        """How a configuration names all of its models."""
        return [
            {
                "id": model.alias,
                "type": model.type,
                "format": model.format,
                "base-url": self.upstream.url + model.version,
                "api-key": "played",
                "models": [{"name": model.name, "alias": model.alias}],
            }
            for model in (*MODELS, SAMPLED, SEARCHING, OLDER)
        ]


@contextlib.contextmanager
def played() -> Iterator[Played]:
    """It answers in a thread of its own, since the SDKs wait in the test's."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    upstream = FakeUpstream()
    asyncio.run_coroutine_threadsafe(upstream.__aenter__(), loop).result(10)
    try:
        yield Played(upstream, loop)
    finally:
        asyncio.run_coroutine_threadsafe(upstream.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
