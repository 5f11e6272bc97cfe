from datetime import date
from decimal import Decimal

import pytest

from llm_mux.ledger.database import Database
from llm_mux.ledger.report import GroupBy, Line, Only, usage, usages
from llm_mux.ledger.writer import Writer
from tests.ledger.samples import NOON, exchange

DAY = date(2026, 9, 21)
NEXT_DAY = date(2026, 9, 22)


@pytest.fixture
async def books(database: Database) -> Database:
    writer = Writer(database)
    for row in (
        exchange("a", cost=10**11),
        exchange("b", cost=2 * 10**11, reasoning_tokens=7, cache_read_tokens=5),
        exchange("c", cost=None, account="home"),
        exchange("d", model_served=None, account=None, status=404, error_kind="model_not_found", cost=None),
        exchange("e", time=NOON + 86_400, cost=1),
    ):
        writer.record(row)
    await writer.close()
    return database


async def test_sums_are_exact_and_unknown_prices_are_counted(books: Database) -> None:
    first, second = await usage(books, "day", DAY, NEXT_DAY)
    assert first == Line(
        name="2026-09-21",
        requests=4,
        failures=1,
        cancelled=0,
        retries=0,
        input_tokens=40,
        output_tokens=80,
        cache_read_tokens=5,
        cache_write_tokens=0,
        reasoning_tokens=7,
        unpriced=2,
        cost=Decimal("0.3"),
        duration_ms=1500.0,
        ttft_ms=320.0,
    )
    assert (second.name, second.cost) == ("2026-09-22", Decimal("1E-12"))


@pytest.mark.parametrize(
    ("group_by", "names"),
    [
        ("model", {"", "claude-sonnet-4-5"}),
        ("account", {"", "anthropic/home", "anthropic/work"}),
        ("provider", {"anthropic"}),
        ("client_key", {""}),
        ("user", {""}),
        ("protocol", {"anthropic"}),
        ("hour", {"2026-09-21T14:00Z", "2026-09-22T14:00Z"}),
        (None, {""}),
    ],
)
async def test_groups_are_named_after_what_they_share(
    books: Database, group_by: GroupBy | None, names: set[str]
) -> None:
    lines = await usage(books, group_by, DAY, NEXT_DAY)
    assert {line.name for line in lines} == names
    assert sum(line.requests for line in lines) == 5


async def test_a_group_without_a_known_price_has_no_cost(books: Database) -> None:
    costs = {line.name: line.cost for line in await usage(books, "account", DAY, DAY)}
    assert costs == {"": None, "anthropic/home": None, "anthropic/work": Decimal("0.3")}


async def test_days_outside_are_left_out(books: Database) -> None:
    assert [line.requests for line in await usage(books, "day", NEXT_DAY, NEXT_DAY)] == [1]
    assert await usage(books, "day", NEXT_DAY, DAY) == []


async def test_groups_are_parted_again(books: Database) -> None:
    """What a chart of days stacks: each day's models, or accounts."""
    (lines,) = await usages(books, (("day", "account"),), DAY, NEXT_DAY)
    assert [(line.name, line.then, line.requests) for line in lines] == [
        ("2026-09-21", "", 1),
        ("2026-09-21", "anthropic/home", 1),
        ("2026-09-21", "anthropic/work", 2),
        ("2026-09-22", "anthropic/work", 1),
    ]
    (hours,) = await usages(books, (("hour", "model"),), DAY, DAY)
    assert [(line.name, line.then, line.requests) for line in hours] == [
        ("2026-09-21T14:00Z", "", 1),
        ("2026-09-21T14:00Z", "claude-sonnet-4-5", 3),
    ]


async def test_hours_of_everything_are_what_their_parts_add_up_to(books: Database) -> None:
    hours = await usage(books, "hour", DAY, NEXT_DAY)
    assert [line.requests for line in hours] == [4, 1]
    assert hours == await usage(books, "hour", DAY, NEXT_DAY, Only(provider="anthropic"))


async def test_sums_beyond_every_number_of_the_database_keep_nobody_from_the_others(database: Database) -> None:
    writer = Writer(database)
    for model in ("one", "two", "three"):
        writer.record(exchange(model, model_served=model, input_tokens=2**63 - 1, output_tokens=7))
    await writer.close()
    (total,) = await usage(database, None, DAY, DAY)
    assert total.input_tokens == pytest.approx(3 * 2**63)
    assert (total.requests, total.output_tokens) == (3, 21)
    by_model = await usage(database, "model", DAY, DAY)
    assert [(line.name, line.output_tokens) for line in by_model] == [("one", 7), ("three", 7), ("two", 7)]
