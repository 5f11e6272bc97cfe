"""Fields of calls and results that only this format has: which program called, whether the answer may come later.

Rule: they ride in the native of the part and come back beside its other fields; what holds anyway is not kept.
Spec: the Responses API page, sections 3 and 4.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.translators.openai_responses import wire
from llm_mux.translators.openai_responses.reading import OWNER, first_byte, present
from llm_mux.wire import jsonx

_BEGINNING: Final = b'{"beside":'


class _Caller(Struct):
    type: object = None


class _Beside(Struct):
    beside: dict[str, Raw]


_beside: msgspec.json.Decoder[_Beside] = msgspec.json.Decoder(_Beside)


def of_call(item: wire.Item) -> ir.Native | None:
    """What only this format knows of a call."""
    found = _by_a_program(item)
    if item.async_:
        found["async"] = Raw(b"true")
    return _native(found)


def of_result(item: wire.Item) -> ir.Native | None:
    """What only this format knows of a result."""
    found = _by_a_program(item)
    if item.namespace:
        found["namespace"] = Raw(msgspec.json.encode(item.namespace))
    return _native(found)


def _by_a_program(item: wire.Item) -> dict[str, Raw]:
    if not present(item.caller) or first_byte(item.caller) != b"{":
        return {}
    kind = jsonx.decode(bytes(item.caller), _Caller).type
    return {} if kind == "direct" else {"caller": item.caller}


def _native(found: dict[str, Raw]) -> ir.Native | None:
    return ir.Native(OWNER, Raw(msgspec.json.encode({"beside": found}))) if found else None


def is_beside(native: ir.Native) -> bool:
    """Whether `native` holds such fields, and not a whole item."""
    return bytes(memoryview(native.data)[: len(_BEGINNING)]) == _BEGINNING


def put(made: Struct, native: ir.Native | None) -> Struct | Raw:
    """`made` with the fields that `native` holds beside its own."""
    if native is None or native.owner != OWNER or not is_beside(native):
        return made
    fields = {name: bytes(value) for name, value in _beside.decode(native.data).beside.items()}
    return Raw(jsonx.splice(msgspec.json.encode(made), fields))
