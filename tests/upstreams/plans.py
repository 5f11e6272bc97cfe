"""The logins and APIs of Claude subscriptions, Kimi Code and xAI, as far as llm-mux asks them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec
from aiohttp import web
from joserfc import jwk, jwt

from tests.upstreams.person import NOW
from tests.upstreams.played import Played, Refusal, events, need, s256, stream, token

USAGE = {"input_tokens": 7, "output_tokens": 2}


def claude_answer(text: str, *, streamed: bool, model: str = "m") -> web.StreamResponse:
    """What a model says in Messages."""
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "stop_sequence": None,
        "usage": USAGE,
    }
    if not streamed:
        return web.json_response({**message, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"})
    return stream(
        events(
            {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE},
            {"type": "message_stop"},
        )
    )


def chat_answer(model: str) -> web.Response:
    """A whole answer of chat completions."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    whole = {"id": "c", "object": "chat.completion", "model": model, "created": 1, "choices": [choice]}
    return web.json_response(whole)


@dataclass
class ClaudeBackend(Played):
    """claude.ai, its token endpoint (JSON), and the Messages API with a subscription's token."""

    organisation: str = "org-1"
    issued: list[str] = field(default_factory=lambda: ["sk-ant-oat01-setup"])
    headers: dict[str, str] = field(default_factory=dict)
    _challenge: str = ""
    _state: str = ""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/oauth/authorize", self.authorize),
            web.post("/v1/oauth/token", self.exchange),
            web.post("/v1/messages", self.messages),
        ]

    async def authorize(self, request: web.Request) -> web.Response:
        query = request.query
        need(query["client_id"] == "9d1c250a-e61b-44d9-88ed-5944d1962f5e" and query["code"] == "true", 400, "client")
        need(query["redirect_uri"] == "http://localhost:54545/callback", 400, "redirect_uri")
        need(query["scope"] == "user:profile user:inference", 400, "scope")
        self._challenge, self._state = query["code_challenge"], query["state"]
        raise web.HTTPFound(f"{query['redirect_uri']}?" + urlencode({"code": "c-1", "state": query["state"]}))

    async def exchange(self, request: web.Request) -> web.Response:
        need(request.content_type == "application/json", 415, {"error": "json only"})
        body = await request.json()
        if body["grant_type"] == "refresh_token":
            need(body["refresh_token"] == "sk-ant-ort01-1" and body["scope"], 400, {"error": "invalid_grant"})
            return web.json_response({"access_token": self._issue(), "expires_in": 28800, "token_type": "Bearer"})
        made = s256(body["code_verifier"])
        need((body["code"], body["state"]) == ("c-1", self._state), 400, {"error": "invalid_grant"})
        need(made == self._challenge, 400, {"error": "invalid_grant"})
        return web.json_response(
            {
                "access_token": self._issue(),
                "refresh_token": "sk-ant-ort01-1",
                "expires_in": 28800,
                "token_type": "Bearer",
                "account": {"uuid": "acc-1", "email_address": "me@example.com"},
                "organization": {"uuid": self.organisation, "name": "Mine"},
            }
        )

    def _issue(self) -> str:
        self.issued.append(f"sk-ant-oat01-{len(self.issued)}")
        return self.issued[-1]

    async def messages(self, request: web.Request) -> web.StreamResponse:
        known = request.headers.get("authorization") in [f"Bearer {each}" for each in self.issued]
        error = {"type": "error", "error": {"type": "authentication_error", "message": "OAuth is not supported"}}
        need(known and "x-api-key" not in request.headers, 401, error)
        need("oauth-2025-04-20" in request.headers.get("anthropic-beta", "").split(","), 401, error)
        answer = claude_answer("Hello", streamed=bool((await request.json()).get("stream")))
        answer.headers.update(self.headers)
        return answer


