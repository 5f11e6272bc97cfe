"""Settling an exchange: its row in the ledger at once, its part of the metrics and its line of the log a moment later.

What ended within a tenth of a second is counted and written together, or as soon as somebody asks: a busy daemon spends
its time on answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from llm_mux import log
from llm_mux.gateway.ask import Ask
from llm_mux.gateway.outcome import Outcome, Tried
from llm_mux.ir import Usage
from llm_mux.ledger.pricing import NO_PRICES, Prices
from llm_mux.ledger.rows import PICO, Exchange
from llm_mux.ledger.writer import Writer
from llm_mux.server.metrics import Metrics
from llm_mux.server.recent import Recent
from llm_mux.server.traces import Done, Traces, address_of

_GATHER_S = 0.1
_NO_USAGE = Usage()
_NOT_BELIEVED = Usage(estimated=True)
MOST_TOKENS = 10**9
"""What a server says beyond that is a mistake of it: nobody pays for it, and it is added to nothing."""


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


class Books:
    """Where every exchange ends, called once for each. `prices` are those of the configuration in effect."""

    def __init__(self, writer: Writer, metrics: Metrics, recent: Recent, traces: Traces) -> None:
        self._writer = writer
        self._metrics = metrics
        self._recent = recent
        self._traces = traces
        self._waiting: list[tuple[Exchange, tuple[str, ...], tuple[Tried, ...], bool]] = []
        self.prices = NO_PRICES

    def __call__(self, ask: Ask, out: Outcome) -> None:
        row = _row(ask, out, self.prices)
        self._writer.record(row, None if ask.entry is None else ask.entry.settle(row))
        if self._traces.on:
            provider = out.account.provider if out.account is not None else None
            vendor = (provider.vendor or provider.name) if provider is not None else ""
            address = address_of(provider.base_url) if provider is not None else ""
            self._traces.add(Done(row, vendor, address, out.tried, ask.headers.get("traceparent")))
        if not self._waiting:
            asyncio.get_running_loop().call_later(_GATHER_S, self.flush)
        self._waiting.append((row, out.dropped, out.tried, ask.stream))

    def flush(self) -> None:
        """Counts the exchanges that wait and writes their lines."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            for row, _, _, streamed in waiting:
                self._metrics.observe(row, streamed=streamed)
            lines = [_line(row, dropped, tried) for row, dropped, tried, _ in waiting]
            content = log.encoded(lines)
            log.exchanges(lines, content, _said(lines))
            self._recent.add(lines, content)


def _row(ask: Ask, out: Outcome, prices: Prices) -> Exchange:
    usage, account = out.usage or _NO_USAGE, out.account
    known = cost = None
    prompt = usage.input + usage.cache_read + usage.cache_write
    if prompt + usage.output + (usage.reasoning or 0) + usage.cache_write_1h > MOST_TOKENS:
        log.logger.warning("usage.not_believed", request=ask.request_id, model=out.model)
        usage = _NOT_BELIEVED
    elif out.usage is not None and account is not None and out.model is not None:
        provider = account.provider
        known = prices.known(provider.name, provider.vendor or provider.name, out.model)
        cost = None if known is None else prices.cost(known, usage, ask.time)
    return Exchange(
        time=ask.time,
        request_id=ask.request_id,
        client_key=ask.caller.name,
        user=ask.caller.user,
        protocol=ask.protocol.name,
        model_asked=ask.model,
        model_served=out.model,
        provider=None if account is None else account.provider.name,
        account=None if account is None else account.label,
        attempts=out.attempts,
        status=out.status,
        error_kind=None if out.error is None else out.error.kind.value,
        stop_reason=out.finish,
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
        reasoning_tokens=usage.reasoning,
        usage_estimated=usage.estimated,
        ttft_ms=None if out.first_byte is None else (out.first_byte - ask.started) * 1000,
        duration_ms=(time.monotonic() - ask.started) * 1000,
        cost=cost,
        price_source=None if known is None or cost is None else known.source,
        cache_write_1h_tokens=usage.cache_write_1h,
        path=None if out.spliced is None else ("splice" if out.spliced else "translate"),
    )


def _line(row: Exchange, dropped: tuple[str, ...], tried: tuple[Tried, ...]) -> Line:
    # By position: names cost more than all else here.
    return Line(
        _stamp(row.time + row.duration_ms / 1000),
        "info",
        "exchange.done",
        row.request_id,
        row.model_asked,
        row.model_served,
        row.provider,
        row.account,
        row.client_key,
        row.protocol,
        row.path,
        row.status,
        row.error_kind,
        row.attempts,
        row.stop_reason,
        None if row.ttft_ms is None else round(row.ttft_ms, 2),
        round(row.duration_ms, 2),
        row.input_tokens,
        row.output_tokens,
        None if row.cost is None else row.cost / 10**PICO,
        dropped,
        tuple(f"{each.account} {each.model} {each.kind.value} {each.seconds:.2f}s" for each in tried) if tried else (),
    )


def _stamp(unix_s: float) -> str:
    whole = int(unix_s)
    return f"{_second(whole)}.{int((unix_s - whole) * 1000):03d}+00:00"


@lru_cache(64)
def _second(unix_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_s))


def _said(lines: Sequence[Line]) -> set[str | None]:
    """The texts of lines that others chose, each once."""
    said: set[str | None] = set()
    for line in lines:
        said.update((line.request, line.model, line.served, line.provider, line.account, line.client, line.stop))
        if line.dropped or line.failed:
            said.update(line.dropped, line.failed)
    return said
