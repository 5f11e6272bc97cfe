"""Requests of chat completions that hold no more than texts said by turns beside their settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from llm_mux.translators.base import Hints, Outline
from llm_mux.translators.memory import LEAST
from llm_mux.translators.openai_chat.outline import Usual
from llm_mux.translators.plain import CACHE_MARKS, Plain, by_turns, worded
from llm_mux.wire import jsonx

_texts: Final[msgspec.json.Decoder[list[str]]] = msgspec.json.Decoder(list[str])
_SMALL: Final = bytearray(b'"]'), bytearray(b'"\x7f')
_CAPITAL: Final = bytearray(b'"#'), bytearray(b'"\\')
"""Between which, in the order of their bytes, texts stand that begin with a letter or most signs: they are not blank.
Comparing is faster than a look at two bytes (see `jsonx.BEHIND_TEXTS`)."""


def plain(body: bytes, outline: Outline | None, hints: Hints) -> Plain | None:
    """The texts of a small request, and the rest of it; None for one that says anything in another way."""
    messages = outline.messages if isinstance(outline, Usual) else None
    if not messages or len(body) >= LEAST:
        return None
    roles = tuple([message.role for message in messages])
    told = roles[0] == "system"
    if not by_turns(roles[1:] if told else roles) or any([each.tool_calls or each.tool_call_id for each in messages]):
        return None
    texts = said([message.content for message in messages])
    if texts is None:
        return None
    try:
        top = jsonx.top(body)
    except jsonx.Malformed:
        return None
    del top["messages"]
    settings = msgspec.json.encode(top)
    if any([mark in settings for mark in CACHE_MARKS]):
        return None
    system = texts.pop(0) if told else None
    return Plain(settings, system, texts)


def said(contents: Sequence[Raw]) -> list[str] | None:
    """The texts that messages hold; None where one holds anything else, or is blank."""
    try:
        texts = _texts.decode(b"[%b]" % b",".join(contents))
    except ValueError:
        return None
    return texts if worded(texts) else None


def are_said(contents: Sequence[Raw]) -> bool:
    """Whether `said` gives texts, of what was read as JSON before and is UTF-8."""
    bracket, end = _SMALL
    sign, escape = _CAPITAL
    odd = [each for each in contents if not (bracket <= each and end > each) and not (sign <= each and escape > each)]
    return not odd or said(odd) is not None
