"""What the daemon says of itself beside its health: `/`, its providers, names, sums and suggestions, and whether a
provider answers. Only `/test-connection` asks anybody."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from llm_mux import __version__
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.gateway.ask import Answer, Ask, Whole
from llm_mux.gateway.exchange import Exchange
from llm_mux.ledger.report import Only
from llm_mux.routing.aliases import is_wildcard
from llm_mux.routing.catalog import Offer
from llm_mux.server import checks, shapes, together, top_models, usage
from llm_mux.server.answers import answered, local_endpoint
from llm_mux.server.checks import stamp
from llm_mux.server.dashboard import pages
from llm_mux.server.described import YAML, asked, told
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


@told(answer=shapes.Root, page=True)
async def root(request: web.Request) -> web.StreamResponse:
    """The dashboard for a browser, for others who is here."""
    return await (pages.page if pages.for_a_browser(request) else here)(request)


@local_endpoint
async def here(request: web.Request) -> web.StreamResponse:
    """Who is here. Ollama's clients look for a 200 on HEAD."""
    daemon = request.app[DAEMON]
    accounts = checks.accounts_of(daemon.gateway)
    body: shapes.Root = {
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
    }
    return web.json_response(body, headers={"Vary": "Accept"})


@local_endpoint
@told(answer=shapes.Providers)
async def providers(request: web.Request) -> web.StreamResponse:
    """The providers with format, address, state, accounts and models."""
    gateway = request.app[DAEMON].gateway
    states = checks.providers(gateway)
    found = [_provider(request.app[DAEMON], offer, states) for offer in gateway.catalog.offers]
    body: shapes.Providers = {"object": "list", "data": found}
    return web.json_response(body)


def _provider(daemon: Daemon, offer: Offer, states: dict[str, checks.Status]) -> shapes.ProviderEntry:
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
@told(answer=shapes.Mappings)
async def mappings(request: web.Request) -> web.StreamResponse:
    """Every name that stands for another."""
    daemon = request.app[DAEMON]
    catalog = daemon.gateway.catalog
    data: list[shapes.Mapping] = [
        {"id": name, "object": "mapping", "kind": "model", "provider": offer.provider, "model": own}
        for offer in catalog.offers
        for name, own in offer.renamed.items()
    ]
    for name, target in catalog.aliases.items():
        provider, model = _resolved(daemon, target)
        kind: Literal["wildcard", "alias"] = "wildcard" if is_wildcard(name) else "alias"
        data.append({"id": name, "object": "mapping", "kind": kind, "provider": provider, "model": model})
    fallbacks = {name: list(targets) for name, targets in daemon.loaded.config.fallbacks.items()}
    body: shapes.Mappings = {
        "object": "list",
        "data": data,
        "fallbacks": fallbacks,
        "default_provider": default_provider(daemon),
    }
    return web.json_response(body)


def _resolved(daemon: Daemon, target: str) -> tuple[str | None, str]:
    """The provider and model that a name leads to; the name itself when it leads nowhere yet."""
    try:
        route = daemon.gateway.catalog.resolve(target)[0]
    except MuxError:
        return None, target
    return route.provider, route.model


@local_endpoint
@told(query=usage.Asked, answer=usage.Report, errors=(503,))
async def usage_(request: web.Request) -> web.StreamResponse:
    """The sums of whoever asks: of the key, if one was sent, else of all."""
    daemon = request.app[DAEMON]
    caller = await daemon.guard.caller(request.headers, request.query.get("key")) if _keyed(request) else None
    only = None
    if caller is not None and (caller.user or caller.name):
        only = Only(user=caller.user) if caller.user else Only(client_key=caller.name)
    question = usage.question(asked(request, usage.Asked), usage.today())
    report = await usage.answer(daemon.parts, question, only)
    return web.json_response(msgspec.to_builtins(report))


def _keyed(request: web.Request) -> bool:
    names = ("Authorization", "x-api-key", "x-goog-api-key", "api-key")
    return any(name in request.headers for name in names) or "key" in request.query


