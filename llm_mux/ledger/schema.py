"""The tables of the books, once, for SQLite and PostgreSQL.

Rule: a change here comes with a revision under `migrations/versions` and a new `REVISION`; tests compare a fresh
database with an upgraded one. Importing this module loads SQLAlchemy; only code that talks to the database does.
Money is whole picodollars in a 64-bit integer: sums are exact in both databases, up to 9.2 million USD. A line of
`exchange_batches` has rows that were written together as JSON: what is a row's own, behind the number of its line in
`exchange_names`, which many rows of a day share. The view `exchanges` shows each row with both.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from llm_mux.ledger.gather import DIMENSIONS, MEASURES
from llm_mux.ledger.revision import VERSION_TABLE
from llm_mux.ledger.rows import COUNTED, MOST_OF_A_BATCH, NAMED, dollars, picodollars


class Usd(TypeDecorator[Decimal]):
    """Decimal US dollars, kept as whole picodollars; finer digits are rounded half to even."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else picodollars(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else dollars(int(value))


metadata = MetaData()

version = Table(
    VERSION_TABLE,
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="llm_mux_version_pkc"),
)

_NUMBER = BigInteger().with_variant(Integer, "sqlite")

exchanges = Table(
    "exchanges",
    MetaData(),  # a view
    Column("id", _NUMBER, primary_key=True),
    Column("day", Integer, nullable=False),  # whole days since 1970 in UTC
    Column("time", Double, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("client_key", Text),
    Column("user", Text),
    Column("protocol", Text, nullable=False),
    Column("model_asked", Text, nullable=False),
    Column("model_served", Text),
    Column("provider", Text),
    Column("account", Text),
    Column("attempts", Integer, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error_kind", Text),
    Column("stop_reason", Text),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cache_read_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger),
    Column("usage_estimated", Boolean, nullable=False),
    Column("ttft_ms", Double),
    Column("duration_ms", Double, nullable=False),
    Column("cost", Usd),
    Column("price_source", Text),
    Column("path", Text),
    Column("cache_write_1h_tokens", BigInteger, nullable=False),
)


def _own(*names: str) -> list[Column[Any]]:
    """Columns of the view as a table has them."""
    return [Column(name, exchanges.c[name].type, nullable=exchanges.c[name].nullable) for name in names]


exchange_names = Table(
    "exchange_names",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),  # follows from the rest (`gather`)
    *_own("day", *NAMED),
)

exchange_batches = Table(
    "exchange_batches",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("first_day", Integer, nullable=False),  # of its oldest row
    Column("last_day", Integer, nullable=False),
    Column("count", Integer, nullable=False),
    Column("rows", Text, nullable=False),  # a JSON array of [exchange_names.id, *COUNTED]
)

_NUMBERS = {"postgresql": "r.place - 1", "sqlite": "r.key"}
_LISTS = {
    "postgresql": "CROSS JOIN LATERAL json_array_elements(b.rows::json) WITH ORDINALITY AS r(value, place)",
    "sqlite": "CROSS JOIN json_each(b.rows) AS r",
}
_VALUES = {"postgresql": "(r.value->>{place})::{kind}", "sqlite": "json_extract(r.value, '$[{place}]')"}


def view(dialect: str) -> str:
    """The statement that makes `exchanges`."""

    def value(place: int, kind: str) -> str:
        return _VALUES[dialect].format(place=place, kind=kind)

    def shown(name: str) -> str:
        if name in ("day", *NAMED):
            return f'n."{name}"'
        if name == "id":
            return f"b.id * {MOST_OF_A_BATCH} + {_NUMBERS[dialect]} AS id"
        kind = str(exchanges.c[name].type).replace("DOUBLE", "DOUBLE PRECISION")
        return f'{value(COUNTED.index(name) + 1, kind)} AS "{name}"'

    columns = ", ".join(shown(column.name) for column in exchanges.columns)
    return (
        f"CREATE VIEW exchanges AS SELECT {columns} FROM exchange_batches AS b {_LISTS[dialect]} "  # noqa: S608
        f"LEFT JOIN exchange_names AS n ON n.id = {value(0, 'bigint')}"
    )


