"""The settings of a vendor's web search, between formats: which domains, where the user is, how much, how often.

Rule: what a target's search has no place for is reported as `tools.web_search.<the client's name for it>`; what holds
anyway, and what only says how the tool is loaded, is not. Spec: translation matrix, section 12.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from llm_mux import ir

_PLACE: Final = ("city", "country", "region", "timezone")
_LOADING: Final = frozenset(
    {"type", "name", "cache_control", "defer_loading", "allowed_callers", "strict", "elsewhere"}
)
_DEFAULTS: Final[dict[str, object]] = {"external_web_access": True, "search_content_types": ["text"]}


class Search(Struct, frozen=True):
    """What a client asks of a search. `names`: each setting by our word for it, under the client's own."""

    allowed: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    place: Mapping[str, str] | None = None
    size: str | None = None
    most: int | None = None
    names: Mapping[str, str] = {}

    def lost(self, *taken: str) -> list[str]:
        """The names to report for a target that has a place only for what is `taken`."""
        return [f"tools.web_search.{name}" for word, name in self.names.items() if word not in taken]


def settings(tool: ir.HostedTool) -> Search:
    """The settings of a client's web search, whatever its format."""
    try:
        given = msgspec.json.decode(tool.native.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Search()
    if not isinstance(given, dict):
        return Search()
    inner = next(iter(given.values())) if "type" not in given and len(given) == 1 else given
    return _read(inner) if isinstance(inner, dict) else Search()


def _read(given: dict[str, Any]) -> Search:
    filters = given.get("filters")
    inner = filters if isinstance(filters, dict) else {}
    allowed = _domains(given.get("allowed_domains") or inner.get("allowed_domains"))
    blocked = _domains(given.get("blocked_domains") or given.get("excludeDomains"))
    place, size, most = _place(given.get("user_location")), given.get("search_context_size"), given.get("max_uses")
    found: dict[str, tuple[str, object]] = {
        "allowed": ("allowed_domains", allowed),
        "blocked": ("excludeDomains" if "excludeDomains" in given else "blocked_domains", blocked),
        "place": ("user_location", place),
        "size": ("search_context_size", size),
        "most": ("max_uses", most),
    }
    names = {word: name for word, (name, value) in found.items() if value}
    known = _LOADING | {name for name, _ in found.values()} | {"filters"}
    names |= {name: name for name, value in given.items() if name not in known and _says_more(name, value)}
    return Search(
        allowed,
        blocked,
        place,
        size if isinstance(size, str) else None,
        most if isinstance(most, int) else None,
        names,
    )


def _says_more(name: str, value: object) -> bool:
    return value not in (None, {}, []) and value != _DEFAULTS.get(name)


def _domains(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _place(value: object) -> dict[str, str] | None:
    """A location, flat as most write it or one level deeper as chat completions do."""
    inner = value.get("approximate", value) if isinstance(value, dict) else None
    found = {key: inner[key] for key in _PLACE if isinstance(inner.get(key), str)} if isinstance(inner, dict) else {}
    return found or None
