"""Errors beside the model calls: in the shape of the client that asks."""

import aiohttp
import pytest

from tests.server.conftest import Run

KEY = {"Authorization": "Bearer k"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "where"),
    [
        pytest.param("GET", "/api/tags", {}, 401, "error", id="ollama list without a key"),
        pytest.param("POST", "/api/show", KEY, 404, "error", id="ollama details"),
        pytest.param("POST", "/api/pull", KEY, 404, "error", id="ollama pull"),
        pytest.param("POST", "/api/chat", KEY, 404, "error", id="ollama load"),
        pytest.param("GET", "/v1beta/models", {}, 401, "error.status", id="gemini list without a key"),
        pytest.param("GET", "/v1beta/models/nope", KEY, 404, "error.status", id="gemini model"),
        pytest.param("GET", "/v1/models/nope", {"x-goog-api-key": "k"}, 404, "error.status", id="gemini by header"),
        pytest.param("GET", "/v1/models", {"anthropic-version": "1"}, 401, "request_id", id="anthropic list"),
        pytest.param("GET", "/v1/messages", KEY, 405, "request_id", id="anthropic route"),
        pytest.param("GET", "/v1/models", {}, 401, "error.type", id="openai list without a key"),
        pytest.param("GET", "/v1/models/nope", KEY, 404, "error.param", id="openai model"),
    ],
)
async def test_lists_refuse_in_the_shape_of_their_client(
    demo: Run, method: str, path: str, headers: dict[str, str], status: int, where: str
) -> None:
    async with demo({"api-keys": ["k"]}) as mux, aiohttp.ClientSession() as client:
        body = {"model": "nope", "messages": []} if method == "POST" else None
        async with client.request(method, mux.url + path, headers=headers, json=body) as answer:
            found = await answer.json(content_type=None)
            assert answer.status == status, found
            assert answer.headers["X-Request-ID"]
    for step in where.split("."):
        assert isinstance(found, dict)
        found = found[step]
    assert isinstance(found, str)


async def test_the_request_has_one_name_in_header_and_body(demo: Run) -> None:
    async with demo({"api-keys": ["k"]}) as mux, aiohttp.ClientSession() as client:
        async with client.get(mux.url + "/v1/models", headers={"anthropic-version": "1"}) as answer:
            assert (await answer.json())["request_id"] == answer.headers["X-Request-ID"]
