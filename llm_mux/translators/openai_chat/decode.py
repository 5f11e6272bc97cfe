"""A client's request: chat completions bytes to the canonical form.

Rules. Tolerant: numbers in strings, content in every form in use, both generations of tools. What is known is decoded
by type and an error names the field; unknown top-level fields are kept raw in `extras`. Keys that begin with two
underscores are notes to this format's own encoders and never leave the program.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec import UNSET, Raw

from llm_mux import ir
from llm_mux.errors import MuxError, bad_request
from llm_mux.translators.base import Hints, present
from llm_mux.translators.ids import synthesised
from llm_mux.translators.memory import LEAST, MARK, MEMORY, STRANGER, Met, Past, Thread
from llm_mux.translators.openai_chat import parts, reasoning, thinking, wire
from llm_mux.translators.repeated import TOOLS
from llm_mux.translators.tools import Reading
from llm_mux.wire import jsonx

# The client declared `functions`, so its answers hold `function_call` instead of `tool_calls`.
LEGACY_FUNCTIONS = "__functions"

# Bytes from which on one pass less over a body is worth the look for all names.
_MANY = 8 << 10
_NAMES = (*wire.Params.__struct_fields__, "tools")
_KNOWN = frozenset(wire.Params.__struct_fields__) | {"messages", "tools"}
# Kept for servers of this format beside what is understood of them.
_KEPT = ("chat_template_kwargs", "stream_options")
_PATH = re.compile(r"`\$([^`]*)`$")
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def decode_request(body: bytes, hints: Hints) -> ir.Request:
    """A `POST /v1/chat/completions` body. Raises BAD_REQUEST naming the field that cannot be understood."""
    thread, top, met, known = None, {}, STRANGER, None
    if len(body) >= LEAST:
        met = MEMORY.meet("messages", body)
        thread, top, known = _grown(body, met) or (None, {}, None)
    if thread is None:
        found, top = _at_once(body)
    params = _params(top)
    model = hints.model or params.model
    if not model:
        raise bad_request("model is missing: name the model to use.", param="model")
    stream = params.stream if hints.stream is None else hints.stream
    return ir.Request(
        model=model,
        messages=_thread(body, top, found, met) if thread is None else thread,
        protocol=wire.NAME,
        stream=bool(stream),
        tools=_tools(top.get("tools") if known is None else known, params),
        tool_choice=_tool_choice(params),
        parallel_tool_calls=params.parallel_tool_calls,
        max_tokens=_limit(params),
        stop=_stops(params.stop),
        sampling=_sampling(params),
        thinking=thinking.decode(params),
        output=_output(params.response_format),
        verbosity=params.verbosity,
        user=params.user or params.safety_identifier,
        cache_key=params.prompt_cache_key or None,
        service_tier=params.service_tier,
        metadata=_raw(params.metadata),
        include_usage=bool(params.stream_options and params.stream_options.include_usage) or not stream,
        modalities=tuple(params.modalities or ()),
        extras=_extras(top, params),
    )


def _at_once(body: bytes) -> tuple[list[wire.Message] | None, dict[str, Raw]]:
    """The messages and the other values of a body in which nothing is unusual, read in one pass; of any other body
    all values as they stand there."""
    if len(body) < _MANY:
        return None, _top(body)
    try:
        read = wire.body.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None, _top(body)
    if not read.messages:
        return None, _top(body)
    return read.messages, {name: raw for name in _NAMES if (raw := getattr(read, name)) is not UNSET}


def _grown(body: bytes, met: Met) -> tuple[Thread, dict[str, Raw], bytes | None] | None:
    """The messages of a conversation whose beginning is remembered, the other values of its body, and its tools if they
    are known too."""
    past = met.before
    if not isinstance(past, Past):
        return None
    short = met.short(body, MARK)
    cut = TOOLS.cut(short)
    grown = None if cut is None else past.grow(cut.short, MARK, cut.before(past.opened))
    known = None if cut is None or grown is None or not cut.stands(grown.top) else cut.tools.raw
    if known is None:
        grown = past.grow(short, MARK)
    if grown is None:
        return None
    top, added, length = grown
    conversation = _Conversation(cast("_State", past.state))
    try:
        new = conversation.read(wire.messages.decode(added)) if added is not None else ()
    except (msgspec.MsgspecError, MuxError):
        # Read as a whole it says which of the messages is wrong.
        return None
    made = Past(
        b"",
        past.key,
        past.extended(body, length),
        length,
        past.opened,
        messages=past.messages + new,
        state=conversation.state,
        tidied=past.tidied,
        written=past.written,
        calls=past.calls_and(new),
    )
    MEMORY.keep(made, body, past)
    return Thread.of(made), top, known


def _thread(body: bytes, top: dict[str, Raw], found: list[wire.Message] | None, met: Met) -> tuple[ir.Message, ...]:
    """The messages, remembered if they are many and seem to be sent with every turn."""
    conversation = _Conversation()
    messages = conversation.read(_messages(top.get("messages")) if found is None else found)
    if len(body) < LEAST:
        return messages
    if met.again:
        past = Past(body, "messages", messages=messages, state=conversation.state)
        MEMORY.keep(past, body)
        return Thread.of(past)
    MEMORY.note("messages", body, end=len(body))
    return messages


def _top(body: bytes) -> dict[str, Raw]:
    try:
        return jsonx.top(body)
    except jsonx.Malformed as error:
        raise bad_request(f"The request body is not a JSON object: {error}.") from error


def _params(top: dict[str, Raw]) -> wire.Params:
    small = {key: raw for key, raw in top.items() if key not in ("messages", "tools")}
    try:
        return msgspec.json.decode(msgspec.json.encode(small), type=wire.Params, strict=False)
    except msgspec.ValidationError as error:
        field = _place(error).removeprefix(".") or None
        raise bad_request(f"{field or 'A field'} has a wrong type or value: {error}.", param=field) from error


def _place(error: msgspec.ValidationError) -> str:
    """Where in the value the decoder stopped: `[0].role`, "" for the value itself."""
    found = _PATH.search(str(error))
    return found[1] if found else ""


def _raw(value: Raw | msgspec.UnsetType) -> Raw | None:
    return value if isinstance(value, Raw) and present(value) else None


def _extras(top: dict[str, Raw], params: wire.Params) -> dict[str, Raw]:
    extras = {key: raw for key, raw in top.items() if key not in _KNOWN or (key in _KEPT and present(raw))}
    if params.extra_body is not None and params.extra_body.google is None:
        extras["extra_body"] = top["extra_body"]
    if params.safety_identifier is not None:
        extras |= {key: top[key] for key in ("safety_identifier", "user") if key in top}
    if params.functions is not None and "tools" not in top:
        extras[LEGACY_FUNCTIONS] = Raw(b"true")
    return extras


def _limit(params: wire.Params) -> int | None:
    """The token limit. Zero and negative numbers mean none, as several clients send -1."""
    limit = params.max_tokens if params.max_completion_tokens is None else params.max_completion_tokens
    return limit if limit is not None and limit > 0 else None


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    return tuple(text for text in stops if text)


def _sampling(params: wire.Params) -> ir.Sampling:
    return ir.Sampling(
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        min_p=params.min_p,
        repetition_penalty=params.repetition_penalty,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        seed=params.seed,
        logit_bias=_raw(params.logit_bias),
        logprobs=True if params.logprobs is None and params.top_logprobs else params.logprobs,
        top_logprobs=params.top_logprobs,
        n=params.n,
    )


def _output(asked: wire.ResponseFormat | None) -> ir.OutputFormat:
    if asked is None or asked.type == "text":
        return ir.OutputFormat()
    if asked.type == "json_object":
        # Fireworks and Together take a schema beside `json_object`.
        schema = _raw(asked.schema)
        return ir.OutputFormat("schema", schema=schema) if schema else ir.OutputFormat("json")
    if asked.type == "json_schema" and asked.json_schema is not None:
        found = asked.json_schema
        schema = _raw(found.schema)
        if schema is None:
            return ir.OutputFormat("json")
        return ir.OutputFormat("schema", found.name, schema, found.strict, found.description)
    raise bad_request("response_format must be text, json_object or json_schema.", param="response_format")


def _tools(raw: Raw | bytes | None, params: wire.Params) -> tuple[ir.Tool | ir.HostedTool, ...]:
    listed: tuple[ir.Tool | ir.HostedTool, ...] = ()
    text = (bytes(raw) if present(raw) else None) if isinstance(raw, Raw) else raw
    if text is not None:
        try:
            listed = _listed(text)
        except msgspec.ValidationError as error:
            raise bad_request(f"tools cannot be read: {error}.", param="tools") from error
    return listed + tuple(_told_elsewhere(params))


def _told_elsewhere(params: wire.Params) -> list[ir.Tool | ir.HostedTool]:
    """Tools that are not among the `tools`."""
    tools: list[ir.Tool | ir.HostedTool] = []
    for function in params.functions or ():
        tools.append(_function(function, None, "functions"))
    options = _raw(params.web_search_options)
    if options is not None:
        native = ir.Native(wire.NAME, Raw(b'{"web_search_options":' + bytes(options) + b"}"))
        tools.append(ir.HostedTool("web_search", native))
    return tools


def _read_tools(raw: bytes) -> tuple[ir.Tool | ir.HostedTool, ...]:
    return tuple([_tool(item, f"tools[{n}]") for n, item in enumerate(_list.decode(raw))])


_listed = Reading(_read_tools)
_list: msgspec.json.Decoder[list[Raw]] = msgspec.json.Decoder(list[Raw])


def _tool(raw: Raw, where: str) -> ir.Tool | ir.HostedTool:
    tool = wire.tool.decode(raw)
    if tool.function is not None and tool.type in ("function", None):
        return _function(tool.function, parts.mark(tool.cache_control), where)
    if tool.type == "custom" and tool.custom is not None:
        custom = tool.custom
        return ir.Tool(_named(custom.name, where), custom.description, custom=_raw(custom.format), free_text=True)
    if tool.type and tool.type != "function":
        return ir.HostedTool(tool.type, ir.Native(wire.NAME, raw), name=tool.type)
    raise bad_request(f"{where} has no function.", param=where)


def _function(function: wire.FunctionTool, cache: ir.Cache | None, where: str) -> ir.Tool:
    name = _named(function.name, where)
    return ir.Tool(name, function.description, _raw(function.parameters), function.strict, cache=cache)


def _named(name: str, where: str) -> str:
    if not name:
        raise bad_request(f"{where} has no name.", param=where)
    return name


def _tool_choice(params: wire.Params) -> ir.ToolChoice | None:
    found = params.tool_choice
    if found is None and params.function_call is not None:
        call = params.function_call
        return _mode(call) if isinstance(call, str) else ir.ToolChoice("tool", (call.name,))
    if found is None or isinstance(found, str):
        return _mode(found) if found else None
    allowed = found.allowed_tools or (wire.AllowedTools(found.mode, found.tools or []) if found.mode else None)
    if allowed is not None:
        names = tuple(name for name in (_choice_name(entry) for entry in allowed.tools) if name)
        return ir.ToolChoice("any" if allowed.mode in ("required", "any") else "auto", names)
    name = _choice_name(found)
    if name:
        return ir.ToolChoice("tool", (name,))
    return _mode(found.type or "")


def _choice_name(entry: wire.ChoiceIn) -> str:
    named = entry.function or entry.custom
    return named.name if named else entry.name or ""


def _mode(word: str) -> ir.ToolChoice:
    match word:
        case "auto":
            return ir.ToolChoice("auto")
        case "required" | "any":
            return ir.ToolChoice("any")
        case "none":
            return ir.ToolChoice("none")
        case _:
            raise bad_request("tool_choice must be none, auto, required or name a tool.", param="tool_choice")


def _messages(raw: Raw | None) -> list[wire.Message]:
    if raw is None or not present(raw):
        raise bad_request("messages is missing.", param="messages")
    try:
        found = wire.messages.decode(raw)
    except msgspec.ValidationError as error:
        where = f"messages{_place(error)}"
        raise bad_request(f"{where} cannot be read: {error}.", param=where) from error
    if not found:
        raise bad_request("messages is empty: send at least one message.", param="messages")
    return found


_State = tuple[int, tuple[tuple[str, str], ...]]
_BEGUN: _State = (0, ())


class _Conversation:
    """Reads messages in order; remembers calls without ids so that the old `function` messages find theirs."""

    def __init__(self, state: _State = _BEGUN) -> None:
        self._turn = state[0]
        self._unanswered = list(state[1])

    @property
    def state(self) -> _State:
        """With this another one goes on after the last message that was read."""
        return self._turn, tuple(self._unanswered)

    def read(self, found: Sequence[wire.Message]) -> tuple[ir.Message, ...]:
        return tuple([self._plain(message) or self._message(message, n) for n, message in enumerate(found)])

    def _plain(self, message: wire.Message) -> ir.Message | None:
        """A message of a text and calls alone, as nearly all are; None for any other."""
        content, role = message.content, message.role
        if message.cache_control is not None or message.prompt_cache_breakpoint is not None:
            return None
        if type(content) is not str:
            if content is not None or role != "assistant":
                return None
            content = ""
        if role == "tool" and message.tool_call_id and content:
            return ir.Message("user", (ir.ToolResult(message.tool_call_id, (ir.Text(content),), message.name),))
        if role == "user" and content:
            return ir.Message("user", (ir.Text(content),), message.name)
        if role != "assistant" or _says_more(message):
            return None
        calls: list[ir.Part] = [ir.Text(content)] if content else []
        for call in message.tool_calls or ():
            function = call.function
            if function is None or call.custom is not None or call.extra_content is not None or not call.id:
                return None
            if type(function.arguments) is not str or not function.name:
                return None
            calls.append(ir.ToolCall(call.id, function.name, function.arguments))
        self._turn += 1
        self._unanswered = [(call.id, call.name) for call in calls if type(call) is ir.ToolCall]
        return ir.Message("assistant", tuple(calls), message.name)

    def _message(self, message: wire.Message, number: int) -> ir.Message:
        where = f"messages[{number}]"
        match message.role:
            case "user":
                return ir.Message("user", _content(message, where), name=message.name)
            case "assistant":
                return self._assistant(message, where)
            case "system":
                return ir.Message("system", _content(message, where), name=message.name)
            case "developer":
                return ir.Message("developer", _content(message, where), name=message.name)
            case "tool":
                return _result(message, message.tool_call_id or self._waiting(message.name), where)
            case "function":
                return _result(message, self._waiting(message.name), where)
            case _:
                raise bad_request(f"{where}.role must be one of {', '.join(_ROLES)}.", param=f"{where}.role")

    def _waiting(self, name: str | None) -> str:
        """The oldest unanswered call of that name, else the oldest."""
        for position, (_, called) in enumerate(self._unanswered):
            if name in (None, called):
                return self._unanswered.pop(position)[0]
        return self._unanswered.pop(0)[0] if self._unanswered else ""

    def _assistant(self, message: wire.Message, where: str) -> ir.Message:
        self._turn += 1
        thoughts = reasoning.decode(message)
        said = list(_content(message, where))
        if message.refusal:
            said.append(ir.Refusal(message.refusal))
        if isinstance(message.audio, wire.Reference) and message.audio.id:
            said.append(ir.Audio(ir.FileId(wire.NAME, message.audio.id)))
        if thoughts.text is not None:
            said = _with_seal(said, thoughts.text)
        calls = [self._call(call, n, thoughts, where) for n, call in enumerate(message.tool_calls or ())]
        if message.function_call is not None:
            calls.append(self._call(wire.Call(function=message.function_call), 0, thoughts, where))
        self._unanswered = [(call.id, call.name) for call in calls]
        return ir.Message("assistant", _woven(thoughts, said, calls), name=message.name, native=_continued(message))

    def _call(self, call: wire.Call, position: int, thoughts: reasoning.Thoughts, where: str) -> ir.ToolCall:
        if call.custom is not None:
            name, text, custom = call.custom.name, call.custom.input or "", True
        elif call.function is not None:
            name, text, custom = call.function.name, arguments(call.function), False
        else:
            raise bad_request(f"{where}.tool_calls[{position}] has no function.", param=f"{where}.tool_calls")
        if not name:
            raise bad_request(f"{where}.tool_calls[{position}] has no name.", param=f"{where}.tool_calls")
        id_ = call.id or synthesised("", self._turn, position, name, text)
        native = reasoning.from_google(call) or thoughts.calls.get(id_)
        return ir.ToolCall(id_, name, text, custom=custom, native=native)


def arguments(function: wire.Function) -> str:
    """Arguments as text; the object that some servers and clients send is written out."""
    found = function.arguments
    if isinstance(found, str) or found is None:
        return found or ""
    return msgspec.json.encode(found).decode()


def _says_more(message: wire.Message) -> bool:
    """Whether an assistant's message has reasoning, a refusal, a call in the old form or a wish to be continued."""
    return (
        message.reasoning_content is not None
        or message.reasoning is not None
        or message.thinking is not None
        or message.reasoning_details is not None
        or message.thinking_blocks is not None
        or message.refusal is not None
        or message.function_call is not None
        or message.audio is not None
        or message.prefix is not None
        or message.partial is not None
    )


