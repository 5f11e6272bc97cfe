"""What all exchanges share: accounts, catalogue, model lists, the HTTP client, the stores, and the books' entrance."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from llm_mux.auth.scopes import Scopes
from llm_mux.errors import MuxError
from llm_mux.gateway.ask import Ask
from llm_mux.gateway.credentials import Credentials
from llm_mux.gateway.downloads import Downloads
from llm_mux.gateway.drain import Drain
from llm_mux.gateway.models import ModelLists
from llm_mux.gateway.seals import Seals
from llm_mux.gateway.tuning import Tuning, tuning_of
from llm_mux.gateway.upstream import Timeouts, Upstream
from llm_mux.gateway.waiting import Waiting
from llm_mux.routing.accounts import FAULTS, Account
from llm_mux.routing.catalog import Catalog, Offer, Route, fallbacks_of
from llm_mux.routing.explain import Reached, Target, explained
from llm_mux.routing.reach import reached
from llm_mux.routing.select import Candidate, Choice, Context, Favourites, Moment, Price, judge, order, paired
from llm_mux.routing.standing import UNREACHED, Standing
from llm_mux.translators.base import ModelInfo

if TYPE_CHECKING:
    from llm_mux.gateway.outcome import Outcome

_MOST_ROUTES = 4096


class Settings(Struct, frozen=True):
    """The knobs of the gateway. `patience_s`: how long a stream may be silent before the client gets its head and
    keep-alives; `keepalive_s`: the longest silence after that. `request_retry`: further rounds over the targets;
    `max_retry_interval`: the longest wait in one exchange for a target to recover; `hedge_after`: seconds after which
    a second target is asked beside a silent one."""

    strict: bool = False
    patience_s: float = 10.0
    keepalive_s: float = 10.0
    timeouts: Timeouts = field(default_factory=Timeouts)
    aliases: dict[str, str] = field(default_factory=dict)
    default_provider: str | None = None
    fallbacks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    request_retry: int = 3
    max_retry_interval: float = 30.0
    hedge_after: float | None = None
    strategy: str = "sticky"
    tunings: tuple[Tuning, ...] = ()


class Reach(NamedTuple):
    """Where a name leads: its routes and every target of theirs, and what `order` remembers of them."""

    routes: tuple[Route, ...]
    candidates: tuple[Candidate, ...]
    known: Favourites


class Outlook(NamedTuple):
    """`ready_in`: seconds until a target may be asked; 0: now; None: waiting does not help. `rooms` are accounts that
    have as many exchanges as they may."""

    ready_in: float | None
    rooms: tuple[Account, ...]


Settle = Callable[[Ask, "Outcome"], None]


class Gateway:
    """What the exchanges of one configuration share. `offers` are its providers, `accounts` theirs in order; `price`
    and `context` say what is known of models beside the providers' own lists."""

    def __init__(
        self,
        *,
        settings: Settings,
        offers: Sequence[Offer],
        accounts: Sequence[Account],
        upstream: Upstream,
        credentials: Credentials,
        lists: ModelLists,
        seals: Seals,
        drain: Drain,
        downloads: Downloads,
        standing: Standing,
        waiting: Waiting,
        settle: Settle,
        price: Price = lambda provider, model: None,
        context: Context = lambda provider, model: None,
    ) -> None:
        self.settings = settings
        self.accounts = list(accounts)
        self.upstream = upstream
        self.credentials = credentials
        self.lists = lists
        self.seals = seals
        self.drain = drain
        self.downloads = downloads
        self.standing = standing
        self.waiting = waiting
        self.settle = settle
        self.choice = Choice(settings.strategy, price, self._context)
        self._known_context = context
        self._offers = list(offers)
        self._catalog: Catalog | None = None
        self._made_of = -1
        self._reaches: dict[str, Reach] = {}
        self._narrowed: dict[tuple[str, Scopes], Reach] = {}

    @property
    def catalog(self) -> Catalog:
        """The catalogue with every model list known by now."""
        if self._catalog is None or self._made_of != self.lists.version:
            self._made_of = self.lists.version
            self._reaches.clear()
            self._narrowed.clear()
            self._catalog = Catalog(
                offers=tuple(offer for offer in map(self.lists.completed, self._offers) if offer.there),
                aliases=self.settings.aliases,
                default_provider=self.settings.default_provider,
            )
        return self._catalog

    async def candidates(self, ask: Ask) -> list[Candidate]:
        """The targets for a request, best first. Asks the providers for their lists only for a name nobody knows."""
        return await self.targets(ask.model, ask)

    def lone(self, name: str, ask: Ask) -> list[Candidate] | None:
        """The target of `name` where there is one and nothing is known against it: what `targets` gives, for less."""
        scopes, reach = ask.caller.scopes, self._reaches.get(name)
        if reach is None or self._made_of != self.lists.version or (scopes is not None and scopes.narrow):
            return None
        if len(reach.candidates) != 1:
            return None
        account = reach.candidates[0].account
        free = not account.breakers and account.most is None and not self.standing.hosts
        return [reach.candidates[0]] if free else None

    async def targets(self, name: str, ask: Ask, *, few: bool = False) -> list[Candidate]:
        """The targets of `name` that may be asked now, best first; `few`: of many, the first of them. Raises MuxError
        when there is none."""
        reach = await self.reach(name, ask.caller.scopes)
        candidates = reach.candidates
        moment = self.moment(ask, len(candidates) > 1)
        return order(reach.routes, candidates, moment, self.choice, reach.known, few=few)

    def moment(self, ask: Ask, chosen: bool = True) -> Moment:
        """Now, as a choice sees it; `chosen`: there is something to choose."""
        conversation = ""
        if chosen:
            self.standing.turn += 1
            conversation = ask.conversation
        return Moment(time.monotonic(), conversation, self.standing.turn, len(ask.body), self.standing.hosts)

    async def reach(self, name: str, scopes: Scopes | None = None) -> Reach:
        """Where a name leads, for a client key with these scopes. Raises MuxError MODEL_NOT_FOUND, NO_TARGET or
        FORBIDDEN."""
        catalog = self.catalog
        reach = self._reaches.get(name)
        if reach is None:
            if not catalog.knows(name) and self._offers:
                await self.lists.refresh(self.accounts, self.upstream)
                catalog = self.catalog
            routes = catalog.resolve(name)
            reach = Reach(routes, paired(routes, self.accounts), Favourites())
            if len(self._reaches) < _MOST_ROUTES:
                self._reaches[name] = reach
        if scopes is not None and scopes.narrow:
            return self._narrow(name, reach, scopes)
        return reach

    def _narrow(self, name: str, reach: Reach, scopes: Scopes) -> Reach:
        """What is left of it for these scopes."""
        narrowed = self._narrowed.get((name, scopes))
        if narrowed is None:
            kept, accounts = reached(reach.routes, self.accounts, scopes, name)
            narrowed = Reach(tuple(kept), paired(kept, accounts), Favourites())
            if len(self._narrowed) >= _MOST_ROUTES:
                self._narrowed.clear()
            self._narrowed[name, scopes] = narrowed
        return narrowed

    def chain(self, name: str) -> tuple[str, ...]:
        """The names to try in order: the one that was asked for, then its fallbacks."""
        fallbacks = self.settings.fallbacks
        if not fallbacks:
            return (name,)
        reach = self._reaches.get(name)
        models = () if reach is None else tuple(route.model for route in reach.routes)
        return (name, *fallbacks_of(name, models, fallbacks))

    async def outlook(self, names: Sequence[str], ask: Ask) -> Outlook:
        """When a target of these names may be asked, and which accounts only have no room."""
        moment, soonest, rooms = self.moment(ask, False), None, []
        for name in names:
            try:
                reach = await self.reach(name, ask.caller.scopes)
            except MuxError:
                continue
            for candidate in reach.candidates:
                judged = judge(candidate, moment, self.choice)
                if judged.wait and candidate.account.refused:
                    continue
                soonest = judged.wait if soonest is None else min(judged.wait, soonest)
                if judged.passed == "full":
                    rooms.append(candidate.account)
        return Outlook(soonest, tuple(rooms))

    async def explained(
        self, name: str, conversation: str, size: int, scopes: Scopes | None = None
    ) -> tuple[list[Reached], list[Target]]:
        """Where a request for `name` would go, with a client key of these scopes, and why. Raises MuxError when the
        name leads nowhere."""
        first = await self.reach(name, scopes)
        chain = [Reached(name, first.candidates)]
        for each in self.chain(name)[1:]:
            try:
                chain.append(Reached(each, (await self.reach(each, scopes)).candidates))
            except MuxError as error:
                chain.append(Reached(each, problem=error.message))
        moment = Moment(time.monotonic(), conversation, self.standing.turn, size, self.standing.hosts)
        return chain, explained(chain, moment, self.choice)

    def clear(self, account: str | None = None, model: str | None = None) -> list[str]:
        """Ends rests by hand: of all accounts, of a provider's or of one (`provider/label`); what was cleared."""
        cleared: list[str] = []
        for each in self.accounts:
            if account in (None, each.name, each.provider.name):
                cleared.extend(f"{each.name} {scope}".strip() for scope in each.clear(model))
        for host in list(self.standing.hosts) if model is None else ():
            if account is None or account.partition("/")[0] == host[0]:
                del self.standing.hosts[host]
                cleared.append(host[0])
        if cleared:
            self.waiting.wake()
            self.waiting.changed()
        return cleared

    def facts(self, provider: str, model: str) -> ModelInfo | None:
        """What the provider's list says about a model, if it was asked."""
        return self.lists.get(provider, model)

    def _context(self, provider: str, model: str) -> int | None:
        """What the configuration says, else the provider's list, else what is known otherwise."""
        tuning = tuning_of(provider, model, self.settings.tunings) if self.settings.tunings else None
        if tuning is not None and tuning.context is not None:
            return tuning.context
        info = self.lists.get(provider, model)
        if info is not None and info.context is not None:
            return info.context
        return self._known_context(provider, model)

    def timeouts_for(self, account: Account) -> Timeouts:
        general = self.settings.timeouts
        return general if account.first_byte_s is None else replace(general, first_byte=account.first_byte_s)

    def blame(self, account: Account, model: str, error: MuxError) -> None:
        """Takes note of a failure, as far as it says anything about the account or its host."""
        if error.kind not in FAULTS:
            return
        now = time.monotonic()
        if error.kind in UNREACHED:
            self.standing.unreached(account, error.kind, now)
        account.failed(model, error, now)
        self.waiting.changed()

    def praise(self, account: Account, model: str, began: float) -> None:
        """Takes note of a good answer to what began at `began`; those who wait for the account go on."""
        if not account.breakers and not self.standing.hosts:
            return
        now = time.monotonic()
        ended = account.succeeded(model, now, began)
        if self.standing.reached(account, now, began) or ended:
            self.waiting.wake()
            self.waiting.changed()

    def release(self, account: Account) -> None:
        """An exchange with the account is over."""
        account.inflight -= 1
        if account.most is not None:
            self.waiting.room(account)
