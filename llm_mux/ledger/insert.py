"""Pieces into the tables: the rows, their sums by hour and day, what is paid for them, and how far the writer is, in
one transaction.

Rule: a piece that is in the books already is left out, however often it is tried: the transaction that has the rows has
the number of the last one. What goes in as one statement for many rows is compiled once a size. Runs in the database's
thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from llm_mux.errors import Kind
from llm_mux.ledger.balances import Settlement
from llm_mux.ledger.payments import pay
from llm_mux.ledger.rows import SECONDS_A_DAY, SECONDS_AN_HOUR, Exchange, Value, columns, mended, plain
from llm_mux.ledger.schema import DIMENSIONS, MEASURES, exchanges, usage_days, usage_hours, writers
from llm_mux.ledger.spool import Piece

SIZES = (256, 64, 16, 4, 1)
"""Rows of one statement; PostgreSQL and SQLite take 32,767 values in one."""

_FAULTS = (DataError, IntegrityError, OverflowError, ValueError, TypeError)

_GONE = Kind.CLIENT_GONE.value
_NAMES = tuple(column.name for column in exchanges.columns if column.name != "id")

Group = tuple[str, ...]


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
        insert_rows(connection, [columns(row) for row in rows])
        _add_up(connection, rows)
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
    if rows:
        _add_up(connection, taken)
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
            insert_rows(connection, [columns(row)])
            _ = sums([row], SECONDS_A_DAY)
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


def insert_rows(connection: Connection, values: Sequence[tuple[Value, ...]]) -> None:
    """Rows as `rows.columns` makes them."""
    start = 0
    for size in SIZES:
        while len(values) - start >= size:
            piece = values[start : start + size]
            connection.exec_driver_sql(_insert_sql(connection.dialect.name, size), tuple(chain.from_iterable(piece)))
            start += size


def _new(connection: Connection, writer: str, pieces: Sequence[Piece], now: float) -> Sequence[Piece]:
    assert all(one.number < two.number for one, two in pairwise(pieces))
    query = select(writers.c.batch).where(writers.c.writer == writer).with_for_update()
    found = connection.execute(query).scalar()
    if found is None:
        # A transaction whose end nobody heard of may still run: whoever is first with this line makes the other wait.
        connection.exec_driver_sql(_upsert_sql(connection.dialect.name, "new writer"), (writer, 0, now))
        found = connection.execute(query).scalar()
    return [piece for piece in pieces if piece.number > (found or 0)]


def _remember(connection: Connection, writer: str, number: int, now: float) -> None:
    sql = _upsert_sql(connection.dialect.name, "writer")
    connection.exec_driver_sql(sql, (writer, number, now))


def _add_up(connection: Connection, rows: Iterable[Exchange]) -> None:
    hours = sums(rows, SECONDS_AN_HOUR)
    days: dict[tuple[int, Group], list[int]] = {}
    for (hour, group), values in hours.items():
        _merge(days, (hour * SECONDS_AN_HOUR // SECONDS_A_DAY, group), values)
    for table, found in ((usage_hours, hours), (usage_days, days)):
        # In one order everywhere: two daemons that add to the same sums never wait for each other in a ring.
        lines = [(period, *group, *values) for (period, group), values in sorted(found.items())]
        if lines:
            connection.exec_driver_sql(_upsert_sql(connection.dialect.name, table.name), lines)


def sums(rows: Iterable[Exchange], seconds: int) -> dict[tuple[int, Group], list[int]]:
    """(period, DIMENSIONS) -> MEASURES."""
    named: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        where = (
            int(row.time // seconds),
            row.model_served,
            row.provider,
            row.account,
            row.client_key,
            row.user,
            row.protocol,
        )
        values = named.get(where)
        if values is None:
            values = named[where] = [0] * len(MEASURES)
        _measure(row, values)
    found: dict[tuple[int, Group], list[int]] = {}
    for (period, *names), values in named.items():
        _merge(found, (period, tuple(plain(name or "") for name in names)), values)
    return found


def _merge(into: dict[tuple[int, Group], list[int]], key: tuple[int, Group], values: list[int]) -> None:
    there = into.get(key)
    into[key] = values if there is None else [one + two for one, two in zip(there, values, strict=True)]


def _measure(row: Exchange, values: list[int]) -> None:
    """Adds a row to MEASURES, in their order."""
    values[0] += 1
    if row.error_kind == _GONE:
        values[2] += 1
    elif row.error_kind is not None or row.status >= 400:
        values[1] += 1
    if row.attempts > 1:
        values[3] += row.attempts - 1
    values[4] += row.input_tokens
    values[5] += row.output_tokens
    values[6] += row.cache_read_tokens
    values[7] += row.cache_write_tokens
    if row.reasoning_tokens:
        values[8] += row.reasoning_tokens
    if row.cost is not None:
        values[10] += row.cost
    elif row.tokens > 0:
        values[9] += 1
    values[11] += round(row.duration_ms)
    if row.ttft_ms is not None:
        values[12] += round(row.ttft_ms)
        values[13] += 1


@lru_cache(maxsize=32)
def _insert_sql(dialect: str, size: int) -> str:
    """A statement with a place for each value of `size` rows."""
    names = ", ".join(f'"{name}"' for name in _NAMES)
    rows = ", ".join(f"({_places(dialect, len(_NAMES), first * len(_NAMES))})" for first in range(size))
    return f"INSERT INTO {exchanges.name} ({names}) VALUES {rows}"  # noqa: S608  # names of the schema


def _places(dialect: str, count: int, first: int) -> str:
    numbers = range(first + 1, first + count + 1)
    return ", ".join(f"${number}" if dialect == "postgresql" else "?" for number in numbers)


@lru_cache(maxsize=8)
def _upsert_sql(dialect: str, what: str) -> str:
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    if what == "new writer":
        return _compiled(dialect, make(writers).on_conflict_do_nothing(index_elements=["writer"]), writers)
    if what == "writer":
        statement = make(writers)
        changed: dict[str, Any] = {"batch": statement.excluded.batch, "time": statement.excluded.time}
        done = statement.on_conflict_do_update(index_elements=["writer"], set_=changed)
        return _compiled(dialect, done, writers)
    table = usage_hours if what == usage_hours.name else usage_days
    statement = make(table)
    added = {name: table.c[name] + statement.excluded[name] for name in MEASURES}
    keys = [table.columns[0].name, *DIMENSIONS]
    return _compiled(dialect, statement.on_conflict_do_update(index_elements=keys, set_=added), table)


def _compiled(dialect: str, statement: Any, table: Table) -> str:
    made = postgresql.asyncpg.dialect() if dialect == "postgresql" else sqlite.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's are not
    return str(statement.compile(dialect=made, column_keys=[column.name for column in table.columns]))
