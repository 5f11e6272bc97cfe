"""API keys in the secret store, by account (`provider/label`), and the key of the management API.

Rule: what is stored under which name is decided here alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from llm_mux.auth import vaults
from llm_mux.auth.shelf import Shelf
from llm_mux.auth.store import SecretStore
from llm_mux.config.references import ELSEWHERE, reference

MANAGEMENT_KEY = "management-key"
_PREFIX = "api-key/"
_DISABLED = "disabled/"


class StoredKey(Struct, frozen=True):
    """One API key of the user. `provider` is a provider's type, or the id of an entry of the configuration."""

    provider: str
    label: str
    key: str
    base_url: str | None = None

    @property
    def account(self) -> str:
        return f"{self.provider}/{self.label}"

    def __repr__(self) -> str:
        return f"StoredKey({self.account})"


class _Entry(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True):
    key: str
    base_url: str | None = None


_SHELF = Shelf(_PREFIX, _Entry, "key")


def add_key(store: SecretStore, provider: str, label: str, key: str, *, base_url: str | None = None) -> StoredKey:
    """Store a key; one of the same account is replaced."""
    stored = StoredKey(provider, label, key, base_url)
    _SHELF.put(store, stored.account, _Entry(key, base_url))
    return stored


def accounts(store: SecretStore, provider: str | None = None) -> list[tuple[str, str]]:
    """Provider and label of every stored key, without opening the keys."""
    return _SHELF.accounts(store, provider)


def keys(store: SecretStore, provider: str | None = None) -> list[StoredKey]:
    return [stored for each in accounts(store, provider) if (stored := find(store, *each)) is not None]


def find(store: SecretStore, provider: str, label: str) -> StoredKey | None:
    entry = _SHELF.get(store, provider, label)
    return None if entry is None else StoredKey(provider, label, entry.key, entry.base_url)


def remove(store: SecretStore, provider: str, label: str) -> bool:
    """Forget a key; False when there was none."""
    return _SHELF.remove(store, provider, label)


def disabled(store: SecretStore) -> frozenset[str]:
    """The accounts, of whatever origin, that the user has taken out of use."""
    return frozenset(name.removeprefix(_DISABLED) for name in store.names() if name.startswith(_DISABLED))


def disable(store: SecretStore, account: str) -> None:
    """Take an account out of use. Nothing of it is forgotten."""
    store.set(_DISABLED + account, "1")


def enable(store: SecretStore, account: str) -> None:
    """Put an account back into use."""
    store.delete(_DISABLED + account)


def free_label(store: SecretStore, provider: str, key: str) -> str:
    """A label for a new key: that of the same key if it is stored already, else `default`, `key-2`, `key-3`..."""
    known = keys(store, provider)
    for stored in known:
        if secrets.compare_digest(stored.key.encode(), key.encode()):
            return stored.label
    taken = {stored.label for stored in known}
    names = ["default", *(f"key-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def resolve(value: str, env: Mapping[str, str], store: SecretStore | None) -> list[str]:
    """The keys that a setting stands for: itself, those of `env:NAME` (separated by spaces), the one of `keyring:NAME`.

    Those of `file:`, `vault:` and `aws:` are asked for; StoreError when they are not to be had. `keyring:` takes an
    account (`provider/label`) or any name of the store. Empty when there is none, and for `!PASSTHRU`.
    """
    found = reference(value)
    if found.kind == "plain":
        return value.split()
    if found.kind == "env":
        return env.get(found.name, "").split()
    if found.kind in ELSEWHERE:
        return vaults.read(found, env).split()
    if found.kind == "passthru" or store is None:
        return []
    provider, slash, label = found.name.partition("/")
    stored = find(store, provider, label) if slash else None
    text = stored.key if stored is not None else store.get(found.name)
    return [text] if text else []


def management_key(store: SecretStore) -> str | None:
    return store.get(MANAGEMENT_KEY)


def create_management_key(store: SecretStore) -> str:
    """A new management key in place of the old one."""
    key = secrets.token_urlsafe(32)
    store.set(MANAGEMENT_KEY, key)
    return key
