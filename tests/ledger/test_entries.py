from datetime import date
from typing import Any

import pytest

from llm_mux.ledger.database import Database
from llm_mux.ledger.entries import Wanted, entries
from llm_mux.ledger.report import Only
from llm_mux.ledger.rows import Exchange
from llm_mux.ledger.writer import Writer
from tests.ledger.samples import NOON, exchange

DAY = date(2026, 9, 21)
NEXT_DAY = date(2026, 9, 22)
ROWS = (
    exchange(
        "a", cost=435_000_000, user="ann", client_key="laptop", reasoning_tokens=7, price_source="book 2026-09-01"
    ),
    exchange("b", cost=None, model_served=None, account=None, status=404, error_kind="model_not_found", user="bob"),
    exchange("c", status=499, error_kind="client_gone", model_served="gpt-5", provider="openai", user="ann"),
    exchange("d", error_kind="upstream_cut", path="splice", account="home"),
    exchange("e", time=NOON + 86_400, user="ann"),
    exchange("e", time=NOON - 86_400 * 21 + 0.5),
)


@pytest.fixture
async def books(database: Database) -> Database:
    writer = Writer(database)
    for row in ROWS:
        writer.record(row)
    await writer.close()
    return database


async def found(books: Database, most: int = 100, **wanted: Any) -> list[Exchange]:
    asked = Wanted(**{"first": DAY, "last": NEXT_DAY, **wanted})
    return [entry.exchange for entry in await entries(books, asked, most)]


async def test_rows_come_back_as_they_were_newest_first(books: Database) -> None:
    assert await found(books, first=date(2026, 8, 1)) == list(ROWS[::-1])


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({}, "edcba"),
        ({"last": DAY}, "dcba"),
        ({"first": NEXT_DAY}, "e"),
        ({"first": date(2026, 8, 31), "last": date(2026, 8, 31)}, "e"),
        ({"only": Only(user="ann")}, "eca"),
        ({"only": Only(user="ann", client_key="laptop")}, "a"),
        ({"only": Only(model="gpt-5")}, "c"),
        ({"only": Only(provider="anthropic", account="home")}, "d"),
        ({"only": Only(user="' OR 1=1; --")}, ""),
        ({"outcome": "ok"}, "ea"),
        ({"outcome": "failed"}, "db"),
        ({"outcome": "cancelled"}, "c"),
        ({"request_id": "c"}, "c"),
        ({"request_id": "%"}, ""),
    ],
    ids=str,
)
async def test_days_names_and_ends_narrow_them(books: Database, wanted: dict[str, Any], named: str) -> None:
    assert "".join(row.request_id for row in await found(books, **wanted)) == named


async def test_what_was_written_at_different_times_is_found_as_what_was_written_together(database: Database) -> None:
    writer = Writer(database)
    for row in ROWS:
        writer.record(row)
        assert await writer.catch_up()
    await writer.close()
    assert await found(database, first=date(2026, 8, 1)) == list(ROWS[::-1])
    assert [row.request_id for row in await found(database, most=2, only=Only(user="ann"))] == ["e", "c"]
    assert [row.request_id for row in await found(database, request_id="a")] == ["a"]


async def test_pages_follow_each_other_whatever_is_written_meanwhile(books: Database) -> None:
    wanted, seen = {"first": DAY, "last": NEXT_DAY}, []
    page = await entries(books, Wanted(**wanted), 2)
    while page:
        seen += [entry.exchange.request_id for entry in page]
        writer = Writer(books)
        writer.record(exchange("later"))
        await writer.close()
        page = await entries(books, Wanted(**wanted, before=page[-1].id), 2)
    assert seen == ["e", "d", "c", "b", "a"]
