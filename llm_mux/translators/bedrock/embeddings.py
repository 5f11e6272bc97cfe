"""Embeddings by InvokeModel, for which every family has a body of its own: Cohere's and Titan's.

Titan embeds one text a call, so `inputs` of more than one are asked one by one (`Embedder.at_once`).
Spec: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct, field

from llm_mux import ir
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.translators.base import Embedder, Encoded, Hints, Target, nonsense
from llm_mux.wire import jsonx

_COHERE_BATCH: Final = 96
_TASKS: Final = {
    "RETRIEVAL_QUERY": "search_query",
    "RETRIEVAL_DOCUMENT": "search_document",
    "CLASSIFICATION": "classification",
    "CLUSTERING": "clustering",
}


def _is_cohere(model: str) -> bool:
    return "cohere." in model


def at_once(model: str) -> int:
    """How many texts one call takes."""
    return _COHERE_BATCH if _is_cohere(model) else 1


class _Given(Struct, frozen=True):
    inputText: str | None = None
    texts: list[str] | None = None
    dimensions: int | None = None
    output_dimension: int | None = None
    input_type: str | None = None


def decode_request(body: bytes, hints: Hints) -> ir.EmbedRequest:
    """A client's InvokeModel body, Titan's or Cohere's."""
    try:
        found = jsonx.decode(body, _Given, strict=False)
    except jsonx.Malformed as error:
        raise bad_request(f"The request body cannot be read: {error}.") from error
    texts = found.texts if found.texts is not None else [found.inputText or ""]
    if not any(texts):
        raise bad_request("The request holds no texts: give `inputText` or `texts`.", param="inputText")
    task = next((task for task, word in _TASKS.items() if word == found.input_type), None)
    return ir.EmbedRequest(hints.model or "", tuple(texts), found.dimensions or found.output_dimension, task)


def encode_request(request: ir.EmbedRequest, target: Target) -> Encoded:
    """The body for the model's family; the texts are as many as one call takes."""
    dropped = ["user"] if request.user is not None else []
    body: dict[str, Any]
    if _is_cohere(target.model):
        body = {"texts": request.inputs, "input_type": _TASKS.get(request.task or "", "search_document")}
        if request.dimensions is not None:
            body["output_dimension"] = request.dimensions
    elif "titan-embed" in target.model:
        body = {"inputText": request.inputs[0]}
        if request.dimensions is not None and "v1" not in target.model.rpartition("-")[2]:
            body["dimensions"] = request.dimensions
        if request.task is not None:
            dropped.append("task")
    else:
        raise MuxError(Kind.NO_TARGET, f"{target.title} is no model that embeds text here.")
    return Encoded(jsonx.encode(body), tuple(dropped))


class _Floats(Struct, frozen=True):
    floats: list[tuple[float, ...]] | None = field(name="float", default=None)


class _Vectors(Struct, frozen=True):
    embedding: tuple[float, ...] | None = None
    inputTextTokenCount: int = 0
    embeddings: list[tuple[float, ...]] | _Floats | None = None


def decode_response(body: bytes, target: Target) -> ir.EmbedResponse:
    """The vectors of one answer."""
    try:
        found = jsonx.decode(body, _Vectors, strict=False)
    except jsonx.Malformed as error:
        raise nonsense(f"embeddings that cannot be read ({error})") from error
    many = found.embeddings.floats if isinstance(found.embeddings, _Floats) else found.embeddings
    vectors = many if many is not None else [found.embedding] if found.embedding else []
    if not vectors:
        raise nonsense("an answer without embeddings")
    return ir.EmbedResponse(target.model, tuple(vectors), found.inputTextTokenCount)


def encode_response(response: ir.EmbedResponse, request: ir.EmbedRequest) -> bytes:
    """In the shape that the model's name in the request promises."""
    if _is_cohere(request.model):
        return jsonx.encode(
            {"embeddings": response.vectors, "texts": request.inputs, "response_type": "embeddings_floats"}
        )
    return jsonx.encode({"embedding": response.vectors[0], "inputTextTokenCount": response.tokens})


EMBEDDER = Embedder(decode_request, encode_request, decode_response, encode_response, at_once=at_once)
