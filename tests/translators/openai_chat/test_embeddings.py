"""Embeddings in both directions and both encodings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators.base import Hints, Target
from llm_mux.translators.openai_chat.embeddings import EMBEDDER
from llm_mux.translators.openai_chat.quirks import COMPATIBLE
from tests.translators.openai_chat import chat

COMPAT = Target("e", quirks=COMPATIBLE)


def decode(**fields: Any) -> ir.EmbedRequest:
    return EMBEDDER.decode_request(json.dumps({"model": "m", "input": "hi", **fields}).encode(), Hints())


def sent(request: ir.EmbedRequest, to: Target = chat.PLAIN) -> Any:
    return json.loads(EMBEDDER.encode_request(request, to).body)


@pytest.mark.parametrize(("given_", "inputs"), [("hi", ("hi",)), (["a", "b"], ("a", "b"))])
def test_input_is_a_text_or_a_list(given_: Any, inputs: tuple[str, ...]) -> None:
    assert decode(input=given_).inputs == inputs


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"input": [[1, 2]]}, "input"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"model": ""}, "model"),
    ],
)
def test_what_cannot_be_embedded_is_refused_by_name(fields: Any, param: str) -> None:
    with pytest.raises(MuxError) as caught:
        decode(**fields)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)


def test_a_body_that_is_no_object_is_refused() -> None:
    with pytest.raises(MuxError):
        EMBEDDER.decode_request(b"[", Hints())


def test_a_server_gets_what_it_takes() -> None:
    request = decode(input=["a"], dimensions=5, user="u", encoding_format="float", brand_new=1)
    assert sent(request) == {
        "model": "gpt-4.1",
        "input": ["a"],
        "dimensions": 5,
        "encoding_format": "base64",
        "user": "u",
        "brand_new": 1,
    }
    assert sent(request, COMPAT) == {"model": "e", "input": ["a"], "dimensions": 5, "user": "u", "brand_new": 1}


def test_what_a_server_lacks_is_reported() -> None:
    request = ir.EmbedRequest("m", ("a",), dimensions=5, task="RETRIEVAL_QUERY", title="t")
    to = chat.target(unsupported=frozenset({"dimensions"}))
    assert EMBEDDER.encode_request(request, to).dropped == ("task", "title", "dimensions")
    assert "dimensions" not in sent(request, to)


def answer(*embeddings: Any, **fields: Any) -> ir.EmbedResponse:
    data = [{"object": "embedding", "index": n, "embedding": e} for n, e in enumerate(embeddings)]
    return EMBEDDER.decode_response(json.dumps({"model": "e", "data": data, **fields}).encode(), chat.PLAIN)


def test_vectors_are_read_in_both_encodings() -> None:
    found = answer([1.0, -0.5], "AACAPwAAAL8=", usage={"prompt_tokens": 3, "total_tokens": 3})
    assert found.vectors == ((1.0, -0.5), (1.0, -0.5)) and found.tokens == 3


def test_vectors_are_put_in_the_order_of_the_inputs() -> None:
    data = [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}]
    assert EMBEDDER.decode_response(json.dumps({"data": data}).encode(), chat.PLAIN).vectors == ((1.0,), (2.0,))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>", Kind.UPSTREAM_NONSENSE),
        (b"{}", Kind.UPSTREAM_NONSENSE),
        (b'{"data":[{"embedding":"!!"}]}', Kind.UPSTREAM_NONSENSE),
        (b'{"data":[{"embedding":"AAA="}]}', Kind.UPSTREAM_NONSENSE),
        (b'{"error":{"message":"no","code":"rate_limit_exceeded"}}', Kind.RATE_LIMIT),
    ],
)
def test_nonsense_is_an_error(body: bytes, kind: Kind) -> None:
    with pytest.raises(MuxError) as caught:
        EMBEDDER.decode_response(body, chat.PLAIN)
    assert caught.value.kind is kind


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_the_sdk_reads_either_encoding(form: str | None) -> None:
    request = decode(**({"encoding_format": form} if form else {}))
    body = EMBEDDER.encode_response(ir.EmbedResponse("e", ((1.0, -0.5),), 3), request)
    found = chat.client(body).embeddings.create(model="m", input="hi")
    assert list(found.data[0].embedding) == [1.0, -0.5] and found.usage.prompt_tokens == 3
    assert isinstance(json.loads(body)["data"][0]["embedding"], str) is (form == "base64")


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_base64_keeps_every_float(vector: list[float]) -> None:
    body = EMBEDDER.encode_response(ir.EmbedResponse("e", (tuple(vector),)), decode(encoding_format="base64"))
    assert EMBEDDER.decode_response(body, chat.PLAIN).vectors == (tuple(vector),)
