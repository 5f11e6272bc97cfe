"""What the books add up to: requests, tokens and cost by day, model, account and the like.

Rule: sums are made by the database, exact; a cost is None where no price was known, and `unpriced` says how often.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from llm_mux.ledger.database import Database
from llm_mux.ledger.rows import PICO

if TYPE_CHECKING:
    from sqlalchemy import Select

GroupBy = Literal["day", "model", "account", "provider", "client_key", "user", "protocol"]

_EPOCH = date(1970, 1, 1)
_COLUMN: dict[GroupBy, str] = {"model": "model_served"}


class Line(Struct, frozen=True, kw_only=True):
    """One group: `name` is a date as YYYY-MM-DD in UTC for days, "" for exchanges that have no such thing."""

    name: str
    requests: int
    failures: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    unpriced: int
    cost: Decimal | None


async def usage(database: Database, group_by: GroupBy, first: date, last: date) -> list[Line]:
    """Groups of all exchanges from `first` to `last`, both included, days in UTC; by name."""
    query = _query(_COLUMN.get(group_by, group_by), (first - _EPOCH).days, (last - _EPOCH).days)
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
    return [_line(dict(row)) for row in rows]


def _query(column: str, first_day: int, last_day: int) -> Select[Any]:
    from sqlalchemy import BigInteger, case, func, select, type_coerce

    from llm_mux.ledger.schema import exchanges

    row = exchanges.c
    group = row[column]
    tokens = [
        func.coalesce(func.sum(row[name]), 0).label(name) for name in Line.__struct_fields__ if name.endswith("_tokens")
    ]
    return (
        select(
            group.label("name"),
            func.count().label("requests"),
            func.sum(case((row.error_kind.is_not(None) | (row.status >= 400), 1), else_=0)).label("failures"),
            *tokens,
            (func.count() - func.count(row.cost)).label("unpriced"),
            func.sum(type_coerce(row.cost, BigInteger)).label("cost"),
        )
        .where(row.day >= first_day, row.day <= last_day)
        .group_by(group)
        .order_by(group)
    )


def _line(row: dict[str, Any]) -> Line:
    name, cost = row.pop("name"), row.pop("cost")
    if isinstance(name, int):
        name = (_EPOCH + timedelta(days=name)).isoformat()
    return Line(
        name=name or "",
        cost=None if cost is None else Decimal(int(cost)).scaleb(-PICO),
        **{field: int(value) for field, value in row.items()},
    )
