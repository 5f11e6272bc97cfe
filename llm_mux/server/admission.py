"""Whether a request may go on: rate limits, budgets and balances, of its key, its user and of all together.

Rule: nothing here runs where nothing is limited. A request that is refused has used none of its limits. What is taken
before (requests, tokens by an estimate, money that it may cost) is settled in the books' entrance by what it did use,
and given back when the request ends without ever getting there.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import NamedTuple

from msgspec import Struct

from llm_mux import log
from llm_mux.auth.scopes import Scopes
from llm_mux.config.schema import Billing, Limits, RateLimits
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.ask import Ask, Caller
from llm_mux.gateway.core import Gateway
from llm_mux.ir import Usage
from llm_mux.ledger.balances import ZERO, Hold, Settlement, Shortage, budget_ends
from llm_mux.ledger.database import reason
from llm_mux.ledger.pricing import Prices
from llm_mux.ledger.rows import PICO, Exchange
from llm_mux.ledger.till import Till
from llm_mux.routing.limits import HOUR_S, Charge, Refused, Standing, charges
from llm_mux.routing.select import Candidate
from llm_mux.server.limiter import Limiter, LocalLimiter, Pass
from llm_mux.server.metrics import Metrics
from llm_mux.translators import estimate

GLOBAL = "global"
USUAL_OUTPUT = 1024
"""Tokens of an answer that are reserved when the client names no limit."""
MOST_RESERVED = 4096
"""Tokens of an answer that are reserved at most: clients name limits that no answer comes near."""
USUAL_COSTLY = 4096
"""Tokens of an answer that are paid for in advance when the client names no limit."""
_PATIENCE_S = 5.0
_EMBEDDING = frozenset({"embed", "batch_embed", "embeddings"})
_NOTHING: dict[str, str] = {}
_REMAINING = attrgetter("remaining")
_MOST_KNOWN = 1024
_ORDER = {"requests": 0, "tokens": 1, "concurrent": 2}


class Wanted(NamedTuple):
    """The limits of a caller, those that matter most to it first: its own before everybody's, requests before tokens
    before requests at once. The tightest of the `first` of them is what it is told of; `tokens`: whether some count
    those."""

    charges: list[Charge]
    first: int
    tokens: bool


class Size(Struct, frozen=True):
    """About how many tokens a request is; `most` is the limit that the client named for the answer."""

    prompt: int = 0
    answers: bool = False
    most: int | None = None

    @property
    def reserved(self) -> int:
        return self.prompt + (min(self.most or USUAL_OUTPUT, MOST_RESERVED) if self.answers else 0)

    @property
    def costly(self) -> Usage:
        """What it may cost at most, as far as anybody can say."""
        return Usage(input=self.prompt, output=(self.most or USUAL_COSTLY) if self.answers else 0)


_NO_SIZE = Size()


class Entry:
    """A request that was admitted. `settle` is for the books; `leave` ends it, however it went, unless it stays."""

    __slots__ = ("_hold", "_pass", "_settled", "_stays", "_till")

    def __init__(self, granted: Pass | None, hold: Hold | None, till: Till) -> None:
        self._pass = granted
        self._hold = hold
        self._till = till
        self._settled = self._stays = False

    def settle(self, row: Exchange) -> Settlement | None:
        """With what the exchange did use; what is paid for it."""
        if self._settled:
            return None
        self._settled = True
        if self._pass is not None:
            self._pass.settle(row.tokens)
        if self._hold is None:
            return None
        cost = ZERO if row.cost is None else Decimal(row.cost).scaleb(-PICO)
        names = row.names
        what = f"{_OPERATIONS.get(names.protocol, 'Request')} with {names.model_served or names.model_asked}"
        return Settlement(hold=self._hold, cost=cost, description=what, time=row.time)

    def stay(self) -> Callable[[], None]:
        self._stays = True
        return self._end

    def leave(self) -> None:
        """The answer is given; the end of what does not go on after it."""
        if not self._stays:
            self._end()

    def _end(self) -> None:
        if self._pass is not None:
            self._pass.leave()
        if self._settled:
            return
        self._settled = True
        if self._pass is not None:
            self._pass.settle(0)
        if self._hold is not None:
            self._till.release(self._hold, time.time())


_OPERATIONS = {
    "openai_chat": "Chat completion",
    "openai_completions": "Completion",
    "openai_responses": "Response",
    "anthropic": "Message",
    "gemini": "Content",
    "ollama": "Chat",
}


class Admission:
    """The rules of one configuration. `limiter` and `till` outlive it; `billing` says whether balances are kept,
    `limited` whether there are rate limits for everybody."""

    def __init__(
        self,
        limits: RateLimits,
        limiter: Limiter,
        till: Till,
        metrics: Metrics,
        prices: Prices,
        *,
        billing: Billing,
    ) -> None:
        self._limits = limits
        self._everybody = charges(GLOBAL, limits.global_)
        self.limiter = limiter
        self.till = till
        self._metrics = metrics
        self._prices = prices
        self.billing = billing.enabled
        self._refuses_unpriced = billing.when_price_unknown == "refuse"
        self._known: dict[tuple[str, str | None, Limits | None], Wanted] = {}
        self.limited = limits.enabled
        self._always = billing.enabled or limits.enabled

    def concerns(self, caller: Caller) -> bool:
        """Whether there is anything to ask at all."""
        return self._always or (caller.scopes is not None and caller.scopes.limited)

    def instant(self, caller: Caller) -> bool:
        """Whether `enter` waits for nothing: limits that are counted here, and nobody who pays."""
        scopes = caller.scopes
        paying = self.billing or (scopes is not None and scopes.budgeted)
        return not paying and isinstance(self.limiter, LocalLimiter)

    async def enter(self, gateway: Gateway, ask: Ask, headers: dict[str, str]) -> Entry:
        """Takes what a request needs; `headers` are given where its limits stand, also when it is refused.

        Raises MuxError LIMITED or BALANCE, or NO_TARGET when what is needed to decide does not answer.
        """
        (wanted, first, tokens), scopes = self._wanted(ask.caller), ask.caller.scopes
        paying = self.billing or (scopes is not None and scopes.budgeted)
        size = _size(ask) if paying or tokens else _NO_SIZE
        granted: Pass | None = None
        if wanted:
            answer = await self.limiter.admit(wanted, size.reserved)
            if isinstance(answer, Refused):
                headers.update(_refusing(await self.limiter.standings(wanted), answer))
                self._metrics.rate_limited(_counted(answer.charge))
                raise _too_fast(answer, size.reserved)
            granted = answer
            headers.update(_shown(granted.standings(first)))
        if not paying:
            return Entry(granted, None, self.till)
        try:
            hold = await self._held(gateway, ask, size)
        except BaseException:
            if granted is not None:
                granted.undo()
                headers.update(_shown(await self.limiter.standings(wanted[:first])))
            raise
        return Entry(granted, hold, self.till)

    async def headers(self, caller: Caller) -> dict[str, str]:
        """Where a caller's limits stand, for answers that use none of them."""
        wanted, first, _ = self._wanted(caller)
        standings = await self.limiter.standings(wanted[:first]) if wanted else ()
        return _shown(standings) if standings else _NOTHING

    def _wanted(self, caller: Caller) -> Wanted:
        scopes = caller.scopes
        who = caller.subject, caller.key_id, None if scopes is None else scopes.limits
        found = self._known.get(who)
        if found is None:
            own = charges(caller.subject, self._limits)
            if scopes is not None:
                # A key's own limits are counted apart from those that it shares with its user's other keys.
                own += charges(f"scopes:{caller.key_id}", scopes.limits)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = self._known[who] = _ordered([*own, *self._everybody])
        return found

    async def _held(self, gateway: Gateway, ask: Ask, size: Size) -> Hold:
        scopes = ask.caller.scopes or Scopes()
        hold = Hold(
            id=self.till.new_id(),
            amount=await self._most_cost(gateway, ask, size),
            user=ask.caller.user_id if self.billing else None,
            client_key=ask.caller.key_id if scopes.budgeted else None,
            daily_budget=scopes.daily_budget,
            monthly_budget=scopes.monthly_budget,
        )
        try:
            async with asyncio.timeout(_PATIENCE_S):
                short = await self.till.hold(hold, ask.time)
        except Exception as error:
            log.logger.warning("billing.unavailable", error=reason(error))
            message = "Balances cannot be read now: the database does not answer. Try again in a moment."
            raise MuxError(Kind.NO_TARGET, message, retry_after=1.0, code="billing_unavailable") from None
        if short is not None:
            if short.budget is not None:
                self._metrics.rate_limited("budget_limit")
            raise _too_dear(short, hold, ask.time)
        return hold

    async def _most_cost(self, gateway: Gateway, ask: Ask, size: Size) -> Decimal:
        """What the dearest target of a request may cost, those of fallbacks included; 0 where no price is known. Raises
        MuxError FORBIDDEN for a target without a price where that is refused."""
        prices, most = self._prices, 0
        for each in await _targets(gateway, ask):
            provider = each.account.provider
            known = prices.known(provider.name, provider.vendor or provider.name, each.route.model)
            cost = None if known is None else prices.cost(known, size.costly, ask.time)
            if cost is None and self._refuses_unpriced and size.answers:
                raise _unpriced(provider.name, each.route.model)
            most = max(most, cost or 0)
        return Decimal(most).scaleb(-PICO)


