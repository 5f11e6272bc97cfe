"""A ChatGPT plan: the logins and the backend's rules, against a backend that holds to them."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llm_mux import __version__
from llm_mux.auth.base import Credential, LoginError, OAuth
from llm_mux.errors import Kind
from llm_mux.providers import codex
from tests.providers.logged_in import logged_in, login_of
from tests.upstreams.codex import CodexBackend
from tests.upstreams.person import NOW, Person, wish
from tests.upstreams.played import Refusal, token


def at(backend: CodexBackend) -> OAuth:
    """OpenAI's login, played by `backend`."""
    url = backend.url
    return replace(
        codex.OPENAI,
        issuer=url,
        authorize_url=f"{url}/oauth/authorize",
        token_url=f"{url}/oauth/token",
        device_url=f"{url}/api/accounts/deviceauth/usercode",
    )


async def signed_in(backend: CodexBackend) -> Credential:
    return await Person().logs_in(codex.start(at(backend), wish()))


async def test_the_browser_login_ends_with_account_mail_and_plan() -> None:
    async with CodexBackend() as backend:
        got = await signed_in(backend)
    assert (got.id, got.email, got.plan, got.way) == ("acc-1", "me@example.com", "plus", "browser")
    assert (got.access, got.refresh, got.expires) == (backend.issued[0], "refresh-1", NOW + 864000)


async def test_the_login_takes_no_other_port() -> None:
    with pytest.raises(LoginError, match="1455"):
        await Person().logs_in(codex.start(codex.OPENAI, msgspec.structs.replace(wish(), port=8000)))


async def test_a_code_typed_on_another_device_logs_in() -> None:
    async def agree(url: str, code: str) -> None:
        assert (url, code) == (f"{backend.url}/codex/device", "ABCD-EFGH")

    async with CodexBackend(pending=3) as backend:
        person = Person(agree=agree)
        got = await person.logs_in(codex.device(at(backend), wish()))
    assert (got.id, got.plan, got.refresh, got.way) == ("acc-1", "plus", "refresh-1", "device")
    assert person.slept == [5.0] * 4, "403 and 404 mean: not yet"
    assert "redirect_uri=" in backend.last.body.decode()
    assert "deviceauth%2Fcallback" in backend.last.body.decode()


async def test_a_code_that_nobody_types_in_expires() -> None:
    async def nobody(url: str, code: str) -> None:
        pass

    async with CodexBackend(pending=10_000) as backend:
        person = Person(agree=nobody)
        with pytest.raises(LoginError, match="expired") as told:
            await person.logs_in(codex.device(at(backend), wish()))
    assert told.value.code == "expired_token"
    assert sum(person.slept) == pytest.approx(905)


async def test_a_refresh_brings_the_next_tokens_and_the_plan_of_today() -> None:
    async with CodexBackend(plan="free") as backend:
        first = await signed_in(backend)
        backend.plan = "pro"
        second = await Person().logs_in(codex.renewed(at(backend), first, NOW))
    assert (first.plan, second.plan) == ("free", "pro")
    assert (second.refresh, second.access, second.email) == ("refresh-2", backend.issued[1], "me@example.com")


@pytest.mark.parametrize(("code", "final"), [("refresh_token_reused", True), ("server_error", False)])
async def test_a_reused_refresh_token_is_final(code: str, final: bool) -> None:
    async with CodexBackend() as backend:
        first = await signed_in(backend)
        backend.rejects_refresh = code
        with pytest.raises(LoginError) as told:
            await Person().logs_in(codex.renewed(at(backend), first, NOW))
    assert told.value.final is final
    assert first.refresh not in str(told.value)


async def test_codexs_own_login_is_taken_over_when_asked() -> None:
    claims = {"exp": NOW + 60, "https://api.openai.com/auth": {"chatgpt_plan_type": "team"}}
    file = {
        "OPENAI_API_KEY": None,
        "tokens": {
            "id_token": token({"email": "me@example.com"}),
            "access_token": token(claims),
            "refresh_token": "r",
            "account_id": "acc-2",
        },
    }
    person = Person()
    got = await person.logs_in(codex.imported(codex.OPENAI, wish(), json.dumps(file)))
    assert (got.id, got.email, got.plan, got.refresh, got.expires) == ("acc-2", "me@example.com", "team", "r", NOW + 60)
    assert "Codex may have to log in again" in person.told[0]


