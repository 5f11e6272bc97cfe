"""What a client key may do: which models, providers and accounts it reaches, how fast, and for how much.

Rule: an empty list allows everything of its kind; whoever enforces a scope asks here. Money is US dollars.
"""

from __future__ import annotations

from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct, to_builtins

from llm_mux.config.schema import Limits


class Scopes(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="kebab", forbid_unknown_fields=True):
    """`models`, `providers` and `accounts` are wildcards. A model is allowed by the name that the client gave, by its
    provider's own id, or by `provider/id`; an account by its label or by `provider/label`.

    Budgets are for one day and one month of the calendar, in UTC.
    """

    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    limits: Limits = Limits()
    daily_budget: Decimal | None = None
    monthly_budget: Decimal | None = None

    @property
    def narrow(self) -> bool:
        """Whether some target is out of reach."""
        return bool(self.models or self.providers or self.accounts)

    @property
    def budgeted(self) -> bool:
        return self.daily_budget is not None or self.monthly_budget is not None

    @property
    def limited(self) -> bool:
        """Whether something has to be counted."""
        return self.budgeted or self.limits != Limits()

    def model(self, asked: str, provider: str, own: str) -> bool:
        return not self.models or any(
            fnmatchcase(name, pattern) for pattern in self.models for name in (asked, own, f"{provider}/{own}")
        )

    def provider(self, provider: str) -> bool:
        return not self.providers or any(fnmatchcase(provider, pattern) for pattern in self.providers)

    def account(self, provider: str, label: str) -> bool:
        return not self.accounts or any(
            fnmatchcase(name, pattern) for pattern in self.accounts for name in (label, f"{provider}/{label}")
        )


def written(scopes: Scopes) -> dict[str, Any]:
    """Scopes as JSON has them, without what is not set."""
    found: dict[str, Any] = to_builtins(scopes)
    limits = {name: limit for name, limit in found.pop("limits", {}).items() if limit is not None}
    return {**found, "limits": limits} if limits else found


def problem(scopes: Scopes) -> str | None:
    """What is wrong with scopes that someone typed, in one sentence."""
    for name, patterns in (("models", scopes.models), ("providers", scopes.providers), ("accounts", scopes.accounts)):
        if any(not pattern.strip() or not pattern.isprintable() for pattern in patterns):
            return f"`{name}` holds an empty or unprintable wildcard"
    for name, amount in (("daily-budget", scopes.daily_budget), ("monthly-budget", scopes.monthly_budget)):
        if amount is not None and (amount_problem(amount) or amount <= 0):
            return f"`{name}` must be an amount of US dollars above 0"
    return None


def amount_problem(amount: Decimal) -> str | None:
    """What is wrong with an amount of money: it has to be finite, of at most 12 decimals, below a million."""
    if not amount.is_finite() or abs(amount) >= MOST_DOLLARS:
        return f"an amount of US dollars is a number below {MOST_DOLLARS:,}"
    if amount != amount.quantize(_SMALLEST):
        return "an amount of US dollars has at most 12 decimals"
    return None


MOST_DOLLARS = 1_000_000
_SMALLEST = Decimal("1e-12")
