"""What the vendors' login backends that are played here have in common: a real server that checks what it is sent."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from aiohttp import web
from joserfc import jwk, jwt

_KEY = jwk.OctKey.import_key("not-a-secret-not-a-secret-not-a-secret")


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Refusal(Exception):
    """What a backend answers instead."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


@dataclass
class Played:
    """A backend: `async with Backend() as backend: backend.url`. A subclass adds its routes in `routes`."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    @property
    def last(self) -> Seen:
        return self.seen[-1]

    def asked(self, path: str) -> list[Seen]:
        return [each for each in self.seen if each.path == path]

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._note])
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()

    @web.middleware
    async def _note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(
            Seen(
                request.method,
                request.path,
                dict(request.query),
                {k.lower(): v for k, v in request.headers.items()},
                body,
            )
        )
        try:
            answer: web.StreamResponse = await handler(request)
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
        return answer


def need(condition: object, status: int, body: object) -> None:
    """Refuse unless `condition` holds."""
    if not condition:
        raise Refusal(status, body)


def token(claims: Mapping[str, Any]) -> str:
    """A JWT with these claims; nobody here checks who signed it."""
    return jwt.encode({"alg": "HS256"}, dict(claims), _KEY)


def events(*records: Mapping[str, Any]) -> bytes:
    """An event stream of JSON records, named by their type where they have one."""
    out = []
    for record in records:
        name = f"event: {record['type']}\n".encode() if "type" in record else b""
        out.append(name + b"data: " + msgspec.json.encode(record) + b"\n\n")
    return b"".join(out)


def stream(body: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=body, headers={"content-type": "text/event-stream", **(headers or {})})


def s256(verifier: str) -> str:
    """The PKCE challenge of a verifier."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
