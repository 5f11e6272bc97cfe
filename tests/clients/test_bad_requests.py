"""Requests that are wrong, in every protocol and whatever would answer them: a 400 in the client's own shape that no
upstream sees, no word of theirs in the log, and the daemon goes on."""

import gzip
import http.client
import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.bedrock_runtime import BedrockRuntime
from tests.clients.crossing import DIRECT, Mux
from tests.clients.played import MODELS, Model, Played
from tests.clients.scenes import Scene
from tests.server.test_bad_input import check_shape

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="it is the daemon that refuses")]

WORDS = "my-private-words"
PROTOCOLS = ("openai-chat", "openai-responses", "anthropic", "gemini", "ollama", "bedrock")
Body = dict[str, Any]


def path_of(protocol: str, model: str) -> str:
    paths = {
        "openai-chat": "/v1/chat/completions",
        "openai-responses": "/v1/responses",
        "anthropic": "/v1/messages",
        "gemini": f"/v1beta/models/{model}:generateContent",
        "ollama": "/api/chat",
        "bedrock": f"/model/{model}/converse",
    }
    return paths[protocol]


def asking(protocol: str, model: str, turns: Any, **more: Any) -> Body:
    """A request with these turns, whatever they are."""
    match protocol:
        case "openai-responses":
            return {"model": model, "input": turns, **more}
        case "anthropic":
            return {"model": model, "max_tokens": 100, "messages": turns, **more}
        case "gemini":
            return {"contents": turns, **more}
        case "bedrock":
            return {"messages": turns, **more}
        case _:
            return {"model": model, "messages": turns, "stream": False, **more}


def turn(protocol: str, content: Any = WORDS, role: str = "user") -> Any:
    if protocol == "gemini":
        return {"role": role, "parts": [{"text": content}]}
    if protocol == "bedrock":
        return {"role": role, "content": [{"text": content}]}
    return {"role": role, "content": content}


def tool(protocol: str, name: Any, schema: Any) -> Body:
    """The field of a request that declares a tool."""
    match protocol:
        case "openai-responses":
            return {"tools": [{"type": "function", "name": name, "parameters": schema, "strict": False}]}
        case "anthropic":
            return {"tools": [{"name": name, "input_schema": schema}]}
        case "gemini":
            return {"tools": [{"functionDeclarations": [{"name": name, "parametersJsonSchema": schema}]}]}
        case "bedrock":
            return {"toolConfig": {"tools": [{"toolSpec": {"name": name, "inputSchema": {"json": schema}}}]}}
        case _:
            return {"tools": [{"type": "function", "function": {"name": name, "parameters": schema}}]}


def tools(protocol: str, value: Any) -> Body:
    return {"toolConfig": {"tools": value}} if protocol == "bedrock" else {"tools": value}


def sampling(protocol: str, value: Any) -> Body:
    match protocol:
        case "gemini":
            return {"generationConfig": {"temperature": value}}
        case "ollama":
            return {"options": {"temperature": value}}
        case "bedrock":
            return {"inferenceConfig": {"temperature": value}}
        case _:
            return {"temperature": value}


def limit(protocol: str, value: Any) -> Body:
    match protocol:
        case "gemini":
            return {"generationConfig": {"maxOutputTokens": value}}
        case "ollama":
            return {"options": {"num_predict": value}}
        case "bedrock":
            return {"inferenceConfig": {"maxTokens": value}}
        case "openai-responses":
            return {"max_output_tokens": value}
        case _:
            return {"max_tokens": value}


def nested(depth: int) -> Body:
    schema: Body = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"inner": schema}}
    return schema


def wrong(protocol: str, model: str) -> dict[str, Body]:
    """What is refused, by what is wrong with it."""
    good = [turn(protocol)]
    cases = {
        "an unknown role": asking(protocol, model, [turn(protocol, role="wizard")]),
        "no turns": asking(protocol, model, []),
        "turns that are a number": asking(protocol, model, 5),
        "a turn that is a number": asking(protocol, model, [5]),
        "content that is a number": asking(protocol, model, [turn(protocol, content=5)]),
        "a tool whose name is a number": asking(protocol, model, good, **tool(protocol, 5, {"type": "object"})),
        "tools that are words": asking(protocol, model, good, **tools(protocol, WORDS)),
        "a temperature in words": asking(protocol, model, good, **sampling(protocol, WORDS)),
        "a limit in words": asking(protocol, model, good, **limit(protocol, WORDS)),
    }
    bare = asking(protocol, model, good)
    for name in ("messages", "input", "contents"):
        if name in bare:
            cases[f"no {name}"] = {key: value for key, value in bare.items() if key != name}
    if protocol == "ollama":
        del cases["no turns"], cases["no messages"]  # Those load the model.
    return cases


