"""Google's login, the Gemini API with it, Code Assist, and Vertex AI, as far as llm-mux asks them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec
from aiohttp import web
from joserfc import jwk, jwt

from tests.upstreams.played import Played, Refusal, events, need, s256, stream, token

CLIENT = "424242-abc.apps.googleusercontent.com"
SECRET = "not-a-real-client-secret"
ONLY_CONTENTS = frozenset({"model", "contents"})


def rpc(status: int, word: str, message: str, *details: object) -> Refusal:
    return Refusal(status, {"error": {"code": status, "message": message, "status": word, "details": list(details)}})


INELIGIBLE = rpc(
    403,
    "PERMISSION_DENIED",
    "Permission denied.",
    {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "IneligibleTier",
        "metadata": {"reasonMessage": "Your account is not eligible for Gemini Code Assist for individuals."},
    },
)


@dataclass
class GoogleBackend(Played):
    """`loaded` is Code Assist's word on an account, `onboarding` how many polls it takes, `given` the project it
    gives; `enabled`: whether its service is on; `answer`: what the models say."""

    loaded: dict[str, Any] = field(
        default_factory=lambda: {
            "allowedTiers": [
                {"id": "free-tier"},
                {"id": "standard-tier", "isDefault": True, "userDefinedCloudaicompanionProject": True},
            ]
        }
    )
    onboarding: int = 1
    given: object = field(default_factory=lambda: {"id": "given-project"})
    enabled: bool = True
    refusal: Refusal | None = None
    answer: str = "Hello"
    public_key: jwk.RSAKey | None = None
    issued: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    _challenge: str = ""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/o/oauth2/v2/auth", self.authorize),
            web.post("/token", self.exchange),
            web.post("/revoke", self.revoke),
            web.get("/userinfo", self.userinfo),
            web.get("/v1beta/models", self.models),
            web.post("/v1beta/models/{model}:{method}", self.developer),
            web.post("/v1internal:{method}", self.code_assist),
            web.get("/v1/projects/{project}/services/{service}", self.service),
            web.post("/v1/projects/{project}/services/{service}:enable", self.enable),
            web.post(
                "/v1/projects/{project}/locations/{location}/publishers/{owner}/models/{model}:{method}", self.vertex
            ),
        ]

    async def authorize(self, request: web.Request) -> web.Response:
        query = request.query
        need(query["client_id"] == CLIENT and query["response_type"] == "code", 400, "client")
        need(query["redirect_uri"].startswith("http://127.0.0.1:"), 400, "redirect_uri")
        need(query["access_type"] == "offline" and query["prompt"] == "consent", 400, "no refresh token that way")
        need(query["code_challenge_method"] == "S256", 400, "challenge")
        self._challenge = query["code_challenge"]
        raise web.HTTPFound(f"{query['redirect_uri']}?" + urlencode({"code": "4/code", "state": query["state"]}))

    async def exchange(self, request: web.Request) -> web.Response:
        form = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        kind = form["grant_type"]
        if kind == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            assert self.public_key is not None
            claims = jwt.decode(form["assertion"], self.public_key, algorithms=["RS256"]).claims
            need(claims["aud"] == f"{self.url}/token", 400, {"error": "invalid_grant"})
            need("cloud-platform" in claims["scope"], 400, {"error": "invalid_scope"})
            return web.json_response({"access_token": self._issue(), "expires_in": 3599, "token_type": "Bearer"})
        need((form["client_id"], form["client_secret"]) == (CLIENT, SECRET), 401, {"error": "invalid_client"})
        if kind == "refresh_token":
            need(form["refresh_token"] == "1//refresh", 400, {"error": "invalid_grant"})
            return web.json_response({"access_token": self._issue(), "expires_in": 3599, "token_type": "Bearer"})
        made = s256(form["code_verifier"])
        need(form["code"] == "4/code" and made == self._challenge, 400, {"error": "invalid_grant"})
        return web.json_response(
            {
                "access_token": self._issue(),
                "refresh_token": "1//refresh",
                "id_token": token({"sub": "g-1", "email": "me@example.com"}),
                "expires_in": 3599,
                "token_type": "Bearer",
            }
        )

    def _issue(self) -> str:
        self.issued.append(f"ya29.token-{len(self.issued) + 1}")
        return self.issued[-1]

    async def revoke(self, request: web.Request) -> web.Response:
        self.revoked.append(parse_qs(await request.text())["token"][0])
        return web.json_response({})

    async def userinfo(self, request: web.Request) -> web.Response:
        self._bearer(request)
        return web.json_response({"id": "g-1", "email": "me@example.com"})

    def _bearer(self, request: web.Request) -> None:
        known = request.headers.get("authorization") in [f"Bearer {each}" for each in self.issued]
        need(
            known,
            401,
            {"error": {"code": 401, "message": "Request had invalid credentials.", "status": "UNAUTHENTICATED"}},
        )
        need("x-goog-api-key" not in request.headers, 400, "two credentials")

    async def models(self, request: web.Request) -> web.Response:
        self._bearer(request)
        return web.json_response(
            {"models": [{"name": "models/gemini-2.5-flash", "supportedGenerationMethods": ["generateContent"]}]}
        )

    async def developer(self, request: web.Request) -> web.StreamResponse:
        self._bearer(request)
        need(request.headers.get("x-goog-user-project"), 403, {"error": {"code": 403, "message": "no quota project"}})
        return self._generated(request.match_info["method"], enveloped=False)

    async def code_assist(self, request: web.Request) -> web.StreamResponse:
        self._bearer(request)
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            raise refusal
        method, body = request.match_info["method"], await request.json()
        if method == "loadCodeAssist":
            need(body["metadata"]["pluginType"] == "PLUGIN_UNSPECIFIED", 400, "metadata")
            return web.json_response(self.loaded)
        if method == "onboardUser":
            return self._onboarded(body)
        if method == "countTokens":
            need(set(body) == {"request"} and set(body["request"]) == ONLY_CONTENTS, 400, "unknown names")
            return web.json_response({"totalTokens": len(msgspec.json.encode(body["request"]["contents"])) // 4})
        need(set(body) == {"model", "project", "request"}, 400, {"error": {"code": 400, "message": "envelope"}})
        need(not {"model", "store", "serviceTier"} & set(body["request"]), 400, "unknown names")
        need(all("_" not in name for name in body["request"]), 400, "unknown names")
        return self._generated(method, enveloped=True)

    def _onboarded(self, body: dict[str, Any]) -> web.Response:
        need(body.get("tierId") in ("standard-tier", "legacy-tier"), 400, "tier")
        if self.onboarding:
            self.onboarding -= 1
            return web.json_response({"name": "operations/1", "done": False})
        return web.json_response({"done": True, "response": {"cloudaicompanionProject": self.given}})

    async def service(self, request: web.Request) -> web.Response:
        self._bearer(request)
        return web.json_response({"state": "ENABLED" if self.enabled else "DISABLED"})

    async def enable(self, request: web.Request) -> web.Response:
        self._bearer(request)
        self.enabled = True
        return web.json_response({"name": "operations/2"})

    async def vertex(self, request: web.Request) -> web.StreamResponse:
        self._bearer(request)
        raw = await request.read()
        if request.match_info["owner"] == "anthropic":
            return self._claude(request.match_info["method"], msgspec.json.decode(raw))
        need(
            b'"functionCall":{"id"' not in raw and b'"functionResponse":{"id"' not in raw,
            400,
            {"error": {"message": "Unknown name id"}},
        )
        return self._generated(request.match_info["method"], enveloped=False)

    def _claude(self, method: str, body: dict[str, Any]) -> web.StreamResponse:
        need(
            "model" not in body,
            400,
            {
                "type": "error",
                "error": {"type": "invalid_request_error", "message": "model: Extra inputs are not permitted"},
            },
        )
        need(
            body.get("anthropic_version") == "vertex-2023-10-16",
            400,
            {
                "type": "error",
                "error": {"type": "invalid_request_error", "message": "anthropic_version: Field required"},
            },
        )
        message = {
            "id": "msg_vrtx_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "stop_sequence": None,
            "usage": {"input_tokens": 7, "output_tokens": 2},
        }
        if method == "rawPredict":
            need(not body.get("stream"), 400, "stream at the wrong place")
            content = [{"type": "text", "text": self.answer}]
            return web.json_response({**message, "content": content, "stop_reason": "end_turn"})
        need(method == "streamRawPredict" and body.get("stream") is True, 400, "no stream")
        return stream(
            events(
                {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": self.answer}},
                {"type": "content_block_stop", "index": 0},
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                    "usage": {"output_tokens": 2},
                },
                {"type": "message_stop"},
            )
        )

    def _generated(self, method: str, *, enveloped: bool) -> web.StreamResponse:
        half = len(self.answer) // 2
        usage = {"promptTokenCount": 7, "candidatesTokenCount": 2, "totalTokenCount": 9}

        def record(text: str, **more: object) -> dict[str, Any]:
            candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
            inner = {"candidates": [{**candidate, **more}], "usageMetadata": usage, "modelVersion": "gemini-2.5-pro"}
            return {"response": inner, "traceId": "t-1"} if enveloped else inner

        if method == "generateContent":
            return web.json_response(record(self.answer, finishReason="STOP"))
        need(method == "streamGenerateContent", 404, "method")
        return stream(events(record(self.answer[:half]), record(self.answer[half:], finishReason="STOP")))