async def _targets(gateway: Gateway, ask: Ask) -> list[Candidate]:
    """Whoever may come to be asked. A name that leads nowhere is the exchange's to tell."""
    try:
        found = list((await gateway.reach(ask.model, ask.caller.scopes)).candidates)
    except MuxError:
        return []
    for name in gateway.chain(ask.model)[1:]:
        with contextlib.suppress(MuxError):
            found += (await gateway.reach(name, ask.caller.scopes)).candidates
    return found


def _size(ask: Ask) -> Size:
    """How large a request is, by its canonical form; one that cannot be read is refused by the exchange."""
    operation, protocol = ask.hints.operation, ask.protocol
    if operation == "count":
        return Size()
    try:
        if operation in _EMBEDDING and protocol.embedder is not None:
            texts = ask.read(protocol.embedder.decode_request).inputs
            return Size(estimate.output(sum(map(len, texts))))
        request = ask.decoded()
    except MuxError:
        return Size(estimate.output(len(ask.body)))
    answers = request.sampling.n or 1
    most = None if request.max_tokens is None else request.max_tokens * answers
    return Size(estimate.prompt(request), True, most)


def _counted(charge: Charge) -> str:
    """The name under which the metrics count a refusal."""
    if charge.subject == GLOBAL:
        return "global_limit"
    return {"requests": "user_limit", "tokens": "token_limit", "concurrent": "concurrent_limit"}[charge.kind]


