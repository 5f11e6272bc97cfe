"""Rows that were written together are kept together, as JSON; `exchanges` shows them as before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_CHUNK = 1000
_COUNTED = {
    "time": "DOUBLE PRECISION",
    "request_id": "TEXT",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "cache_read_tokens": "BIGINT",
    "cache_write_tokens": "BIGINT",
    "reasoning_tokens": "BIGINT",
    "ttft_ms": "DOUBLE PRECISION",
    "duration_ms": "DOUBLE PRECISION",
    "cost": "BIGINT",
    "cache_write_1h_tokens": "BIGINT",
}
_SHOWN = (
    *("id", "day", "time", "request_id", "client_key", "user", "protocol", "model_asked", "model_served", "provider"),
    *("account", "attempts", "status", "error_kind", "stop_reason", "input_tokens", "output_tokens"),
    *("cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "usage_estimated", "ttft_ms", "duration_ms"),
    *("cost", "price_source", "path", "cache_write_1h_tokens"),
)


def upgrade() -> None:
    batches = op.create_table(
        "exchange_batches",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("first_day", sa.Integer, nullable=False),
        sa.Column("last_day", sa.Integer, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("rows", sa.Text, nullable=False),
    )
    connection = op.get_bind()
    for lines in _chunks(connection):
        days = [int(line[1] // 86_400) for line in lines]
        rows = msgspec.json.encode([tuple(line) for line in lines]).decode()
        connection.execute(
            sa.insert(batches), {"first_day": min(days), "last_day": max(days), "count": len(lines), "rows": rows}
        )
    connection.exec_driver_sql("DROP VIEW exchanges")
    op.drop_table("exchange_rows")
    connection.exec_driver_sql(_view(connection.dialect.name == "postgresql"))


def _view(postgres: bool) -> str:
    each = "LATERAL json_array_elements(b.rows::json) WITH ORDINALITY AS r(value, place)"
    rows = each if postgres else "json_each(b.rows) AS r"

    def value(place: int, kind: str) -> str:
        return f"(r.value->>{place})::{kind}" if postgres else f"json_extract(r.value, '$[{place}]')"

    shown = {name: f'{value(place, kind)} AS "{name}"' for place, (name, kind) in enumerate(_COUNTED.items(), 1)}
    shown["id"] = f"b.id * 65536 + {'r.place - 1' if postgres else 'r.key'} AS id"
    columns = ", ".join(shown.get(name, f'n."{name}"') for name in _SHOWN)
    return (
        f"CREATE VIEW exchanges AS SELECT {columns} FROM exchange_batches AS b "  # noqa: S608  # constants
        f"CROSS JOIN {rows} LEFT JOIN exchange_names AS n ON n.id = {value(0, 'BIGINT')}"
    )


def _chunks(connection: sa.Connection) -> Iterator[Sequence[Any]]:
    columns = ", ".join(f'"{name}"' for name in ("names", *_COUNTED))
    query = sa.text(f"SELECT {columns}, id FROM exchange_rows WHERE id > :last ORDER BY id LIMIT {_CHUNK}")  # noqa: S608
    last = -(2**62)
    while found := connection.execute(query, {"last": last}).all():
        yield [line[:-1] for line in found]
        last = found[-1][-1]
