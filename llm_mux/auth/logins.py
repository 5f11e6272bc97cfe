"""Logins in the secret store, by account (`provider/label`), each with a lock that other processes respect.

Rule: a credential is written here before anybody uses it, and one that is being renewed is locked: whoever finds the
lock taken reads what the other one got instead of asking again.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from llm_mux.auth.base import Credential
from llm_mux.auth.sealed import StoreError, locked
from llm_mux.auth.store import SecretStore

_PREFIX = "login/"


@dataclass(frozen=True, slots=True)
class StoredLogin:
    """One login of the user. `provider` is a provider's type, or the id of an entry of the configuration."""

    provider: str
    label: str
    credential: Credential
    base_url: str | None = None

    @property
    def account(self) -> str:
        return f"{self.provider}/{self.label}"


class _Entry(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True):
    credential: Credential
    base_url: str | None = None


def keep_login(store: SecretStore, login: StoredLogin) -> None:
    """Store a login; one of the same account is replaced."""
    store.set(_PREFIX + login.account, msgspec.json.encode(_Entry(login.credential, login.base_url)).decode())


def login_accounts(store: SecretStore, provider: str | None = None) -> list[tuple[str, str]]:
    """Provider and label of every stored login, without opening them."""
    found = (name.removeprefix(_PREFIX).partition("/") for name in store.names() if name.startswith(_PREFIX))
    return [(owner, label) for owner, _, label in found if provider in (None, owner)]


def logins(store: SecretStore, provider: str | None = None) -> list[StoredLogin]:
    """Every stored login. One that is gone by now is left out."""
    found = (find_login(store, *each) for each in login_accounts(store, provider))
    return [login for login in found if login is not None]


def find_login(store: SecretStore, provider: str, label: str) -> StoredLogin | None:
    text = store.get(f"{_PREFIX}{provider}/{label}")
    if text is None:
        return None
    try:
        entry = msgspec.json.decode(text, type=_Entry)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the stored login of {provider}/{label} is damaged; run llm-mux login {provider}") from error
    return StoredLogin(provider, label, entry.credential, entry.base_url)


def remove_login(store: SecretStore, provider: str, label: str) -> bool:
    """Forget a login; False when there was none."""
    if (provider, label) not in login_accounts(store, provider):
        return False
    store.delete(f"{_PREFIX}{provider}/{label}")
    return True


@contextlib.contextmanager
def holding(folder: Path, account: str, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of one account's login; without `wait` one that is taken raises BlockingIOError.

    It ends with the process, so nobody has to clean up after a crash.
    """
    name = hashlib.sha256(account.encode()).hexdigest()[:16]
    with locked(folder / "logins" / f"{name}.lock", wait=wait):
        yield
