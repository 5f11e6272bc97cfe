"""Bodies of every client format, made from its SDK's types and put into a conversation where they mean something."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pydantic
from anthropic.types import message_create_params
from anthropic.types.beta import message_create_params as beta_create_params
from google.genai import types as genai
from ollama import _types as ollama
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params

from llm_mux.translators.base import Hints
from tests.translators.probes import PDF, PNG
from tests.translators.sdk_types import Maker

Body = dict[str, Any]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_USER = {"role": "user", "content": "Hello."}
_URL = "https://example.com/file.png"
_PDF_URL = f"data:application/pdf;base64,{PDF.data}"
_FILES = (frozenset({"file_data", "file_id", "file_url", "image_url"}), frozenset({"inlineData", "fileData"}))
_PNG_URL = f"data:image/png;base64,{PNG.data}"


@dataclass(frozen=True, slots=True)
class Pair:
    """A body that has what `path` names, and one that has not (None: there is no such)."""

    path: str
    body: Body
    without: Body | None


@dataclass(frozen=True, slots=True)
class Format:
    """A client format: its translator, how its bodies are read, and the pairs."""

    name: str
    hints: Hints
    pairs: Callable[[], Iterator[Pair]]


def undecided(
    pairs: Iterable[Pair], lost: Callable[[Pair], Iterable[str]], why: Iterable[str]
) -> tuple[dict[str, list[str]], set[str]]:
    """What is lost without a reason, and where; and the reasons, patterns of paths, that nothing needs."""
    patterns, used = set(why), set[str]()
    found: dict[str, list[str]] = {}
    for pair in pairs:
        if where := sorted(lost(pair)):
            reasons = {pattern for pattern in patterns if re.search(pattern, pair.path)}
            used |= reasons
            if not reasons:
                found[pair.path] = where
    return found, patterns - used


def _pairs(type_: Any, maker: Maker, frame: Callable[[Body], Body], tools: list[Body] | None = None) -> Iterator[Pair]:
    """Samples in their conversation. `tools`: what there is to choose from where something says how to choose."""
    for one in maker.samples(type_):
        choosing = one.path.startswith(("tool_choice", "parallel_tool", "toolConfig", "function_call"))
        more = {"tools": tools} if choosing and tools else {}
        without = None if one.without is None else {**frame(one.without), **more}
        yield Pair(one.path, {**frame(one.value), **more}, without)


def _chat() -> Iterator[Pair]:
    given = {
        "model": "m",
        "tool_call_id": "call_1",
        "id": "call_1",
        "name": "f",
        "arguments": '{"a":1}',
        "data": PNG.data,
    }
    given |= {"url": _URL, "schema": SCHEMA, "parameters": SCHEMA, "file_data": _PDF_URL}
    functions = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("f", "g")]
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    before: dict[str, list[Body]] = {
        "tool": [{"role": "assistant", "content": None, "tool_calls": [call]}],
        "function": [{"role": "assistant", "content": None, "function_call": call["function"]}],
    }
    allowed = {"type": "function", "function": {"name": "f"}}
    given |= {"allowed_tools": lambda path: {"mode": "required", "tools": [allowed]} if "tool_choice" in path else None}

    def frame(body: Body) -> Body:
        said = (body.get("messages") or [_USER])[0]
        role = said["role"]
        return {**body, "messages": [_USER, *before.get(role, []), said, *([_USER] if role != "user" else [])]}

    place = {"city": "Paris"}
    least: dict[str, Body] = {"FileFile": {"file_data": _PDF_URL}, "WebSearchOptionsUserLocationApproximate": place}
    least |= {"JSONSchema": {"name": "f", "schema": SCHEMA}, "ChatCompletionAssistantMessageParam": {"content": "Hi."}}
    maker = Maker(given, least, _FILES)
    return _pairs(completion_create_params.CompletionCreateParamsNonStreaming, maker, frame, functions)


def _responses() -> Iterator[Pair]:
    given = {
        "model": "m",
        "call_id": "call_1",
        "name": "f",
        "arguments": '{"a":1}',
        "data": PNG.data,
        "result": PNG.data,
    }
    given |= {"schema": SCHEMA, "parameters": SCHEMA, "file_data": _PDF_URL, "file_url": _URL, "image_url": _PNG_URL}
    functions = [{"type": "function", "name": name, "parameters": SCHEMA, "strict": False} for name in ("f", "g")]
    given |= {"tools": lambda path: [{"type": "function", "name": "f"}] if "tool_choice" in path else None}
    hello = {"type": "message", "role": "user", "content": "Hello."}
    calls: dict[object, Body] = {
        "function_call_output": {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        "custom_tool_call_output": {"type": "custom_tool_call", "call_id": "call_1", "name": "f", "input": "x"},
    }
    files = {"image_url": _PNG_URL}, {"file_data": _PDF_URL}
    least: dict[str, Body] = {"FunctionCallOutput": {"call_id": "call_1"}}
    least |= {name: files[0] for name in ("ResponseInputImageParam", "ResponseInputImageContentParam")}
    least |= {name: files[1] for name in ("ResponseInputFileParam", "ResponseInputFileContentParam")}

    def frame(body: Body) -> Body:
        body = {"model": "m", **body}
        item = body.get("input") or "Hello."
        if isinstance(item, str):
            return {**body, "input": item}
        one = item[0]
        before = [calls[one.get("type")]] if one.get("type") in calls else []
        return {**body, "input": [hello, *before, one, {**hello, "role": "assistant"}, hello]}

    return _pairs(
        response_create_params.ResponseCreateParamsNonStreaming, Maker(given, least, _FILES), frame, functions
    )


_ASSISTANTS = re.compile(r"tool_use|thinking|_tool_result|compaction|mcp_|fallback|advisor")


def _messages(params: Any) -> Iterator[Pair]:
    def data(path: str) -> str:
        if "<text>" in path.rsplit("source", 1)[-1]:
            return "Plain words."
        return PDF.data if "<document>" in path else PNG.data

    given = {"model": "m", "max_tokens": 100, "tool_use_id": "call_1", "id": "call_1", "url": _URL, "input": {"a": 1}}
    given |= {"schema": SCHEMA, "input_schema": SCHEMA, "budget_tokens": 2000, "data": data}
    given |= {"name": lambda path: None if "<custom>" not in path and "tools" in path else "f"}
    call = {"type": "tool_use", "id": "call_1", "name": "f", "input": {}}
    tools = [{"name": "f", "input_schema": SCHEMA}]

    def frame(body: Body) -> Body:
        body = {"model": "m", "max_tokens": 100, **body}
        said = dict((body.get("messages") or [_USER])[0])
        said.setdefault("content", "Words.")
        blocks = said["content"] if isinstance(said["content"], list) else []
        kinds = [str(block.get("type")) for block in blocks]
        role = "assistant" if any(map(_ASSISTANTS.search, (k for k in kinds if k != "tool_result"))) else said["role"]
        before = [{"role": "assistant", "content": [call]}] if "tool_result" in kinds else []
        after = [_USER] if role != "user" else []
        return {**body, "messages": [_USER, *before, {**said, "role": role}, *after]}

    return _pairs(params, Maker(given), frame, tools)


class _Generate(pydantic.BaseModel):
    """The body of `generateContent`, which the SDK puts together from several types."""

    contents: list[genai.Content]
    systemInstruction: genai.Content | None = None
    tools: list[genai.Tool] | None = None
    toolConfig: genai.ToolConfig | None = None
    safetySettings: list[genai.SafetySetting] | None = None
    generationConfig: genai.GenerationConfig | None = None
    cachedContent: str | None = None
    labels: dict[str, str] | None = None
    serviceTier: genai.ServiceTier | None = None
    modelArmorConfig: genai.ModelArmorConfig | None = None


_MODELS = {"functionCall", "executableCode", "codeExecutionResult", "toolCall", "toolResponse", "thought"}


def _gemini() -> Iterator[Pair]:
    message = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}
    given: dict[str, object] = {"fileUri": _URL, "data": PNG.data, "args": {"a": 1}, "role": "user", "id": "call_1"}
    given |= {"name": lambda path: "f" if "function" in path else None, "response": _response}
    given |= {"parameters": message, "responseSchema": message, "responseJsonSchema": SCHEMA}
    given |= {"allowedFunctionNames": ["f", "g"]}
    given |= {"parametersJsonSchema": SCHEMA, "thoughtSignature": "c2ln", "responseMimeType": "application/json"}
    given |= {"mimeType": lambda path: "image/png" if "Data" in path else "application/json"}
    blob = {"mimeType": "image/png", "data": PNG.data}
    least: dict[str, Body] = {
        "Content": {"parts": [{"text": "Hello."}]},
        "Part": {"text": "Words."},
        "Blob": blob,
        "FunctionResponseBlob": blob,
        "FileData": {"fileUri": _URL},
        "FunctionResponseFileData": {"fileUri": _URL},
        "FunctionCall": {"name": "f", "args": {}},
        "FunctionResponse": {"name": "f", "response": {"output": "Words."}},
        "FunctionResponsePart": {"inlineData": blob},
        "FunctionDeclaration": {"name": "f"},
        "FunctionCallingConfig": {"mode": "ANY"},
        "PartialArg": {"jsonPath": "$.a"},
    }
    calling = {"role": "model", "parts": [{"functionCall": {"id": "call_1", "name": "f", "args": {}}}]}
    hello = {"role": "user", "parts": [{"text": "Hello."}]}
    tools = [{"functionDeclarations": [{"name": name, "parametersJsonSchema": SCHEMA} for name in ("f", "g", "h")]}]

    def frame(body: Body) -> Body:
        said = (body.get("contents") or [None])[0]
        if said is None or not said.get("parts"):
            return {**body, "contents": [hello]}
        part = _whole(said["parts"][0])
        role = "model" if _MODELS & part.keys() else "user"
        before = [calling] if "functionResponse" in part else []
        after = [hello] if role == "model" else []
        return {**body, "contents": [hello, *before, {"role": role, "parts": [part]}, *after]}

    return _pairs(_Generate, Maker(given, least, _FILES, camel=True), frame, tools)


def _response(path: str) -> object:
    """A function's result, or the schema of one."""
    return {"output": "Words."} if "functionResponse" in path else None


