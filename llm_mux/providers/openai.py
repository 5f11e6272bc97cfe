"""OpenAI's own API: chat, Responses, embeddings and legacy completions with an API key.

Facts: https://platform.openai.com/docs/api-reference.
"""

from __future__ import annotations

from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Provider
from llm_mux.providers.choosing import responses_for_new_gpt

PROVIDER = Provider(
    name="openai",
    keeps_responses=True,
    title="OpenAI",
    base_url="https://api.openai.com/v1",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions"),
        Endpoint("openai_responses", "/responses"),
        Endpoint("openai_completions", "/completions", operation="complete"),
        Endpoint("openai_chat", "/embeddings", operation="embed"),
        Endpoint("openai_responses", "/responses/input_tokens", operation="count"),
    ),
    env=("OPENAI_API_KEY",),
    # Not `gpt-` alone: gpt-oss is served by others.
    owns=(*(f"gpt-{n}" for n in range(3, 10)), "ft:gpt-", "o1", "o3", "o4", "chatgpt-", "codex-", "text-embedding-"),
    key_url="https://platform.openai.com/api-keys",
    allows="API keys may be used with any client under OpenAI's terms; use is billed per token.",
    forwards=("openai-beta", "openai-organization", "openai-project"),
    picks=responses_for_new_gpt,
    quota=quota.openai,
)
