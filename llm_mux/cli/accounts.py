"""`llm-mux accounts`: who can be sent to, how each is, and what can be done with one.

Rule: what the configuration, the environment and the secret store hold is read as the daemon reads it; how an account
is comes from the database, where the daemon notes it. No secret is printed.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct, field, to_builtins
from msgspec.structs import asdict

from llm_mux.cli.invocation import Failure, Invocation, open_secrets, pass_invocation, with_database
from llm_mux.cli.said import clean

if TYPE_CHECKING:
    from llm_mux.auth.store import SecretStore
    from llm_mux.ledger.account_table import AccountRow, Name
    from llm_mux.routing.accounts import Account


class Line(Struct, frozen=True):
    """One account for a person or a program. `expires` and `resets_at` are ISO dates in UTC."""

    name: str
    way: str
    state: str
    identity: str | None = None
    plan: str | None = None
    expires: str | None = None
    last_error: str | None = None
    quotas: list[dict[str, Any]] = field(default_factory=list)


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def accounts(ctx: click.Context, as_json: bool) -> None:
    """List the accounts and how they are.

    With label, plan, state, end of the token, quota windows and last error.
    """
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError("--json belongs to the list")
        return
    invocation = ctx.ensure_object(Invocation)
    store = open_secrets()
    found = present(invocation, store)
    noted = with_database(invocation, _noted)
    lines = [_line(account, noted, _off(store)) for account in found]
    if as_json:
        click.echo(json.dumps(to_builtins(lines), indent=2))
    elif not lines:
        click.echo("no accounts; add one: llm-mux login PROVIDER")
    else:
        _show(lines)


def present(invocation: Invocation, store: SecretStore) -> list[Account]:
    """Every account, as a daemon of this configuration would have it; disabled ones too."""
    from llm_mux.auth.keys import keys, resolve
    from llm_mux.auth.logins import logins
    from llm_mux.server.compose import fleet

    env = os.environ
    made = fleet(
        invocation.load().config,
        env,
        keys(store),
        logins=logins(store),
        secret=lambda text: resolve(text, env, store),
    )
    tentative = {offer.provider for offer in made.offers if offer.tentative}
    return [account for account in made.accounts if account.provider.name not in tentative]


def _off(store: SecretStore) -> frozenset[str]:
    from llm_mux.auth.keys import disabled

    return disabled(store)


async def _noted(database: Any) -> dict[Name, AccountRow]:
    from llm_mux.ledger.account_table import read

    found: dict[Name, AccountRow] = await database.look(read)
    return found


def _line(account: Account, noted: dict[Name, AccountRow], off: frozenset[str]) -> Line:
    from llm_mux.server.account_notes import row_of

    now = time.time()
    mine = row_of(account, None, 0.0, now)
    last = noted.get(mine.key)
    state = mine.state if last is None else last.state
    if account.name in off:
        state = "disabled"
    elif state == "ready" and mine.expires is not None and mine.expires < now and not _renews(account):
        state = "login needed"
    return Line(
        name=account.name,
        way=mine.way,
        state=state,
        identity=mine.identity,
        plan=mine.plan,
        expires=_date(mine.expires),
        last_error=None if last is None else last.last_error,
        quotas=[] if last is None else [_quota(each) for each in last.quotas if (each.resets_at or now) >= now],
    )


def _renews(account: Account) -> bool:
    return account.session is not None and account.session.login.refresh is not None


def _quota(quota: Any) -> dict[str, Any]:
    return {**asdict(quota), "resets_at": _date(quota.resets_at)}


def _date(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _show(lines: list[Line]) -> None:
    widths = [max(len(getattr(line, name) or "") for line in lines) for name in ("name", "way", "state")]
    for line in lines:
        head = "  ".join(
            text.ljust(width) for text, width in zip((line.name, line.way, line.state), widths, strict=True)
        )
        more = [f"plan {line.plan}"] if line.plan else []
        more += [f"token until {line.expires}"] if line.expires else []
        more += [_said(quota) for quota in line.quotas]
        click.echo(clean("  ".join((head, ", ".join(more))).rstrip()))
        if line.last_error and line.state != "ready":
            click.echo(clean(f"    {line.last_error}"))


def _said(quota: dict[str, Any]) -> str:
    left = f"{quota['used']:.0%} used" if quota["used"] is not None else f"{quota['remaining'] or 0:g} left"
    until = f" until {quota['resets_at']}" if quota["resets_at"] else ""
    return f"{quota['scope'] or 'all'} {quota['name']}: {left}{until}"


@accounts.command()
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_invocation
def test(invocation: Invocation, names: tuple[str, ...], as_json: bool) -> int:
    """Ask each provider with its account; nothing is spent.

    It is asked for what only a good key or login is told. NAMES: only these.
    """
    from llm_mux.cli.account_check import checked

    store = open_secrets()
    there = present(invocation, store)
    chosen = _chosen(there, names)
    results = asyncio.run(checked(chosen, there, store, lambda line: None if as_json else click.echo(clean(line))))
    if as_json:
        click.echo(json.dumps(to_builtins(results), indent=2))
    return 0 if all(each.ok for each in results) else 1


def _chosen(found: list[Account], names: tuple[str, ...]) -> list[Account]:
    known = {account.name: account for account in found}
    for name in names:
        if name not in known:
            raise Failure(_unknown(name, known))
    chosen = [known[name] for name in names] if names else found
    if not chosen:
        raise Failure("no accounts; add one: llm-mux login PROVIDER")
    return chosen


def _unknown(name: str, known: Any) -> str:
    from llm_mux.config import nearest

    near = nearest(name, list(known))
    return f"there is no account {name}" + (f'; did you mean "{near}"?' if near else "; llm-mux accounts lists them")


@accounts.command()
@click.argument("name")
@pass_invocation
def disable(invocation: Invocation, name: str) -> None:
    """Take account NAME out of use without forgetting it."""
    from llm_mux.auth import keys

    store = open_secrets()
    _chosen(present(invocation, store), (name,))
    keys.disable(store, name)
    click.echo(f"{name} is not used any more; back with: llm-mux accounts enable {name}")


@accounts.command()
@click.argument("name")
def enable(name: str) -> None:
    """Put account NAME back into use."""
    from llm_mux.auth import keys

    store = open_secrets()
    if name not in _off(store):
        raise Failure(f"{name} is not disabled")
    keys.enable(store, name)
    click.echo(f"{name} is in use again.")


@accounts.command()
@click.argument("name")
@click.argument("label")
@pass_invocation
def rename(invocation: Invocation, name: str, label: str) -> None:
    """Give account NAME (`provider/label`) another LABEL."""
    from llm_mux import paths
    from llm_mux.auth import keys, logins
    from llm_mux.server.signing import renamed

    provider, slash, old = name.partition("/")
    if not slash:
        raise click.UsageError("name the account as PROVIDER/LABEL")
    if not label.strip() or not label.isprintable() or "/" in label:
        raise click.UsageError("LABEL must be printable and without a slash")
    store = open_secrets()
    if keys.find(store, provider, label) or logins.find_login(store, provider, label):
        raise Failure(f"there is an account {provider}/{label} already")
    if not renamed(store, paths.data_dir(), provider, old, label):
        raise Failure(f"no account {name} is stored; one of the configuration is renamed there (label:)")

    async def note(database: Any) -> None:
        from llm_mux.ledger.account_table import rename as renamed_row

        await database.run(lambda books: renamed_row(books, (provider, old), label))

    with_database(invocation, note)
    click.echo(f"{name} is {provider}/{label} now.")


@accounts.command("export")
@click.argument("file", type=click.Path())
@click.argument("names", nargs=-1)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def export(file: str, names: tuple[str, ...], force: bool) -> None:
    """Write stored accounts into FILE, encrypted.

    The passphrase is asked for. NAMES: only these.
    """
    from llm_mux.cli.account_transfer import exported

    written = exported(open_secrets(), file, names, force=force)
    click.echo(f"Wrote {len(written)} accounts to {file}: {', '.join(map(clean, written))}.")


@accounts.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace accounts of the same name.")
def import_(file: str, force: bool) -> None:
    """Take over the accounts of an exported FILE."""
    from llm_mux.cli.account_transfer import imported

    taken, left = imported(open_secrets(), file, force=force)
    if left:
        click.echo(f"Left out, because they are there already (--force replaces): {', '.join(map(clean, left))}.")
    click.echo(f"Took over {len(taken)} accounts: {', '.join(map(clean, taken)) or 'none'}.")
