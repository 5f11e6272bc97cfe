"""What models the providers have: asked when somebody needs to know, cached on disk, stale rather than nothing.

No network at start: the disk cache is read first, and a list is asked for when a client lists models or names one that
nobody knows. Accounts of one provider share its list.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from llm_mux.errors import MuxError
from llm_mux.gateway.calls import send
from llm_mux.gateway.credentials import Credentials
from llm_mux.gateway.upstream import Call, Timeouts, Upstream
from llm_mux.paths import write_private
from llm_mux.providers.base import url_of
from llm_mux.routing.accounts import PASSTHROUGH, Account
from llm_mux.routing.catalog import Offer
from llm_mux.translators import registry
from llm_mux.translators.base import ModelInfo
from llm_mux.translators.ids import digest

_FRESH_S = 3600.0
_AGAIN_S = 30.0
_MOST_ASKED = 3
_TIMEOUTS = Timeouts(connect=5, first_byte=10, between_bytes=10)


class _Saved(Struct, frozen=True):
    """One provider's list on disk; `at` is unix seconds."""

    at: float
    models: list[ModelInfo]


class ModelLists:
    """The lists by provider id. `version` grows with every change."""

    def __init__(self, folder: Path | None, credentials: Credentials | None = None) -> None:
        self._folder = folder
        self._credentials = credentials
        self._places: dict[str, str] = {}
        self._lists: dict[str, dict[str, ModelInfo]] = {}
        self._at: dict[str, float] = {}
        self._tried: dict[str, float] = {}
        self._running: asyncio.Future[None] | None = None
        self.errors: dict[str, str] = {}
        self.version = 0

    def known(self, accounts: Iterable[Account]) -> None:
        """From now on these accounts are there: takes what their providers' records and the disk know, and forgets
        the lists of providers that are gone or have moved."""
        accounts = list(accounts)
        first = {account.provider.name: account for account in reversed(accounts)}
        for name in self._places.keys() - {n for n, a in first.items() if self._places.get(n) == a.provider.base_url}:
            self._forget(name)
        for name, account in first.items():
            if name in self._places:
                continue
            self._places[name] = account.provider.base_url
            own = [each for each in accounts if each.provider.name == name]
            if models := [model for each in own for model in each.provider.models]:
                self._put(name, models, 0.0)
            saved = self._load(account)
            if saved is not None:
                self._put(name, [*_recorded(own), *saved.models], saved.at)

    def _forget(self, name: str) -> None:
        del self._places[name]
        for kept in (self._lists, self._at, self._tried, self.errors):
            kept.pop(name, None)
        self.version += 1

    def get(self, provider: str, model: str) -> ModelInfo | None:
        models = self._lists.get(provider)
        return None if models is None else models.get(model)

    def of(self, provider: str) -> list[ModelInfo]:
        return list(self._lists.get(provider, {}).values())

    def completed(self, offer: Offer) -> Offer:
        """`offer` with the provider's list, unless the configuration fixed one."""
        if not offer.only_listed:
            offer = msgspec.structs.replace(offer, listed=self._lists.get(offer.provider, {}) | offer.listed)
        if offer.shorts is not None:
            offer = msgspec.structs.replace(offer, renamed=offer.shorts(offer.listed) | offer.renamed)
        return offer

    async def refresh(self, accounts: Sequence[Account], upstream: Upstream, *, force: bool = False) -> None:
        """Asks every provider whose list is old, at most one round at a time; failures keep the old list."""
        if self._running is not None and not self._running.done():
            await asyncio.shield(self._running)
            return
        self._running = asyncio.ensure_future(self._round(accounts, upstream, force))
        await asyncio.shield(self._running)

    async def _round(self, accounts: Sequence[Account], upstream: Upstream, force: bool) -> None:
        by_provider: dict[str, list[Account]] = {}
        for account in accounts:
            by_provider.setdefault(account.provider.name, []).append(account)
        due = [own for provider, own in by_provider.items() if force or self._due(provider)]
        await asyncio.gather(*(self._ask(own, upstream) for own in due))

    def _due(self, provider: str) -> bool:
        now = time.time()
        return now - self._at.get(provider, 0.0) > _FRESH_S and now - self._tried.get(provider, 0.0) > _AGAIN_S

    async def _ask(self, accounts: Sequence[Account], upstream: Upstream) -> None:
        """Asks a provider's accounts until one of them is told the list."""
        name = accounts[0].provider.name
        self._tried[name] = time.time()
        recorded = _recorded(accounts)
        asked = [account for account in accounts if _is_asked(account)]
        if not asked and recorded:
            self._put(name, recorded, time.time())
        for account in asked[:_MOST_ASKED]:
            try:
                models = await list_models(account, upstream, self._credentials)
            except MuxError as error:
                self.errors[name] = error.message
                continue
            self.errors.pop(name, None)
            if models:
                self._put(name, [*recorded, *models], time.time())
                await asyncio.to_thread(self._save, account, models)
            return

    def _put(self, provider: str, models: Iterable[ModelInfo], at: float) -> None:
        self._lists[provider] = {model.id: model for model in models}
        self._at[provider] = at
        self.version += 1

    def _file(self, account: Account) -> Path | None:
        if self._folder is None:
            return None
        provider = account.provider
        return self._folder / f"{provider.name}-{digest(provider.base_url)[:8]}.json"

    def _load(self, account: Account) -> _Saved | None:
        file = self._file(account)
        try:
            return msgspec.json.decode(file.read_bytes(), type=_Saved) if file is not None else None
        except (OSError, msgspec.DecodeError):
            return None

    def _save(self, account: Account, models: list[ModelInfo]) -> None:
        file = self._file(account)
        if file is None:
            return
        try:
            write_private(file, msgspec.json.encode(_Saved(time.time(), models)))
        except OSError:
            return