def _whole(part: Body) -> Body:
    """A part with one kind of data: media for what is said of media, else its text."""
    about = next((name for name in part if name.endswith("Metadata") or name.startswith("media")), None)
    if about is not None and about != "partMetadata":
        kind = {"videoMetadata": "video/mp4", "documentMetadata": "application/pdf"}.get(about, "image/png")
        return {name: value for name, value in part.items() if name != "text"} | {
            "inlineData": {"mimeType": kind, "data": base64.b64encode(b"%PDF-1.4").decode()}
        }
    held = any(name not in ("text", "thought", "thoughtSignature", "partMetadata") for name in part)
    return {name: value for name, value in part.items() if not (held and name == "text")}


class _Chat(pydantic.BaseModel):
    """The body of `/api/chat`, without the mappings that the SDK takes in place of its types."""

    model: str
    messages: list[ollama.Message]
    stream: bool | None = None
    options: ollama.Options | None = None
    format: dict[str, Any] | None = None
    keep_alive: str | None = None
    tools: list[ollama.Tool] | None = None
    think: str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


_OLLAMA: dict[str, object] = {
    "model": "m",
    "images": [PNG.data],
    "format": SCHEMA,
    "think": "high",
    "keep_alive": "10m",
}


def _ollama() -> Iterator[Pair]:
    call = {"function": {"name": "f", "arguments": {}}}
    given = {**_OLLAMA, "role": "user", "name": "f", "tool_name": "f", "arguments": {"a": 1}, "parameters": SCHEMA}
    least = {"Function": {"name": "f", "arguments": {}}, "Tool": {"function": {"name": "f"}}}

    def frame(body: Body) -> Body:
        said = dict((body.get("messages") or [{"role": "user"}])[0])
        said.setdefault("content", "Words.")
        role = "assistant" if {"tool_calls", "thinking"} & said.keys() else "tool" if "tool_name" in said else "user"
        before = [{"role": "assistant", "content": "", "tool_calls": [call]}] if role == "tool" else []
        return {**body, "messages": [_USER, *before, {**said, "role": role}, *([_USER] if role == "assistant" else [])]}

    return _pairs(_Chat, Maker(given, least), frame)


def _generate() -> Iterator[Pair]:
    given = {**_OLLAMA, "context": [1, 2], "options": lambda path: None}
    return _pairs(ollama.GenerateRequest, Maker(given), lambda body: {"prompt": "Hello.", **body})


FORMATS = {
    "openai_chat": Format("openai_chat", Hints(), _chat),
    "openai_responses": Format("openai_responses", Hints(), _responses),
    "anthropic": Format(
        "anthropic", Hints(), partial(_messages, message_create_params.MessageCreateParamsNonStreaming)
    ),
    "anthropic beta": Format(
        "anthropic", Hints(), partial(_messages, beta_create_params.MessageCreateParamsNonStreaming)
    ),
    "gemini": Format("gemini", Hints(model="m"), _gemini),
    "ollama chat": Format("ollama", Hints(operation="chat"), _ollama),
    "ollama generate": Format("ollama", Hints(operation="generate"), _generate),
}
