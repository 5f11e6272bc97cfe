"""Which account is asked, and in which order the others follow. Pure: time, chance and the conversation are parameters.

Sticky by rendezvous hash, among many accounts by a ring (`ring`): a conversation stays with one account while it can
(the provider's prompt cache keeps hitting), and losing or adding an account moves only the conversations that it
served. It yields softly: to a rest, a full account, a quota that is nearly spent, a context that is too small.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Literal

import msgspec
from msgspec import Struct

from llm_mux.errors import Kind, MuxError
from llm_mux.routing.accounts import Account
from llm_mux.routing.catalog import Route
from llm_mux.routing.ring import Ring, ring_of
from llm_mux.routing.standing import Hosts, host_of

Price = Callable[[str, str], float | None]
"""What a model of a provider costs (any measure that compares), None when nobody knows."""
Context = Callable[[str, str], int | None]
"""The context window of a model of a provider in tokens, None when nobody knows."""
_GOLDEN = (math.sqrt(5) - 1) / 2
_STALE_S = 300.0
_BYTES_PER_TOKEN = 4
_MOST_KNOWN = 512
_MANY = 16
"""So many targets are put in order by a ring, which is not as even as a draw and does not look at each of them."""
FEW = 8
SOON_S = 1.0
_SURELY_FITS = 4096 * _BYTES_PER_TOKEN
"""Bytes of a request that every model takes."""


class Candidate(Struct, frozen=True):
    """One target: an account and the route that led to it; `place` is the route's in the list."""

    account: Account
    route: Route
    place: int = 0


class Choice(Struct, frozen=True):
    """How to choose: the strategy's name, and what it needs to know of models."""

    strategy: str = "sticky"
    price: Price = lambda provider, model: None
    context: Context = lambda provider, model: None


class Moment(Struct, frozen=True):
    """One request at one time: `now` in monotonic seconds, its conversation, its turn, its size in bytes, the hosts
    that something is known against. `places`: of many accounts, in which order the conversation asks them."""

    now: float
    conversation: str = ""
    turn: int = 0
    size: int = 0
    hosts: Hosts = {}
    places: Mapping[str, int] = {}


class Judged(Struct, frozen=True):
    """A candidate as it stands: why it is passed over and for how many seconds, or what holds it back a little."""

    candidate: Candidate
    passed: Literal["resting", "full", "unreachable"] | None = None
    wait: float = 0.0
    reason: Kind | None = None
    handicap: Literal["", "quota nearly spent", "context too small"] = ""
    score: float = 0.0


class Favourites(dict[bytes, Sequence[Candidate]]):
    """By conversation, for one set of candidates; of many, their `tiers` instead."""

    tiers: Sequence[tuple[Ring, Sequence[Candidate]]] = ()


STICKY = Choice()
_KEEP_ROUTES = frozenset({"sticky", "fill-first"})
_TIED = frozenset({"least-busy", "fastest", "cheapest"})
"""Strategies whose scores are often the same."""


def paired(routes: Sequence[Route], accounts: Sequence[Account]) -> tuple[Candidate, ...]:
    """Every target that the routes lead to, in their order and that of the accounts."""
    return tuple(
        Candidate(account, route, place)
        for place, route in enumerate(routes)
        for account in accounts
        if account.provider.name == route.provider and route.account in (None, account.label)
    )


def order(
    routes: Sequence[Route],
    candidates: Sequence[Candidate],
    moment: Moment,
    choice: Choice = STICKY,
    known: Favourites | None = None,
    *,
    few: bool = False,
) -> list[Candidate]:
    """The `candidates` of the routes that may be asked now, best first. Raises MuxError when none may, saying when.
    `known` remembers what was worked out for these candidates before. `few`: of many, the first are enough.

    Higher priority goes first, what is held back last; sticky and fill-first keep the routes' order (the
    configuration's), the others compare all accounts.
    """
    known = Favourites() if known is None else known
    if choice.strategy == "sticky" and not moment.hosts:
        # Nobody is held back a little: the same order as below, for less.
        if len(candidates) <= _MANY:
            if ready := _plainly_ready(_favourites(candidates, moment.conversation, known), moment, choice):
                return ready
        elif few and (ready := _first_ready(candidates, moment, choice, known)):
            return ready
    moment = placed(candidates, moment)
    judged = [judge(candidate, moment, choice) for candidate in candidates]
    able = [each for each in judged if each.passed is None]
    if able:
        return [each.candidate for each in ranked(able, moment, choice)]
    lacking = [
        each.candidate for each in judged if each.candidate.account.lacks(each.candidate.route.model, moment.now)
    ]
    if lacking:
        # Those that said "no such model" are better asked again than waited for: their own words reach the client.
        return lacking
    raise none_ready(routes, judged)


def _favourites(candidates: Sequence[Candidate], conversation: str, known: Favourites) -> Sequence[Candidate]:
    """The order in which a conversation asks them when all are well."""
    said = _digest(conversation)
    found = known.get(said)
    if found is None:
        if len(known) >= _MOST_KNOWN:
            known.clear()
        found = sorted(candidates, key=lambda each: (-each.account.priority, each.place, -_score(each.account, said)))
        known[said] = found
    return found


