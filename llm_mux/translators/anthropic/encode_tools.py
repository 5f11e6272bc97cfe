"""Tools, the choice among them, and the output format of a request.

Decisions. Schemas stay as they came unless the API would refuse them. A forced call to a model that refuses forcing
becomes a request in words, for tools that are then `strict` where that takes nothing from their schema. A schema for a
model without structured outputs is put into words. Of another vendor's tools only web search has a form here.
Spec: the Messages API page, sections 3 and 4; translation matrix, sections 3, 6, 12.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux import ir
from llm_mux.errors import refused
from llm_mux.translators import search, tools
from llm_mux.translators.anthropic import marks, wire
from llm_mux.translators.anthropic.outlook import Outlook
from llm_mux.translators.anthropic.wire import NAME
from llm_mux.translators.base import present
from llm_mux.translators.foreign import described
from llm_mux.wire import jsonx, schema

_NO_ARGUMENTS: Final = Raw(b'{"type":"object","properties":{}}')


class Toolbox(NamedTuple):
    """`tools`, `tool_choice`, and a sentence for the prompt where a choice cannot be said otherwise."""

    tools: list[wire.Tool | Raw]
    choice: wire.ToolChoice | None
    sentence: str | None = None


def toolbox(look: Outlook) -> Toolbox:
    request = look.request
    declared = _declared(look)
    hosted = [found for tool in request.tools if isinstance(tool, ir.HostedTool) for found in _hosted(tool, look)]
    offered: list[wire.Tool | Raw] = [*declared, *hosted]
    if not offered and not look.own and (called := _called(look)):
        return Toolbox(called, wire.ToolChoice("none"))
    if not offered:
        return Toolbox([], None)
    return _with_choice(offered, look)


class _Made(NamedTuple):
    names: tools.Names
    tools: list[wire.Tool | Raw]
    lost_strict: bool


_made: Final[tools.Lists[_Made]] = tools.Lists()


def _declared(look: Outlook) -> list[wire.Tool | Raw]:
    """The client's own tools, made once for a list that comes again and again."""
    choice, listed = look.request.tool_choice, look.request.tools
    if choice is not None and (choice.names or choice.mode in ("any", "tool")):
        return [_tool(tool, look) for tool in _offered(look)]
    key = (look.structured and look.quirks.strict_tools, look.own, ir.family(look.target.model) == "claude")
    found = _made.get(listed, key)
    if found is None or found.names is not look.names:
        made: list[wire.Tool | Raw] = [_tool(tool, look) for tool in _offered(look)]
        found = _made.keep(listed, key, _Made(look.names, made, "tools.strict" in look.dropped))
    if found.lost_strict:
        look.drop("tools.strict")
    return list(found.tools)


def _offered(look: Outlook) -> list[ir.Tool]:
    """The client's own tools under their wire names, only the allowed ones where a subset was chosen."""
    lowered = tools.lower(look.request, look.names)
    choice = look.request.tool_choice
    if choice is None or not choice.names or choice.mode == "tool":
        return list(lowered)
    allowed = {look.names.wire(name) for name in choice.names}
    return [tool for tool in lowered if tool.name in allowed]


def _called(look: Outlook) -> list[wire.Tool | Raw]:
    """Definitions for calls of the history when the request has none: the API wants calls to be of known tools."""
    parts = (part for message in look.request.messages for part in message.parts)
    names = dict.fromkeys(look.names.wire(p.name, p.namespace) for p in parts if isinstance(p, ir.ToolCall))
    return [wire.Tool(name, input_schema=_NO_ARGUMENTS) for name in names]


def _tool(tool: ir.Tool, look: Outlook) -> wire.Tool | Raw:
    strict = bool(tool.strict or _demanded(tool, look)) and look.structured and look.quirks.strict_tools
    if tool.strict and not strict:
        look.drop("tools.strict")
    found = wire.Tool(
        name=tool.name,
        description=tool.description or None,
        input_schema=_schema(tool.schema, look, strict=strict),
        strict=strict or None,
        cache_control=None if tool.cache is None else marks.control(tool.cache.ttl),
    )
    native = tool.native
    if native is None or native.owner != NAME or ir.family(look.target.model) != "claude":
        return found
    extras = jsonx.top(bytes(native.data))
    if bytes(extras.get("defer_loading", b"")) == b"true":
        found = msgspec.structs.replace(found, cache_control=None)
    return Raw(jsonx.splice(msgspec.json.encode(found), {key: bytes(value) for key, value in extras.items()}))


