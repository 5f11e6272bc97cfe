"""What there is to ask, over the management API: providers with their ways to log in, models, aliases."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta, Struct

from llm_mux.errors import MuxError
from llm_mux.ledger.pricing import Known
from llm_mux.providers import registry
from llm_mux.providers.base import Login, Provider
from llm_mux.routing.accounts import without_secrets
from llm_mux.server import listing
from llm_mux.server.compose import configured as described
from llm_mux.server.management.endpoint import Call, Endpoint
from llm_mux.server.serving import Daemon


class Way(Struct, frozen=True, kw_only=True):
    """A way to log in. `warning` has to be agreed to before it begins. `starts`: it can be begun, `imports`: it takes
    the text of a file, which other programs keep at `import_path`. `wants`: what it takes beside that, as `extra`, and
    `client` an OAuth client's file as `text`."""

    way: str
    title: str
    warning: str | None
    starts: bool
    imports: bool
    import_path: str
    wants: tuple[str, ...]


class Kind(Struct, frozen=True, kw_only=True):
    """A provider that accounts can be made for. `configured`: requests can go there now, or could with an account."""

    name: str
    title: str
    base_url: str
    takes_keys: bool
    key_url: str
    logins: list[Way]
    configured: bool
    accounts: int
    models: int


class Kinds(Struct, frozen=True):
    providers: list[Kind]


class Only(Struct, frozen=True, forbid_unknown_fields=True):
    """`provider`: its models only; `refresh`: ask the providers now."""

    provider: Annotated[str, Meta(max_length=100)] | None = None
    refresh: bool = False


class Price(Struct, frozen=True):
    """US dollars for a million tokens as text, for they are exact; None: unknown. `source` is where they are from."""

    input: str | None
    output: str | None
    cache_read: str | None
    cache_write: str | None
    source: str


class Model(Struct, frozen=True):
    """A name that clients can use, and what it stands for. `accounts` (provider/label) have it under this name."""

    name: str
    provider: str
    model: str
    context_window: int | None
    max_output_tokens: int | None
    capabilities: tuple[str, ...]
    price: Price | None
    accounts: list[str]


class Models(Struct, frozen=True):
    """`errors`: why the list of a provider is old or missing."""

    models: list[Model]
    errors: dict[str, str]


class Alias(Struct, frozen=True):
    """`provider` and `model` are None where the name leads nowhere at present."""

    name: str
    target: str
    provider: str | None
    model: str | None


class Aliases(Struct, frozen=True):
    aliases: list[Alias]
    fallbacks: dict[str, list[str]]


async def _providers(call: Call) -> Kinds:
    gateway = call.daemon.gateway
    offers = {offer.provider: offer for offer in gateway.catalog.offers}
    records = {each.name: each for each in await asyncio.to_thread(_registered)}
    for entry in call.daemon.loaded.config.providers:
        records.setdefault(entry.id, described(entry))
    for account in gateway.accounts:
        records.setdefault(account.provider.name, account.provider)
    shown = []
    for name, record in sorted(records.items()):
        accounts = sum(account.provider.name == name for account in gateway.accounts)
        models = len(offers[name].listed) if name in offers else 0
        shown.append(_kind(record, configured=name in offers, accounts=accounts, models=models))
    return Kinds(shown)


def _registered() -> list[Provider]:
    return [registry.get(name) for name in registry.names() if name != "demo"]


def _kind(record: Provider, *, configured: bool, accounts: int, models: int) -> Kind:
    return Kind(
        name=record.name,
        title=record.title,
        base_url=record.base_url,
        takes_keys=record.takes_keys,
        key_url=record.key_url,
        logins=[_way(each) for each in record.logins if each.start is not None or each.imports is not None],
        configured=configured,
        accounts=accounts,
        models=models,
    )


def _way(login: Login) -> Way:
    return Way(
        way=login.way,
        title=login.title,
        warning=login.warning or None,
        starts=login.start is not None,
        imports=login.imports is not None,
        import_path=login.import_path,
        wants=login.wants,
    )


async def _models(call: Call) -> Models:
    gateway = call.daemon.gateway
    found = await listing.entries(gateway, provider=call.query.provider, refresh=call.query.refresh)
    shown = [_model(call.daemon, each, time.time()) for each in found]
    return Models(shown, {name: without_secrets(gateway.accounts, said) for name, said in gateway.lists.errors.items()})


def _model(daemon: Daemon, entry: listing.Entry, now: float) -> Model:
    gateway, info = daemon.gateway, entry.info
    offers = {offer.provider: offer for offer in gateway.catalog.offers}
    vendor = offers[entry.provider].vendor if entry.provider in offers else entry.provider
    known = daemon.parts.books.prices.known(entry.provider, vendor, info.id)
    having = {entry.provider, *(name for name, offer in offers.items() if offer.has(entry.name))}
    return Model(
        name=entry.name,
        provider=entry.provider,
        model=info.id,
        context_window=info.context or (known.model.context if known is not None and known.model is not None else None),
        max_output_tokens=info.max_output,
        capabilities=info.capabilities,
        price=None if known is None else _price(known, now),
        accounts=[account.name for account in gateway.accounts if account.provider.name in having],
    )


def _price(known: Known, now: float) -> Price:
    price = known.price(now)
    return Price(
        input=_written(price.input),
        output=_written(price.output),
        cache_read=_written(price.cache_read),
        cache_write=_written(price.cache_write),
        source=known.source,
    )


def _written(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount.normalize():f}"


async def _aliases(call: Call) -> Aliases:
    catalog: Any = call.daemon.gateway.catalog
    shown = []
    for name, target in catalog.aliases.items():
        try:
            route = catalog.resolve(target)[0]
        except MuxError:
            shown.append(Alias(name, target, None, None))
        else:
            shown.append(Alias(name, target, route.provider, route.model))
    fallbacks = {name: list(models) for name, models in call.daemon.loaded.config.fallbacks.items()}
    return Aliases(shown, fallbacks)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/providers",
        summary="Every provider, with its ways to log in and what is configured",
        handle=_providers,
        answer=Kinds,
    ),
    Endpoint(
        method="GET",
        path="/models",
        summary="Every name that clients can use",
        more="With capabilities, prices and the accounts that have each; `refresh` asks the providers now.",
        handle=_models,
        query=Only,
        answer=Models,
    ),
    Endpoint(
        method="GET",
        path="/aliases",
        summary="Aliases with their targets, and fallbacks",
        handle=_aliases,
        answer=Aliases,
    ),
)
