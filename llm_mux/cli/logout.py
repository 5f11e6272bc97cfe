"""`llm-mux logout`: forget a provider's stored key or login; the provider is told where it wants to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llm_mux.cli.invocation import Failure, Invocation, full_name, open_secrets, pass_invocation, warn

if TYPE_CHECKING:
    from llm_mux.auth.store import SecretStore
    from llm_mux.config import Loaded


@click.command()
@click.argument("provider")
@click.argument("label", required=False)
@click.option("--all", "every", is_flag=True, help="Forget all accounts of the provider.")
@pass_invocation
def logout(invocation: Invocation, provider: str, label: str | None, every: bool) -> None:
    """Forget an account.

    LABEL may be left out when the provider has only one; PROVIDER/LABEL works too.
    """
    from llm_mux.auth.keys import accounts
    from llm_mux.auth.logins import login_accounts

    if "/" in provider and label is None:
        provider, _, label = provider.partition("/")
    loaded = invocation.load()
    provider = full_name(provider, loaded)
    store = open_secrets()
    known = [each for _, each in (*accounts(store, provider), *login_accounts(store, provider))]
    if not known:
        others = _others([*accounts(store), *login_accounts(store)], provider)
        raise Failure(f"no account of {provider} is stored{others}")
    for each in _chosen(provider, label, known, every=every):
        _forget(store, loaded, provider, each)
        click.echo(f"Forgot {provider}/{each}.")


def _forget(store: SecretStore, loaded: Loaded, provider: str, label: str) -> None:
    """Here it is forgotten whatever the provider says."""
    from llm_mux.auth.keys import enable, remove
    from llm_mux.auth.logins import find_login, remove_login
    from llm_mux.cli.signing_in import revoked

    login = find_login(store, provider, label)
    if login is not None:
        problem = revoked(login, loaded)
        if problem is not None:
            warn(f"{login.account} was not revoked: {problem}")
        remove_login(store, provider, label)
    remove(store, provider, label)
    enable(store, f"{provider}/{label}")


def _chosen(provider: str, label: str | None, known: list[str], *, every: bool) -> list[str]:
    if every:
        return known
    if label is None and len(known) == 1:
        return known
    if label is None:
        raise click.UsageError(f"{provider} has several accounts ({', '.join(known)}): name one, or use --all")
    if label not in known:
        raise Failure(f"{provider} has no account {label}; there is: {', '.join(known)}")
    return [label]


def _others(stored: list[tuple[str, str]], provider: str) -> str:
    from llm_mux.config import nearest

    near = nearest(provider, {owner for owner, _ in stored})
    return f'; did you mean "{near}"?' if near else ""
