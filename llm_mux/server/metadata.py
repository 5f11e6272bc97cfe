"""What the daemon says of itself beside its health: `/`, its providers, names, sums and suggestions, and whether a
provider answers. Only `/test-connection` asks anybody."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from aiohttp import web

from llm_mux import __version__
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.gateway.ask import Answer, Ask, Whole
from llm_mux.gateway.exchange import Exchange
from llm_mux.ledger.report import Only
from llm_mux.routing.aliases import is_wildcard
from llm_mux.routing.catalog import Offer
from llm_mux.server import checks, top_models, usage
from llm_mux.server.answers import answered, local_endpoint
from llm_mux.server.checks import stamp
from llm_mux.server.dashboard import pages
from llm_mux.server.health import default_provider, yaml_response
from llm_mux.server.serving import DAEMON, Daemon, admitted, request_id
from llm_mux.translators import registry
from llm_mux.translators.base import Hints

ENDPOINTS = {
    "chat_completions": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "count_tokens": "/v1/messages/count_tokens",
    "generate_content": "/v1beta/models/{model}:generateContent",
    "ollama_chat": "/api/chat",
    "embeddings": "/v1/embeddings",
    "models": "/v1/models",
    "providers": "/v1/providers",
    "aliases": "/v1/aliases",
    "mappings": "/v1/mappings",
    "usage": "/v1/usage",
    "top_models": "/top-models",
    "health": "/health",
    "metrics": "/metrics",
    "running_totals": "/metrics/running-totals",
    "test_connection": "/test-connection",
}
_USUAL_LIMIT, _MOST_LIMIT = 10, 100


def add_routes(app: web.Application) -> None:
    app.router.add_get("/", root)
    app.router.add_get("/v1/providers", providers)
    app.router.add_get("/v1/mappings", mappings)
    app.router.add_get("/v1/usage", usage_)
    app.router.add_get("/v1/aliases", aliases)
    app.router.add_get("/top-models", top)
    app.router.add_get("/metrics/running-totals", running_totals)
    app.router.add_get("/test-connection", test_connection)


async def root(request: web.Request) -> web.StreamResponse:
    """The dashboard for a browser, for others who is here."""
    return await (pages.page if pages.for_a_browser(request) else here)(request)


@local_endpoint
async def here(request: web.Request) -> web.StreamResponse:
    """Who is here. Ollama's clients look for a 200 on HEAD."""
    daemon = request.app[DAEMON]
    accounts = checks.accounts_of(daemon.gateway)
    return web.json_response(
        {
            "message": f"llm-mux v{__version__}",
            "version": __version__,
            "status": "running",
            "config": {
                "base_url": f"{request.scheme}://{request.host}",
                "providers": len(daemon.gateway.catalog.offers),
                "accounts": len(accounts),
                "default_provider": default_provider(daemon),
                "api_key_configured": any(account.key for account in accounts),
                "client_api_key_validation": not daemon.guard.open,
                "max_request_size": daemon.max_request_size,
            },
            "endpoints": ENDPOINTS,
        },
        headers={"Vary": "Accept"},
    )


@local_endpoint
async def providers(request: web.Request) -> web.StreamResponse:
    """The providers with format, address, state, accounts and models."""
    gateway = request.app[DAEMON].gateway
    states = checks.providers(gateway)
    return web.json_response(
        {"object": "list", "data": [_provider(request.app[DAEMON], offer, states) for offer in gateway.catalog.offers]}
    )


def _provider(daemon: Daemon, offer: Offer, states: dict[str, checks.Status]) -> dict[str, Any]:
    accounts = [account for account in daemon.gateway.accounts if account.provider.name == offer.provider]
    now = time.monotonic()
    record = accounts[0].provider if accounts else None
    return {
        "id": offer.provider,
        "object": "provider",
        "type": offer.vendor,
        "name": record.title if record is not None else offer.provider,
        "base_url": record.base_url if record is not None else None,
        "formats": list(dict.fromkeys(endpoint.translator for endpoint in record.endpoints)) if record else [],
        "status": states[offer.provider],
        "accounts": {"total": len(accounts), "ready": sum(account.state(now) == "ready" for account in accounts)},
        "models": sum(not offer.excludes(model) for model in offer.listed),
    }


