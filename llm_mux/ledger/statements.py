"""Plain SQL in one transaction of either database, past SQLAlchemy, which takes longer to hand a statement on than
SQLite to execute it, and a fifth of a daemon's memory. What is done for every batch of rows goes this way.

Rule: names of tables and columns come from this package alone; `tests/ledger` compares them with `schema`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from llm_mux.ledger.gather import DIMENSIONS, MEASURES
from llm_mux.ledger.rows import MOST, NAMED

if TYPE_CHECKING:
    from sqlite3 import Connection as SqliteConnection

    from sqlalchemy import Connection

SIZES = (256, 64, 16, 4, 1)
"""Lines of one statement; PostgreSQL and SQLite take 32,767 values in one."""

COLUMNS = {
    "exchange_names": ("id", "day", *NAMED),
    "exchange_batches": ("first_day", "last_day", "count", "rows"),
    "usage_hours": ("hour", *DIMENSIONS, *MEASURES),
    "usage_days": ("day", *DIMENSIONS, *MEASURES),
    "usage_totals": ("hour", *MEASURES),
    "responses": ("tenant", "id", "created", "expires", "model", "size", "previous_id", "body", "items"),
    "accounts": (
        *("provider", "label", "way", "identity", "plan", "state"),
        *("expires", "last_error", "quotas", "updated"),
    ),
}
"""What is written of each table."""

_SUM = {
    "sqlite": "{name} = {table}.{name} + excluded.{name}",
    "postgresql": f"{{name}} = LEAST({{table}}.{{name}}::numeric + excluded.{{name}}, {MOST})::bigint",
}
"""SQLite goes on in floats where a sum is too large, PostgreSQL would refuse the batch."""


class Statements(Protocol):
    """A transaction that is open. `run` gives what DB-API calls a cursor; `?` stands for a value. `connection` is the
    same transaction for SQLAlchemy, which it loads."""

    @property
    def dialect(self) -> Literal["sqlite", "postgresql"]: ...

    def run(self, sql: str, values: Sequence[Any] = ()) -> Any: ...

    def tried(self) -> AbstractContextManager[None]:
        """A block that an exception undoes, and no more."""
        ...

    @property
    def connection(self) -> Connection: ...


class OfSqlite:
    """Over a connection that has begun. `sqlalchemy` makes its view of it, when somebody asks."""

    dialect: Final = "sqlite"

    def __init__(self, raw: SqliteConnection, sqlalchemy: Callable[[], Connection]) -> None:
        self._raw = raw
        self._sqlalchemy = sqlalchemy

    def run(self, sql: str, values: Sequence[Any] = ()) -> Any:
        return self._raw.execute(sql, values)

    @contextmanager
    def tried(self) -> Iterator[None]:
        self.run("SAVEPOINT tried")
        try:
            yield
        except BaseException:
            self.run("ROLLBACK TO tried")
            raise
        finally:
            self.run("RELEASE tried")

    @property
    def connection(self) -> Connection:
        return self._sqlalchemy()


class OfPostgres:
    """Over SQLAlchemy's connection: what asyncpg gets passes through it in any case."""

    dialect: Final = "postgresql"

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def run(self, sql: str, values: Sequence[Any] = ()) -> Any:
        return self.connection.exec_driver_sql(_numbered(sql), tuple(values))

    def tried(self) -> AbstractContextManager[Any]:
        return self.connection.begin_nested()


def quoted(name: str) -> str:
    """A column that may be called like a word of SQL."""
    return f'"{name}"'


def insert(into: Statements, table: str, lines: Sequence[Sequence[Any]]) -> None:
    """Lines of COLUMNS into a table, or onto those that are there."""
    start = 0
    for size in SIZES:
        while len(lines) - start >= size:
            values = tuple(chain.from_iterable(lines[start : start + size]))
            into.run(_insert_sql(into.dialect, table, size), values)
            start += size


@lru_cache(maxsize=64)
def _insert_sql(dialect: str, table: str, size: int) -> str:
    """A statement with a place for each value of `size` lines."""
    columns = COLUMNS[table]
    names = ", ".join(map(quoted, columns))
    lines = ", ".join([f"({', '.join('?' * len(columns))})"] * size)
    return f"INSERT INTO {table} ({names}) VALUES {lines}{_onto(dialect, table)}"  # noqa: S608  # names of this module


def _onto(dialect: str, table: str) -> str:
    """What becomes of a line that is there already: names stay, sums are added to, a response is replaced."""
    if table in ("exchange_batches", "accounts"):
        return ""
    if table == "exchange_names":
        return " ON CONFLICT (id) DO NOTHING"
    if table == "responses":
        replaced = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[table][2:])
        return f" ON CONFLICT (tenant, id) DO UPDATE SET {replaced}"
    key = ", ".join(quoted(name) for name in COLUMNS[table] if name not in MEASURES)
    added = ", ".join(_SUM[dialect].format(name=name, table=table) for name in MEASURES)
    return f" ON CONFLICT ({key}) DO UPDATE SET {added}"


@lru_cache(maxsize=64)
def _numbered(sql: str) -> str:
    """With the places that PostgreSQL knows: `$1` and so on."""
    first, *others = sql.split("?")
    return first + "".join(f"${number}{rest}" for number, rest in enumerate(others, 1))
