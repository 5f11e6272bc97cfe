"""The careful starting points for servers that imitate an official API: what most imitations lack.

Rule: a provider's file starts from one of these and says only where its vendor does better or worse. The one for chat
is `openai_chat.quirks.COMPATIBLE`.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from llm_mux.translators.anthropic import quirks as anthropic
from llm_mux.translators.openai_chat.quirks import COMPATIBLE, EXTENSIONS, OFFICIAL_ONLY
from llm_mux.translators.openai_responses import quirks as responses

# Sent with every request of the Messages format; the imitations know the first version only.
MESSAGES_HEADERS: Final = {"anthropic-version": "2023-06-01"}

MESSAGES: Final = anthropic.Quirks(
    unsupported=frozenset({"context_management", "container", "mcp_servers", "service_tier"}),
    thinking_types=frozenset({"enabled", "disabled"}),
    system_in_messages=False,
    structured_outputs=False,
    strict_tools=False,
    web_search="",
    max_cache_marks=0,
    binding_controls=False,
    count_tokens=False,
)

RESPONSES: Final = responses.Quirks(
    stateless=True,
    unsupported=frozenset({"prompt_cache_options", "prompt_cache_retention", "safety_identifier", "moderation"}),
    custom_tools=False,
    hosted_tools=frozenset(),
    rich_results=False,
    openai_models=False,
    system_role="system",
)

# The Kimi models behave alike wherever Moonshot serves them. Reasoning must come back in tool loops, never empty.
KIMI_CHAT: Final = replace(
    COMPATIBLE,
    send_back_reasoning="tool_loops",
    repeat_reasoning=True,
    thinking_style="thinking_type",
    effort_words=frozenset(),
    unsupported=(OFFICIAL_ONLY - {"prompt_cache_key"})
    | EXTENSIONS
    | {"logit_bias", "seed", "logprobs", "top_logprobs"},
    parallel_switch=False,
    forced_tools=False,
    json_schema=False,
    image_urls=False,
)
KIMI_MESSAGES: Final = replace(MESSAGES, forced_tools=False, documents=False, urls=False)
