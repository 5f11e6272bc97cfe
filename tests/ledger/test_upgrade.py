import contextlib
import pathlib
import sqlite3
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, delete, inspect, select, text

from llm_mux.ledger import schema, upgrade
from llm_mux.ledger.database import Database
from llm_mux.ledger.migrations.versions import r0005_names_once
from llm_mux.ledger.report import usage
from llm_mux.ledger.revision import REVISION, TABLES, NewerDatabase, up_to_date
from llm_mux.ledger.rows import SECONDS_A_DAY, picodollars
from llm_mux.ledger.statements import COLUMNS
from llm_mux.ledger.writer import Writer
from scripts.tables import script
from tests.ledger.samples import exchange
from tests.rows import columns_of

SUMS = (schema.usage_days, schema.usage_hours, schema.usage_totals)
DAY = date(2026, 9, 21)


def _shape(connection: Connection) -> dict[str, Any]:
    found = inspect(connection)
    return {
        table: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(table)],
            found.get_pk_constraint(table)["constrained_columns"],
            sorted((i["name"] or "", tuple(i["column_names"])) for i in found.get_indexes(table)),
            sorted((u["name"] or "", tuple(u["column_names"])) for u in found.get_unique_constraints(table)),
        )
        for table in sorted(found.get_table_names())
    }


def _made_by(make: Callable[[Connection], None], file: pathlib.Path) -> tuple[dict[str, Any], str | None]:
    """The tables, and the view."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        make(connection)
        shape = _shape(connection)
        view = inspect(connection).get_view_definition("exchanges")
        assert upgrade.current(connection) == REVISION
    engine.dispose()
    return shape, view


def test_a_new_database_and_an_upgraded_one_are_the_same(tmp_path: pathlib.Path) -> None:
    created = _made_by(upgrade.create, tmp_path / "created.db")
    assert created == _made_by(upgrade.migrate, tmp_path / "migrated.db")
    assert set(created[0]) == set(schema.metadata.tables)


def test_a_new_file_gets_the_tables_of_the_schema_without_sqlalchemy(tmp_path: pathlib.Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "plain.db")) as connection, connection:
        assert up_to_date(connection)
        assert up_to_date(connection)
    written = _made_by(lambda connection: None, tmp_path / "plain.db")
    assert written == _made_by(upgrade.create, tmp_path / "created.db")
    assert TABLES.read_text() == script(), "python -m scripts.tables > llm_mux/ledger/tables.sql"


def test_what_is_written_of_a_table_are_its_columns() -> None:
    for table, columns in COLUMNS.items():
        there = [column.name for column in schema.metadata.tables[table].columns]
        assert list(columns) == [name for name in there if (table, name) != ("exchange_batches", "id")]


def test_alembic_finds_nothing_to_change_after_the_last_revision(tmp_path: pathlib.Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    with engine.begin() as connection:
        upgrade.migrate(connection)
        context = MigrationContext.configure(connection, opts={"version_table": schema.version.name})
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


async def test_rows_from_before_there_were_sums_are_in_them(location: pathlib.Path | str) -> None:
    database = Database(location)
    row = exchange(error_kind="client_gone", attempts=3, cost=None, ttft_ms=320.4)
    old = {"day": int(row.time // SECONDS_A_DAY), **columns_of(row)}
    del old["cache_write_1h_tokens"]
    places = ", ".join(f":{name}" for name in old)
    names = ", ".join(f'"{name}"' for name in old)

    def at_revision_2(connection: Connection) -> None:
        schema.metadata.drop_all(connection)
        command.upgrade(upgrade.alembic_config(connection), "0002")
        connection.execute(text(f"INSERT INTO exchanges ({names}) VALUES ({places})"), old)

    await database.run(lambda books: at_revision_2(books.connection))
    await database.run(lambda books: upgrade.to_newest(books.connection))
    upgraded = await usage(database, "hour", DAY, DAY), await usage(database, "day", DAY, DAY)
    await database.run(lambda books: [books.connection.execute(delete(table)) for table in SUMS])
    writer = Writer(database)
    writer.record(row)
    await writer.close()
    assert upgraded == (await usage(database, "hour", DAY, DAY), await usage(database, "day", DAY, DAY))
    await database.close()


async def test_rows_from_before_names_were_kept_once_are_shown_as_they_were(
    location: pathlib.Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(location)
    rows = [exchange(f"req-{number}", model_asked=f"m{number % 3}", cost=number or None) for number in range(25)]
    old = [{"id": 7 + number, "day": number % 2, **columns_of(row)} for number, row in enumerate(rows)]
    names = ", ".join(f'"{name}"' for name in old[0])
    places = ", ".join(f":{name}" for name in old[0])
    monkeypatch.setattr(r0005_names_once, "_CHUNK", 10)

    def at_revision_4(connection: Connection) -> None:
        schema.metadata.drop_all(connection)
        command.upgrade(upgrade.alembic_config(connection), "0004")
        connection.execute(text(f"INSERT INTO exchanges ({names}) VALUES ({places})"), old)

    await database.run(lambda books: at_revision_4(books.connection))
    await database.run(lambda books: upgrade.to_newest(books.connection))
    writer = Writer(database)
    writer.record(exchange("new"))
    await writer.close()
    async with database.read() as connection:
        shown = (await connection.execute(select(schema.exchanges).order_by(schema.exchanges.c.id))).mappings().all()
        lines = (await connection.execute(select(schema.exchange_names.c.id))).scalars().all()
    assert [{**each, "cost": each["cost"] and picodollars(each["cost"])} for each in shown[:-1]] == [
        {**each, "id": 65_536 + number} for number, each in enumerate(old)
    ]
    assert shown[-1]["request_id"] == "new"
    assert len(lines) == 7
    await database.close()


def test_the_newest_revision_is_the_one_the_schema_names() -> None:
    assert ScriptDirectory.from_config(upgrade.alembic_config()).get_heads() == [REVISION]


def test_a_database_at_the_newest_revision_is_left_alone(tmp_path: pathlib.Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    with engine.begin() as connection:
        upgrade.to_newest(connection)
        before = _shape(connection)
        upgrade.to_newest(connection)
        assert _shape(connection) == before
        assert connection.execute(text("SELECT count(*) FROM llm_mux_version")).scalar() == 1
    engine.dispose()


def test_a_database_with_tables_of_others_gets_ours_beside_them(tmp_path: pathlib.Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'shared.db'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
        upgrade.to_newest(connection)
        assert set(inspect(connection).get_table_names()) == {"alembic_version", *schema.metadata.tables}
    engine.dispose()


def test_a_database_of_a_later_version_is_refused_with_advice(tmp_path: pathlib.Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    with engine.begin() as connection:
        schema.version.create(connection)
        connection.execute(text("INSERT INTO llm_mux_version VALUES ('9999')"))
        with pytest.raises(NewerDatabase, match=r"9999.*update llm-mux"):
            upgrade.to_newest(connection)
    engine.dispose()
