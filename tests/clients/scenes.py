"""What a played model says, once, in every upstream format: whole, and as the records of a stream.

All formats count the same tokens, each in its own words.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_mux.wire import eventstream
from tests.fake_upstream import Reply

PROMPT, CACHED, OUTPUT, REASONING = 120, 20, 44, 20

STOP_STRING = "###"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """A thought with its seal, words, and a call of a tool, each if it is not empty; why it ended, in the words of
    `STOPS`. At the Responses API the tool may be one of a namespace, or one that takes free text: the argument `input`.
    """

    thought: str = ""
    seal: str = ""
    text: str = ""
    call: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    tool: str = "weather"
    namespace: str = ""
    free: bool = False
    stop: str = "stop"


STOPS: Mapping[str, Mapping[str, str]] = {
    "openai-chat": {"stop": "stop", "tool": "tool_calls", "length": "length", "filtered": "content_filter"},
    "openai-responses": {"stop": "", "tool": "", "length": "max_output_tokens", "filtered": "content_filter"},
    "anthropic": {
        "stop": "end_turn",
        "tool": "tool_use",
        "length": "max_tokens",
        "filtered": "refusal",
        "stopped": "stop_sequence",
    },
    "gemini": {"stop": "STOP", "tool": "STOP", "length": "MAX_TOKENS", "filtered": "SAFETY"},
    "ollama": {"stop": "stop", "tool": "stop", "length": "length"},
    "bedrock": {
        "stop": "end_turn",
        "tool": "tool_use",
        "length": "max_tokens",
        "filtered": "content_filtered",
        "stopped": "stop_sequence",
    },
}
"""Why an answer ended, in each format's words; Ollama has none for what was withheld."""

MEDIA = {"ollama": "application/x-ndjson", "bedrock": eventstream.MEDIA_TYPE}


def whole(format_: str, scene: Scene) -> Reply:
    """The whole answer."""
    return Reply(json.dumps(_FORMATS[format_][0](scene)).encode())


def records(format_: str, scene: Scene) -> list[bytes]:
    """The records of its stream."""
    return _FORMATS[format_][1](scene)


def streamed(format_: str, steps: Sequence[Any]) -> Reply:
    """A stream of ready-made records."""
    return Reply(list(steps), content_type=MEDIA.get(format_, "text/event-stream"))


def said(format_: str, scene: Scene, mode: str) -> Reply:
    return whole(format_, scene) if mode == "whole" else streamed(format_, records(format_, scene))


def halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _stop(format_: str, scene: Scene) -> str:
    words = STOPS[format_]
    return words.get("tool" if scene.call and scene.stop == "stop" else scene.stop, words["stop"])


def sse(*events: Json, named: bool = False) -> list[bytes]:
    return [
        (f"event: {event['type']}\n" if named else "").encode() + b"data: " + json.dumps(event).encode() + b"\n\n"
        for event in events
    ]


# OpenAI chat, with the seals that OpenRouter puts beside the reasoning.

_CHAT_USAGE: Json = {
    "prompt_tokens": PROMPT,
    "completion_tokens": OUTPUT,
    "total_tokens": PROMPT + OUTPUT,
    "prompt_tokens_details": {"cached_tokens": CACHED},
    "completion_tokens_details": {"reasoning_tokens": REASONING},
}


