"""Which records of a stream say nothing but more of a text, for who watches a stream that goes through."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from llm_mux.translators import moulds
from llm_mux.translators.openai_responses import wire

_VALUES: Final = moulds.values_of(b"delta", b"sequence_number", b"obfuscation")
_START: Final = (b"event: response.output_text.delta\n", b'data: {"type":"response.output_text.delta"')
_event: msgspec.json.Decoder[wire.StreamEvent] = msgspec.json.Decoder(wire.StreamEvent)


def dull(records: bytes) -> bool:
    """Whether whole `records` only carry on an open text; False for what is not sure."""
    mould = moulds.repeated(records, b"\n\n", _VALUES) if records.startswith(_START) else None
    return mould is not None and _says_text(mould)


@lru_cache(128)
def _says_text(mould: moulds.Mould) -> bool:
    event = moulds.decoded(mould, _event.decode)
    return isinstance(event, wire.StreamEvent) and event.type == "response.output_text.delta" and event.delta == ""
