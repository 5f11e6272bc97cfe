"""Answers of every upstream format, whole and as the records of a stream, made from the types of its SDK."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from anthropic.types import Message, RawMessageStreamEvent
from google.genai import types as genai
from ollama import _types as ollama
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from tests.translators.probes import PNG
from tests.translators.sdk_bodies import Body, Pair
from tests.translators.sdk_types import Maker


@dataclass(frozen=True, slots=True)
class Answers:
    """`pairs`: answers that have a thing and the same without; `written`: such an answer as the upstream sends it."""

    name: str
    pairs: Callable[[], Iterator[Pair]]
    written: Callable[[Any], bytes]
    streams: bool = False


def _pairs(type_: Any, maker: Maker, frame: Callable[[Body], Any]) -> Iterator[Pair]:
    for one in maker.samples(type_):
        yield Pair(one.path, frame(one.value), None if one.without is None else frame(one.without))


def _plain(value: Any) -> bytes:
    return json.dumps(value).encode()


def _sse(records: list[Body]) -> bytes:
    return b"".join(
        (f"event: {record['type']}\n" if "type" in record else "").encode() + b"data: %b\n\n" % _plain(record)
        for record in records
    )


def _lines(records: list[Body]) -> bytes:
    return b"".join(_plain(record) + b"\n" for record in records)


_CHAT: dict[str, object] = {"id": "chatcmpl-1", "created": 5, "model": "m", "arguments": '{"a":1}', "name": "f"}
_CHAT |= {"data": PNG.data, "index": 0, "start_index": 0, "end_index": 2, "finish_reason": "stop", "refusal": None}


def _chat() -> Iterator[Pair]:
    message = {"role": "assistant", "content": "Hi."}
    least: dict[str, Body] = {"ChatCompletionMessage": message, "Choice": {"index": 0, "message": message}}

    def frame(body: Body) -> Body:
        choices = [{"finish_reason": "stop", **choice} for choice in body.get("choices") or [{"message": message}]]
        return {**body, "choices": choices}

    return _pairs(ChatCompletion, Maker(_CHAT, least), frame)


def _chunks() -> Iterator[Pair]:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m"}
    end = {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    first = {**base, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}]}

    def frame(body: Body) -> list[Body]:
        choices = body.get("choices") or []
        return [first, {**body, "choices": [{"index": 0, "delta": {}, **choice} for choice in choices]}, end]

    call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": "{}"}}
    least: dict[str, Body] = {"Choice": {"index": 0, "delta": {"content": "x"}}, "ChoiceDeltaToolCall": call}
    return _pairs(ChatCompletionChunk, Maker(_CHAT, least), frame)


_RESPONSES: dict[str, object] = {"id": "resp_1", "created_at": 5, "model": "m", "call_id": "call_1", "name": "f"}
_RESPONSES |= {"arguments": '{"a":1}', "result": PNG.data, "data": PNG.data, "start_index": 0, "end_index": 2}
_RESPONSES |= {"tools": [], "tool_choice": "auto", "instructions": None, "error": None, "role": "assistant"}
_RESPONSES |= {"object": lambda path: "response" if path in ("object", "response.object") else None}
_SAID = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
_HI = {"type": "output_text", "text": "Hi.", "annotations": []}
_LAST = {**_SAID, "content": [_HI]}


def _responses() -> Iterator[Pair]:
    def frame(body: Body) -> Body:
        return {**body, "status": "completed", "output": [*(body.get("output") or ()), _LAST]}

    given = {**_RESPONSES, "status": lambda path: "completed" if path == "status" or "output[]" in path else None}
    return _pairs(Response, Maker(given), frame)


def _events() -> Iterator[Pair]:
    """One event after a message was begun that has said a word."""
    base = {"id": "resp_1", "object": "response", "created_at": 5, "model": "m", "output": []}
    begun = [
        {"type": "response.created", "response": {**base, "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**_SAID, "content": []}},
        {"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0, "content_index": 0, "part": _HI},
    ]
    end = {"type": "response.completed", "response": {**base, "status": "completed", "output": []}}
    given = {**_RESPONSES, "response": {**base, "status": "completed"}, "item_id": "msg_1", "sequence_number": 9}
    # What an event begins with is tried in the one that ends it.
    given |= {"item": lambda path: {**_SAID, "id": "msg_2", "content": []} if "item.added" in path else None}
    given |= {"part": lambda path: _HI if "part.added" in path else None}
    given |= {"output_index": lambda path: 1, "content_index": 0, "summary_index": 0, "annotation_index": 0}
    given |= {
        "status": lambda path: "completed",
        "annotation": {"type": "url_citation", "url": "https://a.example", "title": "A"},
    }
    return _pairs(ResponseStreamEvent, Maker(given), lambda body: [*begun, *([body] if body.get("type") else []), end])


_CLAUDE: dict[str, object] = {"id": "msg_1", "model": "m", "name": "f", "input": {"a": 1}, "tool_use_id": "call_1"}
_CLAUDE |= {"stop_sequence": None, "role": "assistant", "index": 1, "partial_json": '{"a":1}', "data": PNG.data}


def _message() -> Iterator[Pair]:
    def frame(body: Body) -> Body:
        usage = {"input_tokens": 1, "output_tokens": 1, **(body.get("usage") or {})}
        content = [*(body.get("content") or ()), {"type": "text", "text": "Hi."}]
        return {"stop_reason": "end_turn", **body, "content": content, "usage": usage}

    return _pairs(Message, Maker(_CLAUDE), frame)


def _blocks() -> Iterator[Pair]:
    """One event after a block was begun that takes its kind of delta."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    message |= {"stop_reason": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
    empty: dict[str, Body] = {
        "thinking_delta": {"type": "thinking", "thinking": "", "signature": ""},
        "signature_delta": {"type": "thinking", "thinking": "", "signature": ""},
        "input_json_delta": {"type": "tool_use", "id": "call_1", "name": "f", "input": {}},
    }
    text = {"type": "text", "text": ""}
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}

    def frame(body: Body) -> list[Body]:
        type_, kind = body.get("type"), (body.get("delta") or {}).get("type")
        start = body if type_ == "message_start" else {"type": "message_start", "message": message}
        block = body if type_ == "content_block_start" else {"type": "content_block_start", "index": 1}
        if block is not body:
            block["content_block"] = empty.get(str(kind), text)
        delta = [body] if type_ == "content_block_delta" else []
        end: Body = stop
        if type_ == "message_delta":
            end = {**body, "delta": {"stop_reason": "end_turn", **body["delta"]}}
        first = [{"type": "content_block_start", "index": 0, "content_block": text}]
        first += [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi."}}]
        stops = [{"type": "content_block_stop", "index": index} for index in (0, 1)]
        return [start, *first, stops[0], block, *delta, stops[1], end, {"type": "message_stop"}]

    given = {**_CLAUDE, "content": lambda path: [] if path.startswith("<message_start>") else None}
    return _pairs(RawMessageStreamEvent, Maker(given), frame)


_GEMINI: dict[str, object] = {"responseId": "g1", "modelVersion": "m", "name": "f", "id": "call_1", "args": {"a": 1}}
_GEMINI |= {"data": PNG.data, "mimeType": "image/png", "fileUri": "https://example.com/a.png", "index": 0}
_GEMINI |= {"jsonPath": "$.a", "willContinue": False}
_MEDIA: dict[str, Body] = {
    "Blob": {"data": PNG.data, "mimeType": "image/png"},
    "FileData": {"fileUri": "https://example.com/a.png", "mimeType": "image/png"},
    "FunctionResponseBlob": {"data": PNG.data, "mimeType": "image/png"},
    "FunctionResponseFileData": {"fileUri": "https://example.com/a.png", "mimeType": "image/png"},
    "PartialArg": {"jsonPath": "$.a"},
    "Part": {"text": "More."},
    "ExecutableCode": {"code": "1", "language": "PYTHON"},
    "CodeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"},
    "Citation": {"uri": "https://a.example", "startIndex": 0, "endIndex": 2},
    "GroundingChunkWeb": {"uri": "https://a.example", "title": "A"},
    "GroundingSupport": {"groundingChunkIndices": [0], "segment": {"startIndex": 0, "endIndex": 2}},
}
_PART = frozenset({"text", "inlineData", "fileData", "executableCode", "codeExecutionResult", "functionCall"})
_GEMINI |= {"sdkHttpResponse": lambda path: None, "automaticFunctionCallingHistory": lambda path: None}


