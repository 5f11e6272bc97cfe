"""The circuit breaker: closed while things go well, open while nobody is let through, half-open while one at a time may
try. A rest that a provider asked for (a cooldown) and one that failures cause are the same thing here.

Rule: pure, time is a parameter (monotonic seconds). Long rests are tried at intervals: quotas come back early.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from llm_mux.errors import Kind

LONGEST_GROWN_S = 1800.0
_PROBE_EVERY_S = 300.0
_HALF_OPEN_EVERY_S = 1.0


class State(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Trip(Struct, frozen=True):
    """When failures open a breaker: so many in a row, or a share of all in a window that has seen enough of them.

    `open_s` is the first rest; it doubles with every one in a row, up to `longest_s`. `window_s` in seconds.
    """

    in_a_row: int = 5
    share: float = 0.5
    at_least: int = 10
    window_s: float = 10.0
    open_s: float = 10.0
    longest_s: float = 300.0


ACCOUNT = Trip()
PROVIDER = Trip(share=2.0, open_s=5.0, longest_s=60.0)
"""A provider's: only failures in a row count, so that one account that works keeps it closed."""


class Breaker(Struct):
    """`until`: the end of the rest, None while closed. `since`: its beginning. `reason`: what caused it.

    `rests` counts rests in a row (a success ends the row); `probe_at`: from when one request may try in spite of it.
    `failed_row`, `good` and `bad` count what came since the last success and in the window that began at `window`.
    """

    until: float | None = None
    since: float = 0.0
    reason: Kind | None = None
    rests: int = 0
    probe_at: float = 0.0
    failed_row: int = 0
    good: int = 0
    bad: int = 0
    window: float = 0.0

    def state(self, now: float) -> State:
        if self.until is None:
            return State.CLOSED
        return State.OPEN if now < self.until else State.HALF_OPEN

    def ready_at(self, now: float) -> float:
        """When somebody may be let through: 0 when it may be now."""
        if self.until is None or now >= self.probe_at:
            return 0.0
        return self.probe_at if now >= self.until else min(self.until, self.probe_at)

    def enter(self, now: float) -> None:
        """Somebody is let through: while it is not closed the next one has to wait a little for how this one fares."""
        if self.until is not None:
            self.probe_at = now + (_HALF_OPEN_EVERY_S if now >= self.until else _PROBE_EVERY_S)

    def rest(self, now: float, seconds: float, reason: Kind) -> None:
        """Opens for `seconds`. Of several rests at the same time the longest counts; whoever may try in spite of it
        waits for the new one too."""
        until = now + seconds
        if self.until is not None and now < self.until and until <= self.until:
            if self.probe_at <= now:
                self.probe_at = min(until, now + _PROBE_EVERY_S)
            return
        if self.until is None or now >= self.until:
            self.since, self.rests = now, self.rests + 1
        self.until, self.reason = until, reason
        self.probe_at = until if seconds <= _PROBE_EVERY_S else now + _PROBE_EVERY_S

    def grown(self, now: float, seconds: float, longest: float = LONGEST_GROWN_S) -> float:
        """Seconds of the next rest when it doubles with each one in a row. Requests that were under way when the
        present one began say nothing new."""
        resting = self.until is not None and now < self.until
        row = self.rests - 1 if resting else self.rests
        return float(min(seconds * 2.0 ** min(max(row, 0), 20), longest))

    def failed(self, now: float, trip: Trip, reason: Kind) -> bool:
        """Counts a failure; whether it opened the breaker."""
        self._slide(now, trip)
        self.failed_row += 1
        self.bad += 1
        seen = self.good + self.bad
        half_open = self.state(now) is State.HALF_OPEN
        trips = self.failed_row >= trip.in_a_row or (seen >= trip.at_least and self.bad >= trip.share * seen)
        if not (half_open or trips):
            return False
        self.rest(now, self.grown(now, trip.open_s, trip.longest_s), reason)
        return True

    def succeeded(self, now: float, began: float, trip: Trip) -> bool:
        """Takes note of a success of somebody who was let through at `began`; whether there is nothing left to know.

        One that was under way before the rest began says nothing about it.
        """
        if self.until is not None and began < self.since:
            return False
        self._slide(now, trip)
        self.until, self.reason, self.rests, self.failed_row = None, None, 0, 0
        self.good += 1
        return self.bad == 0

    def _slide(self, now: float, trip: Trip) -> None:
        if now - self.window > trip.window_s:
            self.window, self.good, self.bad = now, 0, 0
