"""When a client's own bytes may go to a server of this format, and under which top-level edits.

Rule: a cheap look only. Whatever needs a change below the top level is translated instead: sealed data of other formats
in the history, items or tools that the server does not know, state that it does not keep. Nearly all bodies have an
outline; in any other the marks of those things are searched for, which may also stand in a text.
Spec: the style guide's splice rules; the Responses API page, section 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux.errors import MuxError
from llm_mux.translators import openai_models
from llm_mux.translators.base import Edits, Outline, Target
from llm_mux.translators.openai_responses import searches
from llm_mux.translators.openai_responses.decode import ENCRYPTED, RESOLVED, TRUE, thinking_of
from llm_mux.translators.openai_responses.encode import REPORTED, SAMPLED, lacking
from llm_mux.translators.openai_responses.outline import SEAL, SETTINGS, Head, Item, Part, Tool
from llm_mux.translators.openai_responses.quirks import Quirks, quirks_of
from llm_mux.translators.openai_responses.reading import first_byte, present
from llm_mux.translators.outlined import Known, passed, unchecked
from llm_mux.translators.repeated import all_pass
from llm_mux.wire import jsonx

_OURS: Final = (b'"' + SEAL.encode(), b'"' + searches.SEARCH_ID.encode())
_NEWER_TOOLS: Final = ("custom", "tool_search")
_NEWER: Final = (b'"custom', b'"namespace"', b'"additional_tools"', b'"tool_search', b'"configuration_update"')
_NEWER_ITEMS: Final = frozenset(
    {"custom_tool_call", "custom_tool_call_output", "tool_search_call", "tool_search_output", "additional_tools"}
)
_OTHER_ROLE: Final = {"system": "developer", "developer": "system"}
_NO_TOOLS: Final = (None, Raw(b"null"), Raw(b"[]"))
_MEMORY: Final = ("previous_response_id", "conversation", "prompt")
# Settings that are words or texts nearly always, but may hold parts or tools.
_WITH_PARTS: Final = ("tool_choice", "instructions", "prompt")
# What an outline knows in another form than that in which it came.
_NO_SETTINGS: Final = frozenset(Head.__struct_fields__) - frozenset(SETTINGS.values())
_QUOTE: Final = ord('"')


def adapt(body: bytes, target: Target, stream: bool, outline: Outline | None = None) -> Edits | None:
    """The edits under which `body` may go to `target`; None when it must be translated."""
    rules = _rules(target)
    try:
        head = outline if isinstance(outline, Head) else _head(body, outline)
        found = _outlined(head, rules) if head is not None and rules.outlines else _searched(body, rules)
        return None if found is None else _edits(found, rules, stream)
    except (MuxError, jsonx.Malformed):
        return None


def _head(body: bytes, outline: Outline | None) -> Head | None:
    """The outline of a body at which nobody looked for it; a bare one says that there is none."""
    if type(outline) is Outline:
        return None
    try:
        return jsonx.decode(body, Head)
    except jsonx.Malformed:
        return None


class _Rules(Struct, frozen=True):
    """What a target's quirks come to, worked out once for the target.

    `settings` are the fields at the top that are looked at, `values` gives them of an outline. A `role` and kinds of
    `items` are not known there. `marks` are in every body that only a translation can put right. `outlines`: what the
    server refuses an outline tells.
    """

    target: Target
    quirks: Quirks
    model: bytes
    settings: tuple[str, ...]
    values: Callable[[Head], tuple[Raw | UnsetType, ...]]
    role: str
    items: frozenset[str | None]
    marks: tuple[bytes, ...]
    outlines: bool


def _rules(target: Target) -> _Rules:
    kept = target.memo.get(_Rules)
    if isinstance(kept, _Rules):
        return kept
    quirks = quirks_of(target)
    role = _OTHER_ROLE[quirks.system_role] if quirks.system_role is not None else ""
    looked_at = _settings(quirks)
    settings = tuple(name for name in SETTINGS if name in looked_at)
    made = target.memo[_Rules] = _Rules(
        target=target,
        quirks=quirks,
        model=msgspec.json.encode(target.model),
        settings=settings,
        values=attrgetter(*[SETTINGS[name] for name in settings]),
        role=role,
        items=frozenset() if quirks.custom_tools else _NEWER_ITEMS,
        marks=(
            *_OURS,
            *(() if quirks.custom_tools else _NEWER),
            *(() if quirks.cache_marks else (b'"prompt_cache_breakpoint"',)),
            *((b'"%b"' % role.encode(),) if role else ()),
        ),
        outlines=not quirks.unsupported & _NO_SETTINGS,
    )
    return made


def _settings(quirks: Quirks) -> Set[str]:
    """The names of the fields at the top that decide something for this server, and of the one that is ours."""
    return {
        *(*SAMPLED, "reasoning", *_WITH_PARTS, RESOLVED),
        *quirks.unsupported,
        *((*_MEMORY, "background") if quirks.stateless else ()),
        *(("parallel_tool_calls",) if quirks.strict_shape else ()),
        *(("include",) if quirks.always_sealed else ()),
        *(("service_tier",) if quirks.tiers is not None else ()),
    }


class _Found(Struct, frozen=True):
    """What is known of a request in which nothing below the top has to change.

    `same`: it names the target's model; `equipped`: it has tools, there or in its input.
    """

    top: Mapping[str, Raw]
    same: bool
    streams: bool
    equipped: bool


def _outlined(head: Head, rules: _Rules) -> _Found | None:
    """What an outline says; None: something has to change."""
    items, tools, quirks = head.input, head.tools, rules.quirks
    values = zip(rules.settings, rules.values(head), strict=True)
    top = {name: value for name, value in values if type(value) is Raw}
    if items is None or (top and _asks_too_much(top, rules)):
        return None
    if tools and not all_pass(tools, rules, _takes_tools):
        return None
    listed = [] if isinstance(items, str) else items
    known = listed if type(listed) is Known else None
    new = listed if known is None else unchecked(known, rules)
    if (quirks.strict_shape and listed is not items) or not _takes_items(new, rules):
        return None
    if known is not None:
        passed(known, rules)
    for name in _WITH_PARTS:
        if name in top and first_byte(top[name]) != b'"' and _marked(top[name], rules):
            return None
    equipped = bool(tools) or (quirks.strict_shape and any(map(_brings_tools, listed)))
    return _Found(top, head.model == rules.target.model, bool(head.stream), equipped)


def _takes_items(items: list[Item], rules: _Rules) -> bool:
    """Whether all items can go as they are. An agent's history has hundreds, so each is looked at in few steps."""
    newer, role, quirks = rules.items, rules.role, rules.quirks
    spaces, marks = quirks.custom_tools, quirks.cache_marks
    for item in items:
        if item.type in newer or item.role == role:
            return False
        if item.id is not None and item.id.startswith(searches.SEARCH_ID):
            return False
        if item.encrypted_content is not None and item.encrypted_content.startswith(SEAL):
            return False
        output = item.output
        if output is not UNSET and memoryview(output)[0] != _QUOTE and not _takes_output(output, rules):
            return False
        if not marks and type(item.content) is list and _marks_parts(item.content):
            return False
        if not marks and item.tools is not None and _marks_tools(item.tools):
            return False
        if not spaces and item.namespace is not UNSET:
            return False
    return True


