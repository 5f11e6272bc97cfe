"""GitHub's device login, the exchange for Copilot's token, and Copilot's API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from tests.upstreams.person import NOW
from tests.upstreams.played import Played, Refusal, events, need, stream

CLIENT = "Iv1.not-a-real-app"
INTEGRATION = "an-integration-of-ours"
MODELS = [
    {
        "id": "gpt-4.1",
        "name": "GPT-4.1",
        "vendor": "Azure OpenAI",
        "capabilities": {
            "type": "chat",
            "limits": {"max_context_window_tokens": 128000, "max_output_tokens": 16384},
            "supports": {"tool_calls": True, "vision": True, "streaming": True},
        },
    },
    {"id": "claude-sonnet-4.5", "vendor": "Anthropic", "capabilities": {"type": "chat"}},
    {"id": "text-embedding-3-small", "vendor": "Azure OpenAI", "capabilities": {"type": "embeddings"}},
]


@dataclass
class GitHubBackend(Played):
    """`pending` are the errors of the first polls; `denial` what the exchange says instead of a token; `lives`: how
    long Copilot's token does, None: it does not say."""

    pending: list[str] = field(default_factory=lambda: ["authorization_pending", "slow_down"])
    denial: Refusal | None = None
    lives: float | None = 1800
    now: float = NOW
    answer: str = "Hello"
    calls: bool = False
    revoked: bool = False
    issued: list[str] = field(default_factory=list)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/login/device/code", self.code),
            web.post("/login/oauth/access_token", self.poll),
            web.get("/user", self.user),
            web.get("/copilot_internal/v2/token", self.exchange),
            web.get("/plan/models", self.models),
            web.post("/plan/chat/completions", self.chat),
            web.post("/plan/responses", self.respond),
            web.post("/plan/embeddings", self.embed),
        ]

    async def code(self, request: web.Request) -> web.Response:
        form = parse_qs(await request.text())
        need(form == {"client_id": [CLIENT], "scope": ["user:email"]}, 400, {"error": "bad"})
        need("json" in request.headers["accept"], 400, "accept")
        return web.json_response(
            {
                "device_code": "dev",
                "user_code": "WDJB-MJHT",
                "verification_uri": "https://github.com/login/device",
                "expires_in": 900,
                "interval": 5,
            }
        )

    async def poll(self, request: web.Request) -> web.Response:
        form = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        need(form["device_code"] == "dev" and form["client_id"] == CLIENT, 400, {"error": "bad"})
        if self.pending:
            # GitHub answers 200 while nothing is decided.
            return web.json_response({"error": self.pending.pop(0)})
        return web.json_response({"access_token": "ghu_not-real", "token_type": "bearer", "scope": "user:email"})

    def _github(self, request: web.Request) -> None:
        need(
            request.headers["authorization"] == "token ghu_not-real" and not self.revoked,
            401,
            {"message": "Bad credentials"},
        )

    async def user(self, request: web.Request) -> web.Response:
        self._github(request)
        return web.json_response({"login": "octocat", "id": 583231})

    async def exchange(self, request: web.Request) -> web.Response:
        self._github(request)
        need("editor-version" in request.headers, 400, {"message": "editor"})
        if self.denial is not None:
            raise self.denial
        self.issued.append(f"tid={len(self.issued) + 1};exp=1:0")
        answer: dict[str, Any] = {"token": self.issued[-1], "endpoints": {"api": f"{self.url}/plan"}, "sku": "business"}
        if self.lives is not None:
            answer["expires_at"] = int(self.now + self.lives)
        return web.json_response(answer)

    def _copilot(self, request: web.Request) -> None:
        known = request.headers.get("authorization") in [f"Bearer {each}" for each in self.issued]
        need(known, 401, {"error": {"message": "unauthorized: token expired", "code": "unauthorized"}})
        need(
            "editor-version" in request.headers,
            400,
            {"error": {"message": "missing Editor-Version header for IDE auth"}},
        )
        known = request.headers.get("copilot-integration-id") == INTEGRATION
        need(known, 400, {"error": {"message": "unknown integration"}})

    async def models(self, request: web.Request) -> web.Response:
        self._copilot(request)
        return web.json_response({"object": "list", "data": MODELS})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self._copilot(request)
        raw = await request.read()
        body = msgspec.json.decode(raw)
        need("codex" not in body["model"], 400, {"error": {"message": "no", "code": "unsupported_api_for_model"}})
        need(body["model"] != "gone", 400, {"error": {"message": "no", "code": "model_not_supported"}})
        vision = request.headers.get("copilot-vision-request") == "true"
        need(
            vision or b"image_url" not in raw,
            400,
            {"error": {"message": "missing required Copilot-Vision-Request header"}},
        )
        base = {"id": "c1", "created": 1, "model": body["model"]}
        usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
        if body.get("stream"):
            first = {"index": 0, "delta": {"role": "assistant", "content": self.answer}, "finish_reason": None}
            last = {"index": 0, "delta": {}, "finish_reason": "stop"}
            records = events({**base, "choices": [first]}, {**base, "choices": [last], "usage": usage})
            return stream(records + b"data: [DONE]\n\n")
        said = {"role": "assistant", "content": self.answer}
        choices: list[dict[str, Any]] = [{"index": 0, "message": said, "finish_reason": "stop"}]
        if self.calls:
            call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
            more = {"role": "assistant", "content": None, "tool_calls": [call]}
            choices = [
                {"index": 0, "message": said, "finish_reason": "tool_calls"},
                {"index": 1, "message": more, "finish_reason": "tool_calls"},
            ]
        return web.json_response({**base, "object": "chat.completion", "choices": choices, "usage": usage})

    async def respond(self, request: web.Request) -> web.Response:
        self._copilot(request)
        body = await request.json()
        need("codex" in body["model"], 400, {"error": {"message": "no", "code": "unsupported_api_for_model"}})
        part = {"type": "output_text", "text": self.answer, "annotations": []}
        item = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
        usage = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
        return web.json_response(
            {
                "id": "r",
                "object": "response",
                "created_at": 1,
                "status": "completed",
                "model": "m",
                "output": [item],
                "usage": usage,
            }
        )

    async def embed(self, request: web.Request) -> web.Response:
        self._copilot(request)
        body = await request.json()
        need(isinstance(body["input"], list), 400, {"error": {"message": "input must be a list"}})
        data = [{"object": "embedding", "index": n, "embedding": [0.5, 0.25]} for n in range(len(body["input"]))]
        return web.json_response(
            {"object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
        )