def _chat_whole(scene: Scene) -> Json:
    message: Json = {"role": "assistant", "content": scene.text or None}
    if scene.thought:
        message |= {"reasoning": scene.thought, "reasoning_details": [_detail(scene.seal, scene.thought)]}
    if scene.call:
        function = {"name": scene.tool, "arguments": json.dumps(scene.arguments)}
        message["tool_calls"] = [{"id": scene.call, "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "finish_reason": _stop("openai-chat", scene)}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice], "usage": _CHAT_USAGE}


def _detail(seal: str, text: str = "") -> Json:
    entry: Json = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
    return entry | ({"text": text} if text else {}) | ({"signature": seal} if seal else {})


def _chat_records(scene: Scene) -> list[bytes]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def chunk(delta: Json, finish: str | None = None) -> Json:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    if scene.thought:
        deltas += [{"reasoning": part, "reasoning_details": [_detail("", part)]} for part in halves(scene.thought)]
        deltas.append({"reasoning_details": [_detail(scene.seal)]})
    deltas += [{"content": part} for part in halves(scene.text) if part]
    if scene.call:
        function = {"name": scene.tool, "arguments": ""}
        deltas.append({"tool_calls": [{"index": 0, "id": scene.call, "type": "function", "function": function}]})
        pieces = halves(json.dumps(scene.arguments))
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
    chunks = [*(chunk(delta) for delta in deltas), chunk({}, _stop("openai-chat", scene))]
    return [*sse(*chunks, {**head, "choices": [], "usage": _CHAT_USAGE}), b"data: [DONE]\n\n"]


# OpenAI Responses.

_RESPONSES_USAGE: Json = {
    "input_tokens": PROMPT,
    "input_tokens_details": {"cached_tokens": CACHED},
    "output_tokens": OUTPUT,
    "output_tokens_details": {"reasoning_tokens": REASONING},
    "total_tokens": PROMPT + OUTPUT,
}
_SUMMARY = "response.reasoning_summary"


def _items(scene: Scene) -> list[Json]:
    items: list[Json] = []
    if scene.thought:
        summary = [{"type": "summary_text", "text": scene.thought}]
        items.append({"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": scene.seal})
    if scene.text:
        part = {"type": "output_text", "text": scene.text, "annotations": []}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
        items.append({**message, "content": [part]})
    if scene.call:
        call = {"id": f"fc_{scene.call}", "call_id": scene.call, "name": scene.tool, "status": "completed"}
        call |= {"namespace": scene.namespace} if scene.namespace else {}
        if scene.free:
            items.append({"type": "custom_tool_call", **call, "input": scene.arguments["input"]})
        else:
            items.append({"type": "function_call", **call, "arguments": json.dumps(scene.arguments)})
    return items


def _response(scene: Scene | None) -> Json:
    """The response object: as it begins, or with all of `scene`."""
    response: Json = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "in_progress",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "usage": None,
    }
    if scene is None:
        return response
    reason = _stop("openai-responses", scene)
    ended = {"status": "incomplete" if reason else "completed", "output": _items(scene), "usage": _RESPONSES_USAGE}
    return response | ended | {"incomplete_details": {"reason": reason} if reason else None}


def _responses_records(scene: Scene) -> list[bytes]:
    events: list[Json] = [
        {"type": f"response.{name}", "response": _response(None)} for name in ("created", "in_progress")
    ]
    for index, item in enumerate(_items(scene)):
        place = {"output_index": index, "item_id": item["id"]}
        events += [event | place for event in _ITEM_EVENTS[item["type"]](item)]
    last = _response(scene)
    events.append({"type": f"response.{last['status']}", "response": last})
    return sse(*({**event, "sequence_number": number} for number, event in enumerate(events)), named=True)


def _wrapped(item: Json, begun: Json, inner: list[Json]) -> list[Json]:
    added = {"type": "response.output_item.added", "item": item | begun | {"status": "in_progress"}}
    return [added, *inner, {"type": "response.output_item.done", "item": item}]


def _reasoning_events(item: Json) -> list[Json]:
    text = item["summary"][0]["text"]
    place = {"summary_index": 0}
    inner: list[Json] = [
        {"type": f"{_SUMMARY}_part.added", "part": {"type": "summary_text", "text": ""}},
        *({"type": f"{_SUMMARY}_text.delta", "delta": piece} for piece in halves(text)),
        {"type": f"{_SUMMARY}_text.done", "text": text},
        {"type": f"{_SUMMARY}_part.done", "part": item["summary"][0]},
    ]
    return _wrapped(item, {"summary": [], "encrypted_content": "unfinished"}, [event | place for event in inner])


def _message_events(item: Json) -> list[Json]:
    part = item["content"][0]
    place = {"content_index": 0}
    inner: list[Json] = [
        {"type": "response.content_part.added", "part": part | {"text": ""}},
        *({"type": "response.output_text.delta", "delta": piece, "logprobs": []} for piece in halves(part["text"])),
        {"type": "response.output_text.done", "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", "part": part},
    ]
    return _wrapped(item, {"content": []}, [event | place for event in inner])


def _call_events(item: Json) -> list[Json]:
    arguments = item["arguments"]
    name = "response.function_call_arguments"
    inner: list[Json] = [{"type": f"{name}.delta", "delta": piece} for piece in halves(arguments)]
    done = {"type": f"{name}.done", "arguments": arguments, "name": item["name"]}
    return _wrapped(item, {"arguments": ""}, [*inner, done])


def _free_events(item: Json) -> list[Json]:
    name = "response.custom_tool_call_input"
    inner: list[Json] = [{"type": f"{name}.delta", "delta": piece} for piece in halves(item["input"])]
    return _wrapped(item, {"input": ""}, [*inner, {"type": f"{name}.done", "input": item["input"]}])


_ITEM_EVENTS = {
    "reasoning": _reasoning_events,
    "message": _message_events,
    "function_call": _call_events,
    "custom_tool_call": _free_events,
}


# Anthropic Messages.

MESSAGES_USAGE: Json = {
    "input_tokens": PROMPT - CACHED,
    "cache_read_input_tokens": CACHED,
    "cache_creation_input_tokens": 0,
    "output_tokens": OUTPUT,
    "output_tokens_details": {"thinking_tokens": REASONING},
}


def _blocks(scene: Scene) -> list[Json]:
    blocks: list[Json] = []
    if scene.thought:
        blocks.append({"type": "thinking", "thinking": scene.thought, "signature": scene.seal})
    if scene.text:
        blocks.append({"type": "text", "text": scene.text})
    if scene.call:
        blocks.append({"type": "tool_use", "id": scene.call, "name": scene.tool, "input": dict(scene.arguments)})
    return blocks


def _messages_whole(scene: Scene) -> Json:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5"}
    sequence = STOP_STRING if scene.stop == "stopped" else None
    ended = {"stop_reason": _stop("anthropic", scene), "stop_sequence": sequence, "usage": MESSAGES_USAGE}
    return {**head, "content": _blocks(scene), **ended}


def _messages_records(scene: Scene) -> list[bytes]:
    message = _messages_whole(scene)
    begun = {"content": [], "stop_reason": None, "usage": MESSAGES_USAGE | {"output_tokens": 1}}
    events: list[Json] = [{"type": "message_start", "message": message | begun}]
    for index, block in enumerate(message["content"]):
        empty = {"thinking": {"thinking": "", "signature": ""}, "text": {"text": ""}, "tool_use": {"input": {}}}
        start = block | empty[block["type"]]
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in _deltas(block)]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    events.append({"type": "message_delta", "delta": delta, "usage": message["usage"]})
    return sse(*events, {"type": "message_stop"}, named=True)


