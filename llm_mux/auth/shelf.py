"""One kind of entry in the secret store, kept by account (`provider/label`) as JSON under a prefix of its own."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from llm_mux.auth.store import SecretStore, StoreError

T = TypeVar("T", bound=msgspec.Struct)


class Shelf(Generic[T]):
    """`kind` names an entry in messages: "key", "login"."""

    def __init__(self, prefix: str, entry: type[T], kind: str) -> None:
        self._prefix = prefix
        self._entry = entry
        self._kind = kind

    def put(self, store: SecretStore, account: str, entry: T) -> None:
        """Store an entry; one of the same account is replaced."""
        store.set(self._prefix + account, msgspec.json.encode(entry).decode())

    def renew(self, store: SecretStore, account: str, entry: T) -> None:
        """Store what follows an entry that is there; no running daemon is told."""
        store.renew(self._prefix + account, msgspec.json.encode(entry).decode())

    def accounts(self, store: SecretStore, provider: str | None = None) -> list[tuple[str, str]]:
        """Provider and label of every entry, without opening them."""
        mine = (name.removeprefix(self._prefix) for name in store.names() if name.startswith(self._prefix))
        found = (name.partition("/") for name in mine)
        return [(owner, label) for owner, _, label in found if provider in (None, owner)]

    def get(self, store: SecretStore, provider: str, label: str) -> T | None:
        """The entry of an account, None when there is none. Raises `StoreError` for one that is damaged."""
        text = store.get(f"{self._prefix}{provider}/{label}")
        if text is None:
            return None
        try:
            return msgspec.json.decode(text, type=self._entry)
        except msgspec.MsgspecError as error:
            said = f"the stored {self._kind} of {provider}/{label} is damaged; run llm-mux login {provider}"
            raise StoreError(said) from error

    def remove(self, store: SecretStore, provider: str, label: str) -> bool:
        """Forget an entry; False when there was none."""
        if (provider, label) not in self.accounts(store, provider):
            return False
        store.delete(f"{self._prefix}{provider}/{label}")
        return True