@local_endpoint
async def mappings(request: web.Request) -> web.StreamResponse:
    """Every name that stands for another."""
    daemon = request.app[DAEMON]
    catalog = daemon.gateway.catalog
    data = [
        {"id": name, "object": "mapping", "kind": "model", "provider": offer.provider, "model": own}
        for offer in catalog.offers
        for name, own in offer.renamed.items()
    ]
    for name, target in catalog.aliases.items():
        kind = "wildcard" if is_wildcard(name) else "alias"
        data.append({"id": name, "object": "mapping", "kind": kind, **_resolved(daemon, target)})
    fallbacks = {name: list(targets) for name, targets in daemon.loaded.config.fallbacks.items()}
    return web.json_response(
        {"object": "list", "data": data, "fallbacks": fallbacks, "default_provider": default_provider(daemon)}
    )


def _resolved(daemon: Daemon, target: str) -> dict[str, Any]:
    """Where a name leads; the name itself when it leads nowhere yet."""
    try:
        route = daemon.gateway.catalog.resolve(target)[0]
    except MuxError:
        return {"provider": None, "model": target}
    return {"provider": route.provider, "model": route.model}


@local_endpoint
async def usage_(request: web.Request) -> web.StreamResponse:
    """The sums of whoever asks: of the key, if one was sent, else of all."""
    daemon = request.app[DAEMON]
    caller = await daemon.guard.caller(request.headers, request.query.get("key")) if _keyed(request) else None
    only = None
    if caller is not None and (caller.user or caller.name):
        only = Only(user=caller.user) if caller.user else Only(client_key=caller.name)
    question = usage.asked(request.query, usage.today())
    report = await usage.answer(daemon.parts, question, only)
    return web.json_response(msgspec.to_builtins(report))


def _keyed(request: web.Request) -> bool:
    names = ("Authorization", "x-api-key", "x-goog-api-key", "api-key")
    return any(name in request.headers for name in names) or "key" in request.query


@local_endpoint
async def aliases(request: web.Request) -> web.StreamResponse:
    """Aliases by provider, and suggested ones."""
    daemon = request.app[DAEMON]
    catalog = daemon.gateway.catalog
    found: dict[str, dict[str, str]] = {}
    for offer in catalog.offers:
        for name, own in offer.renamed.items():
            found.setdefault(offer.provider, {})[name] = own
    for name, target in catalog.aliases.items():
        led = _resolved(daemon, target)
        found.setdefault(led["provider"] or "unresolved", {})[name] = led["model"]
    suggested = top_models.suggested(offer.vendor for offer in catalog.offers)
    body = {
        "object": "list",
        "aliases": found,
        "suggested": {"default": suggested},
        "total": sum(len(names) for names in found.values()),
    }
    return web.json_response(body)


@local_endpoint
async def top(request: web.Request) -> web.StreamResponse:
    """A short dated list of models with their prices."""
    daemon = request.app[DAEMON]
    prices = daemon.parts.books.prices
    limit = _limit(request.query.get("limit", str(_USUAL_LIMIT)))
    models = top_models.listed(prices, time.time(), provider=request.query.get("provider"))[:limit]
    body: dict[str, Any] = {
        "object": "top_models",
        "source": "catalogue",
        "last_updated": top_models.CHOSEN,
        "providers": list(dict.fromkeys(model["provider"] for model in models)),
        "models": models,
        "suggested_aliases": top_models.suggested(offer.vendor for offer in daemon.gateway.catalog.offers),
    }
    if request.query.get("include_cache_info") in ("true", "1"):
        body["meta"] = {"cached": True, "prices": prices.book.said_by, "models": top_models.CHOSEN}
    return web.json_response(body)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= _MOST_LIMIT):
        raise bad_request(f"`limit` must be a whole number from 1 to {_MOST_LIMIT}.", param="limit")
    return int(text)