_parts: msgspec.json.Decoder[list[Part]] = msgspec.json.Decoder(list[Part])


def _takes_output(output: Raw, rules: _Rules) -> bool:
    """Whether a tool's output that is no text can go as it is."""
    quirks = rules.quirks
    try:
        parts = _parts.decode(output)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return not _marked(output, rules) and (quirks.rich_results or b'"input_image"' not in bytes(output))
    if not quirks.rich_results and any(part.type == "input_image" for part in parts):
        return False
    return quirks.cache_marks or not _marks_parts(parts)


def _takes_tools(tools: list[Tool], rules: _Rules) -> bool:
    """Whether all tools can go as they are."""
    quirks = rules.quirks
    if quirks.hosted_tools is not None and any(tool.type != "function" for tool in tools):
        return False
    if not quirks.custom_tools and any(map(_is_newer, tools)):
        return False
    return quirks.cache_marks or not _marks_tools(tools)


def _is_newer(tool: Tool) -> bool:
    """Whether only OpenAI's own servers know such a tool, or one of its members."""
    if tool.namespace is not UNSET or (tool.tools and any(map(_is_newer, tool.tools))):
        return True
    return tool.type is not None and (tool.type == "namespace" or tool.type.startswith(_NEWER_TOOLS))


def _marks_parts(parts: list[Part]) -> bool:
    """Whether a part says where a cached prefix may end."""
    return any([part.prompt_cache_breakpoint is not UNSET for part in parts])


