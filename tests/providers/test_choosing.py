"""Which endpoint of a provider a model is asked at."""

from __future__ import annotations

import pytest

from llm_mux.providers import mistral, registry, xai
from llm_mux.routing.catalog import Catalog, Offer

TOOLS = b'{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f"}}]}'
TOOLS_WITHOUT_REASONING = TOOLS[:-1] + b',"reasoning_effort":"none"}'
PLAIN = b'{"model":"m","messages":[]}'


def spoken(provider: str, model: str, protocol: str, body: bytes = b"") -> str:
    found = registry.get(provider).endpoint_for(model, protocol, "generate", body)
    assert found is not None
    return found.translator


@pytest.mark.covers("PF-73")
@pytest.mark.parametrize(
    ("model", "protocol", "body", "wanted"),
    [
        ("gpt-5.6-sol", "openai_chat", TOOLS, "openai_responses"),
        ("gpt-6-luna", "openai_chat", TOOLS, "openai_responses"),
        ("gpt-5.6-sol", "openai_chat", TOOLS_WITHOUT_REASONING, "openai_chat"),
        ("gpt-5.6-sol", "openai_chat", PLAIN, "openai_chat"),
        ("gpt-5.6-sol", "anthropic", PLAIN, "openai_responses"),
        ("gpt-5.6-sol", "openai_responses", TOOLS, "openai_responses"),
        ("gpt-5.5", "openai_chat", TOOLS, "openai_chat"),
        ("gpt-5.5", "anthropic", TOOLS, "openai_chat"),
        ("gpt-4o", "gemini", b"", "openai_chat"),
    ],
)
@pytest.mark.parametrize("provider", ["openai", "azure"])
def test_tools_with_reasoning_go_to_responses_from_gpt_5_6_on(
    provider: str, model: str, protocol: str, body: bytes, wanted: str
) -> None:
    assert spoken(provider, model, protocol, body) == wanted


@pytest.mark.parametrize(
    ("provider", "protocol", "wanted"),
    [
        ("deepseek", "anthropic", "anthropic"),
        ("deepseek", "openai_chat", "openai_chat"),
        ("deepseek", "openai_responses", "openai_chat"),
        ("openrouter", "anthropic", "anthropic"),
        ("openrouter", "openai_responses", "openai_responses"),
        ("minimax", "gemini", "anthropic"),
        ("ollama", "gemini", "ollama"),
        ("ollama", "openai_responses", "openai_responses"),
        ("xai", "anthropic", "openai_responses"),
        ("openai-compatible", "openai_responses", "openai_chat"),
        ("demo", "gemini", "gemini"),
    ],
)
def test_a_clients_own_format_is_preferred_and_else_the_vendors_usual_one(
    provider: str, protocol: str, wanted: str
) -> None:
    assert spoken(provider, "some-model", protocol) == wanted


@pytest.mark.parametrize("protocol", ["openai_chat", "anthropic"])
def test_claude_on_azure_speaks_messages_only(protocol: str) -> None:
    assert spoken("azure", "claude-sonnet-4-5", protocol) == "anthropic"


@pytest.mark.parametrize(
    ("model", "adjustable"), [("mistral-small-latest", True), ("mistral-medium-3-5", True), ("codestral-latest", False)]
)
def test_mistral_is_asked_for_reasoning_only_where_it_can(model: str, adjustable: bool) -> None:
    found = mistral.PROVIDER.endpoint_for(model, "anthropic", "generate")
    assert found is not None
    assert found.quirks is (mistral.REASONING if adjustable else mistral.CHAT)


@pytest.mark.parametrize(
    ("model", "fixed"), [("grok-4.6", False), ("grok-4.20-0309-reasoning", True), ("grok-build-0.1", True)]
)
def test_grok_is_told_an_effort_only_where_it_takes_one(model: str, fixed: bool) -> None:
    found = xai.PROVIDER.endpoint_for(model, "openai_chat", "generate")
    assert found is not None
    assert found.quirks is (xai.CHAT_PLAIN if fixed else xai.CHAT)


def test_what_a_provider_does_not_offer_has_no_endpoint() -> None:
    assert registry.get("anthropic").endpoint_for("claude-x", "openai_chat", "embed") is None
    assert registry.get("groq").endpoint_for("m", "openai_chat", "complete") is None


@pytest.mark.parametrize(
    ("name", "owned"),
    [
        ("deepseek-v4-pro", True),
        ("deepseek-ai/DeepSeek-V3", False),
        ("deepseek-r1:8b", False),
        ("qwen3-coder-plus", True),
        ("qwen3-coder:30b", False),
        ("ft:gpt-4o:team::abc", True),
        ("gpt-oss-120b", False),
        ("accounts/fireworks/models/kimi-k3", True),
    ],
)
def test_another_hosts_copy_of_a_model_is_not_taken_for_the_vendors_own(name: str, owned: bool) -> None:
    offers = tuple(Offer(provider.name, owns=provider.owns) for provider in registry.load(plugins=False).values())
    assert Catalog(offers).knows(name) is owned
