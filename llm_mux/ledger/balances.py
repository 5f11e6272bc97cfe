"""What users have and spend, and what keys may spend: balances, their transactions, holds, and budgets.

Rule: before a request is sent, what it may cost is held; afterwards the hold is settled by what it did cost, with its
row (`payments`). Whether a hold is possible is decided in one transaction that locks the balance, so no number of
requests at once can spend the same money twice. Money is exact decimal US dollars; time is unix seconds, given by the
caller.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from llm_mux.auth.scopes import amount_problem
from llm_mux.ledger.database import Database
from llm_mux.ledger.rows import LONGEST_TEXT, PICO, SECONDS_A_DAY, dollars, plain

if TYPE_CHECKING:
    from sqlalchemy import Row, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

HOLD_S = 300.0
"""How long a hold keeps money from others when its daemon, which renews it, is gone with its disk."""
_AT_ONCE = 500

ZERO = Decimal(0)
MOST_BALANCE = 9_000_000
"""US dollars. The column holds a little more, so that a payment always fits."""


class MoneyProblem(Exception):
    """An amount or a user that cannot be; the message says why."""


class Hold(Struct, frozen=True, kw_only=True, gc=False):
    """What a request may cost. `user` None: no balance is kept; the budgets are those of `client_key`."""

    id: str
    amount: Decimal
    user: str | None = None
    client_key: str | None = None
    daily_budget: Decimal | None = None
    monthly_budget: Decimal | None = None


class Shortage(Struct, frozen=True):
    """Why a hold is not possible: `budget` is day or month, None: the balance. `left` is what could be held."""

    left: Decimal
    budget: str | None = None


class Settlement(Struct, frozen=True, kw_only=True, gc=False):
    """What a request did cost; it ends the hold."""

    hold: Hold
    cost: Decimal
    description: str
    time: float


class Transaction(Struct, frozen=True, kw_only=True):
    """One change of a balance; what was spent is negative."""

    id: str
    user_id: str
    amount: Decimal
    description: str
    timestamp: str
    balance_after: Decimal


class Spent(NamedTuple):
    """What a key has spent, with what requests under way may cost left out."""

    day: Decimal = ZERO
    month: Decimal = ZERO


def usd(amount: Decimal) -> str:
    """US dollars as text: at least two decimals, and no zeros behind the last that counts."""
    whole, _, rest = f"{amount:f}".partition(".")
    return f"{whole}.{rest.rstrip('0'):0<2}"


def holds_of(writer: str) -> str:
    """What the ids of a process's holds begin with, by the name of its writer."""
    return f"{writer}:"


