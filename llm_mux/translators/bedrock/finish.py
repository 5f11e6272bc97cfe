"""How an answer ended and what it cost, between this format's words and ours.

Rules. Whether tools were called is decided by the calls that are there. Totals are computed, never believed. OpenAI's
models count cached prompt tokens once more in `inputTokens`. Spec: the Bedrock Runtime page, section 4; translation
matrix, sections 9 and 10.
"""

from __future__ import annotations

from typing import Final

from llm_mux import ir
from llm_mux.translators.bedrock import quirks, wire

_REASONS: Final[dict[str, ir.FinishReason]] = {
    "end_turn": "stop",
    "tool_use": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "guardrail_intervened": "filtered",
    "content_filtered": "filtered",
    "malformed_model_output": "broken",
    "malformed_tool_use": "broken",
    "model_context_window_exceeded": "context",
}
_WORDS: Final[dict[ir.FinishReason, str]] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "context": "model_context_window_exceeded",
    "tool_calls": "tool_use",
    "filtered": "content_filtered",
    "refusal": "content_filtered",
    "paused": "end_turn",
    "broken": "malformed_model_output",
}


def decode(reason: str, *, calls: bool) -> ir.Finish:
    """An upstream's end. `calls`: tool calls were in the answer."""
    found = _REASONS.get(reason, "stop")
    if found == "stop" and calls:
        found = "tool_calls"
    return ir.Finish(found, detail=reason if found in ("filtered", "broken") else None)


def encode(finish: ir.Finish, *, calls: bool) -> str:
    """The stop reason for a client. `calls`: tool calls were shown."""
    if finish.detail in _REASONS and _REASONS[finish.detail] == finish.reason:
        return finish.detail
    if finish.reason in ("stop", "tool_calls"):
        return "tool_use" if calls else "end_turn"
    return _WORDS[finish.reason]


def usage(found: wire.Usage, model: str) -> ir.Usage:
    """The usage of an upstream, without negative numbers."""
    prompt, read, written = (
        _count(found.inputTokens),
        _count(found.cacheReadInputTokens),
        _count(found.cacheWriteInputTokens),
    )
    if quirks.of(model).counts_cached_twice and prompt >= read + written:
        prompt -= read + written
    hour = sum(detail.inputTokens for detail in found.cacheDetails or () if detail.ttl == "1h")
    return ir.Usage(
        input=prompt,
        output=_count(found.outputTokens),
        cache_read=read,
        cache_write=written,
        cache_write_1h=min(max(hour, 0), written),
    )


def _count(value: int | None) -> int:
    return max(value or 0, 0)


def told(usage: ir.Usage | None) -> wire.Usage:
    """The usage for a client."""
    usage = usage or ir.Usage()
    details = None
    if usage.cache_write:
        parts = (("5m", usage.cache_write - usage.cache_write_1h), ("1h", usage.cache_write_1h))
        details = [wire.CacheDetail(ttl, tokens) for ttl, tokens in parts if tokens > 0]
    return wire.Usage(
        inputTokens=usage.input,
        outputTokens=usage.output,
        totalTokens=usage.total,
        cacheReadInputTokens=usage.cache_read,
        cacheWriteInputTokens=usage.cache_write,
        cacheDetails=details,
    )
