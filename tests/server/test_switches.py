"""What single settings change: who may see the daemon's own routes, CORS, stored responses, metrics."""

import asyncio
import pathlib
from typing import Any

import aiohttp
import pytest

from llm_mux import paths
from llm_mux.auth.store import open_store
from llm_mux.config import parse
from llm_mux.server.app import make_app, start
from tests.daemon import clean_environment, config_text, daemon
from tests.fake_upstream import FakeUpstream, Wait, sse_reply
from tests.raw_server import RawServer
from tests.server.conftest import Run

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/v1/chat/completions"
PIECE = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'
END = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_the_daemons_own_routes_are_open_on_loopback_and_ask_for_a_key_elsewhere(
    tmp_path: pathlib.Path, host: str
) -> None:
    environment = clean_environment(tmp_path)
    settings = {"host": host, "api-keys": ["right"], "disable-auth": False}
    loaded = parse(config_text(settings), None, environment)
    app = make_app(loaded, environment, open_store(env=environment, data_dir=paths.data_dir(environment)))
    runner, port = await start(app, "127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            for path in ("/", "/health", "/metrics"):
                async with client.get(path) as answer:
                    assert (answer.status == 401) is (host == "0.0.0.0"), path
                async with client.get(path, headers={"x-api-key": "right"}) as answer:
                    assert answer.status in (200, 503)
            for path, status in (("/healthz", 200), ("/api/version", 200), ("/api/hello", 200), ("/ready", 503)):
                async with client.get(path) as answer:
                    assert answer.status == status, "the probes of whoever runs it are open, and say nothing else"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/v1/models", 200),
        ("GET", "/v1/models/nothing-like-it", 404),
        ("POST", PATH, 400),
        ("GET", "/nothing", 404),
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1beta/models/demo:rewrite", 404),
        ("OPTIONS", PATH, 204),
        ("GET", "/v1/responses", 426),
        ("POST", "/api/event_logging/batch", 200),
        ("GET", "/api/version", 200),
        ("GET", "/metrics", 200),
    ],
)
async def test_every_answer_has_the_requests_id_also_for_strangers(
    demo: Run, method: str, path: str, status: int
) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        page = {"Origin": "http://localhost:3000", "X-Request-ID": "mine-7"}
        async with client.request(method, mux.url + path, headers=page) as answer:
            assert answer.status == status, await answer.text()
            assert answer.headers["X-Request-ID"] == "mine-7"
            if status != 426:
                assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
                assert "x-llm-mux-dropped" in answer.headers["Access-Control-Expose-Headers"]
        async with client.request(method, mux.url + path) as answer:
            assert not [name for name in answer.headers if name.startswith("Access-Control")]
        stranger = {"Origin": "https://evil.example", "X-Request-ID": "mine-8"}
        async with client.request(method, mux.url + path, headers=stranger) as answer:
            assert answer.status == 403
            assert answer.headers["X-Request-ID"] == "mine-8"
            assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_a_preflight_is_granted_what_it_asks_for(demo: Run) -> None:
    asked = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, x-stainless-os, anthropic-beta",
    }
    async with demo({"api-keys": ["right"]}) as mux, aiohttp.ClientSession() as client:
        async with client.options(mux.url + PATH, headers=asked) as answer:
            assert answer.status == 204, "a preflight carries no key"
            assert answer.headers["Access-Control-Allow-Headers"] == asked["Access-Control-Request-Headers"]
            assert "POST" in answer.headers["Access-Control-Allow-Methods"]
            assert answer.headers["Vary"] == "Origin"
        async with client.post(mux.url + PATH, json=CHAT, headers={"Origin": asked["Origin"]}) as answer:
            assert answer.status == 401
            assert answer.headers["Access-Control-Allow-Origin"] == asked["Origin"], "the page may read why"
        key = {"Origin": asked["Origin"], "Authorization": "Bearer right"}
        async with client.post(mux.url + PATH, json={**CHAT, "stream": True}, headers=key) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == asked["Origin"]


