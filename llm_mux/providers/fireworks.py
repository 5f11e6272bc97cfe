"""Fireworks AI: open-weight models in chat, Messages and Responses, embeddings and legacy completions.

Facts: https://docs.fireworks.ai/tools-sdks/openai-compatibility and /anthropic-compatibility. Model ids look like
`accounts/fireworks/models/...`.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.errors import Kind
from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Provider
from llm_mux.providers.compatible import MESSAGES, MESSAGES_HEADERS, RESPONSES
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.openai_chat.quirks import COMPATIBLE

CHAT = replace(
    COMPATIBLE,
    send_back_reasoning="tool_loops",
    effort_words=frozenset({"none", "low", "medium", "high"}),
    content_null_ok=True,
    think_tags=True,
)

PROVIDER = Provider(
    name="fireworks",
    title="Fireworks AI",
    base_url="https://api.fireworks.ai/inference/v1",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT),
        Endpoint("anthropic", "/messages", quirks=MESSAGES, headers=MESSAGES_HEADERS),
        Endpoint("openai_responses", "/responses", quirks=RESPONSES),
        Endpoint("openai_completions", "/completions", operation="complete"),
        Endpoint("openai_chat", "/embeddings", operation="embed", quirks=CHAT),
    ),
    env=("FIREWORKS_API_KEY",),
    owns=("accounts/fireworks/",),
    key_url="https://app.fireworks.ai/settings/users/api-keys",
    allows="API keys may be used with any client; use is billed per token.",
    classify=table(Fault(402, "", Kind.QUOTA), Fault(412, "suspended", Kind.QUOTA)),
    quota=quota.openai,
)
