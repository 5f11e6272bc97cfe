"""A client's Converse request in canonical form.

Rules. The model stands in the path. Fields of Claude's own API in `additionalModelRequestFields` are understood (how
deep to think, `top_k`); what is left of them, and every other field that only this format knows, stays in `extras`
under its wire name. Spec: the Bedrock Runtime page, section 2.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators.base import Hints, present
from llm_mux.translators.bedrock import decode_blocks, wire
from llm_mux.translators.bedrock.decode_blocks import decoded
from llm_mux.translators.bedrock.wire import NAME

T = TypeVar("T")
_ROLES: Final = ("user", "assistant", "system")
_READ: Final = frozenset(
    {"messages", "system", "inferenceConfig", "toolConfig", "outputConfig", "serviceTier", "requestMetadata"}
    | {"additionalModelRequestFields", "modelId"}
)
EXTRA: Final = "additionalModelRequestFields"


def decode_request(body: bytes, hints: Hints) -> ir.Request:
    """The request in `body` for `hints.model`. Raises MuxError BAD_REQUEST."""
    top = decoded(body or b"{}", dict[str, Raw], "")
    if not hints.model:
        raise bad_request("The model id is missing in the path.", param="modelId")
    family = _family(hints.model)
    inference = _typed(top, "inferenceConfig", wire.Inference) or wire.Inference()
    output = _typed(top, "outputConfig", wire.OutputConfig) or wire.OutputConfig()
    config = _typed(top, "toolConfig", wire.ToolConfig) or wire.ToolConfig([])
    native = _members(top.get(EXTRA))
    thinking = _thinking(native, output.effort)
    top_k = _number(native)
    parallel = _parallel(native)
    extras = {key: value for key, value in top.items() if key not in _READ}
    if native:
        extras[EXTRA] = Raw(msgspec.json.encode(native))
    tier = _typed(top, "serviceTier", wire.Tier)
    return ir.Request(
        model=hints.model,
        messages=_system(top.get("system"), family) + _messages(top.get("messages"), family),
        protocol=NAME,
        stream=bool(hints.stream),
        tools=_tools(config.tools),
        tool_choice=_choice(config.toolChoice),
        parallel_tool_calls=parallel,
        max_tokens=inference.maxTokens,
        stop=tuple(inference.stopSequences or ()),
        sampling=ir.Sampling(temperature=inference.temperature, top_p=inference.topP, top_k=top_k),
        thinking=thinking,
        output=_format(output),
        service_tier=tier.type if tier is not None else None,
        metadata=top.get("requestMetadata"),
        extras=extras,
    )


def _family(model: str) -> str:
    """The family that signatures in the history belong to; "" for an alias, which may stand for any."""
    return ir.family(model) if "." in model else ""


def _typed(top: dict[str, Raw], key: str, type_: type[T]) -> T | None:
    raw = top.get(key)
    return decoded(raw, type_, key) if raw is not None and present(raw) else None


def _members(raw: Raw | None) -> dict[str, Raw]:
    return decoded(raw, dict[str, Raw], EXTRA) if raw is not None and present(raw) else {}


def _system(raw: Raw | None, family: str) -> tuple[ir.Message, ...]:
    if raw is None or not present(raw):
        return ()
    found = decode_blocks.parts(decoded(raw, list[Raw], "system"), "system", family)
    return (ir.Message("system", found),) if found else ()


def _messages(raw: Raw | None, family: str) -> tuple[ir.Message, ...]:
    if raw is None or not present(raw):
        raise bad_request("messages: at least one message is required", param="messages")
    found = decoded(raw, list[wire.Message], "messages")
    if not found:
        raise bad_request("messages: at least one message is required", param="messages")
    return tuple(_message(message, f"messages.{at}", family) for at, message in enumerate(found))


def _message(message: wire.Message, where: str, family: str) -> ir.Message:
    if message.role not in _ROLES:
        raise bad_request(f"{where}.role: must be user, assistant or system", param=f"{where}.role")
    content = decode_blocks.parts(message.content, f"{where}.content", family)
    return ir.Message(message.role, content)  # type: ignore[arg-type]  # one of _ROLES


class _Thinking(Struct, frozen=True):
    type: str = ""
    budget_tokens: int | None = None


class _Config(Struct, frozen=True):
    effort: str | None = None


def _thinking(native: dict[str, Raw], effort: str | None) -> ir.Thinking:
    """How deep to think, by Claude's fields, OpenAI's word or the format's own; taken out of `native`."""
    raw, config = native.pop("thinking", None), native.pop("output_config", None)
    word = native.pop("reasoning_effort", None)
    if config is not None:
        effort = decoded(config, _Config, f"{EXTRA}.output_config").effort or effort
    if word is not None:
        effort = decoded(word, str, f"{EXTRA}.reasoning_effort")
    if raw is None or not present(raw):
        return ir.Thinking(effort=effort)
    found = decoded(raw, _Thinking, f"{EXTRA}.thinking")
    sent = {"thinking": raw} if effort is None else {"thinking": raw, "effort": Raw(msgspec.json.encode(effort))}
    owned = ir.Native("anthropic", Raw(msgspec.json.encode(sent)))
    match found.type:
        case "enabled":
            return ir.Thinking(effort=effort, budget=found.budget_tokens or -1, native=owned)
        case "disabled" | "between_tools":
            return ir.Thinking(effort="none", native=owned)
        case _:
            return ir.Thinking(effort=effort, adaptive=True, native=owned)


