"""Anthropic's own API with an API key. Facts: https://docs.anthropic.com/en/api."""

from __future__ import annotations

from llm_mux.errors import Kind
from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Provider, x_api_key
from llm_mux.providers.faults import Fault, table

PROVIDER = Provider(
    name="anthropic",
    title="Anthropic",
    base_url="https://api.anthropic.com",
    endpoints=(
        Endpoint("anthropic", "/v1/messages"),
        Endpoint("anthropic", "/v1/messages/count_tokens", operation="count"),
    ),
    env=("ANTHROPIC_API_KEY",),
    auth=x_api_key,
    headers={"anthropic-version": "2023-06-01"},
    models_path="/v1/models?limit=1000",
    models_translator="anthropic",
    owns=("claude-",),
    key_url="https://console.anthropic.com/settings/keys",
    allows="API keys may be used with any client. Subscription tokens are reserved for Anthropic's own clients.",
    forwards=("anthropic-version", "anthropic-beta", "anthropic-workspace-id", "anthropic-user-profile-id"),
    # Both are 400 there, although nothing is wrong with the request.
    classify=table(
        Fault(400, "credit balance is too low", Kind.QUOTA),
        Fault(400, "reached your specified api usage limits", Kind.QUOTA),
    ),
    quota=quota.anthropic,
)
