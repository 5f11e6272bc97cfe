"""What all exchanges share: accounts, catalogue, model lists, the HTTP client, the stores, and the books' entrance."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from llm_mux.auth.scopes import Scopes
from llm_mux.errors import MuxError
from llm_mux.gateway.ask import Ask
from llm_mux.gateway.credentials import Credentials
from llm_mux.gateway.drain import Drain
from llm_mux.gateway.models import ModelLists
from llm_mux.gateway.seals import Seals
from llm_mux.gateway.upstream import Timeouts, Upstream
from llm_mux.routing.accounts import Account, punishes
from llm_mux.routing.catalog import Catalog, Offer, Route
from llm_mux.routing.reach import reached
from llm_mux.routing.select import Candidate, order
from llm_mux.translators.base import ModelInfo

if TYPE_CHECKING:
    from llm_mux.gateway.exchange import Outcome

_MOST_ROUTES = 4096


@dataclass(frozen=True, slots=True)
class Settings:
    """The knobs of the gateway. `patience_s`: how long a stream may be silent before the client gets its head and
    keep-alives; `keepalive_s`: the longest silence after that."""

    strict: bool = False
    patience_s: float = 10.0
    keepalive_s: float = 10.0
    timeouts: Timeouts = field(default_factory=Timeouts)
    aliases: dict[str, str] = field(default_factory=dict)
    default_provider: str | None = None


Settle = Callable[[Ask, "Outcome"], None]


class Gateway:
    """What the exchanges of one configuration share. `offers` are its providers, `accounts` theirs in order."""

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
        settle: Settle,
    ) -> None:
        self.settings = settings
        self.accounts = list(accounts)
        self.upstream = upstream
        self.credentials = credentials
        self.lists = lists
        self.seals = seals
        self.drain = drain
        self.settle = settle
        self._offers = list(offers)
        self._catalog: Catalog | None = None
        self._made_of = -1
        self._routes: dict[str, tuple[Route, ...]] = {}

    @property
    def catalog(self) -> Catalog:
        """The catalogue with every model list known by now."""
        if self._catalog is None or self._made_of != self.lists.version:
            self._made_of = self.lists.version
            self._routes.clear()
            self._catalog = Catalog(
                offers=tuple(offer for offer in map(self.lists.completed, self._offers) if offer.there),
                aliases=self.settings.aliases,
                default_provider=self.settings.default_provider,
            )
        return self._catalog

    async def candidates(self, ask: Ask) -> list[Candidate]:
        """The targets for a request, best first. Asks the providers for their lists only for a name nobody knows."""
        conversation = ask.conversation if len(self.accounts) > 1 else ""
        return await self.targets(ask.model, conversation, ask.caller.scopes)

    async def targets(self, model: str, conversation: str, scopes: Scopes | None = None) -> list[Candidate]:
        catalog = self.catalog
        routes = self._routes.get(model)
        if routes is None:
            if not catalog.knows(model) and self._offers:
                await self.lists.refresh(self.accounts, self.upstream)
                catalog = self.catalog
            routes = catalog.resolve(model)
            if len(self._routes) < _MOST_ROUTES:
                self._routes[model] = routes
        if scopes is not None and scopes.narrow:
            kept, accounts = reached(routes, self.accounts, scopes, model)
            return order(kept, accounts, conversation, time.monotonic())
        return order(routes, self.accounts, conversation, time.monotonic())

    def facts(self, provider: str, model: str) -> ModelInfo | None:
        """What the provider's list says about a model, if it was asked."""
        return self.lists.get(provider, model)

    def timeouts_for(self, account: Account) -> Timeouts:
        general = self.settings.timeouts
        return general if account.first_byte_s is None else replace(general, first_byte=account.first_byte_s)

    def blame(self, account: Account, model: str, error: MuxError) -> None:
        """Takes note of a failure, if it says anything about the account."""
        if punishes(error.kind):
            account.failed(model, error, time.monotonic())
