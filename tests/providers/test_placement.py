"""Addresses: joining, and what users paste as a base URL."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from llm_mux.providers import registry
from llm_mux.providers.base import Provider, fill, join, url_of
from llm_mux.providers.environment import from_environment
from llm_mux.providers.placement import placed


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("https://a.example/v1", "/chat/completions", "https://a.example/v1/chat/completions"),
        ("https://a.example/v1/", "/chat/completions", "https://a.example/v1/chat/completions"),
        ("https://a.example/v1", "/v1/messages", "https://a.example/v1/messages"),
        ("https://a.example/v1", "/v1beta/models/m:generateContent", "https://a.example/v1/models/m:generateContent"),
        ("https://a.example", "/v1/messages", "https://a.example/v1/messages"),
        ("https://a.example/anthropic", "/v1/messages", "https://a.example/anthropic/v1/messages"),
        ("https://a.example/v1/chat/completions", "/chat/completions", "https://a.example/v1/chat/completions"),
        ("https://a.example/v1/models", "/v1/models?limit=9", "https://a.example/v1/models?limit=9"),
        ("https://v1.example", "/v1/messages", "https://v1.example/v1/messages"),
    ],
)
def test_base_and_path_are_joined_once(base: str, path: str, url: str) -> None:
    assert join(base, path) == url


def test_model_ids_are_escaped_in_paths_and_queries_stay() -> None:
    assert fill("/v1/models/{model}:go?alt=sse", "a/b:c d", {}) == "/v1/models/a%2Fb%3Ac%20d:go?alt=sse"


@dataclass(frozen=True)
class Case:
    """`urls`: where each format of the provider then is."""

    id: str
    provider: str
    base_url: str
    urls: dict[str, str]
    translator: str | None = None


CASES = [
    Case("bare host", "openai", "https://gw.example", {"openai_chat": "https://gw.example/v1/chat/completions"}),
    Case(
        "another path is the user's wish",
        "openai",
        "https://gw.example/team/openai",
        {"openai_chat": "https://gw.example/team/openai/chat/completions"},
    ),
    Case(
        "half of the usual path",
        "groq",
        "https://api.groq.com/openai",
        {"openai_chat": "https://api.groq.com/openai/v1/chat/completions"},
    ),
    Case(
        "a bare host of a vendor with a longer path",
        "groq",
        "https://gw.example/",
        {"openai_responses": "https://gw.example/openai/v1/responses"},
    ),
    Case(
        "a pasted endpoint",
        "openai",
        "https://gw.example/v1/chat/completions",
        {"openai_responses": "https://gw.example/v1/responses"},
    ),
    Case(
        "a doubled version",
        "mistral",
        "https://gw.example/v1/v1",
        {"openai_chat": "https://gw.example/v1/chat/completions"},
    ),
    Case(
        "the compatible layer of Ollama pasted",
        "ollama",
        "http://box:11434/v1",
        {"ollama": "http://box:11434/api/chat", "openai_chat": "http://box:11434/v1/chat/completions"},
    ),
    Case("Ollama behind a path", "ollama", "https://box/ollama", {"ollama": "https://box/ollama/api/chat"}),
    Case(
        "Gemini with its version",
        "gemini",
        "https://gw.example/v1beta",
        {"gemini": "https://gw.example/v1beta/models/m:generateContent"},
    ),
    Case(
        "Gemini at the version the user wants",
        "gemini",
        "https://gw.example/v1",
        {"gemini": "https://gw.example/v1/models/m:generateContent"},
    ),
    Case(
        "the other region takes the second format along",
        "moonshot",
        "https://api.moonshot.cn/v1",
        {
            "openai_chat": "https://api.moonshot.cn/v1/chat/completions",
            "anthropic": "https://api.moonshot.cn/anthropic/v1/messages",
        },
    ),
    Case(
        "the other region named by the second format's address",
        "moonshot",
        "https://api.moonshot.cn/anthropic",
        {
            "openai_chat": "https://api.moonshot.cn/v1/chat/completions",
            "anthropic": "https://api.moonshot.cn/anthropic/v1/messages",
        },
    ),
    Case(
        "a workspace's own domain",
        "dashscope",
        "https://ws.ap-southeast-1.maas.aliyuncs.com/compatible-mode/v1",
        {
            "openai_chat": "https://ws.ap-southeast-1.maas.aliyuncs.com/compatible-mode/v1/chat/completions",
            "anthropic": "https://ws.ap-southeast-1.maas.aliyuncs.com/apps/anthropic/v1/messages",
        },
    ),
    Case(
        "another plan at the vendor's own host",
        "zai",
        "https://api.z.ai/api/coding/paas/v4",
        {
            "openai_chat": "https://api.z.ai/api/coding/paas/v4/chat/completions",
            "anthropic": "https://api.z.ai/api/anthropic/v1/messages",
        },
    ),
    Case(
        "a relay that is known to have the first format only",
        "deepseek",
        "https://gw.example/ds",
        {"openai_chat": "https://gw.example/ds/chat/completions"},
    ),
    Case(
        "a relay for the second format",
        "deepseek",
        "https://gw.example/ds",
        {"anthropic": "https://gw.example/ds/v1/messages"},
        translator="anthropic",
    ),
    Case(
        "a server of one's own",
        "openai-compatible",
        "http://127.0.0.1:8000",
        {"openai_chat": "http://127.0.0.1:8000/v1/chat/completions"},
    ),
    Case(
        "a server of one's own, Responses only",
        "openai-compatible",
        "http://127.0.0.1:8000/v1",
        {"openai_responses": "http://127.0.0.1:8000/v1/responses"},
        translator="openai_responses",
    ),
    Case(
        "a Messages server with its version",
        "anthropic-compatible",
        "https://gw.example/v1/messages",
        {"anthropic": "https://gw.example/v1/messages"},
    ),
    Case(
        "Azure by its host",
        "azure",
        "https://res.openai.azure.com/",
        {
            "openai_chat": "https://res.openai.azure.com/openai/v1/chat/completions",
            "openai_responses": "https://res.openai.azure.com/openai/v1/responses",
            "anthropic": "https://res.services.ai.azure.com/anthropic/v1/messages",
        },
    ),
    Case(
        "Azure by its v1 address",
        "azure",
        "https://res.services.ai.azure.com/openai/v1",
        {
            "openai_chat": "https://res.services.ai.azure.com/openai/v1/chat/completions",
            "anthropic": "https://res.services.ai.azure.com/anthropic/v1/messages",
        },
    ),
    Case(
        "Azure by a deployment's address",
        "azure",
        "https://res.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        {"openai_chat": "https://res.openai.azure.com/openai/deployments/m/chat/completions?api-version=2024-10-21"},
    ),
]


def urls(provider: Provider) -> dict[str, str]:
    found: dict[str, str] = {}
    for e in provider.endpoints:
        if e.operation == "generate":
            found.setdefault(e.translator, url_of(provider, e.path, "m", {}, e.base_url))
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_an_address_is_made_good(case: Case) -> None:
    moved = placed(registry.get(case.provider), base_url=case.base_url, translator=case.translator)
    assert urls(moved).items() >= case.urls.items()


def test_a_relay_of_which_nothing_is_known_gets_no_second_format() -> None:
    moved = placed(registry.get("deepseek"), base_url="https://gw.example/ds")
    assert set(urls(moved)) == {"openai_chat"}


def test_a_format_leaves_embeddings_and_counts() -> None:
    moved = placed(registry.get("openai"), translator="openai_responses")
    assert set(urls(moved)) == {"openai_responses"}
    assert moved.endpoint_for("m", "openai_chat", "embed") is not None


def test_a_format_that_is_not_spoken_is_said_in_the_users_words() -> None:
    with pytest.raises(ValueError, match="does not speak openai-responses"):
        placed(registry.get("anthropic"), translator="openai_responses")


class TestAzure:
    """Its resource and its dated versions come from the options."""

    def test_a_resource_stands_for_its_address(self) -> None:
        moved = placed(registry.get("azure"), options={"resource": "res"})
        assert urls(moved)["openai_chat"] == "https://res.openai.azure.com/openai/v1/chat/completions"

    def test_a_dated_version_means_deployment_addresses(self) -> None:
        moved = placed(registry.get("azure"), options={"resource": "res", "api-version": "2024-10-21"})
        assert urls(moved) == {
            "openai_chat": "https://res.openai.azure.com/openai/deployments/m/chat/completions?api-version=2024-10-21",
            "openai_responses": "https://res.openai.azure.com/openai/responses?api-version=2024-10-21",
        }
        assert moved.check_path is not None
        assert (
            url_of(moved, moved.check_path, "", {})
            == "https://res.openai.azure.com/openai/models?api-version=2024-10-21"
        )

    def test_a_preview_of_v1_is_no_dated_version(self) -> None:
        moved = placed(registry.get("azure"), base_url="https://res.openai.azure.com/openai/v1?api-version=preview")
        assert urls(moved)["openai_chat"] == (
            "https://res.openai.azure.com/openai/v1/chat/completions?api-version=preview"
        )

    def test_the_environment_may_name_the_endpoint(self) -> None:
        env = {"AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com/"}
        assert from_environment(registry.get("azure"), env).base_url == "https://res.openai.azure.com/openai/v1"
        assert from_environment(registry.get("azure"), {}).base_url == ""
