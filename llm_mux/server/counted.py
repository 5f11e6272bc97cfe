"""What one process has counted, on its way to another: the worker that answers for all, or its successor."""

from __future__ import annotations

from msgspec import Struct


class Spread(Struct, frozen=True, array_like=True):
    """A `Distribution` on its way to another process."""

    counts: list[int]
    total: float


class Tallied(Struct, frozen=True, array_like=True):
    """A `ModelTally` on its way to another process."""

    provider: str
    model: str
    statuses: dict[str, int]
    tokens: list[int]
    cost: int
    unpriced: int
    duration: Spread
    ttft: Spread
    output_token: Spread


class Counted(Struct, frozen=True, kw_only=True):
    """Everything that one worker has counted, and its gauges. `process`: CPU seconds, bytes of memory, open files."""

    tallies: list[Tallied]
    errors: dict[str, int]
    retries: dict[str, int]
    rate_limited: dict[str, int]
    refused: dict[str, int]
    readings: dict[str, list[tuple[tuple[str, ...], float]]]
    active_requests: int
    active_streams: int
    inflight: dict[str, int]
    lag_s: float
    process: tuple[float, float, float]


def of_this_process() -> tuple[float, float, float]:
    """CPU seconds, bytes of memory, open files."""
    import psutil

    process = psutil.Process()
    used = process.cpu_times()
    files = process.num_fds() if hasattr(process, "num_fds") else 0
    return used.user + used.system, float(process.memory_info().rss), float(files)
