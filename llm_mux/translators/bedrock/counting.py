"""A client's `count-tokens`: the request that is counted stands inside the body, in one of two forms.

Spec: the Bedrock Runtime page, section 7.
"""

from __future__ import annotations

import base64
import binascii

from msgspec import UNSET, Raw, Struct

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators.base import Hints
from llm_mux.translators.bedrock import decode, invoke, wire
from llm_mux.translators.bedrock.decode_blocks import decoded


class _Invoked(Struct, frozen=True):
    body: str


class _Input(Struct, frozen=True):
    converse: wire.RawField = UNSET
    invokeModel: _Invoked | None = None


class _Body(Struct, frozen=True):
    input: _Input


def decode_request(body: bytes, hints: Hints) -> ir.Request:
    """The request itself, or the one that is to be counted. Raises MuxError BAD_REQUEST."""
    if hints.operation != "count":
        return decode.decode_request(body, hints)
    found = decoded(body or b"{}", _Body, "").input
    if isinstance(found.converse, Raw):
        return decode.decode_request(bytes(found.converse), hints)
    if found.invokeModel is None:
        raise bad_request("input: give `converse` or `invokeModel`", param="input")
    try:
        inner = base64.b64decode(found.invokeModel.body)
    except (binascii.Error, ValueError) as error:
        raise bad_request("input.invokeModel.body: must be base64", param="input.invokeModel.body") from error
    return invoke.decode_request(inner, hints)
