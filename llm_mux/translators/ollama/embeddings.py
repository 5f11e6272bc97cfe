"""Embeddings: `/api/embed`, and for clients the older `/api/embeddings` with one prompt and one vector.

Spec: https://docs.ollama.com/api/embed
"""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators.base import Embedder, Encoded, Hints, Target, nonsense, present
from llm_mux.translators.ollama import wire
from llm_mux.translators.ollama.errors import decode_failure
from llm_mux.translators.ollama.reading import field, top
from llm_mux.wire import jsonx

_OLD = Raw(b'"embeddings"')
_KNOWN = frozenset({"model", "input", "prompt", "dimensions"})


def decode_request(body: bytes, hints: Hints) -> ir.EmbedRequest:
    """A client's request, the old form by `hints.operation`. Raises BAD_REQUEST naming the field."""
    fields = top(body)
    old = hints.operation == "embeddings"
    model = hints.model or field("model", fields.get("model"), str)
    if not model:
        raise bad_request("model is missing: name the model to use.", param="model")
    name = "prompt" if old else "input"
    inputs = _inputs(name, fields.get(name))
    if not inputs:
        raise bad_request(f"{name} is missing: give a text to embed.", param=name)
    extras = {key: raw for key, raw in fields.items() if key not in _KNOWN}
    return ir.EmbedRequest(
        model=model,
        inputs=inputs,
        dimensions=field("dimensions", fields.get("dimensions"), int) or None,
        extras=extras | {wire.OPERATION: _OLD} if old else extras,
    )


def _inputs(name: str, raw: Raw | None) -> tuple[str, ...]:
    if raw is not None and bytes(raw).startswith(b'"'):
        return (field(name, raw, str) or "",)
    return tuple(field(name, raw, list[str]) or ())


def encode_request(request: ir.EmbedRequest, target: Target) -> Encoded:
    """The body for `/api/embed`."""
    body: dict[str, object] = {"model": target.model, "input": request.inputs}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    body |= {name: raw for name, raw in request.extras.items() if name in ("truncate", "options", "keep_alive")}
    lost = {"task": request.task, "title": request.title, "user": request.user}
    dropped = [name for name, value in lost.items() if value]
    dropped += [name for name in request.extras if name not in body and not name.startswith("__")]
    return Encoded(jsonx.encode(body), tuple(dropped))


class _Answer(Struct):
    model: str | None = None
    embeddings: list[list[float]] | None = None
    embedding: list[float] | None = None
    prompt_eval_count: int | None = None
    error: wire.RawField = UNSET


def decode_response(body: bytes, target: Target) -> ir.EmbedResponse:
    """A server's answer, of either endpoint."""
    try:
        found = jsonx.decode(body, _Answer, strict=False)
    except jsonx.Malformed as error:
        raise nonsense(f"embeddings that cannot be read ({error})") from error
    if found.error is not UNSET and present(found.error):
        raise decode_failure(body)
    vectors = found.embeddings or ([found.embedding] if found.embedding else [])
    if not vectors:
        raise nonsense("an embeddings answer without vectors")
    return ir.EmbedResponse(
        model=found.model or target.model,
        vectors=tuple(tuple(vector) for vector in vectors),
        tokens=max(0, found.prompt_eval_count or 0),
    )


def encode_response(response: ir.EmbedResponse, request: ir.EmbedRequest) -> bytes:
    """A client's answer, in the form of the endpoint it called. How long it took is not known here."""
    if wire.OPERATION in request.extras:
        return jsonx.encode({"embedding": response.vectors[0] if response.vectors else ()})
    return jsonx.encode(
        {
            "model": response.model,
            "embeddings": response.vectors,
            "total_duration": 0,
            "load_duration": 0,
            "prompt_eval_count": response.tokens,
        }
    )


EMBEDDER = Embedder(decode_request, encode_request, decode_response, encode_response)
