"""Exchanges and stored responses, as the first release had them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _exchanges()
    _responses()


def _exchanges() -> None:
    op.create_table(
        "exchanges",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("client_key", "user")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("protocol", "model_asked")),
        *(sa.Column(name, sa.Text) for name in ("model_served", "provider", "account")),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("error_kind", "stop_reason")),
        *(sa.Column(f"{name}_tokens", sa.BigInteger, nullable=False) for name in ("input", "output")),
        *(sa.Column(f"cache_{name}_tokens", sa.BigInteger, nullable=False) for name in ("read", "write")),
        sa.Column("reasoning_tokens", sa.BigInteger),
        sa.Column("usage_estimated", sa.Boolean, nullable=False),
        sa.Column("ttft_ms", sa.Double),
        sa.Column("duration_ms", sa.Double, nullable=False),
        sa.Column("cost", sa.BigInteger),
        *(sa.Column(name, sa.Text) for name in ("price_source", "path")),
        sa.UniqueConstraint("request_id", "time", name="exchanges_once"),
    )
    op.create_index("exchanges_day_model", "exchanges", ["day", "model_served"])
    op.create_index("exchanges_day_account", "exchanges", ["day", "account"])


def _responses() -> None:
    op.create_table(
        "responses",
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("previous_id", sa.Text),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("items", sa.LargeBinary, nullable=False),
    )
    op.create_index("responses_created", "responses", ["created", "size"])
    op.create_index("responses_expires", "responses", ["expires"])
