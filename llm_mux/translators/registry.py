"""The translators by name. An explicit table; each is imported when it is first asked for, so that start is quick."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from llm_mux.translators.base import Translator

_TABLE = {
    "openai_chat": ("llm_mux.translators.openai_chat.translator", "TRANSLATOR"),
    "openai_completions": ("llm_mux.translators.openai_chat.completions", "LEGACY"),
    "openai_responses": ("llm_mux.translators.openai_responses.translator", "TRANSLATOR"),
    "anthropic": ("llm_mux.translators.anthropic.translator", "TRANSLATOR"),
    "gemini": ("llm_mux.translators.gemini.translator", "TRANSLATOR"),
    "ollama": ("llm_mux.translators.ollama.translator", "TRANSLATOR"),
    "bedrock": ("llm_mux.translators.bedrock.translator", "TRANSLATOR"),
    "bedrock_invoke": ("llm_mux.translators.bedrock.invoke", "INVOKE"),
}


def names() -> tuple[str, ...]:
    """All translators; those that can be an upstream's format are all but openai_completions."""
    return tuple(_TABLE)


@cache
def get(name: str) -> Translator:
    """The translator's record. Raises KeyError for an unknown name."""
    module, attribute = _TABLE[name]
    found: Translator = getattr(import_module(module), attribute)
    return found
