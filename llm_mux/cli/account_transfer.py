"""Stored accounts on another machine by way of an encrypted file.

Rule: a secret leaves the store only into the store, or into a file that a passphrase opens (scrypt and AES-GCM, the
same form as the secret file).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_mux.cli.invocation import Failure, warn

if TYPE_CHECKING:
    from llm_mux.auth.store import SecretStore

_KINDS = ("api-key/", "login/")
_LEAST_PASSPHRASE = 8


def exported(store: SecretStore, file: str, names: tuple[str, ...], *, force: bool) -> list[str]:
    """Writes the file; the accounts that it holds."""
    from llm_mux.auth.sealed import SealedFile
    from llm_mux.paths import write_private

    target = Path(file).expanduser()
    if target.exists() and not force:
        raise Failure(f"{file} is there already; --force replaces it")
    secrets = _secrets(store, names)
    passphrase = _passphrase(new=True)
    with tempfile.TemporaryDirectory() as folder:
        sealed = SealedFile(Path(folder), passphrase=passphrase)
        for name, value in secrets.items():
            sealed.set(name, value)
        write_private(target.absolute(), sealed.path.read_bytes())
    if any(name.startswith("login/") for name in secrets):
        warn("a login whose tokens rotate goes on in one place only: log out here once it is imported elsewhere")
    return sorted(name.partition("/")[2] for name in secrets)


def _secrets(store: SecretStore, names: tuple[str, ...]) -> Mapping[str, str]:
    known = [name for name in store.names() if name.startswith(_KINDS)]
    accounts = {name.partition("/")[2] for name in known}
    missing = [name for name in names if name not in accounts]
    if missing:
        raise Failure(f"no account {missing[0]} is stored")
    chosen = [name for name in known if not names or name.partition("/")[2] in names]
    if not chosen:
        raise Failure("no accounts are stored")
    return {name: value for name in chosen if (value := store.get(name)) is not None}


def imported(store: SecretStore, file: str, *, force: bool) -> tuple[list[str], list[str]]:
    """The accounts that were taken over, and those that were left out."""
    from llm_mux.auth.sealed import SealedFile, StoreError
    from llm_mux.paths import write_private

    with tempfile.TemporaryDirectory() as folder:
        sealed = SealedFile(Path(folder), passphrase=_passphrase(new=False))
        write_private(sealed.path, Path(file).read_bytes())
        try:
            found = {name: sealed.get(name) or "" for name in sealed.names() if name.startswith(_KINDS)}
        except StoreError as error:
            raise Failure(f"{file}: cannot be opened: the passphrase is wrong, or it is no file of accounts") from error
    there = {name.partition("/")[2] for name in store.names() if name.startswith(_KINDS)}
    taken, left = [], []
    for name, value in found.items():
        account = name.partition("/")[2]
        if account in there and not force:
            left.append(account)
            continue
        for kind in _KINDS:
            if kind + account in store.names():
                store.delete(kind + account)
        store.set(name, value)
        taken.append(account)
    return sorted(taken), sorted(left)


def _passphrase(*, new: bool) -> str:
    """Asked for without echo; from a pipe its first line."""
    if not sys.stdin.isatty():
        text = sys.stdin.readline().rstrip("\n")
    else:
        text = click.prompt("Passphrase of the file", hide_input=True, confirmation_prompt=new, err=True)
    if new and len(text) < _LEAST_PASSPHRASE:
        raise Failure(f"the passphrase must have {_LEAST_PASSPHRASE} characters or more")
    return text
