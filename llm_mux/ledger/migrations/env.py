"""Run by Alembic: applies revisions over the connection that `upgrade.to_newest` hands in, in its transaction."""

from __future__ import annotations

from alembic import context

from llm_mux.ledger.schema import metadata, version

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=version.name,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
