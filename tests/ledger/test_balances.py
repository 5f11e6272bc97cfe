import asyncio
import pathlib
import time
from decimal import Decimal
from typing import Any

import pytest

from llm_mux.ledger.balances import HOLD_S, Balances, Hold, MoneyProblem, Settlement, Shortage, Spent, budget_ends
from llm_mux.ledger.database import Database
from llm_mux.ledger.keys import KeyTable
from llm_mux.ledger.payments import pay
from llm_mux.ledger.retention import Retention
from llm_mux.ledger.till import Till
from llm_mux.ledger.writer import Writer
from tests.ledger.samples import exchange

NOW = 1_800_000_000.0
CENT = Decimal("0.01")


def hold(number: int, amount: Decimal = CENT, user: str | None = "alice") -> Hold:
    return Hold(id=f"h{number}", amount=amount, user=user)


async def held(balances: Balances, hold: Hold, now: float = NOW) -> Decimal | Shortage:
    (answer,) = await balances.hold([hold], now)
    return answer


def paid(of: Hold, cost: Decimal, time: float = NOW) -> Settlement:
    return Settlement(hold=of, cost=cost, description="Chat completion with gpt-5", time=time)


async def settled(database: Database, *settlements: Settlement) -> dict[str, Decimal]:
    return await database.run(lambda books: pay(books.connection, settlements))


async def test_a_new_user_begins_with_the_initial_balance_as_a_transaction(database: Database) -> None:
    balances = Balances(database, Decimal("100.00"))
    assert await balances.balance("alice", NOW) == 100
    assert await balances.balance("alice", NOW) == 100
    (first,), total = await balances.transactions("alice", limit=10, offset=0)
    assert (total, first.amount, first.description, first.balance_after) == (1, 100, "Initial balance", 100)
    assert first.timestamp == "2027-01-15T08:00:00Z"


async def test_a_spent_amount_is_exact_and_keeps_what_was_left(database: Database) -> None:
    balances = Balances(database, Decimal(100))
    cost = Decimal("0.000123456789")
    assert await held(balances, hold(1), NOW) == 100
    assert await settled(database, paid(hold(1), cost)) == {"alice": 100 - cost}
    (spent, _), total = await balances.transactions("alice", limit=10, offset=0)
    assert (total, spent.amount, spent.balance_after) == (2, -cost, Decimal("99.999876543211"))
    assert spent.id.startswith("txn_")


async def test_what_is_held_cannot_be_spent_by_another(database: Database) -> None:
    balances = Balances(database, Decimal(1))
    assert await held(balances, hold(1, Decimal("0.7")), NOW) == 1
    assert await held(balances, hold(2, Decimal("0.4")), NOW) == Shortage(Decimal("0.3"))
    assert await held(balances, hold(3, Decimal("0.3")), NOW) == 1
    assert await held(balances, hold(4, Decimal(0)), NOW) == Shortage(Decimal(0))
    await settled(database, paid(hold(1), Decimal(0)), paid(hold(3), Decimal("0.3")))
    assert await held(balances, hold(5, Decimal("0.7")), NOW) == Decimal("0.7")


async def test_the_hold_of_a_daemon_that_was_killed_lapses(database: Database) -> None:
    balances = Balances(database, Decimal(1))
    await held(balances, hold(1, Decimal(1)), NOW)
    assert await held(balances, hold(2, CENT), NOW + HOLD_S - 1) == Shortage(Decimal(0))
    assert await held(balances, hold(3, CENT), NOW + HOLD_S) == 1
    # What was only slow, or waited in a spool until its hold was forgotten, still pays.
    assert await settled(database, paid(hold(1), CENT)) == {"alice": Decimal("0.99")}
    await Retention(database).shorten(NOW + 4 * 86_400)
    assert await settled(database, paid(hold(3), CENT)) == {"alice": Decimal("0.98")}


