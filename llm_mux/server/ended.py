"""Exchanges that ended, and their lines of the log.

Rule: what a line says of an exchange's names is written once for all that share them. It says what msgspec would write
of a `Line`, only that its numbers may be spelled otherwise (a test compares both).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from llm_mux import log
from llm_mux.gateway.outcome import Tried
from llm_mux.ledger.rows import PICO, Exchange, Names

DONE = '"event":"exchange.done"'
_FIRST, _LAST = '"model":', ',"ttft_ms":'
_USD = 10**PICO


class Ended(NamedTuple):
    """`dropped` is what the provider was not told of the request, `tried` the attempts before the last word."""

    row: Exchange
    streamed: bool = False
    dropped: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()


class Line(Struct):
    """One line of the log for one exchange. `failed` are the attempts before the last word, each with its account, its
    model, what went wrong and the seconds it took."""

    timestamp: str
    level: str
    event: str
    request: str
    model: str
    served: str | None
    provider: str | None
    account: str | None
    client: str | None
    protocol: str
    path: str | None
    status: int
    error: str | None
    attempts: int
    stop: str | None
    ttft_ms: float | None
    duration_ms: float
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    dropped: tuple[str, ...]
    failed: tuple[str, ...]


def line(ended: Ended) -> Line:
    row, names = ended.row, ended.row.names
    return Line(
        timestamp=_stamp(row.time + row.duration_ms / 1000),
        level="info",
        event="exchange.done",
        request=row.request_id,
        model=names.model_asked,
        served=names.model_served,
        provider=names.provider,
        account=names.account,
        client=names.client_key,
        protocol=names.protocol,
        path=names.path,
        status=names.status,
        error=names.error_kind,
        attempts=names.attempts,
        stop=names.stop_reason,
        ttft_ms=None if row.ttft_ms is None else round(row.ttft_ms, 2),
        duration_ms=round(row.duration_ms, 2),
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cost_usd=None if row.cost is None else row.cost / _USD,
        dropped=ended.dropped,
        failed=tuple(f"{each.account} {each.model} {each.kind.value} {each.seconds:.2f}s" for each in ended.tried),
    )


def encoded(ended: Sequence[Ended]) -> bytes:
    """Their lines as JSON, each with its line break."""
    return "".join(map(_written, ended)).encode()


def said(ended: Sequence[Ended]) -> Iterator[str | None]:
    """The texts in their lines that others chose."""
    for names in {each.row.names for each in ended}:
        yield from (names.model_asked, names.model_served, names.provider, names.account, names.client_key)
        yield names.stop_reason
    for row, _, dropped, tried in ended:
        yield row.request_id
        if dropped or tried:
            yield from dropped
            yield from (text for each in tried for text in (each.account, each.model))


def _written(ended: Ended) -> str:
    row, _, dropped, tried = ended
    if dropped or tried or not row.request_id.isidentifier():
        return log.encoded([line(ended)]).decode()
    ttft = "null" if row.ttft_ms is None else f"{row.ttft_ms:.2f}"
    cost = "null" if row.cost is None else row.cost / _USD
    return (
        f'{{"timestamp":"{_stamp(row.time + row.duration_ms / 1000)}","level":"info",{DONE},'
        f'"request":"{row.request_id}",{_of_names(row.names)},"ttft_ms":{ttft},"duration_ms":{row.duration_ms:.2f},'
        f'"input_tokens":{row.input_tokens},"output_tokens":{row.output_tokens},"cost_usd":{cost},"dropped":[],'
        '"failed":[]}\n'
    )


@lru_cache(maxsize=1024)
def _of_names(names: Names) -> str:
    """What stands between the request's id and its numbers."""
    row = Exchange(names, 0, "", 0, 0, 0, 0, None, None, 0, None, 0)
    whole = log.encoded([line(Ended(row))]).decode()
    return whole[whole.index(_FIRST) : whole.rindex(_LAST)]


def _stamp(unix_s: float) -> str:
    whole = int(unix_s)
    return f"{_second(whole)}.{int((unix_s - whole) * 1000):03d}+00:00"


@lru_cache(64)
def _second(unix_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_s))
