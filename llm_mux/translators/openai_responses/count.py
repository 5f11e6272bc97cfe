"""The token count of this format: `POST /responses/input_tokens`.

Rule: the body asked upstream holds nothing about generation. Spec: the Responses API page, section 1.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from llm_mux import ir
from llm_mux.translators.base import Counter, Encoded, Target, nonsense
from llm_mux.translators.openai_responses.encode import encode_request
from llm_mux.wire import jsonx

_COUNTED: Final = frozenset(
    {"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"}
    | {"conversation", "previous_response_id", "truncation", "personality"}
)


class _Count(Struct):
    input_tokens: int


class _CountOut(Struct):
    object: str
    input_tokens: int


def _encode_request(request: ir.Request, target: Target) -> Encoded:
    encoded = encode_request(request, target)
    body = {name: raw for name, raw in jsonx.top(encoded.body).items() if name in _COUNTED}
    return Encoded(msgspec.json.encode(body), encoded.dropped, encoded.names)


def _decode_response(body: bytes) -> int:
    try:
        return jsonx.decode(body, _Count, strict=False).input_tokens
    except jsonx.Malformed as error:
        raise nonsense(f"a token count that cannot be read ({error})") from None


def _encode_response(tokens: int, request: ir.Request) -> bytes:
    return msgspec.json.encode(_CountOut("response.input_tokens", tokens))


COUNTER = Counter(_encode_request, _decode_response, _encode_response)
