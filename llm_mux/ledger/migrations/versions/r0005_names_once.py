"""What many exchanges of a day have in common is kept once; `exchanges` becomes a view of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_CHUNK = 5000
_NAMED: dict[str, sa.Column[Any]] = {
    "day": sa.Column("day", sa.Integer, nullable=False),
    "client_key": sa.Column("client_key", sa.Text),
    "user": sa.Column("user", sa.Text),
    "protocol": sa.Column("protocol", sa.Text, nullable=False),
    "model_asked": sa.Column("model_asked", sa.Text, nullable=False),
    "model_served": sa.Column("model_served", sa.Text),
    "provider": sa.Column("provider", sa.Text),
    "account": sa.Column("account", sa.Text),
    "attempts": sa.Column("attempts", sa.Integer, nullable=False),
    "status": sa.Column("status", sa.Integer, nullable=False),
    "error_kind": sa.Column("error_kind", sa.Text),
    "stop_reason": sa.Column("stop_reason", sa.Text),
    "usage_estimated": sa.Column("usage_estimated", sa.Boolean, nullable=False),
    "price_source": sa.Column("price_source", sa.Text),
    "path": sa.Column("path", sa.Text),
}
_COUNTED: dict[str, sa.Column[Any]] = {
    "time": sa.Column("time", sa.Double, nullable=False),
    "request_id": sa.Column("request_id", sa.Text, nullable=False),
    "input_tokens": sa.Column("input_tokens", sa.BigInteger, nullable=False),
    "output_tokens": sa.Column("output_tokens", sa.BigInteger, nullable=False),
    "cache_read_tokens": sa.Column("cache_read_tokens", sa.BigInteger, nullable=False),
    "cache_write_tokens": sa.Column("cache_write_tokens", sa.BigInteger, nullable=False),
    "reasoning_tokens": sa.Column("reasoning_tokens", sa.BigInteger),
    "ttft_ms": sa.Column("ttft_ms", sa.Double),
    "duration_ms": sa.Column("duration_ms", sa.Double, nullable=False),
    "cost": sa.Column("cost", sa.BigInteger),
    "cache_write_1h_tokens": sa.Column("cache_write_1h_tokens", sa.BigInteger, nullable=False),
}
_SHOWN = [
    "id",
    "day",
    "time",
    "request_id",
    "client_key",
    "user",
    "protocol",
    "model_asked",
    "model_served",
    "provider",
    "account",
    "attempts",
    "status",
    "error_kind",
    "stop_reason",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "usage_estimated",
    "ttft_ms",
    "duration_ms",
    "cost",
    "price_source",
    "path",
    "cache_write_1h_tokens",
]


def upgrade() -> None:
    names = op.create_table(
        "exchange_names",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        *_NAMED.values(),
    )
    rows = op.create_table(
        "exchange_rows",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("names", sa.BigInteger, nullable=False),
        *_COUNTED.values(),
    )
    _copy(op.get_bind(), names, rows)
    op.drop_table("exchanges")
    columns = ", ".join(f'{"n" if name in _NAMED else "r"}."{name}"' for name in _SHOWN)
    op.execute(
        f"CREATE VIEW exchanges AS SELECT {columns} FROM exchange_rows AS r "  # noqa: S608  # constants
        "LEFT JOIN exchange_names AS n ON n.id = r.names"
    )


def _copy(connection: sa.Connection, names: sa.Table, rows: sa.Table) -> None:
    """The names of what was there get numbers below zero, which no later ones have; rows keep theirs."""
    known: dict[tuple[Any, ...], int] = {}
    for old in _chunks(connection):
        before = len(known)
        lines = []
        for line in old:
            named = tuple(line[name] for name in _NAMED)
            number = known.setdefault(named, -1 - len(known))
            lines.append({"id": line["id"], "names": number} | {name: line[name] for name in _COUNTED})
        new = [{"id": number} | dict(zip(_NAMED, named, strict=True)) for named, number in list(known.items())[before:]]
        if new:
            connection.execute(sa.insert(names), new)
        connection.execute(sa.insert(rows), lines)
    if connection.dialect.name == "postgresql":
        sequence = "pg_get_serial_sequence('exchange_rows', 'id')"
        op.execute(f"SELECT setval({sequence}, max(id)) FROM exchange_rows HAVING max(id) > 0")  # noqa: S608  # constant


def _chunks(connection: sa.Connection) -> Iterator[Sequence[sa.RowMapping]]:
    columns = ", ".join(f'"{name}"' for name in ("id", *_NAMED, *_COUNTED))
    query = sa.text(f"SELECT {columns} FROM exchanges WHERE id > :last ORDER BY id LIMIT {_CHUNK}")  # noqa: S608
    last = -(2**62)
    while found := connection.execute(query, {"last": last}).mappings().all():
        yield found
        last = found[-1]["id"]
