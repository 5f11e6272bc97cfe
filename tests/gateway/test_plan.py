"""What is sent for a request does not depend on which requests were sent before it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from llm_mux.gateway import plan
from llm_mux.gateway.ask import Ask, Caller
from llm_mux.providers import registry as providers
from llm_mux.routing.accounts import Account
from llm_mux.routing.catalog import Route
from llm_mux.routing.select import Candidate
from llm_mux.server.serving import peek
from llm_mux.translators import registry
from llm_mux.translators.base import Hints
from llm_mux.translators.memory import LEAST
from tests.translators.conftest import forget
from tests.translators.test_memory import steps

LARGE = {"role": "system", "content": "You are careful. " * (LEAST // 16)}


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    forget()
    plan.FRAMES.clear()


class Mux:
    """What the daemon makes of requests of one format to one account."""

    def __init__(self, provider: str, client: str = "openai_chat") -> None:
        found = replace(providers.get(provider), name="up", quota=None)
        self._candidate = Candidate(Account(found, "a", "sk-1"), Route("m", "up"))
        self._client = registry.get(client)

    def sends(self, body: dict[str, Any]) -> Any:
        raw = json.dumps(body).encode()
        peeked = peek(raw, Hints(), False, self._client.outline)
        ask = Ask(self._client, peeked.body, Hints(), peeked.model, False, "r", {}, Caller(), 0.0, 0.0)
        ask.outline = peeked.outline
        made = plan.choose(ask, self._candidate, ask.decoded, lambda _provider, _model: None, strict=False, adds=False)
        return json.loads(made.body)


FORMATS = [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "n"}}]


@pytest.mark.parametrize("wanted", FORMATS, ids=["object", "schema"])
@pytest.mark.parametrize("agent", [False, True])
@pytest.mark.parametrize("provider", ["codex", "anthropic", "gemini", "ollama"])
def test_words_that_decide_what_is_asked_for_are_heard(provider: str, agent: bool, wanted: dict[str, Any]) -> None:
    """OpenAI answers 400 to a request for JSON that does not speak of it."""

    def body(word: str) -> dict[str, Any]:
        said = {"role": "user", "content": f"Give me {word}."}
        turns = [LARGE, said, *steps(2)[1:]] if agent else [said]
        tools = [{"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}]
        return {"model": "m", "messages": turns, "response_format": wanted} | ({"tools": tools} if agent else {})

    mux = Mux(provider)
    for number in range(4):
        mux.sends(body(f"JSON {number}"))
    warm = mux.sends(body("more"))
    forget()
    plan.FRAMES.clear()
    assert warm == Mux(provider).sends(body("more"))
