"""Parts of an answer as blocks for a client; the stream encoder uses the same pieces.

Decisions. A thinking block always has a signature. The seal of a tool call goes in an empty thinking block before it.
Sources of another vendor's citations become links below their text. Another vendor's web search becomes a pair of
search blocks without results. Spec: translation matrix, sections 5, 11 and 12.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from llm_mux import ir
from llm_mux.translators import ids, sources
from llm_mux.translators.anthropic import encode_blocks, seals, wire
from llm_mux.translators.anthropic.wire import NAME
from llm_mux.wire import jsonx

_SEARCHES: Final = frozenset({"web_search_call", "web_search"})


def blocks(parts: Sequence[ir.Part], seed: str, *, linked: bool = True) -> Iterator[wire.Block | Raw]:
    """The content of a whole answer; `seed` (its id) makes ids for calls that have none, `linked`: links may stand
    below the text."""
    for index, part in enumerate(parts):
        match part:
            case ir.Text():
                yield from _text(part, linked=linked)
            case ir.Reasoning():
                yield from _thinking(part)
            case ir.ToolCall():
                yield from _call(part, seed, index)
            case ir.Refusal(text=text):
                if text:
                    yield wire.Text(text)
            case ir.Opaque():
                yield from opaque(part)
            case _:
                yield wire.Text(placeholder(part))


def placeholder(part: ir.Part) -> str:
    """What stands for output that the format has no form for."""
    return f"[{type(part).__name__.lower()} output cannot be shown here]"


def _text(part: ir.Text, *, linked: bool) -> Iterator[wire.Block | Raw]:
    text = part.text + (links(part.citations, part.text) if linked else "")
    if not text:
        return
    own = own_citations(part.citations)
    citations: Raw | UnsetType = Raw(msgspec.json.encode(own)) if own else UNSET
    block = wire.Text(text, citations)
    yield block if part.native is None else encode_blocks.beside(block, part.native)


def own_citations(citations: Sequence[ir.Citation]) -> list[Raw]:
    return [c.native.data for c in citations if c.native is not None and c.native.owner == NAME]


def links(citations: Sequence[ir.Citation], text: str) -> str:
    """A list of the sources that other vendors' citations name and the text does not."""
    return sources.links((c for c in citations if c.native is None or c.native.owner != NAME), text)


def _thinking(part: ir.Reasoning) -> Iterator[wire.Block]:
    data = seals.redacted(part.native)
    if data is not None:
        yield wire.RedactedThinking(data)
    elif part.text or part.native is not None:
        yield wire.Thinking(part.text, seals.signature(part.native))


def call_id(call: ir.ToolCall, seed: str, index: int) -> str:
    return call.id or ids.synthesised(seed, 0, index, call.name, call.arguments)


def call_name(call: ir.ToolCall, index: int) -> str:
    return call.name or f"tool_{index}"


def _call(part: ir.ToolCall, seed: str, index: int) -> Iterator[wire.Block | Raw]:
    sealed = seals.call_signature(part.native)
    if sealed is not None:
        yield wire.Thinking("", sealed)
    block = wire.ToolUse(call_id(part, seed, index), call_name(part, index), call_input(part))
    yield block if part.native is None else encode_blocks.beside(block, part.native)


def call_input(call: ir.ToolCall) -> Raw:
    """The arguments as an object, free text under `input`."""
    if call.custom:
        return Raw(jsonx.encode({"input": call.arguments}))
    return jsonx.object_arguments(call.arguments)


def opaque(part: ir.Opaque) -> list[wire.Block | Raw]:
    """Own blocks as they are, searches of others as search blocks, anything else in words or not at all."""
    if part.native.owner == NAME:
        return [part.native.data]
    if part.label in _SEARCHES:
        return list(_search(part.native.data))
    return [wire.Text(part.text)] if part.text and not part.hint else []


def _search(data: Raw) -> Iterator[Raw]:
    """Another vendor's web search: what was asked, and an empty list for the results that it kept to itself."""
    try:
        item = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        item = {}
    id_ = seals.SEARCH_ID + ids.digest(bytes(data).decode("utf-8", "replace"))
    use: dict[str, Any] = {"type": "server_tool_use", "id": id_, "name": "web_search", "input": _query(item)}
    yield Raw(jsonx.encode(use))
    yield Raw(jsonx.encode({"type": "web_search_tool_result", "tool_use_id": id_, "content": []}))


def _query(item: object) -> dict[str, str]:
    action = item.get("action") if isinstance(item, dict) else None
    if not isinstance(action, dict):
        return {}
    queries = action.get("queries")
    listed = [q for q in queries if isinstance(q, str)] if isinstance(queries, list) else []
    for found in (action.get("query"), "; ".join(listed), action.get("url")):
        if isinstance(found, str) and found:
            return {"query": found}
    return {}