@dataclass
class KimiBackend(Played):
    """Kimi Code. It answers 200 while the code is not typed in, and wants the same device each time."""

    pending: int = 1
    devices: set[str] = field(default_factory=set)
    refusal: Refusal | None = None
    issued: list[str] = field(default_factory=list)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/oauth/device_authorization", self.code),
            web.post("/api/oauth/token", self.exchange),
            web.get("/coding/v1/models", self.models),
            web.post("/coding/v1/chat/completions", self.chat),
            web.post("/coding/v1/messages", self.messages),
        ]

    def _device(self, request: web.Request) -> None:
        need(request.headers["x-msh-platform"] == "llm-mux", 400, {"error": "platform"})
        self.devices.add(request.headers["x-msh-device-id"])
        need(len(self.devices) == 1, 400, {"error": "another device"})

    async def code(self, request: web.Request) -> web.Response:
        self._device(request)
        need(parse_qs(await request.text()) == {"client_id": ["17e5f671-d194-4dfb-9706-5516cb48c098"]}, 400, "client")
        return web.json_response(
            {
                "device_code": "d",
                "user_code": "AB-12",
                "verification_uri": f"{self.url}/device",
                "expires_in": 1800,
                "interval": 5,
            }
        )

    async def exchange(self, request: web.Request) -> web.Response:
        self._device(request)
        form = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        if form["grant_type"] == "refresh_token":
            need(form["refresh_token"] == f"r-{len(self.issued)}", 400, {"error": "invalid_grant"})
        elif self.pending:
            self.pending -= 1
            return web.json_response({"error": "authorization_pending"})
        self.issued.append(token({"user_id": "u-1", "n": len(self.issued)}))
        return web.json_response(
            {
                "access_token": self.issued[-1],
                "refresh_token": f"r-{len(self.issued)}",
                "expires_in": 900,
                "token_type": "bearer",
            }
        )

    async def _asked(self, request: web.Request) -> dict[str, Any]:
        known = [request.headers.get("authorization"), "Bearer " + request.headers.get("x-api-key", "")]
        need(
            any(f"Bearer {each}" in known for each in self.issued),
            401,
            {"error": {"message": "Invalid Authentication"}},
        )
        self._device(request)
        if self.refusal is not None:
            raise self.refusal
        body: dict[str, Any] = await request.json()
        need(body["model"] in ("k3", "k2.7-code", "kimi-for-coding"), 404, {"error": {"message": "no such model"}})
        return body

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "k3"}, {"id": "kimi-for-coding"}]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return chat_answer((await self._asked(request))["model"])

    async def messages(self, request: web.Request) -> web.StreamResponse:
        body = await self._asked(request)
        return claude_answer("Hello", streamed=bool(body.get("stream")), model=body["model"])


