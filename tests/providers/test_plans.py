"""Claude subscriptions, Kimi Code plans and xAI accounts: their logins, and what their APIs want."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_mux import __version__
from llm_mux.auth.base import Credential, LoginError, OAuth
from llm_mux.auth.tokens import refresh
from llm_mux.errors import Kind, MuxError
from llm_mux.providers import anthropic, kimi, registry, xai
from tests.providers.logged_in import logged_in, login_of
from tests.upstreams.person import NOW, Person, wish
from tests.upstreams.plans import ClaudeBackend, KimiBackend, XaiBackend
from tests.upstreams.played import Refusal

USER = {"role": "user", "content": "hi"}
MESSAGES = {"max_tokens": 50, "messages": [USER]}
CHAT = {"messages": [USER]}


async def nothing(url: str, code: str) -> None:
    """The browser; the server's answers to the polls decide."""


def of_claude(backend: ClaudeBackend) -> OAuth:
    url = backend.url
    return replace(anthropic.CLAUDE, authorize_url=f"{url}/oauth/authorize", token_url=f"{url}/v1/oauth/token")


async def test_a_claude_subscription_logs_in_by_json_and_keeps_its_refresh_token() -> None:
    async with ClaudeBackend() as backend:
        first = await Person().logs_in(anthropic.start(of_claude(backend), wish()))
        second = await Person().logs_in(refresh(of_claude(backend), first, NOW))
    assert (first.email, first.id, first.plan) == ("me@example.com", "acc-1/org-1", "Mine")
    assert (first.refresh, first.expires) == ("sk-ant-ort01-1", NOW + 28800)
    assert (second.access, second.refresh) == (backend.issued[-1], first.refresh)


async def test_the_code_that_the_page_shows_can_be_pasted() -> None:
    async with ClaudeBackend() as backend:
        state = wish().token(32)
        person = Person(pastes=["c-1#another-state", f"c-1#{state}"])
        got = await person.logs_in(anthropic.start(of_claude(backend), wish()))
    assert got.email == "me@example.com"
    assert any("another login" in said for said in person.told)


async def test_two_organisations_of_one_person_are_two_accounts() -> None:
    ids = []
    for organisation in ("org-1", "org-2"):
        async with ClaudeBackend(organisation=organisation) as backend:
            ids.append((await Person().logs_in(anthropic.start(of_claude(backend), wish()))).id)
    assert len(set(ids)) == 2


@pytest.mark.parametrize("way", ["browser", "setup-token"])
def test_the_restriction_is_said_before_a_subscription_is_used(way: str) -> None:
    login = login_of("anthropic", way)
    for word in ("its own clients", "closed", "login claude --api-key"):
        assert word in login.warning
    assert registry.get("claude") is anthropic.PROVIDER


async def test_a_setup_token_is_taken_and_nothing_else() -> None:
    got = await Person().logs_in(anthropic.imported(anthropic.CLAUDE, wish(), " sk-ant-oat01-setup\n"))
    assert (got.access, got.refresh, got.expires, got.way) == ("sk-ant-oat01-setup", "", None, "setup-token")
    for text in ("sk-ant-api03-x", "", "sk-ant-oat01 x", "sk-ant-oat01-\n-x"):
        with pytest.raises(LoginError, match="setup-token"):
            await Person().logs_in(anthropic.imported(anthropic.CLAUDE, wish(), text))


@pytest.mark.parametrize(
    ("path", "body", "sent_by_client", "beta"),
    [
        ("/v1/messages", MESSAGES, {}, {"oauth-2025-04-20"}),
        (
            "/v1/messages",
            {**MESSAGES, "stream": True},
            {"anthropic_beta": "context-1m-2025-08-07"},
            {"oauth-2025-04-20", "context-1m-2025-08-07"},
        ),
        ("/v1/chat/completions", CHAT, {"user_agent": "claude-cli/2.1", "x_app": "cli"}, {"oauth-2025-04-20"}),
    ],
)
async def test_a_subscription_is_asked_under_our_own_name(
    tmp_path: Path, path: str, body: dict[str, Any], sent_by_client: dict[str, str], beta: set[str]
) -> None:
    credential = Credential(access="sk-ant-oat01-setup", way="setup-token")
    async with ClaudeBackend() as backend, logged_in(tmp_path, "anthropic", credential, backend.url) as client:
        answer = await client.post(path, {**body, "model": "claude-sonnet-4-5"}, **sent_by_client)
        sent = backend.last
    assert answer.status == 200, answer.text
    assert "Hello" in answer.text
    assert beta <= set(sent.headers["anthropic-beta"].split(","))
    assert sent.headers["user-agent"] == f"llm-mux/{__version__}"
    assert "x-app" not in sent.headers
    assert b"Claude Code" not in sent.body
    assert sent.query == {}


def of_kimi(backend: KimiBackend) -> OAuth:
    url = f"{backend.url}/api/oauth"
    return replace(kimi.KIMI, device_url=f"{url}/device_authorization", token_url=f"{url}/token")


