"""Which lines of a stream say nothing but more of a text, for who watches a stream that goes through."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from msgspec import UNSET
from msgspec.json import Decoder

from llm_mux.translators import moulds
from llm_mux.translators.ollama import wire

_VALUES: Final = moulds.values_of(b"content", b"created_at")
_answer: Decoder[wire.Answer] = Decoder(wire.Answer, strict=False)


def judge() -> moulds.Judge:
    """Whether whole lines only carry on an open text; no for what is not sure."""
    return moulds.Judge(b"\n", _VALUES, b"{", _says_text)


@lru_cache(128)
def _says_text(mould: moulds.Mould) -> bool:
    answer = moulds.decoded(mould, _answer.decode)
    if not isinstance(answer, wire.Answer) or answer.done or answer.error is not UNSET:
        return False
    return answer.message == wire.Said(content="")
