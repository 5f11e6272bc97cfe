"""How fast a client may be: exact sliding windows over requests and tokens, and requests at the same time. Pure.

Rule: a request is admitted by all of its limits or by none, and one that is refused consumes nothing. Tokens are
reserved by an estimate and settled by what was really used. Time is a parameter, seconds of a clock that only goes
forward; windows are half open: what happened exactly one period ago is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
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


class _Requests:
    """When requests of the last period came, newest last."""

    __slots__ = ("period_s", "times")

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        self.times: deque[float] = deque()

    def used(self, now: float) -> int:
        times, edge = self.times, now - self.period_s
        while times and times[0] <= edge:
            times.popleft()
        return len(times)

    def add(self, now: float, amount: int) -> None:
        self.times.append(now)

    def undo(self, entry: None, time: float) -> None:
        """As if the request of that time had never been; those of one time are alike."""
        with suppress(ValueError):
            self.times.remove(time)

    def reset_s(self, now: float) -> float:
        """How long until the oldest is over."""
        return self.times[0] + self.period_s - now if self.times else 0.0

    def wait_s(self, now: float, too_much: int) -> float:
        """How long until `too_much` of what is used is over."""
        return self.times[too_much - 1] + self.period_s - now if too_much <= len(self.times) else self.period_s


class _Spent:
    """The tokens of one request in the last period."""

    __slots__ = ("amount", "over", "time")

    def __init__(self, time: float, amount: int) -> None:
        self.time = time
        self.amount = amount
        self.over = False


class _Tokens:
    """What requests of the last period have used, newest last."""

    __slots__ = ("entries", "period_s", "total")

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        self.entries: deque[_Spent] = deque()
        self.total = 0

    def used(self, now: float) -> int:
        entries, edge = self.entries, now - self.period_s
        while entries and entries[0].time <= edge:
            entry = entries.popleft()
            entry.over = True
            self.total -= entry.amount
        return self.total

    def add(self, now: float, amount: int) -> _Spent:
        entry = _Spent(now, amount)
        self.total += amount
        self.entries.append(entry)
        return entry

    def change(self, entry: _Spent, amount: int) -> None:
        """Another amount for an entry, unless its time is over."""
        if not entry.over:
            self.total += amount - entry.amount
            entry.amount = amount

    def undo(self, entry: _Spent, time: float) -> None:
        self.change(entry, 0)
        if not entry.over:
            self.entries.remove(entry)

    def reset_s(self, now: float) -> float:
        return self.entries[0].time + self.period_s - now if self.entries else 0.0

    def wait_s(self, now: float, too_much: int) -> float:
        for entry in self.entries:
            too_much -= entry.amount
            if too_much <= 0:
                return entry.time + self.period_s - now
        return self.period_s


class _Busy:
    """How many are under way."""

    __slots__ = ("count",)

    def __init__(self, period_s: float) -> None:
        self.count = 0

    def used(self, now: float) -> int:
        return self.count

    def add(self, now: float, amount: int) -> None:
        self.count += 1

    def reset_s(self, now: float) -> float:
        return 0.0

    def wait_s(self, now: float, too_much: int) -> float:
        return BUSY_RETRY_S


_Window = _Requests | _Tokens | _Busy
_WINDOWS: dict[Kind, type[_Requests | _Tokens | _Busy]] = {
    "requests": _Requests,
    "tokens": _Tokens,
    "concurrent": _Busy,
}


class Admitted:
    """A request under way: `settle` once its tokens are known, `leave` when it ends; both any number of times."""

    __slots__ = ("_entries", "_here", "_now", "_wanted", "_windows")

    def __init__(
        self, wanted: Sequence[Charge], windows: list[_Window], entries: list[_Spent | None], now: float
    ) -> None:
        self._wanted = wanted
        self._windows = windows
        self._entries = entries
        self._now = now
        self._here = True

    def standings(self, count: int | None = None) -> list[Standing]:
        """Where the first `count` of its limits stand now, all without."""
        now = self._now
        return [_standing(c, w, now) for c, w in zip(self._wanted[:count], self._windows, strict=False)]

    def settle(self, tokens: int) -> None:
        for window, entry in zip(self._windows, self._entries, strict=True):
            if entry is not None and type(window) is _Tokens:
                window.change(entry, tokens)

    def undo(self) -> None:
        """As if it had not been admitted."""
        self.leave()
        for window, entry in zip(self._windows, self._entries, strict=True):
            if type(window) is _Requests:
                window.undo(None, self._now)
            elif type(window) is _Tokens and entry is not None:
                window.undo(entry, self._now)
        self._windows, self._entries = [], []

    def leave(self) -> None:
        if self._here:
            self._here = False
            for window in self._windows:
                if type(window) is _Busy:
                    window.count -= 1


class Windows:
    """All windows of one daemon. Those in which nothing is left are forgotten."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}
        self._until_sweep = _SWEEP_EVERY

    def __len__(self) -> int:
        return len(self._windows)

    def admit(self, wanted: Sequence[Charge], tokens: int, now: float) -> Admitted | Refused:
        """Takes what a request needs of every limit, or says which one refuses it."""
        windows: list[_Window] = []
        fits = True
        for charge in wanted:
            window = self._windows.get(charge.key) or self._new(charge, now)
            windows.append(window)
            amount = tokens if charge.kind == "tokens" else 1
            fits = fits and window.used(now) + amount <= charge.limit
        if not fits:
            return max(_refusals(wanted, windows, tokens, now), key=lambda refusal: refusal.retry_s)
        return Admitted(wanted, windows, [window.add(now, tokens) for window in windows], now)

    def standings(self, wanted: Sequence[Charge], now: float) -> list[Standing]:
        """Where limits stand, without using any of them."""
        return [_standing(charge, self._windows.get(charge.key) or self._new(charge, now), now) for charge in wanted]

    def _new(self, charge: Charge, now: float) -> _Window:
        self._sweep(now)
        window = self._windows[charge.key] = _WINDOWS[charge.kind](charge.period_s)
        return window

    def _sweep(self, now: float) -> None:
        """Forgets the windows that hold nothing, once for every so many new ones."""
        self._until_sweep -= 1
        if self._until_sweep > 0:
            return
        for key, window in list(self._windows.items()):
            if not window.used(now) and not (type(window) is _Tokens and window.entries):
                del self._windows[key]
        self._until_sweep = max(_SWEEP_EVERY, len(self._windows))


def _refusals(wanted: Sequence[Charge], windows: list[_Window], tokens: int, now: float) -> Iterator[Refused]:
    for charge, window in zip(wanted, windows, strict=True):
        amount = charge.amount(tokens)
        too_much = window.used(now) + amount - charge.limit
        if too_much > 0:
            fits = amount <= charge.limit
            yield Refused(charge, window.wait_s(now, too_much) if fits else charge.period_s, fits)


def _standing(charge: Charge, window: _Window, now: float) -> Standing:
    return Standing(charge, max(0, charge.limit - window.used(now)), window.reset_s(now))
