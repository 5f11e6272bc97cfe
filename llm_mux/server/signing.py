"""Stored accounts as the command line and the management API make, rename and forget them.

Rule: a login is written under its own lock, so that nobody renews the old one into the new one's place meanwhile.
Everything here blocks for as long as the keyring takes, but for what talks to a provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from llm_mux.auth.base import LoginError, overridden
from llm_mux.auth.keys import add_key, disable, disabled, enable, find, remove
from llm_mux.auth.logins import StoredLogin, find_login, holding, keep_login, remove_login
from llm_mux.auth.store import SecretStore
from llm_mux.config import Config
from llm_mux.gateway.steps import drive, performer
from llm_mux.gateway.upstream import Upstream
from llm_mux.providers import registry
from llm_mux.providers.base import Provider
from llm_mux.server.compose import configured

Settings = Mapping[str, object]


def provider_of(provider: str, config: Config) -> tuple[Provider, Settings, str | None]:
    """The record behind an id or type, the facts of its login that the configuration replaces, and its proxy. Raises
    KeyError for a provider that does not exist."""
    for entry in config.providers:
        if entry.id == provider:
            return configured(entry), entry.oauth, entry.proxy_url or config.proxy_url
    return registry.get(provider), {}, config.proxy_url


def keep(store: SecretStore, folder: Path, login: StoredLogin) -> None:
    """In place of whatever the account had."""
    with holding(folder, login.account, store=store):
        keep_login(store, login)
        remove(store, login.provider, login.label)


def renamed(store: SecretStore, folder: Path, provider: str, label: str, new: str) -> bool:
    """Gives a stored account another label; False when there is none."""
    key, login = find(store, provider, label), find_login(store, provider, label)
    if key is None and login is None:
        return False
    if key is not None:
        add_key(store, provider, new, key.key, base_url=key.base_url)
    with holding(folder, f"{provider}/{label}", store=store):
        login = find_login(store, provider, label)
        if login is not None:
            keep_login(store, StoredLogin(provider, new, login.credential, login.base_url))
            remove_login(store, provider, label)
    remove(store, provider, label)
    if f"{provider}/{label}" in disabled(store):
        disable(store, f"{provider}/{new}")
        enable(store, f"{provider}/{label}")
    return True


def forget(store: SecretStore, folder: Path, provider: str, label: str) -> bool:
    """Removes a stored key and login; False when there was none."""
    gone = remove(store, provider, label)
    with holding(folder, f"{provider}/{label}", store=store):
        gone = remove_login(store, provider, label) or gone
    enable(store, f"{provider}/{label}")
    return gone


async def revoke(login: StoredLogin, config: Config, upstream: Upstream) -> str | None:
    """Tells the provider that a login is over; what went wrong, if it did."""
    provider, settings, proxy = provider_of(login.provider, config)
    way = next((each for each in provider.logins if each.way == login.credential.way), None)
    if way is None or way.revoke is None:
        return "the provider has no way to be told; the login ends by itself, or at the provider's own page"
    try:
        flow = way.revoke(overridden(way.oauth, settings), login.credential)
        await drive(flow, performer(upstream, proxy=proxy))
    except LoginError as error:
        return str(error)
    return None