def _plainly_ready(candidates: Sequence[Candidate], moment: Moment, choice: Choice) -> list[Candidate]:
    """Those that may be asked, in their order; none as soon as one is held back a little, so that there are tiers."""
    found: list[Candidate] = []
    measured = -1 if moment.size >= _SURELY_FITS else None
    for each in candidates:
        account = each.account
        if account.low:
            return []
        if account.breakers and account.ready_at(each.route.model, moment.now):
            continue
        if account.most is not None and account.full:
            continue
        if measured is not None and measured != each.place:
            # The accounts of one route have the same model.
            measured = each.place
            if _too_small(each, moment, choice):
                return []
        found.append(each)
    return found


def _first_ready(candidates: Sequence[Candidate], moment: Moment, choice: Choice, known: Favourites) -> list[Candidate]:
    """The first of many that may be asked and are not held back; none where there are fewer than `FEW`."""
    if not known.tiers:
        tiers: dict[tuple[int, int], list[Candidate]] = {}
        for each in candidates:
            tiers.setdefault((-each.account.priority, each.place), []).append(each)
        known.tiers = [(_ring(tier), tier) for _, tier in sorted(tiers.items(), key=lambda item: item[0])]
    said, found = _digest(moment.conversation), list[Candidate]()
    for ring, tier in known.tiers:
        for number in ring.walk(said):
            judged = judge(tier[number], moment, choice)
            if judged.passed is None and not judged.handicap:
                found.append(tier[number])
                if len(found) == FEW:
                    return found
    return []


def _ring(candidates: Sequence[Candidate]) -> Ring:
    return ring_of(tuple((each.account.name, each.account.weight) for each in candidates))


def placed(candidates: Sequence[Candidate], moment: Moment) -> Moment:
    """The moment, with the order in which its conversation asks all of these where they are many."""
    if len(candidates) <= _MANY:
        return moment
    accounts = {each.account.name: each for each in candidates}
    names = list(accounts)
    walk = _ring(list(accounts.values())).walk(_digest(moment.conversation))
    return msgspec.structs.replace(moment, places={names[number]: place for place, number in enumerate(walk)})


def _too_small(candidate: Candidate, moment: Moment, choice: Choice) -> bool:
    context = choice.context(candidate.account.provider.name, candidate.route.model)
    return context is not None and moment.size > context * _BYTES_PER_TOKEN


def judge(candidate: Candidate, moment: Moment, choice: Choice) -> Judged:
    """How a candidate stands at the moment, without its score."""
    account, model, now = candidate.account, candidate.route.model, moment.now
    if ready := account.ready_at(model, now):
        return Judged(candidate, "resting", ready - now, account.reason(model, now))
    if moment.hosts and (host := moment.hosts.get(host_of(account))) is not None and (ready := host.ready_at(now)):
        return Judged(candidate, "unreachable", ready - now, host.reason)
    if account.full:
        return Judged(candidate, "full", SOON_S)
    if moment.size > _BYTES_PER_TOKEN and _too_small(candidate, moment, choice):
        return Judged(candidate, handicap="context too small")
    if account.nearly_spent(model, now):
        return Judged(candidate, handicap="quota nearly spent")
    return Judged(candidate)


_HANDICAPS = ("", "quota nearly spent", "context too small")


def ranked(able: Sequence[Judged], moment: Moment, choice: Choice) -> list[Judged]:
    """Candidates that may be asked, best first, with the strategy's scores."""
    if len(able) == 1:
        return list(able)
    keeps = choice.strategy in _KEEP_ROUTES
    tiers: dict[tuple[int, int, int], list[Judged]] = {}
    for each in able:
        candidate = each.candidate
        place = candidate.place if keeps else 0
        tier = _HANDICAPS.index(each.handicap), -candidate.account.priority, place
        tiers.setdefault(tier, []).append(each)
    found: list[Judged] = []
    for _, tier_ in sorted(tiers.items(), key=lambda item: item[0]):
        found.extend(_scored(tier_, moment, choice))
    return found


def _scored(tier: list[Judged], moment: Moment, choice: Choice) -> list[Judged]:
    """Equals among each other, by the strategy; ties by the rendezvous score, so that they keep conversations too."""
    scores = _STRATEGIES[choice.strategy]([each.candidate for each in tier], moment, choice)
    if choice.strategy not in _TIED:
        best = sorted(zip(scores, tier, strict=True), key=lambda pair: -pair[0])
        return [_with_score(each, points) for points, each in best]
    ties = _sticky([each.candidate for each in tier], moment, choice)
    ordered = sorted(zip(scores, ties, tier, strict=True), key=lambda row: (-row[0], -row[1]))
    return [_with_score(each, points) for points, _, each in ordered]


def _with_score(each: Judged, points: float) -> Judged:
    return Judged(each.candidate, each.passed, each.wait, each.reason, each.handicap, points)


