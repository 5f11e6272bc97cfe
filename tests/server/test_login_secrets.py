"""A login's secrets stay where they belong: planted ones are looked for in everything that is written and answered."""

from __future__ import annotations

import asyncio
import json
import pathlib
import subprocess
import sys
import time

import aiohttp
import psutil

from llm_mux import paths
from llm_mux.auth.base import Credential
from llm_mux.auth.keys import add_key, create_management_key
from llm_mux.auth.logins import StoredLogin, keep_login
from llm_mux.auth.store import open_store
from tests.daemon import ROOT, clean_environment, process_daemon
from tests.fake_upstream import FakeUpstream, Reply, json_reply

PLANTED = "PLANTED"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
REFUSED = {"error": {"message": "no entry for at-PLANTED-access"}}
REFUSED_KEY = {
    "error": {
        "message": "incorrect key: sk-PLANTED-key, in plain%2Fof%2FPLANTED or PLANTED-header; nor do rt-PLANTED-refresh, "
        "at-PLANTED-access and PLANTED-client-secret of that other account help"
    }
}
GONE = {"error": "invalid_grant", "error_description": "no token for the secret PLANTED-client-secret"}
PLACES = (
    "/health", "/health?format=yaml", "/health/detailed", "/metrics", "/v1/models", "/v1/providers", "/",
    "/v0/management/accounts", "/v0/management/config", "/v0/management/logs", "/v0/management/providers",
    "/v0/management/config.yaml", "/v0/management/requests",
)  # fmt: skip
COMMANDS = (
    ("accounts",), ("accounts", "--json"), ("accounts", "test"), ("status", "--json"), ("doctor", "--json"),
    ("config", "show"), ("login", "corp", "--device"), ("logout", "corp"),
)  # fmt: skip


def plant(home: pathlib.Path) -> str:
    """Stores a login and a key; the management key."""
    env = clean_environment(home)
    store = open_store(env=env, data_dir=paths.data_dir(env))
    now = time.time()
    token = Credential(
        access="at-PLANTED-access",
        refresh="rt-PLANTED-refresh",
        expires=now + 9999,
        obtained=now,
        way="browser",
        email="me@x.example",
        client_id="c",
        client_secret="PLANTED-client-secret",
        extra={"key-file": "PLANTED-key-file"},
    )
    keep_login(store, StoredLogin("corp", "me", token))
    add_key(store, "plain", "work", "sk-PLANTED-key")
    return create_management_key(store)


async def answers(url: str, key: str) -> list[str]:
    """Everything that the daemon says of itself and to clients, failures above all."""
    found = []
    async with aiohttp.ClientSession(url) as client:
        for body in (CHAT, CHAT | {"stream": True}, CHAT | {"model": "plain://n"}):
            for path in ("/v1/chat/completions", "/v1/messages", "/v1/responses"):
                async with client.post(path, json=body | {"input": "hi", "max_tokens": 5}) as answer:
                    found.append(f"{answer.headers} {await answer.text()}")
        for path in PLACES:
            async with client.get(path, headers={"X-Management-Key": key}) as answer:
                found.append(f"{path} {answer.headers} {await answer.text()}")
    return found


def said(home: pathlib.Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "llm_mux", *arguments]
    env = clean_environment(home, {"LLM_MUX_DEBUG": "true"})
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    return f"{arguments} {done.stdout} {done.stderr}"


def written(home: pathlib.Path) -> list[str]:
    """Names and contents of every file but the encrypted one and its key."""
    files = [path for path in home.rglob("*") if path.is_file()]
    kept = [path for path in files if path.name not in ("secrets.json.enc", "secrets.key", "config.yaml")]
    return [f"{path} {path.read_bytes().decode('latin-1')}" for path in kept] + [str(path) for path in files]


async def test_planted_secrets_are_found_nowhere(tmp_path: pathlib.Path) -> None:
    key = plant(tmp_path)
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply(REFUSED, 401)).on("/token", json_reply(GONE, 400)).on(
            "/device", json_reply(GONE, 400)
        )
        for path in ("models", "chat/completions"):
            upstream.on(f"/plain/v1/{path}", json_reply(REFUSED_KEY, 401))
        oauth = {"token-url": f"{upstream.url}/token", "client-id": "c", "client-secret": "PLANTED-client-secret"}
        oauth |= {
            "authorize-url": f"{upstream.url}/auth",
            "revoke-url": f"{upstream.url}/revoke",
            "device-url": f"{upstream.url}/device",
        }
        entries = [
            {"type": "oauth", "id": "corp", "base-url": f"{upstream.url}/v1", "models": ["m"], "oauth": oauth},
            {"type": "openai-compatible", "id": "plain", "base-url": f"{upstream.url}/plain/v1", "models": ["n"]}
            | {"headers": {"x-gateway-token": "PLANTED-header", "authorization": "Custom plain/of/PLANTED"}},
        ]
        upstream.on("/revoke", Reply(body=b"<html>PLANTED-client-secret", status=500))
        with process_daemon(tmp_path, {"debug": True, "providers": entries}) as mux:
            found = await answers(mux.url, key)
            found += [" ".join(psutil.Process(mux.process.pid).cmdline())]
            found += [await asyncio.to_thread(said, tmp_path, *command) for command in COMMANDS]
        found += [*mux.output, *written(tmp_path)]
        sent = [request for request in upstream.requests if request.path == "/token"]
    assert sent, "the refresh was tried, so that there was something to leak"
    leaks = [each[max(0, each.find(PLANTED) - 120) :][:200] for each in found if PLANTED in each]
    assert leaks == []
    assert any("login needed" in each for each in found)
    assert any("me@x.example" in each or "corp/me" in each for each in found)
    assert json.dumps(key) not in "".join(found)
