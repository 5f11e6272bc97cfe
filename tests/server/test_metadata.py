"""The daemon's own lists: providers, names, sums and suggestions; and whether a provider answers."""

import pathlib
from typing import Any

import aiohttp
import pytest
import yaml

from llm_mux.server import top_models
from llm_mux.server.serving import DAEMON
from tests.daemon import Daemon, daemon
from tests.fake_upstream import FakeUpstream, json_reply
from tests.server.conftest import Run
from tests.server.test_health import CHAT, get

ANSWER = {
    "id": "chatcmpl-7",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "OK"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 2},
}


async def chats(running: Daemon, *models: str, key: str | None = None) -> None:
    headers = {} if key is None else {"x-api-key": key}
    async with aiohttp.ClientSession(running.url, headers=headers) as client:
        for model in models:
            async with client.post("/v1/chat/completions", json={**CHAT, "model": model}) as answer:
                await answer.read()


def setup(upstream: FakeUpstream, **more: Any) -> dict[str, Any]:
    openai = {"type": "openai", "base-url": f"{upstream.url}/v1", "api-key": "sk-1"}
    own = {"type": "openai-compatible", "id": "own", "base-url": f"{upstream.url}/v1", "models": []}
    own["models"] = [{"name": "llama", "alias": "mine"}]
    return {"providers": [openai, own], "aliases": {"fast": "gpt-5-mini", "odd": "nowhere://x", "g-*": "gpt-5"}, **more}


@pytest.fixture
async def upstream() -> Any:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", json_reply(ANSWER))
        upstream.on("/v1/models", json_reply({"data": [{"id": "gpt-5"}, {"id": "gpt-5-mini"}, {"id": "gpt-5-nano"}]}))
        yield upstream


async def test_providers_are_listed_with_state_accounts_and_models(
    upstream: FakeUpstream, tmp_path: pathlib.Path
) -> None:
    async with daemon(tmp_path, setup(upstream)) as running:
        await get(running, "/v1/models")
        told = await get(running, "/v1/providers")
    openai, own = told["data"]
    assert (openai["id"], openai["type"], openai["status"], openai["models"]) == ("openai", "openai", "healthy", 3)
    assert openai["accounts"] == {"total": 1, "ready": 1}
    assert "openai_chat" in openai["formats"]
    assert (own["id"], own["type"], own["models"]) == ("own", "openai-compatible", 1)


async def test_names_that_stand_for_others_are_listed(upstream: FakeUpstream, tmp_path: pathlib.Path) -> None:
    fallbacks = {"gpt-5": ["gpt-5-mini"]}
    async with daemon(tmp_path, setup(upstream, fallbacks=fallbacks, **{"default-provider": "own"})) as running:
        mappings = await get(running, "/v1/mappings")
        aliases = await get(running, "/v1/aliases")
    found = {each["id"]: (each["kind"], each["provider"], each["model"]) for each in mappings["data"]}
    assert found["mine"] == ("model", "own", "llama")
    assert found["fast"] == ("alias", "openai", "gpt-5-mini")
    assert found["g-*"] == ("wildcard", "openai", "gpt-5")
    assert found["odd"] == ("alias", None, "nowhere://x")
    assert (mappings["fallbacks"], mappings["default_provider"]) == (fallbacks, "own")
    assert aliases["aliases"] == {
        "own": {"mine": "llama"},
        "openai": {"fast": "gpt-5-mini", "g-*": "gpt-5"},
        "unresolved": {"odd": "nowhere://x"},
    }
    assert aliases["total"] == 4
    assert set(aliases["suggested"]["default"]) == {"coding", "fast", "general"}


async def test_usage_adds_up_by_what_is_asked_for(upstream: FakeUpstream, tmp_path: pathlib.Path) -> None:
    async with daemon(tmp_path, setup(upstream)) as running:
        await chats(running, "gpt-5", "gpt-5", "mine", "unheard-of")
        await running.app[DAEMON].parts.writer.close()
        by_model = await get(running, "/v1/usage?group_by=model&days=1")
        by_day = await get(running, "/v1/usage")
    lines = {line["name"]: line for line in by_model["data"]}
    assert (lines["gpt-5"]["requests"], lines["gpt-5"]["input_tokens"], lines["gpt-5"]["total_tokens"]) == (2, 20, 24)
    assert (lines["gpt-5"]["cost"], lines["llama"]["cost"], lines["llama"]["unpriced"]) == ("0.000065000000", None, 1)
    assert (by_model["total"]["requests"], by_model["total"]["failures"]) == (3, 0) or by_model["total"][
        "failures"
    ] == 1
    assert [line["name"] for line in by_day["data"]] == [by_day["to"]]


async def test_who_sends_a_key_sees_what_that_key_used(upstream: FakeUpstream, tmp_path: pathlib.Path) -> None:
    keys = {"api-keys": ["first", "second"], "disable-auth": False}
    async with daemon(tmp_path, setup(upstream, **keys)) as running:
        await chats(running, "gpt-5", "gpt-5", key="first")
        await chats(running, "gpt-5", key="second")
        await running.app[DAEMON].parts.writer.close()
        seen = [
            (await get(running, "/v1/usage", **headers))["total"]["requests"]
            for headers in ({}, {"x-api-key": "first"}, {"Authorization": "Bearer second"})
        ]
        await get(running, "/v1/usage", 401, **{"x-api-key": "wrong"})
    assert seen == [3, 2, 1]


