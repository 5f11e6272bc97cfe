"""Together AI: open-weight models, chat, embeddings and legacy completions.

Facts: https://docs.together.ai/docs/openai-api-compatibility.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.errors import Kind
from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Provider
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.openai_chat.quirks import COMPATIBLE

CHAT = replace(
    COMPATIBLE,
    reasoning_field="reasoning",
    effort_words=frozenset({"low", "medium", "high"}),
    parallel_switch=False,
    video=True,
    think_tags=True,
)

PROVIDER = Provider(
    name="together",
    title="Together AI",
    base_url="https://api.together.ai/v1",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT),
        Endpoint("openai_completions", "/completions", operation="complete"),
        Endpoint("openai_chat", "/embeddings", operation="embed", quirks=CHAT),
    ),
    env=("TOGETHER_API_KEY", "TOGETHERAI_API_KEY"),
    key_url="https://api.together.ai/settings/api-keys",
    allows="API keys may be used with any client; use is billed per token.",
    classify=table(Fault(402, "", Kind.QUOTA), Fault(422, "must be <=", Kind.CONTEXT_LENGTH)),
    quota=quota.openai,
)