def _is_asked(account: Account) -> bool:
    return account.provider.models_path is not None and account.key != PASSTHROUGH


def _recorded(accounts: Iterable[Account]) -> list[ModelInfo]:
    """The models of those accounts that have no list to ask for, such as what their plans include."""
    return [model for account in accounts if not _is_asked(account) for model in account.provider.models]


async def list_models(account: Account, upstream: Upstream, credentials: Credentials | None = None) -> list[ModelInfo]:
    """Asks a provider for its models. Raises MuxError when it refuses or cannot be reached."""
    if credentials is not None:
        return await credentials.using(account, lambda: list_models(account, upstream))
    provider = account.provider
    if provider.models_path is None or not _is_asked(account):
        return list(provider.models)
    decode = registry.get(provider.models_translator).decode_models
    models = decode(await fetch(account, upstream, provider.models_path, provider.models_url))
    for path in provider.more_models_paths:
        models += decode(await fetch(account, upstream, path, provider.models_url))
    return models


async def described(accounts: Sequence[Account], upstream: Upstream, credentials: Credentials, body: bytes) -> bytes:
    """What the first of these accounts, all of an Ollama, that answers says of a model; b"" when none does."""
    for account in [each for each in accounts if _is_asked(each)][:_MOST_ASKED]:
        try:
            return await credentials.using(account, partial(fetch, account, upstream, "/api/show", body=body))
        except MuxError:
            continue
    return b""


async def fetch(
    account: Account, upstream: Upstream, path: str, base_url: str | None = None, body: bytes = b""
) -> bytes:
    """What the provider answers to a GET, or a POST of `body`, with the account's key, at its own root or at
    `base_url`. Raises MuxError when it refuses or is not reached."""
    provider = account.provider
    headers = {"accept": "application/json", "accept-encoding": "identity", **provider.headers}
    if body:
        headers["content-type"] = "application/json"
    headers.update(provider.auth(account.key))
    headers.update(account.headers)
    url = url_of(provider, path, "", account.options, base_url)
    method, place = "POST" if body else "GET", account.name
    call = Call(url, headers, body, method=method, proxy=account.proxy_url, place=place, timeouts=_TIMEOUTS)
    reply = await send(upstream, account, call)
    try:
        said = await reply.read(16 << 20)
    finally:
        reply.close()
    if reply.status >= 300:
        lowered = reply.lowered
        error = registry.get(provider.models_translator).decode_error(reply.status, lowered, said)
        raise provider.refined(error, lowered)
    return said
