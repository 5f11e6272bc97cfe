"""What requests did cost, out of balances and into what keys spent, in the transaction that writes their rows.

Rule: a batch is written once (`insert`), so its payments are made once; one that a balance has seen already, under the
name of its hold, is not made again. Everybody locks balances in one order, so two daemons that pay at once never wait
for each other in a circle. Runs in the database's thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from llm_mux.ledger.balances import ZERO, Settlement, day_of
from llm_mux.ledger.rows import plain
from llm_mux.ledger.schema import balances, holds, spending, transactions

_AT_ONCE = 500


def pay(connection: Connection, settlements: Sequence[Settlement]) -> dict[str, Decimal]:
    """Ends the holds and pays what they cost; the balances of those who paid."""
    after: dict[str, Decimal] = {}
    for first in range(0, len(settlements), _AT_ONCE):
        after |= _paid(connection, settlements[first : first + _AT_ONCE])
    return after


def _paid(connection: Connection, settlements: Sequence[Settlement]) -> dict[str, Decimal]:
    ids = [each.hold.id for each in settlements]
    connection.execute(delete(holds).where(holds.c.id.in_(ids)))
    seen = set(connection.execute(select(transactions.c.hold).where(transactions.c.hold.in_(ids))).scalars())
    first = {each.hold.id: each for each in reversed(settlements) if each.cost and each.hold.id not in seen}
    due = list(reversed(first.values()))
    after: dict[str, Decimal] = {}
    for user in sorted({each.hold.user for each in due if each.hold.user is not None}):
        after[user] = _take(connection, user, [each for each in due if each.hold.user == user])
    _spend(connection, [each for each in due if each.hold.client_key is not None])
    return after


def _take(connection: Connection, user: str, due: Sequence[Settlement]) -> Decimal:
    """The balance after payments of one user, a transaction for each."""
    made = _insert(connection, balances).values(user=user, balance=ZERO, created=due[0].time)
    connection.execute(made.on_conflict_do_nothing(index_elements=["user"]))
    total = sum((each.cost for each in due), ZERO)
    taken = update(balances).where(balances.c.user == user).values(balance=balances.c.balance - total)
    after = Decimal(connection.execute(taken.returning(balances.c.balance)).scalar_one())
    balance, rows = after + total, []
    for each in due:
        balance -= each.cost
        what = {"description": plain(each.description), "hold": each.hold.id}
        rows.append({"user": user, "time": each.time, "amount": -each.cost, "balance_after": balance, **what})
    connection.execute(insert(transactions), rows)
    return after


def _spend(connection: Connection, due: Sequence[Settlement]) -> None:
    """Add what keys spent to the days on which they did."""
    sums: dict[tuple[str, int], Decimal] = {}
    for each in due:
        place = each.hold.client_key or "", day_of(each.time)
        sums[place] = sums.get(place, ZERO) + each.cost
    if not sums:
        return
    made = _insert(connection, spending)
    added = made.on_conflict_do_update(
        index_elements=["client_key", "day"], set_={"amount": spending.c.amount + made.excluded.amount}
    )
    rows = [{"client_key": key, "day": day, "amount": amount} for (key, day), amount in sorted(sums.items())]
    connection.execute(added, rows)


def _insert(connection: Connection, table: Table) -> Any:
    """An insert that may meet a row that is there."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
