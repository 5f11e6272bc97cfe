import asyncio
import contextlib
import json
import pathlib
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from llm_mux.ledger.database import Database
from llm_mux.ledger.rows import Exchange
from llm_mux.ledger.schema import exchanges
from llm_mux.ledger.writer import Writer
from tests.ledger.samples import NOON, exchange


@contextlib.asynccontextmanager
async def running(writer: Writer) -> AsyncIterator[None]:
    """The writer's task, closed at the end as the server does it."""
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        try:
            yield
        finally:
            await writer.close()


async def until(writer: Writer, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def rows_in(database: Database) -> list[dict[str, Any]]:
    async with database.read() as connection:
        found = await connection.execute(select(exchanges).order_by(exchanges.c.id))
        return [dict(row) for row in found.mappings()]


async def test_a_row_comes_back_as_it_was_recorded(database: Database) -> None:
    row = Exchange(
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
        cost=Decimal("0.000000075"),
        price_source="genai-prices 2026-11-01",
        path="translate",
    )
    writer = Writer(database)
    writer.record(row)
    await writer.close()
    (found,) = await rows_in(database)
    assert {name: found[name] for name in Exchange.__struct_fields__} == {
        name: getattr(row, name) for name in Exchange.__struct_fields__
    }
    assert found["day"] == int(NOON) // 86_400


async def test_rows_recorded_before_the_database_is_open_are_written(database: Database) -> None:
    writer = Writer(database)
    for number in range(1200):
        writer.record(exchange(f"req-{number}"))
    async with running(writer):
        await until(writer, lambda: writer.state.written == 1200)
    assert [row["request_id"] for row in await rows_in(database)] == [f"req-{number}" for number in range(1200)]
    assert writer.state.waiting == writer.state.dropped == writer.state.rejected == 0


async def test_what_gathers_meanwhile_goes_in_one_batch(sqlite: Database) -> None:
    writer = Writer(sqlite, gather_s=0.05)
    async with running(writer):
        started = asyncio.get_running_loop().time()
        for number in range(50):
            writer.record(exchange(f"req-{number}"))
            await asyncio.sleep(0)
        assert writer.state.written == 0
        await until(writer, lambda: writer.state.written > 0)
        assert writer.state.written == 50
        assert asyncio.get_running_loop().time() - started >= 0.05


async def test_an_idle_writer_sets_no_timer(sqlite: Database) -> None:
    writer = Writer(sqlite, gather_s=0.01)
    task = asyncio.create_task(writer.run())
    writer.record(exchange())
    await until(writer, lambda: writer.state.written == 1)
    for _ in range(10):
        await asyncio.sleep(0)
    timers = [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
    assert timers == []
    await writer.close()
    await task


async def test_one_request_id_used_twice_is_two_exchanges_but_one_row_is_written_once(database: Database) -> None:
    writer = Writer(database)
    twice = exchange("same")
    for row in (twice, twice, exchange("same", time=NOON + 1)):
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
        await until(writer, lambda: not writer.state.healthy)
        assert writer.state.error == "database is locked"
        writer.record(exchange("second"))
        assert writer.state.waiting == 2
        other.execute("ROLLBACK")
        other.close()
        await until(writer, lambda: writer.state.written == 2)
        assert writer.state.healthy
    assert [row["request_id"] for row in await rows_in(sqlite)] == ["first", "second"]


async def test_rows_wait_until_a_missing_folder_can_be_made(tmp_path: pathlib.Path) -> None:
    obstacle = tmp_path / "data"
    obstacle.write_text("a file where the folder should be")
    database = Database(obstacle / "ledger.db")
    writer = Writer(database, gather_s=0.01)
    async with running(writer):
        writer.record(exchange())
        await until(writer, lambda: not writer.state.healthy)
        obstacle.unlink()
        await until(writer, lambda: writer.state.written == 1)
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
    for number in range(5000):
        writer.record(exchange(f"req-{number}"))
    task = asyncio.create_task(writer.run())
    await until(writer, lambda: writer.state.written > 0)
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


async def test_what_a_client_made_up_never_spoils_a_batch(database: Database) -> None:
    writer = Writer(database)
    writer.record(exchange("req\0\ud83d", model_asked="m" * 100_000, user="'; DROP TABLE exchanges; --"))
    writer.record(exchange("b", input_tokens=10**30, cost=Decimal("NaN")))
    await writer.close()
    first, second = await rows_in(database)
    assert (first["request_id"], first["user"]) == ("req??", "'; DROP TABLE exchanges; --")
    assert (second["input_tokens"], second["cost"]) == (2**63 - 1, None)
    assert writer.state.rejected == 0


CHILD = """
    import asyncio, pathlib, sys
    from llm_mux.ledger.database import Database
    from llm_mux.ledger.writer import Writer
    from tests.ledger.samples import exchange

    async def main():
        writer = Writer(Database(pathlib.Path(sys.argv[1])))
        task = asyncio.create_task(writer.run())
        number = told = 0
        while True:
            for _ in range(20):
                writer.record(exchange(f"req-{number}"))
                number += 1
            await asyncio.sleep(0.001)
            if writer.state.written > told:
                told = writer.state.written
                print(told, flush=True)

    asyncio.run(main())
"""


def test_a_killed_process_keeps_every_row_it_had_written(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "ledger.db"
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        written = [json.loads(child.stdout.readline()) for _ in range(3)][-1]
        child.kill()
    connection = sqlite3.connect(file)
    ids = [row[0] for row in connection.execute("SELECT request_id FROM exchanges ORDER BY id")]
    assert len(ids) >= written
    assert ids == [f"req-{number}" for number in range(len(ids))]
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
