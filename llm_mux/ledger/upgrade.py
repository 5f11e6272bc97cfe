"""Bringing a database to the tables of this version.

Rule: a new database gets its tables straight from `schema`, one at the newest revision costs one query, and Alembic is
imported only when something has to change. All of it runs in the caller's transaction.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, inspect, select, text

from llm_mux.ledger import schema
from llm_mux.ledger.revision import REVISION, NewerDatabase

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x6C6D75785F6C6564


def to_newest(connection: Connection) -> None:
    """Create or upgrade the tables; several processes may do so at once."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    found = current(connection)
    if found == REVISION:
        return
    if found is None:
        create(connection)
    elif found > REVISION:
        raise NewerDatabase(found)
    else:
        migrate(connection)


def current(connection: Connection) -> str | None:
    """The revision a database is at; None when it holds nothing of ours."""
    if not inspect(connection).has_table(schema.version.name):
        return None
    return connection.execute(select(schema.version.c.version_num)).scalar()


def create(connection: Connection) -> None:
    """Make the tables in an empty database and mark them as the newest revision."""
    schema.metadata.create_all(connection)
    connection.execute(insert(schema.version).values(version_num=REVISION))


def migrate(connection: Connection) -> None:
    """Apply every revision the database does not have yet."""
    from alembic import command

    command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's settings without a file; `env.py` takes the connection from them."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
