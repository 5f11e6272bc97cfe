"""A key is tried once before it is stored; what came of it is said in words."""

import dataclasses

import pytest

from llm_mux.config import Config
from llm_mux.gateway.probe import try_key
from tests.fake_upstream import FakeUpstream, Reply, json_reply

MODELS = json_reply({"data": [{"id": "a"}, {"id": "b"}]})


@dataclasses.dataclass(frozen=True)
class Case:
    reply: Reply
    ok: bool
    reached: bool
    models: int = 0
    words: str = ""


CASES = [
    pytest.param(Case(MODELS, ok=True, reached=True, models=2, words="took the key"), id="a good key"),
    pytest.param(
        Case(json_reply({"error": {"message": "Incorrect key"}}, 401), ok=False, reached=True, words="Incorrect key"),
        id="a bad key",
    ),
    pytest.param(
        Case(json_reply({"error": {"message": "Not yours"}}, 403), ok=False, reached=True, words="Not yours"),
        id="a 403",
    ),
    pytest.param(Case(json_reply({"error": {"message": "boom"}}, 500), ok=False, reached=True), id="a 500"),
    pytest.param(Case(Reply(b"<html>", content_type="text/html"), ok=False, reached=False), id="some other page"),
]


@pytest.mark.parametrize("case", CASES)
async def test_a_key_is_tried_against_the_model_list(case: Case) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/models", case.reply)
        got = await try_key("openai-compatible", "my-secret-key", base_url=f"{upstream.url}/v1")
        assert (got.ok, got.reached, got.models) == (case.ok, case.reached, case.models), got
        assert case.words in got.message
        assert "my-secret-key" not in got.message
        assert upstream.last.headers["Authorization"] == "Bearer my-secret-key"


async def test_who_is_not_there_is_told_from_who_refuses() -> None:
    async with FakeUpstream() as upstream:
        url = upstream.url
    got = await try_key("openai-compatible", "k", base_url=url)
    assert (got.ok, got.reached) == (False, False)
    assert "not reachable" in got.message


async def test_a_server_without_an_address_asks_for_one() -> None:
    got = await try_key("openai-compatible", "k")
    assert not got.ok
    assert "--base-url" in got.message


async def test_the_configured_proxy_is_used() -> None:
    async with FakeUpstream() as proxy:
        proxy.on("*", MODELS)
        got = await try_key(
            "openai-compatible", "k", base_url="http://127.0.0.2:9/v1", config=Config(proxy_url=proxy.url)
        )
        assert got.ok, got
        assert proxy.last.headers["Host"] == "127.0.0.2:9"
