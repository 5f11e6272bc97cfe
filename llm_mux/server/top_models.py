"""A short list of models to start with, for `/top-models` and the suggested aliases of `/v1/aliases`.

Rule: names and order are chosen by hand and dated; what a model costs and how much fits into it is the price book's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from llm_mux.ledger.pricing import Prices
from llm_mux.server.shapes import TopModel

CHOSEN = "2026-11-29"
"""When the list was looked through last."""


class Top(NamedTuple):
    """`provider` is the registered one."""

    name: str
    provider: str
    category: str


MODELS = (
    Top("claude-opus-5-5", "anthropic", "coding"),
    Top("gpt-6.1-sol", "openai", "coding"),
    Top("gemini-4-argon", "gemini", "general"),
    Top("claude-sonnet-5-5", "anthropic", "coding"),
    Top("grok-4.7", "xai", "general"),
    Top("kimi-k3.1-pro", "moonshot", "coding"),
    Top("gpt-6.1-terra", "openai", "general"),
    Top("deepseek-v4-pro", "deepseek", "general"),
    Top("GLM-5.3", "zai", "coding"),
    Top("gemini-3.8-flash", "gemini", "fast"),
    Top("claude-haiku-5-5", "anthropic", "fast"),
    Top("gpt-6-luna", "openai", "fast"),
    Top("mistral-large-4", "mistral", "general"),
    Top("deepseek-v4-flash", "deepseek", "fast"),
)


def listed(prices: Prices, now: float, *, provider: str | None = None) -> list[TopModel]:
    """The models in order with what the price book knows of them."""
    chosen = [top for top in MODELS if provider is None or top.provider == provider]
    return [_told(ranking, top, prices, now) for ranking, top in enumerate(chosen, 1)]


def _told(ranking: int, top: Top, prices: Prices, now: float) -> TopModel:
    known = prices.known(top.provider, top.provider, top.name)
    return {
        "name": top.name,
        "provider": top.provider,
        "sub_provider": "native",
        "ranking": ranking,
        "category": top.category,
        "context_window": known.model.context if known is not None and known.model is not None else None,
        "pricing": None if known is None else known.a_token(now),
    }


def suggested(there: Iterable[str]) -> dict[str, str]:
    """An alias for each category: the first model of it whose provider is among `there`, else the first."""
    have = set(there)
    found: dict[str, str] = {}
    for top in sorted(MODELS, key=lambda top: top.provider not in have):
        found.setdefault(top.category, top.name)
    return dict(sorted(found.items()))