def _content(message: wire.Message, where: str) -> tuple[ir.Part, ...]:
    found = parts.decode_content(message.content, f"{where}.content")
    cache = parts.mark(message.cache_control, message.prompt_cache_breakpoint)
    last = found[-1] if found else None
    if cache is not None and isinstance(last, ir.Text) and last.cache is None:
        return (*found[:-1], msgspec.structs.replace(last, cache=cache))
    return found


def _with_seal(said: list[ir.Part], native: ir.Native) -> list[ir.Part]:
    for position in reversed(range(len(said))):
        part = said[position]
        if isinstance(part, ir.Text):
            said[position] = msgspec.structs.replace(part, native=native)
            return said
    return [*said, ir.Text("", native=native)]


def _woven(thoughts: reasoning.Thoughts, said: Sequence[ir.Part], calls: Sequence[ir.ToolCall]) -> tuple[ir.Part, ...]:
    """Reasoning where it was thought: before the text, or between the calls it was placed at."""
    if not thoughts.placed:
        return (*said, *calls)
    woven: list[ir.Part] = [part for position, part in thoughts.placed if position == 0]
    woven += said
    for number, call in enumerate(calls):
        woven += [part for position, part in thoughts.placed if position == number and number > 0]
        woven.append(call)
    woven += [part for position, part in thoughts.placed if position and position >= len(calls)]
    return tuple(woven)


def _continued(message: wire.Message) -> ir.Native | None:
    """DeepSeek's and Kimi's wish that the answer goes on from this message."""
    flags = {key: True for key, value in (("prefix", message.prefix), ("partial", message.partial)) if value}
    return ir.Native(wire.NAME, Raw(msgspec.json.encode(flags))) if flags else None


def _result(message: wire.Message, call_id: str, where: str) -> ir.Message:
    content = parts.decode_content(message.content, f"{where}.content")
    cache = parts.mark(message.cache_control, message.prompt_cache_breakpoint)
    return ir.Message("user", (ir.ToolResult(call_id, content, name=message.name, cache=cache),))
