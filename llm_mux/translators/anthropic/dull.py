"""Which records of a stream say nothing but more of a text, for who watches a stream that goes through."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec

from llm_mux.translators import moulds
from llm_mux.translators.anthropic import wire

_VALUES: Final = moulds.values_of(b"text")
_START: Final = (b"event: content_block_delta\n", b'data: {"type":"content_block_delta"')
_record: msgspec.json.Decoder[Any] = msgspec.json.Decoder(wire.Record)


def judge() -> moulds.Judge:
    """Whether whole records only carry on an open text; no for what is not sure."""
    return moulds.Judge(b"\n\n", _VALUES, _START, _says_text)


@lru_cache(128)
def _says_text(mould: moulds.Mould) -> bool:
    record = moulds.decoded(mould, _record.decode)
    return isinstance(record, wire.BlockDelta) and isinstance(record.delta, wire.TextDelta)
