"""Stored responses: what `previous_response_id` brings back, as pure functions on bytes.

Rule: a stored response is the list of all items that lead to it, the input's and the output's; `instructions` are not
part of it. Spec: the Responses API page, sections 1 and 2.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from llm_mux.translators.openai_responses import wire
from llm_mux.translators.openai_responses.decode import RESOLVED
from llm_mux.translators.openai_responses.decode_input import input_items
from llm_mux.translators.openai_responses.reading import first_byte, present
from llm_mux.wire import jsonx, sse

_list: msgspec.json.Decoder[list[Raw]] = msgspec.json.Decoder(list[Raw])


def prepend_items(body: bytes, items: bytes) -> bytes:
    """`body` with the stored `items` (a JSON list) in front of its own; every other byte stays. An item that the client
    sends again although it is stored is there once.

    The `previous_response_id` moves to a key of ours, from where the response object repeats it.
    """
    top = jsonx.top(body)
    stored = _list.decode(items)
    known = {name for item in stored if (name := _name(item)) is not None}
    own = [item for item in input_messages(top.get("input")) if _name(item) not in known]
    joined = msgspec.json.encode([*stored, *own])
    previous = top.get("previous_response_id")
    edits: dict[str, bytes | None] = {"input": joined, "previous_response_id": None}
    if previous is not None and present(previous):
        edits[RESOLVED] = bytes(previous)
    return jsonx.splice(body, edits)


class _Item(msgspec.Struct):
    type: str | None = None
    id: str | None = None
    call_id: str | None = None


def _name(item: Raw) -> tuple[str | None, str, str | None] | None:
    """What an item is known by; None for one without an id. Some servers give the calls of one answer the same id."""
    try:
        found = jsonx.peek(bytes(item), _Item)
    except jsonx.Malformed:
        return None
    return (found.type, found.id, found.call_id) if found.id else None


def continuing(response: bytes, previous: bytes) -> bytes:
    """A provider's `response` object with the id (JSON) that the client gave, which the provider was not told."""
    if present(jsonx.top(response).get("previous_response_id")):
        return response
    return jsonx.splice(response, {"previous_response_id": previous})


def continuing_record(frame: sse.Frame, previous: bytes) -> bytes:
    """The same for the response in a record of a stream; the record's bytes."""
    if b'"response"' not in frame.data or frame.data not in frame.raw:
        return frame.raw
    try:
        response = jsonx.top(frame.data).get("response")
        named = response if response is None else continuing(bytes(response), previous)
    except jsonx.Malformed:
        return frame.raw
    if response is None or named == bytes(response):
        return frame.raw
    return frame.raw.replace(frame.data, jsonx.splice(frame.data, {"response": named}), 1)


def items_of(request: bytes, response: bytes) -> bytes:
    """The items to store: those of the request's input, then those of the response's output. A JSON list.

    Both bodies must be well formed; a response without output adds nothing.
    """
    before = input_messages(jsonx.top(request).get("input"))
    after = jsonx.decode(response, wire.Response, strict=False).output or []
    return msgspec.json.encode([*before, *after])


def input_messages(raw: Raw | None) -> list[Raw]:
    """The items of an `input`, a text as the message it stands for (which is also how the API shows it)."""
    return [_message(item) if first_byte(item) == b'"' else item for item in input_items(raw)]


def _message(text: Raw) -> Raw:
    return Raw(b'{"type":"message","role":"user","content":[{"type":"input_text","text":%b}]}' % bytes(text))
