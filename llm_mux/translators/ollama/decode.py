"""An Ollama client's request, chat or generate, to the canonical form.

Rules. Tolerant: unknown fields are kept raw in `extras`, unknown options in its `options`. Streaming is the default.
Clients lose call ids, so calls get them from their place in the conversation, and results find their call by id, else
by the tool's name, else by order. Fill-in-the-middle is refused: no target has a form for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators.base import Hints, present
from llm_mux.translators.ids import synthesised
from llm_mux.translators.ollama import wire
from llm_mux.translators.ollama.reading import arguments, field, medium, top
from llm_mux.translators.tools import Reading
from llm_mux.wire import jsonx

_MAPPED = frozenset({"model", "messages", "stream", "format", "tools", "think", "logprobs", "top_logprobs", "options"})
_PROMPT = frozenset({"prompt", "system", "images"})
_NO_WORDS = frozenset({b'""', b"[]", b"false"})
_ONLY_GENERATE = frozenset({"suffix", "raw", "template", "context"})
_ROLES = ("system", "user", "assistant", "tool")


def decode_request(body: bytes, hints: Hints) -> ir.Request:
    """A body of `/api/chat` or, by `hints.operation`, `/api/generate`. Raises BAD_REQUEST naming the field."""
    fields = top(body)
    generates = hints.operation == "generate" and "messages" not in fields
    model = hints.model or field("model", fields.get("model"), str)
    if not model:
        raise bad_request("model is missing: name the model to use.", param="model")
    stream = hints.stream if hints.stream is not None else field("stream", fields.get("stream"), bool)
    options, others = _options(fields.get("options"))
    return ir.Request(
        model=model,
        messages=_prompt(fields) if generates else _messages(fields.get("messages")),
        protocol=wire.NAME,
        stream=stream is not False,
        tools=_listed(fields["tools"]) if present(fields.get("tools")) else (),
        max_tokens=options.num_predict if (options.num_predict or 0) > 0 else None,
        stop=_stops(options.stop),
        sampling=_sampling(options, fields),
        thinking=decode_thinking(fields.get("think")),
        output=_output(fields.get("format")),
        extras=_extras(fields, others, generates=generates),
    )


def _extras(fields: dict[str, Raw], options: dict[str, Raw], *, generates: bool) -> dict[str, Raw]:
    known = _MAPPED | _PROMPT if generates else _MAPPED
    extras = {key: raw for key, raw in fields.items() if key not in known}
    if options:
        extras["options"] = Raw(jsonx.encode(options))
    if not generates:
        return extras
    asked = {k: v for k, v in extras.items() if k not in _ONLY_GENERATE or bytes(v).strip() not in _NO_WORDS}
    if "suffix" in asked:
        message = "suffix cannot be used: no provider behind llm-mux fills in the middle. Put the task into the prompt."
        raise bad_request(message, param="suffix")
    return {**asked, wire.OPERATION: wire.GENERATE}


def _options(raw: Raw | None) -> tuple[wire.Options, dict[str, Raw]]:
    """The options with a canonical form, and the rest. What switches a knob off stays with the rest as it is."""
    given = field("options", raw, dict[str, Raw]) or {}
    found = field("options", raw, wire.Options) or wire.Options()
    off = {"top_k"} if found.top_k is not None and found.top_k <= 0 else set()
    mapped = frozenset(wire.Options.__struct_fields__) - off
    return found, {key: value for key, value in given.items() if key not in mapped and present(value)}


def _sampling(options: wire.Options, fields: dict[str, Raw]) -> ir.Sampling:
    return ir.Sampling(
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k if (options.top_k or 0) > 0 else None,
        min_p=options.min_p,
        repetition_penalty=options.repeat_penalty,
        presence_penalty=options.presence_penalty,
        frequency_penalty=options.frequency_penalty,
        seed=options.seed if options.seed != -1 else None,
        logprobs=field("logprobs", fields.get("logprobs"), bool),
        top_logprobs=field("top_logprobs", fields.get("top_logprobs"), int),
    )


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    return tuple(text for text in stops if text)


def decode_thinking(raw: Raw | None) -> ir.Thinking:
    if raw is None:
        return ir.Thinking()
    match jsonx.decode(bytes(raw), object):
        case True | "true":
            return ir.Thinking(adaptive=True, show=True)
        case False | "false":
            return ir.Thinking(effort="none", show=False)
        case "":
            return ir.Thinking()
        case str() as word if word in ir.EFFORTS:
            return ir.Thinking(effort=word, show=word != "none")
        case _:
            raise bad_request("think must be true, false, low, medium, high or max.", param="think")


def _output(raw: Raw | None) -> ir.OutputFormat:
    if raw is None or bytes(raw) == b'""':
        return ir.OutputFormat()
    if bytes(raw) == b'"json"':
        return ir.OutputFormat("json")
    if bytes(raw).startswith(b"{"):
        return ir.OutputFormat("schema", schema=raw)
    raise bad_request('format must be "json" or a JSON schema.', param="format")


def _tools(raw: bytes) -> Iterator[ir.Tool | ir.HostedTool]:
    for position, item in enumerate(field("tools", Raw(raw), list[Raw]) or ()):
        where = f"tools[{position}]"
        tool = field(where, item, wire.Tool) or wire.Tool()
        if tool.function is not None and tool.function.name:
            schema = tool.function.parameters
            kept = schema if isinstance(schema, Raw) and present(schema) else None
            yield ir.Tool(tool.function.name, tool.function.description, kept)
        elif tool.type not in (None, "function"):
            yield ir.HostedTool(str(tool.type), ir.Native(wire.NAME, item), name=tool.type)
        else:
            raise bad_request(f"{where}.function.name is missing.", param=f"{where}.function.name")


_listed: Final = Reading(lambda raw: tuple(_tools(raw)))


def _prompt(fields: dict[str, Raw]) -> tuple[ir.Message, ...]:
    """Generate's prompt as a conversation of one turn."""
    system = field("system", fields.get("system"), str)
    prompt = field("prompt", fields.get("prompt"), str)
    images = field("images", fields.get("images"), list[str]) or []
    if not prompt and not images:
        raise bad_request("prompt is missing: models here need no loading, so there is nothing to do.", param="prompt")
    said = (ir.Text(prompt),) if prompt else ()
    asked = ir.Message("user", (*said, *(medium(image) for image in images)))
    return (ir.Message("system", (ir.Text(system),)), asked) if system else (asked,)