def post(mux: Mux, path: str, data: bytes, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(mux.url).netloc, timeout=30)
    try:
        connection.request("POST", path, data, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def logged(mux: Mux) -> str:
    request = urllib.request.Request(f"{mux.url}/v0/management/logs?limit=1000", headers={"X-Management-Key": mux.key})
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(response.read().decode())


@pytest.mark.covers("PF-137")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_wrong_is_refused_before_any_upstream_sees_it(
    daemon_of_clients: Mux, played_upstream: Played, model: Model, protocol: str
) -> None:
    played_upstream.says(model, "whole", Scene(text="Hello."))
    splices = protocol == model.format
    for name, body in wrong(protocol, model.alias).items():
        status, answer = post(daemon_of_clients, path_of(protocol, model.alias), json.dumps(body).encode())
        if splices and status == 200:
            continue  # The client's own vendor says what it makes of its own format.
        assert status == 400, (name, status, answer)
        assert check_shape(protocol, json.loads(answer)), name
        assert WORDS not in answer.decode() or "words" in name, name
    if not splices:
        assert not played_upstream.bodies()
    assert WORDS not in logged(daemon_of_clients)


UNSAID = {"turns that are a number", "a turn that is a number", "tools that are words", "a temperature in words"}
"""What AWS's SDK cannot write even with its own checks off."""


@pytest.fixture(scope="module")
def unchecked(mux: str) -> Iterator[Any]:
    """AWS's SDK, sending whatever it is given."""
    driver = BedrockRuntime(mux, parameter_validation=False)
    yield driver.client
    driver.close()


def test_awss_sdk_is_told_what_is_wrong(unchecked: Any, played_upstream: Played, model: Model) -> None:
    if model.format == "bedrock":
        return  # The client's own vendor says what it makes of its own format.
    played_upstream.says(model, "whole", Scene(text="Hello."))
    for name, body in wrong("bedrock", model.alias).items():
        for send in (unchecked.converse, unchecked.converse_stream) if name not in UNSAID else ():
            with pytest.raises(unchecked.exceptions.ValidationException) as refused:
                send(modelId=model.alias, **body)
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400, name
            assert refused.value.response["Error"]["Message"], name
    assert not played_upstream.bodies()


@pytest.mark.covers("PF-22")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_half_an_emoji_reaches_every_upstream_as_something_it_can_read(
    daemon_of_clients: Mux, played_upstream: Played, model: Model, protocol: str
) -> None:
    played_upstream.says(model, "whole", Scene(text="Hello."))
    data = json.dumps(asking(protocol, model.alias, [turn(protocol, "half \ud83d here")])).encode()
    status, answer = post(daemon_of_clients, path_of(protocol, model.alias), data)
    assert (status, b"Hello." in answer) == (200, True), answer
    assert "half" in json.dumps(played_upstream.bodies()[-1])


@pytest.mark.covers("PF-138")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_deep_schema_is_taken_or_refused_but_breaks_nothing(
    daemon_of_clients: Mux, played_upstream: Played, model: Model, protocol: str
) -> None:
    played_upstream.says(model, "whole", Scene(text="Hello."))
    for depth in (50, 400):
        body = asking(protocol, model.alias, [turn(protocol)], **tool(protocol, "deep", nested(depth)))
        status, answer = post(daemon_of_clients, path_of(protocol, model.alias), json.dumps(body).encode())
        assert status in (200, 400), (depth, status, answer)
        if status == 400:
            check_shape(protocol, json.loads(answer))
    assert b"Hello." in answer or status == 400


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_bomb_and_a_body_of_nonsense_are_refused_in_every_protocol(daemon_of_clients: Mux, protocol: str) -> None:
    path = path_of(protocol, MODELS[0].alias)
    refusals = [
        (413, gzip.compress(b" " * (65 << 20), 1), "gzip"),
        (400, b"garbage", "gzip"),
        (415, b"garbage", "rot13"),
    ]
    for expected, data, encoding in refusals:
        status, answer = post(daemon_of_clients, path, data, **{"Content-Encoding": encoding})
        assert status == expected, answer
        check_shape(protocol, json.loads(answer))
