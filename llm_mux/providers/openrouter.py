"""OpenRouter: hundreds of models of many vendors behind one key, in chat, Responses and Messages.

Facts: https://openrouter.ai/docs. The model list is open to everybody, so a key is tried at `/key`. Reasoning is asked
for by `reasoning: {}` and comes back as `reasoning` with typed `reasoning_details`, which must return unmodified.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.errors import Kind
from llm_mux.providers.base import Endpoint, Provider
from llm_mux.providers.compatible import MESSAGES_HEADERS, RESPONSES
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.anthropic.quirks import Quirks as MessagesQuirks
from llm_mux.translators.openai_chat.quirks import COMPATIBLE

CHAT = replace(
    COMPATIBLE,
    unsupported=frozenset(
        {"store", "metadata", "moderation", "prompt_cache_options", "prompt_cache_retention", "safety_identifier"}
    ),
    reasoning_field="reasoning",
    send_back_reasoning="always",
    reasoning_details=True,
    thinking_style="openrouter",
    content_null_ok=True,
    strict_tools=True,
    files=True,
    audio=True,
    video=True,
    cache_control_parts=True,
    embeddings_base64=True,
)

PROVIDER = Provider(
    name="openrouter",
    title="OpenRouter",
    base_url="https://openrouter.ai/api/v1",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT),
        Endpoint("openai_responses", "/responses", quirks=RESPONSES),
        # Claude models get the request as it is; other vendors' models know less of it.
        Endpoint(
            "anthropic",
            "/messages",
            quirks=MessagesQuirks(
                unsupported=frozenset({"container", "mcp_servers"}), binding_controls=False, count_tokens=False
            ),
            headers=MESSAGES_HEADERS,
        ),
        Endpoint("openai_completions", "/completions", operation="complete"),
        Endpoint("openai_chat", "/embeddings", operation="embed", quirks=CHAT),
    ),
    env=("OPENROUTER_API_KEY",),
    check_path="/key",
    key_url="https://openrouter.ai/settings/keys",
    allows="API keys may be used with any client; credits are bought ahead, and some models are free with limits.",
    forwards=("anthropic-beta", "http-referer", "x-title", "x-openrouter-title"),
    classify=table(
        Fault(402, "", Kind.QUOTA),
        Fault(403, "flagged", Kind.POLICY),
        Fault(403, "moderation", Kind.POLICY),
        Fault(403, "key limit exceeded", Kind.QUOTA),
    ),
)
