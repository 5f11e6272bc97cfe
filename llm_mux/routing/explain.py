"""Why a request goes where it goes: every target of a name and of its fallbacks, as the choice itself sees them. Pure.

Rule: the same `judge` and `ranked` that choose are what explains; nothing is worked out a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from llm_mux.routing.accounts import Account
from llm_mux.routing.select import Candidate, Choice, Judged, Moment, judge, placed, ranked


class Quota(Struct, frozen=True):
    """A quota window that the provider told of; `used` a fraction, `resets_at` unix seconds, None when unknown."""

    name: str
    model: str | None
    used: float | None
    remaining: float | None
    resets_at: float | None


class Target(Struct, frozen=True, omit_defaults=True):
    """One target. `order`: the place in which it would be asked, from 1 on; None: it is passed over.

    `why` says so in words; `back_in_s` when it may be asked again; `score` is the strategy's, higher first.
    """

    name: str
    provider: str
    account: str
    model: str
    order: int | None
    why: str
    priority: int
    weight: float
    inflight: int
    max_concurrent: int | None = None
    score: float | None = None
    back_in_s: float | None = None
    context: int | None = None
    price: float | None = None
    first_content_s: float | None = None
    effort: str | None = None
    budget: int | None = None
    quotas: tuple[Quota, ...] = ()


class Reached(Struct, frozen=True):
    """A name of the chain with its targets, or why it has none."""

    name: str
    candidates: tuple[Candidate, ...] = ()
    problem: str | None = None


def explained(chain: Sequence[Reached], moment: Moment, choice: Choice) -> list[Target]:
    """Every target of the chain: those that would be asked in their order, then those that are passed over."""
    found: list[Target] = []
    asked = 0
    for reached in chain:
        judged = [judge(candidate, moment, choice) for candidate in reached.candidates]
        there = placed(reached.candidates, moment)
        able = ranked([each for each in judged if each.passed is None], there, choice)
        for each in able:
            asked += 1
            found.append(_target(reached.name, each, asked, moment, choice))
        found.extend(_target(reached.name, each, None, moment, choice) for each in judged if each.passed is not None)
    return found


def _target(name: str, each: Judged, order: int | None, moment: Moment, choice: Choice) -> Target:
    account, route = each.candidate.account, each.candidate.route
    speed = account.speeds.get(route.model)
    return Target(
        name=name,
        provider=account.provider.name,
        account=account.label,
        model=route.model,
        order=order,
        why=_why(each, order, choice),
        priority=account.priority,
        weight=account.weight,
        inflight=account.inflight,
        max_concurrent=account.most,
        score=None if order is None else each.score,
        back_in_s=each.wait if each.passed is not None and each.wait != float("inf") else None,
        context=choice.context(account.provider.name, route.model),
        price=choice.price(account.provider.name, route.model),
        first_content_s=None if speed is None else speed.seconds,
        effort=route.effort,
        budget=route.budget,
        quotas=tuple(quotas(account, route.model)),
    )


def _why(each: Judged, order: int | None, choice: Choice) -> str:
    account = each.candidate.account
    if order is not None:
        held = f", after others: {each.handicap}" if each.handicap else ""
        return f"{choice.strategy}, priority {account.priority}{held}"
    if each.passed == "full":
        return f"busy with {account.inflight} exchanges, as many as it may have"
    reason = each.reason.value if each.reason is not None else "unknown"
    if each.passed == "unreachable":
        return f"its provider cannot be reached ({reason})"
    return f"resting ({reason})"


def quotas(account: Account, model: str | None = None) -> Iterable[Quota]:
    """What the provider told of the account's quotas, those of other models left out."""
    for (scope, name), window in account.windows.items():
        if model is None or scope in ("", model):
            yield Quota(name, scope or None, window.used, window.remaining, window.resets_at)
