import asyncio
import pathlib
import stat
import subprocess
import sys
import textwrap
from importlib.util import find_spec

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from llm_mux.ledger.database import Database, DatabaseSettingError, reason
from llm_mux.ledger.statements import Statements
from tests.services import missing


async def test_it_opens_itself_on_first_use_and_makes_its_tables(database: Database) -> None:
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM exchanges"))).scalar() == 0
        assert (await connection.execute(text("SELECT count(*) FROM responses"))).scalar() == 0


async def test_several_may_open_one_new_database_at_once(location: pathlib.Path | str) -> None:
    databases = [Database(location) for _ in range(4)]
    await asyncio.gather(*(database.open() for database in databases))
    for database in databases:
        await database.close()


async def test_an_exception_undoes_what_was_written(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with database.write() as connection:
            await connection.execute(text("UPDATE llm_mux_version SET version_num = 'x'"))
            raise RuntimeError
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT version_num FROM llm_mux_version"))).scalar() != "x"


async def test_it_can_be_opened_again_after_closing(database: Database) -> None:
    await database.open()
    await database.close()
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1


async def test_sqlite_keeps_a_log_ahead_and_only_its_owner_may_read_it(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "data" / "ledger.db"
    database = Database(file)
    async with database.write() as connection:
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
        assert (await connection.execute(text("PRAGMA synchronous"))).scalar() == 1
        assert (await connection.execute(text("PRAGMA busy_timeout"))).scalar() == 2000
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    await database.close()
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_a_reader_is_not_held_up_by_a_writer(sqlite: Database) -> None:
    async with sqlite.write() as writing:
        await writing.execute(text("UPDATE llm_mux_version SET version_num = 'x'"))
        async with sqlite.read() as reading:
            assert (await reading.execute(text("SELECT version_num FROM llm_mux_version"))).scalar() != "x"
        await writing.rollback()


async def test_a_deleted_file_is_made_anew_rather_than_written_into_the_void(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "ledger.db"
    database = Database(file)
    await database.open()
    for path in tmp_path.iterdir():
        path.unlink()
    async with database.write() as connection:
        await connection.execute(text("SELECT count(*) FROM exchanges"))
    assert file.exists()
    await database.close()


async def test_a_folder_that_cannot_be_made_is_reported_and_tried_again(tmp_path: pathlib.Path) -> None:
    obstacle = tmp_path / "data"
    obstacle.write_text("a file where the folder should be")
    database = Database(obstacle / "ledger.db")
    with pytest.raises(OSError, match="data"):
        await database.open()
    obstacle.unlink()
    await database.open()
    await database.close()


@pytest.mark.parametrize(
    ("location", "description"),
    [
        ("postgresql://me:hunter2@db.example:5433/books", "PostgreSQL at db.example/books"),
        ("postgres:///books", "PostgreSQL at the local socket/books"),
        ("sqlite:////data/ledger.db", "SQLite at /data/ledger.db"),
        ("/data/ledger.db", "SQLite at /data/ledger.db"),
        (pathlib.Path("/data/ledger.db"), "SQLite at /data/ledger.db"),
    ],
)
def test_it_says_where_it_is_without_the_password(location: str | pathlib.Path, description: str) -> None:
    assert Database(location).description == description


@pytest.mark.parametrize("location", ["", "mysql://me:hunter2@host/books", "sqlite://", "postgresql://"])
def test_a_location_that_cannot_be_used_is_refused_with_advice(location: str) -> None:
    with pytest.raises(DatabaseSettingError, match=r"usage\.database: .*; give postgresql://") as caught:
        Database(location)
    assert "hunter2" not in str(caught.value)


async def test_an_unreachable_server_is_an_error_without_the_password() -> None:
    if find_spec("asyncpg") is None:
        missing("asyncpg is not installed")
    with pytest.raises(OSError) as caught:
        await Database("postgresql://me:hunter2@127.0.0.1:1/books?sslmode=disable").open()
    assert "hunter2" not in reason(caught.value)


def test_a_reason_is_one_line_without_the_values() -> None:
    error = OperationalError("INSERT INTO t VALUES (?)", ("secret",), Exception("database is locked\nDETAIL: secret"))
    assert reason(error) == "database is locked"


def test_neither_sqlalchemy_nor_alembic_is_imported_before_it_is_opened() -> None:
    code = (
        "import sys; import llm_mux.ledger.writer, llm_mux.ledger.responses, llm_mux.ledger.report\n"
        "llm_mux.ledger.writer.Writer(llm_mux.ledger.database.Database('x.db'))\n"
        "print(sorted({'sqlalchemy', 'alembic', 'aiosqlite', 'sqlite3'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_new_file_and_its_rows_need_neither_sqlalchemy_nor_alembic(tmp_path: pathlib.Path) -> None:
    code = """
        import asyncio, pathlib, sys, time
        from llm_mux.ledger.database import Database
        from llm_mux.ledger.retention import Retention
        from llm_mux.ledger.writer import Writer
        from tests.ledger.samples import exchange

        async def main():
            folder = pathlib.Path(sys.argv[1])
            database = Database(folder / "ledger.db")
            writer = Writer(database, folder / "spool")
            task = asyncio.create_task(writer.run())
            writer.record(exchange())
            assert await writer.catch_up()
            assert await Retention(database, days=0).shorten(time.time()) == 1
            await writer.close()
            await task
            await database.close()

        asyncio.run(main())
        print(sorted({"sqlalchemy", "alembic", "aiosqlite"} & set(sys.modules)))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


async def test_who_looks_is_held_up_by_no_writer_and_changes_nothing(database: Database) -> None:
    known = "SELECT version_num FROM llm_mux_version"
    before = await database.look(lambda books: books.run(known).fetchone()[0])
    async with database.write() as connection:
        await connection.execute(text("UPDATE llm_mux_version SET version_num = 'x'"))
        assert await database.look(lambda books: books.run(known).fetchone()[0]) == before
        await connection.rollback()


async def test_a_view_of_an_open_transaction_is_a_part_of_it(database: Database) -> None:
    def both(books: Statements) -> None:
        books.run("UPDATE llm_mux_version SET version_num = ?", ("x",))
        assert books.connection.execute(text("SELECT version_num FROM llm_mux_version")).scalar() == "x"
        books.connection.execute(text("UPDATE llm_mux_version SET version_num = 'y'"))

    def never(books: Statements) -> None:
        both(books)
        raise RuntimeError

    async def there() -> str:
        return str(
            await database.look(lambda books: books.run("SELECT version_num FROM llm_mux_version").fetchone()[0])
        )

    before = await there()
    with pytest.raises(RuntimeError):
        await database.run(never)
    assert await there() == before
    await database.run(both)
    assert await there() == "y"


async def test_what_fails_in_a_tried_block_is_undone_and_no_more(database: Database) -> None:
    def work(books: Statements) -> None:
        books.run("UPDATE llm_mux_version SET version_num = ?", ("kept",))
        with pytest.raises(RuntimeError), books.tried():
            books.run("UPDATE llm_mux_version SET version_num = ?", ("undone",))
            raise RuntimeError

    await database.run(work)
    assert (
        await database.look(lambda books: books.run("SELECT version_num FROM llm_mux_version").fetchone()[0]) == "kept"
    )
