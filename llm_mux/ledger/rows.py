"""What the books say about one exchange, as the gateway hands it over.

Rule: no database library is imported here, so that a row can be made before one is loaded. `schema.exchanges` has one
column for each field (a test compares them), and `day`, which follows from `time`. `gather` says what
the fields become in the tables. Money is whole picodollars, so that it adds up.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from math import isfinite
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

PICO = 12
SECONDS_A_DAY = 86_400
SECONDS_AN_HOUR = 3_600
MOST = 2**63 - 1
LONGEST_TEXT = 256
MOST_OF_A_BATCH = 65_536
"""Rows that are written together; an exchange's id is that of its batch and its place in there."""

Value = str | int | float | bool | None


class Names(Struct, frozen=True, gc=False, array_like=True, cache_hash=True):
    """What many exchanges of a day have in common.

    `client_key` names the client's key and is never the key itself. `error_kind` is a value of `errors.Kind`;
    `price_source` says where the price came from, with its date.
    """

    client_key: str | None
    user: str | None
    protocol: str
    model_asked: str
    model_served: str | None
    provider: str | None
    account: str | None
    attempts: int
    status: int
    error_kind: str | None
    stop_reason: str | None
    usage_estimated: bool
    price_source: str | None
    path: Literal["splice", "translate"] | None


class Exchange(Struct, frozen=True, gc=False, array_like=True):
    """One client request with all its attempts and its outcome: its names, and what is its own.

    `time` is the start in unix seconds. `input_tokens` is the uncached prompt only: whole prompt = input + cache_read +
    cache_write. `output_tokens` includes `reasoning_tokens` (None: not told apart), `cache_write_tokens` includes
    `cache_write_1h_tokens`. `cost` is in picodollars, None when the price is unknown, never 0 for that.
    """

    names: Names
    time: float
    request_id: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int | None
    ttft_ms: float | None
    duration_ms: float
    cost: int | None
    cache_write_1h_tokens: int

    @property
    def usd(self) -> Decimal | None:
        """The cost in US dollars."""
        return None if self.cost is None else dollars(self.cost)

    @property
    def tokens(self) -> int:
        """Prompt and answer together."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.output_tokens


NAMED = Names.__struct_fields__
"""Kept once for all rows of a day that share them."""
COUNTED = Exchange.__struct_fields__[1:]
"""What is a row's own."""


def mended(row: Exchange) -> Exchange:
    """The row with numbers that every database takes: whole ones within 64 bits, no infinities. Without its true time
    it is no row."""
    numbers = {
        name: _MENDED[type(value)](value)
        for name in COUNTED
        if name != "time" and type(value := getattr(row, name)) in _MENDED
    }
    return replace(row, **numbers)


def dollars(cost: int) -> Decimal:
    """Picodollars as US dollars."""
    return Decimal(cost).scaleb(-PICO)


def picodollars(cost: Decimal) -> int | None:
    """Whole picodollars, half to even; None for what no column can hold: infinity, not-a-number, over 64 bits."""
    if not cost.is_finite() or cost.adjusted() + PICO > len(str(MOST)) - 1:
        return None
    amount = int(cost.scaleb(PICO).to_integral_value())
    return amount if abs(amount) <= MOST else None


def plain(value: str) -> str:
    """Text that every database takes: no zero bytes, no lone surrogates, no longer than `LONGEST_TEXT`."""
    if len(value) <= LONGEST_TEXT and value.isprintable():
        return value
    return value[:LONGEST_TEXT].encode(errors="replace").decode().replace("\0", "?")


def _whole(value: int) -> int:
    return value if -MOST <= value <= MOST else MOST


def _number(value: float) -> float:
    return value if isfinite(value) else 0.0


_MENDED: dict[type, Callable[[Any], Value]] = {int: _whole, float: _number}
