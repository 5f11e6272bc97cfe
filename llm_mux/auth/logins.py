"""Logins in the secret store, by account (`provider/label`), each with a lock that other processes respect.

Rule: a credential is written here before anybody uses it, and one that is being renewed is locked: whoever finds the
lock taken reads what the other one got instead of asking again.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from llm_mux.auth.base import Credential
from llm_mux.auth.postgres_store import PostgresStore
from llm_mux.auth.sealed import locked
from llm_mux.auth.shelf import Shelf
from llm_mux.auth.store import SecretStore

_PREFIX = "login/"
_LONGEST_LABEL = 100
_PAUSE_S = 0.1


class StoredLogin(Struct, frozen=True):
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


_SHELF = Shelf(_PREFIX, _Entry, "login")


def keep_login(store: SecretStore, login: StoredLogin) -> None:
    """Store a login; one of the same account is replaced."""
    _SHELF.put(store, login.account, _Entry(login.credential, login.base_url))


def renew_login(store: SecretStore, login: StoredLogin) -> None:
    """Store the next credential of a login that is there. Whoever else uses it finds it when its own is over."""
    _SHELF.renew(store, login.account, _Entry(login.credential, login.base_url))


def login_accounts(store: SecretStore, provider: str | None = None) -> list[tuple[str, str]]:
    """Provider and label of every stored login, without opening them."""
    return _SHELF.accounts(store, provider)


def logins(store: SecretStore, provider: str | None = None) -> list[StoredLogin]:
    """Every stored login. One that is gone by now is left out."""
    found = (find_login(store, *each) for each in login_accounts(store, provider))
    return [login for login in found if login is not None]


def find_login(store: SecretStore, provider: str, label: str) -> StoredLogin | None:
    entry = _SHELF.get(store, provider, label)
    return None if entry is None else StoredLogin(provider, label, entry.credential, entry.base_url)


def remove_login(store: SecretStore, provider: str, label: str) -> bool:
    """Forget a login; False when there was none."""
    return _SHELF.remove(store, provider, label)


def label_for(store: SecretStore, provider: str, credential: Credential) -> str:
    """The label of a new login: its e-mail or login name, told apart by plan and account id from another account of
    the same name. The same account keeps its label."""
    plain = "".join(c if c.isprintable() and c != "/" else "-" for c in credential.email or credential.id).strip()
    name = plain[:_LONGEST_LABEL] or "default"
    unique = hashlib.sha256((credential.id or credential.refresh or credential.access).encode()).hexdigest()[:8]
    with_plan = [f"{name}-{credential.plan}"] if credential.plan.isalnum() else []
    for label in (name, *with_plan):
        known = find_login(store, provider, label)
        if known is None or _same(known.credential, credential):
            return label
    return f"{name}-{unique}"


def _same(one: Credential, other: Credential) -> bool:
    """Whether both are the same account at the provider; nameless ones never are."""
    if one.id or other.id:
        return one.id == other.id
    return bool(one.email) and one.email == other.email


@contextlib.contextmanager
def holding(folder: Path, account: str, *, wait: bool = True, store: SecretStore | None = None) -> Iterator[None]:
    """Hold the lock of one account's login, among all who have the store; without `wait` one that is taken raises
    BlockingIOError.

    It ends with the process, so nobody has to clean up after a crash.
    """
    if isinstance(store, PostgresStore):
        while True:
            with contextlib.ExitStack() as held:
                try:
                    held.enter_context(store.holding(account))
                except BlockingIOError:
                    if not wait:
                        raise
                else:
                    yield
                    return
            time.sleep(_PAUSE_S)
    name = hashlib.sha256(account.encode()).hexdigest()[:16]
    with locked(folder / "logins" / f"{name}.lock", wait=wait):
        yield
