"""Embeddings in both of the API's forms, and the model list."""

import json

import ollama
import pytest
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators.base import Hints, ModelInfo
from llm_mux.translators.ollama.embeddings import EMBEDDER
from llm_mux.translators.ollama.translator import TRANSLATOR
from tests.translators.ollama.samples import TARGET

NEW, OLD = Hints(operation="embed"), Hints(operation="embeddings")


@pytest.mark.parametrize(
    ("body", "hints", "inputs", "dimensions"),
    [
        (b'{"model":"m","input":"a"}', NEW, ("a",), None),
        (b'{"model":"m","input":["a","b"],"dimensions":8}', NEW, ("a", "b"), 8),
        (b'{"model":"m","prompt":"a"}', OLD, ("a",), None),
    ],
)
def test_a_request_is_read(body: bytes, hints: Hints, inputs: tuple[str, ...], dimensions: int | None) -> None:
    asked = EMBEDDER.decode_request(body, hints)
    assert (asked.model, asked.inputs, asked.dimensions) == ("m", inputs, dimensions)


@pytest.mark.parametrize(
    ("body", "hints", "param"),
    [
        (b'{"input":"a"}', NEW, "model"),
        (b'{"model":"m"}', NEW, "input"),
        (b'{"model":"m","input":[1]}', NEW, "input[0]"),
        (b'{"model":"m","input":"a"}', OLD, "prompt"),
    ],
)
def test_what_is_missing_is_named(body: bytes, hints: Hints, param: str) -> None:
    with pytest.raises(MuxError) as caught:
        EMBEDDER.decode_request(body, hints)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)


def test_a_request_is_written_and_what_has_no_form_is_named() -> None:
    asked = ir.EmbedRequest("m", ("a",), 4, task="q", user="u", extras={"truncate": Raw(b"false"), "x": Raw(b"1")})
    made = EMBEDDER.encode_request(asked, TARGET)
    assert json.loads(made.body) == {"model": "qwen3:8b", "input": ["a"], "dimensions": 4, "truncate": False}
    assert made.dropped == ("task", "user", "x")


def test_answers_are_read_and_the_official_client_reads_ours() -> None:
    found = EMBEDDER.decode_response(b'{"model":"m","embeddings":[[1,0.5],[2,3]],"prompt_eval_count":4}', TARGET)
    assert found == ir.EmbedResponse("m", ((1.0, 0.5), (2.0, 3.0)), 4)
    written = EMBEDDER.encode_response(found, ir.EmbedRequest("m", ("a", "b")))
    parsed = ollama.EmbedResponse.model_validate_json(written)
    assert (parsed.embeddings, parsed.prompt_eval_count) == ([[1.0, 0.5], [2.0, 3.0]], 4)
    old = EMBEDDER.decode_request(b'{"model":"m","prompt":"a"}', OLD)
    assert ollama.EmbeddingsResponse.model_validate_json(EMBEDDER.encode_response(found, old)).embedding == [1.0, 0.5]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error":"the input length exceeds the context length"}', Kind.CONTEXT_LENGTH),
        (b"{}", Kind.UPSTREAM_NONSENSE),
        (b"nothing", Kind.UPSTREAM_NONSENSE),
    ],
)
def test_an_answer_without_vectors_is_an_error(body: bytes, kind: Kind) -> None:
    with pytest.raises(MuxError) as caught:
        EMBEDDER.decode_response(body, TARGET)
    assert caught.value.kind is kind


def test_the_model_list_is_read() -> None:
    new = {"name": "me/x:7b", "model": "me/x:7b", "modified_at": "2026-03-01T10:30:00.123456789+01:00"}
    new["capabilities"] = ["completion", "thinking", "vision", "tools"]  # type: ignore[assignment]  # one odd value
    body = json.dumps({"models": [{"name": "llama3:latest", "details": {"family": "llama"}}, new, {}]}).encode()
    assert TRANSLATOR.decode_models(body) == [
        ModelInfo("llama3", owned_by="library"),
        ModelInfo(
            "me/x:7b",
            created=1772357400,
            owned_by="me",
            capabilities=("generate", "thinking.enabled", "vision", "tools"),
        ),
    ]
    assert TRANSLATOR.decode_models(b'{"models":null}') == []
