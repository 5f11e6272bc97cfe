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


def judge() -> moulds.Judge:
    """Whether whole records only carry on an open text; no for what is not sure."""
    return moulds.Judge(b"\n\n", _VALUES, _START, _says_text)


@lru_cache(128)
def _says_text(mould: moulds.Mould) -> bool:
    event = moulds.decoded(mould, _event.decode)
    return isinstance(event, wire.StreamEvent) and event.type == "response.output_text.delta" and event.delta == ""
