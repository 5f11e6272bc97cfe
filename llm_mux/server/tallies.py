"""What is counted for one model, as plain numbers, and the label values, which stay bounded."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

from llm_mux.errors import Kind
from llm_mux.ledger.rows import Exchange, Names, dollars, plain
from llm_mux.server.counted import Spread, Tallied

MOST_NAMES: Final = 200
OTHER: Final = "other"
NONE: Final = "none"

DURATION_BUCKETS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
TTFT_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)
OUTPUT_TOKEN_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0)

TOKEN_KINDS: Final = ("input", "output", "cache_read", "cache_write", "reasoning")
"""As in the ledger: `input` is the uncached prompt, `output` includes `reasoning`."""

_GONE: Final = Kind.CLIENT_GONE.value
_DISTRIBUTIONS: Final = ("duration", "ttft", "output_token")


class Distribution:
    """A histogram: a count for each bucket, not yet cumulative, and the sum."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, values: list[float]) -> None:
        counts, bounds = self._counts, self._bounds
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        self.total += sum(values)

    def spread(self) -> Spread:
        return Spread(self._counts, self.total)

    def gather(self, other: Spread) -> None:
        """Add what another has counted, over the same bounds."""
        self._counts = [one + two for one, two in zip(self._counts, other.counts, strict=True)]
        self.total += other.total

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, count up to it), the last bound +Inf."""
        running = 0
        buckets = []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            running += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), float(running)))
        return buckets


class LabelValues:
    """Label values: only the first `most` stay apart, and each is text that a scraper can take. A real name is never
    `OTHER` or `NONE`: one that is spelled like them stands in quotes."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._known: dict[str, str] = {}
        self._labels: set[str] = set()

    def __call__(self, name: str | None) -> str:
        if not name:
            return NONE
        label = self._known.get(name)
        if label is None:
            label = self.bounded(_quoted(plain(name)))
            if label != OTHER and len(self._known) < self._most:
                self._known[name] = label
        return label

    def bounded(self, label: str) -> str:
        """A label that was made here or in another process, `OTHER` where there are too many."""
        if label in self._labels or label == NONE:
            return label
        if label == OTHER or len(self._labels) >= self._most:
            return OTHER
        self._labels.add(label)
        return label


def _quoted(name: str) -> str:
    return f'"{name}"' if name in (OTHER, NONE) or name.startswith('"') else name


class ModelTally:
    """What has been counted for one model."""

    __slots__ = ("cost", "duration", "output_token", "statuses", "tokens", "ttft", "unpriced")

    def __init__(self) -> None:
        self.statuses = {"success": 0, "error": 0, "cancelled": 0}
        self.tokens = [0] * len(TOKEN_KINDS)
        self.cost = 0
        self.unpriced = 0
        self.duration = Distribution(DURATION_BUCKETS_S)
        self.ttft = Distribution(TTFT_BUCKETS_S)
        self.output_token = Distribution(OUTPUT_TOKEN_BUCKETS_S)

    def tallied(self, provider: str, model: str) -> Tallied:
        return Tallied(
            provider,
            model,
            self.statuses,
            self.tokens,
            self.cost,
            self.unpriced,
            *(getattr(self, name).spread() for name in _DISTRIBUTIONS),
        )

    def gather(self, other: Tallied) -> None:
        """Add what another has counted, here or in another process."""
        for status, count in other.statuses.items():
            self.statuses[status] += count
        self.tokens = [one + two for one, two in zip(self.tokens, other.tokens, strict=True)]
        self.cost += other.cost
        self.unpriced += other.unpriced
        for name in _DISTRIBUTIONS:
            getattr(self, name).gather(getattr(other, name))

    def summary(self) -> dict[str, Any]:
        """Its counts by name; the cost in US dollars, exact and as text, None where no price was known."""
        requests = sum(self.statuses.values())
        return {
            "requests": requests,
            "errors": self.statuses["error"],
            "cancelled": self.statuses["cancelled"],
            **{f"{kind}_tokens": count for kind, count in zip(TOKEN_KINDS, self.tokens, strict=True)},
            "cost_usd": None if self.unpriced and not self.cost else f"{dollars(self.cost):f}",
            "average_duration_ms": round(self.duration.total * 1000 / requests, 1) if requests else None,
        }

    def add(self, names: Names, rows: Sequence[Exchange], *, streamed: bool) -> None:
        """Exchanges that share their names."""
        self.statuses[_status(names)] += len(rows)
        self.duration.add([row.duration_ms / 1000 for row in rows])
        self.ttft.add([row.ttft_ms / 1000 for row in rows if row.ttft_ms is not None])
        if streamed:
            self.output_token.add(
                [
                    (row.duration_ms - row.ttft_ms) / 1000 / (row.output_tokens - 1)
                    for row in rows
                    if row.ttft_ms is not None and row.output_tokens > 1
                ]
            )
        tokens = self.tokens
        tokens[0] += sum([row.input_tokens for row in rows])
        tokens[1] += sum([row.output_tokens for row in rows])
        tokens[2] += sum([row.cache_read_tokens for row in rows])
        tokens[3] += sum([row.cache_write_tokens for row in rows])
        tokens[4] += sum([row.reasoning_tokens for row in rows if row.reasoning_tokens])
        costs = [row.cost for row in rows if row.cost is not None]
        self.cost += sum(costs)
        if len(costs) < len(rows):
            self.unpriced += sum([row.cost is None and row.tokens > 0 for row in rows])


def _status(names: Names) -> str:
    if names.error_kind is None:
        return "success" if names.status < 400 else "error"
    return "cancelled" if names.error_kind == _GONE else "error"
