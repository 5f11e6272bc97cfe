"""The models that clients may name, as one list that every protocol renders in its own shape."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase

from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.core import Gateway
from llm_mux.routing.aliases import is_wildcard
from llm_mux.routing.reach import out_of_reach
from llm_mux.server.described import asked
from llm_mux.server.serving import DAEMON
from llm_mux.translators.base import ModelInfo


class Entry(Struct, frozen=True):
    """A model under the name a client uses. `info` is the provider's own description, its id the provider's; `pricing`
    is in US dollars for one token, None when nobody knows."""

    name: str
    provider: str
    info: ModelInfo
    pricing: dict[str, str] | None = None


async def entries(gateway: Gateway, *, provider: str | None = None, refresh: bool = False) -> list[Entry]:
    """Every model, aliases last, one entry a name; asks the providers whose lists are old (a failure keeps the old)."""
    await gateway.lists.refresh(gateway.accounts, gateway.upstream, force=refresh)
    catalog = gateway.catalog
    found: dict[str, Entry] = {}
    for offer in catalog.offers:
        if provider is not None and not offer.answers_to(provider):
            continue
        for own, info in offer.listed.items():
            if not offer.excludes(own):
                found.setdefault(own, Entry(own, offer.provider, info))
        for name, own in offer.renamed.items():
            if not offer.excludes(own):
                found.setdefault(name, Entry(name, offer.provider, offer.listed.get(own) or ModelInfo(own)))
    for alias in catalog.aliases if provider is None else ():
        if alias not in found and not is_wildcard(alias):
            route = _first(gateway, alias)
            if route is not None:
                found[alias] = Entry(alias, *route)
    return list(found.values())


def _first(gateway: Gateway, alias: str) -> tuple[str, ModelInfo] | None:
    try:
        route = gateway.catalog.resolve(alias)[0]
    except MuxError:
        return None
    return route.provider, gateway.facts(route.provider, route.model) or ModelInfo(route.model)


class Filter(Struct, frozen=True):
    """`q` is a wildcard or a part of a name; `refresh`: ask the providers now."""

    provider: str | None = None
    q: str | None = None
    refresh: bool = False


async def asked_for(request: web.Request) -> list[Entry]:
    """The list with the request's own filters: header `provider` wins over the query."""
    wanted = asked(request, Filter)
    provider = request.headers.get("provider") or wanted.provider
    gateway = request.app[DAEMON].gateway
    found = await entries(gateway, provider=provider, refresh=wanted.refresh)
    if provider and not found and not any(offer.answers_to(provider) for offer in gateway.catalog.offers):
        raise MuxError(Kind.NOT_FOUND, f"No provider `{provider}` is configured.", param="provider")
    if wanted.q:
        found = [entry for entry in found if fnmatchcase(entry.name, f"*{wanted.q}*")]
    return _priced(request, await _in_reach(request, found))


async def _in_reach(request: web.Request, found: list[Entry]) -> list[Entry]:
    """Those that the client's key may use."""
    daemon = request.app[DAEMON]
    scopes = (await daemon.guard.caller(request.headers, request.query.get("key"))).scopes
    if scopes is None or not scopes.narrow:
        return found
    accounts = daemon.gateway.accounts
    able = {a.provider.name for a in accounts if scopes.account(a.provider.name, a.label)}
    return [
        entry
        for entry in found
        if entry.provider in able
        and scopes.provider(entry.provider)
        and scopes.model(entry.name, entry.provider, entry.info.id)
    ]


async def one(request: web.Request, name: str) -> Entry:
    """The entry for one name, also a prefixed one. Raises MuxError MODEL_NOT_FOUND."""
    gateway = request.app[DAEMON].gateway
    known = {entry.name: entry for entry in await entries(gateway)}
    entry = known.get(name)
    if entry is None:
        route = gateway.catalog.resolve(name)[0]
        info = gateway.facts(route.provider, route.model)
        if info is None and "://" not in name:
            raise gateway.catalog.unknown(name)
        entry = Entry(name, route.provider, info or ModelInfo(route.model))
    if not await _in_reach(request, [entry]):
        raise out_of_reach(name)
    return _priced(request, [entry])[0]


def _priced(request: web.Request, found: list[Entry]) -> list[Entry]:
    """With what the price book says, where the provider's own list is silent."""
    daemon = request.app[DAEMON]
    prices, now = daemon.parts.books.prices, time.time()
    vendors = {offer.provider: offer.vendor for offer in daemon.gateway.catalog.offers}
    done: list[Entry] = []
    for entry in found:
        known = prices.known(entry.provider, vendors.get(entry.provider, entry.provider), entry.info.id)
        if known is not None:
            context = entry.info.context or (known.model.context if known.model is not None else None)
            info = replace(entry.info, context=context)
            done.append(replace(entry, info=info, pricing=known.a_token(now)))
        else:
            done.append(entry)
    return done
