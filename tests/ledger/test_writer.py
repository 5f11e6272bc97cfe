import asyncio
import contextlib
import os
import pathlib
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from llm_mux.ledger import insert
from llm_mux.ledger.balances import Balances, Hold, Settlement
from llm_mux.ledger.database import Database
from llm_mux.ledger.report import usage
from llm_mux.ledger.schema import exchanges, spending
from llm_mux.ledger.spool import Piece, Spool
from llm_mux.ledger.statements import Statements
from llm_mux.ledger.writer import Writer
from tests.ledger.samples import NOON, exchange
from tests.rows import columns_of, row_of

CENT = Decimal("0.01")


@contextlib.asynccontextmanager
async def running(writer: Writer) -> AsyncIterator[None]:
    """The writer's task, closed at the end as the server does it."""
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        try:
            yield
        finally:
            await writer.close()


def paying(writer: Writer, request_id: str, cost: Decimal = CENT, **changes: Any) -> asyncio.Event:
    """Records a row with a payment; the event comes when the database has both."""
    written = asyncio.Event()
    writer.paid = lambda balances: written.set()
    writer.record(exchange(request_id, **changes), payment(request_id, cost))
    return written


def payment(name: str, cost: Decimal = CENT, user: str | None = "ann", key: str | None = None) -> Settlement:
    return Settlement(hold=Hold(id=name, amount=cost, user=user, client_key=key), cost=cost, description="", time=NOON)


async def money(database: Database) -> tuple[Decimal, list[Decimal]]:
    """What ann has, and the changes of it."""
    balances = Balances(database)
    page, _ = await balances.transactions("ann", limit=100_000, offset=0)
    return await balances.balance("ann", NOON), [each.amount for each in page]


async def rows_in(database: Database) -> list[dict[str, Any]]:
    async with database.read() as connection:
        found = await connection.execute(select(exchanges).order_by(exchanges.c.id))
        return [dict(row) for row in found.mappings()]


async def test_a_row_comes_back_as_it_was_recorded(database: Database) -> None:
    row = row_of(
        time=NOON,
        request_id="req-1",
        client_key="laptop",
        user="ann",
        protocol="openai-chat",
        model_asked="fast",
        model_served="gemini-2.5-flash",
        provider="gemini",
        account="work",
        attempts=2,
        status=200,
        error_kind="upstream_cut",
        stop_reason="stop",
        input_tokens=3_000_000_000,
        output_tokens=2,
        cache_read_tokens=3,
        cache_write_tokens=4,
        reasoning_tokens=1,
        usage_estimated=True,
        ttft_ms=12.5,
        duration_ms=99.75,
        cost=75_000,
        price_source="genai-prices 2026-11-01",
        path="translate",
    )
    writer = Writer(database)
    writer.record(row)
    await writer.close()
    (found,) = await rows_in(database)
    told = columns_of(row) | {"cost": row.usd}
    assert {name: found[name] for name in told} == told
    assert found["day"] == int(NOON) // 86_400


async def test_rows_recorded_before_the_database_is_open_are_written(database: Database) -> None:
    writer = Writer(database)
    for number in range(1199):
        writer.record(exchange(f"req-{number}"))
    written = paying(writer, "req-1199")
    async with running(writer):
        await written.wait()
        assert writer.state.written == 1200
    assert [row["request_id"] for row in await rows_in(database)] == [f"req-{number}" for number in range(1200)]
    assert writer.state.waiting == writer.state.dropped == writer.state.rejected == 0


async def test_what_gathers_meanwhile_goes_in_one_batch(sqlite: Database) -> None:
    writer = Writer(sqlite, gather_s=0.05)
    async with running(writer):
        started = asyncio.get_running_loop().time()
        written = paying(writer, "req-0")
        for number in range(1, 50):
            await asyncio.sleep(0)
            writer.record(exchange(f"req-{number}"))
        assert writer.state.written == 0
        await written.wait()
        assert writer.state.written == 50
        assert asyncio.get_running_loop().time() - started >= 0.05


