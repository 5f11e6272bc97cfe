"""Providers that the environment names: keys, addresses, formats, and servers that nobody registered."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import aiohttp
import pytest

from llm_mux.config import ConfigError, parse
from llm_mux.providers import environment, registry
from llm_mux.server.compose import Fleet, fleet
from tests.daemon import daemon
from tests.fake_upstream import FakeUpstream, json_reply


def found(env: Mapping[str, str]) -> Fleet:
    return fleet(parse("", None, env).config, env, [], secret=lambda text: [text])


def test_a_server_that_nobody_registered_needs_a_key_and_an_address() -> None:
    made = found({"POE_API_KEY": "one two", "POE_BASE_URL": "https://api.poe.com/v1", "NOWHERE_API_KEY": "x"})
    poe = [account for account in made.accounts if account.provider.name == "poe"]
    assert [account.key for account in poe] == ["one", "two"]
    assert poe[0].provider.base_url == "https://api.poe.com/v1"
    assert not any(offer.provider == "nowhere" for offer in made.offers)


@pytest.mark.parametrize(
    ("word", "translator"), [("anthropic", "anthropic"), ("openai", "openai_chat"), ("gemini", "gemini")]
)
def test_its_format_is_what_the_environment_says(word: str, translator: str) -> None:
    made = found({"MINE_API_KEY": "k", "MINE_BASE_URL": "https://mine.example.com", "MINE_API_FORMAT": word})
    provider = next(account.provider for account in made.accounts if account.provider.name == "mine")
    assert provider.endpoint_for("m", "ollama", "generate").translator == translator  # type: ignore[union-attr]


def test_a_registered_provider_is_moved_by_its_own_name() -> None:
    env = {"DEEPSEEK_BASE_URL": "https://proxy.example.com/v1", "DEEPSEEK_API_FORMAT": "openai"}
    moved = environment.from_environment(registry.get("deepseek"), env)
    assert moved.base_url == "https://proxy.example.com/v1"
    assert {endpoint.translator for endpoint in moved.endpoints if endpoint.operation == "generate"} == {"openai_chat"}


@pytest.mark.parametrize(
    "env",
    [
        {"OPENAI_API_KEY": "!PASSTHRU sk-fixed"},
        {"MINE_API_KEY": "!PASSTHRU sk-fixed", "MINE_BASE_URL": "https://mine.example.com"},
        {"MINE_API_KEY": "k", "MINE_BASE_URL": "https://mine.example.com", "MINE_API_FORMAT": "soap"},
    ],
)
def test_contradictions_are_refused_at_the_start(env: Mapping[str, str]) -> None:
    with pytest.raises(ConfigError, match="environment"):
        found(env)


async def test_the_clients_key_goes_through_where_the_environment_says_so(tmp_path: pathlib.Path) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    upstream = FakeUpstream().on(
        "*", json_reply({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})
    )
    async with upstream:
        env = {"MINE_API_KEY": "!PASSTHRU", "MINE_BASE_URL": f"{upstream.url}/v1"}
        async with daemon(tmp_path, {"discover": True}, env) as mux, aiohttp.ClientSession() as session:
            body = {"model": "mine:m", "messages": [{"role": "user", "content": "hi"}]}
            own = {"Authorization": "Bearer my-own"}
            async with session.post(f"{mux.url}/v1/chat/completions", json=body, headers=own) as answer:
                assert answer.status == 200
            assert upstream.last.headers["Authorization"] == "Bearer my-own"
            async with session.post(f"{mux.url}/v1/chat/completions", json=body) as answer:
                said = (await answer.json())["error"]["message"]
                assert answer.status == 401
    assert said == "Provider 'mine' requires API key passthrough, but no client API key was provided"


@pytest.mark.parametrize(("text", "expected"), [("90", (90.0, 90.0)), ("soon", (300.0, 300.0)), ("-1", (300.0, 300.0))])
def test_a_request_timeout_of_the_environment_counts_where_nothing_else_is_said(
    text: str, expected: tuple[float, float]
) -> None:
    waits = parse("", None, {"REQUEST_TIMEOUT": text}).config.timeouts
    assert (waits.first_byte, waits.between_bytes) == expected
    said = parse("timeouts: {first-byte: 5}", None, {"REQUEST_TIMEOUT": text}).config.timeouts
    assert said.first_byte == 5