async def test_kimi_answers_200_while_nothing_is_decided_and_sees_one_device() -> None:
    async with KimiBackend(pending=2) as backend:
        person = Person(agree=nothing)
        first = await person.logs_in(kimi.start(of_kimi(backend), wish()))
        second = await Person().logs_in(kimi.renewed(of_kimi(backend), first, NOW))
    assert person.slept == [5.0, 5.0, 5.0]
    assert (first.id, first.refresh, first.expires) == ("u-1", "r-1", NOW + 15 + 900)
    assert backend.devices == {first.extra["device"]}
    assert (second.access, second.refresh, second.extra) == (backend.issued[1], "r-2", first.extra)


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        ("/v1/chat/completions", CHAT, "/coding/v1/chat/completions"),
        ("/v1/messages", MESSAGES, "/coding/v1/messages"),
        ("/v1/messages", {**MESSAGES, "stream": True}, "/coding/v1/messages"),
        ("/v1/responses", {"input": "hi"}, "/coding/v1/chat/completions"),
    ],
)
async def test_kimi_is_asked_in_the_clients_own_words(
    tmp_path: Path, path: str, body: dict[str, Any], asked: str
) -> None:
    async with KimiBackend(pending=0) as backend:
        credential = await Person(agree=nothing).logs_in(kimi.start(of_kimi(backend), wish()))
        async with logged_in(tmp_path, "kimi", credential, f"{backend.url}/coding") as client:
            answer = await client.post(path, {**body, "model": "kimi://kimi-k3[1m]"}, user_agent="my-agent/1")
    assert answer.status == 200, answer.text
    assert "Hello" in answer.text
    assert (backend.last.path, backend.last.json()["model"]) == (asked, "k3")
    assert '"k3"' not in answer.text, "a client reads the name that it asked for"
    assert '"kimi://kimi-k3[1m]"' in answer.text
    own_format = asked.endswith(path.removeprefix("/v1"))
    ours = f"llm-mux/{__version__}"
    assert backend.last.headers["user-agent"] == (f"my-agent/1 {ours}" if own_format else ours)


@pytest.mark.parametrize(
    ("model", "own"),
    [
        ("kimi-k3", "k3"),
        ("k3", "k3"),
        ("kimi-k3[1m]", "k3"),
        ("kimi-k3-256k", "k3-256k"),
        ("kimi-k2.7-code-highspeed", "k2.7-code-highspeed"),
        ("kimi-for-coding", "kimi-for-coding"),
    ],
)
def test_kimis_models_are_called_as_the_backend_calls_them(model: str, own: str) -> None:
    assert kimi.own_name(model) == own


def of_xai(backend: XaiBackend) -> OAuth:
    return replace(xai.XAI, issuer=backend.url)


async def test_an_xai_account_logs_in_by_what_xai_publishes() -> None:
    async with XaiBackend() as backend:
        person = Person(agree=nothing)
        first = await person.logs_in(xai.start(of_xai(backend), wish()))
        second = await Person().logs_in(xai.renewed(of_xai(backend), first, NOW))
    assert person.browsed[0].code == "GROK-1"
    assert (first.email, first.id, first.refresh, first.way) == ("me@example.com", "x-1", "r-1", "device")
    assert (second.access, second.refresh, second.email) == ("xai-token-2", "r-2", "me@example.com")


@pytest.mark.parametrize(
    "outside", ["https://evil.example/token", "https://x.ai.evil.example/token", "http://auth.x.ai/"]
)
async def test_an_endpoint_outside_of_the_issuers_domain_is_not_believed(outside: str) -> None:
    async with XaiBackend(outside=outside) as backend:
        with pytest.raises(LoginError):
            await Person(agree=nothing).logs_in(xai.start(of_xai(backend), wish()))
    assert backend.issued == []


async def xai_account(backend: XaiBackend) -> Credential:
    return await Person(agree=nothing).logs_in(xai.start(of_xai(backend), wish()))


SEARCHES = {"tools": [{"type": "web_search"}]}


@pytest.mark.covers("FB-40")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/v1/responses", {"input": "hi", **SEARCHES}, id="responses"),
        pytest.param("/v1/responses", {"input": "hi", "stream": True, **SEARCHES}, id="responses stream"),
        pytest.param("/v1/messages", MESSAGES, id="messages"),
        pytest.param("/v1/messages", {**MESSAGES, "stream": True}, id="messages stream"),
    ],
)
async def test_the_servers_own_searches_are_not_the_clients_to_answer(
    tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    async with XaiBackend(own_search=True) as backend:
        credential = await xai_account(backend)
        async with logged_in(tmp_path, "xai", credential, f"{backend.url}/v1") as client:
            answer = await client.post(path, {**body, "model": "grok-4.6"})
    assert answer.status == 200, answer.text
    assert "Hello" in answer.text
    assert "x_keyword_search" not in answer.text
    assert "tool_use" not in answer.text


@pytest.mark.parametrize(
    ("refusal", "kind", "seconds"),
    [
        (Refusal(429, {"error": "Free usage exhausted. Come back later."}), Kind.QUOTA, "86400"),
        (Refusal(429, {"error": "Free usage exhausted."}, {"retry-after": "60"}), Kind.QUOTA, "60"),
        (Refusal(403, {"code": "bad-credentials", "error": "no"}), Kind.UPSTREAM_AUTH, None),
    ],
)
async def test_a_spent_allowance_rests_a_day_and_bad_credentials_are_no_403(
    tmp_path: Path, refusal: Refusal, kind: Kind, seconds: str | None
) -> None:
    async with XaiBackend(refusal=refusal) as backend:
        credential = await xai_account(backend)
        async with logged_in(tmp_path, "xai", credential, f"{backend.url}/v1") as client:
            answer = await client.post("/v1/responses", {"input": "hi", "model": "grok-4.6"})
            assert client.account.last_error is not None
            assert client.account.last_error.startswith(kind.value)
    assert answer.headers.get("retry-after") == seconds


def test_a_fault_keeps_what_the_answer_itself_says_about_the_time() -> None:
    said = MuxError(Kind.RATE_LIMIT, "x", status=429, upstream=b"free usage exhausted", retry_after=5)
    assert xai.PROVIDER.refined(said, {}).retry_after == 5
