"""Quota windows as they are kept over a restart. Pure: both clocks are parameters.

Rule: what is kept says which account by name and by a fingerprint of its key, never the key. What ends within a minute
is not worth it. Several processes keep theirs in one place, as rests are kept: each puts in only what changed with
itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from llm_mux.providers.quota import Window
from llm_mux.routing.accounts import NEARLY_SPENT, Account
from llm_mux.routing.rests import fingerprint

_WORTH_S = 60.0


class Spot(NamedTuple):
    """Which window: of which account (and key), of which model ("" for all of them), by which name."""

    account: str
    key: str
    scope: str
    name: str


class KeptQuota(Struct, frozen=True, omit_defaults=True):
    """A quota window on disk; `resets_at` in unix seconds."""

    account: str
    key: str
    scope: str
    name: str
    resets_at: float
    used: float | None = None
    remaining: float | None = None
    limit: float | None = None
    soft: bool = False

    @property
    def spot(self) -> Spot:
        return Spot(self.account, self.key, self.scope, self.name)

    @property
    def decides(self) -> bool:
        """Whether others are taken before an account with this."""
        spent = self.remaining is not None and self.remaining <= 0
        return not self.soft and (spent or (self.used or 0.0) >= NEARLY_SPENT)


def kept_quotas(accounts: Iterable[Account], unix: float) -> dict[Spot, KeptQuota]:
    """What a restart should not forget."""
    found = [
        KeptQuota(account.name, key, scope, name, w.resets_at, w.used, w.remaining, w.limit, w.soft)
        for account in accounts
        if account.windows
        for key in (fingerprint(account),)
        for (scope, name), w in account.windows.items()
        if w.resets_at is not None and w.resets_at > unix + _WORTH_S
    ]
    return {each.spot: each for each in found}


def merged(
    found: Iterable[KeptQuota] | None, before: Mapping[Spot, KeptQuota], mine: Mapping[Spot, KeptQuota], unix: float
) -> list[KeptQuota]:
    """What is to be on the disk: `found` there (None: nothing that counts) with what changed with this process since
    `before`."""
    kept = {each.spot: each for each in found or () if each.resets_at > unix}
    for spot, quota in before.items():
        if spot not in mine and kept.get(spot) == quota:
            del kept[spot]
    for spot, quota in mine.items():
        if found is None or before.get(spot) != quota:
            kept[spot] = quota
    return list(kept.values())


def recalled(accounts: Sequence[Account], kept: Iterable[KeptQuota], now: float, unix: float) -> int:
    """Puts the windows back that are not over and whose account still has the same key; how many."""
    known = {(account.name, fingerprint(account)): account for account in accounts}
    count = 0
    for each in kept:
        account = known.get((each.account, each.key))
        if account is None or each.resets_at <= unix:
            continue
        scope: Literal["account", "model"] = "model" if each.scope else "account"
        window = Window(each.name, scope, each.used, each.remaining, each.limit, each.resets_at, each.soft)
        account.recall(each.scope, window, now, unix)
        count += 1
    return count
