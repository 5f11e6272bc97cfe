"""The key that sends equal beginnings of prompts to the same cache, for clients whose format has no such key.

Rule: the same system text, tools and user give the same key on every turn. Spec: translation matrix, section 8.
"""

from __future__ import annotations

from llm_mux import ir
from llm_mux.translators import history, ids


def of(request: ir.Request) -> str | None:
    """The client's own key, else one for a client that marks what to cache or says who it is; None otherwise."""
    if request.cache_key:
        return request.cache_key
    if not (_speaks_for_itself(request) or _marked(request)):
        return None
    slot, _ = history.system_slot(request.messages)
    tools = ",".join(tool.name or "" for tool in request.tools)
    return ids.digest("\x00".join((ir.joined(slot), tools, request.user or "")))


def _speaks_for_itself(request: ir.Request) -> bool:
    """Whether the client is known and could not give a key: OpenAI's own clients can."""
    return bool(request.user) and not request.protocol.startswith("openai")


def _marked(request: ir.Request) -> bool:
    """Whether anything has a mark: most have none, so that all of them are looked at."""
    if request.cache is not None or any([getattr(tool, "cache", None) for tool in request.tools]):
        return True
    return any([getattr(part, "cache", None) for message in request.messages for part in message.parts])
