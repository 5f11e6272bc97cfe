"""The rests of accounts and hosts as they are shown, and as they are kept over a restart. Pure: both clocks are
parameters.

Rule: what is kept says which account by name and by a fingerprint of its key, never the key. Several processes may keep
theirs in one place (a daemon and its successor do): each adds and takes away only what changed with itself (`merged`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from llm_mux.errors import Kind
from llm_mux.routing.accounts import Account
from llm_mux.routing.breaker import Breaker, State
from llm_mux.routing.standing import Host, Hosts, host_of


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


class Kept(Struct, frozen=True, omit_defaults=True):
    """A rest on disk; `until` in unix seconds. Of a `host`, `account` is the provider and `key` stands for its address
    and proxy."""

    account: str
    key: str
    scope: str
    until: float
    reason: str
    rests: int
    host: bool = False

    @property
    def place(self) -> Place:
        return Place(self.account, self.key, self.scope, self.host)


class Place(NamedTuple):
    """What rests."""

    account: str
    key: str
    scope: str
    host: bool


class Held(NamedTuple):
    """A rest that goes on, in this process's own time (monotonic seconds)."""

    until: float
    reason: Kind
    rests: int


class Written(NamedTuple):
    """A rest as this process knew it when it last wrote or read it, and the words on the disk for that."""

    held: Held
    kept: Kept


def held(accounts: Sequence[Account], hosts: Hosts, now: float) -> dict[Place, Held]:
    """What a restart should not forget: rests that go on. Logins that are missing are known elsewhere."""
    return {
        place: Held(breaker.until or now, why, breaker.rests)
        for place, breaker in _breakers(accounts, hosts)
        if breaker.state(now) is State.OPEN and (why := breaker.reason) not in (None, Kind.LOGIN_NEEDED)
    }


def _breakers(accounts: Sequence[Account], hosts: Hosts) -> Iterator[tuple[Place, Breaker]]:
    for account in accounts:
        for scope, breaker in account.breakers.items():
            yield Place(account.name, fingerprint(account), scope, host=False), breaker
    for place, host in _hosts(accounts).items():
        if (known := hosts.get(host)) is not None:
            yield place, known


def _hosts(accounts: Iterable[Account]) -> dict[Place, Host]:
    """The hosts of the accounts; the same name at another address or through another proxy is another one."""
    found = {}
    for account in accounts:
        where = _digest(f"{account.provider.base_url} {account.proxy_url or ''}")
        found[Place(account.provider.name, where, "", host=True)] = host_of(account)
    return found


def merged(
    found: Iterable[Kept] | None,
    before: Mapping[Place, Written],
    mine: Mapping[Place, Held],
    now: float,
    unix: float,
) -> dict[Place, Kept]:
    """What is to be on the disk: `found` there (None: nothing that counts) with what changed with this process since
    `before`. Where somebody else changed the same rest, the longer one counts."""
    kept = {each.place: each for each in found or () if each.until > unix}
    for place, known in before.items():
        if place not in mine and kept.get(place) == known.kept:
            del kept[place]
    for place, rest in mine.items():
        known_ = before.get(place)
        if found is not None and known_ is not None and known_.held == rest:
            continue
        own = kept_of(place, rest, now, unix)
        there = kept.get(place)
        theirs = there is not None and (known_ is None or there != known_.kept)
        if not theirs or there is None or there.until < own.until:
            kept[place] = own
    return kept


def kept_of(place: Place, rest: Held, now: float, unix: float) -> Kept:
    """A rest for others: `now` is monotonic seconds, `unix` the same moment."""
    own = Kept(place.account, place.key, place.scope, unix + rest.until - now, rest.reason.value, rest.rests)
    return replace(own, host=True) if place.host else own


def recalled(
    accounts: Sequence[Account], hosts: dict[Host, Breaker], rests: Iterable[Kept], now: float, unix: float
) -> dict[Place, Written]:
    """Puts the rests back that are not over and whose account still has the same key, or whose host is still the same;
    which they were."""
    by_name = {account.name: account for account in accounts}
    known_hosts = _hosts(accounts)
    back: dict[Place, Written] = {}
    for each, reason in _readable(rests):
        left = each.until - unix
        if not 0 < left < math.inf:
            continue
        breaker = Breaker()
        breaker.rest(now, left, reason)
        breaker.rests = max(1, each.rests)
        if each.host:
            if (host := known_hosts.get(each.place)) is None:
                continue
            hosts[host] = breaker
        else:
            account = by_name.get(each.account)
            if account is None or each.key != fingerprint(account):
                continue
            account.breakers[each.scope] = breaker
        back[each.place] = Written(Held(now + left, reason, breaker.rests), each)
    return back


def resumed(
    accounts: Sequence[Account], hosts: dict[Host, Breaker], rests: Iterable[Kept], now: float, unix: float
) -> list[Kept]:
    """Takes over the rests that another process has found; those that were taken. A longer one here stays."""
    breakers = _at(accounts, hosts)
    taken = []
    for each, reason in _readable(rests):
        left = each.until - unix
        found = breakers(each.place)
        if found is None or not 0 < left < math.inf:
            continue
        there, scope = found
        breaker = there.setdefault(scope, Breaker())
        breaker.rest(now, left, reason)
        breaker.rests = max(breaker.rests, each.rests)
        taken.append(each)
    return taken


def ended(accounts: Sequence[Account], hosts: dict[Host, Breaker], places: Iterable[Place], now: float) -> int:
    """Ends the rests that another process has seen end; how many."""
    breakers, count = _at(accounts, hosts), 0
    for place in places:
        if (found := breakers(place)) is None:
            continue
        there, scope = found
        breaker = there.get(scope)
        if breaker is not None and breaker.state(now) is State.OPEN and breaker.reason is not Kind.LOGIN_NEEDED:
            del there[scope]
            count += 1
    return count


def _at(
    accounts: Sequence[Account], hosts: dict[Host, Breaker]
) -> Callable[[Place], tuple[dict[Any, Breaker], Host | str] | None]:
    """Finds the breakers among which that of a place is, and its name there; None where there is no such account, or
    it has another key by now."""
    by_name, known_hosts = {account.name: account for account in accounts}, _hosts(accounts)

    def found(place: Place) -> tuple[dict[Any, Breaker], Host | str] | None:
        if place.host:
            host = known_hosts.get(place)
            return None if host is None else (hosts, host)
        account = by_name.get(place.account)
        if account is None or place.key != fingerprint(account):
            return None
        return account.breakers, place.scope

    return found


def _readable(rests: Iterable[Kept]) -> Iterator[tuple[Kept, Kind]]:
    words = {kind.value: kind for kind in Kind}
    return ((each, words[each.reason]) for each in rests if each.reason in words)


def fingerprint(account: Account) -> str:
    """Tells whether a key is still the same one. A login's token changes, and its rests go on with it."""
    return _digest("" if account.session is not None else account.key)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4, person=b"llm-mux rest").hexdigest()