def score(account: Account, conversation: str) -> float:
    """The rendezvous score of an account for a conversation, weighted."""
    return _score(account, _digest(conversation))


def _digest(conversation: str) -> bytes:
    return hashlib.blake2b(conversation.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _score(account: Account, conversation: bytes) -> float:
    return account.weight * _drawn(conversation, account.name) if account.weight > 0 else 0.0


def _drawn(conversation: bytes, name: str) -> float:
    # A checksum will not do here: those of names of the same length differ by a constant, so shares come out uneven.
    drawn = hashlib.blake2b(conversation + name.encode("utf-8", "surrogatepass"), digest_size=6)
    return -1 / math.log((int.from_bytes(drawn.digest()) + 1) / (2**48 + 1))


def _remedy(account: Account) -> str:
    """What brings an account back whose key or login was refused."""
    if account.session is not None and account.session.problem:
        return account.session.problem
    return f"The provider refused the key of {account.name}. Replace it: `llm-mux login {account.provider.name}`."


Scores = Callable[[Sequence[Candidate], Moment, Choice], list[float]]


def _sticky(tier: Sequence[Candidate], moment: Moment, choice: Choice) -> list[float]:
    if moment.places:
        return [-float(moment.places[each.account.name]) for each in tier]
    said = _digest(moment.conversation)
    return [_score(each.account, said) for each in tier]


def _fill_first(tier: Sequence[Candidate], moment: Moment, choice: Choice) -> list[float]:
    return [-float(number) for number in range(len(tier))]


def _round_robin(tier: Sequence[Candidate], moment: Moment, choice: Choice) -> list[float]:
    return [-float((number - moment.turn) % len(tier)) for number in range(len(tier))]


def _weighted(tier: Sequence[Candidate], moment: Moment, choice: Choice) -> list[float]:
    """The accounts lie on a ring, each as long as its weight; steps of the golden section visit them evenly."""
    ends = list(accumulate(each.account.weight for each in tier))
    whole = ends[-1]
    if whole <= 0:
        return _fill_first(tier, moment, choice)
    point = (moment.turn * _GOLDEN) % 1.0 * whole
    gaps = [(end - point) % whole if each.account.weight > 0 else whole for each, end in zip(tier, ends, strict=True)]
    return [-gap for gap in gaps]


def _least_busy(tier: Sequence[Candidate], moment: Moment, choice: Choice) -> list[float]:
    return [-each.account.inflight / max(each.account.weight, 1e-9) for each in tier]


def _fastest(tier: Sequence[Candidate], moment: Moment, choice: Choice) -> list[float]:
    """One that was not measured, or long ago, is tried first: it may have become the fastest."""
    found = []
    for each in tier:
        speed = each.account.speeds.get(each.route.model)
        found.append(0.0 if speed is None or moment.now - speed.at > _STALE_S else -speed.seconds)
    return found


def _cheapest(tier: Sequence[Candidate], moment: Moment, choice: Choice) -> list[float]:
    prices = [choice.price(each.account.provider.name, each.route.model) for each in tier]
    return [-math.inf if price is None else -price for price in prices]


_STRATEGIES: Mapping[str, Scores] = {
    "sticky": _sticky,
    "round-robin": _round_robin,
    "weighted": _weighted,
    "fill-first": _fill_first,
    "least-busy": _least_busy,
    "fastest": _fastest,
    "cheapest": _cheapest,
}
STRATEGIES = tuple(_STRATEGIES)


def busy(model: str) -> MuxError:
    """What the client is told when there is no room at any account."""
    message = f"Every account that has `{model}` is busy with as many exchanges as it may have at once."
    return MuxError(Kind.RATE_LIMIT, message, retry_after=SOON_S, code="rate_limit_exceeded")


def none_ready(routes: Sequence[Route], judged: Sequence[Judged]) -> MuxError:
    """What the client is told when no account may be asked."""
    wanted = routes[0]
    if not judged:
        who = f"{wanted.provider}/{wanted.account}" if wanted.account else wanted.provider
        message = f"No account for `{wanted.model}` at {who}. Run `llm-mux login {wanted.provider}`."
        return MuxError(Kind.NO_TARGET, message)
    if all(each.candidate.account.refused for each in judged):
        return MuxError(Kind.LOGIN_NEEDED, " ".join(dict.fromkeys(_remedy(each.candidate.account) for each in judged)))
    soonest = min(judged, key=lambda each: each.wait)
    wait = max(1.0, soonest.wait)
    back = f"the first is back in {math.ceil(wait)} s."
    if soonest.passed == "full":
        return busy(wanted.model)
    if soonest.reason in (Kind.RATE_LIMIT, Kind.QUOTA):
        message = f"Every account that has `{wanted.model}` is resting after a refusal; {back}"
    else:
        message = f"Every account that has `{wanted.model}` is resting after failures; {back}"
        return MuxError(Kind.OVERLOADED, message, retry_after=wait, code="accounts_resting")
    return MuxError(Kind.RATE_LIMIT, message, retry_after=wait, code="rate_limit_exceeded")
