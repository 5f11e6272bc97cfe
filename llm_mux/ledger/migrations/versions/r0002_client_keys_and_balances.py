"""Client keys, and what their users have and spend."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _client_keys()
    _balances()
    _holds()


def _client_keys() -> None:
    op.create_table(
        "client_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("former_digest", sa.LargeBinary),
        sa.Column("former_until", sa.Double),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("user", sa.Text),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("hint", "scopes")),
        sa.Column("created", sa.Double, nullable=False),
        *(sa.Column(name, sa.Double) for name in ("expires", "revoked")),
        sa.UniqueConstraint("digest", name="client_keys_digest"),
    )
    op.create_index("client_keys_revision", "client_keys", ["revision"])


def _balances() -> None:
    op.create_table(
        "balances",
        sa.Column("user", sa.Text, primary_key=True),
        sa.Column("balance", sa.BigInteger, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_table(
        "transactions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("amount", "balance_after")),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("hold", sa.Text),
        sa.UniqueConstraint("hold", name="transactions_hold"),
    )
    op.create_index("transactions_user", "transactions", ["user", "id"])


def _holds() -> None:
    op.create_table(
        "holds",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text) for name in ("user", "client_key")),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
    )
    op.create_index("holds_user", "holds", ["user"])
    op.create_index("holds_client_key", "holds", ["client_key"])
    op.create_table(
        "spending",
        sa.Column("client_key", sa.Text, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
    )
