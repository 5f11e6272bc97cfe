"""Embeddings, both ways. Upstreams are always asked by `batchEmbedContents`; clients may use either call.

Rule: which of the two a client used is kept in `extras` and decides the shape of its answer.
Spec: https://ai.google.dev/api/embeddings
"""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators.base import Embedder, Encoded, Hints, Target, nonsense
from llm_mux.translators.gemini import errors, fields, quirks, spelling, wire
from llm_mux.wire import jsonx

_CALL = "__call"
_SHAPE: spelling.Shape = {"content": spelling.CONTENT, "embedContentConfig": {}}


class _Options(Struct, frozen=True):
    taskType: str | None = None
    title: str | None = None
    outputDimensionality: int | None = None


class _Request(_Options, frozen=True):
    """One text. Newer SDKs put the options into `embedContentConfig` for some hosts."""

    model: str | None = None
    content: wire.Content | None = None
    embedContentConfig: _Options | None = None


class _RequestOut(Struct, frozen=True, omit_defaults=True):
    model: str
    content: wire.Turn
    taskType: str | None = None
    title: str | None = None
    outputDimensionality: int | None = None
    embedContentConfig: dict[str, object] | None = None


class _Embedding(Struct, frozen=True):
    values: tuple[float, ...] = ()


class _Usage(Struct, frozen=True, omit_defaults=True):
    promptTokenCount: int = 0
    totalTokenCount: int = 0


class _Answer(Struct, frozen=True, omit_defaults=True):
    embedding: _Embedding | None = None
    embeddings: list[_Embedding] | None = None
    usageMetadata: _Usage | None = None
    error: wire.RawField = UNSET


def decode_request(body: bytes, hints: Hints) -> ir.EmbedRequest:
    """One text or a batch; the options of the first count for all, since they must agree."""
    try:
        top = jsonx.top(body)
    except jsonx.Malformed as error:
        raise bad_request(f"The request body cannot be read: {error}.") from error
    many = "requests" in top or hints.operation == "batch_embed"
    given = fields.items("requests", top["requests"]) if "requests" in top else [Raw(body)]
    requests = [_decoded(f"requests[{at}]" if many else "request", one) for at, one in enumerate(given)]
    if not requests:
        raise bad_request("The request holds no texts.", param="requests")
    first = requests[0].embedContentConfig or requests[0]
    return ir.EmbedRequest(
        model=hints.model or (requests[0].model or "").rsplit("models/", 1)[-1],
        inputs=tuple(_text(request) for request in requests),
        dimensions=first.outputDimensionality,
        task=spelling.word(first.taskType) or None,
        title=first.title,
        extras={_CALL: Raw(b'"batch_embed"' if many else b'"embed"')},
    )


def _decoded(name: str, value: Raw) -> _Request:
    return fields.decoded(name, fields.respelled(name, value, _SHAPE), _Request)


def _text(request: _Request) -> str:
    parts = request.content.parts or [] if request.content is not None else []
    if not parts or any(part.text is None for part in parts):
        raise bad_request("Only text can be embedded.", param="content.parts")
    return "\n".join(part.text or "" for part in parts)


def encode_request(request: ir.EmbedRequest, target: Target) -> Encoded:
    requests = [_encoded(request, text, target) for text in request.inputs]
    dropped = ("user",) if request.user is not None else ()
    return Encoded(jsonx.encode({"requests": requests}), dropped)


def _encoded(request: ir.EmbedRequest, text: str, target: Target) -> _RequestOut:
    content = wire.Turn(parts=[wire.Part(text=text)])
    model = f"models/{target.model}"
    if quirks.of(target.quirks).vertex:
        return _RequestOut(model, content, embedContentConfig=_options(request) or None)
    return _RequestOut(model, content, request.task, request.title, request.dimensions)


def _options(request: ir.EmbedRequest) -> dict[str, object]:
    given = (("taskType", request.task), ("title", request.title), ("outputDimensionality", request.dimensions))
    return {name: value for name, value in given if value is not None}


def decode_response(body: bytes, target: Target) -> ir.EmbedResponse:
    try:
        answer = jsonx.decode(body, _Answer)
    except jsonx.Malformed as error:
        raise nonsense(f"embeddings that cannot be read ({error})") from error
    if isinstance(answer.error, Raw):
        raise errors.decode_failure(body)
    found = answer.embeddings if answer.embeddings is not None else [answer.embedding or _Embedding()]
    if not all(one.values for one in found):
        raise nonsense("an answer without embeddings")
    tokens = answer.usageMetadata.promptTokenCount if answer.usageMetadata is not None else 0
    return ir.EmbedResponse(target.model, tuple(one.values for one in found), tokens)


def encode_response(response: ir.EmbedResponse, request: ir.EmbedRequest) -> bytes:
    vectors = [_Embedding(vector) for vector in response.vectors]
    usage = _Usage(response.tokens, response.tokens) if response.tokens else None
    if bytes(request.extras.get(_CALL, Raw(b""))) == b'"embed"' and len(vectors) == 1:
        return jsonx.encode(_Answer(embedding=vectors[0], usageMetadata=usage))
    return jsonx.encode(_Answer(embeddings=vectors, usageMetadata=usage))


EMBEDDER = Embedder(decode_request, encode_request, decode_response, encode_response)
