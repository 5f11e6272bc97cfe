"""Clients of the Vandamme proxy (document 003), unchanged, with the environment that it is set up by."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Callable

import aiohttp
import pytest
import yaml

from llm_mux.config import ConfigError, parse
from llm_mux.server.compose import fleet
from tests.daemon import daemon
from tests.fake_upstream import RESET, FakeUpstream, Reply, json_reply, sse_reply
from tests.standins.scripted import CHUNKS, COMPLETION, HELLO, MESSAGE, Mux

meets = pytest.mark.stands_in
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
CHAT_BODY = {"model": "gpt-4o-mini", "messages": HELLO, "max_tokens": 100}
MESSAGE_BODY = {"model": "claude-3-haiku-20240307", "max_tokens": 100, "messages": HELLO}


@meets("003-chat", "003-key-headers")
@pytest.mark.parametrize("key", [{"x_api_key": "your-api-key"}, {"Authorization": "Bearer your-api-key"}])
async def test_a_chat_is_answered_whole(proxy: Mux, key: dict[str, str]) -> None:
    answer = await proxy.post(CHAT, CHAT_BODY, **key)
    assert answer.json() == COMPLETION
    assert proxy.upstream.last.headers["Authorization"] in ("Bearer sk-one", "Bearer sk-two")


@meets("003-chat-stream", "003-sse-headers")
async def test_a_chat_is_streamed(proxy: Mux, streaming: Callable[[], Reply]) -> None:
    proxy.upstream.on(CHAT, streaming())
    answer = await proxy.post(CHAT, {**CHAT_BODY, "stream": True})
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.records[-1] == "[DONE]"


@meets("003-prefix")
async def test_a_prefix_names_the_provider(proxy: Mux) -> None:
    answer = await proxy.post(CHAT, {**CHAT_BODY, "model": "openai:gpt-4o-mini"})
    assert answer.status == 200
    assert proxy.upstream.last.json()["model"] == "gpt-4o-mini"
    assert answer.json()["model"] == "openai:gpt-4o-mini"


@meets("003-completions", "003-embeddings")
async def test_what_is_missing_there_works_here(proxy: Mux) -> None:
    proxy.upstream.on(
        "/v1/completions",
        json_reply(
            {
                "id": "c",
                "object": "text_completion",
                "created": 1,
                "model": "m",
                "choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}],
            }
        ),
    )
    proxy.upstream.on(
        "/v1/embeddings",
        json_reply({"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [1.0]}]}),
    )
    legacy = await proxy.post("/v1/completions", {"model": "openai:gpt-3.5-turbo-instruct", "prompt": "x"})
    assert legacy.json()["choices"][0]["text"] == "hi"
    vectors = await proxy.post("/v1/embeddings", {"model": "openai:text-embedding-3-small", "input": "x"})
    assert vectors.json()["data"][0]["embedding"] == [1.0]


@meets("003-messages")
async def test_messages_are_anthropics_own(proxy: Mux) -> None:
    assert (await proxy.post(MESSAGES, MESSAGE_BODY, x_api_key="your-api-key")).json() == MESSAGE


@meets("003-messages-stream")
async def test_messages_stream_as_anthropics_events(proxy: Mux) -> None:
    events = (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"model":"c","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}\n\n',
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}\n\n',
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}\n\n',
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    )
    proxy.upstream.on(MESSAGES, sse_reply(*events))
    answer = await proxy.post(MESSAGES, {**MESSAGE_BODY, "stream": True})
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.text.endswith('data: {"type":"message_stop"}\n\n')


@meets("003-count")
async def test_tokens_are_counted_by_the_provider_or_estimated(proxy: Mux) -> None:
    body = {"model": "claude-3-haiku-20240307", "messages": HELLO}
    native = await proxy.post(f"{MESSAGES}/count_tokens", body)
    assert native.json() == {"input_tokens": 9}
    assert native.headers["x-llm-mux-count"] == "native"
    guessed = await proxy.post(f"{MESSAGES}/count_tokens", {**body, "model": "gpt-4o-mini"})
    assert guessed.json()["input_tokens"] > 0
    assert guessed.headers["x-llm-mux-count"] in ("estimate", "tokenizer")


@meets("003-models", "003-models-refresh")
async def test_models_have_the_format_and_provider_that_are_asked_for(proxy: Mux) -> None:
    body = (await proxy.get("/v1/models?format=openai&provider=openai", x_api_key="k")).json()
    assert body["object"] == "list"
    model = body["data"][0]
    assert {name: model[name] for name in ("id", "object", "created", "owned_by")} == {
        "id": "gpt-4o-mini",
        "object": "model",
        "created": 1677610600,
        "owned_by": "openai",
    }
    asked = len(proxy.upstream.seen("/v1/models"))
    await proxy.get("/v1/models?provider=openai")
    assert len(proxy.upstream.seen("/v1/models")) == asked, "lists are kept"
    await proxy.get("/v1/models?provider=openai&refresh=true")
    assert len(proxy.upstream.seen("/v1/models")) > asked


@meets("003-models-anthropic", "003-models-provider-header")
async def test_headers_choose_the_shape_and_the_provider(proxy: Mux) -> None:
    shaped = (await proxy.get("/v1/models", anthropic_version="2023-06-01")).json()
    assert set(shaped) == {"data", "has_more", "first_id", "last_id"}
    narrowed = (await proxy.get("/v1/models?provider=anthropic", provider="openai")).json()
    assert {one["provider"] for one in narrowed["data"]} == {"openai"}


@meets("003-aliases", "003-environment")
async def test_aliases_are_listed_by_provider(proxy: Mux) -> None:
    body = (await proxy.get("/v1/aliases", x_api_key="k")).json()
    assert body["object"] == "list"
    assert body["aliases"]["openai"] == {"fast": "gpt-4o-mini"}
    assert "default" in body["suggested"]
    assert body["total"] == 1
    answer = await proxy.post(CHAT, {**CHAT_BODY, "model": "fast"})
    assert answer.status == 200
    assert proxy.upstream.last.json()["model"] == "gpt-4o-mini"


@meets("003-health", "003-no-keys-in-logs")
@pytest.mark.parametrize("asked", [("/health?format=yaml", {}), ("/health", {"Accept": "text/yaml"})])
async def test_health_is_yaml_where_that_is_asked_for(proxy: Mux, asked: tuple[str, dict[str, str]]) -> None:
    answer = await proxy.get(asked[0], **asked[1])
    body = yaml.safe_load(answer.text)
    assert body["status"] == "healthy"
    assert body["timestamp"]
    assert body["default_provider"] == "openai"
    assert body["api_key_valid"] is True
    assert body["client_api_key_validation"] is False
    openai = body["providers"]["openai"]
    assert openai["base_url"] == f"{proxy.upstream.url}/v1"
    assert openai["api_format"]
    for shown in openai["api_key_hash"]:
        assert shown.startswith("sha256:")
        assert len(shown) == len("sha256:") + 8
    assert "sk-one" not in answer.text


@meets("003-test-connection")
async def test_the_connection_to_the_default_provider_is_tried(proxy: Mux) -> None:
    await proxy.get("/v1/models")
    body = (await proxy.get("/test-connection")).json()
    assert body["status"] == "success"
    assert "Successfully connected to" in body["message"]
    assert body["provider"] == "openai"
    assert body["model_used"] == "gpt-4o-mini"
    assert body["timestamp"]
    assert body["response_id"] == "chatcmpl-123"


@meets("003-top-models")
async def test_top_models_are_ranked(proxy: Mux) -> None:
    body = (await proxy.get("/top-models?limit=5&include_cache_info=true", x_api_key="k")).json()
    assert body["object"] == "top_models"
    assert body["source"]
    assert body["last_updated"]
    assert body["providers"]
    assert len(body["models"]) == 5
    assert {"name", "provider", "sub_provider", "ranking", "category"} <= body["models"][0].keys()
    assert body["suggested_aliases"]
    one = (await proxy.get("/top-models?provider=anthropic")).json()
    assert {model["provider"] for model in one["models"]} == {"anthropic"}


@meets("003-root")
async def test_the_root_says_what_is_there(proxy: Mux) -> None:
    body = (await proxy.get("/")).json()
    assert body["message"]
    assert body["status"] == "running"
    assert body["config"]["base_url"] == proxy.url
    assert body["config"]["api_key_configured"] in (True, False)
    assert body["config"]["client_api_key_validation"] is False
    endpoints = body["endpoints"]
    for name, path in {
        "messages": "/v1/messages",
        "count_tokens": "/v1/messages/count_tokens",
        "running_totals": "/metrics/running-totals",
        "models": "/v1/models",
        "aliases": "/v1/aliases",
        "top_models": "/top-models",
        "health": "/health",
        "test_connection": "/test-connection",
    }.items():
        assert endpoints[name] == path


@meets("003-running-totals")
async def test_running_totals_are_yaml(proxy: Mux) -> None:
    await proxy.post(CHAT, CHAT_BODY)
    body = yaml.safe_load((await proxy.get("/metrics/running-totals?provider=open*&include_active=true")).text)
    assert body["total"]["requests"] == 1
    assert body["total"]["output_tokens"] == 12


@meets("003-stream-error")
@pytest.mark.parametrize(
    "ending", [(RESET,), (b'data: {"error":{"message":"Upstream read timeout","type":"server_error"}}\n\n',)]
)
async def test_an_error_in_a_stream_is_told_and_then_it_ends(proxy: Mux, ending: tuple[object, ...]) -> None:
    proxy.upstream.on(CHAT, sse_reply(*CHUNKS[:2], *ending))  # type: ignore[arg-type]  # steps of a reply
    answer = await proxy.post(CHAT, {**CHAT_BODY, "stream": True})
    assert '"error"' in answer.records[-2]
    assert answer.records[-1] == "[DONE]"


@meets("003-statuses")
@pytest.mark.parametrize(("theirs", "ours"), [(400, 400), (404, 404), (429, 429), (500, 502), (503, 503), (504, 504)])
async def test_statuses_mean_what_they_usually_do(proxy: Mux, theirs: int, ours: int) -> None:
    proxy.upstream.on(CHAT, json_reply({"error": {"message": "no", "type": "t"}}, theirs))
    assert (await proxy.post(CHAT, CHAT_BODY)).status == ours


@meets("003-error-shape")
async def test_errors_of_messages_have_anthropics_shape(proxy: Mux) -> None:
    body = (await proxy.post(MESSAGES, {"messages": HELLO})).json()
    assert body["type"] == "error"
    assert {"type", "message"} <= body["error"].keys()


@meets("003-cors")
async def test_no_strange_page_may_spend_the_users_quota(proxy: Mux) -> None:
    strange = await proxy.post(CHAT, CHAT_BODY, Origin="https://elsewhere.example")
    assert strange.status == 403
    local = await proxy.post(CHAT, CHAT_BODY, Origin="http://localhost:3000")
    assert local.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"


@meets("003-timeout", "003-statuses")
async def test_a_provider_that_is_silent_too_long_is_a_504(
    tmp_path: pathlib.Path, session: aiohttp.ClientSession
) -> None:
    silent = Reply(b"{}", before=asyncio.Event())
    async with FakeUpstream().on("*", silent) as upstream:
        env = {"MINE_API_KEY": "k", "MINE_BASE_URL": f"{upstream.url}/v1", "REQUEST_TIMEOUT": "0.2"}
        async with daemon(tmp_path, {"discover": True, "request-retry": 0}, env) as running:
            mux = Mux(running.url, upstream, session)
            assert (await mux.post(CHAT, {**CHAT_BODY, "model": "mine:m"})).status == 504


@meets("003-proxy-key")
@pytest.mark.parametrize(("key", "status"), [("secret", 200), ("wrong", 401), (None, 401)])
async def test_the_proxy_key_is_asked_for_once_it_is_set(
    tmp_path: pathlib.Path, session: aiohttp.ClientSession, key: str | None, status: int
) -> None:
    async with FakeUpstream().on("*", json_reply(COMPLETION)) as upstream:
        env = {"PROXY_API_KEY": "secret", "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"{upstream.url}/v1"}
        async with daemon(tmp_path, {"discover": True}, env) as running:
            mux = Mux(running.url, upstream, session)
            headers = {} if key is None else {"x_api_key": key}
            assert (await mux.post(CHAT, CHAT_BODY, **headers)).status == status


@meets("003-passthrough", "003-passthrough-missing")
async def test_the_clients_key_goes_through(tmp_path: pathlib.Path, session: aiohttp.ClientSession) -> None:
    async with FakeUpstream().on("*", json_reply(COMPLETION)) as upstream:
        env = {"OPENAI_API_KEY": "!PASSTHRU", "OPENAI_BASE_URL": f"{upstream.url}/v1"}
        async with daemon(tmp_path, {"discover": True}, env) as running:
            mux = Mux(running.url, upstream, session)
            assert (await mux.post(CHAT, CHAT_BODY, x_api_key="the-clients-own")).status == 200
            assert upstream.last.headers["Authorization"] == "Bearer the-clients-own"
            refused = await mux.post(CHAT, CHAT_BODY)
    assert refused.status == 401
    said = "Provider 'openai' requires API key passthrough, but no client API key was provided"
    assert said in refused.json()["detail"]


@meets("003-passthrough-mixed")
def test_passthrough_beside_a_fixed_key_is_refused() -> None:
    env = {"OPENAI_API_KEY": "!PASSTHRU sk-fixed"}
    with pytest.raises(ConfigError, match="stands alone"):
        fleet(parse("", None, env).config, env, [], secret=lambda text: [text])


@meets("003-environment")
def test_the_environment_names_keys_addresses_and_formats() -> None:
    env = {"POE_API_KEY": "one two", "POE_BASE_URL": "https://api.poe.com", "POE_API_FORMAT": "anthropic"}
    made = fleet(parse("", None, env).config, env, [], secret=lambda text: [text])
    poe = [account for account in made.accounts if account.provider.name == "poe"]
    assert [account.key for account in poe] == ["one", "two"]
    assert {e.translator for e in poe[0].provider.endpoints if e.operation == "generate"} == {"anthropic"}
