"""What is known of accounts and is no secret."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "accounts",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("provider", "label")),
        sa.Column("way", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("identity", "plan")),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("expires", sa.Double),
        sa.Column("last_error", sa.Text),
        sa.Column("quotas", sa.Text, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
    )
