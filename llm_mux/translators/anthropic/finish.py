"""How an answer ended, between `stop_reason` with its details and ours.

Rule: whether tools were called is decided by the calls that are there, not by the word. A reason that this page does
not know yet is an ordinary stop to others and comes back to clients of this format as it was.
Spec: translation matrix, section 10.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from llm_mux import ir
from llm_mux.translators.anthropic import wire
from llm_mux.translators.anthropic.wire import NAME
from llm_mux.translators.base import present
from llm_mux.wire import jsonx

_REASONS: Final[dict[str, ir.FinishReason]] = {
    "end_turn": "stop",
    "tool_use": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "pause_turn": "paused",
    "refusal": "refusal",
    "model_context_window_exceeded": "context",
}
_WORDS: Final[dict[ir.FinishReason, str]] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "context": "model_context_window_exceeded",
    "tool_calls": "tool_use",
    "filtered": "refusal",
    "refusal": "refusal",
    "paused": "pause_turn",
}


def decode(reason: str, delta: wire.StopDelta | wire.Answer, *, calls: bool) -> ir.Finish:
    """An upstream's end. `calls`: tool calls were in the answer."""
    found = _REASONS.get(reason, "stop")
    if found == "stop" and calls:
        found = "tool_calls"
    kept: dict[str, Raw] = {}
    if reason not in _REASONS:
        kept["stop_reason"] = Raw(msgspec.json.encode(reason))
    detail = None
    if delta.stop_details is not UNSET and present(delta.stop_details):
        kept["stop_details"] = delta.stop_details
        detail = _explanation(delta.stop_details)
    native = ir.Native(NAME, Raw(msgspec.json.encode(kept))) if kept else None
    return ir.Finish(found, stop_sequence=delta.stop_sequence, detail=detail, native=native)


def _explanation(raw: Raw) -> str | None:
    try:
        return jsonx.decode(bytes(raw), wire.StopDetails).explanation
    except jsonx.Malformed:
        return None


def encode(finish: ir.Finish, *, calls: bool, refusal: str | None) -> wire.StopDelta:
    """The end for a client. `calls`: tool_use blocks were shown; `refusal`: the words of a refusal that was."""
    kept = jsonx.top(bytes(finish.native.data)) if finish.native is not None and finish.native.owner == NAME else {}
    word = _WORDS.get(finish.reason, "end_turn")
    if word == "end_turn" and "stop_reason" in kept:
        word = msgspec.json.decode(kept["stop_reason"], type=str)
    if calls and finish.reason in ("stop", "tool_calls"):
        word = "tool_use"
    elif not calls and word == "tool_use":
        word = "end_turn"
    if refusal is not None and word == "end_turn":
        word = "refusal"
    details: Raw | UnsetType = kept.get("stop_details", UNSET)
    if word == "refusal" and details is UNSET:
        details = _refused(refusal or finish.detail)
    return wire.StopDelta(word, finish.stop_sequence if word == "stop_sequence" else None, details)


def _refused(explanation: str | None) -> Raw:
    return Raw(jsonx.encode({"type": "refusal", "category": None, "explanation": explanation}))
