"""The rows of the books themselves, newest first, a page at a time.

Rule: a page is asked for by the id of the last row of the one before, so what is written meanwhile moves nothing. Rows
are found without an index, which each exchange would pay for: those of long ago take a look at all that came after.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from llm_mux.errors import Kind
from llm_mux.ledger.database import Database
from llm_mux.ledger.report import Only
from llm_mux.ledger.rows import SECONDS_A_DAY, Exchange, picodollars

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

Outcome = Literal["ok", "failed", "cancelled"]
_EPOCH = date(1970, 1, 1)
_GONE = Kind.CLIENT_GONE.value
_COLUMN = {"model": "model_served"}


class Wanted(Struct, frozen=True, kw_only=True):
    """Which rows: those of days in UTC, both included, that `only` and the rest name; `before` is an id."""

    first: date
    last: date
    only: Only = Only()
    outcome: Outcome | None = None
    request_id: str | None = None
    before: int | None = None


class Entry(Struct, frozen=True):
    """One row with its id."""

    id: int
    exchange: Exchange


async def entries(database: Database, wanted: Wanted, most: int) -> list[Entry]:
    """At most so many rows, newest first."""
    await database.open()
    from sqlalchemy import select

    from llm_mux.ledger.schema import exchanges

    query = select(exchanges).where(*_conditions(wanted)).order_by(exchanges.c.id.desc()).limit(most)
    async with database.read() as connection:
        return [_entry(dict(row)) for row in (await connection.execute(query)).mappings()]


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    from llm_mux.ledger.schema import exchanges

    column = exchanges.c
    found = [
        column.time >= (wanted.first - _EPOCH).days * SECONDS_A_DAY,
        column.time < ((wanted.last - _EPOCH).days + 1) * SECONDS_A_DAY,
        *(
            column[_COLUMN.get(field, field)] == value
            for field in Only.__struct_fields__
            if (value := getattr(wanted.only, field)) is not None
        ),
    ]
    if wanted.before is not None:
        found.append(column.id < wanted.before)
    if wanted.request_id is not None:
        found.append(column.request_id == wanted.request_id)
    if wanted.outcome is not None:
        found.append(_ended(wanted.outcome))
    return found


def _ended(outcome: Outcome) -> ColumnElement[bool]:
    """As the sums count it (`gather`)."""
    from sqlalchemy import and_, func, or_

    from llm_mux.ledger.schema import exchanges

    kind, status = func.coalesce(exchanges.c.error_kind, ""), exchanges.c.status
    if outcome == "cancelled":
        return kind == _GONE
    if outcome == "ok":
        return and_(kind == "", status < 400)
    return and_(kind != _GONE, or_(kind != "", status >= 400))


def _entry(row: dict[str, Any]) -> Entry:
    cost = row["cost"]
    fields = {name: row[name] for name in Exchange.__struct_fields__}
    return Entry(row["id"], Exchange(**{**fields, "cost": None if cost is None else picodollars(cost)}))
