"""`llm-mux billing`: balances of the users of this daemon.

Rule: as with keys, the database is written directly; a running daemon sees it with the next request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

import click

from llm_mux.cli.client import caught_up
from llm_mux.cli.invocation import Failure, Invocation, pass_invocation, with_database
from llm_mux.cli.keys import dollars
from llm_mux.cli.said import clean

if TYPE_CHECKING:
    from llm_mux.ledger.balances import Balances, Transaction

T = TypeVar("T")
_MOST_LISTED = 1000


@click.group()
def billing() -> None:
    """Show and credit the balances of this daemon's users."""


# A negative amount is no option.
@billing.command(context_settings={"ignore_unknown_options": True})
@click.argument("user")
@click.argument("amount", type=dollars)
@click.option("--description", default="Credit", help="What the transaction says.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_invocation
def credit(invocation: Invocation, user: str, amount: Decimal, description: str, as_json: bool) -> None:
    """Give USER an AMOUNT of US dollars; a negative one takes it."""
    made = _with(invocation, lambda balances: balances.credit(user, amount, description, time.time()))
    if as_json:
        click.echo(json.dumps(_plain(made), indent=2))
    else:
        click.echo(f"{clean(user)}: {_usd(made.amount, '+')} USD, now {_usd(made.balance_after)} USD")
    if not invocation.load().config.billing.enabled:
        click.echo("Balances are not looked at while billing.enabled is false.", err=True)


@billing.command()
@click.argument("user", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_invocation
def balance(invocation: Invocation, user: str | None, as_json: bool) -> None:
    """Show the balance of USER, or those of all users."""

    async def found(balances: Balances) -> list[tuple[str, Decimal]]:
        if user is not None:
            known = await balances.known(user)
            return [(user, balances.initial if known is None else known)]
        return (await balances.listed(limit=_MOST_LISTED, offset=0))[0]

    shown = _with(invocation, found)
    if as_json:
        click.echo(json.dumps([{"user_id": name, "balance": _usd(amount)} for name, amount in shown], indent=2))
    elif not shown:
        click.echo("nobody has a balance yet; give one with: llm-mux billing credit USER AMOUNT")
    else:
        _table(("user", "USD"), [(name, _usd(amount)) for name, amount in shown])


@billing.command()
@click.argument("user")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, help="How many to show (20).")
@click.option("--offset", type=click.IntRange(0, 2**31 - 1), default=0, help="How many of the newest to leave out.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_invocation
def transactions(invocation: Invocation, user: str, limit: int, offset: int, as_json: bool) -> None:
    """List what changed the balance of USER, newest first."""
    found, total = _with(invocation, lambda balances: balances.transactions(user, limit=limit, offset=offset))
    if as_json:
        click.echo(json.dumps({"transactions": [_plain(each) for each in found], "total": total}, indent=2))
    elif not found:
        click.echo(f"no transactions of {clean(user)}")
    else:
        rows = [(each.timestamp, _usd(each.amount, "+"), _usd(each.balance_after), each.description) for each in found]
        _table(("time", "USD", "after", "what"), rows)


def _with(invocation: Invocation, use: Callable[[Balances], Awaitable[T]]) -> T:
    """What `use` makes of the balances; what is wrong with it as one line."""
    from llm_mux.ledger.balances import Balances, MoneyProblem

    initial = invocation.load().config.billing.initial_balance
    caught_up()
    try:
        return with_database(invocation, lambda database: use(Balances(database, initial)))
    except MoneyProblem as error:
        raise Failure(clean(str(error))) from error


def _plain(made: Transaction) -> dict[str, str]:
    values = {name: getattr(made, name) for name in made.__struct_fields__}
    return {name: _usd(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def _usd(amount: Decimal, plus: str = "") -> str:
    from llm_mux.ledger.balances import usd

    return f"{plus if amount > 0 else ''}{usd(amount)}"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold", justify="right" if title in ("USD", "after") else "left")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    Console().print(table)
