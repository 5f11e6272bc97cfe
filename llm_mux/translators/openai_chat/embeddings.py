"""Embeddings: `POST /embeddings` in both directions.

Rule: vectors travel as numbers or as base64 of little-endian 32-bit floats; both are read, and a client gets the form
it asked for. Spec: OpenAI API reference, "Embeddings".
"""

from __future__ import annotations

import base64
import binascii
import sys
from array import array

import msgspec
from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators.base import Embedder, Encoded, Hints, Target, nonsense, present
from llm_mux.translators.openai_chat import quirks as quirks_
from llm_mux.translators.openai_chat.errors import decode_failure
from llm_mux.wire import jsonx


class _Asked(Struct):
    model: str = ""
    dimensions: int | None = None
    encoding_format: str | None = None
    user: str | None = None


_KNOWN = frozenset({"model", "input", "dimensions", "user"})


def decode_request(body: bytes, hints: Hints) -> ir.EmbedRequest:
    """A client's request. Token ids are refused: they mean nothing outside the model family that made them."""
    try:
        top = jsonx.top(body)
        asked = jsonx.decode(body, _Asked, strict=False)
    except jsonx.Malformed as error:
        raise bad_request(f"The request body cannot be read: {error}.") from error
    if asked.encoding_format not in (None, "float", "base64"):
        raise bad_request("encoding_format must be float or base64.", param="encoding_format")
    model = hints.model or asked.model
    if not model:
        raise bad_request("model is missing: name the model to use.", param="model")
    return ir.EmbedRequest(
        model=model,
        inputs=_inputs(top.get("input")),
        dimensions=asked.dimensions,
        user=asked.user,
        extras={key: raw for key, raw in top.items() if key not in _KNOWN},
    )


def _inputs(raw: Raw | None) -> tuple[str, ...]:
    if raw is None or not present(raw):
        raise bad_request("input is missing: give a string or a list of strings.", param="input")
    try:
        found = msgspec.json.decode(raw, type=str | list[str])
    except msgspec.ValidationError as error:
        message = "input must be a string or a list of strings; token ids are not taken: send the text itself."
        raise bad_request(message, param="input") from error
    inputs = (found,) if isinstance(found, str) else tuple(found)
    if not inputs:
        raise bad_request("input is empty: give at least one text.", param="input")
    return inputs


def encode_request(request: ir.EmbedRequest, target: Target) -> Encoded:
    """The body for a server; vectors are asked for in base64 where it has that."""
    quirks = quirks_.of(target)
    dropped = [name for name, value in (("task", request.task), ("title", request.title)) if value]
    body: dict[str, object] = {"model": target.model, "input": request.inputs}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if quirks.embeddings_base64:
        body["encoding_format"] = "base64"
    if request.user:
        body["user"] = request.user
    extras = {k: v for k, v in request.extras.items() if k != "encoding_format" and not k.startswith("__")}
    lacks = [name for name in body if name in quirks.unsupported]
    fields = {name: value for name, value in (extras | body).items() if name not in lacks}
    return Encoded(jsonx.encode(body | extras if not lacks else fields), tuple(dropped + lacks))


class _Vector(Struct):
    embedding: str | list[float]
    index: int | None = None


class _Counted(Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Answer(Struct):
    model: str | None = None
    data: list[_Vector] | None = None
    usage: _Counted | None = None
    error: Raw | msgspec.UnsetType = msgspec.UNSET


def decode_response(body: bytes, target: Target) -> ir.EmbedResponse:
    """A server's answer, its vectors in the order of the inputs."""
    try:
        found = jsonx.decode(body, _Answer, strict=False)
    except jsonx.Malformed as error:
        raise nonsense(f"embeddings that cannot be read ({error})") from error
    if present(found.error):
        raise decode_failure(body)
    if not found.data:
        raise nonsense("an embeddings answer without vectors")
    ordered = sorted(enumerate(found.data), key=lambda pair: pair[0] if pair[1].index is None else pair[1].index)
    counted = found.usage or _Counted()
    return ir.EmbedResponse(
        model=found.model or target.model,
        vectors=tuple(_numbers(vector.embedding) for _, vector in ordered),
        tokens=counted.prompt_tokens or counted.total_tokens or 0,
    )


def _numbers(embedding: str | list[float]) -> tuple[float, ...]:
    if not isinstance(embedding, str):
        return tuple(embedding)
    floats = array("f")
    try:
        floats.frombytes(base64.b64decode(embedding, validate=True))
    except (binascii.Error, ValueError) as error:
        raise nonsense("an embedding that is not base64 of 32-bit floats") from error
    if sys.byteorder == "big":
        floats.byteswap()
    return tuple(floats)


def _packed(vector: tuple[float, ...]) -> str:
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode()


def encode_response(response: ir.EmbedResponse, request: ir.EmbedRequest) -> bytes:
    """A client's answer, in the encoding it asked for."""
    packed = bytes(request.extras.get("encoding_format", Raw(b""))) == b'"base64"'
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector}
        for index, vector in enumerate(response.vectors)
    ]
    usage = {"prompt_tokens": response.tokens, "total_tokens": response.tokens}
    return jsonx.encode({"object": "list", "data": data, "model": response.model, "usage": usage})


EMBEDDER = Embedder(decode_request, encode_request, decode_response, encode_response)
