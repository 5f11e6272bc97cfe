"""Pieces into the tables: the rows, their sums by hour and day, what is paid for them, and how far the writer is, in
one transaction.

Rule: a piece that is in the books already is left out, however often it is tried: the transaction that has the rows has
the number of the last one. What is done for every batch goes past SQLAlchemy, which takes longer to hand a statement on
than SQLite to execute it, in statements of a few sizes, many rows each. Runs in the database's thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from sqlite3 import DataError as SqliteDataError
from sqlite3 import IntegrityError as SqliteIntegrityError
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from llm_mux.ledger.balances import Settlement
from llm_mux.ledger.gather import MEASURES, Gathered, Group, gathered, merge
from llm_mux.ledger.payments import pay
from llm_mux.ledger.rows import MOST, SECONDS_A_DAY, SECONDS_AN_HOUR, Exchange, mended
from llm_mux.ledger.schema import (
    exchange_names,
    exchange_rows,
    metadata,
    usage_days,
    usage_hours,
    usage_totals,
    writers,
)
from llm_mux.ledger.spool import Piece

SIZES = (256, 64, 16, 4, 1)
"""Rows of one statement; PostgreSQL and SQLite take 32,767 values in one."""

_FAULTS = (
    DataError,
    IntegrityError,
    SqliteDataError,
    SqliteIntegrityError,
    OverflowError,
    ValueError,
    TypeError,
)

_SUM = {
    "sqlite": "{name} = {table}.{name} + excluded.{name}",
    "postgresql": f"{{name}} = LEAST({{table}}.{{name}}::numeric + excluded.{{name}}, {MOST})::bigint",
}
"""SQLite goes on in floats where a sum is too large, PostgreSQL would refuse the batch."""


class Written(NamedTuple):
    """How many rows and payments no column took, and the balances of those who paid."""

    rejected: int
    unpaid: int
    balances: dict[str, Decimal]


def write(connection: Connection, writer: str, pieces: Sequence[Piece], now: float) -> Written:
    """Write what is not there yet. A bad row fails all of them, `fault_of_a_row`: `write_carefully` is for those."""
    new = _new(connection, writer, pieces, now)
    rows = [piece.row for piece in new if piece.row is not None]
    payments = [piece.payment for piece in new if piece.payment is not None]
    if rows:
        batch = gathered(rows)
        _insert_rows(connection, batch)
        _add_up(connection, batch)
    balances = pay(connection, payments) if payments else {}
    if new:
        _remember(connection, writer, pieces[-1].number, now)
    return Written(0, 0, balances)


def write_carefully(connection: Connection, writer: str, pieces: Sequence[Piece], now: float) -> Written:
    """As `write`, row by row: one that no column takes, even mended, costs only itself."""
    new = _new(connection, writer, pieces, now)
    rows = [piece.row for piece in new if piece.row is not None]
    payments = [piece.payment for piece in new if piece.payment is not None]
    taken = [kept for row in rows if (kept := _tried(connection, row)) is not None]
    if taken:
        _add_up(connection, gathered(taken))
    balances: dict[str, Decimal] = {}
    unpaid = sum(not _paid(connection, each, balances) for each in payments)
    if new:
        _remember(connection, writer, pieces[-1].number, now)
    return Written(len(rows) - len(taken), unpaid, balances)


def _paid(connection: Connection, payment: Settlement, balances: dict[str, Decimal]) -> bool:
    try:
        with connection.begin_nested():
            balances |= pay(connection, [payment])
    except Exception as error:
        if fault_of_a_row(error):
            return False
        raise
    return True


def _tried(connection: Connection, row: Exchange) -> Exchange | None:
    try:
        row = mended(row)
        with connection.begin_nested():
            _insert_rows(connection, gathered([row]))
    except Exception as error:
        if fault_of_a_row(error):
            return None
        raise
    return row


def fault_of_a_row(error: Exception) -> bool:
    """Whether a value was refused, so that trying the same again cannot help. SQLAlchemy does not know asyncpg's error
    of that kind; its code begins with 22."""
    refused = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig is not None else None
    return isinstance(error, _FAULTS) or str(getattr(refused, "sqlstate", "")).startswith("22")


def _insert_rows(connection: Connection, batch: Gathered) -> None:
    _insert(connection, exchange_names, batch.names)
    _insert(connection, exchange_rows, batch.rows)


def _insert(connection: Connection, table: Table, values: Sequence[tuple[Any, ...]]) -> None:
    """Lines into a table, or onto those that are there."""
    start = 0
    for size in SIZES:
        while len(values) - start >= size:
            piece = tuple(chain.from_iterable(values[start : start + size]))
            _run(connection, _insert_sql(connection.dialect.name, table.name, size), piece)
            start += size


def _run(connection: Connection, sql: str, values: tuple[Any, ...]) -> Any:
    """The result of a statement."""
    if connection.dialect.name == "sqlite":
        return connection.connection.cursor().execute(sql, values)
    return connection.exec_driver_sql(sql, values)


def _new(connection: Connection, writer: str, pieces: Sequence[Piece], now: float) -> Sequence[Piece]:
    assert pieces[0].number <= pieces[-1].number
    found = _last(connection, writer)
    if found is None:
        # A transaction whose end nobody heard of may still run: whoever is first with this line makes the other wait.
        places = _places(connection.dialect.name, 3, 0)
        _run(connection, f"INSERT INTO {writers.name} VALUES ({places}) ON CONFLICT DO NOTHING", (writer, 0, now))  # noqa: S608
        found = _last(connection, writer)
    known = found or 0
    return pieces if pieces[0].number > known else [piece for piece in pieces if piece.number > known]


def _last(connection: Connection, writer: str) -> int | None:
    """The number of the last piece of a writer that is in the books."""
    place = "$1 FOR UPDATE" if connection.dialect.name == "postgresql" else "?"
    line = _run(connection, f"SELECT batch FROM {writers.name} WHERE writer = {place}", (writer,)).fetchone()  # noqa: S608
    return None if line is None else int(line[0])


def _remember(connection: Connection, writer: str, number: int, now: float) -> None:
    _insert(connection, writers, [(writer, number, now)])


def _add_up(connection: Connection, batch: Gathered) -> None:
    days: dict[tuple[int, Group], list[int]] = {}
    totals: dict[tuple[int, Group], list[int]] = {}
    for (hour, group), values in batch.hours.items():
        merge(days, (hour * SECONDS_AN_HOUR // SECONDS_A_DAY, group), values)
        merge(totals, (hour, ()), values)
    for table, found in ((usage_hours, batch.hours), (usage_days, days), (usage_totals, totals)):
        # In one order everywhere: two daemons that add to the same sums never wait for each other in a ring.
        _insert(connection, table, [(period, *group, *values) for (period, group), values in sorted(found.items())])


@lru_cache(maxsize=64)
def _insert_sql(dialect: str, table: str, size: int) -> str:
    """A statement with a place for each value of `size` lines."""
    numbered = metadata.tables[table] is exchange_rows
    columns = [column.name for column in metadata.tables[table].columns if not numbered or column.name != "id"]
    names = ", ".join(f'"{name}"' for name in columns)
    lines = ", ".join(f"({_places(dialect, len(columns), line * len(columns))})" for line in range(size))
    return f"INSERT INTO {table} ({names}) VALUES {lines}{_onto(dialect, table)}"  # noqa: S608  # names of the schema


def _places(dialect: str, count: int, first: int) -> str:
    numbers = range(first + 1, first + count + 1)
    return ", ".join(f"${number}" if dialect == "postgresql" else "?" for number in numbers)


def _onto(dialect: str, table: str) -> str:
    """What becomes of a line that is there already: names stay, sums are added to, a writer's place is replaced."""
    if table == exchange_rows.name:
        return ""
    if table == exchange_names.name:
        return " ON CONFLICT (id) DO NOTHING"
    key = ", ".join(f'"{column.name}"' for column in metadata.tables[table].primary_key.columns)
    added = ", ".join(_SUM[dialect].format(name=name, table=table) for name in MEASURES)
    change = "batch = excluded.batch, time = excluded.time" if table == writers.name else added
    return f" ON CONFLICT ({key}) DO UPDATE SET {change}"
