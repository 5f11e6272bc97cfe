"""The providers: an explicit tuple, and others' packages through the entry points `llm_mux.providers`."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from llm_mux.providers.base import Provider

_MODULES = (
    "openai",
    "anthropic",
    "gemini",
    "ollama",
    "openai_compatible",
    "demo",
)
ALIASES: dict[str, str] = {
    "claude": "anthropic",
    "google": "gemini",
}


@cache
def load(plugins: bool = True) -> dict[str, Provider]:
    """Every registered provider by name; a plugin never replaces one of ours."""
    found = [_provider(f"llm_mux.providers.{module}") for module in _MODULES]
    if plugins:
        found += [entry.load() for entry in entry_points(group="llm_mux.providers")]
    made: dict[str, Provider] = {}
    for provider in found:
        made.setdefault(provider.name, provider)
    return made


def _provider(module: str) -> Provider:
    found: Provider = import_module(module).PROVIDER
    return found


def names() -> list[str]:
    return list(load())


def get(name: str) -> Provider:
    """The provider of a name or short name. Raises KeyError saying which are near."""
    known = load()
    found = known.get(ALIASES.get(name, name))
    if found is None:
        near = difflib.get_close_matches(name, [*known, *ALIASES], n=3)
        raise KeyError(f"no provider type `{name}`" + (f"; did you mean {', '.join(near)}?" if near else ""))
    return found
