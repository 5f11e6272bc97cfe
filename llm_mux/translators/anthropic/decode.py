"""A client's Messages request in canonical form.

Rules. Only the top level is split by key; messages are read in one typed pass, one by one where that fails. What only
this format knows stays in `extras` under its wire name. Wrong types and unknown roles are BAD_REQUEST and name the
field. Spec: the Messages API page, sections 1 to 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import msgspec
from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators import history
from llm_mux.translators.anthropic import decode_blocks, opaque, wire
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
_ROLES: Final = ("user", "assistant", "system")
_TIERS: Final = {"standard_only": "default"}
_SESSION_HEADER: Final = "x-claude-code-session-id"
ATTRIBUTION_LINE: Final = "x-anthropic-billing-header"
"""How the first system block of Claude Code begins."""


def decode_request(body: bytes, hints: Hints) -> ir.Request:
    """The request in `body`; `hints.model` and `hints.stream` win over it. Raises MuxError BAD_REQUEST."""
    top = decoded(body, dict[str, Raw], "")
    scalars = _scalars(top)
    choice, parallel = _tool_choice(top.get("tool_choice"))
    config = _members(top.get("output_config"), "output_config")
    thinking = _thinking(top.get("thinking"), config.pop("effort", None))
    output = _output(config.pop("format", None), top.get("output_format"))
    extras = {key: value for key, value in top.items() if key not in _READ}
    if config:
        extras["output_config"] = Raw(msgspec.json.encode(config))
    tools = _tools(top.get("tools"))
    messages = _system(top.get("system")) + _messages(top.get("messages"))
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
        cache_key=hints.headers.get(_SESSION_HEADER),
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


def _system(raw: Raw | None) -> tuple[ir.Message, ...]:
    """The system slot as one message; its attribution line is marked for those who must leave it out."""
    if raw is None or not present(raw):
        return ()
    parts = decode_blocks.raw_content(raw, "system", "system")
    marked = tuple(_marked(part) for part in parts)
    return (ir.Message("system", marked),) if marked else ()


def _marked(part: ir.Part) -> ir.Part:
    if isinstance(part, ir.Text) and part.text.startswith(ATTRIBUTION_LINE):
        return msgspec.structs.replace(part, native=history.ATTRIBUTION)
    return part


def _messages(raw: Raw | None) -> tuple[ir.Message, ...]:
    if raw is None or not present(raw):
        raise bad_request("messages: Field required", param="messages")
    try:
        found = _typed.decode(raw)
    except msgspec.ValidationError:
        elements = decoded(raw, list[Raw], "messages")
        messages = tuple(_message(element, f"messages.{n}") for n, element in enumerate(elements))
    else:
        messages = tuple(
            ir.Message(_role(m.role, n), decode_blocks.content(m.content, m.role)) for n, m in enumerate(found)
        )
    if not messages:
        raise bad_request("messages: at least one message is required", param="messages")
    return messages


def _role(role: str, position: int) -> ir.Role:
    if role not in _ROLES:
        where = f"messages.{position}.role"
        raise bad_request(f"{where}: Input should be 'user', 'assistant' or 'system'", param=where)
    return cast(ir.Role, role)


def _message(raw: Raw, where: str) -> ir.Message:
    try:
        typed = _typed_one.decode(raw)
    except msgspec.ValidationError:
        return _odd_message(raw, where)
    return ir.Message(_role(typed.role, int(where[9:])), decode_blocks.content(typed.content, typed.role))


def _odd_message(raw: Raw, where: str) -> ir.Message:
    """A message with unknown fields or blocks, or a wrong one."""
    fields = decoded(raw, dict[str, Raw], where)
    if "role" not in fields:
        raise bad_request(f"{where}.role: Field required", param=f"{where}.role")
    role = _role(decoded(fields.pop("role"), str, f"{where}.role"), int(where[9:]))
    content = fields.pop("content", None)
    parts = decode_blocks.raw_content(content, f"{where}.content", role) if content is not None else ()
    if content is None and role != "system":
        raise bad_request(f"{where}.content: Field required", param=f"{where}.content")
    native = ir.Native(NAME, Raw(msgspec.json.encode(fields))) if fields else None
    return ir.Message(role, parts, native=native)


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


_typed: msgspec.json.Decoder[list[wire.Message]] = msgspec.json.Decoder(list[wire.Message], strict=False)
_typed_one: msgspec.json.Decoder[wire.Message] = msgspec.json.Decoder(wire.Message, strict=False)
