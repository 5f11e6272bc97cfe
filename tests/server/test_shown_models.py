"""`/api/show`: a model of an Ollama is described by that Ollama, every other one by what its provider's list says."""

import asyncio
import contextlib
import pathlib
from collections.abc import Mapping
from typing import Any

import aiohttp
import ollama
import pytest

from tests.daemon import daemon
from tests.fake_upstream import FakeUpstream, Reply, json_reply

OWN = {
    "license": "MIT",
    "modelfile": "FROM qwen3:8b",
    "parameters": "temperature 0.6\nnum_ctx 40960",
    "template": "{{ .Prompt }} /think",
    "details": {"family": "qwen3", "families": ["qwen3"], "format": "gguf", "parameter_size": "8.2B"},
    "model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40960},
    "capabilities": ["completion", "tools", "thinking"],
    "modified_at": "2026-05-01T00:00:00Z",
}
LISTED = json_reply({"models": [{"name": "qwen3:8b", "model": "qwen3:8b"}]})


def config(upstream: FakeUpstream, **more: object) -> dict[str, Any]:
    return {"providers": [{"type": "ollama", "base-url": upstream.url}], "aliases": {"small": "qwen3:8b"}, **more}


async def shown(url: str, body: Mapping[str, object]) -> dict[str, Any]:
    async with aiohttp.ClientSession() as client, client.post(f"{url}/api/show", json=body) as answer:
        assert answer.status == 200
        made: dict[str, Any] = await answer.json()
        return made


@pytest.mark.parametrize("body", [{"model": "qwen3:8b"}, {"name": "small"}, {"model": "ollama/qwen3:8b:latest"}])
async def test_a_model_of_an_ollama_shows_what_that_ollama_says(
    tmp_path: pathlib.Path, body: Mapping[str, object]
) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/api/tags", LISTED)
        upstream.on("/api/show", json_reply({**OWN, "tensors": [], "unheard_of": 1}))
        async with daemon(tmp_path, config(upstream)) as mux:
            assert await shown(mux.url, {**body, "verbose": True}) == {**OWN, "tensors": []}
        (asked,) = [request for request in upstream.requests if request.path == "/api/show"]
        assert (asked.method, asked.json()) == ("POST", {"model": "qwen3:8b", "verbose": True})


async def test_the_ollama_client_reads_them(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/api/tags", LISTED)
        upstream.on("/api/show", json_reply(OWN))
        async with daemon(tmp_path, config(upstream)) as mux:
            with contextlib.closing(ollama.Client(host=mux.url, timeout=30)) as client:
                found = await asyncio.to_thread(client.show, "small")
    assert found.modelinfo == OWN["model_info"]
    assert (found.capabilities, found.parameters) == (OWN["capabilities"], OWN["parameters"])
    assert found.details is not None
    assert found.details.parameter_size == "8.2B"


@pytest.mark.parametrize(
    "reply", [json_reply({"error": "gone"}, status=500), Reply(b"<html>", content_type="text/html"), json_reply([])]
)
async def test_an_ollama_that_does_not_say_leaves_the_general_facts(tmp_path: pathlib.Path, reply: Reply) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/api/tags", LISTED)
        upstream.on("/api/show", reply)
        async with daemon(tmp_path, config(upstream)) as mux:
            found = await shown(mux.url, {"model": "qwen3:8b"})
    assert found["model_info"]["general.basename"] == "qwen3:8b"
    assert "completion" in found["capabilities"]


async def test_other_providers_are_not_asked_for_what_ollama_says(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/models", json_reply({"object": "list", "data": [{"id": "gpt-5.6"}]}))
        provider = {"type": "openai", "base-url": f"{upstream.url}/v1", "api-key": "k"}
        async with daemon(tmp_path, {"providers": [provider]}) as mux:
            found = await shown(mux.url, {"model": "gpt-5.6"})
        assert found["details"]["format"] == "api"
        assert {request.path for request in upstream.requests} == {"/v1/models"}
