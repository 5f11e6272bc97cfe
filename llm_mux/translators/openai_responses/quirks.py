"""How servers of the Responses API differ: one record whose defaults are OpenAI's own API.

Rule: a field is named for the behaviour and its comment says who needs another value.
"""

from __future__ import annotations

from msgspec import Struct

from llm_mux.translators.base import Target


class Quirks(Struct, frozen=True):
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
    # xAI shows the calls of its own searches as calls of free-text tools, which no client of it can have declared.
    shows_own_calls: bool = False
    # The Codex backend only streams; the gateway folds the stream for clients that want a whole answer.
    only_streams: bool = False
    # The Codex backend wants `instructions`, if only "", the input as a list, `parallel_tool_calls` only with tools.
    strict_shape: bool = False
    # The Codex backend keeps nothing, so sealed reasoning is asked for even where the client did not.
    always_sealed: bool = False
    # The Codex backend knows no marks in the parts where a cached prefix may end.
    cache_marks: bool = True
    # Service tiers that the server takes, None: all of them. The Codex backend takes `priority` alone.
    tiers: frozenset[str] | None = None


_OPENAI = Quirks()


def quirks_of(target: Target) -> Quirks:
    """The target's quirks; those of OpenAI's own API when it names none."""
    return target.quirks if isinstance(target.quirks, Quirks) else _OPENAI
