"""How servers of the Messages format differ from Anthropic's own API; the defaults are the official behaviour."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from llm_mux.translators.base import Target


class Quirks(Struct, frozen=True):
    """Each field is named for the behaviour; the comment says who needs the other value."""

    # Top-level keys that the host answers 400 to or misreads; removed and reported. Most compatible hosts lack
    # `context_management`, `output_config`, `metadata`, `service_tier`, `container`, `mcp_servers` and `cache_control`.
    unsupported: frozenset[str] = frozenset()
    # Values of `thinking.type` that the host knows; None: those of the model's family. DeepSeek, Moonshot, Z.ai,
    # MiniMax and Ollama know `enabled` and `disabled`.
    thinking_types: frozenset[str] | None = None
    # False: messages of role `system` after the first turn are unknown (every host but Anthropic's).
    system_in_messages: bool = True
    # False: `output_config.format` is unknown; the schema is then put into words.
    structured_outputs: bool = True
    # False: `strict` on a tool is unknown.
    strict_tools: bool = True
    # False: `tool_choice` may not force a call (Bedrock for some families).
    forced_tools: bool = True
    # The tool that stands in for other vendors' web search; "": the host has none.
    web_search: str = "web_search_20250305"
    # Content that the host takes. DeepSeek's host reads neither images nor documents.
    images: bool = True
    documents: bool = True
    urls: bool = True
    # Most `cache_control` marks the host takes; 0: it knows none.
    max_cache_marks: int = 4
    # Bedrock stops at 64.
    tool_name_limit: int = 128
    # False: `thinking.block_binding` and its beta are unknown, and no threads are kept (Bedrock, Vertex and every
    # compatible host).
    binding_controls: bool = True
    # False: `/v1/messages/count_tokens` is not there.
    count_tokens: bool = True


OFFICIAL = Quirks()

# By which names fields of this format are reported when they are dropped: those of chat completions, for everyone.
REPORTED: Final = {
    "thinking": "reasoning_effort",
    "output_config": "reasoning_effort",
    "metadata": "user",
    "stop_sequences": "stop",
}


def of(target: Target) -> Quirks:
    """The target's quirks, official ones when it names none."""
    return target.quirks if isinstance(target.quirks, Quirks) else OFFICIAL