@pytest.mark.parametrize(
    "query",
    [
        "days=0",
        "days=-1",
        "days=1e9",
        "days=99999999999999999999",
        "days=1&from=2026-01-01",
        "from=yesterday",
        "from=2026-02-30",
        "from=2026-02-02&to=2026-02-01",
        "from=0001-01-01&to=9999-12-31",
        "to=1900-01-01",
        "group_by=model_served",
        "group_by=1%3B%20DROP%20TABLE%20usage_days",
    ],
)
async def test_questions_without_sense_are_refused(demo: Run, query: str) -> None:
    async with demo() as running:
        told = await get(running, f"/v1/usage?{query}", 400)
        assert told["error"]["param"] in ("days", "from", "to", "group_by")
        assert (told["code"], told["error_type"]) == (400, "validation_error")


async def test_every_model_of_the_short_list_is_in_the_price_book(demo: Run) -> None:
    async with demo() as running:
        told = await get(running, "/top-models?limit=100&include_cache_info=true")
        few = await get(running, "/top-models?limit=2&provider=anthropic")
        for limit in ("0", "-1", "101", "x"):
            await get(running, f"/top-models?limit={limit}", 400)
    assert [model["name"] for model in told["models"] if model["pricing"] is None] == []
    assert (told["object"], told["last_updated"]) == ("top_models", top_models.CHOSEN)
    assert told["meta"]["prices"].startswith("genai-prices ")
    assert [model["ranking"] for model in few["models"]] == [1, 2]
    assert few["providers"] == ["anthropic"]


async def test_suggestions_prefer_what_is_there() -> None:
    assert top_models.suggested(["openai"])["fast"] == "gpt-6-luna"
    assert top_models.suggested([])["fast"] == "gemini-3.8-flash"


async def test_running_totals_are_yaml_by_provider_and_model(upstream: FakeUpstream, tmp_path: pathlib.Path) -> None:
    async with daemon(tmp_path, setup(upstream)) as running:
        await chats(running, "gpt-5", "gpt-5-mini", "mine")
        everything = yaml.safe_load(await get(running, "/metrics/running-totals"))
        some = yaml.safe_load(await get(running, "/metrics/running-totals?provider=open*&model=*mini&include_active=0"))
    assert everything["total"]["requests"] == 3
    assert set(everything["providers"]) == {"openai", "own"}
    assert everything["providers"]["openai"]["rollup"]["output_tokens"] == 4
    assert everything["active"]["streams"] == 0
    assert set(some["providers"]["openai"]["models"]) == {"gpt-5-mini"}
    assert (some["total"]["input_tokens"], "active" in some) == (10, False)


async def test_a_connection_is_tried_with_the_cheapest_model(upstream: FakeUpstream, tmp_path: pathlib.Path) -> None:
    async with daemon(tmp_path, setup(upstream)) as running:
        told = await get(running, "/test-connection")
        own = await get(running, "/test-connection?provider=own")
        await get(running, "/test-connection?provider=nobody", 404)
    assert (told["status"], told["provider"], told["model_used"]) == ("success", "openai", "gpt-5-nano")
    assert told["response_id"] == "chatcmpl-7"
    assert own["model_used"] == "llama"


async def test_a_connection_that_fails_says_why(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", json_reply({"error": {"message": "no credit"}}, status=402))
        upstream.on("/v1/models", json_reply({"data": [{"id": "gpt-5"}]}))
        async with daemon(tmp_path, setup(upstream)) as running:
            told = await get(running, "/test-connection", 503)
    assert told["status"] == "failed"
    assert "no credit" in told["message"]


async def test_only_a_client_with_a_key_may_try_a_connection(upstream: FakeUpstream, tmp_path: pathlib.Path) -> None:
    async with daemon(tmp_path, setup(upstream, **{"api-keys": ["right"], "disable-auth": False})) as running:
        await get(running, "/test-connection", 401)
        await get(running, "/test-connection", **{"x-api-key": "right"})


async def test_the_root_names_the_endpoints(demo: Run) -> None:
    async with demo() as running:
        told = await get(running, "/")
        assert told["config"]["base_url"] == running.url
        for name, path in told["endpoints"].items():
            if name in ("models", "providers", "aliases", "mappings", "usage", "top_models", "health", "metrics"):
                await get(running, path)


async def test_a_try_counts_against_the_limits_of_whoever_makes_it(
    upstream: FakeUpstream, tmp_path: pathlib.Path
) -> None:
    limits = {"rate-limits": {"requests-per-minute": 1}}
    async with daemon(tmp_path, setup(upstream, **limits)) as running:
        await get(running, "/test-connection?model=gpt-5")
        await get(running, "/test-connection?model=gpt-5", 429)