def _marks_tools(tools: list[Tool]) -> bool:
    return any(
        tool.prompt_cache_breakpoint is not UNSET or (tool.tools is not None and _marks_tools(tool.tools))
        for tool in tools
    )


def _brings_tools(item: Item) -> bool:
    return item.type == "additional_tools"


def _searched(body: bytes, rules: _Rules) -> _Found | None:
    """What a search for marks says of a body that has no outline; None: something has to change, or it may be so."""
    top, quirks = jsonx.top(body), rules.quirks
    if not present(top.get("input")) or _marked(body, rules) or _asks_too_much(top, rules):
        return None
    if quirks.hosted_tools is not None and present(top.get("tools")) and not _functions_only(top["tools"]):
        return None
    if not quirks.rich_results and b'"function_call_output"' in body and b'"input_image"' in body:
        return None
    if quirks.strict_shape and first_byte(top["input"]) != b"[":
        return None
    equipped = quirks.strict_shape and (top.get("tools") not in _NO_TOOLS or b'"additional_tools"' in body)
    return _Found(top, top.get("model") == Raw(rules.model), top.get("stream") == TRUE, equipped)


def _marked(raw: Raw | bytes, rules: _Rules) -> bool:
    data = bytes(raw)
    return any(mark in data for mark in rules.marks)


class _Kind(msgspec.Struct):
    type: str | None = None


def _functions_only(tools: Raw) -> bool:
    try:
        return all(tool.type == "function" for tool in msgspec.json.decode(tools, type=list[_Kind]))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _asks_too_much(top: Mapping[str, Raw], rules: _Rules) -> bool:
    """Whether the request asks for something that this server has no form for."""
    quirks = rules.quirks
    if quirks.stateless and any(present(top.get(name)) for name in _MEMORY):
        return True
    # A limit that the server cannot keep is kept by the daemon, which counts what it translates.
    return "max_output_tokens" in quirks.unsupported and present(top.get("max_output_tokens"))


def _edits(found: _Found, rules: _Rules, stream: bool) -> Edits:
    """What has to change at the top."""
    top, quirks = found.top, rules.quirks
    edits: dict[str, bytes | None] = {} if found.same else {"model": rules.model}
    stream = stream or quirks.only_streams
    if found.streams != stream:
        edits["stream"] = b"true" if stream else None
    if quirks.stateless:
        edits["store"] = b"false"
    dropped = _left_out(top, rules, edits) if top else []
    if quirks.strict_shape or quirks.always_sealed:
        _shape(found, quirks, edits)
    return Edits(edits, tuple([REPORTED.get(name, name) for name in dropped]))


def _left_out(top: Mapping[str, Raw], rules: _Rules, edits: dict[str, bytes | None]) -> list[str]:
    """Takes out what the server does not take, and what is ours; returns what of it the client has to be told of."""
    quirks, lacks = rules.quirks, _lacking(top, rules)
    dropped = sorted([name for name in top if name in quirks.unsupported or (name in lacks and present(top[name]))])
    if quirks.stateless and present(top.get("background")):
        dropped.append("background")
    tier = _text(top.get("service_tier")) if quirks.tiers is not None else None
    if tier is not None and tier not in (quirks.tiers or ()):
        dropped.append("service_tier")
    edits.update(dict.fromkeys([name for name in top if name in lacks or name.startswith("__")]))
    edits.update(dict.fromkeys(dropped))
    return dropped


def _shape(found: _Found, quirks: Quirks, edits: dict[str, bytes | None]) -> None:
    """What a server insists on."""
    top = found.top
    if quirks.strict_shape:
        if not present(top.get("instructions")):
            edits["instructions"] = b'""'
        if "parallel_tool_calls" in top and not found.equipped:
            edits["parallel_tool_calls"] = None
    if quirks.always_sealed:
        include = jsonx.decode(bytes(top["include"]), list[str]) if present(top.get("include")) else []
        if ENCRYPTED not in include:
            edits["include"] = msgspec.json.encode([*include, ENCRYPTED])


def _text(raw: Raw | None) -> str | None:
    return jsonx.decode(bytes(raw), str) if raw is not None and first_byte(raw) == b'"' else None


def _lacking(top: Mapping[str, Raw], rules: _Rules) -> tuple[str, ...]:
    """The sampling knobs that the model does not take."""
    if not rules.quirks.openai_models or not any(name in top for name in SAMPLED):
        return ()
    return lacking(openai_models.facts(rules.target.model), thinking_of(top.get("reasoning")))
