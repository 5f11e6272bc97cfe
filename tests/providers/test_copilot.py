"""GitHub Copilot: GitHub's login, the second token, and the rules of the API."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_mux import __version__
from llm_mux.auth.base import Credential, LoginError, OAuth
from llm_mux.providers import copilot, registry
from llm_mux.providers.placement import placed
from tests.providers.logged_in import logged_in
from tests.upstreams.github import CLIENT, INTEGRATION, GitHubBackend
from tests.upstreams.person import NOW, Person, wish
from tests.upstreams.played import Refusal


def at(backend: GitHubBackend) -> OAuth:
    url = backend.url
    return replace(
        copilot.GITHUB,
        client_id=CLIENT,
        device_url=f"{url}/login/device/code",
        token_url=f"{url}/login/oauth/access_token",
        userinfo_url=f"{url}/user",
        addresses={"copilot-token": f"{url}/copilot_internal/v2/token"},
    )


OURS = {"options": {"integration-id": INTEGRATION}}


async def nothing(url: str, code: str) -> None:
    """The browser; GitHub's answer to the polls decides."""


async def signed_in(backend: GitHubBackend) -> Credential:
    return await Person(agree=nothing).logs_in(copilot.start(at(backend), wish()))


async def test_a_code_typed_at_github_leads_to_copilots_own_token() -> None:
    async with GitHubBackend() as backend:
        person = Person(agree=nothing)
        got = await person.logs_in(copilot.start(at(backend), wish()))
        api = f"{backend.url}/plan"
    assert (person.browsed[0].url, person.browsed[0].code) == ("https://github.com/login/device", "WDJB-MJHT")
    assert person.slept == [5.0, 5.0, 10.0], "slow_down is heeded"
    assert (got.email, got.id, got.plan, got.way) == ("octocat", "583231", "business", "device")
    assert (got.access, got.refresh, got.expires) == (backend.issued[0], "ghu_not-real", NOW + 1800)
    assert got.extra["api"] == api


async def test_the_second_token_is_renewed_with_githubs_which_stays() -> None:
    async with GitHubBackend() as backend:
        first = await signed_in(backend)
        backend.lives = None
        second = await Person().logs_in(copilot.renewed(at(backend), first, NOW))
    assert (second.access, second.refresh, second.email) == (backend.issued[1], "ghu_not-real", "octocat")
    assert second.expires == NOW + 1500, "one that does not say when it ends is taken for 25 minutes"


@pytest.mark.parametrize(
    ("denial", "revoked", "words", "final"),
    [
        (None, True, "does not take the token", True),
        (Refusal(403, {"message": "Resource not accessible by integration"}), False, "no access to Copilot", False),
        (Refusal(404, {"message": "Not Found"}), False, "no access to Copilot", False),
        (Refusal(500, "<html>"), False, "500", False),
    ],
)
async def test_a_refused_exchange_says_why(denial: Refusal | None, revoked: bool, words: str, final: bool) -> None:
    async with GitHubBackend() as backend:
        first = await signed_in(backend)
        backend.denial, backend.revoked = denial, revoked
        with pytest.raises(LoginError, match=words) as told:
            await Person().logs_in(copilot.renewed(at(backend), first, NOW))
    assert told.value.final is final
    assert "ghu_" not in str(told.value)


@pytest.mark.parametrize(
    ("base_url", "api", "there"),
    [
        (None, "https://api.business.githubcopilot.com", "https://api.business.githubcopilot.com"),
        (None, "", "https://api.githubcopilot.com"),
        ("https://gateway.example", "https://api.business.githubcopilot.com", "https://gateway.example"),
    ],
)
def test_requests_go_where_the_token_says_unless_the_user_says_otherwise(
    base_url: str | None, api: str, there: str
) -> None:
    provider = placed(registry.get("copilot"), base_url=base_url)
    credential = Credential(access="a", extra={"api": api} if api else {})
    assert copilot.applied(provider, credential).base_url == there


async def test_an_address_in_the_clear_is_not_taken() -> None:
    async with GitHubBackend() as backend:
        first = await signed_in(backend)
        backend.url = "http://elsewhere.example"
        second = await Person().logs_in(copilot.renewed(replace_token_url(first, backend), first, NOW))
    assert second.extra["api"] == first.extra["api"]


def replace_token_url(first: Credential, backend: GitHubBackend) -> OAuth:
    """The exchange at the backend's real place, which names another."""
    base = first.extra["api"].removesuffix("/plan")
    return replace(copilot.GITHUB, addresses={"copilot-token": f"{base}/copilot_internal/v2/token"})


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
USER = {"role": "user", "content": "hi"}
TURNS = [
    pytest.param([USER], "user", None, id="a question"),
    pytest.param(
        [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c", "content": "x"},
        ],
        "agent",
        None,
        id="a tool's result",
    ),
    pytest.param(
        [{"role": "user", "content": [{"type": "text", "text": "look"}, IMAGE]}], "user", "true", id="a picture"
    ),
    pytest.param(
        [USER, {"role": "assistant", "content": "hm"}, {"role": "user", "content": 'say "role":"tool" now'}],
        "user",
        None,
        id="a text about roles",
    ),
]


