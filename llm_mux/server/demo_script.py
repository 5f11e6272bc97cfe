"""What the demo model says: a pure function from a request to an answer. No model, no network, always the same.

It echoes, thinks when asked to, calls the tools it is given (several at once when several are named, and for a small
task such as "list the files" the one that does it), follows JSON schemas, describes images by type and size, and fails
on request by the model's name.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from typing import Any

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.server import demo_tools
from llm_mux.server.demo_values import sample
from llm_mux.translators import estimate
from llm_mux.translators.ids import digest

MODELS = {
    "demo": "echoes, calls tools, follows schemas",
    "demo-thinking": "thinks before it answers",
    "demo-slow": "streams slowly",
    "demo-429": "always refuses with a rate limit",
    "demo-500": "always breaks",
    "demo-cut": "breaks off in the middle of its answer",
    "demo-embed": "makes embeddings",
}

_TAGGED = re.compile(r"\s*<([\w-]+)[^>]*>.*</\1>\s*", re.DOTALL)


def refusal(model: str) -> MuxError | None:
    """The failure that a model name asks for."""
    if model == "demo-429":
        return MuxError(Kind.RATE_LIMIT, "The demo model is out of breath.", retry_after=2, code="rate_limit_exceeded")
    return MuxError(Kind.INTERNAL, "The demo model broke, as it was asked to.") if model == "demo-500" else None


def answer(request: ir.Request) -> ir.Response:
    """The whole answer to a request."""
    parts: list[ir.Part] = []
    if request.model == "demo-thinking" or (request.thinking.asked and not request.thinking.off):
        parts.append(_reasoning(request))
    calls = _calls(request)
    parts.extend(calls or [ir.Text(_text(request))])
    finish = ir.Finish("tool_calls" if calls else "stop")
    if not calls and request.max_tokens is not None:
        parts, finish = _limited(parts, request.max_tokens, finish)
    prompt = estimate.prompt(request)
    spoken = sum(len(p.text) for p in parts if isinstance(p, ir.Text | ir.Reasoning)) // 4 + 1
    thought = sum(len(p.text) for p in parts if isinstance(p, ir.Reasoning)) // 4
    usage = ir.Usage(input=prompt, output=spoken + 8 * len(calls), reasoning=thought or None)
    seed = digest(f"{request.model}{len(request.messages)}{_last_text(request)}")
    return ir.Response(f"demo{seed}", request.model, (ir.Choice(tuple(parts), finish),), usage=usage)


def _reasoning(request: ir.Request) -> ir.Reasoning:
    text = f"The user wrote {len(_last_text(request))} characters. I will answer plainly."
    return ir.Reasoning(text, native=_seal(request, text))


def _seal(request: ir.Request, text: str) -> ir.Native | None:
    """A signature in the format's own slot, so that round trips can be seen."""
    value = base64.b64encode(f"demo-seal-{digest(text)}".encode()).decode()
    keys = {"anthropic": "signature", "gemini": "thoughtSignature", "openai_responses": "encrypted_content"}
    key = keys.get(request.protocol)
    return None if key is None else ir.Native(request.protocol, Raw(msgspec.json.encode({key: value})), "demo")


def _limited(parts: list[ir.Part], most: int, finish: ir.Finish) -> tuple[list[ir.Part], ir.Finish]:
    last = parts[-1]
    if isinstance(last, ir.Text) and len(last.text) > 4 * most:
        return [*parts[:-1], ir.Text(last.text[: 4 * most])], ir.Finish("length")
    return parts, finish


def _last_text(request: ir.Request) -> str:
    """What the user wrote last, without what tools put around it in tags: reminders, the environment."""
    for message in reversed(request.messages):
        if message.role == "user":
            texts = [part.text for part in message.parts if isinstance(part, ir.Text)]
            own = [text for text in texts if not _TAGGED.fullmatch(text)]
            if own:
                return own[-1]
    return ""