def _demanded(tool: ir.Tool, look: Outlook) -> bool:
    """Whether a call is demanded that the model lets nobody force, and its schema can be held to the letter instead."""
    choice = look.request.tool_choice
    if choice is None or choice.mode not in ("any", "tool") or look.forced or look.own or tool.schema is None:
        return False
    meant = choice.mode == "any" or not choice.names or tool.name == look.names.wire(choice.names[0])
    return meant and schema.fits_anthropic_strict(msgspec.json.decode(tool.schema))


class _Head(Struct, frozen=True):
    """What decides whether a schema may go as it is."""

    type: Any = None
    anyOf: Raw | UnsetType = UNSET
    oneOf: Raw | UnsetType = UNSET
    allOf: Raw | UnsetType = UNSET


def _schema(raw: Raw | None, look: Outlook, *, strict: bool) -> Raw:
    if raw is None or not present(raw):
        return _NO_ARGUMENTS
    if strict and not look.own:
        return Raw(jsonx.encode(schema.for_anthropic_strict(schema.ensure_object(msgspec.json.decode(raw)))))
    try:
        head = msgspec.json.decode(raw, type=_Head)
    except msgspec.ValidationError:
        head = _Head()
    if head.type == "object" and head.anyOf is UNSET and head.oneOf is UNSET and head.allOf is UNSET:
        return raw
    return Raw(jsonx.encode(schema.ensure_object(msgspec.json.decode(raw))))


def _hosted(tool: ir.HostedTool, look: Outlook) -> list[Raw]:
    ours = tool.native.owner == NAME and (look.own or ir.family(look.target.model) == "claude")
    if ours and (tool.kind != "web_search" or look.quirks.web_search):
        return [tool.native.data]
    if tool.kind == "web_search" and look.quirks.web_search:
        return [_search(tool, look)]
    if not tool.optional:
        raise refused(f"The tool `{tool.name or tool.kind}`", look.target.title, param="tools")
    look.drop(f"tools.{tool.kind}")
    return []


def _search(tool: ir.HostedTool, look: Outlook) -> Raw:
    asked = search.settings(tool)
    for name in asked.lost("allowed", "blocked", "place", "most"):
        look.drop(name)
    made = {
        "type": look.quirks.web_search,
        "name": "web_search",
        "allowed_domains": asked.allowed or None,
        "blocked_domains": asked.blocked or None,
        "max_uses": asked.most,
        "user_location": {"type": "approximate", **asked.place} if asked.place else None,
    }
    return Raw(jsonx.encode({key: value for key, value in made.items() if value is not None}))


def _with_choice(offered: list[wire.Tool | Raw], look: Outlook) -> Toolbox:
    choice = look.request.tool_choice
    single = True if look.request.parallel_tool_calls is False else None
    if choice is None:
        return Toolbox(offered, wire.ToolChoice("auto", disable_parallel_tool_use=True) if single else None)
    if choice.mode == "none":
        return Toolbox(offered, wire.ToolChoice("none"))
    if choice.mode == "auto":
        return Toolbox(offered, wire.ToolChoice("auto", disable_parallel_tool_use=single))
    name = look.names.wire(choice.names[0]) if choice.mode == "tool" and choice.names else None
    if look.forced or look.own:
        return Toolbox(offered, wire.ToolChoice("tool" if name else "any", name, single))
    look.drop("tool_choice")
    which = f"the tool `{name}`" if name else "one of the tools"
    return Toolbox(offered, wire.ToolChoice("auto", disable_parallel_tool_use=single), f"Answer by calling {which}.")


def output_format(look: Outlook) -> tuple[wire.Format | None, str | None]:
    """`output_config.format`, or the sentence that stands for it."""
    output = look.request.output
    if output.kind == "json":
        return None, "Answer with one JSON object and nothing else: no prose around it and no code fence."
    raw = described(output)
    if output.kind == "text" or raw is None:
        return None, None
    if not look.structured:
        look.drop("response_format")
        text = bytes(jsonx.compact(raw)).decode()
        return None, f"Answer with JSON that follows this JSON Schema, and nothing else:\n{text}"
    if not look.own:
        raw = Raw(jsonx.encode(schema.for_anthropic_strict(msgspec.json.decode(raw))))
    return wire.Format("json_schema", raw), None