async def test_an_idle_writer_sets_no_timer(sqlite: Database) -> None:
    writer = Writer(sqlite, gather_s=0.01)
    task = asyncio.create_task(writer.run())
    await paying(writer, "req-1").wait()
    for _ in range(10):
        await asyncio.sleep(0)
    timers = [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
    assert timers == []
    await writer.close()
    await task


async def test_one_request_id_used_twice_is_two_exchanges(database: Database) -> None:
    writer = Writer(database)
    for row in (exchange("same"), exchange("same", time=NOON + 1)):
        writer.record(row)
    await writer.close()
    assert [row["time"] for row in await rows_in(database)] == [NOON, NOON + 1]


async def test_a_full_queue_drops_the_oldest_and_says_so(sqlite: Database) -> None:
    writer = Writer(sqlite, capacity=10)
    for number in range(25):
        writer.record(exchange(f"req-{number}"))
    assert writer.state.waiting == 10
    assert writer.state.dropped == 15
    await writer.close()
    assert [row["request_id"] for row in await rows_in(sqlite)] == [f"req-{number}" for number in range(15, 25)]


async def test_rows_wait_while_another_process_has_the_lock(sqlite: Database) -> None:
    await sqlite.open()
    other = sqlite3.connect(sqlite.description.removeprefix("SQLite at "), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    writer = Writer(sqlite, gather_s=0.01)
    async with running(writer):
        writer.record(exchange("first"))
        assert not await writer.catch_up()
        assert writer.state.error == "database is locked"
        written = paying(writer, "second")
        assert writer.state.waiting == 2
        other.execute("ROLLBACK")
        other.close()
        await written.wait()
        assert writer.state.written == 2
    assert writer.state.healthy
    assert [row["request_id"] for row in await rows_in(sqlite)] == ["first", "second"]


def room(pages: int) -> Callable[[Statements], Any]:
    """Lets the database grow to so many pages, or leaves it as large as it is."""
    return lambda books: books.run(f"PRAGMA max_page_count = {pages}").fetchone()


async def test_rows_wait_on_disk_while_the_database_is_full(sqlite: Database, tmp_path: pathlib.Path) -> None:
    await sqlite.open()
    await sqlite.run(room(1))
    writer = Writer(sqlite, tmp_path / "spool", gather_s=0.01)
    async with running(writer):
        for number in range(500):
            writer.record(exchange(f"req-{number}"))
        assert not await writer.catch_up()
        state = writer.state
        assert (state.error, state.spooled, state.dropped) == ("database or disk is full", 500, 0)
        await sqlite.run(room(1_000_000))
        assert await writer.catch_up()
    assert writer.state.healthy
    assert [row["request_id"] for row in await rows_in(sqlite)] == [f"req-{number}" for number in range(500)]


async def test_rows_wait_until_a_missing_folder_can_be_made(tmp_path: pathlib.Path) -> None:
    obstacle = tmp_path / "data"
    obstacle.write_text("a file where the folder should be")
    database = Database(obstacle / "ledger.db")
    writer = Writer(database, gather_s=0.01)
    async with running(writer):
        written = paying(writer, "req-1")
        assert not await writer.catch_up()
        assert not writer.state.healthy
        obstacle.unlink()
        await written.wait()
    await database.close()


async def test_closing_gives_up_on_a_locked_database_after_its_deadline(sqlite: Database) -> None:
    await sqlite.open()
    other = sqlite3.connect(sqlite.description.removeprefix("SQLite at "), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    writer = Writer(sqlite)
    writer.record(exchange())
    async with asyncio.timeout(5):
        await writer.close(deadline_s=0.2)
    assert writer.state.waiting == 1
    other.close()


async def test_a_cancelled_writer_loses_nothing_that_close_can_still_write(sqlite: Database) -> None:
    writer = Writer(sqlite, gather_s=0.001)
    begun = paying(writer, "req-0")
    for number in range(1, 5000):
        writer.record(exchange(f"req-{number}"))
    task = asyncio.create_task(writer.run())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await writer.close()
    assert len(await rows_in(sqlite)) == 5000


async def test_a_row_that_no_column_takes_costs_only_itself(database: Database) -> None:
    writer = Writer(database)
    for row in (exchange("a"), exchange("b", input_tokens=None), exchange("c", time=float("inf")), exchange("d")):
        writer.record(row)
    await writer.close()
    assert [row["request_id"] for row in await rows_in(database)] == ["a", "d"]
    assert writer.state.rejected == 2
    assert writer.state.healthy


async def test_a_payment_that_no_column_takes_costs_only_itself(database: Database) -> None:
    writer = Writer(database)
    writer.record(exchange("a"), payment("a"))
    writer.record(exchange("b"), payment("b", Decimal(10**8)))
    writer.record(exchange("c"), payment("c"))
    await writer.close()
    assert [row["request_id"] for row in await rows_in(database)] == ["a", "b", "c"]
    assert await money(database) == (-2 * CENT, [-CENT, -CENT])
    assert writer.state.healthy


async def test_who_catches_up_while_another_does_gets_all_rows_until_then(database: Database) -> None:
    writer = Writer(database)
    writer.record(exchange("a"))
    first = asyncio.create_task(writer.catch_up())
    await asyncio.sleep(0)
    writer.record(exchange("b"))
    others = [asyncio.create_task(writer.catch_up()) for _ in range(20)]
    assert all(await asyncio.gather(*others))
    assert [row["request_id"] for row in await rows_in(database)] == ["a", "b"]
    assert await first


async def test_what_a_client_made_up_never_spoils_a_batch(database: Database) -> None:
    writer = Writer(database)
    writer.record(exchange("req\0\ud83d", model_asked="m" * 100_000, user="'; DROP TABLE exchanges; --"))
    writer.record(exchange("b", input_tokens=10**30, cost=None))
    assert await writer.catch_up()
    writer.record(exchange("c", input_tokens=2**63 - 1))
    assert await writer.catch_up(), "sums that are too large by now stop nobody"
    await writer.close()
    first, second, _ = await rows_in(database)
    assert (first["request_id"], first["user"]) == ("req??", "'; DROP TABLE exchanges; --")
    assert (second["input_tokens"], second["cost"]) == (2**63 - 1, None)
    assert writer.state.rejected == 0


async def test_a_row_that_no_file_takes_holds_up_none_that_ended_before_it(
    database: Database, tmp_path: pathlib.Path
) -> None:
    writer = Writer(database, tmp_path / "spool")
    rows = [exchange("a"), exchange("b"), exchange("wrong", input_tokens=10**30), exchange("c")]
    writer.record_all(rows, [None] * 4)
    assert (writer.state.waiting, writer.state.spooled) == (4, 2)
    assert await writer.catch_up()
    writer.record_all([exchange("d"), exchange("e")], [None, None])
    assert (writer.state.waiting, writer.state.spooled) == (2, 2), "what comes later is kept again"
    await writer.close()
    assert [row["request_id"] for row in await rows_in(database)] == ["a", "b", "wrong", "c", "d", "e"]


async def test_rows_outlive_a_process_whose_database_was_away(database: Database, tmp_path: pathlib.Path) -> None:
    away = tmp_path / "obstacle"
    away.write_text("a file where the folder should be")
    spool = tmp_path / "spool"
    first = Writer(Database(away / "ledger.db"), spool, gather_s=0.01)
    for number in range(1200):
        first.record(exchange(f"req-{number}"))
    async with asyncio.timeout(10):
        await first.close(deadline_s=0.2)
    assert (first.state.spooled, first.state.dropped) == (1200, 0)
    second = Writer(database, spool)
    async with running(second):
        assert await second.catch_up()
        assert second.state.replayed == 1200
    assert [row["request_id"] for row in await rows_in(database)] == [f"req-{number}" for number in range(1200)]
    assert list(spool.iterdir()) == []


async def test_what_a_killed_process_left_is_tried_again_while_the_database_is_away(
    sqlite: Database, tmp_path: pathlib.Path
) -> None:
    spool = Spool(tmp_path / "spool")
    for number in (1, 2, 3):
        spool.append(Piece(number, exchange(f"req-{number}")))
    spool.close(0)
    nobody_listens = Database("postgresql://postgres@127.0.0.1:9/books")
    writer = Writer(nobody_listens, tmp_path / "spool")
    assert [await writer.catch_up() for _ in range(3)] == [False] * 3
    assert not writer.state.healthy
    await writer.close(deadline_s=0.2)
    await nobody_listens.close()
    successor = Writer(sqlite, tmp_path / "spool")
    async with running(successor):
        assert await successor.catch_up()
        assert successor.state.replayed == 3
    assert [row["request_id"] for row in await rows_in(sqlite)] == ["req-1", "req-2", "req-3"]


async def test_a_row_that_is_in_the_books_already_is_not_written_twice(
    database: Database, tmp_path: pathlib.Path
) -> None:
    """The commit reached the disk and its answer did not reach the process: what it left behind says nothing of it."""
    spool = Spool(tmp_path / "spool")
    pieces = [Piece(number, exchange(f"req-{number}"), payment(f"req-{number}", key="ci")) for number in (1, 2, 3)]
    for piece in pieces:
        spool.append(piece)
    spool.close(0)
    await database.run(lambda books: insert.write(books, spool.writer, pieces[:2], NOON))
    writer = Writer(database, tmp_path / "spool")
    async with running(writer):
        assert await writer.catch_up()
        assert writer.state.replayed == 3
    assert await money(database) == (-3 * CENT, [-CENT] * 3)
    async with database.read() as connection:
        assert (await connection.execute(select(spending.c.amount))).scalars().all() == [3 * CENT]
    assert [row["request_id"] for row in await rows_in(database)] == ["req-1", "req-2", "req-3"]
    (line,) = await usage(database, None, date(2026, 9, 21), date(2026, 9, 21))
    assert line.requests == 3


async def test_more_rows_than_memory_takes_wait_on_the_disk(sqlite: Database, tmp_path: pathlib.Path) -> None:
    await sqlite.open()
    other = sqlite3.connect(sqlite.description.removeprefix("SQLite at "), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    writer = Writer(sqlite, tmp_path / "spool", capacity=100, gather_s=0.001)
    async with running(writer):
        for number in range(1000):
            writer.record(exchange(f"req-{number}"))
            if number % 50 == 49:
                assert not await writer.catch_up()
        assert (writer.state.waiting, writer.state.dropped, writer.state.error) == (1000, 0, "database is locked")
        other.execute("ROLLBACK")
        other.close()
        assert await writer.catch_up()
        assert writer.state.written == 1000
    assert [row["request_id"] for row in await rows_in(sqlite)] == [f"req-{number}" for number in range(1000)]


async def test_a_disk_that_takes_nothing_leaves_the_database(sqlite: Database, tmp_path: pathlib.Path) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    writer = Writer(sqlite, tmp_path / "spool", gather_s=0.01)
    async with running(writer):
        await paying(writer, "req-1").wait()
        assert writer.state.spool_error is not None
        assert not writer.state.healthy
    assert writer.state.waiting == writer.state.dropped == 0


KILLS = int(os.environ.get("LLM_MUX_KILLS", "5"))

CHILD = """
    import asyncio, pathlib, secrets, sys
    from llm_mux.ledger.database import Database
    from llm_mux.ledger.writer import Writer
    from tests.ledger.samples import exchange
    from tests.ledger.test_writer import payment

    async def main():
        folder = pathlib.Path(sys.argv[1])
        process = secrets.token_hex(4)
        writer = Writer(Database(folder / "ledger.db"), folder / "spool")
        task = asyncio.create_task(writer.run())
        number = 0
        while True:
            for _ in range(20):
                name = f"req-{number}"
                writer.record(exchange(name), payment(f"{process}-{name}"))
                number += 1
                print(number, flush=True)
            await asyncio.sleep(0.001)

    asyncio.run(main())
"""


def _recorded_until_killed(folder: pathlib.Path, lines: int) -> int:
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        whole = [line for line in (*told, *child.stdout) if line.endswith("\n")]
    return int(whole[-1])


async def test_killed_processes_lose_no_row_and_double_none(tmp_path: pathlib.Path) -> None:
    database = Database(tmp_path / "ledger.db")
    before = 0
    for killed in range(KILLS):
        recorded = await asyncio.to_thread(_recorded_until_killed, tmp_path, 2000 + 3001 * (killed % 5))
        writer = Writer(database, tmp_path / "spool")
        async with running(writer):
            assert await writer.catch_up()
        assert list((tmp_path / "spool").iterdir()) == []
        async with database.read() as connection:
            query = select(exchanges.c.request_id).order_by(exchanges.c.id).offset(before)
            ids = list((await connection.execute(query)).scalars())
        before += len(ids)
        assert ids == [f"req-{number}" for number in range(len(ids))]
        # The last one may have been killed between its row and the word of it.
        assert len(ids) in (recorded, recorded + 1)
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        total = connection.execute("SELECT sum(requests) FROM usage_days").fetchone()
        assert total == connection.execute("SELECT count(*) FROM exchanges").fetchone()
        paid = connection.execute("SELECT count(*), count(DISTINCT hold), -sum(amount) FROM transactions").fetchone()
        (left,) = connection.execute("SELECT balance FROM balances").fetchone()
        cents = total[0] * 10**10
        assert (*paid, left) == (total[0], total[0], cents, -cents)
    await database.close()
    print(f"\n{KILLS} killed processes lost no row and wrote none twice; {total[0]} were kept")
