"""Token counts between the API's fields and ours: `input_tokens` is the uncached part alone on both sides.

A stream reports twice; what the second report has replaces what the first had, nothing is added up.
Spec: translation matrix, section 9.
"""

from __future__ import annotations

from llm_mux import ir
from llm_mux.translators.anthropic import wire


def decode(found: wire.Usage) -> ir.Usage:
    """The usage of an upstream, without negative numbers."""
    creation, details, written = found.cache_creation, found.output_tokens_details, found.cache_creation_input_tokens
    short = long = 0
    if creation is not None:
        short, long = _count(creation.ephemeral_5m_input_tokens), _count(creation.ephemeral_1h_input_tokens)
    return ir.Usage(
        _count(found.input_tokens),
        _count(found.output_tokens),
        0 if found.cache_read_input_tokens is None else _count(found.cache_read_input_tokens),
        short + long if written is None else _count(written),
        long,
        reasoning=None if details is None or details.thinking_tokens is None else _count(details.thinking_tokens),
        searches=_count(found.server_tool_use.web_search_requests) if found.server_tool_use else 0,
    )


def _count(value: int | None) -> int:
    return value if value is not None and value > 0 else 0


def merged(first: wire.Usage, later: wire.Usage) -> wire.Usage:
    """`first` with every field that `later` has."""
    return wire.Usage(
        later.input_tokens if later.input_tokens is not None else first.input_tokens,
        later.output_tokens if later.output_tokens is not None else first.output_tokens,
        later.cache_read_input_tokens if later.cache_read_input_tokens is not None else first.cache_read_input_tokens,
        later.cache_creation_input_tokens
        if later.cache_creation_input_tokens is not None
        else first.cache_creation_input_tokens,
        later.cache_creation or first.cache_creation,
        later.output_tokens_details or first.output_tokens_details,
        later.server_tool_use or first.server_tool_use,
    )


def encode(usage: ir.Usage | None) -> wire.Usage:
    """The usage for a client, always with input, output and both cache counts."""
    usage = usage or ir.Usage()
    creation = None
    if usage.cache_write:
        creation = wire.CacheCreation(max(usage.cache_write - usage.cache_write_1h, 0), usage.cache_write_1h)
    return wire.Usage(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_input_tokens=usage.cache_read,
        cache_creation_input_tokens=usage.cache_write,
        cache_creation=creation,
        output_tokens_details=None if usage.reasoning is None else wire.TokenDetails(usage.reasoning),
        server_tool_use=wire.ServerToolUse(usage.searches, 0) if usage.searches else None,
    )