def _candidates(body: Body) -> list[Body]:
    if (body.get("promptFeedback") or {}).get("blockReason"):
        return []
    said = body.get("candidates") or [{}]
    return [{"finishReason": "STOP", "content": {"parts": [{"text": "Hi."}]}, **candidate} for candidate in said]


def _gemini() -> Iterator[Pair]:
    return _pairs(
        genai.GenerateContentResponse,
        Maker(_GEMINI, _MEDIA, (_PART,), camel=True),
        lambda body: {"responseId": "g1", **body, "candidates": _candidates(body)},
    )


def _gemini_records() -> Iterator[Pair]:
    first = {"responseId": "g1", "candidates": [{"content": {"parts": [{"text": "Hello. "}]}}]}
    return _pairs(
        genai.GenerateContentResponse,
        Maker(_GEMINI, _MEDIA, (_PART,), camel=True),
        lambda body: [first, {"responseId": "g1", **body, "candidates": _candidates(body)}],
    )


_OLLAMA: dict[str, object] = {"model": "m", "images": [PNG.data], "arguments": {"a": 1}, "name": "f"}
_OLLAMA |= {"role": "assistant", "created_at": "2026-01-01T00:00:00Z", "done": True}


def _ollama() -> Iterator[Pair]:
    def frame(body: Body) -> Body:
        message = {"role": "assistant", "content": "Hi.", **(body.get("message") or {})}
        return {"done_reason": "stop", **body, "done": True, "message": message}

    return _pairs(ollama.ChatResponse, Maker(_OLLAMA), frame)


def _ollama_lines() -> Iterator[Pair]:
    def frame(body: Body) -> list[Body]:
        message = {"role": "assistant", "content": "", **(body.get("message") or {})}
        first = {"model": "m", "message": {"role": "assistant", "content": "Hi."}, "done": False}
        words = (
            {"logprobs": body["logprobs"], "message": {"role": "assistant", "content": "!"}}
            if "logprobs" in body
            else {}
        )
        said = [{**first, **words}] if words else []
        return [first, *said, {"done_reason": "stop", **body, "done": True, "message": message}]

    return _pairs(ollama.ChatResponse, Maker(_OLLAMA), frame)


ANSWERS = {
    "openai_chat": Answers("openai_chat", _chat, _plain),
    "openai_responses": Answers("openai_responses", _responses, _plain),
    "anthropic": Answers("anthropic", _message, _plain),
    "gemini": Answers("gemini", _gemini, _plain),
    "ollama": Answers("ollama", _ollama, _plain),
    "openai_chat stream": Answers("openai_chat", _chunks, lambda made: _sse(made) + b"data: [DONE]\n\n", True),
    "openai_responses stream": Answers("openai_responses", _events, _sse, True),
    "anthropic stream": Answers("anthropic", _blocks, _sse, True),
    "gemini stream": Answers("gemini", _gemini_records, _sse, True),
    "ollama stream": Answers("ollama", _ollama_lines, _lines, True),
}
