"""Whether a client's own bytes may go to a target of this format, and with which top-level changes.

Rules. Anthropic's own models get what their client said, mistakes included: the API's answer is then the client's to
read. A request that an alias or a compatible host turns to another model is translated when it holds what that model
would refuse. Seals of ours and blank texts never leave this way. Spec: translation matrix, sections 1, 4 and 5.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from llm_mux import ir
from llm_mux.translators.anthropic import quirks, seals
from llm_mux.translators.anthropic.decode_turns import ATTRIBUTION_LINE
from llm_mux.translators.anthropic.models import Facts, facts
from llm_mux.translators.anthropic.outline import OPTIONAL, Head, Usual, are_sound
from llm_mux.translators.anthropic.quirks import Quirks
from llm_mux.translators.base import Edits, Outline, Target, present
from llm_mux.translators.outlined import Known, passed, unchecked
from llm_mux.wire import jsonx

# Long needles are found several times faster than short ones; a client writes all of a body with or without spaces.
_SEAL: Final = (b'"signature":' + seals.TRACE, b'"signature": ' + seals.TRACE)
_BLANK_TRACE: Final = (b'"text":""', b'"text": ""')
_BLANK: Final = re.compile(rb'"type" ?: ?"text", ?"text" ?: ?""|"text" ?: ?"", ?"type" ?: ?"text"')
_SYSTEM_ROLE: Final = (b'"role":"system"', b'"role": "system"')
_SHAPES: Final = frozenset({"model", "messages", "max_tokens", "system", "tools", "tool_choice", "stop_sequences"})


def adapt(body: bytes, target: Target, stream: bool, outline: Outline | None = None) -> Edits | None:
    """The edits, None when the request must be translated (or cannot be read: the decoder then says why)."""
    try:
        head = outline if isinstance(outline, Head) else jsonx.peek(body, Head, strict=False)
    except jsonx.Malformed:
        return None
    wanted = quirks.of(target)
    known = facts(target.model, target.capabilities)
    if head.max_tokens is None or not _is_sound(head, body):
        return None
    if not wanted.binding_controls and present(head.thread):
        return None
    if _turned(head, target, wanted) and not _fits(head, body, wanted, known):
        return None
    top: dict[str, bytes | None] = {}
    if head.model != target.model:
        top["model"] = msgspec.json.encode(target.model)
    if bool(head.stream) != stream:
        top["stream"] = b"true" if stream else None
    if target.max_output is not None and head.max_tokens > target.max_output:
        top["max_tokens"] = msgspec.json.encode(target.max_output)
    if isinstance(head.system, Raw) and not _is_claude(target) and ATTRIBUTION_LINE.encode() in bytes(head.system):
        top["system"] = _without_attribution(head.system)
    dropped = _unknown(head, body, wanted)
    top.update(dict.fromkeys(dropped))
    return Edits(top, tuple(quirks.REPORTED.get(name, name) for name in dropped))


def _is_sound(head: Head, body: bytes) -> bool:
    """Whether nothing is in it that only a translation can take out: what is ours, and blank texts, which the API
    refuses."""
    messages = head.messages if isinstance(head, Usual) else None
    if messages is None:
        return not (_is_ours(body) or _has_blank_text(body))
    if isinstance(head.system, Raw) and _has_blank_text(bytes(head.system)):
        return False
    known = messages if type(messages) is Known else None
    if not are_sound(messages if known is None else unchecked(known, _is_sound)):
        return False
    if known is not None:
        passed(known, _is_sound)
    return True


def _has_system_turn(head: Head, body: bytes) -> bool:
    messages = head.messages if isinstance(head, Usual) else None
    if messages is None:
        return _SYSTEM_ROLE[_spaced(body)] in body
    return any([message.role == "system" for message in messages])


def _spaced(body: bytes) -> bool:
    return b'": ' in body[:256]


def _is_ours(body: bytes) -> bool:
    """Whether the history holds an envelope or search blocks that only a translation can take out."""
    return _SEAL[_spaced(body)] in body or seals.SEARCH_ID.encode() in body


def _has_blank_text(body: bytes) -> bool:
    """Whether a text block is empty, which the API refuses; the translation leaves such blocks out."""
    return _BLANK_TRACE[_spaced(body)] in body and _BLANK.search(body) is not None


def _is_claude(target: Target) -> bool:
    return ir.family(target.model) == "claude"


def _turned(head: Head, target: Target, wanted: Quirks) -> bool:
    """Whether another model or host answers than the client had in mind."""
    return head.model != target.model or wanted != quirks.OFFICIAL or not _is_claude(target)


def _fits(head: Head, body: bytes, wanted: Quirks, known: Facts) -> bool:
    """Whether the model that answers takes what the client put together for another."""
    if not (known.system_in_messages and wanted.system_in_messages) and _has_system_turn(head, body):
        return False
    types = known.thinking if wanted.thinking_types is None else wanted.thinking_types
    if head.thinking is not None and head.thinking.type not in types:
        return False
    choice = head.tool_choice.type if head.tool_choice is not None else None
    if choice in ("any", "tool") and not (known.forced and wanted.forced_tools):
        return False
    if known.sampling == "none" and (head.temperature, head.top_p, head.top_k) != (None, None, None):
        return False
    return _output_fits(head, wanted, known)


def _output_fits(head: Head, wanted: Quirks, known: Facts) -> bool:
    if not present(head.output_config) or isinstance(head.output_config, UnsetType):
        return True
    config: Any = msgspec.json.decode(head.output_config)
    if not isinstance(config, dict):
        return False
    if config.get("format") and not (known.structured and wanted.structured_outputs):
        return False
    effort = config.get("effort")
    return effort is None or effort in known.efforts or "output_config" in wanted.unsupported


def _unknown(head: Head, body: bytes, wanted: Quirks) -> tuple[str, ...]:
    lacks = wanted.unsupported - _SHAPES
    if lacks <= OPTIONAL:
        return tuple([name for name in sorted(lacks) if getattr(head, name) is not UNSET])
    return tuple(sorted(lacks & jsonx.top(body).keys()))


def _without_attribution(system: Raw | UnsetType) -> bytes | None:
    """The system slot without Claude Code's own line, None when nothing else is in it."""
    found: Any = msgspec.json.decode(system) if isinstance(system, Raw) else None
    if isinstance(found, str):
        return None if found.startswith(ATTRIBUTION_LINE) else jsonx.encode(found)
    if not isinstance(found, list) or not isinstance(system, Raw):
        return None if isinstance(system, UnsetType) else bytes(system)
    blocks = msgspec.json.decode(system, type=list[Raw])
    kept = [raw for raw, block in zip(blocks, found, strict=True) if not _is_attribution(block)]
    return msgspec.json.encode(kept) if kept else None


def _is_attribution(block: object) -> bool:
    return isinstance(block, dict) and str(block.get("text", "")).startswith(ATTRIBUTION_LINE)
