"""Defaults and overrides of a model's parameters, in what the provider really gets."""

import pathlib
from typing import Any

import aiohttp
import pytest

from tests.daemon import daemon
from tests.fake_upstream import FakeUpstream, json_reply
from tests.gateway.test_exchange import CHAT, MESSAGES, whole


async def sent(
    home: pathlib.Path, models: list[dict[str, object]], path: str, body: dict[str, object]
) -> dict[str, Any]:
    """What reaches the upstream for a client's request."""
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply(whole("Hello")))
        provider = {"id": "up", "type": "openai-compatible", "base-url": f"{upstream.url}/v1", "models": ["m"]}
        config = {"providers": [{**provider, "api-key": "k"}], "models": models}
        async with daemon(home, config) as running, aiohttp.ClientSession() as client:
            async with client.post(running.url + path, json=body) as answer:
                assert answer.status == 200, await answer.text()
        found: dict[str, Any] = upstream.last.json()
        return found


@pytest.mark.parametrize(
    ("settings", "body", "wanted"),
    [
        pytest.param({"defaults": {"seed": 7}}, {}, {"seed": 7}, id="what was left out"),
        pytest.param({"defaults": {"seed": 7}}, {"seed": 1}, {"seed": 1}, id="what was said stays"),
        pytest.param({"overrides": {"seed": 7}}, {"seed": 1}, {"seed": 7}, id="what always holds"),
        pytest.param(
            {"defaults": {"extra": {"a": 1, "b": 2}}, "overrides": {"extra": {"c": 3}}},
            {"extra": {"b": 9}},
            {"extra": {"a": 1, "b": 9, "c": 3}},
            id="objects key by key",
        ),
        pytest.param({"defaults": {"seed": None}}, {}, {"seed": None}, id="null is a value"),
    ],
)
async def test_a_parameter_gets_the_users_value(
    tmp_path: pathlib.Path, settings: dict[str, object], body: dict[str, object], wanted: dict[str, object]
) -> None:
    got = await sent(tmp_path, [{"model": "up/*", **settings}], "/v1/chat/completions", {**CHAT, **body})
    assert {key: got.get(key, "missing") for key in wanted} == wanted
    assert got["messages"] == CHAT["messages"]


async def test_it_is_said_in_the_providers_format_whatever_the_clients(tmp_path: pathlib.Path) -> None:
    models = [{"model": "up/m", "defaults": {"reasoning_effort": "low"}, "overrides": {"max_tokens": 5}}]
    got = await sent(tmp_path, models, "/v1/messages", MESSAGES)
    assert (got["reasoning_effort"], got["max_tokens"]) == ("low", 5)


async def test_the_longest_pattern_counts_and_other_models_are_left_alone(tmp_path: pathlib.Path) -> None:
    models = [
        {"model": "up/*", "overrides": {"seed": 1}},
        {"model": "up/m*", "overrides": {"seed": 2}},
        {"model": "other/m", "overrides": {"seed": 3}},
    ]
    assert (await sent(tmp_path, models, "/v1/chat/completions", CHAT))["seed"] == 2
    assert await sent(tmp_path, models[2:], "/v1/chat/completions", CHAT) == CHAT


async def test_what_the_model_refuses_is_not_put_in_again(tmp_path: pathlib.Path) -> None:
    refusal = json_reply({"error": {"message": "no", "param": "seed", "code": "unsupported_parameter"}}, 400)
    async with FakeUpstream() as upstream:
        upstream.on("*", refusal, json_reply(whole("Hello")))
        provider = {"id": "up", "type": "openai-compatible", "base-url": f"{upstream.url}/v1", "models": ["m"]}
        config = {"providers": [{**provider, "api-key": "k"}], "models": [{"model": "up/m", "defaults": {"seed": 1}}]}
        async with daemon(tmp_path, config) as running, aiohttp.ClientSession() as client:
            for _ in range(2):
                async with client.post(running.url + "/v1/chat/completions", json=CHAT) as answer:
                    assert answer.status == 200, await answer.text()
        assert ["seed" in request.json() for request in upstream.requests] == [True, False, False]


async def test_a_context_that_is_configured_decides_where_a_long_request_goes(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply(whole("Hello")))
        base = {"type": "openai-compatible", "base-url": f"{upstream.url}/v1", "models": ["m"], "api-key": "k"}
        config = {
            "providers": [{**base, "id": "small", "priority": 1}, {**base, "id": "large"}],
            "models": [{"model": "small/m", "context": 5000}, {"model": "large/m", "context": 100000}],
        }
        long = {**CHAT, "messages": [{"role": "user", "content": "word " * 10_000}]}
        async with daemon(tmp_path, config) as running, aiohttp.ClientSession() as client:
            for body, wanted in ((CHAT, "small"), (long, "large")):
                async with client.post(running.url + "/v1/chat/completions", json=body) as answer:
                    assert answer.headers["x-llm-mux-provider"] == wanted
