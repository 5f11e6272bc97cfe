"""A Gemini client's request to the canonical form, from either spelling; `decode_parts` has the conversation's parts.

Rule: tolerant, nothing unknown is refused. Top-level fields that only this format has stay in `extras` by their
camelCase names; `__framing` there tells the stream encoder which of the two stream framings the client reads, and
`__toolConfig` this format's own encoder what the tool choice was in full.
Spec: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators.base import Hints, present
from llm_mux.translators.gemini import decode_config, fields, spelling
from llm_mux.translators.gemini.decode_parts import decode_messages, system_message
from llm_mux.translators.gemini.schemas import from_message
from llm_mux.translators.gemini.seals import OWNER
from llm_mux.translators.tools import Reading
from llm_mux.wire import jsonx

FRAMING = "__framing"
TOOL_CONFIG = "__toolConfig"
_MAPPED = frozenset(
    {"contents", "systemInstruction", "tools", "generationConfig", "model", "labels", "serviceTier", "stream"}
)
_SEARCHES = ("googleSearch", "googleSearchRetrieval", "enterpriseWebSearch")


def decode_request(body: bytes, hints: Hints) -> ir.Request:
    """The request in `body`, also one that is wrapped for counting; the model and streaming come from the route."""
    try:
        return _request(_top(body), hints)
    except jsonx.Malformed as error:
        raise bad_request(f"The request body cannot be read: {error}.") from error
    except RecursionError as error:
        raise bad_request("The request body is nested too deeply.") from error


def _top(body: bytes) -> dict[str, Raw]:
    top = {spelling.camel(name): value for name, value in jsonx.top(body).items()}
    wrapped = top.get("generateContentRequest")
    if wrapped is None or not present(wrapped):
        return top
    return fields.members("generateContentRequest", wrapped)


def _request(top: dict[str, Raw], hints: Hints) -> ir.Request:
    config = decode_config.config(top.get("generationConfig"))
    extras = {name: value for name, value in top.items() if name not in _MAPPED and present(value)}
    if config.rest:
        extras["generationConfig"] = Raw(jsonx.encode(config.rest))
    extras[FRAMING] = Raw(jsonx.encode(hints.framing))
    if "toolConfig" in extras:
        extras |= _tool_config(extras.pop("toolConfig"))
    messages, beside = decode_messages(top.get("contents"))
    offered = top.get("tools")
    tools = _listed(offered) if offered is not None and present(offered) else ()
    return ir.Request(
        model=hints.model or _model(top),
        messages=(*system_message(top.get("systemInstruction")), *messages),
        protocol=OWNER,
        stream=bool(hints.stream),
        tools=tools,
        tool_choice=decode_config.tool_choice(extras.get(TOOL_CONFIG)),
        max_tokens=config.max_tokens,
        stop=config.stop,
        sampling=config.sampling,
        thinking=config.thinking,
        output=config.output,
        modalities=config.modalities,
        service_tier=decode_config.service_tier(top.get("serviceTier")),
        metadata=top["labels"] if present(top.get("labels")) else None,
        extras=extras,
        beneath=(*sorted(beside), *(("tools.behavior",) if any(map(_answers_later, tools)) else ())),
    )


def _answers_later(tool: ir.Tool | ir.HostedTool) -> bool:
    """Whether the model goes on while the function runs."""
    return isinstance(tool, ir.Tool) and tool.native is not None and b'"NON_BLOCKING"' in bytes(tool.native.data)


def _tool_config(value: Raw) -> dict[str, Raw]:
    """The whole `toolConfig` for this format's encoder, and what in it others lose."""
    config = fields.respelled("toolConfig", value, spelling.TOOL_CONFIG)
    rest = jsonx.decode(bytes(config), dict[str, Raw])
    rest.pop("functionCallingConfig", None)
    return {TOOL_CONFIG: config} | ({"toolConfig": Raw(jsonx.encode(rest))} if rest else {})


def _model(top: dict[str, Raw]) -> str:
    name = fields.optional("model", dict(top), str)
    if not name:
        raise bad_request("The request names no model.", param="model")
    return name.rsplit("models/", 1)[-1]


def _tools(raw: bytes) -> Iterable[ir.Tool | ir.HostedTool]:
    for position, item in enumerate(fields.items("tools", Raw(raw))):
        path = f"tools[{position}]"
        for name, inner in fields.members(path, item).items():
            if name != "functionDeclarations":
                yield _hosted(name, inner)
            elif present(inner):
                listed = fields.items(f"{path}.functionDeclarations", inner)
                yield from (_tool(f"{path}.functionDeclarations[{i}]", one) for i, one in enumerate(listed))


_listed: Final = Reading(lambda raw: tuple(_tools(raw)))


def _hosted(name: str, value: Raw) -> ir.HostedTool:
    kind = "web_search" if name in _SEARCHES else name
    return ir.HostedTool(kind, ir.Native(OWNER, Raw(jsonx.encode({name: value}))))


def _tool(path: str, value: Raw) -> ir.Tool:
    """One declaration; its own JSON is the native, so that a Gemini target gets what only this format has."""
    members = fields.members(path, value)
    native = ir.Native(OWNER, Raw(jsonx.encode(members)))
    name = fields.optional(f"{path}.name", members, str)
    if not name:
        raise bad_request("A function declaration has no name.", param=f"{path}.name")
    return ir.Tool(
        name=name,
        description=fields.optional(f"{path}.description", members, str),
        schema=_schema(path, members),
        native=native,
    )


def _schema(path: str, members: dict[str, Raw]) -> Raw | None:
    given = members.get("parametersJsonSchema")
    if given is not None and present(given):
        return given
    message = members.get("parameters")
    if message is None or not present(message):
        return None
    fields.members(f"{path}.parameters", message)
    return from_message(message)