async def test_a_codex_that_uses_an_api_key_has_no_login_to_take_over() -> None:
    with pytest.raises(LoginError, match="login codex"):
        await Person().logs_in(codex.imported(codex.OPENAI, wish(), '{"OPENAI_API_KEY":"sk-1","tokens":null}'))


@pytest.mark.parametrize(
    ("plan", "has", "lacks"),
    [
        ("free", "gpt-5.6-terra", "gpt-5.4"),
        ("team", "gpt-5.6-sol", "gpt-5.3-codex-spark"),
        ("plus", "gpt-5.3-codex-spark", ""),
        ("a plan of tomorrow", "gpt-5.6-sol", ""),
    ],
)
def test_the_plan_says_what_models_there_are(plan: str, has: str, lacks: str) -> None:
    provider = codex.applied(codex.PROVIDER, Credential(access="a", id="acc-9", plan=plan))
    names = [model.id for model in provider.models]
    assert has in names
    assert lacks not in names
    assert provider.headers["chatgpt-account-id"] == "acc-9"
    assert next(m for m in provider.models if m.id == "gpt-5.5").context == 272_000


HARSH = {
    "temperature": 0.5,
    "top_p": 0.9,
    "truncation": "auto",
    "user": "someone",
    "prompt_cache_retention": "24h",
    "service_tier": "flex",
    "context_management": [{"type": "compaction"}],
    "parallel_tool_calls": True,
}
REQUESTS = [
    pytest.param("/v1/responses", {"input": [{"role": "user", "content": "hi"}]}, id="responses"),
    pytest.param("/v1/responses", {"input": "hi", "instructions": None}, id="input as text, no instructions"),
    pytest.param("/v1/responses", {"input": [{"role": "user", "content": "hi"}], **HARSH}, id="what is refused there"),
    pytest.param(
        "/v1/responses",
        {"input": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}], "instructions": "be kind"},
        id="system items",
    ),
    pytest.param(
        "/v1/responses",
        {
            "input": [
                {
                    "role": "user",
                    "content": [{"type": "input_text", "text": "hi", "prompt_cache_breakpoint": {"type": "ephemeral"}}],
                }
            ]
        },
        id="cache marks",
    ),
    pytest.param(
        "/v1/chat/completions",
        {
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}],
            "max_tokens": 100,
            "temperature": 1,
            "stream_options": {"include_usage": True},
            "user": "u",
            "service_tier": "flex",
            "parallel_tool_calls": False,
        },
        id="chat",
    ),
    pytest.param(
        "/v1/messages",
        {"max_tokens": 50, "system": "s", "messages": [{"role": "user", "content": "hi"}]},
        id="messages",
    ),
]


@pytest.mark.covers("FB-136", "FB-137", "FB-126")
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("path", "body"), REQUESTS)
async def test_the_backend_takes_what_any_client_asks(
    tmp_path: Path, path: str, body: dict[str, Any], streamed: bool
) -> None:
    async with CodexBackend(answer="Hello there") as backend:
        credential = await signed_in(backend)
        async with logged_in(tmp_path, "codex", credential, f"{backend.url}/backend-api/codex") as client:
            asked = {**body, "model": "codex://gpt-5.6-sol", **({"stream": True} if streamed else {})}
            if not streamed:
                asked.pop("stream_options", None)
            answer = await client.post(path, asked)
    assert answer.status == 200, answer.text
    assert "Hello there" in answer.text
    assert ("text/event-stream" in answer.headers["content-type"]) is streamed
    if not streamed:
        usage = answer.json()["usage"]
        assert 7 in usage.values()


async def test_what_is_dropped_is_told_and_a_limit_is_kept_by_the_daemon(tmp_path: Path) -> None:
    async with CodexBackend(answer="word " * 400) as backend:
        credential = await signed_in(backend)
        async with logged_in(tmp_path, "codex", credential, f"{backend.url}/backend-api/codex") as client:
            body = {"model": "gpt-5.5", "input": [{"role": "user", "content": "hi"}], **HARSH, "max_output_tokens": 20}
            answer = await client.post("/v1/responses", body)
    assert answer.status == 200, answer.text
    dropped = set(answer.headers["x-llm-mux-dropped"].split(","))
    assert {"temperature", "top_p", "service_tier", "truncation"} <= dropped
    assert "max_tokens" not in dropped
    told = answer.json()
    assert told["status"] == "incomplete"
    assert len(told["output"][0]["content"][0]["text"]) < 400


