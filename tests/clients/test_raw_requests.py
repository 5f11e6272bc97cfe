"""What no SDK shows but real clients need: headers of failures, fields nobody knows, keys in any place."""

import http.client
import json
import socket
import urllib.parse
from typing import Any

import pytest

from tests.clients.crossing import DIRECT, Mux, alias, failing_alias
from tests.clients.played import MODELS, Model, Played
from tests.clients.scenes import Scene, records, streamed
from tests.upstreams.aimock import UPSTREAMS, Upstream

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="it is the daemon that has to do this")]

Body = dict[str, Any]


def _post(mux: str, path: str, body: Body, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case, body."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(mux).netloc, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **named})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def _says(words: str, protocol: str, model: str) -> tuple[str, Body]:
    """Path and body of the smallest request of a protocol."""
    turn = {"role": "user", "content": words}
    match protocol:
        case "openai-chat":
            return "/v1/chat/completions", {"model": model, "messages": [turn]}
        case "openai-responses":
            return "/v1/responses", {"model": model, "input": words}
        case "anthropic":
            return "/v1/messages", {"model": model, "max_tokens": 100, "messages": [turn]}
        case "gemini":
            path = f"/v1beta/models/{model}:generateContent"
            return path, {"contents": [{"role": "user", "parts": [{"text": words}]}]}
        case "bedrock":
            return f"/model/{model}/converse", {"messages": [{"role": "user", "content": [{"text": words}]}]}
        case _:
            return "/api/chat", {"model": model, "messages": [turn], "stream": False}


PROTOCOLS = [upstream.format for upstream in UPSTREAMS]


@pytest.mark.covers("RC-8")
@pytest.mark.usefixtures("no_rests")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_retry_after_is_passed_on(mux: str, upstream: Upstream, protocol: str) -> None:
    path, body = _says("fail with 429", protocol, failing_alias(upstream))
    status, headers, _ = _post(mux, path, body)
    assert status == 429
    assert int(headers["retry-after"]) >= 1


@pytest.mark.covers("RC-12")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_nobody_knows_is_not_refused(mux: str, upstream: Upstream, protocol: str) -> None:
    path, body = _says("say hello", protocol, alias(upstream))
    unknown = {"x_unheard_of": {"deep": [1, None]}, "metadata": {"session": "one"}}
    status, _, answer = _post(mux, path, body | unknown, anthropic_beta="unheard-of-2031-01-01")
    assert (status, b"Hello from the other side." in answer) == (200, True), answer


@pytest.mark.covers("RC-5")
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "key",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": "Bearer any"}, id="bearer"),
        pytest.param({"x-api-key": "any"}, id="x-api-key"),
        pytest.param({"x-goog-api-key": "any"}, id="x-goog-api-key"),
        pytest.param({"Authorization": "Bearer any", "x-api-key": "other"}, id="two"),
    ],
)
def test_a_key_may_come_in_any_header_or_not_at_all(mux: str, protocol: str, key: dict[str, str]) -> None:
    path, body = _says("say hello", protocol, alias(UPSTREAMS[0]))
    status, _, answer = _post(mux, path, body, **key)
    assert status == 200, answer


@pytest.mark.covers("PF-134")
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"to-{model.format}")
def test_leaving_before_an_answer_began_closes_the_upstream(
    mux: str, played_upstream: Played, model: Model, protocol: str
) -> None:
    played_upstream.is_silent()
    path, body = _says("hello", protocol, model.alias)
    with socket.create_connection((urllib.parse.urlsplit(mux).hostname, urllib.parse.urlsplit(mux).port)) as client:
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        client.sendall(head.encode() + data)
        played_upstream.soon(played_upstream.upstream.arrived)
    played_upstream.soon(played_upstream.upstream.closed)


@pytest.mark.covers("PF-12")
@pytest.mark.usefixtures("no_rests")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"to-{model.format}")
def test_an_array_of_gemini_holds_all_or_ends_with_the_error(
    mux: str, daemon_of_clients: Mux, played_upstream: Played, model: Model
) -> None:
    """Without `alt=sse` the stream is one JSON array, also when it breaks off."""
    told = records(model.format, Scene("Hm.", "c2VhbGVk", "Hello there.", "call_1", {"city": "Oslo"}))
    _, body = _says("hello", "gemini", model.alias)
    path = f"/v1beta/models/{model.alias}:streamGenerateContent"
    for kept in (*range(0, len(told) - 3, 2), len(told)):
        daemon_of_clients.forget_failures()
        played_upstream.answers(streamed(model.format, told[:kept]))
        status, headers, answer = _post(mux, path, body)
        assert headers["content-type"].startswith("application/json")
        found = json.loads(answer)
        if kept == len(told):
            parts = [part for chunk in found for part in chunk["candidates"][0].get("content", {}).get("parts", ())]
            assert "".join(part.get("text", "") for part in parts if not part.get("thought")) == "Hello there."
            assert [part["functionCall"]["args"] for part in parts if "functionCall" in part] == [{"city": "Oslo"}]
        else:
            last = found[-1] if isinstance(found, list) else found
            assert last["error"]["code"] >= 500, (kept, found)
            assert status in (200, 502)
