"""LM Studio's local server: chat, Responses and Messages, embeddings and legacy completions.

Facts: https://lmstudio.ai/docs/developer. No key unless its "Require Authentication" is on.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.providers.base import Endpoint, Provider, no_auth
from llm_mux.providers.compatible import MESSAGES, MESSAGES_HEADERS, RESPONSES
from llm_mux.translators.openai_chat.quirks import COMPATIBLE

CHAT = replace(
    COMPATIBLE,
    parallel_switch=False,
    json_object=False,
    image_urls=False,
    think_tags=True,
)

PROVIDER = Provider(
    name="lmstudio",
    title="LM Studio",
    base_url="http://127.0.0.1:1234/v1",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT),
        Endpoint("openai_responses", "/responses", quirks=RESPONSES),
        Endpoint(
            "anthropic", "/messages", quirks=replace(MESSAGES, documents=False, urls=False), headers=MESSAGES_HEADERS
        ),
        Endpoint("openai_completions", "/completions", operation="complete"),
        Endpoint("openai_chat", "/embeddings", operation="embed", quirks=CHAT),
    ),
    env=("LMSTUDIO_API_KEY",),
    auth=no_auth,
    keyless=True,
    key_url="https://lmstudio.ai",
    allows="A server of your own: what its models' licences allow.",
)
