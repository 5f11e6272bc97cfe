"""Tools and tool choice as a server takes them.

Rules. Names are the wire names of `translators.tools`. A schema stays raw bytes unless the server would refuse it.
Tools that the vendor runs: this format's own go out as they came; foreign ones are refused, except those that a
client offers always (Codex), which are dropped and reported unless a call is demanded of them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux import ir
from llm_mux.errors import refused
from llm_mux.translators import search
from llm_mux.translators.base import Target
from llm_mux.translators.openai_chat import models, wire
from llm_mux.translators.openai_chat import quirks as quirks_
from llm_mux.translators.tools import Lists, Names, lower
from llm_mux.wire import jsonx, schema


class FunctionOut(Struct, frozen=True, omit_defaults=True, gc=False):
    name: str
    description: str | UnsetType = UNSET
    parameters: Raw | UnsetType = UNSET
    strict: bool | UnsetType = UNSET


class CustomOut(Struct, frozen=True, omit_defaults=True):
    name: str
    description: str | UnsetType = UNSET
    format: Raw | UnsetType = UNSET


class ToolOut(Struct, frozen=True, omit_defaults=True, gc=False):
    type: str | UnsetType = UNSET
    function: FunctionOut | UnsetType = UNSET
    custom: CustomOut | UnsetType = UNSET
    cache_control: dict[str, str] | UnsetType = UNSET


def encode(request: ir.Request, target: Target, names: Names, dropped: list[str]) -> dict[str, object]:
    """`tools`, `tool_choice`, `parallel_tool_calls` and `web_search_options`, as far as there is anything to say."""
    quirks = quirks_.of(target)
    tools, fields = _tools(request, target, names, dropped)
    if not tools:
        return fields
    choice = request.tool_choice
    if choice is not None and choice.names and choice.mode != "tool" and not quirks.allowed_tools:
        wanted = {names.wire(name) for name in choice.names}
        tools = [tool for tool in tools if _name(tool) in wanted] or tools
    fields["tools"] = tools
    if choice is not None:
        fields |= _choice(choice, {_name(tool) for tool in tools}, target, names, dropped)
    if request.parallel_tool_calls is not None:
        if quirks.parallel_switch:
            fields["parallel_tool_calls"] = request.parallel_tool_calls
        else:
            dropped.append("parallel_tool_calls")
    return fields


def _name(tool: ToolOut | Raw) -> str:
    if isinstance(tool, Raw):
        return ""
    if tool.function is not UNSET:
        return tool.function.name
    return tool.custom.name if tool.custom is not UNSET else ""


def _tools(
    request: ir.Request, target: Target, names: Names, dropped: list[str]
) -> tuple[list[ToolOut | Raw], dict[str, object]]:
    own = _declared(request, quirks_.of(target), names)
    fields: dict[str, object] = {}
    if own.unstrict is None and len(own.tools) == len(request.tools):
        return list(own.tools), fields
    out: list[ToolOut | Raw] = []
    plain = iter(own.tools)
    for tool in request.tools:
        if isinstance(tool, ir.HostedTool):
            kept = _hosted(tool, request, target, dropped)
            if isinstance(kept, dict):
                fields |= kept
            elif kept is not None:
                out.append(kept)
            continue
        made = next(plain)
        if made is own.unstrict:
            dropped.append("tools.strict")
        out.append(made)
    return out, fields


class _Made(NamedTuple):
    """The client's own tools, and the first that should be strict and cannot."""

    names: Names
    tools: list[ToolOut]
    unstrict: ToolOut | None


_made: Final[Lists[_Made]] = Lists()


def _declared(request: ir.Request, quirks: quirks_.Quirks, names: Names) -> _Made:
    """The client's own tools, made once for a list that comes again and again."""
    # Another vendor's strict subset is not OpenAI's: a schema that is fine there is a 400 here.
    strict = quirks.strict_tools and request.protocol.startswith("openai")
    key = (strict, quirks.custom_tools, quirks.cache_control_parts)
    found = _made.get(request.tools, key)
    if found is not None and found.names is names:
        return found
    made: list[ToolOut] = []
    unstrict: ToolOut | None = None
    own = [tool for tool in request.tools if type(tool) is ir.Tool]
    for tool, lowered in zip(own, lower(request, names), strict=True):
        if tool.free_text and quirks.custom_tools and not tool.namespace:
            made.append(_custom(tool, lowered.name))
            continue
        made.append(_function(lowered, quirks, strict=strict))
        if lowered.strict and not strict and unstrict is None:
            unstrict = made[-1]
    return _made.keep(request.tools, key, _Made(names, made, unstrict))


