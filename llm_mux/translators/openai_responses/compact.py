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
    kept = _user_messages(request_body)
    made: list[Struct | Raw] = [*kept, answer.compaction_out(text, id_, len(kept))]
    usage = answer.usage_out(response.usage)
    return jsonx.encode(_CompactionOut(id_, "response.compaction", response.created, made, usage))


def _user_messages(body: bytes) -> list[Raw]:
    items = store.input_messages(jsonx.top(body).get("input"))
    return [raw for raw in items if (item := output.item_of(raw)).role == "user" and item.type in (None, "message")]
