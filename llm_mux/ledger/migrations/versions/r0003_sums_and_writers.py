"""Sums by hour and day, and what each writer has written: rows need no index of their own any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_DIMENSIONS = ("model_served", "provider", "account", "client_key", "user", "protocol")
_SUMMED = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
_MEASURES = ("requests", "failures", "cancelled", "retries", *_SUMMED, "unpriced", "cost", "duration_ms", "ttft_ms")


def upgrade() -> None:
    op.drop_index("exchanges_day_model", "exchanges")
    op.drop_index("exchanges_day_account", "exchanges")
    with op.batch_alter_table("exchanges") as table:
        table.drop_constraint("exchanges_once", type_="unique")
        table.add_column(sa.Column("cache_write_1h_tokens", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "ledger_writers",
        sa.Column("writer", sa.Text, primary_key=True),
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
    )
    for name, period, seconds in (("usage_hours", "hour", 3600), ("usage_days", "day", 86400)):
        _sums(name, period)
        op.execute(_filled(name, seconds))


def _sums(name: str, period: str) -> None:
    op.create_table(
        name,
        sa.Column(period, sa.Integer, nullable=False),
        *(sa.Column(dimension, sa.Text, nullable=False) for dimension in _DIMENSIONS),
        *(sa.Column(measure, sa.BigInteger, nullable=False) for measure in (*_MEASURES, "ttfts")),
        sa.PrimaryKeyConstraint(period, *_DIMENSIONS, name=f"{name}_pkc"),
        sqlite_with_rowid=False,
    )


def _filled(name: str, seconds: int) -> str:
    """What the sums are of the rows that are there."""
    groups = ", ".join(f"coalesce(\"{dimension}\", '')" for dimension in _DIMENSIONS)
    sums = ", ".join(f"coalesce(sum({column}), 0)" for column in _SUMMED)
    # SQLite has no floor() everywhere and cuts where PostgreSQL rounds.
    period = f"CAST({'' if op.get_bind().dialect.name == 'sqlite' else 'floor'}(time / {seconds}) AS INTEGER)"
    tokens = "input_tokens + output_tokens + cache_read_tokens + cache_write_tokens"
    return f"""
        INSERT INTO {name}
        SELECT {period}, {groups}, count(*),
            sum(CASE WHEN coalesce(error_kind, '') <> 'client_gone' AND (error_kind IS NOT NULL OR status >= 400)
                THEN 1 ELSE 0 END),
            sum(CASE WHEN error_kind = 'client_gone' THEN 1 ELSE 0 END),
            sum(CASE WHEN attempts > 1 THEN attempts - 1 ELSE 0 END), {sums},
            sum(CASE WHEN cost IS NULL AND {tokens} > 0 THEN 1 ELSE 0 END), coalesce(sum(cost), 0),
            CAST(sum(duration_ms) AS BIGINT), CAST(coalesce(sum(ttft_ms), 0) AS BIGINT), count(ttft_ms)
        FROM exchanges GROUP BY 1, 2, 3, 4, 5, 6, 7
    """  # noqa: S608  # every part is a constant of this file
