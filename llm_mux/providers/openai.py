"""OpenAI's own API: chat, Responses, embeddings and legacy completions with an API key.

Facts: https://platform.openai.com/docs/api-reference. From gpt-5.6 on function tools together with reasoning are
answered by Responses only, so clients of other formats are sent there.
"""

from __future__ import annotations

from llm_mux.providers.base import Endpoint, Provider

_RESPONSES_FIRST = ("gpt-5.6", "gpt-5.7", "gpt-5.8", "gpt-5.9", "gpt-6", "gpt-7")

CHAT = Endpoint("openai_chat", "/chat/completions")
RESPONSES = Endpoint("openai_responses", "/responses")
ENDPOINTS = (
    CHAT,
    RESPONSES,
    Endpoint("openai_completions", "/completions", operation="complete"),
    Endpoint("openai_chat", "/embeddings", operation="embed"),
    Endpoint("openai_responses", "/responses/input_tokens", operation="count"),
)


def picks(model: str, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Responses first for the models whose tools and reasoning go together only there."""
    if model.startswith(_RESPONSES_FIRST):
        return tuple(sorted(endpoints, key=lambda endpoint: endpoint.translator != "openai_responses"))
    return endpoints


PROVIDER = Provider(
    name="openai",
    title="OpenAI",
    base_url="https://api.openai.com/v1",
    endpoints=ENDPOINTS,
    env=("OPENAI_API_KEY",),
    owns=("gpt-", "o1", "o3", "o4", "chatgpt-", "text-embedding-", "codex-"),
    key_url="https://platform.openai.com/api-keys",
    allows="API keys may be used with any client under OpenAI's terms; use is billed per token.",
    forwards=("openai-beta", "openai-organization", "openai-project"),
    picks=picks,
)
