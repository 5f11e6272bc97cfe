"""Pieces into the tables: the rows, their sums by hour and day, what is paid for them, and how far the writer is, in
one transaction.

Rule: a piece that is in the books already is left out, however often it is tried: the transaction that has the rows has
the number of the last one. Runs in the database's thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from llm_mux.ledger.balances import Settlement, holds_of
from llm_mux.ledger.gather import Gathered, Group, gathered, merge
from llm_mux.ledger.rows import SECONDS_A_DAY, SECONDS_AN_HOUR, Exchange, mended
from llm_mux.ledger.spool import Piece
from llm_mux.ledger.statements import Statements, insert

_FAULTS = ("DataError", "IntegrityError", "OverflowError", "ValueError", "TypeError")
"""By their names, which are the same in sqlite3 and SQLAlchemy; the latter may not be loaded."""


class Written(NamedTuple):
    """How many rows the books have of the pieces; how many rows and payments no column took; the balances of those who
    paid."""

    rows: int
    rejected: int
    unpaid: int
    balances: dict[str, Decimal]


def write(books: Statements, writer: str, pieces: Sequence[Piece], now: float) -> Written:
    """Write what is not there yet. A bad row fails all of them, `fault_of_a_row`: `write_carefully` is for those."""
    new = _new(books, writer, pieces, now)
    rows = [piece.row for piece in new if piece.row is not None]
    payments = [piece.payment for piece in new if piece.payment is not None]
    if rows:
        batch = gathered(rows)
        _insert_rows(books, batch, len(rows))
        _add_up(books, batch)
    there = len(rows) if new is pieces else _rows(pieces)
    return Written(there, 0, 0, _pay(books, payments) if payments else {})


def write_carefully(books: Statements, writer: str, pieces: Sequence[Piece], now: float) -> Written:
    """As `write`, row by row: one that no column takes, even mended, costs only itself."""
    new = _new(books, writer, pieces, now)
    rows = [piece.row for piece in new if piece.row is not None]
    payments = [piece.payment for piece in new if piece.payment is not None]
    taken = [kept for row in rows if (kept := _tried(books, row)) is not None]
    if taken:
        _add_up(books, gathered(taken))
    balances: dict[str, Decimal] = {}
    unpaid = sum(not _paid(books, each, balances) for each in payments)
    rejected = len(rows) - len(taken)
    return Written(_rows(pieces) - rejected, rejected, unpaid, balances)


def _rows(pieces: Sequence[Piece]) -> int:
    return sum(piece.row is not None for piece in pieces)


def free(books: Statements, writer: str) -> int:
    """Ends the holds of a process that is gone, all of whose payments are made; how many there were."""
    prefix = holds_of(writer)
    return int(books.run("DELETE FROM holds WHERE substr(id, 1, ?) = ?", (len(prefix), prefix)).rowcount)


def fault_of_a_row(error: Exception) -> bool:
    """Whether a value was refused, so that trying the same again cannot help. SQLAlchemy does not know asyncpg's error
    of that kind; its code begins with 22."""
    refused = getattr(getattr(error, "orig", None), "__cause__", None)
    known = any(kind.__name__ in _FAULTS for kind in type(error).__mro__)
    return known or str(getattr(refused, "sqlstate", "")).startswith("22")


def _pay(books: Statements, payments: Sequence[Settlement]) -> dict[str, Decimal]:
    from llm_mux.ledger.payments import pay

    return pay(books.connection, payments)


def _paid(books: Statements, payment: Settlement, balances: dict[str, Decimal]) -> bool:
    try:
        with books.tried():
            balances |= _pay(books, [payment])
    except Exception as error:
        if fault_of_a_row(error):
            return False
        raise
    return True


def _tried(books: Statements, row: Exchange) -> Exchange | None:
    try:
        row = mended(row)
        with books.tried():
            _insert_rows(books, gathered([row]), 1)
    except Exception as error:
        if fault_of_a_row(error):
            return None
        raise
    return row


def _insert_rows(books: Statements, batch: Gathered, count: int) -> None:
    insert(books, "exchange_names", batch.names)
    insert(books, "exchange_batches", [(*batch.days, count, batch.rows)])


def _new(books: Statements, writer: str, pieces: Sequence[Piece], now: float) -> Sequence[Piece]:
    """The pieces that are not in the books, which from here on say that they have them."""
    first, last = pieces[0].number, pieces[-1].number
    assert first <= last
    forward = "UPDATE ledger_writers SET batch = ?, time = ? WHERE writer = ? AND batch < ?"
    if books.run(forward, (last, now, writer, first)).rowcount:
        return pieces
    # A transaction whose end nobody heard of may still run: whoever is first with this line makes the other wait.
    books.run("INSERT INTO ledger_writers VALUES (?, 0, ?) ON CONFLICT DO NOTHING", (writer, now))
    locked = " FOR UPDATE" if books.dialect == "postgresql" else ""
    (known,) = books.run(f"SELECT batch FROM ledger_writers WHERE writer = ?{locked}", (writer,)).fetchone()  # noqa: S608
    books.run(forward, (last, now, writer, last))
    return [piece for piece in pieces if piece.number > known]


def _add_up(books: Statements, batch: Gathered) -> None:
    days: dict[tuple[int, Group], list[int]] = {}
    totals: dict[tuple[int, Group], list[int]] = {}
    for (hour, group), values in batch.hours.items():
        merge(days, (hour * SECONDS_AN_HOUR // SECONDS_A_DAY, group), values)
        merge(totals, (hour, ()), values)
    for table, found in (("usage_hours", batch.hours), ("usage_days", days), ("usage_totals", totals)):
        # In one order everywhere: two daemons that add to the same sums never wait for each other in a ring.
        insert(books, table, [(period, *group, *values) for (period, group), values in sorted(found.items())])
