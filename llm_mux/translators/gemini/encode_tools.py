"""Tools and the tool choice for a Gemini upstream: functions in one tool object, each of Google's own tools in another.

Rules. Another vendor's web search becomes `googleSearch`, beside functions only for models that take the mix. Else it
is refused, as other vendors' own tools are, unless the client offers the tool always and does not demand it: then it is
left out and reported.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.errors import refused
from llm_mux.translators import search, tools
from llm_mux.translators.base import usable
from llm_mux.translators.gemini.decode import TOOL_CONFIG
from llm_mux.translators.gemini.outlook import Outlook
from llm_mux.translators.gemini.schemas import for_tool
from llm_mux.translators.gemini.seals import OWNER
from llm_mux.wire import jsonx

NAME_RULES = tools.NameRules(limit=64, marks="_-", letter_first=True)
OWN_NAME_RULES = tools.NameRules(limit=128, marks="_.:-", letter_first=True)


class _Declaration(Struct, frozen=True, omit_defaults=True):
    name: str
    description: str | None = None
    parameters: Raw | None = None
    parametersJsonSchema: Raw | None = None


def encoded_tools(look: Outlook) -> list[object]:
    """The `tools` list, empty when nothing is left."""
    functions = _functions(look)
    made: list[object] = []
    if functions:
        made.append({"functionDeclarations": functions})
    made.extend(
        hosted
        for tool in look.request.tools
        if isinstance(tool, ir.HostedTool)
        for hosted in _hosted(tool, look, beside=bool(functions))
    )
    return made


class _Made(NamedTuple):
    names: tools.Names
    functions: list[object]


_made: Final[tools.Lists[_Made]] = tools.Lists()


def _functions(look: Outlook) -> list[object]:
    """The declarations of the client's own tools, made once for a list that comes again and again."""
    choice, listed = look.request.tool_choice, look.request.tools
    if choice is not None and choice.names:
        offered = [tool for tool in tools.lower(look.request, look.names) if _offered(tool.name, look)]
        return [_declaration(tool, look) for tool in offered]
    key = (look.target.model, look.json_schema)
    found = _made.get(listed, key)
    if found is None or found.names is not look.names:
        functions = [_declaration(tool, look) for tool in tools.lower(look.request, look.names)]
        found = _made.keep(listed, key, _Made(look.names, functions))
    return found.functions


def _offered(wire_name: str, look: Outlook) -> bool:
    """A free choice among some tools has no form in older models: they get only those tools."""
    choice = look.request.tool_choice
    if choice is None or choice.mode != "auto" or not choice.names or look.facts.validated_mode:
        return True
    return wire_name in {_wire_name(name, look) for name in choice.names}


def _declaration(tool: ir.Tool, look: Outlook) -> object:
    if tool.native is not None and usable(tool.native, OWNER, look.target.model):
        own = jsonx.decode(bytes(tool.native.data), dict[str, Raw])
        readable = look.json_schema or "parametersJsonSchema" not in own
        if readable and jsonx.decode(bytes(own["name"]), str) == tool.name:
            return tool.native.data
    schema = None if tool.schema is None else for_tool(tool.schema, json_schema=look.json_schema)
    if look.json_schema:
        return _Declaration(tool.name, tool.description, parametersJsonSchema=schema)
    return _Declaration(tool.name, tool.description, parameters=schema)


def _hosted(tool: ir.HostedTool, look: Outlook, *, beside: bool) -> list[object]:
    """The form of one hosted tool, none when it is left out. `beside`: there are functions too."""
    if usable(tool.native, OWNER, look.target.model):
        return [tool.native.data]
    demanded = look.request.tool_choice is not None and (tool.name or tool.kind) in look.request.tool_choice.names
    if _is_googles(tool, look) and (not beside or look.facts.search_with_functions):
        return [{"googleSearch": _search(tool, look)}]
    if tool.optional and not demanded:
        look.drop(f"tools.{tool.kind}")
        return []
    raise refused(f"The hosted tool {tool.kind}", look.target.title, param="tools")


def _search(tool: ir.HostedTool, look: Outlook) -> dict[str, object]:
    """The settings of another vendor's search that Google's has too: on Vertex AI domains to leave out."""
    asked = search.settings(tool)
    excludes = look.quirks.vertex and bool(asked.blocked)
    for name in asked.lost(*(("blocked",) if excludes else ())):
        look.drop(name)
    return {"excludeDomains": asked.blocked} if excludes else {}


def _is_googles(tool: ir.HostedTool, look: Outlook) -> bool:
    """Whether another vendor's tool is one that Google has too."""
    return tool.kind == "web_search" and look.quirks.web_search


def encoded_choice(look: Outlook) -> dict[str, object] | Raw | None:
    """The `toolConfig`, the client's own one where it spoke this format."""
    own = look.request.extras.get(TOOL_CONFIG) if look.same_format else None
    if own is not None:
        return own
    functions = [tool for tool in look.request.tools if isinstance(tool, ir.Tool)]
    if look.request.parallel_tool_calls is False and functions:
        look.drop("parallel_tool_calls")
    calling = _calling(look, functions)
    made: dict[str, object] = {} if calling is None else {"functionCallingConfig": calling}
    if functions and look.facts.search_with_functions and any(_is_googles(tool, look) for tool in _others(look)):
        made["includeServerSideToolInvocations"] = True
    return made or None


def _others(look: Outlook) -> list[ir.HostedTool]:
    return [tool for tool in look.request.tools if isinstance(tool, ir.HostedTool)]


def _calling(look: Outlook, functions: list[ir.Tool]) -> dict[str, object] | None:
    choice = look.request.tool_choice
    if not functions:
        if choice is not None and choice.mode in ("any", "tool"):
            look.drop("tool_choice")
        return None
    strict = any(tool.strict for tool in functions)
    if strict and not look.facts.validated_mode:
        look.drop("tools.strict")
    mode: Literal["auto", "any", "tool", "none"] = "auto" if choice is None else choice.mode
    hosted = {name for tool in _others(look) for name in (tool.name, tool.kind)}
    names = [_wire_name(name, look) for name in choice.names if name not in hosted] if choice is not None else []
    if choice is not None and choice.names and not names:
        # Nothing makes the model use a tool of Google's own.
        look.drop("tool_choice")
        return None
    if mode in ("any", "tool"):
        return {"mode": "ANY", "allowedFunctionNames": names} if names else {"mode": "ANY"}
    if mode == "none":
        return {"mode": "NONE"}
    if names and look.facts.validated_mode:
        return {"mode": "VALIDATED", "allowedFunctionNames": names}
    if strict and look.facts.validated_mode:
        return {"mode": "VALIDATED"}
    return None if choice is None else {"mode": "AUTO"}


def _wire_name(name: str, look: Outlook) -> str:
    for tool in look.request.tools:
        if isinstance(tool, ir.Tool) and name in (tool.name, f"{tool.namespace}__{tool.name}"):
            return look.names.wire(tool.name, tool.namespace)
    return look.names.wire(name)
