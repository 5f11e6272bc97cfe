"""A request in canonical form as an `/api/chat` body.

Rules. What the API cannot take is dropped and named; content without a form is refused. `think` is sent only when the
client asked. The context size is set where it is known, for the server would cut a longer prompt without a word. Tool
choice does not exist: none leaves the tools out, a subset shortens the list, and a force is dropped and named.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import bad_request, refused
from llm_mux.translators import effort, history, tools
from llm_mux.translators.base import Encoded, Target
from llm_mux.translators.foreign import described, lost_fields
from llm_mux.translators.ollama import quirks, wire
from llm_mux.translators.ollama.turns import encode_messages
from llm_mux.wire import jsonx

_EMPTY_SCHEMA = Raw(b'{"type":"object","properties":{}}')
_NOT_IN_CHAT = frozenset({"raw", "template", "context"})
_OPTIONS = (
    ("temperature", "temperature"),
    ("top_k", "top_k"),
    ("top_p", "top_p"),
    ("min_p", "min_p"),
    ("repeat_penalty", "repetition_penalty"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("seed", "seed"),
)


def encode_request(request: ir.Request, target: Target) -> Encoded:
    _refuse_other_shapes(request, target)
    names = tools.names_for(request, tools.NameRules())
    dropped: list[str] = []
    body: dict[str, object] = {
        "model": target.model,
        "messages": encode_messages(request, target, names, dropped),
        "stream": request.stream,
    }
    if not body["messages"]:
        raise bad_request("messages hold nothing to answer: every message is empty.", param="messages")
    body |= _tools(request, target, names, dropped)
    if (form := _format(request.output)) is not None:
        body["format"] = form
    if options := _options(request, target):
        body["options"] = options
    body |= _think(request, target, dropped)
    body |= _logprobs(request.sampling)
    body |= _others(request, dropped)
    return Encoded(jsonx.encode(body), tuple(dict.fromkeys(dropped)), names)


def _refuse_other_shapes(request: ir.Request, target: Target) -> None:
    if (request.sampling.n or 1) > 1:
        raise refused("More than one answer (n)", target.title, param="n")
    if media := [kind for kind in request.modalities if kind != "text"]:
        raise refused(f"A wish for {media[0]} in the answer", target.title, param="modalities")


def _tools(request: ir.Request, target: Target, names: tools.Names, dropped: list[str]) -> dict[str, object]:
    choice = request.tool_choice
    if request.parallel_tool_calls is False and request.tools:
        dropped.append("parallel_tool_calls")
    if choice is not None and choice.mode == "none":
        return {}
    if choice is not None and choice.mode != "auto" and request.tools:
        dropped.append("tool_choice")
    only = {names.wire(name) for name in choice.names} if choice is not None and choice.mode != "tool" else set()
    listed: list[object] = [_tool(tool) for tool in tools.lower(request, names) if not only or tool.name in only]
    listed += [
        raw for tool in request.tools if isinstance(tool, ir.HostedTool) for raw in _hosted(tool, target, dropped)
    ]
    return {"tools": listed} if listed else {}


def _tool(tool: ir.Tool) -> dict[str, object]:
    described = {} if tool.description is None else {"description": tool.description}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": _schema(tool.schema)}}


class _Schema(msgspec.Struct):
    type: wire.RawField = msgspec.UNSET


def _schema(schema: Raw | None) -> Raw:
    """Parameters the server can decode: always an object schema, untouched where it is one."""
    if schema is None or not bytes(schema).lstrip().startswith(b"{"):
        return _EMPTY_SCHEMA
    if jsonx.peek(bytes(schema), _Schema).type is not msgspec.UNSET:
        return schema
    return Raw(jsonx.splice(bytes(schema), {"type": b'"object"'}))


def _hosted(tool: ir.HostedTool, target: Target, dropped: list[str]) -> list[Raw]:
    if tool.native.owner == wire.NAME:
        return [tool.native.data]
    if not tool.optional:
        raise refused(f"The tool {tool.kind}", target.title, param="tools")
    dropped.append(f"tools.{tool.kind}")
    return []


def _format(output: ir.OutputFormat) -> object:
    match output.kind:
        case "schema" if output.schema is not None:
            return described(output)
        case "text":
            return None
        case _:
            return "json"


def _options(request: ir.Request, target: Target) -> dict[str, object]:
    options: dict[str, object] = {}
    if request.protocol == wire.NAME and "options" in request.extras:
        options |= jsonx.decode(bytes(request.extras["options"]), dict[str, Raw])
    if request.max_tokens is not None:
        options["num_predict"] = request.max_tokens
    for option, knob in _OPTIONS:
        value = getattr(request.sampling, knob)
        if value is not None:
            options[option] = int(value) if option == "top_k" else value
    if request.stop:
        options["stop"] = request.stop
    if target.context and quirks.of(target.quirks).set_num_ctx:
        options.setdefault("num_ctx", target.context)
    return options


def _think(request: ir.Request, target: Target, dropped: list[str]) -> dict[str, object]:
    value = think_value(request.thinking, target)
    if value and not may_think(target):
        dropped.append("reasoning_effort")
        return {}
    return {} if value is None else {"think": value}


def may_think(target: Target) -> bool:
    """False only when the server's list says that the model cannot: then `think` would be answered by a 400."""
    return "generate" not in target.capabilities or "thinking.enabled" in target.capabilities


def think_value(thinking: ir.Thinking, target: Target) -> bool | str | None:
    """The value of `think`; None when the client said nothing."""
    if not thinking.asked:
        return None
    word = effort.of(thinking)
    if word == "none":
        return False
    levels = quirks.of(target.quirks).think_levels
    if word is None or not levels:
        return True
    return effort.nearest("max" if word == "xhigh" and "max" in levels else word, levels) or True


def _logprobs(sampling: ir.Sampling) -> dict[str, object]:
    asked = {"logprobs": sampling.logprobs, "top_logprobs": sampling.top_logprobs}
    return {name: value for name, value in asked.items() if value}


def _others(request: ir.Request, dropped: list[str]) -> dict[str, object]:
    """The fields only clients of this format send; those of other formats are named as dropped."""
    made: dict[str, object] = {}
    same = request.protocol == wire.NAME
    generates = wire.OPERATION in request.extras
    for name, value in request.extras.items():
        if name.startswith("__") or (same and name == "options"):
            continue
        if not same:
            continue
        if generates and name in _NOT_IN_CHAT:
            dropped.append(name)
        else:
            made[name] = value
    dropped.extend(() if same else lost_fields(request))
    dropped.extend(_lost(request))
    return made


def _lost(request: ir.Request) -> list[str]:
    known = {
        "logit_bias": request.sampling.logit_bias,
        "verbosity": request.verbosity,
        "user": request.user,
        "metadata": request.metadata,
        "service_tier": request.service_tier if request.service_tier != "auto" else None,
    }
    lost = [name for name, value in known.items() if value is not None]
    if any(isinstance(tool, ir.Tool) and tool.strict for tool in request.tools):
        lost.append("tools.strict")
    if history.names_speakers(request.messages):
        lost.append("messages.name")
    if any(_is_detailed(part) for message in request.messages for part in message.parts):
        lost.append("image.detail")
    return lost


def _is_detailed(part: ir.Part) -> bool:
    if isinstance(part, ir.ToolResult):
        return any(_is_detailed(inner) for inner in part.content)
    return isinstance(part, ir.Image) and part.detail not in (None, "auto")
