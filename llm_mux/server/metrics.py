"""What `/metrics` tells: counters of exchanges kept as plain numbers, turned into Prometheus families when scraped.

Rule: `observe` runs on the event loop for every exchange, so it only adds to numbers; prometheus-client is imported by
the first `render`. Label sets are bounded: a model, provider or account beyond `MOST_NAMES` counts as "other", and a
model name that only a client made up (nothing served it) as "none". Names are those of the specification, section E.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from llm_mux import __version__
from llm_mux.ledger.rows import Exchange, Names, dollars, plain
from llm_mux.server.counted import Counted, of_this_process
from llm_mux.server.ended import Ended
from llm_mux.server.tallies import MOST_NAMES, OTHER, TOKEN_KINDS, Distribution, LabelValues, ModelTally

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from llm_mux.ledger.till import Till

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]
_MOST_REMEMBERED: Final = 10_000


class Reading(Struct, frozen=True):
    """Numbers that live elsewhere and are read at each scrape: `read` gives one number for each set of label values.

    `kind` is "gauge" or "counter"; a counter's name is written without `_total`, which Prometheus adds. Of several
    workers, counters and what is `added` are added up, other gauges are those of the first that has them.
    """

    name: str
    help: str
    read: Callable[[], Mapping[Labels, float]]
    labels: Labels = ()
    kind: str = "gauge"
    added: bool = False


class Metrics:
    """`observe` every exchange; `active_requests` and `active_streams` are counted up and down by who serves them.

    `readings` are asked at each scrape, for what others count: balances, accounts, breakers, the ledger's state.
    """

    def __init__(self, readings: Iterable[Reading] = ()) -> None:
        self.active_requests = 0
        self.active_streams = 0
        self.event_loop_lag_s = 0.0
        self.accounts: Mapping[tuple[str, str], float] = {}
        self.readings = list(readings)
        self._model_names = LabelValues()
        self._provider_names = LabelValues()
        self._tallies: dict[tuple[str, str], ModelTally] = {}
        self._by_name: dict[tuple[str | None, str | None], ModelTally] = {}
        self._errors: dict[str, int] = {}
        self._retries: dict[str, int] = {}
        self._rate_limited: dict[str, int] = {}
        self._refused: dict[str, int] = {}
        self._registry: CollectorRegistry | None = None
        self.observed = 0
        self.inflight: Counter[str] = Counter()
        self.together: Together | None = None

    def observe(self, ended: Sequence[Ended]) -> None:
        """Count finished exchanges, by the same rows that the ledger gets. What came all at once has no pace."""
        groups: dict[tuple[Names, bool], list[Exchange]] = {}
        for row, streamed, _, _ in ended:
            groups.setdefault((row.names, streamed), []).append(row)
        for (names, streamed), rows in groups.items():
            self._observe(names, rows, streamed=streamed)
        self.observed += len(ended)

    def _observe(self, names: Names, rows: Sequence[Exchange], *, streamed: bool) -> None:
        tally = self._by_name.get((names.provider, names.model_served))
        if tally is None:
            tally = self._new_tally(names)
        tally.add(names, rows, streamed=streamed)
        if names.error_kind is not None:
            self._errors[names.error_kind] = self._errors.get(names.error_kind, 0) + len(rows)
        if names.attempts > 1:
            provider = self._provider_names(names.provider)
            self._retries[provider] = self._retries.get(provider, 0) + (names.attempts - 1) * len(rows)

    def rate_limited(self, limit: str) -> None:
        """Count a refused request; `limit` is user_limit, global_limit, token_limit, concurrent_limit, budget_limit."""
        self._rate_limited[limit] = self._rate_limited.get(limit, 0) + 1

    def refused(self, kind: str) -> None:
        """Count a request that was refused before anybody knew whose it is and for which model: it is in no books."""
        self._refused[kind] = self._refused.get(kind, 0) + 1

    def render(self) -> bytes:
        """The page for a scraper, of `CONTENT_TYPE`. May run in a thread while the event loop goes on counting."""
        from prometheus_client import generate_latest

        if self._registry is None:
            self._registry = _registry(self)
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by prometheus-client for each scrape."""
        models = self._by_model()
        yield from _request_families(models)
        yield from _token_families(models)
        yield _counter("llm_errors", "Failed exchanges by kind of failure", ("kind",), _by_label(self._errors))
        retries = _by_label(self._retries)
        yield _counter("llm_retries", "Attempts beyond an exchange's first, by provider", ("provider",), retries)
        refused = _by_label(self._rate_limited)
        yield _counter("rate_limit_requests", "Requests refused by a rate limit", ("type",), refused)
        text = "Requests refused before they were exchanges: no key, strange origin, unreadable"
        yield _counter("llm_refused_requests", text, ("kind",), _by_label(self._refused))
        yield _gauge("llm_active_requests", "Exchanges under way", (), {(): self.active_requests})
        yield _gauge("llm_active_streams", "Streams under way", (), {(): self.active_streams})
        lag: dict[Labels, float] = {(): self.event_loop_lag_s}
        text = "How late the event loop was when it was asked"
        yield _gauge("llm_mux_event_loop_lag_seconds", text, (), lag)
        states: dict[Labels, float] = {
            (self._provider_names(provider), state): n for (provider, state), n in self.accounts.items()
        }
        yield _gauge("llm_accounts", "Accounts by state: ready, resting, login needed", ("provider", "state"), states)
        yield _gauge("llm_mux_info", "The running version", ("version",), {(__version__,): 1})
        for reading in self.readings:
            family = _counter if reading.kind == "counter" else _gauge
            values = reading.read()
            if self.together is not None:
                values = self.together.joined(reading, values)
            yield family(reading.name, reading.help, reading.labels, values)
        if self.together is not None:
            yield from self.together.families()

    def counted(self, inflight: Mapping[str, int]) -> Counted:
        """All of it, for another process."""
        readings: dict[str, list[tuple[Labels, float]]] = {}
        for reading in self.readings:
            values = reading.read()
            if self.together is not None:
                values = self.together.joined(reading, values)
            readings[reading.name] = list(values.items())
        return Counted(
            tallies=[tally.tallied(*labels) for labels, tally in self._tallies.items()],
            errors=self._errors,
            retries=self._retries,
            rate_limited=self._rate_limited,
            refused=self._refused,
            readings=readings,
            active_requests=self.active_requests,
            active_streams=self.active_streams,
            inflight=dict(inflight),
            lag_s=self.event_loop_lag_s,
            process=of_this_process(),
        )

    def begin_with(self, left: Counted | None) -> None:
        """Go on from what the worker before in this place has counted."""
        if left is not None:
            self.together = Together(self.readings, [])
            self._gather(left)
            self.together.gather(left, counters_only=True)

    def alone(self) -> Metrics:
        """A copy of the counters, to which those of others can be added."""
        whole = Metrics(self.readings)
        whole.active_requests, whole.active_streams = self.active_requests, self.active_streams
        whole.event_loop_lag_s, whole.accounts = self.event_loop_lag_s, self.accounts
        whole.together = Together(self.readings, [of_this_process()])
        mine = self.counted({})
        whole._gather(mine)
        if self.together is not None:
            whole.together.base = {name: dict(values) for name, values in self.together.base.items()}
        return whole

    def take(self, other: Counted, *, live: bool) -> None:
        """Add what another worker has counted, and what it has under way if it is `live`."""
        assert self.together is not None
        self._gather(other)
        self.together.gather(other, counters_only=not live)
        if live:
            self.active_requests += other.active_requests
            self.active_streams += other.active_streams
            self.event_loop_lag_s = max(self.event_loop_lag_s, other.lag_s)
            self.inflight.update(other.inflight)
            self.together.processes.append(other.process)

    def _gather(self, other: Counted) -> None:
        for each in other.tallies:
            labels = (self._provider_names.bounded(each.provider), self._model_names.bounded(each.model))
            self._tallies.setdefault(labels, ModelTally()).gather(each)
        for mine, theirs in (
            (self._errors, other.errors),
            (self._retries, other.retries),
            (self._rate_limited, other.rate_limited),
            (self._refused, other.refused),
        ):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count

    def _new_tally(self, names: Names) -> ModelTally:
        labels = (self._provider_names(names.provider), self._model_names(names.model_served))
        tally = self._tallies.setdefault(labels, ModelTally())
        if OTHER not in labels and len(self._by_name) < _MOST_REMEMBERED:
            self._by_name[names.provider, names.model_served] = tally
        return tally

    def _by_model(self) -> list[tuple[str, ModelTally]]:
        """The tallies of all providers of a model together."""
        found: dict[str, ModelTally] = {}
        for labels, tally in sorted(self._tallies.items()):
            found.setdefault(labels[1], ModelTally()).gather(tally.tallied(*labels))
        return sorted(found.items())

    def totals(self, fits: Callable[[str, str], bool]) -> dict[str, Any]:
        """Sums since the start of what `fits(provider, model)`: all together, by provider, and by model in it."""
        everything = ModelTally()
        providers: dict[str, dict[str, Any]] = {}
        rollups: dict[str, ModelTally] = {}
        for (provider, model), tally in sorted(self._tallies.items()):
            if fits(provider, model):
                counted = tally.tallied(provider, model)
                everything.gather(counted)
                rollups.setdefault(provider, ModelTally()).gather(counted)
                providers.setdefault(provider, {})[model] = tally.summary()
        return {
            "total": everything.summary(),
            "providers": {
                name: {"rollup": rollups[name].summary(), "models": models} for name, models in providers.items()
            },
        }


