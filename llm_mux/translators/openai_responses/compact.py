"""The compact endpoint for targets that lack it: the model writes a summary, the answer is a compaction.

`compact_request` asks for the summary; `compact_response` gives all user messages and the sealed summary after them.
Spec: the Responses API page, section 1.
"""

from __future__ import annotations

from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators.openai_responses import answer, output, store, wire
from llm_mux.translators.openai_responses.decode import compact_request
from llm_mux.translators.openai_responses.reading import first_byte, present
from llm_mux.wire import jsonx

__all__ = ["compact_request", "compact_response"]


class _CompactionOut(Struct):
    id: str
    object: str
    created_at: int
    output: list[Struct | Raw]
    usage: wire.UsageOut


def compact_response(response: ir.Response, request_body: bytes) -> bytes:
    """The answer of the compact endpoint. Raises MuxError when the model wrote no summary."""
    text = ir.joined(response.choices[0].parts) if response.choices else ""
    if not text.strip():
        message = "The model wrote no summary, so the conversation could not be compacted. Try another model."
        raise MuxError(Kind.UPSTREAM_NONSENSE, message)
    id_ = answer.response_id(response.id)
    kept = _user_messages(request_body, id_)
    made: list[Struct | Raw] = [*kept, answer.compaction_out(text, id_, len(kept))]
    usage = answer.usage_out(response.usage)
    return jsonx.encode(_CompactionOut(id_, "response.compaction", response.created, made, usage))


class _MessageOut(Struct):
    """A kept message; the API shows them with an id and a status."""

    id: str
    type: str
    status: str
    role: str
    content: Raw


def _user_messages(body: bytes, response: str) -> list[_MessageOut]:
    kept: list[_MessageOut] = []
    for raw in store.input_messages(jsonx.top(body).get("input")):
        item = output.item_of(raw)
        if item.role == "user" and item.type in (None, "message") and present(item.content):
            id_ = answer.item_id("msg", response, len(kept))
            kept.append(_MessageOut(id_, "message", "completed", "user", _listed(item.content)))
    return kept


def _listed(content: Raw) -> Raw:
    if first_byte(content) != b'"':
        return content
    return Raw(b'[{"type":"input_text","text":%b}]' % bytes(content))
