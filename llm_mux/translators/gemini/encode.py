"""A request in canonical form as a Gemini request body.

Rules. What an upstream or a quirk cannot take is dropped and named, content without a form is refused. A request of a
client of this format gets back its own top-level fields. Same request, same bytes.
"""

from __future__ import annotations

import re

from msgspec import Raw

from llm_mux import ir
from llm_mux.translators import history, tools
from llm_mux.translators.base import Encoded, Target
from llm_mux.translators.foreign import lost_fields
from llm_mux.translators.gemini import wire
from llm_mux.translators.gemini.encode_config import STOP_LIMIT, encoded_config, in_words, stop_strings
from llm_mux.translators.gemini.encode_parts import WirePart, system_and_turns
from llm_mux.translators.gemini.encode_tools import NAME_RULES, OWN_NAME_RULES, encoded_choice, encoded_tools
from llm_mux.translators.gemini.outlook import Outlook, outlook
from llm_mux.translators.gemini.seals import OWNER
from llm_mux.translators.ids import digest
from llm_mux.wire import jsonx

NOT_ON_VERTEX = frozenset({"store", "serviceTier"})
_PLACED = frozenset({"generationConfig", "toolConfig"})
_IN_THE_CACHE = {"systemInstruction": "messages.system", "tools": "tools", "toolConfig": "tool_choice"}
_TIERS = {"default": "standard", "standard_only": "standard", "flex": "flex", "priority": "priority"}
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")


def encode_request(request: ir.Request, target: Target) -> Encoded:
    look = _outlook(request, target)
    top: dict[str, object] = _conversation(look)
    config = encoded_config(look)
    if config:
        top["generationConfig"] = config
    top.update(_others(look))
    if "cachedContent" in top:
        _leave_to_the_cache(top, look)
    stops = stop_strings(request)[STOP_LIMIT:]
    return Encoded(jsonx.encode(top), tuple(look.lost), look.names, tuple(stops))


def encode_count(request: ir.Request, target: Target) -> Encoded:
    """The same conversation for `countTokens`, without what only generation needs."""
    look = _outlook(request, target)
    top = _conversation(look)
    if not look.quirks.vertex:
        top = {"generateContentRequest": {"model": f"models/{target.model}"} | top}
    return Encoded(jsonx.encode(top), tuple(look.lost), look.names)


def _outlook(request: ir.Request, target: Target) -> Outlook:
    rules = OWN_NAME_RULES if request.protocol == OWNER else NAME_RULES
    return outlook(request, target, tools.names_for(request, rules))


def _conversation(look: Outlook) -> dict[str, object]:
    system, turns = system_and_turns(look)
    words = in_words(look)
    if words is not None:
        system.append(wire.Part(text=words))
    top: dict[str, object] = {"contents": turns}
    if system:
        top["systemInstruction"] = _instruction(system)
    listed = encoded_tools(look)
    if listed:
        top["tools"] = listed
        choice = encoded_choice(look)
        if choice is not None:
            top["toolConfig"] = choice
    return top


def _instruction(parts: list[WirePart]) -> wire.Turn:
    return wire.Turn(parts=parts)


def _others(look: Outlook) -> dict[str, object]:
    """Labels, the tier, and the fields that only clients of this format send."""
    request = look.request
    made: dict[str, object] = {}
    made.update(_labels(look))
    if request.service_tier not in (None, "auto"):
        made.update(_tier(str(request.service_tier), look))
    if history.names_speakers(request.messages):
        look.drop("messages.name")
    if not look.same_format:
        for name in lost_fields(request):
            look.drop(name)
        return made
    for name, value in request.extras.items():
        if name.startswith("__") or name in _PLACED:
            continue
        if look.quirks.vertex and name in NOT_ON_VERTEX:
            look.drop(name)
        else:
            made[name] = value
    return made


def _labels(look: Outlook) -> dict[str, object]:
    """Labels as they came. Another format's metadata and user become labels only where those are long known, and the
    metadata only where it makes legal ones."""
    metadata, user = look.request.metadata, look.request.user
    if look.same_format:
        return {} if metadata is None else {"labels": metadata}
    labels: dict[str, str] = {}
    if user is not None and look.quirks.vertex:
        labels["user"] = user if _LABEL.fullmatch(user) else digest(user)
    elif user is not None:
        look.drop("user")
    pairs = _pairs(metadata) if metadata is not None and look.quirks.vertex else None
    if pairs is not None:
        labels |= pairs
    elif metadata is not None:
        look.drop("metadata")
    return {"labels": labels} if labels else {}


def _pairs(metadata: Raw) -> dict[str, str] | None:
    """Metadata as labels, None where it makes no legal ones."""
    try:
        pairs = jsonx.decode(bytes(metadata), dict[str, str])
    except jsonx.Malformed:
        return None
    legal = all(key and _LABEL.fullmatch(key) and _LABEL.fullmatch(value) for key, value in pairs.items())
    return pairs if legal else None


def _tier(tier: str, look: Outlook) -> dict[str, object]:
    if look.quirks.vertex or tier not in _TIERS:
        look.drop("service_tier")
        return {}
    return {"serviceTier": _TIERS[tier]}


def _leave_to_the_cache(top: dict[str, object], look: Outlook) -> None:
    """A cached content brings its own instructions and tools; the API refuses both together."""
    for name, reported in _IN_THE_CACHE.items():
        if top.pop(name, None) is not None:
            look.drop(reported)
