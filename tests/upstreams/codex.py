"""OpenAI's login and the Codex backend, as strict as they are known to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec
from aiohttp import web

from tests.upstreams.played import Played, Refusal, events, need, s256, stream, token

CLIENT = "app_EMoamEEZ73f0CkXaXp7hrann"
FORBIDDEN = (
    *("previous_response_id", "prompt_cache_retention", "prompt_cache_options", "safety_identifier", "stream_options"),
    *("max_output_tokens", "max_completion_tokens", "max_tokens", "generate", "temperature", "top_p", "truncation"),
    *("user", "context_management", "background"),
)


@dataclass
class CodexBackend(Played):
    """`pending`: how many polls of a device code are answered 403; `answer`: the text of every response;
    `refusal`: what the next request gets instead; `broken`: the error that ends every stream, after `after` records."""

    account: str = "acc-1"
    email: str = "me@example.com"
    plan: str = "plus"
    pending: int = 1
    answer: str = "Hello"
    refusal: Refusal | None = None
    broken: dict[str, Any] | None = None
    after: int = 0
    rejects_refresh: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    issued: list[str] = field(default_factory=list)
    _codes: dict[str, str] = field(default_factory=dict)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/oauth/authorize", self.authorize),
            web.post("/oauth/token", self.exchange),
            web.post("/api/accounts/deviceauth/usercode", self.usercode),
            web.post("/api/accounts/deviceauth/token", self.poll),
            web.post("/backend-api/codex/responses", self.respond),
        ]

    async def authorize(self, request: web.Request) -> web.Response:
        query = request.query
        need(query["client_id"] == CLIENT and query["response_type"] == "code", 400, "client")
        need(query["redirect_uri"] == "http://localhost:1455/auth/callback", 400, "redirect_uri")
        need(query["scope"] == "openid profile email offline_access", 400, "scope")
        need(query["id_token_add_organizations"] == "true" and query["codex_cli_simplified_flow"] == "true", 400, "x")
        need(query["code_challenge_method"] == "S256", 400, "challenge")
        self._codes["code-1"] = query["code_challenge"]
        back = urlencode({"code": "code-1", "state": query["state"]})
        raise web.HTTPFound(f"{query['redirect_uri']}?{back}")

    async def exchange(self, request: web.Request) -> web.Response:
        form = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        need(form.get("client_id") == CLIENT, 401, {"error": "invalid_client"})
        if form["grant_type"] == "refresh_token":
            return self._refreshed(form)
        verifier = s256(form["code_verifier"])
        need(self._codes.pop(form["code"], "") == verifier, 400, {"error": "invalid_grant"})
        return web.json_response(self._tokens())

    def _refreshed(self, form: dict[str, str]) -> web.Response:
        if self.rejects_refresh:
            raise Refusal(401, {"error": {"code": self.rejects_refresh, "message": "no more"}})
        need(form["scope"] == "openid profile email", 400, {"error": "invalid_scope"})
        need(form["refresh_token"] == f"refresh-{len(self.issued)}", 400, {"error": "invalid_grant"})
        return web.json_response(self._tokens())

    def _tokens(self) -> dict[str, object]:
        number = len(self.issued) + 1
        claims = {
            "exp": 1_796_864_000,
            "https://api.openai.com/auth": {"chatgpt_account_id": self.account, "chatgpt_plan_type": self.plan},
        }
        self.issued.append(token({**claims, "jti": number}))
        return {
            "access_token": self.issued[-1],
            "refresh_token": f"refresh-{number}",
            "id_token": token({**claims, "email": self.email, "sub": "user-1"}),
            "expires_in": 864000,
            "token_type": "Bearer",
        }

    async def usercode(self, request: web.Request) -> web.Response:
        need(await request.json() == {"client_id": CLIENT}, 400, {"error": "bad"})
        return web.json_response({"device_auth_id": "dev-1", "user_code": "ABCD-EFGH", "interval": "5"})

    async def poll(self, request: web.Request) -> web.Response:
        need(await request.json() == {"device_auth_id": "dev-1", "user_code": "ABCD-EFGH"}, 400, {"error": "bad"})
        if self.pending:
            self.pending -= 1
            raise Refusal(403 if self.pending % 2 else 404, {"error": "not yet"})
        verifier = "v" * 64
        challenge = s256(verifier)
        self._codes["code-2"] = challenge
        return web.json_response(
            {"authorization_code": "code-2", "code_verifier": verifier, "code_challenge": challenge}
        )

    async def respond(self, request: web.Request) -> web.StreamResponse:
        need(
            request.headers.get("authorization") in [f"Bearer {t}" for t in self.issued],
            401,
            {"detail": "Unauthorized"},
        )
        need(request.headers.get("chatgpt-account-id") == self.account, 403, {"detail": "Wrong account"})
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            raise refusal
        raw = await request.read()
        self._check(raw, msgspec.json.decode(raw))
        records = _records(self.answer)
        if self.broken is not None:
            failed = {"id": "resp_1", "object": "response", "status": "failed", "error": self.broken}
            records = [*records[: self.after], {"type": "response.failed", "response": failed}]
        numbered = ({**record, "sequence_number": n} for n, record in enumerate(records))
        return stream(events(*numbered), self.headers)

    def _check(self, raw: bytes, body: dict[str, Any]) -> None:
        for name in FORBIDDEN:
            need(name not in body, 400, {"detail": f"Unsupported parameter: {name}"})
        need(body.get("stream") is True, 400, {"detail": "Stream must be set to true"})
        need(body.get("store") is False, 400, {"detail": "Store must be set to false"})
        need(isinstance(body.get("instructions"), str), 400, {"detail": "Instructions are required"})
        need(isinstance(body.get("input"), list), 400, {"detail": "Input must be a list"})
        roles = [item.get("role") for item in body["input"]]
        need("system" not in roles, 400, {"detail": "System messages are not allowed"})
        need("reasoning.encrypted_content" in body.get("include", []), 400, {"detail": "reasoning would be lost"})
        need(body.get("service_tier", "priority") == "priority", 400, {"detail": "Unsupported service_tier"})
        need("parallel_tool_calls" not in body or body.get("tools"), 400, {"detail": "parallel_tool_calls needs tools"})
        need(b"prompt_cache_breakpoint" not in raw, 400, {"detail": "Unknown parameter: prompt_cache_breakpoint"})


def _records(text: str) -> list[dict[str, Any]]:
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    part = {"type": "output_text", "text": text, "annotations": []}
    base = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5.5"}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    usage = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
    return [
        {"type": "response.created", "response": {**base, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        {"type": "response.output_text.delta", **at, "delta": text},
        {"type": "response.output_text.done", **at, "text": text},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": {**item, "content": [part]}},
        # The backend leaves `output` empty at the end: what counts went by before.
        {"type": "response.completed", "response": {**base, "status": "completed", "output": [], "usage": usage}},
    ]
