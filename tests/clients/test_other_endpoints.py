"""What the official Python SDKs ask for besides conversations: legacy completions, embeddings, lists of models."""

import json
from collections.abc import Mapping
from typing import Any

import anthropic
import ollama
import openai
import pytest
from google import genai
from google.genai import types

from tests.clients.crossing import DIRECT, alias
from tests.clients.played import MODELS, Model, Played
from tests.fake_upstream import Reply
from tests.upstreams.aimock import UPSTREAMS, Upstream

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="the mock has no such endpoints")]

ALIASES = {alias(upstream) for upstream in UPSTREAMS}
EMBEDDING = [0.25, -0.5, 0.125]
EMBEDDER = "mux-openai-chat"
"""The mock's other formats lack the batch endpoints of their vendors."""


def _openai(mux: str) -> Any:
    return openai.OpenAI(base_url=f"{mux}/v1", api_key="test", max_retries=0)


def _genai(mux: str) -> Any:
    return genai.Client(api_key="test", http_options=types.HttpOptions(base_url=mux))


def test_a_legacy_completion_arrives(mux: str, upstream: Upstream) -> None:
    with _openai(mux) as client:
        done = client.completions.create(model=alias(upstream), prompt="say hello", max_tokens=100)
    assert done.object == "text_completion"
    assert done.choices[0].text == "Hello from the other side."
    assert done.choices[0].finish_reason == "stop"


def test_a_legacy_completion_streams(mux: str, upstream: Upstream) -> None:
    with (
        _openai(mux) as client,
        client.completions.create(model=alias(upstream), prompt="say hello", max_tokens=100, stream=True) as chunks,
    ):
        got = list(chunks)
    assert "".join(choice.text for chunk in got for choice in chunk.choices) == "Hello from the other side."
    assert [c.finish_reason for chunk in got for c in chunk.choices if c.finish_reason] == ["stop"]


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings_arrive_in_both_encodings(mux: str, encoding: str) -> None:
    """The SDK asks for base64 by itself when nothing is said, and unpacks it."""
    wish: dict[str, Any] = {} if encoding == "base64" else {"encoding_format": "float"}
    with _openai(mux) as client:
        made = client.embeddings.create(model=EMBEDDER, input=["one", "two"], **wish)
    assert [item.embedding for item in made.data] == [EMBEDDING, EMBEDDING]
    assert [item.index for item in made.data] == [0, 1]


def test_geminis_own_embeddings_arrive(mux: str) -> None:
    with _genai(mux) as client:
        made = client.models.embed_content(model=EMBEDDER, contents="one")
    assert made.embeddings[0].values == EMBEDDING


def test_ollamas_own_embeddings_arrive(mux: str) -> None:
    with ollama.Client(host=mux) as client:
        made = client.embed(model=EMBEDDER, input=["one", "two"])
    assert [list(vector) for vector in made.embeddings] == [EMBEDDING, EMBEDDING]


@pytest.mark.covers("RC-2")
def test_each_sdk_gets_the_list_of_models_in_its_own_shape(mux: str) -> None:
    with _openai(mux) as client:
        assert {model.id for model in client.models.list()} >= ALIASES
    with anthropic.Anthropic(base_url=mux, api_key="test", max_retries=0) as client:
        listed = list(client.models.list(limit=1000))
        assert {model.id for model in listed} >= ALIASES
        assert all(model.created_at.tzinfo is not None and model.display_name for model in listed)
    with _genai(mux) as client:
        assert {model.name for model in client.models.list()} >= {f"models/{name}" for name in ALIASES}
    with ollama.Client(host=mux) as client:
        assert {model.model for model in client.list().models} >= ALIASES


def test_a_model_is_described_to_an_ollama_client(mux: str, upstream: Upstream) -> None:
    with ollama.Client(host=mux) as client:
        shown = client.show(alias(upstream))
    assert "completion" in (shown.capabilities or [])


@pytest.mark.parametrize("streaming", [False, True])
def test_ollamas_generate_arrives(mux: str, upstream: Upstream, streaming: bool) -> None:
    with ollama.Client(host=mux) as client:
        if streaming:
            lines = list(client.generate(model=alias(upstream), prompt="say hello", stream=True))
        else:
            lines = [client.generate(model=alias(upstream), prompt="say hello")]
    assert "".join(line.response or "" for line in lines) == "Hello from the other side."
    assert lines[-1].done_reason == "stop"


VECTORS = [[0.25, -0.5], [0.125, 1.0]]
EMBEDDED: Mapping[str, Any] = {
    "openai-chat": {
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(VECTORS)],
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    },
    "gemini": {"embeddings": [{"values": vector} for vector in VECTORS]},
    "ollama": {"model": "m", "embeddings": VECTORS, "prompt_eval_count": 2},
}
"""Two vectors, as each format that has them gives them."""


def _embedded(client: str, mux: str, model: str) -> list[list[float]]:
    match client:
        case "openai":
            with _openai(mux) as sdk:
                return [list(item.embedding) for item in sdk.embeddings.create(model=model, input=["one", "two"]).data]
        case "gemini":
            with _genai(mux) as sdk:
                made = sdk.models.embed_content(model=model, contents=["one", "two"])
            return [list(each.values) for each in made.embeddings]
        case _:
            with ollama.Client(host=mux) as sdk:
                return [list(vector) for vector in sdk.embed(model=model, input=["one", "two"]).embeddings]


@pytest.mark.parametrize("client", ["openai", "gemini", "ollama"])
@pytest.mark.parametrize("model", [m for m in MODELS if m.format in EMBEDDED], ids=lambda model: f"to-{model.format}")
def test_vectors_come_from_every_format_that_has_them(
    mux: str, played_upstream: Played, client: str, model: Model
) -> None:
    # Ollama has an endpoint of the client's own format beside its own.
    spoken = "openai-chat" if (client, model.format) == ("openai", "ollama") else model.format
    played_upstream.answers(Reply(json.dumps(EMBEDDED[spoken]).encode()))
    assert _embedded(client, mux, model.alias) == VECTORS
    (body,) = played_upstream.bodies()
    assert "one" in json.dumps(body)
    assert "two" in json.dumps(body)
