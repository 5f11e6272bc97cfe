"""When a failure is worth another round over the targets, and how long to wait before it. Pure: time and chance are
parameters.

Clients retry too, so that retries of ours come out of a budget: a share of the traffic and a trickle, no more. Nobody
waits longer than the configuration allows, nor past the moment until which a client can still be told a status.
"""

from __future__ import annotations

from msgspec import Struct

from llm_mux.errors import MuxError

FIRST_S = 0.5
_LONGEST_S = 8.0
_SPREAD_S = 2.0


class Budget(Struct):
    """Tokens for asking the same targets again. Each exchange earns `share` of one, each second `per_s`."""

    share: float = 0.2
    per_s: float = 0.5
    most: float = 20.0
    tokens: float = 20.0
    at: float | None = None

    def earn(self) -> None:
        """An exchange begins."""
        self.tokens += self.share

    def take(self, now: float) -> bool:
        """One token, if there is one."""
        passed = 0.0 if self.at is None else max(0.0, now - self.at)
        self.at = now
        self.tokens = min(self.tokens + passed * self.per_s, self.most)
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Round(Struct, frozen=True):
    """What a round over all targets came to. `tried`: how many were asked; `error`: the best to tell the client;
    `ready_in`: seconds until one may be asked, 0 when one may be now, None when waiting does not help. `again`: one of
    those that were asked failed in a way that may be gone the next time.
    """

    tried: int
    error: MuxError
    ready_in: float | None
    again: bool = False


class Patience(Struct, frozen=True):
    """How much is left: rounds, seconds of waiting, and seconds until the client's stream has to begin (None: it has,
    or there is none)."""

    rounds: int
    seconds: float
    status_in: float | None = None

    def bears(self, seconds: float) -> bool:
        return seconds <= self.seconds and (self.status_in is None or seconds < self.status_in)


def pause(came: Round, patience: Patience, number: int, draw: float) -> float | None:
    """Seconds to wait before round `number` (0: the first repetition), None to give up. `draw` is random in [0, 1).

    After a rest that was asked for the wait is that long and a little more, so that not all come back at once.
    """
    if came.ready_in is None or (came.tried and (patience.rounds <= 0 or not (came.again or came.ready_in))):
        return None
    wait = came.ready_in
    if came.tried and came.error.policy.retry_same and came.error.retry_after is not None:
        wait = max(wait, came.error.retry_after)
    if wait > 0:
        spread = draw * min(_SPREAD_S, max(wait / 4, 0.05))
        return next((seconds for seconds in (wait + spread, wait) if patience.bears(seconds)), None)
    wait = backoff(number, draw)
    return wait if patience.bears(wait) else None


def backoff(number: int, draw: float) -> float:
    """Exponential with full jitter: anything up to half a second, then up to a second, two, four, eight."""
    return draw * min(_LONGEST_S, FIRST_S * 2.0 ** min(number, 10))
