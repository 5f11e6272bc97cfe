"""Which tables the books of this version have, and a new SQLite file that gets them.

Rule: `tables.sql` is what `schema` makes of them (a test compares), so that a daemon whose books are new or of this
version loads neither SQLAlchemy nor Alembic; only older books need those (`upgrade`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import Connection

REVISION = "0007"
"""The newest revision under `migrations/versions`."""

VERSION_TABLE = "llm_mux_version"
TABLES = Path(__file__).parent / "tables.sql"


class NewerDatabase(Exception):
    """The database was written by a later version of the program, whose tables this one does not know."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"the database is at revision {found}, this version knows {REVISION}: "
            "update llm-mux, or name another database in usage.database"
        )


def up_to_date(connection: Connection) -> bool:
    """Whether the tables are those of this version, which a database without any gets. In the caller's transaction,
    which keeps others from doing the same."""
    known = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
    if connection.execute(known, (VERSION_TABLE,)).fetchone() == (0,):
        for statement in TABLES.read_text(encoding="utf-8").removesuffix(";\n").split(";\n"):
            connection.execute(statement)
        connection.execute(f"INSERT INTO {VERSION_TABLE} VALUES (?)", (REVISION,))  # noqa: S608  # ours
        return True
    (found,) = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608  # ours
    if found > REVISION:
        raise NewerDatabase(found)
    return bool(found == REVISION)
