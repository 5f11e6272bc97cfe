"""`llm-mux keys`: the keys that this daemon's clients use.

Rule: the database is written directly, so it does not matter whether a daemon runs; one that does takes changes up by
itself within a second. A key is printed once, alone on standard output, so that it can be piped.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llm_mux.cli.client import caught_up
from llm_mux.cli.invocation import Failure, Invocation, pass_invocation, with_database
from llm_mux.cli.said import clean

if TYPE_CHECKING:
    from llm_mux.auth.scopes import Scopes
    from llm_mux.ledger.balances import Spent
    from llm_mux.ledger.database import Database
    from llm_mux.ledger.keys import ClientKey, KeyTable

T = TypeVar("T")
_OF = {"model": "models", "provider": "providers", "account": "accounts"}
_LIMITS = ("requests_per_minute", "requests_per_hour", "tokens_per_minute", "concurrent")
_BUDGETS = ("daily_budget", "monthly_budget")
_NAMES = [name.replace("_", "-") for name in (*_OF, *_LIMITS, *_BUDGETS, "expires")]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PERIOD = re.compile(r"(\d{1,6})([smhdw])")


def period(value: str) -> float:
    """Seconds, written like 30d or 12h."""
    found = _PERIOD.fullmatch(value)
    if found is None:
        raise click.BadParameter(f'"{value}" is no period: write 30s, 15m, 12h, 30d or 4w')
    return float(int(found[1]) * _UNITS[found[2]])


def end(value: str) -> float:
    """A moment in unix seconds, written as a period from now or as a date in UTC."""
    if _PERIOD.fullmatch(value):
        return time.time() + period(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f'"{value}" is neither a period such as 30d nor a date such as 2030-12-31') from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def dollars(value: str) -> Decimal:
    """An exact amount of US dollars."""
    from llm_mux.auth.scopes import amount_problem

    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise click.BadParameter(f'"{value}" is no amount of US dollars') from None
    if (wrong := amount_problem(amount)) is not None:
        raise click.BadParameter(wrong)
    return amount


_SCOPES = (
    click.option("--model", "models", multiple=True, metavar="WILDCARD", help="Only these models; may be repeated."),
    click.option(
        "--provider", "providers", multiple=True, metavar="WILDCARD", help="Only these providers; may be repeated."
    ),
    click.option("--account", "accounts", multiple=True, metavar="WILDCARD", help="Only these accounts; repeatable."),
    click.option("--requests-per-minute", type=click.IntRange(1), metavar="N", help="Requests in any 60 seconds."),
    click.option("--requests-per-hour", type=click.IntRange(1), metavar="N", help="Requests in any 60 minutes."),
    click.option("--tokens-per-minute", type=click.IntRange(1), metavar="N", help="Tokens in any 60 seconds."),
    click.option("--concurrent", type=click.IntRange(1), metavar="N", help="Requests at the same time."),
    click.option("--daily-budget", type=dollars, metavar="USD", help="Most that it may spend on a day (UTC)."),
    click.option("--monthly-budget", type=dollars, metavar="USD", help="Most that it may spend in a month (UTC)."),
    click.option("--expires", type=end, metavar="WHEN", help="When it ends: a period (30d) or a date (2030-12-31)."),
)
"""What a key may do, for the commands that say so."""


def _scoped(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_SCOPES):
        command = option(command)
    return command


@click.group()
def keys() -> None:
    """Make, list, change and revoke the keys of clients."""


@keys.command()
@click.argument("name")
@click.option("--user", help="Who the key belongs to; keys of one user share limits, balance and stored responses.")
@_scoped
@click.option("--json", "as_json", is_flag=True, help="Print JSON, the key included.")
@pass_invocation
def create(
    invocation: Invocation,
    /,
    name: str,
    user: str | None,
    expires: float | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Make a key called NAME. It is shown once and kept nowhere."""
    from llm_mux.auth.scopes import Scopes

    if expires is not None and expires <= time.time():
        raise click.UsageError("--expires is over already: this key would open nothing")
    scopes = _with(Scopes(), given)
    made, secret = _in_table(
        invocation, lambda table: table.create(name, now=time.time(), user=user, scopes=scopes, expires=expires)
    )
    _show_new(invocation, made, secret, as_json=as_json)


