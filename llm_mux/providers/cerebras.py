"""Cerebras: open-weight models at high speed, in chat.

Facts: https://inference-docs.cerebras.ai/resources/openai: penalties, `logit_bias` and `service_tier` are answered 400;
`tool_choice` is "auto" or "none".
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Provider
from llm_mux.translators.openai_chat.quirks import COMPATIBLE, EXTENSIONS, OFFICIAL_ONLY

CHAT = replace(
    COMPATIBLE,
    max_tokens_field="max_completion_tokens",
    reasoning_field="reasoning",
    effort_words=frozenset({"none", "low", "medium", "high"}),
    unsupported=OFFICIAL_ONLY | EXTENSIONS | {"frequency_penalty", "presence_penalty", "logit_bias", "n"},
    parallel_switch=False,
    forced_tools=False,
    images=False,
    think_tags=True,
)

PROVIDER = Provider(
    name="cerebras",
    title="Cerebras",
    base_url="https://api.cerebras.ai/v1",
    endpoints=(Endpoint("openai_chat", "/chat/completions", quirks=CHAT),),
    env=("CEREBRAS_API_KEY",),
    key_url="https://cloud.cerebras.ai",
    allows="API keys may be used with any client; a free tier with daily limits exists.",
    quota=quota.rate_limits("requests-day", "tokens-minute"),
)