async def test_a_thousand_spends_at_once_are_exact_and_never_go_below_zero(database: Database) -> None:
    writer = Writer(database, gather_s=0)
    till = Till(Balances(database, Decimal("4.00")), writer)
    running = asyncio.create_task(writer.run())

    async def spend(number: int) -> bool:
        if await till.hold(hold(number), NOW) is not None:
            return False
        writer.record(exchange(f"req-{number}"), paid(hold(number), CENT))
        return True

    started = time.monotonic()
    done = await asyncio.gather(*(spend(number) for number in range(1000)))
    await till.close()
    await writer.close()
    await running
    print(f"1,000 spends of one balance at once: {time.monotonic() - started:.2f} s")
    assert sum(done) == 400
    assert till.known == {"alice": 0}
    assert await till.balances.balance("alice", NOW) == 0
    page, total = await till.balances.transactions("alice", limit=1000, offset=0)
    assert total == 401
    assert sum(each.amount for each in page) == 0
    assert min(each.balance_after for each in page) == 0
    assert len({each.balance_after for each in page}) == 401


async def test_two_daemons_on_one_balance_are_exact_too(location: Any, database: Database) -> None:
    other = Database(location)
    writers = [Writer(each, gather_s=0) for each in (database, other)]
    tills = [Till(Balances(each, Decimal(1)), writer) for each, writer in zip((database, other), writers, strict=True)]
    running = [asyncio.create_task(writer.run()) for writer in writers]

    async def spend(number: int) -> bool:
        if await tills[number % 2].hold(hold(number), NOW) is not None:
            return False
        writers[number % 2].record(exchange(f"req-{number}"), paid(hold(number), CENT))
        return True

    done = await asyncio.gather(*(spend(number) for number in range(300)))
    for writer in writers:
        await writer.close()
    await asyncio.gather(*running)
    assert sum(done) == 100
    assert await tills[0].balances.balance("alice", NOW) == 0
    await other.close()


async def test_a_client_that_leaves_while_its_hold_is_written_keeps_nothing(database: Database) -> None:
    writer = Writer(database)
    till = Till(Balances(database, Decimal(1)), writer)
    leaving = asyncio.create_task(till.hold(hold(1, Decimal(1)), NOW))
    asyncio.get_running_loop().call_soon(leaving.cancel)
    await asyncio.gather(leaving, return_exceptions=True)
    await till.close()
    await writer.close()
    assert await held(till.balances, hold(2, Decimal(1))) == 1


async def test_payments_wait_for_a_database_that_is_away_and_holds_say_so(tmp_path: pathlib.Path) -> None:
    blocked = tmp_path / "books"
    blocked.write_text("a file where the folder should be")
    database = Database(blocked / "books.db", busy_s=0.01)
    writer = Writer(database)
    till = Till(Balances(database, Decimal(1)), writer)
    with pytest.raises(OSError):
        await till.hold(hold(1), NOW)
    writer.record(exchange(), paid(hold(1), CENT))
    assert not await writer.catch_up()
    blocked.unlink()
    assert await till.hold(hold(1), NOW) is None
    await writer.close()
    assert writer.state.error is None
    assert await till.balances.balance("alice", NOW) == Decimal("0.99")
    await database.close()


async def test_what_is_settled_twice_is_paid_once(database: Database) -> None:
    balances = Balances(database, Decimal(1))
    await held(balances, hold(1), NOW)
    batch = [paid(hold(1), CENT), paid(hold(1), CENT)]
    assert await settled(database, *batch) == {"alice": Decimal("0.99")}
    assert await settled(database, *batch) == {}
    assert await balances.balance("alice", NOW) == Decimal("0.99")


