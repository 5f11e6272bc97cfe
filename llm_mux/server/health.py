"""What the daemon says of itself: `/`, `/health`, `/healthz`, `/ready` and `/metrics`. No upstream is asked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from llm_mux import __version__, log
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.core import Gateway
from llm_mux.routing.accounts import Account
from llm_mux.server.answers import local_endpoint, open_endpoint
from llm_mux.server.reload import RELOADER
from llm_mux.server.serving import DAEMON

_ENDPOINTS = {
    "chat_completions": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "count_tokens": "/v1/messages/count_tokens",
    "generate_content": "/v1beta/models/{model}:generateContent",
    "ollama_chat": "/api/chat",
    "embeddings": "/v1/embeddings",
    "models": "/v1/models",
    "health": "/health",
    "metrics": "/metrics",
}


def add_routes(app: web.Application) -> None:
    app.router.add_get("/", root)
    app.router.add_get("/health", health)
    app.router.add_get("/healthz", alive)
    app.router.add_get("/ready", ready)
    app.router.add_get("/metrics", metrics)


@local_endpoint
async def root(request: web.Request) -> web.StreamResponse:
    """Who is here. Ollama's clients look for a 200 on HEAD; a browser gets a page to start from."""
    daemon = request.app[DAEMON]
    return web.json_response(
        {
            "message": f"llm-mux v{__version__}",
            "version": __version__,
            "status": "running",
            "config": {
                "providers": len(daemon.gateway.catalog.offers),
                "accounts": len(_accounts(daemon.gateway)),
                "client_api_key_validation": not daemon.guard.open,
            },
            "endpoints": _ENDPOINTS,
        }
    )


@local_endpoint
async def health(request: web.Request) -> web.StreamResponse:
    """healthy; degraded when some account rests or the newest configuration was refused; unhealthy when there is nobody
    to ask."""
    daemon = request.app[DAEMON]
    gateway = daemon.gateway
    now = asyncio.get_running_loop().time()
    states = {a.name: a.state(now) for a in _accounts(gateway)}
    offers = gateway.catalog.offers
    reading = request.app[RELOADER].state
    degraded = set(states.values()) - {"ready"} or reading.error is not None
    state = "unhealthy" if not _able(gateway) else ("degraded" if degraded else "healthy")
    return web.json_response(
        {
            "status": state,
            "version": __version__,
            "timestamp": datetime.now(UTC).isoformat(),
            "environment": daemon.loaded.config.environment,
            "config": msgspec.to_builtins(reading),
            "components": {offer.provider: "healthy" for offer in offers},
            "accounts": [
                {"name": a.name, "state": states[a.name], "last_error": _last_error(gateway, a), **_token(a)}
                for a in _accounts(gateway)
            ],
        }
    )


def _accounts(gateway: Gateway) -> list[Account]:
    """Those of the providers that are there."""
    there = {offer.provider for offer in gateway.catalog.offers}
    return [account for account in gateway.accounts if account.provider.name in there]


def _token(account: Account) -> dict[str, object]:
    """Of an account that was logged in to: when its token ends (null: never) and what plan it is on."""
    if account.session is None:
        return {}
    credential = account.session.credential
    end = None if credential.expires is None else datetime.fromtimestamp(credential.expires, UTC).isoformat()
    return {"token_expires": end, "plan": credential.plan or None}


def _last_error(gateway: Gateway, account: Account) -> str | None:
    """What went wrong last; providers repeat keys in their words."""
    said = account.last_error or gateway.lists.errors.get(account.provider.name)
    if said is None:
        return None
    return log.redact_text(said.replace(account.key, "***") if account.key else said)


def _able(gateway: Gateway) -> bool:
    """Whether there is anybody to ask: a provider with an account."""
    return bool(_accounts(gateway))


@open_endpoint
async def alive(request: web.Request) -> web.StreamResponse:
    return web.json_response({"status": "ok"})


@local_endpoint
async def ready(request: web.Request) -> web.StreamResponse:
    ready_ = _able(request.app[DAEMON].gateway)
    body = {
        "ready": ready_,
        "timestamp": datetime.now(UTC).isoformat(),
        "checks": {"providers": ready_},
    }
    return web.json_response(body, status=200 if ready_ else 503)


@local_endpoint
async def metrics(request: web.Request) -> web.StreamResponse:
    daemon = request.app[DAEMON]
    if not daemon.loaded.config.telemetry.prometheus:
        raise MuxError(Kind.NOT_FOUND, "Metrics are switched off by `telemetry.prometheus`.", code="unknown_url")
    page = await asyncio.to_thread(daemon.metrics.render)
    return web.Response(body=page, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
