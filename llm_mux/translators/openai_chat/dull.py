"""Which records of a stream say nothing but more of a text, for who watches a stream that goes through."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import UNSET

from llm_mux.translators import moulds
from llm_mux.translators.openai_chat import wire

_FIRST_WORDS: Final = re.compile(rb'"choices":\[\{(?:"index":0,)?"delta":\{(?:"role":"assistant",)?"content":"[^"\\]')
_VALUES: Final = moulds.values_of(b"content", b"obfuscation")


def judge() -> moulds.Judge:
    """Whether whole records only carry on the open text of the first choice; no for what is not sure."""
    return moulds.Judge(b"\n\n", _VALUES, b"data: {", _says_text)


def opens(records: bytes) -> bool:
    """Whether these are whole records with the beginning of a text, and none of them an error: what looks like a key in
    quotes is a key (see `moulds`)."""
    found = records.endswith(b"}\n\n") and records.startswith(b"data: {") and _FIRST_WORDS.search(records)
    return bool(found) and b'"error"' not in records


@lru_cache(128)
def _says_text(mould: moulds.Mould) -> bool:
    chunk = moulds.decoded(mould, wire.answer.decode)
    if not isinstance(chunk, wire.Answer):
        return False
    choice = only_text(chunk)
    return choice is not None and choice.index == 0


def only_text(chunk: wire.Answer) -> wire.Choice | None:
    """The choice of a chunk that has a piece of its text and beside it nothing that would have to be looked at."""
    choice = speaker(chunk)
    if choice is None or choice.delta is None or not isinstance(choice.delta.content, str):
        return None
    return choice if choice.delta == wire.Delta(role=choice.delta.role, content=choice.delta.content) else None


def speaker(chunk: wire.Answer) -> wire.Choice | None:
    """The choice of a chunk that has text, plain reasoning or the arguments of one call, and nothing beside it."""
    if chunk.usage is not None or chunk.x_groq is not None or (chunk.error, chunk.citations) != (UNSET, UNSET):
        return None
    if chunk.choices is None or len(chunk.choices) != 1:
        return None
    choice = chunk.choices[0]
    delta = choice.delta
    if delta is None or choice.finish_reason or choice.logprobs is not None or isinstance(delta.content, list):
        return None
    calls = delta.tool_calls or []
    if len(calls) > 1 or any(call != _arguments(call) for call in calls):
        return None
    plain = wire.Delta(delta.role, delta.content, None, delta.reasoning_content, delta.reasoning, None, calls or None)
    return choice if msgspec.structs.replace(delta, tool_calls=calls or None) == plain else None


def _arguments(call: wire.Call) -> wire.Call:
    """A call's piece of which only the arguments are new."""
    text = call.function.arguments if call.function is not None else None
    return wire.Call(call.index or 0, None, call.type, wire.Function(None, text if isinstance(text, str) else ""))
