"""`llm-mux login` for each vendor as a person runs it, against the played backends; then the daemon with what it left:
asked at once, after the token has ended while nothing was running, and after it was refused before its end."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import yaml

from llm_mux import paths
from llm_mux.auth.logins import StoredLogin, keep_login, login_accounts, logins
from llm_mux.auth.store import SecretStore, open_store
from tests.daemon import ROOT, clean_environment, daemon
from tests.upstreams import browser
from tests.upstreams.codex import CodexBackend
from tests.upstreams.github import GitHubBackend
from tests.upstreams.google import CLIENT, SECRET, GoogleBackend
from tests.upstreams.plans import ClaudeBackend, KimiBackend, XaiBackend
from tests.upstreams.vendors import claude, codex, copilot, google, kimi, xai

LIMIT_S = 60


@dataclass(frozen=True)
class Vendor:
    """One vendor's login. `entry` is the configuration entry that leads to the played backend; `files` are put into
    the home before; `renews`: its tokens end and are renewed."""

    id: str
    backend: Callable[[], Any]
    entry: Callable[[str], dict[str, Any]]
    arguments: tuple[str, ...]
    account: str
    model: str
    files: Mapping[str, str] = field(default_factory=dict)
    stdin: str = ""
    renews: bool = True


CLIENT_FILE = json.dumps({"installed": {"client_id": CLIENT, "client_secret": SECRET}})
ADC = json.dumps(
    {"type": "authorized_user", "client_id": CLIENT, "client_secret": SECRET, "refresh_token": "1//refresh"}
)
VENDORS = [
    Vendor("codex", CodexBackend, codex, ("codex", "--oauth", "--yes"), "codex/me@example.com", "gpt-5.5"),
    Vendor("codex device", CodexBackend, codex, ("codex", "--device", "--yes"), "codex/me@example.com", "gpt-5.5"),
    Vendor("copilot", GitHubBackend, copilot, ("copilot", "--yes"), "copilot/octocat", "copilot://gpt-4.1"),
    Vendor("kimi", KimiBackend, kimi, ("kimi", "--device", "--yes"), "kimi/u-1", "kimi-k3"),
    Vendor("xai", XaiBackend, xai, ("xai", "--device", "--yes"), "xai/me@example.com", "grok-4.6"),
    Vendor("claude", ClaudeBackend, claude, ("claude", "--oauth", "--yes"), "anthropic/me@example.com", "claude-x"),
    Vendor(
        "setup token",
        ClaudeBackend,
        claude,
        ("claude", "--import", "-", "--yes"),
        "anthropic/default",
        "claude-x",
        stdin="sk-ant-oat01-setup\n",
        renews=False,
    ),
    Vendor(
        "gemini",
        GoogleBackend,
        google("gemini"),
        ("gemini", "--oauth", "--client-file", "client_secret.json"),
        "gemini/me@example.com",
        "gemini-2.5-flash",
        {"client_secret.json": CLIENT_FILE},
    ),
    Vendor(
        "gemini by import",
        GoogleBackend,
        google("gemini"),
        ("gemini", "--import", "client_secret.json"),
        "gemini/me@example.com",
        "gemini-2.5-flash",
        {"client_secret.json": CLIENT_FILE},
    ),
    Vendor(
        "code assist",
        GoogleBackend,
        google("gemini"),
        ("gemini", "--code-assist", "--project", "mine", "--client-file", "client_secret.json"),
        "gemini/me@example.com",
        "gemini-2.5-pro",
        {"client_secret.json": CLIENT_FILE},
    ),
    Vendor(
        "vertex",
        GoogleBackend,
        google("vertex"),
        ("vertex", "--import", "adc.json", "--project", "mine"),
        "vertex/me@example.com",
        "gemini-2.5-pro",
        {"adc.json": ADC},
    ),
]


async def typed(home: Path, *arguments: str, stdin: str = "") -> tuple[int, str]:
    """`llm-mux ARGUMENTS` in a process of its own: exit code, and everything it said."""
    env = clean_environment(home, {"BROWSER": browser.COMMAND, "PYTHONPATH": str(ROOT)})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llm_mux", *arguments),
        cwd=home,
        env=env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(LIMIT_S):
        said, _ = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return process.returncode, said.decode()


def machine(home: Path, entry: Mapping[str, Any], files: Mapping[str, str]) -> Mapping[str, Any]:
    """A person's home with its configuration, which is returned."""
    home.mkdir()
    config = {"providers": [dict(entry)]}
    (home / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    for name, text in files.items():
        (home / name).write_text(text, encoding="utf-8")
    return config


def store_of(home: Path) -> SecretStore:
    env = clean_environment(home)
    return open_store(env=env, data_dir=paths.data_dir(env))


async def asked(home: Path, config: Mapping[str, Any], model: str) -> tuple[int, str, str]:
    """Status, text and account of one question to a daemon in this home."""
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    async with daemon(home, config) as running, aiohttp.ClientSession() as http:
        async with http.post(f"{running.url}/v1/chat/completions", json=body) as answer:
            return answer.status, await answer.text(), answer.headers.get("x-llm-mux-account", "")


def aged(store: SecretStore) -> StoredLogin:
    """The only login, whose token has ended an hour ago."""
    (login,) = logins(store)
    past = time.time() - 3600
    old = msgspec.structs.replace(login.credential, expires=past, obtained=past - 3600)
    keep_login(store, StoredLogin(login.provider, login.label, old, login.base_url))
    return login


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.id)
async def test_a_login_is_good_at_once_and_outlives_its_tokens(tmp_path: Path, vendor: Vendor) -> None:
    home = tmp_path / "home"
    async with vendor.backend() as backend:
        if isinstance(backend, GitHubBackend | XaiBackend):
            backend.now = time.time()
        config = machine(home, vendor.entry(backend.url), vendor.files)
        code, said = await typed(home, "login", *vendor.arguments, stdin=vendor.stdin)
        assert code == 0, said
        assert f"Logged in to {vendor.account}" in said
        store = store_of(home)
        secrets = [each for login in logins(store) for each in (login.credential.access, login.credential.refresh)]
        assert [secret for secret in secrets if secret and secret in said] == []
        status, text, _ = await asked(home, config, vendor.model)
        assert (status, "Hello" in text) == (200, True), text
        if not vendor.renews:
            return
        before = aged(store)
        status, text, account = await asked(home, config, vendor.model)
        assert (status, "Hello" in text) == (200, True), text
        assert f"{before.provider}/{account}" == vendor.account
        (renewed,) = logins(store)
        backend.issued[-1] = "revoked"
        status, text, _ = await asked(home, config, vendor.model)
        assert (status, "Hello" in text) == (200, True), text
        (after,) = logins(store)
        assert len({each.access for each in (before.credential, renewed.credential, after.credential)}) == 3
        assert (after.credential.id, after.credential.extra) == (before.credential.id, before.credential.extra)


