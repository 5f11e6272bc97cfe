"""`llm-mux logout`: forget a provider's stored key."""

from __future__ import annotations

import click

from llm_mux.cli.invocation import Failure, Invocation, full_name, open_secrets, pass_invocation


@click.command()
@click.argument("provider")
@click.argument("label", required=False)
@click.option("--all", "every", is_flag=True, help="Forget all accounts of the provider.")
@pass_invocation
def logout(invocation: Invocation, provider: str, label: str | None, every: bool) -> None:
    """Forget the stored account PROVIDER/LABEL; LABEL may be left out when there is only one."""
    from llm_mux.auth.keys import accounts, remove

    if "/" in provider and label is None:
        provider, _, label = provider.partition("/")
    provider = full_name(provider, invocation.load())
    store = open_secrets()
    known = [each for _, each in accounts(store, provider)]
    if not known:
        raise Failure(f"no key of {provider} is stored{_others(accounts(store), provider)}")
    for each in _chosen(provider, label, known, every=every):
        remove(store, provider, each)
        click.echo(f"Forgot {provider}/{each}.")


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