class Balances:
    """The balances of one database; a user who is new has `initial`."""

    def __init__(self, database: Database, initial: Decimal = ZERO) -> None:
        self._database = database
        self.initial = initial

    async def hold(self, holds: Sequence[Hold], now: float) -> list[Decimal | Shortage]:
        """Keep what requests may cost, one after another: for each the balance as it is (0 where none is kept), or why
        that is not possible."""
        from sqlalchemy import insert

        from llm_mux.ledger.schema import holds as table

        async with self._database.write() as connection:
            purses = await self._purses(connection, holds, now)
            answers = [_taken(purses, hold) for hold in holds]
            kept = [
                {
                    "id": hold.id,
                    "user": hold.user,
                    "client_key": hold.client_key,
                    "amount": hold.amount,
                    "expires": now + HOLD_S,
                }
                for hold, answer in zip(holds, answers, strict=True)
                if not isinstance(answer, Shortage)
            ]
            if kept:
                await connection.execute(insert(table), kept)
        return answers

    async def renew(self, ids: Sequence[str], now: float) -> None:
        """Requests that last: their holds are good for another `HOLD_S`."""
        from sqlalchemy import update

        from llm_mux.ledger.schema import holds

        for first in range(0, len(ids), _AT_ONCE):
            these = update(holds).where(holds.c.id.in_(ids[first : first + _AT_ONCE]))
            async with self._database.write() as connection:
                await connection.execute(these.values(expires=now + HOLD_S))

    async def credit(self, user: str, amount: Decimal, description: str, now: float) -> Transaction:
        """Give a user money, or with a negative amount take it. Raises MoneyProblem."""
        if not user.strip() or plain(user) != user or not user.isprintable():
            raise MoneyProblem(f"a user is printable text of at most {LONGEST_TEXT} characters")
        if (wrong := amount_problem(amount)) is not None or not amount:
            raise MoneyProblem(wrong or "an amount of 0 changes nothing")
        async with self._database.write() as connection:
            before = await self._locked(connection, user, now)
            if abs(before + amount) > MOST_BALANCE:
                raise MoneyProblem(f"a balance is never over {MOST_BALANCE:,} US dollars; this one is {usd(before)}")
            return await _change(connection, user, amount, plain(description), now)

    async def balance(self, user: str, now: float) -> Decimal:
        """What a user has; someone who is new has the initial balance from now on."""
        found = await self.known(user)
        if found is not None:
            return found
        async with self._database.write() as connection:
            return await self._locked(connection, plain(user), now)

    async def known(self, user: str) -> Decimal | None:
        """What a user has; None for one who was never here. Changes nothing."""
        from sqlalchemy import select

        from llm_mux.ledger.schema import balances

        async with self._database.read() as connection:
            found = await connection.scalar(select(balances.c.balance).where(balances.c.user == plain(user)))
        return None if found is None else Decimal(found)

    async def transactions(self, user: str, *, limit: int, offset: int) -> tuple[list[Transaction], int]:
        """A page of a user's transactions, newest first, and how many there are."""
        from sqlalchemy import func, select

        from llm_mux.ledger.schema import transactions

        mine = transactions.c.user == plain(user)
        query = select(transactions).where(mine).order_by(transactions.c.id.desc()).limit(limit).offset(offset)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
            total = (await connection.execute(select(func.count()).select_from(transactions).where(mine))).scalar_one()
        return [_transaction(row) for row in rows], int(total)

    async def listed(self, *, limit: int, offset: int, like: str = "") -> tuple[list[tuple[str, Decimal]], int]:
        """A page of the users whose name has `like` in it with their balances, by name, and how many there are."""
        from sqlalchemy import func, select

        from llm_mux.ledger.schema import balances

        these = balances.c.user.icontains(plain(like), autoescape=True)
        query = select(balances.c.user, balances.c.balance).where(these).order_by(balances.c.user)
        async with self._database.read() as connection:
            rows = (await connection.execute(query.limit(limit).offset(offset))).all()
            total = (await connection.execute(select(func.count()).select_from(balances).where(these))).scalar_one()
        return [(row.user, row.balance) for row in rows], int(total)

    async def some(self, first: Collection[str], most: int) -> dict[str, Decimal]:
        """The balances of at most so many users: of `first`, then of others by name."""
        from sqlalchemy import case, select

        from llm_mux.ledger.schema import balances

        order = case((balances.c.user.in_(first), 0), else_=1)
        query = select(balances.c.user, balances.c.balance).order_by(order, balances.c.user).limit(most)
        async with self._database.read() as connection:
            return {row.user: row.balance for row in (await connection.execute(query)).all()}

    async def spent(self, now: float) -> dict[str, Spent]:
        """What keys with a budget have spent this day and this month, by their ids."""
        from sqlalchemy import case, select

        from llm_mux.ledger.schema import spending

        columns = spending.c
        today = case((columns.day >= day_of(now), columns.amount), else_=0)
        query = select(columns.client_key, _total(today).label("day"), _total(columns.amount).label("month"))
        these = query.where(columns.day >= _first_of_month(now)).group_by(columns.client_key)
        async with self._database.read() as connection:
            rows = (await connection.execute(these)).all()
        return {row.client_key: Spent(dollars(int(row.day)), dollars(int(row.month))) for row in rows}

    async def _purses(self, connection: AsyncConnection, holds: Sequence[Hold], now: float) -> _Purses:
        """What the users and keys of some holds have left, which nobody else changes before this transaction ends."""
        from sqlalchemy import select

        from llm_mux.ledger.schema import client_keys
        from llm_mux.ledger.schema import holds as table

        purses = _Purses({}, {}, {})
        # Everybody locks in this order, so nobody waits in a circle.
        for user in sorted({hold.user for hold in holds if hold.user is not None}):
            purses.balances[user] = await self._locked(connection, user, now)
            purses.left[user] = purses.balances[user] - await _held(connection, table.c.user == user, now)
        for key in sorted({hold.client_key for hold in holds if hold.client_key is not None}):
            await connection.execute(select(client_keys.c.id).where(client_keys.c.id == key).with_for_update())
            held = await _held(connection, table.c.client_key == key, now)
            for budget, first in (("day", day_of(now)), ("month", _first_of_month(now))):
                purses.used[key, budget] = held + await _spent(connection, key, first)
        return purses

    async def _locked(self, connection: AsyncConnection, user: str, now: float) -> Decimal:
        """A user's balance, which nobody else changes before this transaction ends; made when there is none."""
        from sqlalchemy import select

        from llm_mux.ledger.schema import balances

        query = select(balances.c.balance).where(balances.c.user == user).with_for_update()
        found = (await connection.execute(query)).scalar()
        if found is not None:
            return Decimal(found)
        made = _insert(connection, balances).values(user=user, balance=ZERO, created=now)
        new = (await connection.execute(made.on_conflict_do_nothing(index_elements=["user"]))).rowcount
        if new and self.initial:
            await _change(connection, user, self.initial, "Initial balance", now)
        return Decimal((await connection.execute(query)).scalar_one())


