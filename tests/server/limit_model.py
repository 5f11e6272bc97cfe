"""What limits mean, written down once more as plainly as possible: a list of what was admitted, counted anew each time.

The windows in memory and those in Redis are held to it by the same tests.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from llm_mux.config.schema import Limits
from llm_mux.routing.limits import BUSY_RETRY_S, Charge, charges


@dataclass(eq=False)
class Use:
    """One admitted request."""

    time: float
    tokens: int
    wanted: Sequence[Charge]
    running: bool = True


class Model:
    """Every request ever admitted. After `lease_s` without news one no longer counts as under way."""

    def __init__(self, lease_s: float = math.inf) -> None:
        self.uses: list[Use] = []
        self._lease_s = lease_s

    def used(self, charge: Charge, now: float) -> int:
        mine = [use for use in self.uses if any(c.key == charge.key for c in use.wanted)]
        if charge.kind == "concurrent":
            return sum(use.running and now < use.time + self._lease_s for use in mine)
        recent = [use for use in mine if now - charge.period_s < use.time]
        return sum(use.tokens for use in recent) if charge.kind == "tokens" else len(recent)

    def refusing(self, wanted: Sequence[Charge], tokens: int, now: float) -> list[Charge]:
        return [c for c in wanted if self.used(c, now) + c.amount(tokens) > c.limit]

    def retry_s(self, charge: Charge, tokens: int, now: float) -> float:
        """The shortest wait after which the limit would admit the request, if nothing else happens."""
        if charge.amount(tokens) > charge.limit:
            return charge.period_s
        if charge.kind == "concurrent":
            return BUSY_RETRY_S
        ends = sorted(use.time + charge.period_s for use in self.uses if use.time + charge.period_s > now)
        return next(end - now for end in ends if not self.refusing([charge], tokens, end))


SETS = (
    Limits(requests_per_minute=3),
    Limits(requests_per_minute=4, requests_per_hour=6),
    Limits(tokens_per_minute=100),
    Limits(concurrent=2),
    Limits(requests_per_minute=5, tokens_per_minute=150, concurrent=3),
)


def wanted_by(subject: str, limits: Limits) -> list[Charge]:
    """A client's own limits and those of all clients together."""
    return [*charges(subject, limits), *charges("all", Limits(requests_per_minute=7, tokens_per_minute=400))]
