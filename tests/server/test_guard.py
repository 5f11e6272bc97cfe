"""Host, Origin and client keys: a web page must not spend the user's quota."""

import json

import aiohttp
import pytest

from tests.server.conftest import Run

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8317", 200),
        ("127.0.0.1", 200),
        ("[::1]:8317", 200),
        ("host.docker.internal:8317", 200),
        ("mux.lan", 200),
        ("abc.lambda-url.eu-west-1.on.aws", 200),
        ("abc.lambda-url.eu-west-1.on.aws.evil.example", 403),
        ("evil.example", 403),
        ("localhost.evil.example:8317", 403),
        ("127.0.0.1.nip.io", 403),
    ],
)
async def test_only_the_daemons_own_hosts_are_answered(demo: Run, host: str, status: int) -> None:
    async with demo({"allowed-hosts": ["mux.lan", "*.lambda-url.*.on.aws"]}) as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + PATH, json=CHAT, headers={"Host": host}) as answer:
            assert answer.status == status
        async with client.get(mux.url + "/health", headers={"Host": host}) as answer:
            assert answer.status == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", 200),
        ("http://127.0.0.1", 200),
        ("app://obsidian.md", 200),
        ("tauri://localhost", 200),
        ("vscode-webview://abc", 200),
        ("https://chat.example.com", 200),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost.evil.example", 403),
    ],
)
async def test_only_allowed_pages_are_answered_and_told_so(demo: Run, origin: str, status: int) -> None:
    async with demo({"allowed-origins": ["https://chat.example.com"]}) as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + PATH, json=CHAT, headers={"Origin": origin}) as answer:
            assert answer.status == status
            assert answer.headers.get("Access-Control-Allow-Origin") == (origin if status == 200 else None)
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "x-api-key",
        }
        async with client.options(mux.url + PATH, headers=asked) as answer:
            assert answer.status == (204 if status == 200 else 403)
            assert answer.headers.get("Access-Control-Allow-Origin") == (origin if status == 200 else None)


@pytest.mark.parametrize(
    ("path", "body", "shape"),
    [
        pytest.param("/v1/chat/completions", CHAT, "invalid_api_key", id="openai"),
        pytest.param("/v1/messages", {**CHAT, "max_tokens": 5}, "authentication_error", id="anthropic"),
        pytest.param("/v1beta/models/demo:generateContent", {"contents": []}, "UNAUTHENTICATED", id="gemini"),
        pytest.param("/api/chat", CHAT, "error", id="ollama"),
        pytest.param("/v1/models", None, "authentication_error", id="models"),
    ],
)
@pytest.mark.covers("PF-26", "RC-5")
async def test_keys_are_asked_for_where_the_configuration_has_some(
    demo: Run, path: str, body: dict[str, object] | None, shape: str
) -> None:
    async with demo({"api-keys": ["right-key"]}) as mux, aiohttp.ClientSession() as client:
        method = "GET" if body is None else "POST"
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"x-api-key": "wrong"}):
            async with client.request(method, mux.url + path, json=body, headers=headers) as answer:
                assert answer.status == 401
                text = await answer.text()
                assert shape in text
                assert "right-key" not in text
        for headers in (
            {"Authorization": "Bearer right-key"},
            {"x-api-key": "right-key"},
            {"x-goog-api-key": "right-key"},
        ):
            async with client.request(method, mux.url + path, json=body, headers=headers) as answer:
                assert answer.status != 401
        async with client.request(method, mux.url + path + "?key=right-key", json=body) as answer:
            assert answer.status != 401


@pytest.mark.covers("PF-17", "FB-144")
async def test_the_clients_key_never_goes_upstream_unless_passthrough_is_chosen(demo: Run) -> None:
    from tests.fake_upstream import FakeUpstream, json_reply

    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply({"error": {"message": "no"}}, 400))
        provider = {"type": "openai-compatible", "base-url": upstream.url + "/v1", "models": ["m"]}
        providers = [{**provider, "id": "own", "api-key": "own"}, {**provider, "id": "pass", "api-key": "!PASSTHRU"}]
        async with demo({"providers": providers}) as mux, aiohttp.ClientSession() as client:
            for model in ("own://m", "pass://m"):
                headers = {"Authorization": "Bearer clients-key", "Cookie": "a=b", "X-Forwarded-For": "1.2.3.4"}
                async with client.post(mux.url + PATH, json={**CHAT, "model": model}, headers=headers):
                    pass
            async with client.post(mux.url + PATH, json={**CHAT, "model": "pass://m"}) as answer:
                assert answer.status == 401
                message = (await answer.json())["error"]["message"]
        assert message == "Provider 'pass' requires API key passthrough, but no client API key was provided"
        sent = [json.dumps(dict(request.headers)) for request in upstream.requests]
        assert ["clients-key" in headers for headers in sent] == [False, True]
        assert not any(name in headers for headers in sent for name in ("Cookie", "X-Forwarded-For"))


async def test_a_key_that_was_passed_through_and_refused_is_the_clients_to_mend(demo: Run) -> None:
    from tests.fake_upstream import FakeUpstream, json_reply

    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply({"error": {"message": "Incorrect API key provided"}}, 401))
        provider = {"id": "pass", "type": "openai-compatible", "base-url": upstream.url + "/v1", "models": ["m"]}
        config = {"providers": [{**provider, "api-key": "!PASSTHRU"}]}
        async with demo(config) as mux, aiohttp.ClientSession() as client:
            headers = {"Authorization": "Bearer clients-key"}
            for path, body in ((PATH, {**CHAT, "model": "m"}), ("/v1/embeddings", {"model": "m", "input": "x"})):
                async with client.post(mux.url + path, json=body, headers=headers) as answer:
                    assert answer.status == 401
                    assert "Incorrect API key" in await answer.text()
                    assert "clients-key" not in await answer.text()
