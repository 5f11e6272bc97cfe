"""How fast a client may be: exact sliding windows over requests and tokens, and requests at the same time. Pure.

Rule: a request is admitted by all of its limits or by none, and one that is refused consumes nothing. Tokens are
reserved by an estimate and settled by what was really used. Time is a parameter, seconds of a clock that only goes
forward; windows are half open: what happened exactly one period ago is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import force_setattr

from llm_mux.config.schema import Limits

MINUTE_S, HOUR_S = 60.0, 3600.0
BUSY_RETRY_S = 1.0
"""What a client is told to wait for when too many of its requests are under way: nobody knows when one ends."""

Kind = Literal["requests", "tokens", "concurrent"]
_SWEEP_EVERY = 1024


class Charge(Struct, frozen=True):
    """One limit that a request falls under. `subject` is whose it is; `period_s` 0 for requests at the same time."""

    subject: str
    kind: Kind
    limit: int
    period_s: float = 0.0
    key: str = ""
    """What names its window among all; follows from the others."""

    def __post_init__(self) -> None:
        force_setattr(self, "key", f"{self.subject}\x00{self.kind}\x00{self.period_s:g}")

    def amount(self, tokens: int) -> int:
        return tokens if self.kind == "tokens" else 1


class Standing(Struct, frozen=True):
    """Where a limit stands. `reset_s` is how long until something of it comes back, 0 when all of it is there."""

    charge: Charge
    remaining: int
    reset_s: float


class Refused(Struct, frozen=True):
    """Why a request was not admitted: the limit that keeps it out the longest, and for how long."""

    charge: Charge
    retry_s: float
    fits: bool
    """False: the request alone is more than the limit allows, however long it waits."""


def charges(subject: str, limits: Limits) -> list[Charge]:
    """The limits of one subject that are set."""
    wanted: tuple[tuple[Kind, int | None, float], ...] = (
        ("requests", limits.requests_per_minute, MINUTE_S),
        ("requests", limits.requests_per_hour, HOUR_S),
        ("tokens", limits.tokens_per_minute, MINUTE_S),
        ("concurrent", limits.concurrent, 0.0),
    )
    return [Charge(subject, kind, limit, period) for kind, limit, period in wanted if limit is not None]


class _Entry:
    """One admitted request in one window."""

    __slots__ = ("amount", "over", "time")

    def __init__(self, time: float, amount: int) -> None:
        self.time = time
        self.amount = amount
        self.over = False


class _Window:
    """What was used in the last period, newest last; without a period, what is under way."""

    __slots__ = ("entries", "period_s", "used")

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        self.entries: deque[_Entry] = deque()
        self.used = 0

    def expire(self, now: float) -> None:
        if not self.period_s:
            return
        while self.entries and self.entries[0].time <= now - self.period_s:
            entry = self.entries.popleft()
            entry.over = True
            self.used -= entry.amount

    def add(self, now: float, amount: int) -> _Entry:
        entry = _Entry(now, amount)
        self.used += amount
        if self.period_s:
            self.entries.append(entry)
        return entry

    def change(self, entry: _Entry, amount: int) -> None:
        """Another amount for an entry, unless its time is over."""
        if not entry.over:
            self.used += amount - entry.amount
            entry.amount = amount

    def remove(self, entry: _Entry) -> None:
        """As if the entry had never been."""
        self.change(entry, 0)
        if self.period_s and not entry.over:
            self.entries.remove(entry)

    def wait_s(self, now: float, too_much: int) -> float:
        """How long until `too_much` of what is used is over."""
        if not self.period_s:
            return BUSY_RETRY_S
        for entry in self.entries:
            too_much -= entry.amount
            if too_much <= 0:
                return entry.time + self.period_s - now
        return self.period_s


class Admitted:
    """A request under way: `settle` once its tokens are known, `leave` when it ends; both any number of times."""

    __slots__ = ("_entries", "standings")

    def __init__(self, entries: list[tuple[Charge, _Window, _Entry]], standings: tuple[Standing, ...]) -> None:
        self._entries = entries
        self.standings = standings

    def settle(self, tokens: int) -> None:
        for charge, window, entry in self._entries:
            if charge.kind == "tokens":
                window.change(entry, tokens)

    def undo(self) -> None:
        """As if it had not been admitted."""
        for _, window, entry in self._entries:
            window.remove(entry)

    def leave(self) -> None:
        for charge, window, entry in self._entries:
            if charge.kind == "concurrent":
                window.change(entry, 0)


class Windows:
    """All windows of one daemon. Those in which nothing is left are forgotten."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}
        self._until_sweep = _SWEEP_EVERY

    def __len__(self) -> int:
        return len(self._windows)

    def admit(self, wanted: Sequence[Charge], tokens: int, now: float) -> Admitted | Refused:
        """Takes what a request needs of every limit, or says which one refuses it."""
        windows = [self._window(charge, now) for charge in wanted]
        refusals = list(_refusals(zip(wanted, windows, strict=True), tokens, now))
        if refusals:
            return max(refusals, key=lambda refusal: refusal.retry_s)
        entries = [(c, w, w.add(now, c.amount(tokens))) for c, w in zip(wanted, windows, strict=True)]
        return Admitted(entries, tuple(_standing(c, w, now) for c, w in zip(wanted, windows, strict=True)))

    def standings(self, wanted: Sequence[Charge], now: float) -> tuple[Standing, ...]:
        """Where limits stand, without using any of them."""
        return tuple(_standing(charge, self._window(charge, now), now) for charge in wanted)

    def _window(self, charge: Charge, now: float) -> _Window:
        window = self._windows.get(charge.key)
        if window is None:
            self._sweep(now)
            window = self._windows[charge.key] = _Window(charge.period_s)
        window.expire(now)
        return window

    def _sweep(self, now: float) -> None:
        """Forgets the windows that hold nothing, once for every so many new ones."""
        self._until_sweep -= 1
        if self._until_sweep > 0:
            return
        for key, window in list(self._windows.items()):
            window.expire(now)
            if not window.used and not window.entries:
                del self._windows[key]
        self._until_sweep = max(_SWEEP_EVERY, len(self._windows))


def _refusals(pairs: Iterator[tuple[Charge, _Window]], tokens: int, now: float) -> Iterator[Refused]:
    for charge, window in pairs:
        amount = charge.amount(tokens)
        too_much = window.used + amount - charge.limit
        if too_much > 0:
            fits = amount <= charge.limit
            yield Refused(charge, window.wait_s(now, too_much) if fits else charge.period_s, fits)


def _standing(charge: Charge, window: _Window, now: float) -> Standing:
    oldest = window.entries[0].time + window.period_s - now if window.entries else 0.0
    return Standing(charge, max(0, charge.limit - window.used), oldest)
