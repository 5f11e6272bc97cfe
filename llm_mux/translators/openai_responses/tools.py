"""Tools and tool choice: as clients of this format offer them, and as we offer them to a server of this format.

Decisions. Functions, free-text tools and the members of namespaces are the client's own tools and work on every target.
`tool_search` that the client runs itself becomes a function of that name; one that the server runs only finds tools
that are in the request anyway, so it is optional. Tools that the vendor runs are `HostedTool`; those that Codex puts
into every request, asked or not, are `optional` (dropped and reported by targets without them) unless the tool choice
demands them. Spec: the Responses API page, section 4; translation matrix, sections 3 and 12.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux import ir
from llm_mux.errors import bad_request, refused
from llm_mux.translators import search
from llm_mux.translators.base import Target
from llm_mux.translators.openai_responses import wire
from llm_mux.translators.openai_responses.quirks import Quirks
from llm_mux.translators.openai_responses.reading import OWNER, first_byte, present, read
from llm_mux.translators.tools import NameRules, Names, lower
from llm_mux.wire import jsonx, schema

RULES = NameRules(limit=64, marks="_-")
SEARCH = "tool_search"
NO_ARGUMENTS = Raw(b'{"type":"object","properties":{}}')
_SEARCH_SCHEMA = Raw(b'{"type":"object","properties":{"query":{"type":"string"}},"required":["query"]}')
ELSEWHERE = Raw(b'{"elsewhere":true}')
"""Stands for the raw form of a tool that is sent within an input item and not in `tools`."""

_SEARCH_ELSEWHERE = Raw(b'{"type":"tool_search","elsewhere":true}')

# Clients whose `strict` means what it means here (Anthropic's has another subset of JSON Schema).
_OPENAI = (OWNER, "openai_chat")

Tools = tuple[ir.Tool | ir.HostedTool, ...]


def decode_tools(raws: Iterable[Raw], where: str, *, codex: bool = False, elsewhere: bool = False) -> Tools:
    """Tools of a client. `elsewhere`: they stand in an input item, which this format's own encoder sends again."""
    found: list[ir.Tool | ir.HostedTool] = []
    for index, raw in enumerate(raws):
        place = f"{where}[{index}]"
        tool = read(raw, wire.Tool, place)
        if tool.type == "namespace":
            found.extend(_members(tool, place, elsewhere))
        else:
            found.append(_tool(tool, raw, place, codex=codex, elsewhere=elsewhere))
    return tuple(found)


def _tool(tool: wire.Tool, raw: Raw, where: str, *, codex: bool, elsewhere: bool) -> ir.Tool | ir.HostedTool:
    native = ir.Native(OWNER, ELSEWHERE if elsewhere else raw)
    match tool.type:
        case "function" | "custom":
            return _own_tool(tool, native, where)
        case "tool_search" if tool.execution == "client":
            parameters = tool.parameters if present(tool.parameters) else _SEARCH_SCHEMA
            native = ir.Native(OWNER, _SEARCH_ELSEWHERE if elsewhere else raw)
            return ir.Tool(SEARCH, description=tool.description, schema=parameters, native=native)
        case None:
            raise bad_request(f"`{where}` has no `type`.", param=f"{where}.type", code="missing_required_parameter")
        case kind:
            native = ir.Native(OWNER, Raw(jsonx.splice(bytes(raw), {"elsewhere": b"true"})) if elsewhere else raw)
            optional = codex or kind in ("tool_search", "programmatic_tool_calling")
            return ir.HostedTool(hosted_kind(kind), native, name=tool.name, optional=optional)


def _own_tool(tool: wire.Tool, native: ir.Native, where: str, group: wire.Tool | None = None) -> ir.Tool:
    if not tool.name:
        raise bad_request(f"`{where}` has no `name`.", param=f"{where}.name", code="missing_required_parameter")
    free = tool.type == "custom"
    return ir.Tool(
        tool.name,
        description=tool.description,
        schema=tool.parameters if present(tool.parameters) and not free else None,
        strict=tool.strict,
        custom=tool.format if free and present(tool.format) else None,
        free_text=free,
        namespace=group.name if group else None,
        namespace_description=group.description if group else None,
        native=native,
    )


