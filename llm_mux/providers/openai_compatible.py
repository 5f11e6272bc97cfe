"""Any server that says it is OpenAI-compatible, entirely from the configuration."""

from __future__ import annotations

from llm_mux.providers.base import Endpoint, Provider, no_auth
from llm_mux.translators.openai_chat import quirks

PROVIDER = Provider(
    name="openai-compatible",
    title="OpenAI-compatible server",
    base_url="",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=quirks.COMPATIBLE),
        Endpoint("openai_completions", "/completions", operation="complete"),
        Endpoint("openai_chat", "/embeddings", operation="embed", quirks=quirks.COMPATIBLE),
    ),
    auth=no_auth,
    keyless=True,
    allows="Whatever the server you name allows.",
)
