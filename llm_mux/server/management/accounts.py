"""Accounts over the management API: listed, added by key, renamed, taken out of use and back, tried, forgotten."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from llm_mux import log, paths
from llm_mux.auth.keys import StoredKey, accounts, add_key, disable, disabled, enable, free_label
from llm_mux.auth.logins import find_login, login_accounts
from llm_mux.auth.store import SecretStore
from llm_mux.config import Config, base_url_problem
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.models import list_models
from llm_mux.gateway.probe import try_key
from llm_mux.providers import registry
from llm_mux.routing.accounts import Account, without_secrets
from llm_mux.server import signing
from llm_mux.server.management.endpoint import Call, Done, Endpoint
from llm_mux.server.reload import RELOADER

_PRINTED = r"[^/\x00-\x20\x7f]"
Label = Annotated[str, Meta(max_length=100, pattern=rf"^{_PRINTED}([^/\x00-\x1f\x7f]*{_PRINTED})?$")]


class Quota(Struct, frozen=True):
    """A quota that the provider told of: the share that is used, 0 to 1, and when it begins anew (unix seconds)."""

    name: str
    scope: str
    used: float | None
    resets_at: float | None


class Shown(Struct, frozen=True, kw_only=True):
    """One account. `origin` is stored key, login, or settings (configuration or environment); `expires` is unix
    seconds."""

    name: str
    provider: str
    label: str
    origin: str
    state: str
    enabled: bool
    last_error: str | None = None
    inflight: int = 0
    weight: float = 1.0
    priority: int = 0
    plan: str | None = None
    expires: float | None = None
    quotas: tuple[Quota, ...] = ()


class Listing(Struct, frozen=True):
    accounts: list[Shown]


class New(Struct, frozen=True, forbid_unknown_fields=True):
    """`provider` is a type, or an id of the configuration. `check`: ask the provider first whether it takes the key."""

    provider: Annotated[str, Meta(min_length=1, max_length=100)]
    key: Annotated[str, Meta(min_length=1, max_length=16384)]
    label: Label | None = None
    base_url: Annotated[str, Meta(max_length=2048)] | None = None
    check: bool = True


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    label: Label | None = None
    enabled: bool | None = None


class Named(Struct, frozen=True):
    name: str


class Tried(Struct, frozen=True):
    """Whether the provider answered the account's question for its models."""

    ok: bool
    message: str
    models: int


async def _list(call: Call) -> Listing:
    store = call.daemon.parts.secrets
    keys, logins, off = await asyncio.to_thread(lambda: (accounts(store), login_accounts(store), disabled(store)))
    origins = {f"{p}/{label}": "stored key" for p, label in keys} | {f"{p}/{label}": "login" for p, label in logins}
    gateway = call.daemon.gateway
    shown = [_shown(gateway, each, origins.get(each.name, "settings")) for each in gateway.accounts]
    known = {each.name for each in shown}
    for name in sorted(off - known):
        provider, _, label = name.partition("/")
        origin = origins.get(name, "settings")
        shown.append(Shown(name=name, provider=provider, label=label, origin=origin, state="disabled", enabled=False))
    return Listing(shown)