def _members(group: wire.Tool, where: str, elsewhere: bool) -> Iterable[ir.Tool]:
    if not group.name:
        raise bad_request(f"`{where}` has no `name`.", param=f"{where}.name", code="missing_required_parameter")
    for index, raw in enumerate(group.tools or ()):
        place = f"{where}.tools[{index}]"
        native = ir.Native(OWNER, ELSEWHERE if elsewhere else raw)
        yield _own_tool(read(raw, wire.Tool, place), native, place, group)


def hosted_kind(kind: str) -> str:
    """The kind of a hosted tool: the dated and preview spellings of web search are one."""
    return "web_search" if kind.startswith("web_search") else kind


_CHOICES = {
    "auto": ir.ToolChoice("auto"),
    "required": ir.ToolChoice("any"),
    "any": ir.ToolChoice("any"),
    "none": ir.ToolChoice("none"),
}


def decode_choice(raw: Raw | None) -> ir.ToolChoice | None:
    """`tool_choice`, a word or an object."""
    if not present(raw):
        return None
    if first_byte(raw) == b'"':
        word = read(raw, str, "tool_choice")
        if word not in _CHOICES:
            message = "`tool_choice` must be none, auto, required or an object that names tools."
            raise bad_request(message, param="tool_choice", code="invalid_value")
        return _CHOICES[word]
    return _chosen(read(raw, wire.ToolChoice, "tool_choice"))


def _chosen(choice: wire.ToolChoice) -> ir.ToolChoice:
    match choice.type:
        case "allowed_tools":
            names = tuple(tool.name or hosted_kind(tool.type or "") for tool in choice.tools or ())
            return ir.ToolChoice("any" if choice.mode == "required" else "auto", names)
        case "function" | "custom" if choice.name:
            return ir.ToolChoice("tool", (choice.name,))
        case "function" | "custom" | None:
            raise bad_request("`tool_choice` names no tool.", param="tool_choice.name")
        case kind:
            return ir.ToolChoice("tool", (choice.name or choice.server_label or hosted_kind(kind),))


def client_searches(request: ir.Request) -> bool:
    """Whether the function named `tool_search` is the search that the client runs, which has an item of its own."""
    return any(
        isinstance(tool, ir.Tool) and tool.name == SEARCH and tool.native is not None and _is_search(tool.native)
        for tool in request.tools
    )


def _is_search(native: ir.Native) -> bool:
    return native.owner == OWNER and msgspec.json.decode(native.data, type=wire.ItemKind).type == "tool_search"


def demanded(tools: Tools, choice: ir.ToolChoice | None) -> Tools:
    """`tools`, with the hosted ones that the tool choice demands no longer optional."""
    if choice is None or choice.mode not in ("tool", "any") or not choice.names:
        return tools
    wanted = frozenset(choice.names)
    return tuple(
        msgspec.structs.replace(tool, optional=False)
        if isinstance(tool, ir.HostedTool) and tool.optional and wanted & {tool.kind, tool.name}
        else tool
        for tool in tools
    )


def encode_tools(
    request: ir.Request, names: Names, target: Target, quirks: Quirks, dropped: list[str]
) -> list[Raw | Struct]:
    """The `tools` to send; what went is named in `dropped`."""
    strict = request.protocol in _OPENAI
    if not strict and any(isinstance(tool, ir.Tool) and tool.strict for tool in request.tools):
        # Another vendor's strict subset is not OpenAI's: a schema that is fine there is a 400 here.
        dropped.append("tools.strict")
    plain = iter(()) if quirks.custom_tools else iter(lower(request, names))
    out: list[Raw | Struct] = []
    for tool in request.tools:
        if isinstance(tool, ir.HostedTool):
            out.extend(_hosted_out(tool, target, quirks, dropped))
        elif not quirks.custom_tools:
            out.append(_function_out(next(plain), strict))
        elif not _stands_elsewhere(tool):
            _append(out, tool, names, strict)
    return out


def _stands_elsewhere(tool: ir.Tool) -> bool:
    native = tool.native
    return native is not None and native.owner == OWNER and native.data in (ELSEWHERE, _SEARCH_ELSEWHERE)


def _append(out: list[Raw | Struct], tool: ir.Tool, names: Names, strict: bool) -> None:
    """Adds a tool, to the namespace that is still open when it belongs to it."""
    made = _own_out(tool, names, strict)
    if tool.namespace is None:
        out.append(made)
        return
    last = out[-1] if out else None
    if not isinstance(last, wire.NamespaceOut) or last.name != tool.namespace:
        last = wire.NamespaceOut(tool.namespace, tool.namespace_description or "", [])
        out.append(last)
    last.tools.append(made)


