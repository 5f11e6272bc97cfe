"""What names a conversation, so that it can stay with one account and its provider's prompt cache keeps hitting.

A client's own session header first, then what the body says of itself, then how the conversation began. It is asked
only where there is a choice. Rule: another tenant's conversation is another one, whatever its name.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

_HEADERS = (
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "x-session-id",
    "x-session-affinity",
    "x-gemini-session-id",
    "x-client-request-id",
)
_LONGEST = 4096
_START = 512
_NULL = Raw(b"null")


class _Body(Struct):
    session_id: Raw = _NULL
    prompt_cache_key: Raw = _NULL
    conversation: Raw = _NULL
    metadata: Raw = _NULL
    messages: Raw = _NULL
    input: Raw = _NULL
    contents: Raw = _NULL


class _Metadata(Struct):
    user_id: Raw = _NULL


class _Said(Struct):
    role: str | None = None


def conversation(tenant: str, headers: Mapping[str, str], body: bytes) -> str:
    """A text that stays the same from one turn to the next. `headers` have lower-case names."""
    for name in _HEADERS:
        if value := headers.get(name):
            return f"{tenant}\x00{value}"
    try:
        found = _named(msgspec.json.decode(body, type=_Body))
    except msgspec.MsgspecError:
        found = b""
    return f"{tenant}\x00{(found or body[:_START])[:_LONGEST].decode('latin-1')}"


def _named(body: _Body) -> bytes:
    for value in (body.session_id, body.prompt_cache_key, body.conversation):
        if named := _text(value):
            return named
    if bytes(body.metadata).startswith(b"{") and (
        user := _text(msgspec.json.decode(body.metadata, type=_Metadata).user_id)
    ):
        return user
    return next((start for said in (body.messages, body.input, body.contents) if (start := _beginning(said))), b"")


def _text(value: Raw) -> bytes:
    """A string or an object (the Responses API's `conversation`) that is not empty."""
    raw = bytes(value)
    return raw if len(raw) > 2 and raw[:1] in (b'"', b"{") else b""


def _beginning(said: Raw) -> bytes:
    """The first thing that the user said: what stands before it is often the same in all conversations."""
    raw = bytes(said)
    if not raw.startswith(b"["):
        return _text(said)
    messages = msgspec.json.decode(raw, type=list[Raw])
    for message in messages:
        if bytes(message).startswith(b"{") and msgspec.json.decode(message, type=_Said).role in ("user", None):
            return bytes(message)
    return bytes(messages[0]) if messages else b""
