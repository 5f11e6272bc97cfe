"""The rests of accounts as they are shown, and as they are kept over a restart. Pure: both clocks are parameters.

Rule: what is kept says which account by name and by a fingerprint of its key, never the key.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from llm_mux.errors import Kind
from llm_mux.routing.accounts import Account
from llm_mux.routing.breaker import Breaker, State
from llm_mux.routing.standing import Hosts


class Rest(Struct, frozen=True):
    """One breaker that is not closed. `account` is `provider/label`, or a provider alone for all of its accounts;
    `model` None: all models. `seconds_left` until it ends, `next_try_s` until one request may try all the same.
    """

    account: str
    model: str | None
    state: str
    reason: str | None
    seconds_left: float | None
    next_try_s: float | None
    in_a_row: int


def listed(accounts: Iterable[Account], hosts: Hosts, now: float) -> list[Rest]:
    """Every rest of the accounts and their hosts."""
    found = [
        _rest(account.name, scope or None, breaker, now)
        for account in accounts
        for scope, breaker in account.breakers.items()
        if breaker.until is not None
    ]
    found.extend(_rest(host[0], None, breaker, now) for host, breaker in hosts.items() if breaker.until is not None)
    return found


def _rest(account: str, model: str | None, breaker: Breaker, now: float) -> Rest:
    until = breaker.until or 0.0
    ready = breaker.ready_at(now)
    return Rest(
        account=account,
        model=model,
        state=breaker.state(now).value,
        reason=None if breaker.reason is None else breaker.reason.value,
        seconds_left=None if math.isinf(until) else round(max(0.0, until - now), 1),
        next_try_s=None if math.isinf(ready) else round(max(0.0, ready - now), 1),
        in_a_row=breaker.rests,
    )


class Kept(Struct, frozen=True):
    """A rest on disk; `until` in unix seconds."""

    account: str
    key: str
    scope: str
    until: float
    reason: str
    rests: int


def kept(accounts: Iterable[Account], now: float, unix: float) -> list[Kept]:
    """What a restart should not forget: rests that go on. Logins that are missing are known elsewhere."""
    return [
        Kept(account.name, fingerprint(account), scope, unix + (breaker.until or now) - now, why.value, breaker.rests)
        for account in accounts
        for scope, breaker in account.breakers.items()
        if breaker.state(now) is State.OPEN and (why := breaker.reason) not in (None, Kind.LOGIN_NEEDED)
    ]


def recalled(accounts: Sequence[Account], rests: Iterable[Kept], now: float, unix: float) -> int:
    """Puts the rests back that are not over and whose account still has the same key; how many."""
    by_name = {account.name: account for account in accounts}
    count = 0
    for each, reason in _readable(rests):
        account = by_name.get(each.account)
        left = each.until - unix
        if account is None or each.key != fingerprint(account) or not 0 < left < math.inf:
            continue
        breaker = Breaker()
        breaker.rest(now, left, reason)
        breaker.rests = max(1, each.rests)
        account.breakers[each.scope] = breaker
        count += 1
    return count


def _readable(rests: Iterable[Kept]) -> Iterator[tuple[Kept, Kind]]:
    words = {kind.value: kind for kind in Kind}
    return ((each, words[each.reason]) for each in rests if each.reason in words)


def fingerprint(account: Account) -> str:
    """Tells whether a key is still the same one. A login's token changes, and its rests go on with it."""
    secret = "" if account.session is not None else account.key
    return hashlib.blake2b(secret.encode(), digest_size=4, person=b"llm-mux rest").hexdigest()
