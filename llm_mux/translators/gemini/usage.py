"""Token counts. Gemini counts the whole prompt with its cached part, and thoughts beside the visible output."""

from __future__ import annotations

from llm_mux import ir
from llm_mux.translators.gemini.wire import UsageMetadata


def decode_usage(usage: UsageMetadata, searches: int = 0) -> ir.Usage:
    prompt = usage.promptTokenCount or 0
    cached = usage.cachedContentTokenCount or 0
    fed_back = usage.toolUsePromptTokenCount or 0
    return ir.Usage(
        input=max(0, prompt - cached) + max(0, fed_back),
        output=_output(usage, prompt + fed_back),
        cache_read=max(0, cached),
        reasoning=None if usage.thoughtsTokenCount is None else max(0, usage.thoughtsTokenCount),
        searches=searches,
    )


def _output(usage: UsageMetadata, prompt: int) -> int:
    """Visible output and thoughts; from the total when a server gives neither."""
    if usage.candidatesTokenCount is None and usage.thoughtsTokenCount is None:
        return max(0, (usage.totalTokenCount or prompt) - prompt)
    return max(0, usage.candidatesTokenCount or 0) + max(0, usage.thoughtsTokenCount or 0)


def encode_usage(usage: ir.Usage) -> UsageMetadata:
    reasoning = usage.reasoning or 0
    return UsageMetadata(
        promptTokenCount=usage.prompt,
        cachedContentTokenCount=usage.cache_read or None,
        candidatesTokenCount=max(0, usage.output - reasoning),
        thoughtsTokenCount=usage.reasoning or None,
        totalTokenCount=usage.total,
    )
