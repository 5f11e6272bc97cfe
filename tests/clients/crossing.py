"""One client protocol in front of one upstream format, and the configuration of the daemon between all of them.

With LLM_MUX_CLIENTS_DIRECT=1 the SDKs talk straight to the mock (each in its own format only). That tests the suite
itself: what fails there is the mock's doing or the test's.
"""

import contextlib
import json
import os
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tests.clients.anthropic_messages import AnthropicMessages
from tests.clients.bedrock_runtime import BedrockRuntime
from tests.clients.conversation import Abilities, Answer, Ask, Driver, Words
from tests.clients.google_genai import GoogleGenAI
from tests.clients.javascript import CLIENTS, JavaScript, NodeClients
from tests.clients.ollama_chat import OllamaChat
from tests.clients.openai_chat import OpenAIChat
from tests.clients.openai_responses import OpenAIResponses
from tests.clients.played import Model, Played
from tests.clients.scenes import Scene
from tests.upstreams.aimock import UPSTREAMS, AiMock, Upstream

DIRECT = os.environ.get("LLM_MUX_CLIENTS_DIRECT") == "1"
FAILURES = (400, 429, 500)

Mode = Literal["whole", "stream"]


class Kind(Protocol):
    """What is known of a driver before it is made."""

    protocol: str
    words: Words
    abilities: Abilities


PYTHON = {
    driver.protocol: driver
    for driver in (OpenAIChat, OpenAIResponses, AnthropicMessages, GoogleGenAI, OllamaChat, BedrockRuntime)
}
JAVASCRIPT = {f"js-{client.script.replace(' ', '-')}": client for client in CLIENTS}
DRIVERS: Mapping[str, Kind] = {**PYTHON, **JAVASCRIPT}


@contextlib.contextmanager
def all_drivers(url: str, nodes: NodeClients) -> Iterator[Mapping[str, Driver]]:
    """Every SDK at the daemon of this URL, by its name in `DRIVERS`; `nodes` holds those of JavaScript."""
    made = {name: driver(url) for name, driver in PYTHON.items()}
    yield {**made, **{name: JavaScript(nodes, client) for name, client in JAVASCRIPT.items()}}
    for driver in made.values():
        driver.close()


def alias(upstream: Upstream) -> str:
    """The model name a client asks the daemon for."""
    return f"mux-{upstream.format}"


def failing_alias(upstream: Upstream) -> str:
    """A model of an account of its own, so that its rest after a failure disturbs nobody."""
    return f"fail-{upstream.format}"


def _provider(upstream: Upstream, mock: AiMock, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "type": upstream.type,
        "format": upstream.format,
        "base-url": upstream.base_url(mock.url),
        "api-key": f"upstream-key-{name}",
        "models": [{"name": upstream.model, "alias": name}],
    }


def config(mock: AiMock, played: Played) -> Mapping[str, Any]:
    """Three providers for each format: of the mock, of the mock for the tests that make it fail, and of the played upstream."""
    named = [(upstream, name(upstream)) for name in (alias, failing_alias) for upstream in UPSTREAMS]
    providers = [_provider(upstream, mock, name) for upstream, name in named]
    return {"request-retry": 0, "download-hosts": ["127.0.0.1"], "providers": providers + played.providers()}


@dataclass(frozen=True, slots=True)
class Mux:
    """The daemon that the clients ask, and its management key; in direct mode the mock, and no key."""

    url: str
    key: str = ""

    def forget_failures(self) -> None:
        """Let accounts that rest after a failure be asked again."""
        if self.key:
            url = f"{self.url}/v0/management/cooldowns"
            request = urllib.request.Request(url, method="DELETE", headers={"X-Management-Key": self.key})
            with urllib.request.urlopen(request, timeout=10) as response:
                response.read()


@dataclass(frozen=True, slots=True)
class Crossing:
    """One client protocol in front of one upstream format."""

    driver: Driver
    upstream: Upstream
    mode: Mode
    mock: AiMock
    model: str
    failing: str

    def ask(self, ask: Ask, model: str | None = None) -> Answer:
        """The answer, whole or put together from a stream."""
        send = self.driver.stream if self.mode == "stream" else self.driver.ask
        return send(model or self.model, ask)

    def sent(self) -> Any:
        """The newest body that reached the upstream's model, parsed."""
        return json.loads(self.sent_text())

    def sent_text(self) -> str:
        bodies = [entry["body"] for entry in self.mock.seen() if entry["method"] == "POST"]
        return str(bodies[-1])


@dataclass(frozen=True, slots=True)
class Play:
    """One client protocol in front of one format of the played upstream."""

    driver: Driver
    model: Model
    mode: Mode
    played: Played

    def ask(self, ask: Ask, model: Model | None = None) -> Answer:
        """The answer, whole or put together from a stream."""
        send = self.driver.stream if self.mode == "stream" else self.driver.ask
        return send((model or self.model).alias, ask)

    def says(self, *scenes: Scene) -> None:
        self.played.says(self.model, self.mode, *scenes)

    @property
    def is_splice(self) -> bool:
        """Whether the bytes go through the daemon as they are."""
        return self.driver.protocol == self.model.format
