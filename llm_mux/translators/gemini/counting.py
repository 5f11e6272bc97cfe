"""Token counts: `countTokens` as an upstream, and its answer for clients.

Rule: what is counted is the same conversation that would be generated from, with its instructions and tools.
Spec: https://ai.google.dev/api/tokens
"""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct

from llm_mux import ir
from llm_mux.translators.base import Counter, nonsense
from llm_mux.translators.gemini import encode, errors, wire
from llm_mux.wire import jsonx


class _Count(Struct, frozen=True):
    totalTokens: int | None = None
    error: wire.RawField = UNSET


def decode_response(body: bytes) -> int:
    try:
        found = jsonx.decode(body, _Count)
    except jsonx.Malformed as error:
        raise nonsense(f"a token count that cannot be read ({error})") from error
    if isinstance(found.error, Raw):
        raise errors.decode_failure(body)
    if found.totalTokens is None:
        raise nonsense("an answer without a token count")
    return found.totalTokens


def encode_response(tokens: int, request: ir.Request) -> bytes:
    return jsonx.encode({"totalTokens": tokens})


COUNTER = Counter(encode.encode_count, decode_response, encode_response)
