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
from llm_mux.translators.openai_responses.decode import TRUE, thinking_of
from llm_mux.translators.openai_responses.encode import REPORTED, SAMPLED, lacking
from llm_mux.translators.openai_responses.quirks import Quirks, quirks_of
from llm_mux.translators.openai_responses.reading import present
from llm_mux.wire import jsonx

# Marks of what only a translation can put right. They may also stand in a text, which then costs a translation.
_SEALED: Final = b'"gw1'
_NEWER: Final = (b'"custom', b'"namespace"', b'"additional_tools"', b'"tool_search', b'"configuration_update"')
_MEMORY: Final = ("previous_response_id", "conversation", "prompt")


def adapt(body: bytes, target: Target, stream: bool, outline: Outline | None = None) -> Edits | None:
    """The edits under which `body` may go to `target`; None when it must be translated."""
    quirks = quirks_of(target)
    try:
        top = jsonx.top(body)
    except jsonx.Malformed:
        return None
    if not present(top.get("input")) or _SEALED in body or _beyond(body, top, quirks):
        return None
    edits: dict[str, bytes | None] = {"model": msgspec.json.encode(target.model)}
    if (top.get("stream") == TRUE) != stream:
        edits["stream"] = b"true" if stream else None
    try:
        lacks = _lacking(top, target, quirks)
    except MuxError:
        return None
    dropped = [name for name in top if name in quirks.unsupported or (name in lacks and present(top[name]))]
    if quirks.stateless:
        edits["store"] = b"false"
        dropped.extend(["background"] if present(top.get("background")) else [])
    edits.update(dict.fromkeys(name for name in top if name in lacks))
    edits.update(dict.fromkeys(dropped))
    edits.update(dict.fromkeys(name for name in top if name.startswith("__")))
    return Edits(edits, tuple(REPORTED.get(name, name) for name in dropped))


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
    if quirks.hosted_tools is not None and present(top.get("tools")):
        return not _functions_only(top["tools"])
    if not quirks.rich_results and b'"function_call_output"' in body and b'"input_image"' in body:
        return True
    return quirks.system_role is not None and (b'"system"' in body or b'"developer"' in body)


class _Kind(msgspec.Struct):
    type: str | None = None


def _functions_only(tools: Raw) -> bool:
    try:
        return all(tool.type == "function" for tool in msgspec.json.decode(tools, type=list[_Kind]))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
