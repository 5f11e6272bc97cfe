"""Requests of chat completions that hold no more than texts said by turns beside their settings."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

import msgspec

from llm_mux.translators.base import Outline
from llm_mux.translators.memory import LEAST
from llm_mux.translators.openai_chat.outline import Usual
from llm_mux.translators.plain import CACHE_MARKS, Plain, by_turns
from llm_mux.wire import jsonx

_fields: Final = attrgetter("role", "content", "tool_calls", "tool_call_id")
_texts: Final[msgspec.json.Decoder[list[str]]] = msgspec.json.Decoder(list[str])


def plain(body: bytes, outline: Outline | None) -> Plain | None:
    """The texts of a small request, and the rest of it; None for one that says anything in another way."""
    messages = outline.messages if isinstance(outline, Usual) else None
    if not messages or len(body) >= LEAST:
        return None
    roles, contents, calls, ids = zip(*map(_fields, messages), strict=True)
    told = roles[0] == "system"
    if not by_turns(roles[1:] if told else roles) or any(calls) or any(ids):
        return None
    try:
        texts = _texts.decode(b"[%b]" % b",".join(contents))
        top = jsonx.top(body)
    except (msgspec.DecodeError, jsonx.Malformed):
        return None
    if not all(map(str.strip, texts)):
        return None
    del top["messages"]
    settings = msgspec.json.encode(top)
    if any([mark in settings for mark in CACHE_MARKS]):
        return None
    system = texts.pop(0) if told else None
    return Plain(settings, system, texts)