@dataclass
class XaiBackend(Played):
    """xAI: an OpenID provider with device codes, and the Responses API. `outside`: an endpoint that it publishes at
    another host; `own_search`: the answer shows a search of the server's own; `revokes`: tokens can be given back."""

    outside: str = ""
    own_search: bool = False
    revokes: bool = True
    refusal: Refusal | None = None
    now: float = NOW
    issued: list[str] = field(default_factory=list)
    key: jwk.RSAKey = field(default_factory=lambda: jwk.RSAKey.generate_key(2048, {"kid": "k"}))

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/.well-known/openid-configuration", self.discovery),
            web.get("/jwks", self.jwks),
            web.post("/device", self.code),
            web.post("/token", self.exchange),
            web.post("/revoke", self.revoke),
            web.post("/v1/responses", self.respond),
            web.post("/v1/chat/completions", self.chat),
        ]

    async def discovery(self, request: web.Request) -> web.Response:
        url = self.url
        return web.json_response(
            {
                "issuer": url,
                "token_endpoint": self.outside or f"{url}/token",
                "device_authorization_endpoint": f"{url}/device",
                "authorization_endpoint": f"{url}/authorize",
                "jwks_uri": f"{url}/jwks",
                **({"revocation_endpoint": f"{url}/revoke"} if self.revokes else {}),
            }
        )

    async def jwks(self, request: web.Request) -> web.Response:
        return web.json_response({"keys": [self.key.as_dict(private=False)]})

    async def code(self, request: web.Request) -> web.Response:
        form = parse_qs(await request.text())
        need(form["client_id"] == ["b1a00492-073a-47ea-816f-4c329264a828"], 400, {"error": "invalid_client"})
        need("offline_access" in form["scope"][0] and "api:access" in form["scope"][0], 400, {"error": "invalid_scope"})
        return web.json_response(
            {
                "device_code": "d",
                "user_code": "GROK-1",
                "verification_uri": "https://accounts.x.ai/device",
                "expires_in": 1800,
            }
        )

    async def exchange(self, request: web.Request) -> web.Response:
        form = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        if form["grant_type"] == "refresh_token":
            need(form["refresh_token"] == f"r-{len(self.issued)}", 400, {"error": "invalid_grant"})
        self.issued.append(f"xai-token-{len(self.issued) + 1}")
        claims = {
            "iss": self.url,
            "aud": "b1a00492-073a-47ea-816f-4c329264a828",
            "sub": "x-1",
            "email": "me@example.com",
            "iat": int(self.now),
            "exp": int(self.now) + 3600,
        }
        return web.json_response(
            {
                "access_token": self.issued[-1],
                "refresh_token": f"r-{len(self.issued)}",
                "id_token": jwt.encode({"alg": "RS256", "kid": "k"}, claims, self.key, algorithms=["RS256"]),
                "expires_in": 3600,
                "token_type": "Bearer",
            }
        )

    async def revoke(self, request: web.Request) -> web.Response:
        return web.Response()

    def _let_in(self, request: web.Request) -> None:
        if self.refusal is not None:
            raise self.refusal
        known = request.headers.get("authorization") in [f"Bearer {each}" for each in self.issued]
        need(known, 403, {"code": "bad-credentials", "error": "The caller does not have permission"})

    async def chat(self, request: web.Request) -> web.Response:
        self._let_in(request)
        return chat_answer("grok-4.6")

    async def respond(self, request: web.Request) -> web.StreamResponse:
        self._let_in(request)
        part = {"type": "output_text", "text": "Hello", "annotations": []}
        said = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
        search = {
            "type": "custom_tool_call",
            "id": "ctc",
            "call_id": "xs_1",
            "name": "x_keyword_search",
            "input": "{}",
            "status": "completed",
        }
        output = [search, said] if self.own_search else [said]
        whole = {
            "id": "r",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "model": "grok-4.6",
            "output": output,
        }
        usage = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
        if not msgspec.json.decode(await request.read()).get("stream"):
            return web.json_response({**whole, "usage": usage})
        records: list[dict[str, Any]] = [
            {"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}}
        ]
        for index, item in enumerate(output):
            records.append(
                {
                    "type": "response.output_item.added",
                    "output_index": index,
                    "item": {**item, "content": []} if item is said else {**item, "input": ""},
                }
            )
            if item is search:
                records.append(
                    {
                        "type": "response.custom_tool_call_input.delta",
                        "output_index": index,
                        "item_id": "ctc",
                        "delta": "{}",
                    }
                )
                records.append(
                    {
                        "type": "response.custom_tool_call_input.done",
                        "output_index": index,
                        "item_id": "ctc",
                        "input": "{}",
                    }
                )
            else:
                records.append(
                    {
                        "type": "response.output_text.delta",
                        "output_index": index,
                        "content_index": 0,
                        "item_id": "m",
                        "delta": "Hello",
                    }
                )
            records.append({"type": "response.output_item.done", "output_index": index, "item": item})
        records.append({"type": "response.completed", "response": {**whole, "usage": usage}})
        return stream(events(*records))