async def test_without_stored_responses_nothing_can_be_continued_or_shown(demo: Run) -> None:
    async with demo({"store-responses": False}) as mux, aiohttp.ClientSession(mux.url) as client:
        body: dict[str, Any] = {"model": "demo", "input": "hi", "store": True}
        async with client.post("/v1/responses", json=body) as answer:
            assert answer.status == 200
            name = (await answer.json())["id"]
        async with client.post("/v1/responses", json={**body, "previous_response_id": name}) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["code"] == "previous_response_not_found"
        for method in ("GET", "DELETE"):
            async with client.request(method, f"/v1/responses/{name}") as answer:
                assert answer.status == 404
        async with client.ws_connect("/v1/responses") as socket:
            more: dict[str, Any] = {}
            for _ in range(2):
                await socket.send_json({"type": "response.create", **body, **more})
                event: dict[str, Any] = {"type": ""}
                while event["type"] not in ("response.completed", "error"):
                    event = await socket.receive_json(timeout=5)
                assert event["type"] == "response.completed", "a connection still remembers its own"
                more = {"previous_response_id": event["response"]["id"]}


async def test_streams_under_way_are_counted_up_and_down(tmp_path: pathlib.Path) -> None:
    go = asyncio.Event()
    async with FakeUpstream() as upstream:
        upstream.on(PATH, sse_reply(PIECE, Wait(go), END))
        entry = {"type": "openai-compatible", "id": "up", "base-url": f"{upstream.url}/v1", "models": ["m"]}
        async with daemon(tmp_path, {"providers": [entry]}) as mux, aiohttp.ClientSession(mux.url) as client:

            async def gauges() -> list[str]:
                async with client.get("/metrics") as answer:
                    lines = (await answer.text()).splitlines()
                return [line for line in lines if line.startswith(("llm_active_streams", "llm_active_requests"))]

            body = {**CHAT, "model": "m", "stream": True}
            first, second = await client.post(PATH, json=body), await client.post(PATH, json=body)
            assert await gauges() == ["llm_active_requests 2.0", "llm_active_streams 2.0"]
            first.close()
            async with asyncio.timeout(2):
                await upstream.closed.wait()
            go.set()
            await second.read()
            assert await gauges() == ["llm_active_requests 0.0", "llm_active_streams 0.0"]


@pytest.mark.parametrize("client", ["lean", "session"])
async def test_the_upstream_client_and_the_number_of_its_connections_can_be_chosen(
    tmp_path: pathlib.Path, client: str
) -> None:
    whole = b'{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"}}]}'
    async with RawServer([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(whole), whole)]) as upstream:
        entry = {"type": "openai-compatible", "id": "up", "base-url": f"{upstream.url}/v1", "models": ["m"]}
        settings = {"providers": [entry], "upstream-client": client, "connections-per-host": 1}
        async with daemon(tmp_path, settings) as mux, aiohttp.ClientSession(mux.url) as session:

            async def ask() -> int:
                async with session.post(PATH, json={**CHAT, "model": "m"}) as answer:
                    assert (await answer.json())["choices"][0]["message"]["content"] == "Hi"
                    return answer.status

            assert await asyncio.gather(*(ask() for _ in range(5))) == [200] * 5
        assert (upstream.connections, len(upstream.requests)) == (1, 5)


async def test_metrics_can_be_switched_off(demo: Run) -> None:
    async with demo({"telemetry": {"prometheus": False}}) as mux, aiohttp.ClientSession() as client:
        async with client.get(mux.url + "/metrics") as answer:
            assert answer.status == 404


async def test_without_an_account_nobody_is_ready(tmp_path: pathlib.Path) -> None:
    config = {"providers": [{"type": "openai", "api-key": "env:NOT_SET"}]}
    async with daemon(tmp_path, config) as mux, aiohttp.ClientSession(mux.url) as client:
        async with client.get("/health") as answer:
            assert (await answer.json())["status"] == "unhealthy"
        async with client.get("/ready") as answer:
            assert answer.status == 503
        async with client.post(PATH, json={**CHAT, "model": "gpt-5"}) as answer:
            assert answer.status == 503
            assert "llm-mux login openai" in (await answer.json())["error"]["message"]
