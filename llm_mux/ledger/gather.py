"""What a batch of rows becomes in the tables: what many have in common once, what is a row's own, and sums by the hour.

Rule: a busy daemon pays for every row, so a row costs a look-up and a few loops in C; all else is done once for those
alike. A name that a client or an upstream made up never spoils its batch: text is cut at `rows.LONGEST_TEXT` and loses
what no database stores. What no column takes raises, as a database would (`insert.fault_of_a_row`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import astuple, replace

from llm_mux.errors import Kind
from llm_mux.ledger.rows import (
    COUNTED,
    LONGEST_TEXT,
    MOST,
    NAMED,
    SECONDS_A_DAY,
    SECONDS_AN_HOUR,
    Exchange,
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

_FIELDS = Exchange.__struct_fields__
_named = itemgetter(*map(_FIELDS.index, NAMED))
_counted = itemgetter(*map(_FIELDS.index, COUNTED))
_dimensions = itemgetter(*map(NAMED.index, DIMENSIONS))
_outcome = itemgetter(*map(NAMED.index, ("error_kind", "status", "attempts")))
_GONE = Kind.CLIENT_GONE.value


class Gathered(NamedTuple):
    """Lines of `schema.exchange_names` and of `schema.exchange_rows` without its `id`, in the order of the rows; (hour,
    DIMENSIONS) -> MEASURES."""

    names: list[Line]
    rows: list[Line]
    hours: dict[tuple[int, Group], list[int]]


def gathered(rows: Sequence[Exchange]) -> Gathered:
    """What is to be written of rows."""
    names: dict[int, Line] = {}
    lines: list[Line] = []
    hours: dict[tuple[int, Group], list[int]] = {}
    for hour, run in _runs(_readable(rows)):
        groups: dict[Line, tuple[int, list[Line]]] = {}
        fields = list(map(astuple, run))
        for named, counted in zip(map(_named, fields), map(_counted, fields), strict=True):
            group = groups.get(named)
            if group is None:
                number, values = _names(hour * SECONDS_AN_HOUR // SECONDS_A_DAY, named)
                names[number] = number, *values
                group = groups[named] = number, []
            group[1].append(counted)
            lines.append((group[0], *counted))
        for named, (_, counts) in groups.items():
            merge(hours, (hour, tuple(plain(name or "") for name in _dimensions(named))), _measured(named, counts))
    return Gathered([names[key] for key in sorted(names)], lines, hours)


def merge(into: dict[tuple[int, Group], list[int]], key: tuple[int, Group], values: list[int]) -> None:
    """Adds to the sums of a group; what no column takes any more stays the most that one does."""
    there = into.get(key)
    into[key] = values if there is None else [min(one + two, MOST) for one, two in zip(there, values, strict=True)]


def _readable(rows: Sequence[Exchange]) -> Sequence[Exchange]:
    """The rows with request ids that every database takes; the other texts are few."""
    ids = [row.request_id for row in rows]
    if max(map(len, ids), default=0) <= LONGEST_TEXT and "".join(ids).isprintable():
        return rows
    return [replace(row, request_id=plain(row.request_id)) for row in rows]


def _runs(rows: Sequence[Exchange]) -> Iterator[tuple[int, Sequence[Exchange]]]:
    """Rows of the same hour that follow each other: mostly all of them."""
    times = [row.time for row in rows]
    if rows and (hour := int(min(times) // SECONDS_AN_HOUR)) == int(max(times) // SECONDS_AN_HOUR):
        yield hour, rows
        return
    for hour, run in groupby(rows, lambda row: int(row.time // SECONDS_AN_HOUR)):
        yield hour, list(run)


@lru_cache(maxsize=1024)
def _names(day: int, named: Line) -> tuple[int, Line]:
    """The id of a line of names, and its other columns. The id follows from what is in it, so that nobody has to ask
    whether it is there."""
    values = day, *(plain(value) if type(value) is str else value for value in named)
    digest = blake2b(msgspec.msgpack.encode(values), digest_size=8).digest()
    return int.from_bytes(digest) >> 1, values


def _measured(named: Line, counts: Sequence[Line]) -> list[int]:
    """MEASURES of rows whose names are the same."""
    error_kind, status, attempts = _outcome(named)
    columns: dict[str, tuple[Any, ...]] = dict(zip(COUNTED, zip(*counts, strict=True), strict=True))
    requests, costs = len(counts), [cost for cost in columns["cost"] if cost is not None]
    ttfts = [ttft for ttft in columns["ttft_ms"] if ttft is not None]
    tokens = [columns[f"{name}_tokens"] for name in ("input", "output", "cache_read", "cache_write")]
    unpriced = 0
    if len(costs) < requests:
        unpriced = sum(cost is None and sum(each) > 0 for cost, *each in zip(columns["cost"], *tokens, strict=True))
    measures = (
        requests,
        requests if error_kind != _GONE and (error_kind is not None or status >= 400) else 0,
        requests if error_kind == _GONE else 0,
        (attempts - 1) * requests if attempts > 1 else 0,
        *map(sum, tokens),
        sum(filter(None, columns["reasoning_tokens"])),
        unpriced,
        sum(costs),
        sum(map(round, columns["duration_ms"])),
        sum(map(round, ttfts)),
        len(ttfts),
    )
    return [min(measure, MOST) for measure in measures]