@local_endpoint
async def running_totals(request: web.Request) -> web.StreamResponse:
    """Sums since the daemon started, by provider and model; `provider` and `model` take wildcards."""
    daemon = request.app[DAEMON]
    wanted = request.query.get("provider", "*"), request.query.get("model", "*")
    totals = daemon.metrics.totals(lambda provider, model: _fits(provider, wanted[0]) and _fits(model, wanted[1]))
    if request.query.get("include_active", "true") in ("true", "1"):
        active: dict[str, int] = {}
        for account in daemon.gateway.accounts:
            active[account.provider.name] = active.get(account.provider.name, 0) + account.inflight
        totals["active"] = {
            "requests": daemon.metrics.active_requests,
            "streams": daemon.metrics.active_streams,
            "by_provider": {name: count for name, count in active.items() if count and _fits(name, wanted[0])},
        }
    return yaml_response({"timestamp": stamp(), **totals})


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name.lower(), pattern.lower())


@answered
async def test_connection(request: web.Request) -> web.StreamResponse:
    """One tiny request to the default provider, or to `?provider=`, with its cheapest model or `?model=`."""
    daemon = request.app[DAEMON]
    provider = request.query.get("provider") or default_provider(daemon)
    offer = next((offer for offer in daemon.gateway.catalog.offers if offer.answers_to(provider or "")), None)
    if offer is None:
        message = f"No provider `{provider}` is configured." if provider else "No provider is configured."
        raise MuxError(Kind.NOT_FOUND, message, param="provider")
    caller = await daemon.guard.caller(request.headers, request.query.get("key"))
    model = request.query.get("model") or await _cheapest(daemon, offer)
    named = f"{offer.provider}://{model}"
    body = {"model": named, "messages": [{"role": "user", "content": "Say OK."}], "max_tokens": 16}
    ask = Ask(
        protocol=registry.get("openai_chat"),
        body=msgspec.json.encode(body),
        hints=Hints(stream=False, headers=request.headers),
        model=named,
        stream=False,
        request_id=request_id(request),
        headers=request.headers,
        caller=caller,
        time=time.time(),
        started=time.monotonic(),
    )
    answer = await _exchanged(daemon, ask)
    assert isinstance(answer, Whole)
    return _tried(offer.provider, model, answer)


async def _exchanged(daemon: Daemon, ask: Ask) -> Answer:
    """As a model request, within the limits of whoever asks."""
    entry = await admitted(daemon, ask, {})
    try:
        return await Exchange(daemon.gateway, ask).serve()
    finally:
        if entry is not None:
            entry.leave()


async def _cheapest(daemon: Daemon, offer: Offer) -> str:
    """The model of a provider whose prompt costs least; the first one where nobody knows a price."""
    gateway = daemon.gateway
    if not offer.listed:
        mine = [account for account in gateway.accounts if account.provider.name == offer.provider]
        await gateway.lists.refresh(mine, gateway.upstream)
    now, prices = time.time(), daemon.parts.books.prices
    known = [
        (price.input, model)
        for model in gateway.lists.of(offer.provider)
        if (found := prices.known(offer.provider, offer.vendor, model.id)) is not None
        and (price := found.price(now)).input
        and price.output
    ]
    listed = [name for name in (*offer.listed, *(model.id for model in gateway.lists.of(offer.provider)))]
    if known:
        return min(known, key=lambda pair: pair[0] or 0)[1].id
    if not listed:
        raise bad_request(f"`{offer.provider}` lists no models; name one with ?model=", param="model")
    return listed[0]


class _Said(msgspec.Struct):
    """What an answer or an error has to tell."""

    id: str | None = None
    error: dict[str, Any] = {}


def _tried(provider: str, model: str, answer: Whole) -> web.Response:
    said = msgspec.json.decode(answer.body, type=_Said)
    common = {"provider": provider, "model_used": model, "timestamp": stamp()}
    if answer.status < 300:
        message = f"Successfully connected to {provider} API"
        return web.json_response({"status": "success", "message": message, **common, "response_id": said.id})
    error = {"type": said.error.get("type"), "code": said.error.get("code"), "status": answer.status}
    failed = {"status": "failed", "message": said.error.get("message"), **common, "error": error}
    return web.json_response(failed, status=503)
