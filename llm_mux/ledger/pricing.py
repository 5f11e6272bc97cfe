"""What an exchange costs.

Rule: exact. Rates are whole attodollars a token (10^-18), a cost is rounded once, to picodollars. What nobody knows the
price of costs None, never 0. Your own prices come first, then the price book. A price that was found is remembered, so
that an exchange pays for a look into a dictionary and a few multiplications.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from llm_mux.config import schema as config
from llm_mux.ir import Usage
from llm_mux.ledger.price_book import Book, Finder, Model, Price, Rates, Tier

OWN = "config"
"""The source of a price from the configuration."""

_PER_MILLION = 12  # dollars a million tokens, in attodollars a token
_PER_THOUSAND = 15
_PICO_IN_ATTO = 10**6
_MOST_REMEMBERED = 4096
_NAMES = {
    "input": "prompt",
    "output": "completion",
    "cache_read": "input_cache_read",
    "cache_write": "input_cache_write",
    "reasoning": "internal_reasoning",
    "request": "request",
    "search": "web_search",
}
_NAMES_SCALE = {"request": -3, "search": -3}


class _Whole(Struct, frozen=True, gc=False):
    """Rates of one tier in attodollars a token, request or search; None: unknown."""

    above: int
    input: int | None
    output: int | None
    cache_read: int | None
    cache_write: int | None
    cache_write_1h: int | None
    reasoning: int | None
    request: int
    search: int


class Known(Struct, frozen=True):
    """What is known of a model's price and where from. `price` is what holds at a time (unix seconds)."""

    source: str
    price: Callable[[float], Price]
    model: Model | None = None

    def a_token(self, unix_s: float) -> dict[str, str]:
        """Dollars for one token (request, search) under the names that clients know from OpenRouter; as text, for it is
        exact."""
        price = self.price(unix_s)
        told = {
            name: f"{amount.scaleb(_NAMES_SCALE.get(kind, -6)).normalize():f}"
            for kind, name in _NAMES.items()
            if (amount := getattr(price, kind)) is not None
        }
        return {**told, "source": self.source}


class Prices:
    """`own` maps `provider/model`, with wildcards, to prices that come before the book's."""

    def __init__(self, book: Book, own: Mapping[str, Price] | None = None) -> None:
        self.book = book
        self._finder = Finder(book)
        self._own = dict(own or {})
        self._found: dict[tuple[str, str, str], Known | None] = {}
        self._whole: dict[Price, tuple[_Whole, ...]] = {}

    def known(self, provider: str, vendor: str, model: str) -> Known | None:
        """`provider` is the configured id, `vendor` the registered provider; None: nobody knows."""
        key = (provider, vendor, model)
        try:
            return self._found[key]
        except KeyError:
            if len(self._found) >= _MOST_REMEMBERED:
                self._found.clear()
            found = self._found[key] = self._look_up(provider, vendor, model)
            return found

    def cost(self, known: Known, usage: Usage, unix_s: float) -> int | None:
        """Picodollars; None where a kind of token that was used has no price."""
        price = known.price(unix_s)
        tiers = self._whole.get(price)
        if tiers is None:
            tiers = self._whole[price] = _tiers(price)
        prompt = usage.prompt
        rates = tiers[0]
        for tier in tiers[1:]:
            if prompt > tier.above:
                rates = tier
        return _cost(rates, usage)

    def _look_up(self, provider: str, vendor: str, model: str) -> Known | None:
        name = f"{provider}/{model}"
        own = self._own.get(name)
        if own is None:
            fitting = [pattern for pattern in self._own if fnmatchcase(name, pattern)]
            own = self._own[max(fitting, key=len)] if fitting else None
        if own is not None:
            price = own
            return Known(OWN, lambda unix_s: price, self._finder.find(vendor, model))
        found = self._finder.find(vendor, model)
        return None if found is None else Known(self.book.said_by, found.price_at, found)


NO_PRICES = Prices(Book(source="none", date="", providers={}))


def own_prices(settings: Iterable[config.ModelPrice]) -> dict[str, Price]:
    """The prices of the configuration by their pattern."""
    return {
        each.model: Price(
            tiers=tuple(Tier(above=tier.above, **_stated(tier)) for tier in each.tiers),
            request=each.request,
            search=each.search,
            **_stated(each),
        )
        for each in settings
    }


def _stated(rates: config.Rates) -> dict[str, Any]:
    return {kind: getattr(rates, kind) for kind in config.Rates.__struct_fields__}


def _cost(rates: _Whole, usage: Usage) -> int | None:
    total = rates.request + usage.searches * rates.search
    thought = usage.reasoning or 0
    longer = usage.cache_write_1h
    for tokens, rate in (
        (usage.input, rates.input),
        (usage.output - thought, rates.output),
        (thought, rates.reasoning),
        (usage.cache_read, rates.cache_read),
        (usage.cache_write - longer, rates.cache_write),
        (longer, rates.cache_write_1h),
    ):
        if tokens:
            if rate is None:
                return None
            total += tokens * rate
    return _rounded(total)


def _rounded(atto: int) -> int:
    """Whole picodollars, half to even."""
    whole, rest = divmod(atto, _PICO_IN_ATTO)
    if rest * 2 > _PICO_IN_ATTO or (rest * 2 == _PICO_IN_ATTO and whole % 2):
        return whole + 1
    return whole


def _tiers(price: Price) -> tuple[_Whole, ...]:
    base = _whole(price, 0, price)
    return base, *(_whole(tier, tier.above, price) for tier in sorted(price.tiers, key=_above))


def _above(tier: Tier) -> int:
    return tier.above


def _whole(rates: Rates, above: int, base: Rates) -> _Whole:
    """The rates with what they leave out: as the base says, and there as the kind that a kind belongs to."""

    def rate(kind: str) -> int | None:
        own = getattr(rates, kind)
        return _atto(getattr(base, kind) if own is None else own, _PER_MILLION)

    def either(value: int | None, otherwise: int | None) -> int | None:
        return otherwise if value is None else value

    prompt, answer = rate("input"), rate("output")
    write = either(rate("cache_write"), prompt)
    return _Whole(
        above=above,
        input=prompt,
        output=answer,
        cache_read=either(rate("cache_read"), prompt),
        cache_write=write,
        cache_write_1h=either(rate("cache_write_1h"), write),
        reasoning=either(rate("reasoning"), answer),
        request=_atto(base.request, _PER_THOUSAND) or 0,
        search=_atto(base.search, _PER_THOUSAND) or 0,
    )


def _atto(amount: Decimal | None, power: int) -> int | None:
    return None if amount is None else int(amount.scaleb(power).to_integral_value())
