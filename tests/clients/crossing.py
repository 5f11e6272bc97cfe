"""One client protocol in front of one upstream format, and the configuration of the daemon between all of them.

With LLM_MUX_CLIENTS_DIRECT=1 the SDKs talk straight to the mock (each in its own format only). That tests the suite
itself: what fails there is the mock's doing or the test's.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.clients.anthropic_messages import AnthropicMessages
from tests.clients.bedrock_runtime import BedrockRuntime
from tests.clients.conversation import Answer, Ask, Driver
from tests.clients.google_genai import GoogleGenAI
from tests.clients.ollama_chat import OllamaChat
from tests.clients.openai_chat import OpenAIChat
from tests.clients.openai_responses import OpenAIResponses
from tests.upstreams.aimock import UPSTREAMS, AiMock, Upstream

DIRECT = os.environ.get("LLM_MUX_CLIENTS_DIRECT") == "1"
DRIVERS = {
    driver.protocol: driver
    for driver in (OpenAIChat, OpenAIResponses, AnthropicMessages, GoogleGenAI, OllamaChat, BedrockRuntime)
}
FAILURES = (400, 429, 500)
BROKEN = 200

Mode = Literal["whole", "stream"]


def alias(upstream: Upstream) -> str:
    """The model name a client asks the daemon for."""
    return f"mux-{upstream.format}"


def failing_alias(upstream: Upstream, protocol: str, mode: str, status: int) -> str:
    """A model of an account that only one test uses, so that its rest after a failure disturbs nobody."""
    return f"fail-{upstream.format}-{protocol}-{mode}-{status}"


def _provider(upstream: Upstream, mock: AiMock, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "type": upstream.type,
        "format": upstream.format,
        "base-url": upstream.base_url(mock.url),
        "api-key": f"upstream-key-{name}",
        "models": [{"name": upstream.model, "alias": name}],
    }


def config(mock: AiMock) -> Mapping[str, Any]:
    """A provider for each format, and one for each test that makes its provider fail."""
    failing = [
        _provider(upstream, mock, failing_alias(upstream, protocol, mode, status))
        for upstream in UPSTREAMS
        for protocol in DRIVERS
        for mode in ("whole", "stream")
        for status in FAILURES
    ]
    # One for the streams that break: an account of which several broke in a row rests.
    failing += [
        _provider(upstream, mock, failing_alias(upstream, protocol, "stream", BROKEN))
        for upstream in UPSTREAMS
        for protocol in DRIVERS
    ]
    failing += [
        _provider(upstream, mock, failing_alias(upstream, "raw", protocol, 429))
        for upstream in UPSTREAMS
        for protocol in DRIVERS
    ]
    normal = [_provider(upstream, mock, alias(upstream)) for upstream in UPSTREAMS]
    return {"request-retry": 0, "providers": normal + failing}


@dataclass(frozen=True, slots=True)
class Crossing:
    """One client protocol in front of one upstream format."""

    driver: Driver
    upstream: Upstream
    mode: Mode
    mock: AiMock
    model: str

    def ask(self, ask: Ask, model: str | None = None) -> Answer:
        """The answer, whole or put together from a stream."""
        send = self.driver.stream if self.mode == "stream" else self.driver.ask
        return send(model or self.model, ask)

    @property
    def failing(self) -> str:
        """The name of a model without its status: `f"{crossing.failing}-429"`."""
        return self.upstream.model if DIRECT else failing_alias(self.upstream, self.driver.protocol, self.mode, 0)[:-2]

    def sent(self) -> Any:
        """The newest body that reached the upstream's model, parsed."""
        return json.loads(self.sent_text())

    def sent_text(self) -> str:
        bodies = [entry["body"] for entry in self.mock.seen() if entry["method"] == "POST"]
        return str(bodies[-1])