def _function(tool: ir.Tool, quirks: quirks_.Quirks, *, strict: bool) -> ToolOut:
    kept: bool | UnsetType = UNSET if tool.strict is None or not strict else tool.strict
    function = FunctionOut(tool.name, tool.description or UNSET, parameters(tool.schema), kept)
    if tool.cache is None or not quirks.cache_control_parts:
        return ToolOut("function", function)
    ttl = {"ttl": tool.cache.ttl} if tool.cache.ttl in ("5m", "1h") else {}
    return ToolOut("function", function, cache_control={"type": "ephemeral", **ttl})


class _Members(Struct):
    """An object, whatever is in it."""


class _Shape(Struct):
    """As much of a schema as says whether it is an object schema."""

    type: Raw | UnsetType = UNSET
    properties: _Members | UnsetType = UNSET
    anyOf: Raw | UnsetType = UNSET
    oneOf: Raw | UnsetType = UNSET
    allOf: Raw | UnsetType = UNSET


_shape: msgspec.json.Decoder[_Shape] = msgspec.json.Decoder(_Shape)
_OBJECT: Final = Raw(b'"object"')


def parameters(raw: Raw | None) -> Raw | UnsetType:
    """A schema's own bytes if it is an object schema, else the schema made one; none at all means no arguments."""
    if raw is None:
        return UNSET
    try:
        shape = _shape.decode(raw)
    except msgspec.ValidationError:
        shape = _Shape()
    plain = shape.anyOf is UNSET and shape.oneOf is UNSET and shape.allOf is UNSET
    if plain and shape.type == _OBJECT and shape.properties is not UNSET:
        return raw
    return Raw(jsonx.encode(schema.ensure_object(msgspec.json.decode(raw))))


def _custom(tool: ir.Tool, name: str) -> ToolOut:
    form = UNSET if tool.custom is None else _nested(tool.custom)
    return ToolOut("custom", custom=CustomOut(name, tool.description or UNSET, form))


class _Grammar(Struct):
    type: str = ""
    syntax: str | None = None
    definition: str | None = None


def _nested(form: Raw) -> Raw:
    """A free-text tool's format in chat's form: Responses has the grammar's fields one level higher."""
    try:
        flat = msgspec.json.decode(form, type=_Grammar)
    except msgspec.ValidationError:
        return form
    if flat.type != "grammar" or flat.definition is None:
        return form
    grammar = {"syntax": flat.syntax or "lark", "definition": flat.definition}
    return Raw(msgspec.json.encode({"type": "grammar", "grammar": grammar}))


def _hosted(
    tool: ir.HostedTool, request: ir.Request, target: Target, dropped: list[str]
) -> Raw | dict[str, object] | None:
    official = quirks_.of(target).openai_models
    if tool.native.owner == wire.NAME:
        top = jsonx.top(bytes(tool.native.data))
        options = top.get("web_search_options")
        if options is None:
            return tool.native.data
        if not official or models.searches(target.model):
            return {"web_search_options": options}
    elif tool.kind == "web_search" and official and models.searches(target.model):
        return {"web_search_options": _search(tool, dropped)}
    if not _may_go_missing(tool, request):
        raise refused(f"The provider-run tool {tool.kind}", target.title, param="tools")
    dropped.append(f"tools.{tool.kind}")
    return None


def _search(tool: ir.HostedTool, dropped: list[str]) -> dict[str, object]:
    """The settings of another format's search as this one has them."""
    asked = search.settings(tool)
    dropped.extend(asked.lost("place", "size"))
    size: dict[str, object] = {"search_context_size": asked.size} if asked.size else {}
    if not asked.place:
        return size
    return {**size, "user_location": {"type": "approximate", "approximate": asked.place}}


def _may_go_missing(tool: ir.HostedTool, request: ir.Request) -> bool:
    choice = request.tool_choice
    demanded = choice is not None and choice.mode == "tool" and {tool.kind, tool.name} & set(choice.names)
    return tool.optional and not demanded


def _choice(
    choice: ir.ToolChoice, known: Collection[str], target: Target, names: Names, dropped: list[str]
) -> dict[str, object]:
    quirks = quirks_.of(target)
    wanted = [name for name in (names.wire(name) for name in choice.names) if name in known]
    if not quirks.forced_tools and choice.mode in ("any", "tool"):
        dropped.append("tool_choice")
        return {"tool_choice": "auto"}
    if choice.mode == "tool" and wanted:
        return {"tool_choice": _entry(wanted[0], names, quirks)}
    word = {"any": "required", "tool": "required", "auto": "auto", "none": "none"}[choice.mode]
    if wanted and choice.mode in ("auto", "any") and quirks.allowed_tools:
        entries = [_entry(name, names, quirks) for name in wanted]
        return {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": word, "tools": entries}}}
    return {"tool_choice": word}


def _entry(name: str, names: Names, quirks: quirks_.Quirks) -> dict[str, object]:
    client = names.to_client.get(name)
    kind = (
        "custom"
        if client is not None and client.free_text and quirks.custom_tools and not client.namespace
        else "function"
    )
    return {"type": kind, kind: {"name": name}}