CODEX_SAYS = {
    "model": "gpt-5.5",
    "stream": True,
    "store": False,
    "instructions": "you are Codex",
    "input": [{"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "hi"}]}],
    "include": ["reasoning.encrypted_content"],
    "service_tier": "priority",
    "prompt_cache_key": "thread-1",
    "tools": [{"type": "custom", "name": "exec"}],
    "parallel_tool_calls": False,
    "client_metadata": {"x": "y"},
}


async def test_codexs_own_bytes_go_through_and_the_asker_is_ourselves(tmp_path: Path) -> None:
    async with CodexBackend() as backend:
        credential = await signed_in(backend)
        async with logged_in(tmp_path, "codex", credential, f"{backend.url}/backend-api/codex") as client:
            says = {"originator": "codex_exec", "user_agent": "codex_exec/0.169", "session_id": "s-1"}
            answer = await client.post("/v1/responses", CODEX_SAYS, **says)
        sent = backend.last
    assert answer.status == 200, answer.text
    assert sent.json() == CODEX_SAYS
    assert sent.headers["originator"] == "llm-mux"
    assert sent.headers["user-agent"] == f"llm-mux/{__version__}"
    assert sent.headers["session-id"] == "s-1"
    assert sent.headers["chatgpt-account-id"] == "acc-1"
    assert sent.headers["accept"] == "text/event-stream"


@pytest.mark.parametrize(("key", "session"), [("thread-1", "thread-1"), ('with "quotes"', None), (None, None)])
async def test_the_cache_key_of_any_client_names_the_session(
    tmp_path: Path, key: str | None, session: str | None
) -> None:
    async with CodexBackend() as backend:
        credential = await signed_in(backend)
        async with logged_in(tmp_path, "codex", credential, f"{backend.url}/backend-api/codex") as client:
            body = {"model": "gpt-5.5", "input": [{"role": "user", "content": 'say "prompt_cache_key":"no"'}]}
            await client.post("/v1/responses", body if key is None else {**body, "prompt_cache_key": key})
    assert backend.last.headers.get("session-id") == session


SPENT = Refusal(
    429,
    {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached", "resets_at": 0}},
    {"x-codex-primary-used-percent": "100", "x-codex-primary-reset-after-seconds": "7200"},
)


@pytest.mark.parametrize(
    ("refusal", "status", "kind", "seconds"),
    [
        (SPENT, 429, Kind.QUOTA, 7200),
        (Refusal(429, {"error": {"type": "usage_limit_reached", "resets_in_seconds": 60}}), 429, Kind.QUOTA, 60),
        (
            Refusal(400, {"detail": "The 'gpt-5.4' model is not supported when using Codex with a ChatGPT account."}),
            404,
            Kind.UPSTREAM_MODEL,
            None,
        ),
    ],
)
async def test_a_spent_plan_and_a_missing_model_are_told_apart(
    tmp_path: Path, refusal: Refusal, status: int, kind: Kind, seconds: float | None
) -> None:
    async with CodexBackend(refusal=refusal) as backend:
        credential = await signed_in(backend)
        async with logged_in(tmp_path, "codex", credential, f"{backend.url}/backend-api/codex") as client:
            answer = await client.post("/v1/responses", CODEX_SAYS)
            assert client.account.last_error is not None
            assert client.account.last_error.startswith(kind.value)
    assert answer.status == status
    assert answer.headers.get("retry-after") == (None if seconds is None else str(seconds))


@pytest.mark.parametrize("spent_on", ["in seconds", "at a moment"])
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("after", [1, 4])
async def test_a_plan_that_ends_inside_a_stream_rests_until_it_is_full_again(
    tmp_path: Path, spent_on: str, streamed: bool, after: int
) -> None:
    until = {"resets_in_seconds": 5000} if spent_on == "in seconds" else {"resets_at": time.time() + 5000}
    error = {"code": "usage_limit_reached", "message": "The usage limit has been reached", **until}
    async with CodexBackend(broken=error, after=after) as backend:
        credential = await signed_in(backend)
        async with logged_in(tmp_path, "codex", credential, f"{backend.url}/backend-api/codex") as client:
            body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "hi"}], "stream": streamed}
            answer = await client.post("/v1/chat/completions", body)
            rests = (client.account.breakers[""].until or 0.0) - time.monotonic()
    assert (answer.status, "usage limit" in answer.text) == (200 if streamed and after == 4 else 429, True)
    assert 4900 < rests <= 5001


async def test_the_browser_and_the_code_are_ways_of_one_login() -> None:
    assert [login.way for login in codex.PROVIDER.logins] == ["browser", "device"]
    assert login_of("codex", "browser").oauth is login_of("codex", "device").oauth