async def test_a_team_account_does_not_replace_the_personal_one_with_the_same_mail(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with CodexBackend() as backend:
        config = machine(home, codex(backend.url), {})
        for account, plan in (("acc-1", "plus"), ("acc-2", "team"), ("acc-3", "team"), ("acc-1", "pro")):
            backend.account, backend.plan, backend.pending = account, plan, 0
            code, said = await typed(home, "login", "codex", "--device", "--yes")
            assert code == 0, said
        labels = [label for _, label in login_accounts(store_of(home))]
        assert {"me@example.com", "me@example.com-team"} < set(labels)
        assert len(labels) == 3, "the first account logged in twice and has one place"
        backend.account = "acc-2"
        status, text, served = await asked(home, config, "gpt-5.4")
    assert status == 200, text
    assert served == "me@example.com-team", "the accounts that are refused give way to the one that is let in"


async def test_a_subscription_is_used_only_after_the_restriction_was_agreed_to(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with ClaudeBackend() as backend:
        machine(home, claude(backend.url), {})
        code, said = await typed(home, "login", "claude", "--oauth")
    assert code != 0
    assert "reserves Claude subscriptions for its own clients" in said
    assert "--yes" in said
    assert backend.seen == []


async def test_who_may_not_use_code_assist_is_told_googles_reason(tmp_path: Path) -> None:
    home = tmp_path / "home"
    reason = {"ineligibleTiers": [{"reasonMessage": "This service is closed to individuals."}]}
    async with GoogleBackend(loaded=reason) as backend:
        machine(home, google("gemini")(backend.url), {"client_secret.json": CLIENT_FILE})
        arguments = ("gemini", "--code-assist", "--project", "p", "--client-file", "client_secret.json")
        code, said = await typed(home, "login", *arguments)
    assert code != 0
    assert "closed to individuals" in said
    assert logins(store_of(home)) == []


async def test_a_final_refusal_says_which_command_mends_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with CodexBackend(pending=0) as backend:
        config = machine(home, codex(backend.url), {})
        await typed(home, "login", "codex", "--device", "--yes")
        aged(store_of(home))
        backend.rejects_refresh = "refresh_token_reused"
        status, text, _ = await asked(home, config, "gpt-5.5")
    assert status == 503, text
    assert "llm-mux login codex --device --name me@example.com" in text
