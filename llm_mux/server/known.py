"""What the price book knows of models, as the choice of an account needs it: one number for the price, the context."""

from __future__ import annotations

import time
from collections.abc import Mapping

from msgspec import Struct

from llm_mux.ledger.pricing import Prices

_IN_FOR_ONE_OUT = 3


class Known(Struct, frozen=True):
    """`vendors` maps a provider's id to its registered name."""

    prices: Prices
    vendors: Mapping[str, str]

    def price(self, provider: str, model: str) -> float | None:
        """Dollars for a million tokens, three in for one out, as agents use them."""
        found = self.prices.known(provider, self.vendors.get(provider, provider), model)
        if found is None:
            return None
        rates = found.price(time.time())
        if rates.input is None or rates.output is None:
            return None
        return float(rates.input * _IN_FOR_ONE_OUT + rates.output) / (_IN_FOR_ONE_OUT + 1)

    def context(self, provider: str, model: str) -> int | None:
        found = self.prices.known(provider, self.vendors.get(provider, provider), model)
        return None if found is None or found.model is None else found.model.context
