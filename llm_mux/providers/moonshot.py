"""Moonshot's Kimi models: chat, Messages and Responses.

Facts: https://platform.kimi.ai/docs. Reasoning must come back in tool loops, never empty; a forced tool call is
refused; images go as data, not as addresses. Keys of the China platform need `https://api.moonshot.cn/v1`.
"""

from __future__ import annotations

from llm_mux.errors import Kind
from llm_mux.providers.base import Endpoint, Provider
from llm_mux.providers.compatible import KIMI_CHAT, KIMI_MESSAGES, MESSAGES_HEADERS, RESPONSES
from llm_mux.providers.faults import Fault, table

PROVIDER = Provider(
    name="moonshot",
    title="Moonshot AI (Kimi)",
    base_url="https://api.moonshot.ai/v1",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=KIMI_CHAT),
        Endpoint(
            "anthropic",
            "/v1/messages",
            quirks=KIMI_MESSAGES,
            base_url="https://api.moonshot.ai/anthropic",
            headers=MESSAGES_HEADERS,
        ),
        Endpoint("openai_responses", "/responses", quirks=RESPONSES),
    ),
    env=("MOONSHOT_API_KEY",),
    owns=("kimi-", "moonshot-"),
    key_url="https://platform.moonshot.ai/console/api-keys",
    allows="API keys may be used with any client; the balance is paid ahead. Kimi Code plans are the provider `kimi`.",
    classify=table(
        Fault(429, "exceeded_current_quota", Kind.QUOTA),
        Fault(429, "engine_overloaded", Kind.OVERLOADED),
        Fault(403, "suspended", Kind.QUOTA),
    ),
)
