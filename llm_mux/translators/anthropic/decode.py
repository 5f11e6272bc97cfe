"""A client's Messages request in canonical form.

Rules. Only the top level is split by key; `decode_turns` has the messages. What only this format knows stays in
`extras` under its wire name. Wrong types and unknown roles are BAD_REQUEST and name the field.
Spec: the Messages API page, sections 1 to 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import msgspec
from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators.anthropic import decode_turns, opaque, wire
from llm_mux.translators.anthropic.decode_blocks import cache, decoded
from llm_mux.translators.anthropic.wire import NAME
from llm_mux.translators.base import Hints, present
from llm_mux.translators.tools import Reading
from llm_mux.wire import jsonx

_SCALARS: Final = frozenset(wire.Scalars.__struct_fields__)
_READ: Final = _SCALARS | {
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "metadata",
}
_TIERS: Final = {"standard_only": "default"}


def decode_request(body: bytes, hints: Hints) -> ir.Request:
    """The request in `body`; `hints.model` and `hints.stream` win over it. Raises MuxError BAD_REQUEST."""
    found = decode_turns.look(body)
    top = found.top
    scalars = _scalars(top)
    choice, parallel = _tool_choice(top.get("tool_choice"))
    config = _members(top.get("output_config"), "output_config")
    thinking = _thinking(top.get("thinking"), config.pop("effort", None))
    output = _output(config.pop("format", None), top.get("output_format"))
    extras = {key: value for key, value in top.items() if key not in _READ}
    if config:
        extras["output_config"] = Raw(msgspec.json.encode(config))
    tools = _tools(top.get("tools"))
    messages = decode_turns.messages(body, found)
    return ir.Request(
        model=_model(hints.model or scalars.model),
        messages=messages,
        protocol=NAME,
        stream=bool(scalars.stream) if hints.stream is None else hints.stream,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_tokens=scalars.max_tokens,
        stop=tuple(scalars.stop_sequences or ()),
        sampling=ir.Sampling(temperature=scalars.temperature, top_p=scalars.top_p, top_k=scalars.top_k),
        thinking=thinking,
        output=output,
        user=_user(top.get("metadata")),
        cache_key=hints.headers.get(decode_turns.SESSION_HEADER),
        service_tier=_TIERS.get(scalars.service_tier or "", scalars.service_tier),
        cache=cache(scalars.cache_control),
        extras=extras,
        beneath=(*_beneath(tools), *opaque.of_system(messages)),
    )


def _beneath(tools: Sequence[ir.Tool | ir.HostedTool]) -> tuple[str, ...]:
    """What tools of the client's tell the model that no other format has a place for."""
    natives = [tool.native.data for tool in tools if isinstance(tool, ir.Tool) and tool.native is not None]
    shown = any(b'"input_examples"' in bytes(data) and "input_examples" in jsonx.top(bytes(data)) for data in natives)
    return ("tools.input_examples",) if shown else ()


def _scalars(top: dict[str, Raw]) -> wire.Scalars:
    plain = {key: value for key, value in top.items() if key in _SCALARS}
    return decoded(msgspec.json.encode(plain), wire.Scalars, "")


def _model(model: str | None) -> str:
    if not model:
        raise bad_request("model: Field required", param="model")
    return model


def _members(raw: Raw | None, where: str) -> dict[str, Raw]:
    return decoded(raw, dict[str, Raw], where) if raw is not None and present(raw) else {}


def _tools(raw: Raw | None) -> tuple[ir.Tool | ir.HostedTool, ...]:
    if raw is None or not present(raw):
        return ()
    return _listed(raw)


def _read_tools(raw: bytes) -> tuple[ir.Tool | ir.HostedTool, ...]:
    return tuple(_tool(tool, f"tools.{n}") for n, tool in enumerate(decoded(raw, list[Raw], "tools")))


_listed: Final = Reading(_read_tools)
_TOOL_FIELDS: Final = frozenset(wire.Tool.__struct_fields__)


def _tool(raw: Raw, where: str) -> ir.Tool | ir.HostedTool:
    fields = decoded(raw, dict[str, Raw], where)
    tool = decoded(raw, wire.Tool, where)
    if tool.type not in (None, "custom") and "input_schema" not in fields:
        kind = "web_search" if tool.type and tool.type.startswith("web_search_") else tool.type or ""
        return ir.HostedTool(kind, ir.Native(NAME, raw), name=tool.name or tool.type)
    if not tool.name:
        raise bad_request(f"{where}.name: Field required", param=f"{where}.name")
    extras = {key: value for key, value in fields.items() if key not in _TOOL_FIELDS}
    return ir.Tool(
        tool.name,
        tool.description,
        None if not present(tool.input_schema) else cast(Raw, tool.input_schema),
        tool.strict,
        cache=cache(tool.cache_control),
        native=ir.Native(NAME, Raw(msgspec.json.encode(extras))) if extras else None,
    )


def _tool_choice(raw: Raw | None) -> tuple[ir.ToolChoice | None, bool | None]:
    """The choice, and whether several calls at once are allowed (None: not said)."""
    if raw is None or not present(raw):
        return None, None
    found = decoded(raw, wire.ToolChoice, "tool_choice")
    parallel = None if found.disable_parallel_tool_use is None else not found.disable_parallel_tool_use
    match found.type:
        case "auto" | "any" | "none":
            return ir.ToolChoice(found.type), parallel
        case "tool" if found.name:
            return ir.ToolChoice("tool", (found.name,)), parallel
        case "tool":
            raise bad_request("tool_choice.name: Field required", param="tool_choice.name")
        case _:
            message = "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'"
            raise bad_request(message, param="tool_choice.type")


def _thinking(raw: Raw | None, effort: Raw | None) -> ir.Thinking:
    """`thinking` and `output_config.effort`; `native` holds both as they came."""
    sent = {key: value for key, value in (("thinking", raw), ("effort", effort)) if present(value)}
    if not sent:
        return ir.Thinking()
    native = ir.Native(NAME, Raw(msgspec.json.encode(sent)))
    word = decoded(effort, str, "output_config.effort") if effort is not None and present(effort) else None
    if raw is None or not present(raw):
        return ir.Thinking(effort=word, native=native)
    config = decoded(raw, _ThinkingIn, "thinking")
    show = None if config.display is None else config.display != "omitted"
    match config.type:
        case "enabled":
            return ir.Thinking(effort=word, budget=config.budget_tokens or -1, show=show, native=native)
        case "disabled" | "between_tools":
            return ir.Thinking(effort="none", native=native)
        case _:
            return ir.Thinking(effort=word, adaptive=True, show=show, native=native)


class _ThinkingIn(Struct, frozen=True):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


def _output(raw: Raw | None, old: Raw | None) -> ir.OutputFormat:
    """`output_config.format`, or `output_format` as clients of the beta of 2025 send it."""
    chosen, where = (raw, "output_config.format") if raw is not None and present(raw) else (old, "output_format")
    if chosen is None or not present(chosen):
        return ir.OutputFormat()
    found = decoded(chosen, wire.Format, where)
    if not present(found.schema):
        return ir.OutputFormat()
    return ir.OutputFormat("schema", schema=cast(Raw, found.schema))


def _user(raw: Raw | None) -> str | None:
    if raw is None or not present(raw):
        return None
    return decoded(raw, wire.Metadata, "metadata").user_id
