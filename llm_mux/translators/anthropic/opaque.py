"""Blocks that only this format has: server-side tools and their results, search results, compaction, tool changes.

Decisions. They go back to this format as they came. To others: what the server's own tools did is left out, call and
result together, for the answer's text says what came of it; so is what only steers Anthropic's server. A compaction and
search results given by the client become text. Content of the client without a form elsewhere is refused there (an
empty `text` says so). Spec: translation matrix, section 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.translators.anthropic import seals
from llm_mux.translators.anthropic.wire import NAME
from llm_mux.translators.base import present
from llm_mux.wire import jsonx

_STEERING: Final = frozenset({"fallback", "tool_removal", "connector_text", "advisor_tool_result", "mcp_tool_listing"})


_OF_SYSTEM: Final = ("clear_at", "output_config")


def kept(raw: Raw, kind: str, role: str) -> ir.Opaque:
    """The block as it came, with what others are to see of it."""
    found, raw = _members(raw), raw.copy()
    if _stands_in(found):
        return ir.Opaque(ir.Native("none", raw), label=kind, hint=True)
    native = ir.Native(NAME, raw)
    if kind in _STEERING or (kind == "tool_addition" and _type(found.get("tool")) != "tool_definition"):
        return ir.Opaque(native, label=kind, hint=True)
    text = _told(found, kind)
    return ir.Opaque(native, label=kind, text=text, hint=role == "assistant" and not text)


def of_system(turns: Sequence[ir.Message]) -> list[str]:
    """What system messages of these turns say for this format's server alone, as names to report."""
    said = [jsonx.top(bytes(t.native.data)) for t in turns if t.role == "system" and t.native is not None]
    return [f"messages.{name}" for name in _OF_SYSTEM if any(present(fields.get(name)) for fields in said)]


def _members(raw: Raw) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _stands_in(found: dict[str, Any]) -> bool:
    """Whether the block is one of ours for another vendor's search, which nobody can read back."""
    return any(str(found.get(key, "")).startswith(seals.SEARCH_ID) for key in ("id", "tool_use_id"))


def _type(value: object) -> object:
    return value.get("type") if isinstance(value, dict) else None


def _told(found: dict[str, Any], kind: str) -> str:
    """A block in words, "" when there are none."""
    match kind:
        case "search_result":
            lines = [found.get("title"), found.get("source"), _texts(found.get("content"))]
            return "\n".join(line for line in lines if isinstance(line, str) and line)
        case "tool_reference":
            return f"[tool {found.get('tool_name', '')} is available]"
        case "compaction":
            content = found.get("content")
            return content if isinstance(content, str) else ""
        case _:
            return ""


def _texts(content: object) -> str:
    blocks = content if isinstance(content, list) else []
    return "\n".join(b["text"] for b in blocks if isinstance(b, dict) and isinstance(b.get("text"), str))
