import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from llm_mux.ledger.rows import Exchange
from llm_mux.server.ended import Ended
from llm_mux.server.metrics import Metrics, Reading
from llm_mux.server.tallies import MOST_NAMES
from tests.rows import row_of


def exchange(model: str | None = "gpt-5", **changes: object) -> Exchange:
    fields: dict[str, object] = {"duration_ms": 1500.0, "status": 200, "provider": "openai", "attempts": 1} | changes
    return row_of(time=1.0, request_id="r", protocol="openai-chat", model_asked="fast", model_served=model, **fields)


def samples(metrics: Metrics) -> Mapping[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What a scraper reads: (name, sorted labels) -> value."""
    found = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


@dataclass(frozen=True)
class Case:
    id: str
    row: Exchange
    name: str
    labels: dict[str, str]
    value: float


CASES = [
    Case("success", exchange(), "llm_requests_total", {"model": "gpt-5", "status": "success"}, 1),
    Case("error", exchange(status=502), "llm_requests_total", {"model": "gpt-5", "status": "error"}, 1),
    Case(
        "a stream that broke after its 200",
        exchange(error_kind="upstream_cut"),
        "llm_requests_total",
        {"model": "gpt-5", "status": "error"},
        1,
    ),
    Case(
        "a client that left",
        exchange(status=499, error_kind="client_gone"),
        "llm_requests_total",
        {"model": "gpt-5", "status": "cancelled"},
        1,
    ),
    Case(
        "nothing served it", exchange(None, status=404), "llm_requests_total", {"model": "none", "status": "error"}, 1
    ),
    Case("kind", exchange(error_kind="quota"), "llm_errors_total", {"kind": "quota"}, 1),
    Case("below", exchange(), "llm_requests_duration_seconds_bucket", {"model": "gpt-5", "le": "1.0"}, 0),
    Case("above", exchange(), "llm_requests_duration_seconds_bucket", {"model": "gpt-5", "le": "2.5"}, 1),
    Case(
        "on the bound",
        exchange(duration_ms=1000.0),
        "llm_requests_duration_seconds_bucket",
        {"model": "gpt-5", "le": "1.0"},
        1,
    ),
    Case(
        "beyond all",
        exchange(duration_ms=9e9),
        "llm_requests_duration_seconds_bucket",
        {"model": "gpt-5", "le": "+Inf"},
        1,
    ),
    Case("duration", exchange(), "llm_requests_duration_seconds_sum", {"model": "gpt-5"}, 1.5),
    Case("ttft", exchange(ttft_ms=250.0), "llm_ttft_seconds_sum", {"model": "gpt-5"}, 0.25),
    Case(
        "pace",
        exchange(ttft_ms=500.0, output_tokens=11),
        "llm_time_per_output_token_seconds_sum",
        {"model": "gpt-5"},
        0.1,
    ),
    Case("input", exchange(input_tokens=7), "llm_tokens_total", {"model": "gpt-5", "kind": "input"}, 7),
    Case("cached", exchange(cache_read_tokens=5), "llm_tokens_total", {"model": "gpt-5", "kind": "cache_read"}, 5),
    Case(
        "reasoning",
        exchange(output_tokens=9, reasoning_tokens=4),
        "llm_tokens_total",
        {"model": "gpt-5", "kind": "reasoning"},
        4,
    ),
    Case("cost", exchange(input_tokens=1, cost=25 * 10**10), "llm_cost_usd_total", {"model": "gpt-5"}, 0.25),
    Case("no price", exchange(input_tokens=1), "llm_unpriced_requests_total", {"model": "gpt-5"}, 1),
    Case("retries", exchange(attempts=3), "llm_retries_total", {"provider": "openai"}, 2),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_an_exchange_is_counted_where_a_scraper_looks(case: Case) -> None:
    metrics = Metrics()
    metrics.observe([Ended(case.row, streamed=True)])
    assert value(metrics, case.name, **case.labels) == pytest.approx(case.value)


def test_an_answer_that_came_all_at_once_has_no_pace() -> None:
    metrics = Metrics()
    metrics.observe([Ended(exchange(ttft_ms=1499.9, output_tokens=500), streamed=False)])
    assert value(metrics, "llm_ttft_seconds_count", model="gpt-5") == 1
    assert value(metrics, "llm_time_per_output_token_seconds_count", model="gpt-5") is None


def test_buckets_are_cumulative_and_agree_with_the_count() -> None:
    metrics = Metrics()
    for duration_ms in (10.0, 100.0, 300.0, 5_000.0, 700_000.0):
        metrics.observe([Ended(exchange(duration_ms=duration_ms), streamed=True)])
    found = samples(metrics)
    buckets = [value for (name, _), value in found.items() if name == "llm_requests_duration_seconds_bucket"]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 5 == value(metrics, "llm_requests_duration_seconds_count", model="gpt-5")


def test_what_never_happened_is_not_shown() -> None:
    metrics = Metrics()
    metrics.observe([Ended(exchange(), streamed=True)])
    names = {name for name, _ in samples(metrics)}
    assert not names & {"llm_ttft_seconds_count", "llm_tokens_total", "llm_errors_total", "llm_cost_usd_total"}


@pytest.mark.covers("OP-9")
def test_models_beyond_the_bound_count_together_as_other() -> None:
    metrics = Metrics()
    for number in range(MOST_NAMES + 50):
        metrics.observe([Ended(exchange(f"model-{number}"), streamed=True)])
        metrics.observe([Ended(exchange("model-0"), streamed=True)])
    labels = {dict(labels)["model"] for name, labels in samples(metrics) if name == "llm_requests_total"}
    assert len(labels) == MOST_NAMES + 1
    assert value(metrics, "llm_requests_total", model="other", status="success") == 50
    assert value(metrics, "llm_requests_total", model="model-0", status="success") == MOST_NAMES + 51


def test_providers_beyond_the_bound_count_together_as_other() -> None:
    metrics = Metrics()
    for number in range(MOST_NAMES + 5):
        metrics.observe([Ended(exchange(provider=f"provider-{number}", attempts=2), streamed=True)])
    assert value(metrics, "llm_retries_total", provider="other") == 5


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "new\nline", "modèle", "lone\ud83d", "zero\0", "x" * 10_000])
def test_an_odd_model_name_does_not_spoil_the_page(name: str) -> None:
    metrics = Metrics()
    metrics.observe([Ended(exchange(name), streamed=True)])
    metrics.observe([Ended(exchange(name + "!"), streamed=True)])
    counts = [value for (name, _), value in samples(metrics).items() if name == "llm_requests_total"]
    assert sum(counts) == 2


def test_what_others_count_is_read_at_each_scrape() -> None:
    balances: dict[tuple[str, ...], float] = {("user123",): 95.5}
    metrics = Metrics([Reading("user_balance", "Current user balance", lambda: balances, ("user_id",))])
    metrics.readings.append(Reading("ledger_rows_dropped", "Rows lost", lambda: {(): 3}, kind="counter"))
    assert value(metrics, "user_balance", user_id="user123") == 95.5
    balances["user123",] = 90.0
    assert value(metrics, "user_balance", user_id="user123") == 90.0
    assert value(metrics, "ledger_rows_dropped_total") == 3


def test_active_streams_and_refused_requests_are_shown() -> None:
    metrics = Metrics()
    metrics.active_streams += 2
    metrics.rate_limited("user_limit")
    assert value(metrics, "llm_active_streams") == 2
    assert value(metrics, "rate_limit_requests_total", type="user_limit") == 1


def test_prometheus_client_is_imported_by_the_first_scrape_only() -> None:
    code = (
        "import sys; from llm_mux.server.metrics import Metrics\n"
        "print('prometheus_client' in sys.modules, len(Metrics().render()) > 0, 'prometheus_client' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False True True\n"
