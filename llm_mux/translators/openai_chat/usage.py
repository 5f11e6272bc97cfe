"""Token counts and finish reasons, both ways (translation matrix, sections 9 and 10)."""

from __future__ import annotations

from msgspec import Struct

from llm_mux import ir
from llm_mux.translators.openai_chat import wire


def decode_usage(usage: wire.Usage | None) -> ir.Usage | None:
    """A server's counts; None for absent ones and for the all-zero placeholder that some send with every chunk."""
    if usage is None:
        return None
    prompt, output = usage.prompt_tokens or 0, usage.completion_tokens or 0
    if not prompt and not output and not usage.total_tokens:
        return None
    details = usage.prompt_tokens_details
    read = (details.cached_tokens if details else None) or usage.prompt_cache_hit_tokens or usage.cached_tokens or 0
    write = (details.cache_write_tokens if details else None) or 0
    spent = usage.completion_tokens_details
    reasoning = spent.reasoning_tokens if spent is not None else usage.reasoning_tokens
    if reasoning and usage.total_tokens == prompt + output + reasoning:
        # xAI and others count reasoning beside the completion.
        output += reasoning
    if read or write or prompt < 0 or output < 0:
        prompt, output, read, write = max(prompt - read - write, 0), max(output, 0), max(read, 0), max(write, 0)
    return ir.Usage(prompt, output, read, write, reasoning=reasoning, searches=_searches(usage))


def _searches(usage: wire.Usage) -> int:
    tools = usage.server_tool_use
    return usage.num_search_queries or (tools.web_search_requests if tools else None) or 0


class PromptOut(Struct, frozen=True):
    cached_tokens: int
    cache_write_tokens: int


class CompletionOut(Struct, frozen=True):
    reasoning_tokens: int


class UsageOut(Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptOut
    completion_tokens_details: CompletionOut


def encode_usage(usage: ir.Usage) -> UsageOut:
    """Counts for a client: the prompt includes what was read from and written to a cache."""
    prompt = usage.prompt
    return UsageOut(
        prompt,
        usage.output,
        prompt + usage.output,
        PromptOut(usage.cache_read, usage.cache_write),
        CompletionOut(usage.reasoning or 0),
    )


_REASONS: dict[str, ir.FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "context",
    "model_context_window_exceeded": "context",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "filtered",
    "safety": "filtered",
    "sensitive": "filtered",
    "recitation": "filtered",
    "refusal": "refusal",
    "error": "broken",
    "abort": "broken",
    "network_error": "broken",
    "insufficient_system_resource": "broken",
    "malformed_function_call": "broken",
}


def finish(word: str | None, choice: int, *, calls: bool, refusal: str = "") -> ir.Finish:
    """How a choice ended, from the server's word and from what the choice really holds.

    A word not known here says at least that the answer is over.
    """
    reason = _REASONS.get(word.lower(), "stop") if word else "stop"
    if reason in ("stop", "tool_calls"):
        reason = "tool_calls" if calls else "refusal" if refusal else "stop"
    detail = refusal or (word if reason == "broken" or (word and word.lower() not in _REASONS) else None)
    return ir.Finish(reason, choice, detail=detail or None)


_WORDS: dict[ir.FinishReason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context": "length",
    "tool_calls": "tool_calls",
    "filtered": "content_filter",
    "refusal": "content_filter",
    "paused": "stop",
    "broken": "stop",
}

DECLINED = "The model declined to answer."


def finish_word(finish: ir.Finish, *, calls: bool, refused: bool, functions: bool) -> str:
    """`finish_reason` for a client, decided by what the choice holds.

    A refusal that came in the model's own words is an ordinary stop; without any it is the filter's doing.
    `functions`: the client speaks the form before tools. A broken choice is an error and never gets here.
    """
    if finish.reason in ("tool_calls", "stop"):
        if not calls:
            return "stop"
        return "function_call" if functions else "tool_calls"
    if finish.reason == "refusal" and refused:
        return "stop"
    return _WORDS[finish.reason]