async def test_a_daily_and_a_monthly_budget_hold_back_and_begin_anew(database: Database) -> None:
    balances = Balances(database)
    key, _ = await KeyTable(database).create("ci", now=NOW)

    def budgeted(number: int, amount: str = "0.4") -> Hold:
        return Hold(
            id=f"b{number}",
            amount=Decimal(amount),
            client_key=key.id,
            daily_budget=Decimal(1),
            monthly_budget=Decimal("1.5"),
        )

    async def spend(number: int, now: float) -> Shortage | Decimal:
        answer = await held(balances, budgeted(number), now)
        if not isinstance(answer, Shortage):
            await settled(database, paid(budgeted(number), Decimal("0.4"), now))
        return answer

    assert [await spend(n, NOW) for n in range(3)] == [0, 0, Shortage(Decimal("0.2"), "day")]
    tomorrow = budget_ends("day", NOW)
    assert await spend(4, tomorrow - 1) == Shortage(Decimal("0.2"), "day")
    assert await balances.spent(NOW) == {key.id: Spent(Decimal("0.8"), Decimal("0.8"))}
    assert [await spend(n, tomorrow) for n in (5, 6)] == [0, Shortage(Decimal("0.3"), "month")]
    assert await balances.spent(tomorrow) == {key.id: Spent(Decimal("0.4"), Decimal("1.2"))}
    assert await balances.spent(budget_ends("month", NOW)) == {}
    assert await spend(7, budget_ends("month", NOW)) == 0


async def test_a_budget_holds_for_requests_at_once(database: Database) -> None:
    balances = Balances(database)
    key, _ = await KeyTable(database).create("ci", now=NOW)
    asked = [Hold(id=f"b{n}", amount=CENT, client_key=key.id, daily_budget=Decimal("0.25")) for n in range(60)]
    till = Till(balances, Writer(database))
    answers = await asyncio.gather(*(till.hold(each, NOW) for each in asked))
    assert answers.count(None) == 25


async def test_money_is_given_and_taken_by_hand(database: Database) -> None:
    balances = Balances(database)
    given = await balances.credit("bob", Decimal("25.50"), "invoice 7", NOW)
    assert (given.amount, given.balance_after, given.description) == (Decimal("25.50"), Decimal("25.50"), "invoice 7")
    taken = await balances.credit("bob", Decimal("-30"), "refund", NOW)
    assert taken.balance_after == Decimal("-4.5")
    assert await held(balances, hold(1, Decimal(0), "bob"), NOW) == Shortage(Decimal("-4.5"))
    assert await balances.listed(limit=10, offset=0) == ([("bob", Decimal("-4.5"))], 1)


@pytest.mark.parametrize("amount", ["0", "NaN", "Infinity", "1e6", "1e-13", "-1e6"])
async def test_amounts_that_cannot_be_are_refused(database: Database, amount: str) -> None:
    with pytest.raises(MoneyProblem):
        await Balances(database).credit("bob", Decimal(amount), "", NOW)


@pytest.mark.parametrize("sign", [1, -1])
async def test_a_balance_has_an_end_that_is_said_and_stays_a_number(database: Database, sign: int) -> None:
    balances = Balances(database)
    most = Decimal(999_999) * sign
    for _ in range(9):
        last = await balances.credit("bob", most, "", NOW)
    with pytest.raises(MoneyProblem, match="9,000,000"):
        await balances.credit("bob", most, "", NOW)
    assert await balances.balance("bob", NOW) == last.balance_after == most * 9
    assert (await balances.credit("bob", -most, "", NOW)).balance_after == most * 8


@pytest.mark.parametrize("user", ["' OR 1=1 --", '"; DROP TABLE balances; --', "%", "_"])
async def test_sql_in_a_name_is_a_name(database: Database, user: str) -> None:
    balances = Balances(database)
    await balances.credit("real", Decimal(5), "", NOW)
    assert await balances.balance(user, NOW) == 0
    assert await balances.transactions(user, limit=10, offset=0) == ([], 0)
    assert await balances.balance("real", NOW) == 5


@pytest.mark.parametrize(
    ("budget", "now", "ends"),
    [
        ("day", 0.0, 86_400.0),
        ("day", 86_399.5, 86_400.0),
        ("month", 0.0, 31 * 86_400.0),
        ("month", 364 * 86_400.0, 365 * 86_400.0),
    ],
)
def test_budgets_follow_the_calendar_in_utc(budget: str, now: float, ends: float) -> None:
    assert budget_ends(budget, now) == ends