@local_endpoint
@told(answer=shapes.Aliases)
async def aliases(request: web.Request) -> web.StreamResponse:
    """Aliases by provider, and suggested ones."""
    daemon = request.app[DAEMON]
    catalog = daemon.gateway.catalog
    found: dict[str, dict[str, str]] = {}
    for offer in catalog.offers:
        for name, own in offer.renamed.items():
            found.setdefault(offer.provider, {})[name] = own
    for name, target in catalog.aliases.items():
        provider, model = _resolved(daemon, target)
        found.setdefault(provider or "unresolved", {})[name] = model
    suggested = top_models.suggested(offer.vendor for offer in catalog.offers)
    body: shapes.Aliases = {
        "object": "list",
        "aliases": found,
        "suggested": {"default": suggested},
        "total": sum(len(names) for names in found.values()),
    }
    return web.json_response(body)


class Wanted(Struct, frozen=True):
    """`include_cache_info`: also where the list and its prices are from. `refresh` changes nothing: nobody is asked."""

    limit: Annotated[int, Meta(ge=1, le=_MOST_LIMIT)] = _USUAL_LIMIT
    provider: str | None = None
    include_cache_info: bool = False
    refresh: bool = False


@local_endpoint
@told(query=Wanted, answer=shapes.TopModels)
async def top(request: web.Request) -> web.StreamResponse:
    """A short dated list of models with their prices."""
    daemon = request.app[DAEMON]
    prices = daemon.parts.books.prices
    wanted = asked(request, Wanted)
    models = top_models.listed(prices, time.time(), provider=wanted.provider)[: wanted.limit]
    body: shapes.TopModels = {
        "object": "top_models",
        "source": "catalogue",
        "last_updated": top_models.CHOSEN,
        "providers": list(dict.fromkeys(model["provider"] for model in models)),
        "models": models,
        "suggested_aliases": top_models.suggested(offer.vendor for offer in daemon.gateway.catalog.offers),
    }
    if wanted.include_cache_info:
        body["meta"] = {"cached": True, "prices": prices.book.said_by, "models": top_models.CHOSEN}
    return web.json_response(body)


class Which(Struct, frozen=True):
    """`provider` and `model` are wildcards; `include_active`: also what is under way."""

    provider: str = "*"
    model: str = "*"
    include_active: bool = True


@local_endpoint
@told(query=Which, answer=dict[str, Any], media=YAML)
async def running_totals(request: web.Request) -> web.StreamResponse:
    """Sums since the daemon started, by provider and model; `provider` and `model` take wildcards."""
    daemon = request.app[DAEMON]
    wanted = asked(request, Which)
    whole = await together.counted(daemon)
    totals = whole.totals(lambda provider, model: _fits(provider, wanted.provider) and _fits(model, wanted.model))
    if wanted.include_active:
        active = together.inflight(daemon) + whole.inflight
        totals["active"] = {
            "requests": whole.active_requests,
            "streams": whole.active_streams,
            "by_provider": {name: count for name, count in active.items() if count and _fits(name, wanted.provider)},
        }
    return yaml_response({"timestamp": stamp(), **totals})


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name.lower(), pattern.lower())


class Tested(Struct, frozen=True):
    provider: str | None = None
    model: str | None = None


@answered
@told(query=Tested, answer=shapes.Connection, also=(503,), errors=(402, 404, 429))
async def test_connection(request: web.Request) -> web.StreamResponse:
    """One tiny request to the default provider, or to `?provider=`, with its cheapest model or `?model=`."""
    daemon = request.app[DAEMON]
    wanted = asked(request, Tested)
    provider = wanted.provider or default_provider(daemon)
    offer = next((offer for offer in daemon.gateway.catalog.offers if offer.answers_to(provider or "")), None)
    if offer is None:
        message = f"No provider `{provider}` is configured." if provider else "No provider is configured."
        raise MuxError(Kind.NOT_FOUND, message, param="provider")
    caller = await daemon.guard.caller(request.headers, request.query.get("key"))
    model = wanted.model or await _cheapest(daemon, offer)
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
    good = answer.status < 300
    body: shapes.Connection = {
        "status": "success" if good else "failed",
        "message": f"Successfully connected to {provider} API" if good else said.error.get("message"),
        "provider": provider,
        "model_used": model,
        "timestamp": stamp(),
    }
    if good:
        body["response_id"] = said.id
    else:
        body["error"] = {"type": said.error.get("type"), "code": said.error.get("code"), "status": answer.status}
    return web.json_response(body, status=200 if good else 503)