@pytest.mark.parametrize(("messages", "initiator", "vision"), TURNS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_requests_say_whose_turn_it_is_and_who_asks(
    tmp_path: Path, messages: list[dict[str, Any]], initiator: str, vision: str | None, streamed: bool
) -> None:
    async with GitHubBackend() as backend:
        credential = await signed_in(backend)
        async with logged_in(tmp_path, "copilot", credential, f"{backend.url}/plan", **OURS) as client:
            answer = await client.post(
                "/v1/chat/completions", {"model": "copilot://gpt-4.1", "messages": messages, "stream": streamed}
            )
    assert answer.status == 200, answer.text
    assert "Hello" in answer.text
    sent = backend.last.headers
    assert sent["x-initiator"] == initiator
    assert sent.get("copilot-vision-request") == vision
    assert sent["copilot-integration-id"] == INTEGRATION
    assert "openai-intent" not in sent
    ours = f"llm-mux/{__version__}"
    assert [sent[name] for name in ("user-agent", "editor-version", "editor-plugin-version")] == [ours] * 3


async def test_without_an_integration_of_ones_own_none_is_named(tmp_path: Path) -> None:
    async with GitHubBackend() as backend:
        credential = await signed_in(backend)
        async with logged_in(tmp_path, "copilot", credential, f"{backend.url}/plan") as client:
            answer = await client.post("/v1/chat/completions", {"model": "copilot://gpt-4.1", "messages": [USER]})
    assert "copilot-integration-id" not in backend.last.headers
    assert answer.status == 400
    assert "unknown integration" in answer.text


async def test_without_an_app_of_ones_own_nothing_is_asked_and_the_way_out_is_said() -> None:
    async with GitHubBackend() as backend:
        with pytest.raises(LoginError, match="login github-models --api-key"):
            await Person(agree=nothing).logs_in(copilot.start(replace(at(backend), client_id=""), wish()))
        assert not backend.seen


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v1/messages",
            {"max_tokens": 9, "messages": [USER], "tools": [{"name": "look", "input_schema": {"type": "object"}}]},
        ),
        ("/v1/chat/completions", {"messages": [USER], "tools": [{"type": "function", "function": {"name": "look"}}]}),
    ],
)
async def test_text_and_calls_in_choices_of_their_own_are_one_answer(
    tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    async with GitHubBackend(answer="let me see", calls=True) as backend:
        credential = await signed_in(backend)
        async with logged_in(tmp_path, "copilot", credential, f"{backend.url}/plan", **OURS) as client:
            answer = await client.post(path, {**body, "model": "copilot://claude-sonnet-4.5"})
    told = answer.json()
    if path == "/v1/messages":
        assert [block["type"] for block in told["content"]] == ["text", "tool_use"]
        assert told["stop_reason"] == "tool_use"
    else:
        (choice,) = told["choices"]
        assert choice["message"]["content"] == "let me see"
        assert choice["message"]["tool_calls"][0]["function"]["name"] == "look"
        assert choice["finish_reason"] == "tool_calls"


async def test_the_models_are_asked_for_with_what_they_can(tmp_path: Path) -> None:
    async with GitHubBackend() as backend:
        credential = await signed_in(backend)
        async with logged_in(tmp_path, "copilot", credential, f"{backend.url}/plan", **OURS) as client:
            listed = (await client.get("/v1/models")).json()["data"]
    first = next(model for model in listed if model["id"] == "gpt-4.1")
    assert (first["context_window"], first["max_output_tokens"]) == (128000, 16384)
    assert {"tools", "vision"} <= set(first["capabilities"])
    assert {model["id"] for model in listed} == {"gpt-4.1", "claude-sonnet-4.5", "text-embedding-3-small"}


async def test_codex_models_are_asked_in_responses(tmp_path: Path) -> None:
    async with GitHubBackend() as backend:
        credential = await signed_in(backend)
        async with logged_in(tmp_path, "copilot", credential, f"{backend.url}/plan", **OURS) as client:
            answer = await client.post("/v1/chat/completions", {"model": "copilot://gpt-5.2-codex", "messages": [USER]})
    assert answer.status == 200, answer.text
    assert backend.last.path == "/plan/responses"


async def test_embeddings_work(tmp_path: Path) -> None:
    async with GitHubBackend() as backend:
        credential = await signed_in(backend)
        async with logged_in(tmp_path, "copilot", credential, f"{backend.url}/plan", **OURS) as client:
            answer = await client.post("/v1/embeddings", {"model": "copilot://text-embedding-3-small", "input": "hi"})
    assert answer.json()["data"][0]["embedding"] == [0.5, 0.25]


async def test_a_model_that_is_gone_is_said_so(tmp_path: Path) -> None:
    async with GitHubBackend() as backend:
        credential = await signed_in(backend)
        async with logged_in(tmp_path, "copilot", credential, f"{backend.url}/plan", **OURS) as client:
            answer = await client.post("/v1/chat/completions", {"model": "copilot://gone", "messages": [USER]})
    assert answer.status == 404


def test_the_login_says_first_what_github_allows() -> None:
    assert "may restrict" in copilot.LOGIN.warning
    assert "integration id of your own" in copilot.LOGIN.warning
