"""What the books say about one exchange, as the gateway hands it over.

Rule: no database library is imported here, so that a row can be made before one is loaded. `schema.exchanges` has one
column for each field, in this order (a test compares them), and `day`, which follows from `time`.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from math import isfinite
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import astuple

PICO = 12
SECONDS_A_DAY = 86_400
MOST = 2**63 - 1
LONGEST_TEXT = 256

Value = str | int | float | bool | None


class Exchange(Struct, frozen=True, kw_only=True, gc=False):
    """One client request with all its attempts and its outcome.

    `time` is the start in unix seconds. `client_key` names the client's key and is never the key itself.
    `input_tokens` is the uncached prompt only: whole prompt = input + cache_read + cache_write. `output_tokens`
    includes `reasoning_tokens` (None: not told apart). `cost` is in USD, None when the price is unknown, never 0 for
    that; `price_source` says where the price came from, with its date. `error_kind` is a value of `errors.Kind`.
    """

    time: float
    request_id: str
    client_key: str | None = None
    user: str | None = None
    protocol: str
    model_asked: str
    model_served: str | None = None
    provider: str | None = None
    account: str | None = None
    attempts: int = 0
    status: int
    error_kind: str | None = None
    stop_reason: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int | None = None
    usage_estimated: bool = False
    ttft_ms: float | None = None
    duration_ms: float
    cost: Decimal | None = None
    price_source: str | None = None
    path: Literal["splice", "translate"] | None = None


def columns(row: Exchange) -> tuple[Value, ...]:
    """What the columns of `schema.exchanges` after `id` hold for a row, in their order.

    A name that a client or an upstream made up never spoils its batch: numbers are kept within 64 bits, text is cut
    at `LONGEST_TEXT` and loses what no database stores.
    """
    values = [None if value is None else _CLEAN.get(type(value), str)(value) for value in astuple(row)]
    return int(row.time // SECONDS_A_DAY), *values


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


def _same(value: Any) -> Any:
    return value


_CLEAN: dict[type, Callable[[Any], Value]] = {
    str: plain,
    int: _whole,
    float: _number,
    bool: _same,
    Decimal: picodollars,
}
