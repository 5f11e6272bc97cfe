"""No secret leaves: every route is asked, with secrets planted wherever there can be one."""

import pathlib
from typing import Any

import aiohttp
from aiohttp import web

from llm_mux import log
from llm_mux.auth.base import Credential
from llm_mux.auth.keys import add_key
from llm_mux.auth.logins import StoredLogin, keep_login
from llm_mux.errors import Kind, MuxError
from llm_mux.server.serving import DAEMON
from tests.fake_upstream import FakeUpstream, json_reply
from tests.server.management import managed

CONFIG = """\
port: 0
discover: true
capture: true
disable-auth: true
api-keys: [plant-client-key-1, env:TEAM]   # was sk-plant-comment-key-123456
proxy-url: null
redis-url: null
usage: {database: null}
auth: {jwt: {secret: plant-jwt-secret-1}}
telemetry:
  langfuse: {public-key: pk-lf-x, secret-key: plant-langfuse-1}
providers:
- type: openai-compatible
  id: lab
  base-url: URL/v1
  api-keys:
  - {key: plant-provider-key-1, label: one, proxy-url: "http://user:plant-proxy-pass@127.0.0.1:1"}
  - {key: plant-provider-key-2, label: two}
  headers: {authorization: plant-header-1}
- type: openai
  id: work
"""
ENV = {"TEAM": "plant-team-key-1", "GROQ_API_KEY": "plant-groq-key-1", "OPENAI_API_KEY": "plant-openai-key-1"}


def paths_of(app: web.Application) -> list[tuple[str, str]]:
    """Method and path of every route, each name in a path filled with something that is there."""
    here = {"provider": "lab", "label": "two", "id": "mine", "version": "v1beta", "call": "models/m:generateContent"}
    found = []
    for route in app.router.routes():
        if route.resource is None or route.method in ("HEAD", "*"):
            continue
        path = route.resource.canonical
        for name, value in here.items():
            path = path.replace(f"{{{name}}}", value)
        found.append((route.method, path.replace("{name}", "m").replace("{tail}", "x")))
    return sorted(found, key=lambda each: (each[0] == "DELETE", each))


async def test_no_answer_of_any_route_holds_a_planted_secret(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply({"error": {"message": "bad key plant-provider-key-2, plant-provider-key-1"}}, 401))
        async with managed(tmp_path, CONFIG.replace("URL", upstream.url), ENV) as mux:
            add_key(mux.store, "work", "stored", "plant-stored-key-1")
            secret = Credential(access="plant-access-1", refresh="plant-refresh-1", id="me", email="me@x.example")
            keep_login(mux.store, StoredLogin("claude-code", "me", secret))
            await mux.ask("POST", "/reload")
            app = mux.app
            for account in app[DAEMON].gateway.accounts:
                account.last_error = f"upstream_auth: no such key {account.key}"
                account.failed("m", MuxError(Kind.UPSTREAM_AUTH, f"bad key {account.key}"), 0)
            log.logger.warning("planted", api_key="plant-in-log-1", text="Authorization: Bearer plant-bearer-token-1")
            seen, held = 0, []
            for method, path in paths_of(app):
                if path.endswith("/live"):
                    continue
                for client in (mux.client, mux.bare):
                    for more in bodies(method, path):
                        async with client.request(
                            method, path, timeout=aiohttp.ClientTimeout(total=30), **more
                        ) as answer:
                            text = f"{answer.headers} {await answer.text(errors='replace')}"
                        seen += 1
                        if "plant-" in text or mux.key in text:
                            held.append((method, path, answer.status, text[max(0, text.find("plant-") - 80) :][:200]))
            assert held == []
            assert seen > 100


def bodies(method: str, path: str) -> list[dict[str, Any]]:
    """What to send: nothing, and what the route may take."""
    if method not in ("POST", "PUT", "PATCH"):
        return [{}]
    chat = {"model": "lab://m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    chat |= {"prompt": "x", "input": "x", "contents": [{"parts": [{"text": "x"}]}]}
    named = {"headers": {"X-Request-ID": "mine"}}
    return [{}, {"json": chat, **named}, {"json": {"value": False}}, {"data": b"port: [plant"}]
