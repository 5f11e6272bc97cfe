"""Settling an exchange: its row in the ledger before its answer ends, its part of the metrics and its line of the log a
moment later.

Rule: what ends in one turn of a busy event loop goes to the ledger together, first thing in the next. Who ends an
answer asks whether something is `settled` by then, and waits for that turn or has it kept, so that a killed process
owes the books nothing that a client has. Metrics and log are written of what ended within a tenth of a
second, or as soon as somebody asks. A busy daemon spends its time on answers.
"""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from typing import Any

from llm_mux import log
from llm_mux.gateway.ask import Ask
from llm_mux.gateway.outcome import Outcome
from llm_mux.ir import Usage
from llm_mux.ledger.balances import Settlement
from llm_mux.ledger.pricing import NO_PRICES, Prices
from llm_mux.ledger.rows import Exchange, Names
from llm_mux.ledger.writer import Writer
from llm_mux.server.ended import Ended, encoded, line, said
from llm_mux.server.metrics import Metrics
from llm_mux.server.recent import Recent
from llm_mux.server.traces import Done, Traces, address_of

_GATHER_S = 0.1
_NO_USAGE = Usage()
_NOT_BELIEVED = Usage(estimated=True)
MOST_TOKENS = 10**9
"""What a server says beyond that is a mistake of it: nobody pays for it, and it is added to nothing."""


class Books:
    """Where every exchange ends, called once for each. `prices` are those of the configuration in effect."""

    def __init__(self, writer: Writer, metrics: Metrics, recent: Recent, traces: Traces) -> None:
        self._writer = writer
        self._metrics = metrics
        self._recent = recent
        self._traces = traces
        self.settled: list[Exchange] = []
        """What ended and the ledger has not yet, with `_payments` for it."""
        self._payments: list[Settlement | None] = []
        self._waiting: list[Ended] = []
        self.prices = NO_PRICES

    def __call__(self, ask: Ask, out: Outcome) -> None:
        row = _row(ask, out, self.prices)
        self._payments.append(None if ask.entry is None else ask.entry.settle(row))
        self.settled.append(row)
        if self._metrics.active_requests <= 1:
            # Nothing could end together with it.
            self.keep()
        elif len(self.settled) == 1:
            asyncio.get_running_loop().call_soon(self.keep)
        if self._traces.on:
            provider = out.account.provider if out.account is not None else None
            vendor = (provider.vendor or provider.name) if provider is not None else ""
            address = address_of(provider.base_url) if provider is not None else ""
            self._traces.add(Done(row, vendor, address, out.tried, ask.headers.get("traceparent")))
        if not self._waiting:
            asyncio.get_running_loop().call_later(_GATHER_S, self.flush)
        self._waiting.append(Ended(row, ask.stream, out.dropped, out.tried))

    def keep(self) -> None:
        """Gives the ledger what ended."""
        if self.settled:
            rows, self.settled = self.settled, []
            payments, self._payments = self._payments, []
            self._writer.record_all(rows, payments)

    def flush(self) -> None:
        """Counts the exchanges that wait and writes their lines; nothing waits for its turn any more."""
        self.keep()
        ended, self._waiting = self._waiting, []
        if ended:
            self._metrics.observe(ended)
            content = encoded(ended)
            log.exchanges(content, len(ended), said(ended), map(line, ended))
            self._recent.add(content, len(ended), map(line, ended))


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
    names = _names(
        ask.caller.name,
        ask.caller.user,
        ask.protocol.name,
        ask.model,
        out.model,
        None if account is None else account.provider.name,
        None if account is None else account.label,
        out.attempts,
        out.status,
        None if out.error is None else out.error.kind.value,
        out.finish,
        usage.estimated,
        None if known is None or cost is None else known.source,
        None if out.spliced is None else ("splice" if out.spliced else "translate"),
    )
    return Exchange(
        names,
        ask.time,
        ask.request_id,
        usage.input,
        usage.output,
        usage.cache_read,
        usage.cache_write,
        usage.reasoning,
        None if out.first_byte is None else (out.first_byte - ask.started) * 1000,
        (time.monotonic() - ask.started) * 1000,
        cost,
        usage.cache_write_1h,
    )


@lru_cache(maxsize=1024)
def _names(*named: Any) -> Names:
    """In the order of NAMED. The same ones for the same, so that whoever groups by them hardly compares."""
    return Names(*named)
