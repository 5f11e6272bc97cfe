"""What is told of the rows of the books, one by one: over the management API and on the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct

from llm_mux import log
from llm_mux.ledger.entries import Entry
from llm_mux.ledger.rows import NAMED, dollars


class Row(Struct, frozen=True, kw_only=True):
    """One exchange. `time` is its start, ISO 8601 in UTC. `input_tokens` is the prompt that no cache had,
    `output_tokens` has the reasoning, `usage_estimated`: the provider did not count. `cost` is US dollars as text,
    exact, null where no price was known; `price_source` says where the price is from, with its date."""

    id: int
    time: str
    request_id: str
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
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int | None
    usage_estimated: bool
    ttft_ms: float | None
    duration_ms: float
    cost: str | None
    price_source: str | None
    path: str | None


_SAME = tuple(name for name in Row.__struct_fields__ if name not in ("id", "time", "cost"))


def told(entry: Entry) -> Row:
    """A name that a client made up may be a secret that it sent by mistake."""
    made = entry.exchange
    values = [getattr(made.names if name in NAMED else made, name) for name in _SAME]
    shown: dict[str, Any] = {
        name: log.redact_text(value) if isinstance(value, str) else value
        for name, value in zip(_SAME, values, strict=True)
    }
    cost: Decimal | None = None if made.cost is None else dollars(made.cost)
    return Row(
        id=entry.id,
        time=datetime.fromtimestamp(made.time, UTC).isoformat(timespec="milliseconds"),
        cost=None if cost is None else f"{cost:f}",
        **shown,
    )
