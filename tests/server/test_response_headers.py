"""The headers that answers carry, section D of the surface: on every route, in every protocol, whole and streamed."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.daemon import management_key, process_daemon
from tests.server.conftest import Run

ASKED = {"messages": [{"role": "user", "content": "hi"}]}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
PROTOCOLS = {
    "openai_chat": ("/v1/chat/completions", ASKED),
    "openai_completions": ("/v1/completions", {"prompt": "hi"}),
    "openai_responses": ("/v1/responses", {"input": "hi"}),
    "anthropic": ("/v1/messages", {**ASKED, "max_tokens": 50}),
    "gemini": ("/v1beta/models/{model}:generateContent", CONTENTS),
    "ollama": ("/api/chat", {**ASKED, "stream": False}),
    "ollama_generate": ("/api/generate", {"prompt": "hi", "stream": False}),
}
USAGE = {
    "openai_chat": ("usage", "prompt_tokens", "completion_tokens"),
    "openai_completions": ("usage", "prompt_tokens", "completion_tokens"),
    "openai_responses": ("usage", "input_tokens", "output_tokens"),
    "anthropic": ("usage", "input_tokens", "output_tokens"),
    "gemini": ("usageMetadata", "promptTokenCount", "candidatesTokenCount"),
    "ollama": (None, "prompt_eval_count", "eval_count"),
    "ollama_generate": (None, "prompt_eval_count", "eval_count"),
}
VALUES = {
    "id": "nothing",
    "name": "demo",
    "model": "demo",
    "path": "demo",
    "key": "nothing",
    "provider": "demo",
    "account": "demo",
}


def asked(name: str, model: str, **more: Any) -> tuple[str, dict[str, Any]]:
    path, body = PROTOCOLS[name]
    return path.format(model=model), {"model": model, **body, **more}


def streamed(name: str, model: str) -> tuple[str, dict[str, Any]]:
    path, body = asked(name, model, stream=True)
    return path.replace(":generateContent", ":streamGenerateContent"), body


def routes(app: aiohttp.web.Application) -> Iterator[tuple[str, str]]:
    for route in app.router.routes():
        assert route.resource is not None
        path = re.sub(r"\{(\w+)[^}]*\}", lambda found: VALUES.get(found[1], "nothing"), route.resource.canonical)
        yield ("GET" if route.method == "*" else route.method), path


async def test_every_route_answers_under_the_clients_own_request_id(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        management = {"X-Management-Key": management_key(mux.home)}
        tried = 0
        for method, path in [*routes(mux.app), ("GET", "/no/such/route"), ("PATCH", "/v1/messages")]:
            headers = {"X-Request-ID": f"mine-{tried}", "Accept": "application/json"}
            headers |= management if path.startswith("/v0/") else {}
            async with client.request(method, mux.url + path, json={}, headers=headers) as answer:
                assert answer.headers.getall("X-Request-ID", []) == [f"mine-{tried}"], (method, path, answer.status)
                tried += 1
        assert tried > 100


@pytest.mark.parametrize("name", PROTOCOLS)
async def test_every_whole_answer_says_who_gave_it_and_what_it_used(demo: Run, name: str) -> None:
    path, body = asked(name, "demo")
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + path, json=body) as answer:
            assert answer.status == 200
            found, headers = await answer.json(), answer.headers
        _whose(headers)
        part, into, out = USAGE[name]
        usage = found if part is None else found[part]
        assert int(headers["X-Token-Usage-Input"]) == usage[into] > 0
        assert int(headers["X-Token-Usage-Output"]) == usage[out] > 0


@pytest.mark.parametrize("name", PROTOCOLS)
async def test_every_stream_says_who_gives_it(demo: Run, name: str) -> None:
    path, body = streamed(name, "demo")
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + path, json=body, headers={"X-Request-ID": "a-stream"}) as answer:
            assert answer.status == 200
            _whose(answer.headers)
            assert answer.headers["X-Request-ID"] == "a-stream"
            assert "X-Token-Usage-Input" not in answer.headers
            assert await answer.read()


@pytest.mark.parametrize("name", PROTOCOLS)
async def test_every_failure_says_whose_it_is_and_after_how_many_attempts(demo: Run, name: str) -> None:
    path, body = asked(name, "demo-500")
    async with demo({"request-retry": 1}) as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + path, json=body, headers={"X-Request-ID": "a-failure"}) as answer:
            assert answer.status >= 500
            assert answer.headers["X-Request-ID"] == "a-failure"
            assert (answer.headers["x-llm-mux-provider"], answer.headers["x-llm-mux-attempts"]) == ("demo", "2")


def test_every_line_of_the_log_about_a_request_has_its_id(tmp_path: Path) -> None:
    from urllib.request import Request, urlopen

    with process_daemon(tmp_path / "home", {"debug": True, "request-retry": 1}, "--demo") as mux:
        for model in ("demo", "demo-500"):
            path, body = asked("openai_chat", model)
            headers = {"Content-Type": "application/json", "X-Request-ID": f"mine-{model}"}
            try:
                urlopen(Request(mux.url + path, json.dumps(body).encode(), headers)).read()
            except OSError:
                assert model == "demo-500"
        key = management_key(mux.home)
        logged = Request(f"{mux.url}/v0/management/logs?limit=500&level=debug", headers={"X-Management-Key": key})
        left, until = {"mine-demo", "mine-demo-500"}, time.monotonic() + 20
        while left and time.monotonic() < until:  # lines are written some time after the answer
            lines = json.loads(urlopen(logged).read())["records"]
            left -= {line.get("request") for line in lines if line["event"] == "exchange.done"}
    assert left == set(), lines


def _whose(headers: Any) -> None:
    assert (headers["x-llm-mux-provider"], headers["x-llm-mux-account"]) == ("demo", "demo")
    assert (headers["x-llm-mux-model"], headers["x-llm-mux-attempts"]) == ("demo", "1")