def _shown(gateway: Gateway, account: Account, origin: str) -> Shown:
    session = account.session
    said = account.last_error
    return Shown(
        name=account.name,
        provider=account.provider.name,
        label=account.label,
        origin=origin,
        state=account.state(time.monotonic()),
        enabled=True,
        last_error=without_secrets(gateway.accounts, said) if said is not None else None,
        inflight=account.inflight,
        weight=account.weight,
        priority=account.priority,
        plan=session.credential.plan or None if session is not None else None,
        expires=session.credential.expires if session is not None else None,
        quotas=tuple(
            Quota(window.name, scope or "account", _finite(window.used), window.resets_at)
            for (scope, _), window in account.windows.items()
        ),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


async def _add(call: Call) -> Named:
    wish: New = call.body
    wish = msgspec.structs.replace(wish, provider=canonical(wish.provider, call.daemon.loaded.config))
    key = wish.key.strip()
    if not key or len(key.split()) > 1 or not key.isprintable() or not key.isascii():
        raise bad_request("`key` is no key: it is empty or has characters that no header can carry.", param="key")
    if wish.base_url is not None and (problem := base_url_problem(wish.base_url)) is not None:
        raise bad_request(f"`base_url`: {problem}", param="base_url")
    kind, usual = _known(call, wish.provider)
    if wish.check:
        await _check(call, kind, key, wish.base_url or usual)
    store = call.daemon.parts.secrets
    stored = await asyncio.to_thread(_store, store, wish, key)
    await _taken_up(call)
    log.logger.info("account.added", name=stored.account)
    return Named(stored.account)


def canonical(provider: str, config: Config) -> str:
    """The name that accounts of a provider are kept under: `anthropic` for `claude`; ids of the configuration stay."""
    if any(entry.id == provider for entry in config.providers):
        return provider
    return registry.ALIASES.get(provider, provider)


def _known(call: Call, provider: str) -> tuple[str, str | None]:
    """Type and configured place of a provider that takes keys."""
    config = call.daemon.loaded.config
    entry = next((entry for entry in config.providers if entry.id == provider), None)
    try:
        record = signing.provider_of(provider, config)[0]
    except KeyError:
        raise MuxError(Kind.NOT_FOUND, "There is no provider of this name.", param="provider") from None
    if not record.takes_keys or record.name == "demo":
        raise bad_request(f"{record.title} takes no keys.", param="provider")
    return (record.name, None) if entry is None else (entry.type, entry.base_url)


async def _check(call: Call, kind: str, key: str, place: str | None) -> None:
    found = await try_key(kind, key, base_url=place, config=call.daemon.loaded.config)
    if not found.ok:
        said = log.redact_text(found.message.replace(key, "***"))
        message = f"The key was not stored: {said} Send `check: false` to store it untried."
        raise MuxError(Kind.BAD_REQUEST, message, param="key", code="key_refused")


def _store(store: SecretStore, wish: New, key: str) -> StoredKey:
    label = wish.label or free_label(store, wish.provider, key)
    return add_key(store, wish.provider, label, key, base_url=wish.base_url)


async def _taken_up(call: Call) -> None:
    problem = await call.request.app[RELOADER].refresh()
    if problem is not None:
        raise MuxError(Kind.CONFLICT, f"It is stored, but not in effect: {problem}", code="not_in_effect")


def _missing() -> MuxError:
    return MuxError(Kind.NOT_FOUND, "There is no such account.", code="account_not_found")


async def _change(call: Call) -> Named:
    wish: Change = call.body
    provider, label = call.at["provider"], call.at["label"]
    if f"{provider}/{label}" not in {each.name for each in (await _list(call)).accounts}:
        raise _missing()
    store, folder = call.daemon.parts.secrets, paths.data_dir(call.daemon.parts.env)
    if wish.label is not None and wish.label != label:
        if f"{provider}/{wish.label}" in {each.name for each in (await _list(call)).accounts}:
            raise MuxError(Kind.CONFLICT, "Another account has this label.", param="label", code="label_taken")
        if not await asyncio.to_thread(signing.renamed, store, folder, provider, label, wish.label):
            message = "The configuration or the environment names this account; change its label there."
            raise MuxError(Kind.CONFLICT, message, code="not_stored")
        label = wish.label
    if wish.enabled is not None:
        await asyncio.to_thread(enable if wish.enabled else disable, store, f"{provider}/{label}")
    await _taken_up(call)
    return Named(f"{provider}/{label}")


async def _forget(call: Call) -> Done:
    """Forgotten here whatever the provider says."""
    parts, provider, label = call.daemon.parts, call.at["provider"], call.at["label"]
    login = await asyncio.to_thread(find_login, parts.secrets, provider, label)
    told = ""
    if login is not None:
        problem = await signing.revoke(login, call.daemon.loaded.config, parts.upstream)
        told = f" The provider was not told: {log.redact_text(problem)}." if problem else " The provider was told."
    gone = await asyncio.to_thread(signing.forget, parts.secrets, paths.data_dir(parts.env), provider, label)
    if not gone:
        raise _missing()
    await _taken_up(call)
    log.logger.info("account.forgotten", name=f"{provider}/{label}")
    return Done(f"{provider}/{label} is forgotten.{told}")


async def _test(call: Call) -> Tried:
    name = f"{call.at['provider']}/{call.at['label']}"
    account = next((each for each in call.daemon.gateway.accounts if each.name == name), None)
    if account is None:
        raise _missing()
    try:
        await call.daemon.parts.credentials.ready(account)
        models = await list_models(account, call.daemon.parts.upstream)
    except MuxError as error:
        return Tried(False, without_secrets(call.daemon.gateway.accounts, error.message), 0)
    return Tried(True, f"{account.provider.title} answered.", len(models))


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/accounts",
        summary="All accounts and how they are",
        more="Where each comes from, its state, its quotas.",
        handle=_list,
        answer=Listing,
    ),
    Endpoint(
        method="POST",
        path="/accounts",
        summary="Store an API key as a new account",
        more="It is called `provider/label`. The key is tried first, unless `check` is false; one that the "
        "provider refuses is not stored.",
        handle=_add,
        body=New,
        answer=Named,
        errors=(404, 409),
    ),
    Endpoint(
        method="PATCH",
        path="/accounts/{provider}/{label}",
        summary="Rename a stored account, or take any out of use and back",
        more="`label` renames a stored one; `enabled` takes any out of use and back.",
        handle=_change,
        body=Change,
        answer=Named,
        errors=(404, 409),
    ),
    Endpoint(
        method="DELETE",
        path="/accounts/{provider}/{label}",
        summary="Forget a stored account; the provider of a login is told",
        handle=_forget,
        answer=Done,
        errors=(404, 409),
    ),
    Endpoint(
        method="POST",
        path="/accounts/{provider}/{label}/test",
        summary="Ask the provider with this account for its models",
        more="Nothing is spent.",
        handle=_test,
        answer=Tried,
        errors=(404,),
    ),
)