def _deltas(block: Json) -> list[Json]:
    match block["type"]:
        case "thinking":
            thoughts: list[Json] = [{"type": "thinking_delta", "thinking": part} for part in halves(block["thinking"])]
            return [*thoughts, {"type": "signature_delta", "signature": block["signature"]}]
        case "text":
            return [{"type": "text_delta", "text": part} for part in halves(block["text"])]
        case _:
            return [{"type": "input_json_delta", "partial_json": part} for part in halves(json.dumps(block["input"]))]


# Gemini: a seal is the call's own, or stands on the last part.


def _parts(scene: Scene) -> list[Json]:
    parts: list[Json] = [{"text": scene.thought, "thought": True}] if scene.thought else []
    if scene.text:
        parts.append({"text": scene.text})
    if scene.call:
        parts.append({"functionCall": {"id": scene.call, "name": scene.tool, "args": dict(scene.arguments)}})
    if scene.seal:
        parts[-1]["thoughtSignature"] = scene.seal
    return parts


def _candidate(parts: list[Json], finish: str | None = None) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    usage = {
        "promptTokenCount": PROMPT,
        "cachedContentTokenCount": CACHED,
        "candidatesTokenCount": OUTPUT - REASONING,
        "thoughtsTokenCount": REASONING,
        "totalTokenCount": PROMPT + OUTPUT,
    }
    candidate |= {"finishReason": finish} if finish else {}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r1"}


def _gemini_whole(scene: Scene) -> Json:
    return _candidate(_parts(scene), _stop("gemini", scene))