@event.listens_for(metadata, "after_create")
def _make_view(target: MetaData, connection: Connection, **_: object) -> None:
    connection.exec_driver_sql(view(connection.dialect.name))


@event.listens_for(metadata, "before_drop")
def _drop_view(target: MetaData, connection: Connection, **_: object) -> None:
    connection.exec_driver_sql("DROP VIEW IF EXISTS exchanges")


def _sums(name: str, period: str, dimensions: tuple[str, ...] = DIMENSIONS) -> Table:
    """Sums over an hour or a day, counted since 1970 in UTC."""
    return Table(
        name,
        metadata,
        Column(period, Integer, nullable=False),
        *(Column(dimension, Text, nullable=False) for dimension in dimensions),
        *(Column(measure, BigInteger, nullable=False) for measure in MEASURES),
        PrimaryKeyConstraint(period, *dimensions, name=f"{name}_pkc"),
        sqlite_with_rowid=False,
    )


usage_hours = _sums("usage_hours", "hour")
usage_days = _sums("usage_days", "day")
usage_totals = _sums("usage_totals", "hour", ())
"""Of everything together: where a thousand groups are used in every hour, adding them up takes seconds."""

writers = Table(
    "ledger_writers",
    metadata,
    Column("writer", Text, primary_key=True),
    Column("batch", BigInteger, nullable=False),  # the last one that is in the books
    Column("time", Double, nullable=False),
)

responses = Table(
    "responses",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("model", Text, nullable=False),
    Column("size", BigInteger, nullable=False),  # of body and items as stored
    Column("previous_id", Text),
    Column("body", LargeBinary, nullable=False),  # the response object, JSON under zstd
    Column("items", LargeBinary, nullable=False),  # the request's input items, JSON under zstd
    Index("responses_created", "created", "size"),
    Index("responses_expires", "expires"),
)

client_keys = Table(
    "client_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),  # the number of the table's last change to this row
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the key; the key itself is nowhere
    Column("former_digest", LargeBinary),  # after a rotation: of the key before
    Column("former_until", Double),
    Column("name", Text, nullable=False),
    Column("user", Text),
    Column("hint", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # auth.scopes.Scopes as JSON
    Column("created", Double, nullable=False),
    Column("expires", Double),
    Column("revoked", Double),
    UniqueConstraint("digest", name="client_keys_digest"),
    Index("client_keys_revision", "revision"),
)

balances = Table(
    "balances",
    metadata,
    Column("user", Text, primary_key=True),
    Column("balance", Usd, nullable=False),
    Column("created", Double, nullable=False),
)

transactions = Table(
    "transactions",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("user", Text, nullable=False),
    Column("time", Double, nullable=False),
    Column("amount", Usd, nullable=False),
    Column("balance_after", Usd, nullable=False),
    Column("description", Text, nullable=False),
    Column("hold", Text),  # which hold it settled; one that is settled twice is paid once
    UniqueConstraint("hold", name="transactions_hold"),
    Index("transactions_user", "user", "id"),
)

holds = Table(
    "holds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user", Text),
    Column("client_key", Text),
    Column("amount", Usd, nullable=False),
    Column("expires", Double, nullable=False),
    Index("holds_user", "user"),
    Index("holds_client_key", "client_key"),
)

spending = Table(
    "spending",
    metadata,
    Column("client_key", Text, primary_key=True),
    Column("day", Integer, primary_key=True),  # whole days since 1970 in UTC
    Column("amount", Usd, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    Column("way", Text, nullable=False),
    Column("identity", Text),
    Column("plan", Text),
    Column("state", Text, nullable=False),
    Column("expires", Double),
    Column("last_error", Text),
    Column("quotas", Text, nullable=False),  # account_table.Quota as JSON
    Column("updated", Double, nullable=False),
)