@keys.command()
@click.argument("key")
@_scoped
@click.option(
    "--without",
    metavar="NAME",
    multiple=True,
    type=click.Choice(_NAMES),
    help="Take away model, provider, account, a limit, a budget or expires; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_invocation
def update(
    invocation: Invocation,
    /,
    key: str,
    expires: float | None,
    without: Sequence[str],
    as_json: bool,
    **given: Any,
) -> None:
    """Change what KEY (its name or id) may do. What is not named stays as it is; lists are replaced."""
    import msgspec

    named = {name.replace("-", "_") for name in without}
    if twice := sorted(name for name in named if given.get(_OF.get(name, name)) or (name == "expires" and expires)):
        raise click.UsageError(f"--{twice[0].replace('_', '-')} is given and taken away at once")
    if not named and expires is None and not any(given.values()):
        raise click.UsageError(f"say what to change: --{', --'.join(_NAMES)}, or --without one of them")

    def changed(found: ClientKey) -> ClientKey:
        end = None if "expires" in named else found.expires if expires is None else expires
        return msgspec.structs.replace(found, scopes=_with(found.scopes, given, named), expires=end)

    made = _in_table(invocation, lambda table: table.change(key, changed))
    if as_json:
        click.echo(json.dumps(described(made, time.time()), indent=2))
    else:
        click.echo(f"{clean(made.name)} ({made.id}) may use: {clean(_said(made.scopes))}.")


def _with(scopes: Scopes, given: Mapping[str, Any], without: Container[str] = ()) -> Scopes:
    """Scopes with what was given on the command line, and without what was taken away."""
    import msgspec

    from llm_mux.auth.scopes import Scopes

    everything = Scopes()

    def picked(name: str, there: Any, nothing: Any) -> Any:
        value = given[_OF.get(name, name)]
        return nothing if name in without else there if value in (None, ()) else value

    limits = {name: picked(name, getattr(scopes.limits, name), None) for name in _LIMITS}
    return msgspec.structs.replace(
        scopes,
        limits=msgspec.structs.replace(scopes.limits, **limits),
        **{into: tuple(picked(name, getattr(scopes, into), ())) for name, into in _OF.items()},
        **{name: picked(name, getattr(scopes, name), getattr(everything, name)) for name in _BUDGETS},
    )


@keys.command("list")
@click.option("--all", "every", is_flag=True, help="Also revoked and expired keys.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_invocation
def list_keys(invocation: Invocation, every: bool, as_json: bool) -> None:
    """List the keys, without the keys themselves."""
    now = time.time()
    caught_up()
    found, spent = with_database(invocation, lambda database: _found(database, now))
    shown = [key for key in found if every or key.state(now) == "active"]
    if as_json:
        click.echo(json.dumps([{**described(key, now), "spent": _spending(key, spent)} for key in shown], indent=2))
    elif not shown:
        click.echo("no keys; make one with: llm-mux keys create NAME")
    else:
        _show(shown, spent, now)


async def _found(database: Database, now: float) -> tuple[list[ClientKey], dict[str, Spent]]:
    """All keys, and what those with budgets have spent of them."""
    from llm_mux.ledger.balances import Balances
    from llm_mux.ledger.keys import KeyTable

    return await KeyTable(database).listed(), await Balances(database).spent(now)


def _spending(key: ClientKey, spent: Mapping[str, Spent]) -> dict[str, str] | None:
    from llm_mux.ledger.balances import Spent, usd

    found = spent.get(key.id, Spent())
    return {"day": usd(found.day), "month": usd(found.month)} if key.scopes.budgeted else None


@keys.command()
@click.argument("key")
@pass_invocation
def revoke(invocation: Invocation, key: str) -> None:
    """End KEY (its name or id) for good."""
    gone = _in_table(invocation, lambda table: table.revoke(key, now=time.time()))
    click.echo(f"Revoked {clean(gone.name)} ({gone.id}). A running daemon refuses it from the next second on.")


@keys.command()
@click.argument("key")
@click.option("--grace", type=period, default="0s", metavar="PERIOD", help="How long the former key works too: 1h.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, the key included.")
@pass_invocation
def rotate(invocation: Invocation, key: str, grace: float, as_json: bool) -> None:
    """Give KEY (a name or id) a new secret.

    Its scopes, user and usage stay.
    """
    made, secret = _in_table(invocation, lambda table: table.rotate(key, now=time.time(), grace_s=grace))
    _show_new(invocation, made, secret, as_json=as_json)


@keys.command()
@click.option("--user", required=True, help="Who the token is for.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=30.0, help="How long it counts (30).")
@pass_invocation
def jwt(invocation: Invocation, user: str, minutes: float) -> None:
    """Sign a token for a user with the secret of `auth.jwt`."""
    import os

    from llm_mux.auth.jwt import sign
    from llm_mux.config import from_env

    settings = invocation.load().config.auth.jwt
    secret = from_env(settings.secret, os.environ)
    if not secret:
        raise Failure("auth.jwt.secret is not set: tokens of a JWKS are signed by whoever has its private keys")
    if not user.strip() or not user.isprintable():
        raise click.UsageError("--user must be printable")
    click.echo(sign(settings, secret, user, now=time.time(), minutes=minutes))


def _in_table(invocation: Invocation, use: Callable[[KeyTable], Awaitable[T]]) -> T:
    """What `use` makes of the table; what is wrong with it as one line."""
    from llm_mux.ledger.keys import KeyProblem, KeyTable

    try:
        return with_database(invocation, lambda database: use(KeyTable(database)))
    except KeyProblem as error:
        raise Failure(clean(str(error))) from error


def _show_new(invocation: Invocation, key: ClientKey, secret: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**described(key, time.time()), "key": secret}, indent=2))
    else:
        click.echo(secret)
        click.echo(f"This is the key {clean(key.name)} ({key.id}); it cannot be shown again.", err=True)
    if invocation.load().config.disable_auth:
        click.echo("Keys are not asked for while disable-auth is true: set disable-auth: false.", err=True)


def described(key: ClientKey, now: float) -> dict[str, object]:
    """A key as JSON, times in ISO form; without what is secret."""
    import msgspec

    from llm_mux.auth.scopes import written

    shown = msgspec.to_builtins(key)
    shown["scopes"] = written(key.scopes)
    for name in ("created", "expires", "revoked", "former_until"):
        shown[name] = None if shown[name] is None else datetime.fromtimestamp(shown[name], UTC).isoformat()
    return {**shown, "state": key.state(now)}


def _show(found: Sequence[ClientKey], spent: Mapping[str, Spent], now: float) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("name", "id", "key", "user", "state", "expires", "may"):
        table.add_column(title, overflow="fold")
    for key in found:
        end = "" if key.expires is None else datetime.fromtimestamp(key.expires, UTC).strftime("%Y-%m-%d %H:%M")
        cells = (
            key.name,
            key.id,
            key.hint,
            key.user or "",
            key.state(now),
            end,
            _said(key.scopes, _spending(key, spent)),
        )
        table.add_row(*(Text(clean(cell)) for cell in cells))
    Console().print(table)


def _said(scopes: Scopes, spent: Mapping[str, str] | None = None) -> str:
    """Scopes in a few words."""
    used = {period: f" ({amount} spent)" for period, amount in (spent or {}).items()}
    words = [" ".join(scopes.models), " ".join(scopes.providers), " ".join(scopes.accounts)]
    limits = scopes.limits
    for amount, unit in (
        (limits.requests_per_minute, "requests/min"),
        (limits.requests_per_hour, "requests/h"),
        (limits.tokens_per_minute, "tokens/min"),
        (limits.concurrent, "at once"),
        (scopes.daily_budget, f"USD/day{used.get('day', '')}"),
        (scopes.monthly_budget, f"USD/month{used.get('month', '')}"),
    ):
        words.append(f"{amount} {unit}" if amount is not None else "")
    return ", ".join(word for word in words if word) or "everything"