async def _change(connection: AsyncConnection, user: str, amount: Decimal, description: str, now: float) -> Transaction:
    from sqlalchemy import insert, update

    from llm_mux.ledger.schema import balances, transactions

    changed = update(balances).where(balances.c.user == user).values(balance=balances.c.balance + amount)
    after = (await connection.execute(changed.returning(balances.c.balance))).scalar_one()
    values = {"user": user, "time": now, "amount": amount, "balance_after": after, "description": description}
    made = insert(transactions).values(**values).returning(transactions)
    return _transaction((await connection.execute(made)).one())


def _transaction(row: Row[Any]) -> Transaction:
    return Transaction(
        id=f"txn_{row.id}",
        user_id=row.user,
        amount=row.amount,
        description=row.description,
        timestamp=datetime.fromtimestamp(row.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        balance_after=row.balance_after,
    )


def _insert(connection: AsyncConnection, table: Table) -> Any:
    """An insert that may meet a row that is there."""
    from sqlalchemy.dialects import postgresql, sqlite

    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


async def _held(connection: AsyncConnection, whose: Any, now: float) -> Decimal:
    from sqlalchemy import select

    from llm_mux.ledger.schema import holds

    return await _sum(connection, select(_total(holds.c.amount)).where(whose, holds.c.expires > now))


def _total(column: Any) -> Any:
    from sqlalchemy import BigInteger, func, type_coerce

    return func.coalesce(func.sum(type_coerce(column, BigInteger)), 0)


async def _sum(connection: AsyncConnection, query: Any) -> Decimal:
    return Decimal(int((await connection.execute(query)).scalar_one())).scaleb(-PICO)


async def _spent(connection: AsyncConnection, key: str, first_day: int) -> Decimal:
    from sqlalchemy import select

    from llm_mux.ledger.schema import spending

    columns = spending.c
    return await _sum(
        connection, select(_total(columns.amount)).where(columns.client_key == key, columns.day >= first_day)
    )


class _Purses(NamedTuple):
    """By user the balance and what is left of it; by key and budget what is used."""

    balances: dict[str, Decimal]
    left: dict[str, Decimal]
    used: dict[tuple[str, str], Decimal]


def _taken(purses: _Purses, hold: Hold) -> Decimal | Shortage:
    """The balance behind a hold, which is taken from what is left, or what is short of it."""
    lefts = [] if hold.user is None else [Shortage(purses.left[hold.user])]
    for name, budget in (("day", hold.daily_budget), ("month", hold.monthly_budget)):
        if budget is not None and hold.client_key is not None:
            lefts.append(Shortage(budget - purses.used[hold.client_key, name], name))
    for short in lefts:
        if short.left <= 0 or short.left < hold.amount:
            return short
    if hold.client_key is not None:
        for name in ("day", "month"):
            purses.used[hold.client_key, name] += hold.amount
    if hold.user is None:
        return ZERO
    purses.left[hold.user] -= hold.amount
    return purses.balances[hold.user]


def day_of(now: float) -> int:
    """Whole days since 1970 in UTC."""
    return int(now // SECONDS_A_DAY)


def _first_of_month(now: float) -> int:
    return day_of(datetime.fromtimestamp(now, UTC).replace(day=1).timestamp())


def budget_ends(budget: str, now: float) -> float:
    """When a budget of the day or month begins anew."""
    if budget == "day":
        return (day_of(now) + 1.0) * SECONDS_A_DAY
    moment = datetime.fromtimestamp(now, UTC)
    year, month = (moment.year + 1, 1) if moment.month == 12 else (moment.year, moment.month + 1)
    return datetime(year, month, 1, tzinfo=UTC).timestamp()