def _messages(raw: Raw | None) -> tuple[ir.Message, ...]:
    found = field("messages", raw, list[wire.Message])
    if not found:
        raise bad_request(
            "messages is empty: models here need no loading, so send at least one message.", param="messages"
        )
    return _Conversation().read(found)


class _Conversation:
    """Reads messages in order and remembers the calls that wait for their results."""

    def __init__(self) -> None:
        self._turn = 0
        self._unanswered: list[tuple[str, str]] = []

    def read(self, found: Sequence[wire.Message]) -> tuple[ir.Message, ...]:
        return tuple(self._message(message, f"messages[{n}]") for n, message in enumerate(found))

    def _message(self, message: wire.Message, where: str) -> ir.Message:
        match message.role:
            case "user":
                return ir.Message("user", _content(message, where))
            case "assistant":
                return self._assistant(message, where)
            case "tool":
                return self._result(message, where)
            case "system":
                return ir.Message("system", _content(message, where))
            case "developer":
                return ir.Message("developer", _content(message, where))
            case _:
                raise bad_request(f"{where}.role must be one of {', '.join(_ROLES)}.", param=f"{where}.role")

    def _assistant(self, message: wire.Message, where: str) -> ir.Message:
        self._turn += 1
        # Without a native: the text alone proves nothing, and the gateway may hold the sealed original.
        thought = (ir.Reasoning(message.thinking, raw=True),) if message.thinking else ()
        calls = tuple(self._call(call, n, where) for n, call in enumerate(message.tool_calls or ()))
        self._unanswered = [(call.id, call.name) for call in calls]
        return ir.Message("assistant", (*thought, *_content(message, where), *calls))

    def _call(self, call: wire.Call, position: int, where: str) -> ir.ToolCall:
        if call.function is None or not call.function.name:
            path = f"{where}.tool_calls[{position}].function.name"
            raise bad_request(f"{path} is missing.", param=path)
        name = call.function.name
        text = arguments(call.function.arguments)
        return ir.ToolCall(call.id or synthesised("", self._turn, position, name, text), name, text)

    def _result(self, message: wire.Message, where: str) -> ir.Message:
        name = message.tool_name or message.name
        call_id = self._answered(message.tool_call_id, name)
        return ir.Message("user", (ir.ToolResult(call_id, _content(message, where), name=name),))

    def _answered(self, call_id: str | None, name: str | None) -> str:
        """The id of the call that a result answers; it waits no longer."""
        waiting = self._unanswered
        by_id = [n for n, (known, _) in enumerate(waiting) if known == call_id]
        by_name = [n for n, (_, called) in enumerate(waiting) if name in (None, called)]
        position = next(iter((*by_id, *by_name)), None)
        if position is not None and (by_id or not call_id):
            return waiting.pop(position)[0]
        if call_id or not waiting:
            return call_id or name or ""
        return waiting.pop(0)[0]


def _content(message: wire.Message, where: str) -> tuple[ir.Part, ...]:
    content = message.content
    if isinstance(content, str):
        said: list[ir.Part] = [ir.Text(content)] if content else []
    else:
        said = [_piece(piece, f"{where}.content[{n}]") for n, piece in enumerate(content or ())]
    return (*said, *(medium(image) for image in message.images or ()))


def _piece(piece: wire.Piece, where: str) -> ir.Part:
    if piece.text is not None:
        return ir.Text(piece.text)
    url = piece.image_url.url if isinstance(piece.image_url, wire.ImageUrl) else piece.image_url
    if not url:
        raise bad_request(f"{where} must be text or an image; content is best sent as a string.", param=where)
    return medium(url) if url[:5].lower() == "data:" else ir.Image(ir.Url(url))