def _number(native: dict[str, Raw]) -> float | None:
    raw = native.pop("top_k", None)
    return decoded(raw, float, f"{EXTRA}.top_k") if raw is not None and present(raw) else None


class _Choice(Struct, frozen=True):
    type: str = "auto"
    disable_parallel_tool_use: bool | None = None


def _parallel(native: dict[str, Raw]) -> bool | None:
    """Whether several calls at once are allowed, which only Claude's own field can say."""
    raw = native.get("tool_choice")
    if raw is None or not present(raw):
        return None
    found = decoded(raw, _Choice, f"{EXTRA}.tool_choice")
    if found.disable_parallel_tool_use is None or found.type != "auto":
        return None
    del native["tool_choice"]
    return not found.disable_parallel_tool_use


def _tools(tools: list[wire.Tool]) -> tuple[ir.Tool | ir.HostedTool, ...]:
    found: list[ir.Tool | ir.HostedTool] = []
    for tool in tools:
        if (spec := tool.toolSpec) is not None:
            schema = spec.inputSchema.json if spec.inputSchema is not None else None
            found.append(ir.Tool(spec.name, spec.description, schema, spec.strict))
        elif isinstance(tool.systemTool, Raw):
            name = decoded(tool.systemTool, wire.NamedTool, "toolConfig.tools.systemTool").name
            found.append(ir.HostedTool(name, ir.Native(NAME, tool.systemTool), name=name))
        elif tool.cachePoint is not None and found and isinstance(last := found[-1], ir.Tool):
            found[-1] = msgspec.structs.replace(last, cache=ir.Cache(tool.cachePoint.ttl))
    return tuple(found)


def _choice(choice: wire.ToolChoice | None) -> ir.ToolChoice | None:
    if choice is None:
        return None
    if choice.tool is not None:
        return ir.ToolChoice("tool", (choice.tool.name,))
    if choice.any is not None:
        return ir.ToolChoice("any")
    return ir.ToolChoice("auto") if choice.auto is not None else None


def _format(output: wire.OutputConfig) -> ir.OutputFormat:
    found = output.textFormat.structure if output.textFormat is not None else None
    if found is None or found.jsonSchema is None:
        return ir.OutputFormat()
    schema = found.jsonSchema
    text = Raw(schema.schema.encode())
    decoded(text, dict[str, Raw], "outputConfig.textFormat.structure.jsonSchema.schema")
    return ir.OutputFormat("schema", schema.name, text, description=schema.description)
