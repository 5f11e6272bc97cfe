"""What a batch of rows becomes in the tables: what many have in common once, what is a row's own, and sums by the hour.

Rule: a busy daemon pays for every row, so what is done for each is done in C, a column at a time; all else is done once
for those alike. A name that a client or an upstream made up never spoils its batch: text is cut at `rows.LONGEST_TEXT`
and loses what no database stores. What no column takes raises, as a database would (`insert.fault_of_a_row`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from itertools import compress, groupby
from math import isfinite
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import astuple, replace

from llm_mux.errors import Kind
from llm_mux.ledger.rows import (
    COUNTED,
    LONGEST_TEXT,
    MOST,
    SECONDS_A_DAY,
    SECONDS_AN_HOUR,
    Exchange,
    Names,
    Value,
    plain,
)

DIMENSIONS = ("model_served", "provider", "account", "client_key", "user", "protocol")
"""What sums are kept apart by; "" where an exchange has no such thing."""

MEASURES = (
    "requests",
    "failures",
    "cancelled",
    "retries",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "unpriced",
    "cost",
    "duration_ms",
    "ttft_ms",
    "ttfts",
)
"""What is summed; `ttfts` counts the exchanges that `ttft_ms` is the sum of, `cost` is in picodollars."""

Group = tuple[str, ...]
Line = tuple[Value, ...]
Columns = Sequence[tuple[Any, ...]]

_GONE = Kind.CLIENT_GONE.value


class Gathered(NamedTuple):
    """Lines of `schema.exchange_names`; what `schema.exchange_batches` keeps of the rows, in their order: a JSON array
    for each, its number in `names` and its COUNTED, and their first and last day; (hour, DIMENSIONS) -> MEASURES."""

    names: list[Line]
    rows: str
    days: tuple[int, int]
    hours: dict[tuple[int, Group], list[int]]


def gathered(rows: Sequence[Exchange]) -> Gathered:
    """What is to be written of rows, which are some."""
    if max([len(row.request_id) for row in rows]) <= LONGEST_TEXT:
        with suppress(UnicodeError):
            found = _gathered(rows)
            # Only what has been escaped there, or is not ASCII, may be more than every database takes.
            if found.rows.isascii() and "\\" not in found.rows:
                return found
    return _gathered([replace(row, request_id=plain(row.request_id)) for row in rows])


def _gathered(rows: Sequence[Exchange]) -> Gathered:
    names: dict[int, Line] = {}
    lines: list[Line] = []
    hours: dict[tuple[int, Group], list[int]] = {}
    days: list[int] = []
    for hour, run in _runs(rows):
        days.append(day := hour * SECONDS_AN_HOUR // SECONDS_A_DAY)
        named, *counted = zip(*map(astuple, run), strict=True)
        alike = named.count(named[0]) == len(run)
        numbers = {}
        for each, counts in ({named[0]: counted} if alike else _groups(named, counted)).items():
            numbers[each], values = _names(day, each)
            names[numbers[each]] = numbers[each], *values
            group = tuple(plain(getattr(each, name) or "") for name in DIMENSIONS)
            merge(hours, (hour, group), _measured(each, counts))
        lines += zip(map(numbers.__getitem__, named), *counted, strict=True)
    told = msgspec.json.encode(lines).decode()
    return Gathered([names[key] for key in sorted(names)], told, (min(days), max(days)), hours)


def _groups(named: Sequence[Names], counted: Columns) -> dict[Names, Columns]:
    """What is counted of rows of the same names."""
    lines: dict[Names, list[Line]] = {each: [] for each in named}
    for each, counts in zip(named, zip(*counted, strict=True), strict=True):
        lines[each].append(counts)
    return {each: list(zip(*counts, strict=True)) for each, counts in lines.items()}


def merge(into: dict[tuple[int, Group], list[int]], key: tuple[int, Group], values: list[int]) -> None:
    """Adds to the sums of a group; what no column takes any more stays the most that one does."""
    there = into.get(key)
    into[key] = values if there is None else [min(one + two, MOST) for one, two in zip(there, values, strict=True)]


def _runs(rows: Sequence[Exchange]) -> Iterator[tuple[int, Sequence[Exchange]]]:
    """Rows of the same hour that follow each other: mostly all of them."""
    times = [row.time for row in rows]
    if not isfinite(sum(times)):
        raise ValueError("a row without a time")
    if (hour := int(min(times) // SECONDS_AN_HOUR)) == int(max(times) // SECONDS_AN_HOUR):
        yield hour, rows
        return
    for hour, run in groupby(rows, lambda row: int(row.time // SECONDS_AN_HOUR)):
        yield hour, list(run)


@lru_cache(maxsize=1024)
def _names(day: int, named: Names) -> tuple[int, Line]:
    """The id of a line of names, and its other columns. The id follows from what is in it, so that nobody has to ask
    whether it is there."""
    values = day, *(plain(value) if type(value) is str else value for value in astuple(named))
    digest = blake2b(msgspec.msgpack.encode(values), digest_size=8).digest()
    return int.from_bytes(digest) >> 1, values


def _measured(named: Names, counted: Columns) -> list[int]:
    """MEASURES of rows whose names are the same. Raises what a database would of numbers that no column takes."""
    error_kind, status, attempts = named.error_kind, named.status, named.attempts
    columns = dict(zip(COUNTED, counted, strict=True))
    requests = len(counted[0])
    tokens = [columns[f"{name}_tokens"] for name in ("input", "output", "cache_read", "cache_write")]
    costs, ttfts = _known(columns["cost"]), _known(columns["ttft_ms"])
    _added(columns["cache_write_1h_tokens"])
    measures = (
        requests,
        requests if error_kind != _GONE and (error_kind is not None or status >= 400) else 0,
        requests if error_kind == _GONE else 0,
        (attempts - 1) * requests if attempts > 1 else 0,
        *map(_added, tokens),
        _added(_known(columns["reasoning_tokens"])),
        _unpriced(columns["cost"], tokens) if len(costs) < requests else 0,
        _added(costs),
        sum(map(round, columns["duration_ms"])),
        sum(map(round, ttfts)),
        len(ttfts),
    )
    return [min(measure, MOST) for measure in measures]


def _known(column: Sequence[Any]) -> Sequence[Any]:
    unknown = column.count(None)
    if not unknown:
        return column
    return () if unknown == len(column) else [value for value in column if value is not None]


def _added(column: Sequence[int]) -> int:
    array("q", column)  # raises where one is no number of 64 bits
    return sum(column)


def _unpriced(costs: Sequence[int | None], tokens: Sequence[Sequence[int]]) -> int:
    """How many rows used something whose price is not known."""
    if min(tokens[0]) > 0:
        return costs.count(None)
    all_tokens = map(sum, zip(*tokens, strict=True))
    return sum(used > 0 for used in compress(all_tokens, [cost is None for cost in costs]))