def _gemini_records(scene: Scene) -> list[bytes]:
    parts: list[Json] = []
    for part in _parts(scene):
        if "text" not in part:
            parts.append(part)
            continue
        first, rest = halves(part["text"])
        parts += [{key: value for key, value in part.items() if key != "thoughtSignature"} | {"text": first}]
        parts += [part | {"text": rest}]
    chunks = [_candidate([part]) for part in parts]
    return sse(*chunks, _candidate([{"text": ""}], _stop("gemini", scene)))


# Ollama.


def _line(message: Json, scene: Scene | None = None) -> Json:
    line: Json = {
        "model": "qwen3:8b",
        "created_at": "2026-03-01T09:30:00Z",
        "message": {"role": "assistant", **message},
    }
    if scene is None:
        return line | {"done": False}
    counts = {"prompt_eval_count": PROMPT, "eval_count": OUTPUT, "total_duration": 5, "eval_duration": 4}
    return line | {"done": True, "done_reason": _stop("ollama", scene)} | counts


def _ollama_call(scene: Scene) -> Json:
    function = {"name": scene.tool, "arguments": dict(scene.arguments)}
    return {"tool_calls": [{"id": scene.call, "function": function}]} if scene.call else {}


def _ollama_whole(scene: Scene) -> Json:
    thought = {"thinking": scene.thought} if scene.thought else {}
    return _line({"content": scene.text, **thought, **_ollama_call(scene)}, scene)


def _ollama_records(scene: Scene) -> list[bytes]:
    lines = [_line({"content": "", "thinking": part}) for part in halves(scene.thought) if part]
    lines += [_line({"content": part}) for part in halves(scene.text) if part]
    if scene.call:
        lines.append(_line({"content": "", **_ollama_call(scene)}))
    return [json.dumps(line).encode() + b"\n" for line in (*lines, _line({"content": ""}, scene))]


# Bedrock Converse.


def _converse_whole(scene: Scene) -> Json:
    content: list[Json] = []
    if scene.thought:
        content.append({"reasoningContent": {"reasoningText": {"text": scene.thought, "signature": scene.seal}}})
    if scene.text:
        content.append({"text": scene.text})
    if scene.call:
        use = {"toolUseId": scene.call, "name": scene.tool, "input": dict(scene.arguments)}
        content.append({"toolUse": use})
    usage = {
        "inputTokens": PROMPT - CACHED,
        "cacheReadInputTokens": CACHED,
        "cacheWriteInputTokens": 0,
        "outputTokens": OUTPUT,
        "totalTokens": PROMPT + OUTPUT,
    }
    message = {"role": "assistant", "content": content}
    ended = {"stopReason": _stop("bedrock", scene), "usage": usage, "metrics": {"latencyMs": 1}}
    return {"output": {"message": message}, **ended}


def _converse_records(scene: Scene) -> list[bytes]:
    answer = _converse_whole(scene)
    events: list[tuple[str, Json]] = [("messageStart", {"role": "assistant"})]
    for index, block in enumerate(answer["output"]["message"]["content"]):
        place = {"contentBlockIndex": index}
        if use := block.get("toolUse"):
            start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
            events.append(("contentBlockStart", place | {"start": start}))
        events += [("contentBlockDelta", place | {"delta": delta}) for delta in _converse_deltas(block)]
        events.append(("contentBlockStop", place))
    events.append(("messageStop", {"stopReason": answer["stopReason"]}))
    events.append(("metadata", {"usage": answer["usage"], "metrics": answer["metrics"]}))
    return [eventstream.event(kind, json.dumps(payload).encode()) for kind, payload in events]


def _converse_deltas(block: Json) -> list[Json]:
    if thought := block.get("reasoningContent"):
        pieces: list[Json] = [{"text": part} for part in halves(thought["reasoningText"]["text"])]
        pieces.append({"signature": thought["reasoningText"]["signature"]})
        return [{"reasoningContent": piece} for piece in pieces]
    if "text" in block:
        return [{"text": part} for part in halves(block["text"])]
    return [{"toolUse": {"input": part}} for part in halves(json.dumps(block["toolUse"]["input"]))]


_FORMATS = {
    "openai-chat": (_chat_whole, _chat_records),
    "openai-responses": (_response, _responses_records),
    "anthropic": (_messages_whole, _messages_records),
    "gemini": (_gemini_whole, _gemini_records),
    "ollama": (_ollama_whole, _ollama_records),
    "bedrock": (_converse_whole, _converse_records),
}
