"""Messages requests that hold no more than texts said by turns beside their settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from llm_mux.translators.anthropic.decode_turns import ATTRIBUTION_LINE, SESSION_HEADER
from llm_mux.translators.anthropic.outline import Message, Text, Usual
from llm_mux.translators.base import Hints, Outline
from llm_mux.translators.memory import LEAST
from llm_mux.translators.plain import CACHE_MARKS, Plain, by_turns, worded
from llm_mux.wire import jsonx


class _Said(Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    text: str


class _Bare(Struct, forbid_unknown_fields=True):
    role: str
    content: str | list[_Said]


_KEYS: Final = (*CACHE_MARKS, b'"user_id"')
"""Who says who it is, too, gets a key for its cache, which depends on what is said."""
_bare: Final[msgspec.json.Decoder[list[_Bare]]] = msgspec.json.Decoder(list[_Bare])
_slot: Final[msgspec.json.Decoder[str | list[_Said]]] = msgspec.json.Decoder(str | list[_Said])


def plain(body: bytes, outline: Outline | None, hints: Hints) -> Plain | None:
    """The texts of a small request, and the rest of it; None for one that says anything in another way."""
    found = outline.messages if isinstance(outline, Usual) else None
    if not found or len(body) >= LEAST or not by_turns(tuple([message.role for message in found])):
        return None
    if hints.headers.get(SESSION_HEADER) or not all(map(_is_bare, found)):
        # The name of a session is the key of a cache for some.
        return None
    try:
        top = jsonx.top(body)
        texts = [_text(message.content) for message in _bare.decode(top.pop("messages"))]
        slot = top.pop("system", None)
        system = None if slot is None else _text(_slot.decode(slot))
    except (jsonx.Malformed, ValueError):
        return None
    settings = msgspec.json.encode(top)
    if not worded(texts) or (system is not None and (not worded([system]) or system.startswith(ATTRIBUTION_LINE))):
        return None
    return None if any([mark in settings for mark in _KEYS]) else Plain(settings, system, texts)


def _is_bare(message: Message) -> bool:
    """Whether it may be no more than one text, as far as an outline shows."""
    content = message.content
    if isinstance(content, str):
        return message.cache_control is UNSET
    return len(content) == 1 and isinstance(content[0], Text) and content[0].cache_control is UNSET


def _text(content: str | Sequence[_Said]) -> str:
    """The only text; "" where there are several."""
    if isinstance(content, str):
        return content
    return content[0].text if len(content) == 1 else ""
