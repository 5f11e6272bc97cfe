"""Providers as the environment names them: `<NAME>_API_KEY`, `<NAME>_BASE_URL` and `<NAME>_API_FORMAT`.

A registered provider is moved by these; a name that nobody has registered becomes a compatible server of its own when
both its key and its address are there. Rule: nothing else of the environment makes a provider.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from llm_mux.providers import registry
from llm_mux.providers.base import Provider
from llm_mux.providers.placement import placed

_KEY: Final = re.compile(r"([A-Z][A-Z0-9_]*)_API_KEY")
_OURS: Final = ("LLM_MUX", "PROXY")
_FORMATS: Final = {
    "openai": ("openai-compatible", "openai_chat"),
    "openai-chat": ("openai-compatible", "openai_chat"),
    "openai-responses": ("openai-compatible", "openai_responses"),
    "anthropic": ("anthropic-compatible", "anthropic"),
    "gemini": ("gemini-compatible", "gemini"),
    "ollama": ("ollama", "ollama"),
    "bedrock": ("bedrock", "bedrock"),
}


def prefix(name: str) -> str:
    """How the variables of a provider begin: `GITHUB_MODELS` for `github-models`."""
    return name.upper().replace("-", "_").replace(".", "_")


def from_environment(provider: Provider, env: Mapping[str, str]) -> Provider:
    """`provider` at the address and with the format that the environment names, if it names any. It may have no
    address at all then. Raises ValueError for a format that it does not speak."""
    begin = prefix(provider.name)
    named = (*provider.env_url, f"{begin}_BASE_URL")
    base_url = next((env[name].strip() for name in named if env.get(name, "").strip()), "")
    form = translator_of(env.get(f"{begin}_API_FORMAT", ""))
    given = options(provider, env)
    if not (base_url or given or (form and provider.base_url)):
        return provider
    return placed(provider, base_url=base_url or None, translator=form, options=given)


def options(provider: Provider, env: Mapping[str, str]) -> dict[str, str]:
    """The provider's options that the environment names."""
    found = ((option, next((env[n] for n in names if env.get(n)), "")) for option, names in provider.option_env.items())
    return {option: value for option, value in found if value}


def translator_of(word: str) -> str | None:
    """The translator for the word of an `_API_FORMAT`; None for none. Raises ValueError for one that is unknown."""
    word = word.strip().lower().replace("_", "-")
    if not word:
        return None
    if word not in _FORMATS:
        raise ValueError(f"has no format `{word}`; there is {', '.join(_FORMATS)}")
    return _FORMATS[word][1]


def others(env: Mapping[str, str]) -> Iterator[tuple[Provider, str]]:
    """Servers of names that no provider has, each with its key or keys (separated by blanks)."""
    known = {prefix(name) for name in (*registry.names(), *registry.ALIASES)}
    taken = {name for provider in registry.load().values() for name in provider.env}
    for variable, keys in env.items():
        found = _KEY.fullmatch(variable)
        if found is None or not keys.strip() or found[1] in known or found[1] in _OURS or variable in taken:
            continue
        base_url = env.get(f"{found[1]}_BASE_URL", "").strip()
        if not base_url:
            continue
        word = env.get(f"{found[1]}_API_FORMAT", "").strip().lower() or "openai"
        translator = translator_of(word)
        registered = registry.get(_FORMATS[word][0])
        name = found[1].lower().replace("_", "-")
        moved = placed(registered, base_url=base_url, translator=translator)
        yield replace(moved, name=name, vendor=registered.name, title=name), keys
