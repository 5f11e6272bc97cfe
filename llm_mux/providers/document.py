"""The page on providers, made from their records, so that it cannot fall behind them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

from llm_mux.providers import registry
from llm_mux.providers.base import Endpoint, Provider

_INTRO = """\
# Providers

Made from `llm_mux/providers/` by `python -m llm_mux.providers > docs/providers.md`; do not edit.

## Adding an account

`llm-mux login PROVIDER --api-key` asks for a key without showing it (or reads it from a pipe with `-`), tries it once
where the provider has something that only a good key is told, and stores it. The key is kept in the operating
system's keyring, or in one encrypted file where there is none; never in the configuration, a log or an answer. The
account is called `PROVIDER/LABEL`; several keys of one provider are several accounts.

Without a login the daemon uses what the environment holds (the names below; several keys in one value are separated by
spaces) unless `discover: false`, and what the configuration lists under `providers:`. A local Ollama is found by
itself.

## Addresses

`base-url` follows the vendor's own SDK: OpenAI-like ones end in their version (`/v1`), Anthropic, Gemini and Ollama
ones have none. A missing or doubled version, a whole endpoint address, and the address of a vendor's second format
are understood. A vendor's other region is chosen by its address: the formats it serves elsewhere move with it.

## Formats

A provider that speaks several formats is asked in the client's own; other clients are translated to the first one
listed. `format:` in the configuration allows one only. Models that need another format than the usual one are sent
there by themselves.

## All of them
"""

_FORMATS = {
    "openai_chat": "chat completions",
    "openai_responses": "Responses",
    "anthropic": "Messages",
    "gemini": "Gemini",
    "bedrock": "Bedrock Converse",
    "bedrock_invoke": "Bedrock InvokeModel",
    "ollama": "Ollama",
}
_MOST_SHOWN = 12
_SIDES = {"complete": "legacy completions", "embed": "embeddings", "count": "token counts"}


def markdown() -> str:
    """The whole page: an overview and one section for each of our providers."""
    providers = list(registry.load(plugins=False).values())
    head = "| name | also | environment | formats | and |\n|---|---|---|---|---|"
    rows = "\n".join(_row(provider) for provider in providers)
    return f"{_INTRO}\n{head}\n{rows}\n\n" + "\n".join(_section(provider) for provider in providers)


def _row(provider: Provider) -> str:
    cells = (
        f"[{provider.name}](#{provider.name})",
        _codes(_short_names(provider)),
        _codes(provider.env),
        ", ".join(_formats(provider)),
        ", ".join(_sides(provider)),
    )
    return f"| {' | '.join(cells)} |"


def _section(provider: Provider) -> str:
    lines = [f"## {provider.name}", "", f"{provider.title}. {provider.allows}", ""]
    if prose := _prose(provider):
        lines += [prose, ""]
    lines += [f"- {line}" for line in _facts(provider)]
    if quirks := _quirks(provider):
        lines += ["", "Different from the official API of the format:", "", *quirks]
    return "\n".join(lines) + "\n"


def _facts(provider: Provider) -> Iterable[str]:
    if provider.key_url:
        yield f"key: {provider.key_url}" + (" (not needed on your own machine)" if provider.keyless else "")
    yield f"environment: {_codes(provider.env) or 'none'}" + (
        f"; address: {_codes(provider.env_url)}" if provider.env_url else ""
    )
    yield f"base-url: {_code(provider.base_url) if provider.base_url else 'yours to say'}"
    others = dict.fromkeys(e.base_url for e in provider.endpoints if e.base_url and provider.base_url)
    if others:
        yield f"second format at: {_codes(str(url) for url in others)}"
    yield f"formats, first is the usual one: {', '.join(_formats(provider))}"
    if sides := _sides(provider):
        yield f"also: {', '.join(sides)}"
    if provider.options:
        yield f"options: {_codes(provider.options)}"
    if provider.owns:
        more = " and more" if len(provider.owns) > _MOST_SHOWN else ""
        yield f"model names that are surely its own begin with: {_codes(provider.owns[:_MOST_SHOWN])}{more}"


def _prose(provider: Provider) -> str:
    """The provider file's own words, after its first line."""
    module = sys.modules[f"llm_mux.providers.{provider.name.replace('-', '_')}"]
    return (module.__doc__ or "").strip().partition("\n")[2].strip()


def _quirks(provider: Provider) -> list[str]:
    seen: dict[tuple[str, tuple[str, ...]], None] = {}
    for endpoint in provider.endpoints:
        if endpoint.operation == "generate" and (differing := tuple(_differences(endpoint))):
            seen[endpoint.translator, differing] = None
    return [f"- {_FORMATS[translator]}: {', '.join(differing)}" for translator, differing in seen]


def _differences(endpoint: Endpoint) -> Iterable[str]:
    quirks: Any = endpoint.quirks
    if not is_dataclass(quirks):
        return
    for field in fields(quirks):
        value = getattr(quirks, field.name)
        if value != field.default:
            yield _code(f"{field.name}={_said(value)}")


def _said(value: object) -> str:
    if isinstance(value, frozenset):
        return " ".join(sorted(map(str, value))) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value) or "none"


def _formats(provider: Provider) -> list[str]:
    return list(dict.fromkeys(_FORMATS[e.translator] for e in provider.endpoints if e.operation == "generate"))


def _sides(provider: Provider) -> list[str]:
    return [words for side, words in _SIDES.items() if any(e.operation == side for e in provider.endpoints)]


def _short_names(provider: Provider) -> list[str]:
    return [short for short, full in registry.ALIASES.items() if full == provider.name]


def _codes(values: Iterable[str]) -> str:
    return ", ".join(_code(value) for value in values)


def _code(value: str) -> str:
    return f"`{value}`"
