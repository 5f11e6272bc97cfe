"""Stored responses: what `previous_response_id` brings back, as pure functions on bytes.

Rule: a stored response is the list of all items that lead to it, the input's and the output's; `instructions` are not
part of it. Spec: the Responses API page, sections 1 and 2.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from llm_mux.translators.openai_responses import wire
from llm_mux.translators.openai_responses.decode import RESOLVED, input_items
from llm_mux.translators.openai_responses.reading import first_byte, present
from llm_mux.wire import jsonx

_list: msgspec.json.Decoder[list[Raw]] = msgspec.json.Decoder(list[Raw])


def prepend_items(body: bytes, items: bytes) -> bytes:
    """`body` with the stored `items` (a JSON list) in front of its own; every other byte stays.

    The `previous_response_id` moves to a key of ours, from where the response object repeats it.
    """
    top = jsonx.top(body)
    own = input_messages(top.get("input"))
    joined = msgspec.json.encode([*_list.decode(items), *own])
    previous = top.get("previous_response_id")
    edits: dict[str, bytes | None] = {"input": joined, "previous_response_id": None}
    if previous is not None and present(previous):
        edits[RESOLVED] = bytes(previous)
    return jsonx.splice(body, edits)


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