def _own_out(tool: ir.Tool, names: Names, strict: bool) -> Raw | Struct:
    name = tool.name if tool.namespace else names.wire(tool.name)
    if tool.native is not None and tool.native.owner == OWNER and name == tool.name:
        return tool.native.data
    if tool.free_text:
        return wire.CustomToolOut(name, tool.description, tool.custom if tool.custom is not None else UNSET)
    return _function_out(msgspec.structs.replace(tool, name=name), strict)


def _function_out(tool: ir.Tool, strict: bool) -> wire.FunctionToolOut:
    return wire.FunctionToolOut(tool.name, strict and bool(tool.strict), object_schema(tool.schema), tool.description)


class _Top(Struct):
    type: Raw | UnsetType = UNSET
    properties: Raw | UnsetType = UNSET
    anyOf: Raw | UnsetType = UNSET
    oneOf: Raw | UnsetType = UNSET
    allOf: Raw | UnsetType = UNSET


_OBJECT = Raw(b'"object"')
_top: msgspec.json.Decoder[_Top] = msgspec.json.Decoder(_Top)


def object_schema(raw: Raw | None) -> Raw:
    """`raw` itself when it describes an object, else a schema that does."""
    if raw is None or not present(raw):
        return NO_ARGUMENTS
    try:
        top = _top.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return NO_ARGUMENTS
    unions = top.anyOf, top.oneOf, top.allOf
    if top.type == _OBJECT and present(top.properties) and not any(present(union) for union in unions):
        return raw
    return Raw(jsonx.encode(schema.ensure_object(msgspec.json.decode(raw))))


def _hosted_out(tool: ir.HostedTool, target: Target, quirks: Quirks, dropped: list[str]) -> Sequence[Raw | Struct]:
    known = quirks.hosted_tools is None or tool.kind in quirks.hosted_tools
    if known and tool.native.owner == OWNER:
        return () if _is_elsewhere(tool.native.data) else (tool.native.data,)
    if known and tool.kind == "web_search":
        return (_web_search(tool, dropped),)
    if tool.optional:
        dropped.append(f"tools.{tool.kind}")
        return ()
    raise refused(f"The tool type `{tool.kind}`", target.title, param="tools")


class _Elsewhere(Struct):
    elsewhere: bool = False


def _is_elsewhere(raw: Raw) -> bool:
    return b'"elsewhere"' in bytes(raw) and msgspec.json.decode(raw, type=_Elsewhere).elsewhere


class _WebSearchOut(Struct, tag_field="type", tag="web_search", omit_defaults=True):
    filters: dict[str, tuple[str, ...]] | None = None
    user_location: dict[str, str] | None = None
    search_context_size: str | None = None


def _web_search(tool: ir.HostedTool, dropped: list[str]) -> _WebSearchOut:
    asked = search.settings(tool)
    dropped.extend(asked.lost("allowed", "place", "size"))
    filters = {"allowed_domains": asked.allowed} if asked.allowed else None
    location = {"type": "approximate", **asked.place} if asked.place else None
    return _WebSearchOut(filters, location, asked.size)


def encode_choice(choice: ir.ToolChoice, request: ir.Request, names: Names, quirks: Quirks) -> object:
    """`tool_choice` to send: a word, or the object that names tools."""
    words = {"auto": "auto", "any": "required", "none": "none", "tool": "required"}
    if not choice.names:
        return words[choice.mode]
    named = [_named(name, request, names, quirks) for name in choice.names]
    if choice.mode == "tool":
        return named[0]
    return {"type": "allowed_tools", "mode": words[choice.mode], "tools": named}


def _named(name: str, request: ir.Request, names: Names, quirks: Quirks) -> dict[str, str]:
    for tool in request.tools:
        if isinstance(tool, ir.HostedTool):
            if name in (tool.kind, tool.name):
                return {"type": "web_search_preview" if tool.kind == "web_search" else tool.kind}
        elif tool.name == name:
            free = tool.free_text and quirks.custom_tools
            wire_name = name if tool.namespace and quirks.custom_tools else names.wire(name, tool.namespace)
            return {"type": "custom" if free else "function", "name": wire_name}
    return {"type": "function", "name": names.wire(name)}
