"""Moonshot's Kimi models: chat, Messages and Responses.

Facts: https://platform.kimi.ai/docs. Reasoning must come back in tool loops, never empty; a forced tool call is
refused; images go as data, not as addresses. Keys of the China platform need `https://api.moonshot.cn/v1`.
"""

from __future__ import annotations

from dataclasses import replace

from llm_mux.errors import Kind
from llm_mux.providers.base import Endpoint, Provider
from llm_mux.providers.compatible import MESSAGES, MESSAGES_HEADERS, RESPONSES
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.openai_chat.quirks import COMPATIBLE, EXTENSIONS, OFFICIAL_ONLY

CHAT = replace(
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

PROVIDER = Provider(
    name="moonshot",
    title="Moonshot AI (Kimi)",
    base_url="https://api.moonshot.ai/v1",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT),
        Endpoint(
            "anthropic",
            "/v1/messages",
            quirks=replace(MESSAGES, forced_tools=False, documents=False, urls=False),
            base_url="https://api.moonshot.ai/anthropic",
            headers=MESSAGES_HEADERS,
        ),
        Endpoint("openai_responses", "/responses", quirks=RESPONSES),
    ),
    env=("MOONSHOT_API_KEY",),
    owns=("kimi-", "moonshot-"),
    key_url="https://platform.moonshot.ai/console/api-keys",
    allows="API keys may be used with any client; the balance is paid ahead. Kimi Code plans have keys of their own.",
    classify=table(
        Fault(429, "exceeded_current_quota", Kind.QUOTA),
        Fault(429, "engine_overloaded", Kind.OVERLOADED),
        Fault(403, "suspended", Kind.QUOTA),
    ),
)
