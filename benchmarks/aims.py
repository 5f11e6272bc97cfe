"""What the figures should come to: two tables of ratios to the floor in the same run, with what was reached beside.

Each aim says how it is had from the figures of a run: a ratio of rates or of CPU (more or less is better), or
milliseconds. "Added" is what a way takes beyond asking the upstream directly, or beyond the floor where that is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

WAYS = ("splice", "translate")
Figures = dict[str, dict[str, dict[str, dict[str, float]]]]


@dataclass(frozen=True)
class Aim:
    """`wanted` for splice and translate (None: no aim). `least`: as much as that, else at most. `unit` "x" or "ms"."""

    name: str
    value: Callable[[Figures, str], float]
    wanted: tuple[float | None, float | None]
    least: bool = True
    unit: str = "x"

    def cell(self, figures: Figures, way: str) -> str:
        wanted = self.wanted[WAYS.index(way)]
        if wanted is None:
            return "-"
        found = self.value(figures, way)
        met = found >= wanted if self.least else found <= wanted
        sign = ">=" if self.least else "<="
        return f"{found:.2f} {self.unit} ({'' if met else 'not '}{sign} {wanted:g})"


def rate(row: str) -> Callable[[Figures, str], float]:
    """Requests per second over the floor's."""
    return lambda figures, way: figures["throughput"][row]["rate"][way] / figures["throughput"][row]["rate"]["floor"]


def cpu(row: str) -> Callable[[Figures, str], float]:
    """CPU of a request over the floor's."""
    return lambda figures, way: figures["throughput"][row]["cpu"][way] / figures["throughput"][row]["cpu"]["floor"]


def over_floor(row: str) -> Callable[[Figures, str], float]:
    """Milliseconds beyond the floor's."""
    return lambda figures, way: figures["delay"][row]["p50"][way] - figures["delay"][row]["p50"]["floor"]


def over_direct(row: str) -> Callable[[Figures, str], float]:
    """Milliseconds beyond asking the upstream directly."""
    return lambda figures, way: figures["delay"][row]["p50"][way] - figures["delay"][row]["p50"]["direct"]


def added(row: str) -> Callable[[Figures, str], float]:
    """What is added to asking directly, over what the floor adds."""
    return lambda figures, way: over_direct(row)(figures, way) / over_direct(row)(figures, "floor")


SMALL, LARGE = "2 KB whole, 16 at once", "200 KB whole, 16 at once"
GROWING = "170 KB and more, a conversation that grows, 16 at once"
BURST, PACED = "100-event streams, 16 at once", "100-event streams an event each 5 ms, 32 at once"
WHOLE, WHOLE_MB = "2 KB whole, 50/s", "1 MB whole, 5/s"
FIRST, FIRST_LARGE, FIRST_MB = "first event, 2 KB, 50/s", "first event, 200 KB, 20/s", "first event, 1 MB, 5/s"
FIRST_GROWING = "first event, a conversation of 170 KB that grows, 20/s"

FIRST_AIMS = (
    Aim("requests/s, 2 KB whole, 16 at once", rate(SMALL), (0.5, 0.35)),
    Aim("requests/s, 200 KB whole", rate(LARGE), (0.6, 0.25)),
    Aim("stream events/s, 100-event streams", rate(BURST), (0.7, 0.4)),
    Aim("first event, beyond the floor's p50", over_floor(FIRST), (0.5, 1.0), least=False, unit="ms"),
    Aim("1 MB body, beyond the floor", over_floor(WHOLE_MB), (3.0, 12.0), least=False, unit="ms"),
)

FURTHER_AIMS = (
    Aim("requests/s, 2 KB", rate(SMALL), (2.0, 1.5)),
    Aim("requests/s, 200 KB, a conversation that grows", rate(GROWING), (1.2, 0.4)),
    Aim("requests/s, 200 KB, never seen before", rate(LARGE), (1.2, 0.4)),
    Aim("CPU per paced stream event", cpu(PACED), (0.85, 1.0), least=False),
    Aim("burst stream events/s", rate(BURST), (0.8, 0.6)),
    Aim("added p50 at 50/s", added(WHOLE), (0.8, 1.0), least=False),
    Aim("the same to a stream's first event", added(FIRST), (0.8, 1.0), least=False),
    Aim("added first event, 200 KB", added(FIRST_LARGE), (0.7, 1.0), least=False),
    Aim("the same, a conversation of 170 KB that grows", added(FIRST_GROWING), (0.7, 1.0), least=False),
    Aim("first event of 1 MB, added", over_direct(FIRST_MB), (None, 5.0), least=False, unit="ms"),
)


def table(title: str, aims: tuple[Aim, ...], figures: Figures) -> str:
    lines = [f"| {title} | splice | translate |", "|---|---|---|"]
    lines += [f"| {aim.name} | " + " | ".join(aim.cell(figures, way) for way in WAYS) + " |" for aim in aims]
    return "\n".join(lines)