def _text(request: ir.Request) -> str:
    results = _results(request)
    said = _last_text(request)
    if request.output.kind == "schema" and request.output.schema is not None:
        return json.dumps(sample(msgspec.json.decode(request.output.schema), said), ensure_ascii=False)
    if request.output.kind == "json":
        return json.dumps({"echo": said}, ensure_ascii=False)
    if results:
        names = {part.id: part.name for m in request.messages for part in m.parts if isinstance(part, ir.ToolCall)}
        return "\n\n".join(demo_tools.answered(names.get(r.call_id, r.name), _result_text(r)) for r in results)
    seen = [_picture(part) for part in _last_turn(request) if isinstance(part, ir.Image | ir.Document)]
    return " ".join([*seen, f"You said: {said}" if said else "You said nothing."])


def _last_turn(request: ir.Request) -> tuple[ir.Part, ...]:
    users = [message for message in request.messages if message.role == "user"]
    return users[-1].parts if users else ()


def _results(request: ir.Request) -> list[ir.ToolResult]:
    """The results that were sent last, also one a message."""
    found: list[ir.ToolResult] = []
    for message in reversed(request.messages):
        if message.role in ("system", "developer"):
            continue
        here = [part for part in message.parts if isinstance(part, ir.ToolResult)]
        if message.role != "user" or not here:
            break
        found = here + found
    return found


def _result_text(result: ir.ToolResult) -> str:
    words = ir.joined(result.content, " ")
    pictures = [_picture(part) for part in result.content if isinstance(part, ir.Image)]
    return " ".join([*(["(error)"] if result.is_error else []), words, *pictures]).strip()


def _picture(part: ir.Image | ir.Document) -> str:
    source = part.source
    if not isinstance(source, ir.Inline):
        return "I was given something by reference."
    try:
        data = base64.b64decode(source.data)
    except (binascii.Error, ValueError):
        return "I was given something that is not base64."
    size = ""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        size = f" of {width} x {height} pixels"
    what = "an image" if isinstance(part, ir.Image) else "a document"
    return f"I see {what} ({source.media_type}){size}, {len(data)} bytes."


def _calls(request: ir.Request) -> list[ir.Part]:
    """The tool calls: those the choice forces, else those that the user's last words name, else what does the task that
    they are about."""
    tools = [tool for tool in request.tools if isinstance(tool, ir.Tool)]
    choice = request.tool_choice
    if not tools or _results(request) or (choice is not None and choice.mode == "none"):
        return []
    said = _last_text(request)
    wanted = [tool for tool in tools if choice is not None and choice.mode == "tool" and tool.name == choice.names[0]]
    wanted = wanted or [tool for tool in tools if demo_tools.named(tool.name, said)]
    if not wanted and (fitting := demo_tools.fitting(said, tools)) is not None:
        wanted = [fitting]
    if not wanted and choice is not None and choice.mode in ("any", "tool"):
        wanted = tools[:1]
    if request.parallel_tool_calls is False:
        wanted = wanted[:1]
    turn, folder = len(request.messages), demo_tools.folder_of(request)
    return [_call(tool, said, folder, f"{turn}-{number}") for number, tool in enumerate(wanted)]


def _call(tool: ir.Tool, said: str, folder: str | None, place: str) -> ir.ToolCall:
    after = said.split(tool.name, 1)[-1]
    if tool.free_text:
        return ir.ToolCall(f"call_{digest(place + tool.name)}", tool.name, after.strip(), custom=True)
    given = _json_in(after)
    if given is None:
        task = demo_tools.task_for(said, folder, tool.name)
        given = sample(msgspec.json.decode(tool.schema), said, task) if tool.schema is not None else {}
    arguments = json.dumps(given, ensure_ascii=False)
    return ir.ToolCall(f"call_{digest(place + tool.name)}", tool.name, arguments, namespace=tool.namespace)


def _json_in(text: str) -> Any | None:
    """The JSON object right at the start of `text` (after spaces, "with" or a bracket), if there is one."""
    start = text.find("{")
    if not 0 <= start <= 12:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(text[start:])
    except ValueError:
        return None
    return found


def vector(text: str, size: int = 8) -> tuple[float, ...]:
    """A small vector that depends only on the text."""
    return tuple(int(digest(f"{text}{n}")[:4], 16) / 65535 * 2 - 1 for n in range(size))
