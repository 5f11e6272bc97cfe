"""What the books add up to: requests, tokens and cost by day, model, account and the like.

Rule: everything comes from the sums that the writer keeps, so that a report costs the same for a thousand exchanges and
for millions. A cost is None where no price was known, and `unpriced` says how often.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from msgspec import Struct

from llm_mux.ledger.database import Database
from llm_mux.ledger.rows import SECONDS_AN_HOUR, dollars

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

GroupBy = Literal["day", "hour", "model", "account", "provider", "client_key", "user", "protocol"]
GROUPS: tuple[GroupBy, ...] = get_args(GroupBy)

_EPOCH = date(1970, 1, 1)
COLUMN: dict[str, str] = {"model": "model_served"}


class Line(Struct, frozen=True, kw_only=True):
    """One group: `name` is a date as YYYY-MM-DD in UTC for days, with the hour for hours, "" for exchanges that have no
    such thing; an account's name has its provider's before it. `cancelled` are not among the `failures`, `duration_ms`
    and `ttft_ms` are means. `then` names the part of the group, where groups are parted again."""

    name: str
    requests: int
    failures: int
    cancelled: int
    retries: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    unpriced: int
    cost: Decimal | None
    duration_ms: float | None
    ttft_ms: float | None
    then: str | None = None

    @property
    def tokens(self) -> int:
        """Prompt and answer together."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.output_tokens


class Only(Struct, frozen=True, kw_only=True):
    """Which exchanges count; None: all."""

    model: str | None = None
    provider: str | None = None
    account: str | None = None
    client_key: str | None = None
    user: str | None = None


async def usage(
    database: Database, group_by: GroupBy | None, first: date, last: date, only: Only | None = None
) -> list[Line]:
    """Groups of all exchanges from `first` to `last`, both included, days in UTC; by name. None: one line for all."""
    return (await usages(database, (group_by,), first, last, only))[0]


async def usages(
    database: Database,
    groups: Sequence[GroupBy | tuple[GroupBy, GroupBy] | None],
    first: date,
    last: date,
    only: Only | None = None,
) -> list[list[Line]]:
    """Several of `usage` at one moment; a pair parts each group by something else again, which is no period."""
    await database.open()
    found = []
    async with database.read() as connection:
        for group in groups:
            group_by, then_by = group if isinstance(group, tuple) else (group, None)
            rows = await _rows(connection, group_by, then_by, ((first - _EPOCH).days, (last - _EPOCH).days), only)
            found.append([_line(group_by, dict(row)) for row in rows if row["requests"]])
    return found


async def _rows(
    connection: AsyncConnection,
    group_by: GroupBy | None,
    then_by: GroupBy | None,
    days: tuple[int, int],
    only: Only | None,
) -> Sequence[Any]:
    """Sums that SQLite has no number for, of servers that counted wrong, are about right."""
    from sqlalchemy import func
    from sqlalchemy.exc import OperationalError

    asked = partial(_query, group_by, then_by, *days, only or Only())
    try:
        found = await connection.execute(asked(func.sum))
    except OperationalError as error:
        if "integer overflow" not in str(error.orig):
            raise
        found = await connection.execute(asked(func.total))
    rows: Sequence[Any] = found.mappings().all()
    return rows


def _query(
    group_by: GroupBy | None,
    then_by: GroupBy | None,
    first_day: int,
    last_day: int,
    only: Only,
    added: Callable[[ColumnElement[Any]], ColumnElement[Any]],
) -> Select[Any]:
    from sqlalchemy import func, literal, select

    from llm_mux.ledger.gather import MEASURES

    table = _table(group_by, everything=then_by is None and only == Only())
    period = table.columns[0]
    scale = 24 if group_by == "hour" else 1
    name: ColumnElement[Any] = literal("") if group_by is None else _named(table, group_by)
    measures = [func.coalesce(added(table.c[measure]), 0).label(measure) for measure in MEASURES]
    wanted = [
        table.c[COLUMN.get(field, field)] == value
        for field in Only.__struct_fields__
        if (value := getattr(only, field)) is not None
    ]
    named = [] if group_by is None else [name]
    told = [name.label("name")]
    if then_by is not None:
        named.append(then := _named(table, then_by))
        told.append(then.label("then"))
    query = select(*told, *measures).where(period >= first_day * scale, period < (last_day + 1) * scale, *wanted)
    return query.group_by(*named).order_by(*named)


def _table(group_by: GroupBy | None, *, everything: bool) -> Table:
    """The smallest that has what is asked for."""
    from llm_mux.ledger.schema import usage_days, usage_hours, usage_totals

    if group_by != "hour":
        return usage_days
    return usage_totals if everything else usage_hours


def _named(table: Table, group_by: GroupBy) -> ColumnElement[Any]:
    from sqlalchemy import case

    column: ColumnElement[Any] = table.c[COLUMN.get(group_by, group_by)]
    if group_by != "account":
        return column
    # Labels are a provider's own: two that are called "work" are two accounts.
    return case((column == "", ""), else_=table.c.provider.concat("/").concat(column))


def _line(group_by: GroupBy | None, row: dict[str, Any]) -> Line:
    row = {measure: value if measure in ("name", "then") else int(value) for measure, value in row.items()}
    name, cost, ttfts = row.pop("name"), row.pop("cost"), row.pop("ttfts")
    durations, ttft = row.pop("duration_ms"), row.pop("ttft_ms")
    return Line(
        name=_period(group_by, name) if isinstance(name, int) else name,
        cost=None if not cost and row["unpriced"] else dollars(cost),
        duration_ms=round(durations / row["requests"], 1),
        ttft_ms=round(ttft / ttfts, 1) if ttfts else None,
        **row,
    )


def _period(group_by: GroupBy | None, number: int) -> str:
    if group_by == "hour":
        return datetime.fromtimestamp(number * SECONDS_AN_HOUR, UTC).strftime("%Y-%m-%dT%H:00Z")
    return (_EPOCH + timedelta(days=number)).isoformat()
