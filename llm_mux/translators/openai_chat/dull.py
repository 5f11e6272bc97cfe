"""Which records of a stream say nothing but more of a text, for who watches a stream that goes through."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from msgspec import UNSET

from llm_mux.translators import moulds
from llm_mux.translators.openai_chat import wire

_VALUES: Final = moulds.values_of(b"content", b"obfuscation")


def dull(records: bytes) -> bool:
    """Whether whole `records` only carry on the open text of the first choice; False for what is not sure."""
    mould = moulds.repeated(records, b"\n\n", _VALUES) if records.startswith(b"data: {") else None
    return mould is not None and _says_text(mould)


@lru_cache(128)
def _says_text(mould: moulds.Mould) -> bool:
    chunk = moulds.decoded(mould, wire.answer.decode)
    if not isinstance(chunk, wire.Answer):
        return False
    choice = only_text(chunk)
    return choice is not None and choice.index == 0


def only_text(chunk: wire.Answer) -> wire.Choice | None:
    """The choice of a chunk that has a piece of its text and beside it nothing that would have to be looked at."""
    if chunk.usage is not None or chunk.x_groq is not None or (chunk.error, chunk.citations) != (UNSET, UNSET):
        return None
    if chunk.choices is None or len(chunk.choices) != 1:
        return None
    choice = chunk.choices[0]
    delta, log = choice.delta, choice.logprobs
    if delta is None or not isinstance(delta.content, str) or choice.finish_reason or log is not None:
        return None
    return choice if delta == wire.Delta(role=delta.role, content=delta.content) else None
