"""The rows of the books themselves, newest first, a page at a time.

Rule: a page is asked for by the id of the last row of the one before, so what is written meanwhile moves nothing. Rows
are found without an index, which each exchange would pay for: batches of other days are passed over, rare ones among
many take a look at all of those days.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Literal

import msgspec
from msgspec import Struct

from llm_mux.errors import Kind
from llm_mux.ledger.database import Database
from llm_mux.ledger.report import COLUMN, Only
from llm_mux.ledger.rows import COUNTED, MOST_OF_A_BATCH, NAMED, SECONDS_A_DAY, Exchange, Names
from llm_mux.ledger.statements import Statements, quoted

Outcome = Literal["ok", "failed", "cancelled"]
_EPOCH = date(1970, 1, 1)
_GONE = Kind.CLIENT_GONE.value
_AT_ONCE = 16
_FEW = 8
"""Texts that the database looks for, so that the batches without them need not be read."""

_NUMBER, _TIME, _REQUEST_ID = 0, 1 + COUNTED.index("time"), 1 + COUNTED.index("request_id")
_ENDED: dict[Outcome, str] = {
    "cancelled": f"error_kind = '{_GONE}'",
    "ok": "error_kind IS NULL AND status < 400",
    "failed": f"(error_kind <> '{_GONE}' OR error_kind IS NULL AND status >= 400)",
}
"""As the sums count it (`gather`)."""

Row = list[Any]
"""The number of its names, and COUNTED."""


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
    return await database.look(lambda books: _entries(books, wanted, most))


def _entries(books: Statements, wanted: Wanted, most: int) -> list[Entry]:
    first, end = ((day - _EPOCH).days * SECONDS_A_DAY for day in (wanted.first, wanted.last))
    found: list[Entry] = []
    if not (names := _names(books, wanted)):
        return found
    for number, row in _rows(books, wanted, names):
        if first <= row[_TIME] < end + SECONDS_A_DAY and row[_NUMBER] in names:
            if wanted.request_id in (None, row[_REQUEST_ID]):
                found.append(_entry(number, names[row[_NUMBER]], row))
            if len(found) == most:
                break
    return found


def _names(books: Statements, wanted: Wanted) -> Mapping[int, Sequence[Any]]:
    """The lines of names that are wanted, by their numbers."""
    narrowed = {
        COLUMN.get(field, field): value
        for field in Only.__struct_fields__
        if (value := getattr(wanted.only, field)) is not None
    }
    conditions = ["day BETWEEN ? AND ?", *(f"{quoted(column)} = ?" for column in narrowed)]
    if wanted.outcome is not None:
        conditions.append(_ENDED[wanted.outcome])
    query = f"SELECT {', '.join(map(quoted, ('id', *NAMED)))} FROM exchange_names WHERE {' AND '.join(conditions)}"  # noqa: S608
    found = books.run(query, (*_days(wanted), *narrowed.values())).fetchall()
    return {number: named for number, *named in found}


def _rows(books: Statements, wanted: Wanted, names: Iterable[int]) -> Iterator[tuple[int, Row]]:
    """Each with its id, newest first, and others that were written with them."""
    query = "SELECT id, rows FROM exchange_batches WHERE id <= ? AND last_day >= ? AND first_day <= ?"
    told = [f"[{number}," for number in names]
    if wanted.request_id is not None:
        told = [msgspec.json.encode(wanted.request_id).decode()]
    if len(told) <= _FEW:
        one = f"{'strpos' if books.dialect == 'postgresql' else 'instr'}(rows, ?) > 0"
        query += f" AND ({' OR '.join([one] * len(told))})"
    else:
        told = []
    query += f" ORDER BY id DESC LIMIT {_AT_ONCE}"
    batch, before = divmod(2**63 - 1 if wanted.before is None else wanted.before, MOST_OF_A_BATCH)
    while found := books.run(query, (batch, *_days(wanted), *told)).fetchall():
        for number, rows in found:
            for place, row in reversed(list(enumerate(msgspec.json.decode(rows, type=list[Row])))):
                if number < batch or place < before:
                    yield number * MOST_OF_A_BATCH + place, row
        batch, before = found[-1][0] - 1, MOST_OF_A_BATCH


def _days(wanted: Wanted) -> tuple[int, int]:
    return (wanted.first - _EPOCH).days, (wanted.last - _EPOCH).days


def _entry(number: int, named: Sequence[Any], row: Row) -> Entry:
    names = msgspec.convert(list(named), Names, strict=False)
    return Entry(number, Exchange(names, *row[1:]))
