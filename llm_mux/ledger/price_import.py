"""Prices from the data that the genai-prices project publishes, made into a price book.

Rule: facts are taken over as they are, for the providers that llm-mux knows. What a book has no place for (audio,
images, batches) is left out, and a model of which nothing else is known with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any

import msgspec

from llm_mux.ledger.price_book import Book, Match, Model, Price, Rates, Tier

URL = "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json"
"""Where the project publishes its data."""

NAMES = {
    "anthropic": ("anthropic",),
    "aws": ("bedrock",),
    "azure": ("azure",),
    "cerebras": ("cerebras",),
    "cohere": ("cohere",),
    "deepseek": ("deepseek",),
    "fireworks": ("fireworks",),
    "google": ("gemini", "vertex"),
    "groq": ("groq",),
    "minimax": ("minimax",),
    "mistral": ("mistral",),
    "moonshotai": ("moonshot",),
    "openai": ("openai",),
    "openrouter": ("openrouter",),
    "perplexity": ("perplexity",),
    "together": ("together",),
    "x-ai": ("xai",),
    "zai": ("zai",),
}
"""The project's names for providers and ours."""

_KEYS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "reasoning",
    "requests_kcount": "request",
    "web_searches_kcount": "search",
}


_DECODER = msgspec.json.Decoder(list[dict[str, Any]] | dict[str, Any], float_hook=Decimal)


class NotPrices(ValueError):
    """The data is neither a price book nor what the project publishes."""


def read(data: bytes, today: date) -> Book:
    """A book from either form. Raises NotPrices, which says what is wrong."""
    try:
        found = _DECODER.decode(data)
        if isinstance(found, dict):
            return msgspec.convert(found, Book, strict=False)
        book = imported(found, "genai-prices", today)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise NotPrices(f"not a price list: {error}") from error
    if not book.providers:
        raise NotPrices("not a price list: none of its providers is known")
    return book


def imported(providers: Sequence[dict[str, Any]], source: str, today: date) -> Book:
    """The project's list of providers as a book."""
    known = [(provider, NAMES[provider["id"]]) for provider in providers if provider["id"] in NAMES]
    models = {ours: tuple(_models(provider["models"])) for provider, names in known for ours in names}
    others = {
        ours: tuple(other for each in provider.get("fallback_model_providers") or () for other in NAMES.get(each, ()))
        for provider, names in known
        for ours in names
        if provider.get("fallback_model_providers")
    }
    return Book(source=source, date=today.isoformat(), providers=models, others=others)


def _models(models: Iterable[dict[str, Any]]) -> Iterator[Model]:
    for model in models:
        stated = model["prices"]
        conditions = stated if isinstance(stated, list) else [{"prices": stated}]
        prices = [_price(each["prices"], each.get("constraint") or {}) for each in conditions]
        if any(price != Price(since=price.since, daily=price.daily) for price in prices):
            yield Model(
                id=model["id"],
                match=_clause(model["match"]),
                prices=tuple(prices),
                name=model.get("name"),
                context=model.get("context_window"),
            )


def _clause(clause: dict[str, Any]) -> Match:
    ((kind, wanted),) = clause.items()
    if kind in ("or", "and"):
        return {kind: [_clause(each) for each in wanted]}
    if kind not in ("equals", "starts_with", "ends_with", "contains", "regex"):
        raise KeyError(kind)
    return {kind: str(wanted)}


def _price(stated: dict[str, Any], constraint: dict[str, Any]) -> Price:
    base: dict[str, Decimal] = {}
    tiers: dict[int, dict[str, Decimal]] = {}
    for key, kind in _KEYS.items():
        value = stated.get(key)
        if isinstance(value, dict):
            base[kind] = Decimal(value["base"])
            for tier in value["tiers"]:
                tiers.setdefault(int(tier["start"]), {})[kind] = Decimal(tier["price"])
        elif value is not None:
            base[kind] = Decimal(value)
    ordered = tuple(Tier(above=above, **rates) for above, rates in sorted(tiers.items()))
    return Price(tiers=ordered, since=_since(constraint), daily=_daily(constraint), **_plain(base))


def _plain(rates: dict[str, Decimal]) -> dict[str, Any]:
    assert set(rates) <= set(Rates.__struct_fields__)
    return dict(rates)


def _since(constraint: dict[str, Any]) -> date | None:
    start = constraint.get("start_date")
    return None if start is None else date.fromisoformat(str(start))


def _daily(constraint: dict[str, Any]) -> tuple[time, time] | None:
    start, end = constraint.get("start_time"), constraint.get("end_time")
    if start is None or end is None:
        return None
    return _utc(str(start)), _utc(str(end))


def _utc(text: str) -> time:
    clock = time.fromisoformat(text)
    if clock.tzinfo is None or not clock.utcoffset():
        return clock.replace(tzinfo=None)
    raise ValueError(f"{text} is not in UTC")
