"""The providers: an explicit table, and others' packages through the entry points `llm_mux.providers`.

Rule: ours come first and no plugin replaces one; an entry point is named like the provider it loads. Nothing is
imported before it is asked for.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from llm_mux.providers.base import Provider

GROUP: Final = "llm_mux.providers"

_OURS: Final = (
    "openai",
    "codex",
    "copilot",
    "anthropic",
    "gemini",
    "azure",
    "vertex",
    "openrouter",
    "deepseek",
    "groq",
    "mistral",
    "xai",
    "together",
    "fireworks",
    "cerebras",
    "moonshot",
    "kimi",
    "zai",
    "minimax",
    "dashscope",
    "perplexity",
    "nvidia",
    "huggingface",
    "github-models",
    "ollama",
    "lmstudio",
    "openai-compatible",
    "anthropic-compatible",
    "gemini-compatible",
    "oauth",
    "bedrock",
    "demo",
)

# What people call a vendor or its models, to the provider that serves them.
ALIASES: Final[dict[str, str]] = {
    "claude": "anthropic",
    "chatgpt": "codex",
    "google": "gemini",
    "aistudio": "gemini",
    "azure-openai": "azure",
    "vertexai": "vertex",
    "grok": "xai",
    "kimi-code": "kimi",
    "glm": "zai",
    "z.ai": "zai",
    "qwen": "dashscope",
    "alibaba": "dashscope",
    "sonar": "perplexity",
    "nim": "nvidia",
    "hf": "huggingface",
    "github-copilot": "copilot",
    "github": "github-models",
    "lm-studio": "lmstudio",
    "aws": "bedrock",
}


@cache
def load(plugins: bool = True) -> dict[str, Provider]:
    """Every registered provider by name. A plugin that cannot be loaded is left out; `broken` says why."""
    made = {name: _ours(name) for name in _OURS}
    for name, entry in _plugins().items() if plugins else ():
        found = _plugin(entry)
        if isinstance(found, Provider):
            made[name] = found
    return made


@cache
def broken() -> dict[str, str]:
    """Plugins that are installed but cannot be used, each with the reason."""
    found = ((name, _plugin(entry)) for name, entry in _plugins().items())
    return {name: why for name, why in found if isinstance(why, str)}


@cache
def names() -> list[str]:
    """The names of all providers, without importing any."""
    return [*_OURS, *_plugins()]


def get(name: str) -> Provider:
    """The provider of a name or short name. Raises KeyError saying which are near."""
    full = ALIASES.get(name, name)
    if full in _OURS:
        return _ours(full)
    entry = _plugins().get(full)
    if entry is None:
        near = difflib.get_close_matches(name, [*names(), *ALIASES], n=3)
        raise KeyError(f"no provider type `{name}`" + (f"; did you mean {', '.join(near)}?" if near else ""))
    found = _plugin(entry)
    if isinstance(found, str):
        raise KeyError(f"the plugin for provider type `{full}` cannot be used: {found}")
    return found


@cache
def _ours(name: str) -> Provider:
    found: Provider = import_module(f"llm_mux.providers.{name.replace('-', '_')}").PROVIDER
    return found


@cache
def _plugins() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in _OURS}


@cache
def _plugin(entry: EntryPoint) -> Provider | str:
    """What a plugin provides, or what is wrong with it."""
    try:
        found = entry.load()
    except Exception as error:
        return f"{entry.value} raised {type(error).__name__}: {error}"
    if not isinstance(found, Provider):
        return f"{entry.value} is no Provider"
    if found.name != entry.name:
        return f"{entry.value} calls itself `{found.name}` and its entry point `{entry.name}`"
    return found
