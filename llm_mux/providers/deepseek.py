"""DeepSeek: chat and Messages, with reasoning that must come back in tool loops.

Facts: https://api-docs.deepseek.com (guides/anthropic_api, quick_start/error_codes). Thinking is on unless
`thinking.type` is "disabled"; sampling knobs are then ignored.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.errors import Kind
from llm_mux.providers.base import Endpoint, Provider, x_api_key
from llm_mux.providers.compatible import MESSAGES, MESSAGES_HEADERS
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.openai_chat.quirks import COMPATIBLE, EXTENSIONS, OFFICIAL_ONLY

CHAT = replace(
    COMPATIBLE,
    send_back_reasoning="tool_loops",
    thinking_style="thinking_type",
    effort_words=frozenset({"low", "high", "max"}),
    unsupported=OFFICIAL_ONLY | EXTENSIONS | {"n", "seed", "logit_bias"},
    parallel_switch=False,
    json_schema=False,
)

PROVIDER = Provider(
    name="deepseek",
    title="DeepSeek",
    base_url="https://api.deepseek.com/v1",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT),
        Endpoint(
            "anthropic",
            "/v1/messages",
            # The page of its Messages layer calls images, documents and search results not supported.
            quirks=replace(MESSAGES, images=False, documents=False, urls=False),
            base_url="https://api.deepseek.com/anthropic",
            auth=x_api_key,
            headers=MESSAGES_HEADERS,
        ),
    ),
    env=("DEEPSEEK_API_KEY",),
    owns=("deepseek-",),
    key_url="https://platform.deepseek.com/api_keys",
    allows="API keys may be used with any client; the balance is paid ahead. Requests go to servers in China.",
    classify=table(Fault(402, "", Kind.QUOTA)),
)