def _ordered(found: list[Charge]) -> Wanted:
    def rank(charge: Charge) -> tuple[bool, int]:
        return charge.subject == GLOBAL, _ORDER[charge.kind]

    ordered = sorted(found, key=rank)
    first = sum(rank(charge) == rank(ordered[0]) for charge in ordered)
    return Wanted(ordered, first, any(charge.kind == "tokens" for charge in ordered))


def _shown(standings: Sequence[Standing]) -> dict[str, str]:
    """The headers of the tightest of the limits that matter most."""
    shown = standings[0] if len(standings) == 1 else min(standings, key=_REMAINING)
    return _headers(shown, shown.reset_s)


def _refusing(standings: Sequence[Standing], refused: Refused) -> dict[str, str]:
    """The headers of the limit that refuses."""
    shown = next(standing for standing in standings if standing.charge == refused.charge)
    return _headers(shown, refused.retry_s)


def _headers(shown: Standing, reset_s: float) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(shown.charge.limit),
        "X-RateLimit-Remaining": str(shown.remaining),
        "X-RateLimit-Reset": str(math.ceil(time.time() + reset_s)),
    }


def _too_fast(refused: Refused, tokens: int) -> MuxError:
    charge = refused.charge
    whose = "of all clients together" if charge.subject == GLOBAL else "of this API key or its user"
    per = {0.0: "at the same time", HOUR_S: "per hour"}.get(charge.period_s, "per minute")
    what = "requests" if charge.kind == "concurrent" else charge.kind
    limit = f"{charge.limit} {what} {per} {whose}"
    seconds = max(1, math.ceil(refused.retry_s))
    if not refused.fits:
        message = f"This request is about {tokens} tokens, more than the limit of {limit}; make it smaller."
        return MuxError(Kind.LIMITED, message, retry_after=float(seconds), code="rate_limit_exceeded")
    message = f"Rate limit exceeded: {limit}. Try again in {seconds} seconds."
    return MuxError(Kind.LIMITED, message, retry_after=float(seconds), code="rate_limit_exceeded")


def _unpriced(provider: str, model: str) -> MuxError:
    message = (
        f"Nobody knows what `{model}` of {provider} costs, and this request is paid for. Give its price under "
        "`prices`, or set `billing.when-price-unknown: allow`."
    )
    return MuxError(Kind.FORBIDDEN, message, code="price_unknown")


def _too_dear(short: Shortage, hold: Hold, now: float) -> MuxError:
    left = f"{max(short.left, ZERO).normalize():f} USD"
    may = f"This request may cost up to {hold.amount.normalize():f} USD"
    if short.budget is not None:
        said = f"The budget of this API key for the {short.budget} is used up"
        message = f"{said}." if short.left <= 0 else f"{may}; the key's budget for the {short.budget} has {left} left."
        wait = max(1.0, budget_ends(short.budget, now) - now)
        return MuxError(Kind.LIMITED, message, retry_after=wait, code="budget_exceeded")
    message = f"The balance of {hold.user} is used up." if short.left <= 0 else f"{may}; {left} are left."
    hint = " Lower the limit on output tokens, or add credit." if short.left > 0 else " Add credit to go on."
    return MuxError(Kind.BALANCE, message + hint, code="insufficient_balance")
