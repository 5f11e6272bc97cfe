"""Sums by hour of everything together, so that nobody has to add up a thousand groups of every hour."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_MEASURES = (
    *("requests", "failures", "cancelled", "retries", "input_tokens", "output_tokens", "cache_read_tokens"),
    *("cache_write_tokens", "reasoning_tokens", "unpriced", "cost", "duration_ms", "ttft_ms", "ttfts"),
)


def upgrade() -> None:
    op.create_table(
        "usage_totals",
        sa.Column("hour", sa.Integer, nullable=False),
        *(sa.Column(measure, sa.BigInteger, nullable=False) for measure in _MEASURES),
        sa.PrimaryKeyConstraint("hour", name="usage_totals_pkc"),
        sqlite_with_rowid=False,
    )
    sums = ", ".join(f"sum({measure})" for measure in _MEASURES)
    op.execute(f"INSERT INTO usage_totals SELECT hour, {sums} FROM usage_hours GROUP BY hour")  # noqa: S608  # constants