class Together:
    """What the readings of other workers add to this one's. `base` has it by name; `processes` are all that live."""

    def __init__(self, readings: Iterable[Reading], processes: list[tuple[float, float, float]]) -> None:
        self._readings = {reading.name: reading for reading in readings}
        self.base: dict[str, dict[Labels, float]] = {}
        self.processes = processes

    def gather(self, other: Counted, *, counters_only: bool) -> None:
        for name, values in other.readings.items():
            reading = self._readings.get(name)
            if reading is None or (counters_only and reading.kind != "counter"):
                continue
            base = self.base.setdefault(name, {})
            for labels, value in values:
                added = reading.added or reading.kind == "counter"
                base[labels] = base.get(labels, 0.0) + value if added else base.get(labels, value)

    def joined(self, reading: Reading, values: Mapping[Labels, float]) -> Mapping[Labels, float]:
        base = self.base.get(reading.name)
        if not base:
            return values
        if reading.added or reading.kind == "counter":
            return {labels: values.get(labels, 0.0) + base.get(labels, 0.0) for labels in {**base, **values}}
        return {**base, **values}

    def families(self) -> Iterator[Metric]:
        """In place of prometheus-client's own, which know one process."""
        if not self.processes:
            return
        cpu, memory, files = (sum(each) for each in zip(*self.processes, strict=True))
        yield _counter("process_cpu_seconds", "CPU time of all workers", (), {(): cpu})
        yield _gauge("process_resident_memory_bytes", "Resident memory of all workers", (), {(): memory})
        yield _gauge("process_open_fds", "Open files of all workers", (), {(): files})
        yield _gauge("llm_mux_workers", "Workers that answer", (), {(): len(self.processes)})


