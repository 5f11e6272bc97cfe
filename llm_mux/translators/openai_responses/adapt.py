"""When a client's own bytes may go to a server of this format, and under which top-level edits.

Rule: a cheap look only. Whatever needs a change below the top level is translated instead: sealed data of other formats
in the history, items or tools that the server does not know, state that it does not keep.
Spec: the style guide's splice rules; the Responses API page, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from llm_mux.errors import MuxError
from llm_mux.translators import openai_models
from llm_mux.translators.base import Edits, Outline, Target
from llm_mux.translators.openai_responses import searches
from llm_mux.translators.openai_responses.decode import ENCRYPTED, TRUE, thinking_of
from llm_mux.translators.openai_responses.encode import REPORTED, SAMPLED, lacking
from llm_mux.translators.openai_responses.quirks import Quirks, quirks_of
from llm_mux.translators.openai_responses.reading import first_byte, present
from llm_mux.wire import jsonx

# Marks of what only a translation can put right. They may also stand in a text, which then costs a translation.
_OURS: Final = (b'"gw1', b'"' + searches.SEARCH_ID.encode())
_NEWER: Final = (b'"custom', b'"namespace"', b'"additional_tools"', b'"tool_search', b'"configuration_update"')
_OTHER_ROLE: Final = {"system": b'"developer"', "developer": b'"system"'}
_NO_TOOLS: Final = (None, Raw(b"null"), Raw(b"[]"))
_MEMORY: Final = ("previous_response_id", "conversation", "prompt")


def adapt(body: bytes, target: Target, stream: bool, outline: Outline | None = None) -> Edits | None:
    """The edits under which `body` may go to `target`; None when it must be translated."""
    quirks = quirks_of(target)
    try:
        top = jsonx.top(body)
    except jsonx.Malformed:
        return None
    if not present(top.get("input")) or any(mark in body for mark in _OURS) or _beyond(body, top, quirks):
        return None
    edits: dict[str, bytes | None] = {"model": msgspec.json.encode(target.model)}
    stream = stream or quirks.only_streams
    if (top.get("stream") == TRUE) != stream:
        edits["stream"] = b"true" if stream else None
    try:
        lacks = _lacking(top, target, quirks)
        shape = _in_shape(top, quirks, lite=b'"additional_tools"' in body)
        tier = _text(top.get("service_tier")) if quirks.tiers is not None else None
    except (MuxError, jsonx.Malformed):
        return None
    dropped = [name for name in top if name in quirks.unsupported or (name in lacks and present(top[name]))]
    if quirks.stateless:
        edits["store"] = b"false"
        dropped.extend(["background"] if present(top.get("background")) else [])
    if tier is not None and tier not in (quirks.tiers or ()):
        dropped.append("service_tier")
    edits.update(dict.fromkeys(name for name in top if name in lacks))
    edits.update(dict.fromkeys(dropped))
    edits.update(shape)
    edits.update(dict.fromkeys(name for name in top if name.startswith("__")))
    return Edits(edits, tuple(REPORTED.get(name, name) for name in dropped))


def _in_shape(top: Mapping[str, Raw], quirks: Quirks, *, lite: bool) -> dict[str, bytes | None]:
    """What a server insists on. `lite`: the tools are in the input."""
    edits: dict[str, bytes | None] = {}
    if quirks.strict_shape:
        if not present(top.get("instructions")):
            edits["instructions"] = b'""'
        if "parallel_tool_calls" in top and not lite and top.get("tools") in _NO_TOOLS:
            edits["parallel_tool_calls"] = None
    if quirks.always_sealed:
        include = jsonx.decode(bytes(top["include"]), list[str]) if present(top.get("include")) else []
        if ENCRYPTED not in include:
            edits["include"] = msgspec.json.encode([*include, ENCRYPTED])
    return edits


def _text(raw: Raw | None) -> str | None:
    return jsonx.decode(bytes(raw), str) if raw is not None and first_byte(raw) == b'"' else None


def _lacking(top: Mapping[str, Raw], target: Target, quirks: Quirks) -> tuple[str, ...]:
    """The sampling knobs that the model does not take."""
    if not quirks.openai_models or not any(name in top for name in SAMPLED):
        return ()
    return lacking(openai_models.facts(target.model), thinking_of(top.get("reasoning")))


def _beyond(body: bytes, top: Mapping[str, Raw], quirks: Quirks) -> bool:
    """Whether the request holds something that this server has no form for."""
    if quirks.stateless and any(present(top.get(name)) for name in _MEMORY):
        return True
    if not quirks.custom_tools and any(mark in body for mark in _NEWER):
        return True
    if quirks.hosted_tools is not None and present(top.get("tools")) and not _functions_only(top["tools"]):
        return True
    if not quirks.rich_results and b'"function_call_output"' in body and b'"input_image"' in body:
        return True
    if quirks.strict_shape and first_byte(top["input"]) != b"[":
        return True
    # A limit that the server cannot keep is kept by the daemon, which counts what it translates.
    if "max_output_tokens" in quirks.unsupported and present(top.get("max_output_tokens")):
        return True
    if not quirks.cache_marks and b'"prompt_cache_breakpoint"' in body:
        return True
    return quirks.system_role is not None and _OTHER_ROLE[quirks.system_role] in body


class _Kind(msgspec.Struct):
    type: str | None = None


def _functions_only(tools: Raw) -> bool:
    try:
        return all(tool.type == "function" for tool in msgspec.json.decode(tools, type=list[_Kind]))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
