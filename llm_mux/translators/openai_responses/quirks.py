"""How servers of the Responses API differ: one record whose defaults are OpenAI's own API.

Rule: a field is named for the behaviour and its comment says who needs another value.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_mux.translators.base import Target


@dataclass(frozen=True, slots=True)
class Quirks:
    """What one server does differently from OpenAI's API."""

    # Ollama, DeepSeek, the Codex backend and most gateways keep no responses: `store` is false, nothing refers back.
    stateless: bool = False
    # Top-level keys that the server refuses; they are removed and reported (the Codex backend: temperature, ...).
    unsupported: frozenset[str] = frozenset()
    # Free-text tools and namespaces exist at OpenAI only; elsewhere they become plain functions.
    custom_tools: bool = True
    # Tools that the server itself runs ("web_search", ...); None: all of them. Ollama has none.
    hosted_tools: frozenset[str] | None = None
    # Whether a tool's output may hold images and files (else they follow in a user message).
    rich_results: bool = True
    # OpenAI's model families have rules of their own (sampling, effort words, cache marks): see openai_models.py.
    openai_models: bool = True
    # The Codex backend takes developer messages only; others know only "system". None: both are fine.
    system_role: str | None = None


def quirks_of(target: Target) -> Quirks:
    """The target's quirks; those of OpenAI's own API when it names none."""
    return target.quirks if isinstance(target.quirks, Quirks) else Quirks()