def user_balances(till: Till) -> Reading:
    """The balances that the till has seen, of a bounded number of users; a scrape has it look first."""

    def read() -> Mapping[Labels, float]:
        return {(plain(user),): float(balance) for user, balance in islice(dict(till.known).items(), MOST_NAMES)}

    return Reading("user_balance", "Balance of a user in US dollars, as last seen", read, ("user_id",))


def _registry(metrics: Metrics) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry, ProcessCollector

    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    if metrics.together is None or not metrics.together.processes:
        ProcessCollector(registry=registry)
    return registry


def _request_families(models: list[tuple[str, ModelTally]]) -> Iterator[Metric]:
    counts: dict[Labels, float] = {
        (model, status): n for model, tally in models for status, n in list(tally.statuses.items()) if n
    }
    yield _counter("llm_requests", "Finished exchanges", ("model", "status"), counts)
    yield _histogram("llm_requests_duration_seconds", "From request to the end of the answer", models, "duration")
    yield _histogram("llm_ttft_seconds", "From request to the first content", models, "ttft")
    yield _histogram("llm_time_per_output_token_seconds", "Pace of streams after the first", models, "output_token")


def _token_families(models: list[tuple[str, ModelTally]]) -> Iterator[Metric]:
    tokens: dict[Labels, float] = {
        (model, kind): n for model, tally in models for kind, n in zip(TOKEN_KINDS, tally.tokens, strict=True) if n
    }
    yield _counter("llm_tokens", "Tokens; input is uncached, output includes reasoning", ("model", "kind"), tokens)
    cost: dict[Labels, float] = {(model,): float(dollars(tally.cost)) for model, tally in models if tally.cost}
    yield _counter("llm_cost_usd", "Cost of exchanges whose price is known", ("model",), cost)
    unpriced: dict[Labels, float] = {(model,): tally.unpriced for model, tally in models if tally.unpriced}
    yield _counter("llm_unpriced_requests", "Exchanges with tokens but no known price", ("model",), unpriced)


def _by_label(counts: Mapping[str, int]) -> dict[Labels, float]:
    return {(label,): count for label, count in sorted(counts.items())}


def _counter(name: str, text: str, labels: Labels, values: Mapping[Labels, float]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family


def _gauge(name: str, text: str, labels: Labels, values: Mapping[Labels, float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family


def _histogram(name: str, text: str, models: list[tuple[str, ModelTally]], which: str) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, text, labels=("model",))
    for model, tally in models:
        distribution: Distribution = getattr(tally, which)
        buckets = distribution.cumulative()
        if buckets[-1][1]:
            family.add_metric((model,), buckets, distribution.total)
    return family
