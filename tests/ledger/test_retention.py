import asyncio
import time
from datetime import date

import pytest
from sqlalchemy import func, select

from llm_mux.ledger import retention
from llm_mux.ledger.database import Database
from llm_mux.ledger.report import usage
from llm_mux.ledger.retention import Retention
from llm_mux.ledger.rows import SECONDS_A_DAY
from llm_mux.ledger.schema import exchange_names, exchanges, usage_hours, writers
from llm_mux.ledger.writer import Writer
from tests.ledger.samples import NOON, exchange


async def counts(database: Database) -> tuple[int, ...]:
    async with database.read() as connection:
        return tuple(
            [
                (await connection.execute(select(func.count()).select_from(table))).scalar_one()
                for table in (exchanges, usage_hours, writers)
            ]
        )


async def test_old_rows_and_hours_go_and_the_sums_of_days_stay(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 10)
    writer = Writer(database)
    for day in range(5):
        for number in range(7):
            writer.record(exchange(f"req-{day}-{number}", time=NOON + day * SECONDS_A_DAY))
            assert number % 3 or await writer.catch_up()
        assert await writer.catch_up()
    await writer.close()
    assert await counts(database) == (35, 5, 1)
    assert await Retention(database, days=2).shorten(NOON + 4 * SECONDS_A_DAY) == 14
    assert await counts(database) == (21, 3, 1)
    lines = await usage(database, "day", date(2026, 9, 21), date(2026, 9, 25))
    assert [line.requests for line in lines] == [7] * 5


async def test_a_daemon_that_never_runs_for_an_hour_keeps_the_days_too(database: Database) -> None:
    for row in (exchange("old"), exchange("new", time=time.time())):
        writer = Writer(database)
        writer.record(row)
        await writer.close()
    running = asyncio.create_task(Retention(database, days=1, first_s=0).run())
    async with asyncio.timeout(10):
        while (await counts(database))[0] != 1:
            await asyncio.sleep(0)
    running.cancel()


async def test_a_row_that_came_late_from_the_spool_does_not_hold_up_the_others(database: Database) -> None:
    writer = Writer(database)
    for day in (0, 4, 0):
        writer.record(exchange(time=NOON + day * SECONDS_A_DAY))
        assert await writer.catch_up()
    await writer.close()
    assert await Retention(database, days=1).shorten(NOON + 4 * SECONDS_A_DAY) == 2


async def test_rows_go_with_the_newest_that_was_written_with_them(database: Database) -> None:
    writer = Writer(database)
    for day in (0, 2):
        writer.record(exchange(time=NOON + day * SECONDS_A_DAY))
    await writer.close()
    assert await Retention(database, days=1).shorten(NOON + 2 * SECONDS_A_DAY) == 0
    assert await Retention(database, days=1).shorten(NOON + 4 * SECONDS_A_DAY) == 2


async def test_a_batch_larger_than_a_round_goes_too(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 10)
    writer = Writer(database)
    for batch in range(3):
        for number in range(25):
            writer.record(exchange(f"req-{batch}-{number}"))
        assert await writer.catch_up()
    await writer.close()
    assert await Retention(database, days=1).shorten(NOON + 4 * SECONDS_A_DAY) == 75
    assert (await counts(database))[0] == 0


async def test_names_stay_for_rows_that_came_late_and_go_after_them(database: Database) -> None:
    writer = Writer(database)
    for day in range(6):
        writer.record(exchange(time=NOON + day * SECONDS_A_DAY))
    await writer.close()
    await Retention(database, days=2).shorten(NOON + 5 * SECONDS_A_DAY)
    async with database.read() as connection:
        days = (await connection.execute(select(exchange_names.c.day).order_by(exchange_names.c.day))).scalars().all()
    assert [day - int(NOON // SECONDS_A_DAY) for day in days] == [1, 2, 3, 4, 5]
