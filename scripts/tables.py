"""Prints llm_mux/ledger/tables.sql from `schema`: a new SQLite file's tables. Run as `python -m scripts.tables`."""

from __future__ import annotations

import sys

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from llm_mux.ledger import schema


def script() -> str:
    """One statement after another; each ends in a semicolon and a new line."""
    statements = []
    for table in schema.metadata.sorted_tables:
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        statements += [CreateTable(table), *map(CreateIndex, indexes)]
    texts = [str(statement.compile(dialect=sqlite.dialect())) for statement in statements]
    lines = "\n".join(f"{text.strip()};" for text in (*texts, schema.view("sqlite"))).splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(script())
