"""An answer that names its source, after a search on the web where the format tells of one, in every upstream format.

All formats count offsets differently, so there are letters of two bytes before the words that the source stands for.
"""

import json
from typing import Any

from llm_mux.wire import eventstream
from tests.clients.scenes import CACHED, MESSAGES_USAGE, OUTPUT, PROMPT, Json, halves, sse, streamed
from tests.fake_upstream import Reply

BEFORE, CITED = "Größe zählt. ", "Oslo is cold."
TEXT = BEFORE + CITED
URL, TITLE, QUERY = "https://example.com/oslo", "Oslo’s weather", "weather in Oslo"
START, END = len(BEFORE), len(TEXT)


def reply(format_: str, mode: str) -> Reply:
    """The answer, whole or streamed."""
    if mode == "stream":
        return streamed(format_, _RECORDS[format_]())
    return Reply(json.dumps(_WHOLE[format_]()).encode())


_ANNOTATION: Json = {"url": URL, "title": TITLE, "start_index": START, "end_index": END}


def _chat() -> Json:
    message = {
        "role": "assistant",
        "content": TEXT,
        "annotations": [{"type": "url_citation", "url_citation": _ANNOTATION}],
    }
    usage = {"prompt_tokens": PROMPT, "completion_tokens": OUTPUT, "total_tokens": PROMPT + OUTPUT}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice], "usage": usage}


def _chat_records() -> list[bytes]:
    whole = _chat()
    head = {**whole, "object": "chat.completion.chunk"}
    del head["usage"]
    message = whole["choices"][0]["message"]
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in halves(TEXT))]
    deltas.append({"annotations": message["annotations"]})
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    last = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return [*sse(*chunks, last, {**head, "choices": [], "usage": whole["usage"]}), b"data: [DONE]\n\n"]


_SEARCH: Json = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": QUERY},
}
_NOTE: Json = {"type": "url_citation", **_ANNOTATION}
_PART: Json = {"type": "output_text", "text": TEXT, "annotations": [_NOTE]}
_MESSAGE: Json = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [_PART]}


def _response(*output: Json) -> Json:
    usage = {
        "input_tokens": PROMPT,
        "input_tokens_details": {"cached_tokens": CACHED},
        "output_tokens": OUTPUT,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": PROMPT + OUTPUT,
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "completed" if output else "in_progress",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "usage": usage if output else None,
    }


def _responses() -> Json:
    return _response(_SEARCH, _MESSAGE)


def _responses_records() -> list[bytes]:
    search = {"output_index": 0, "item_id": "ws_1"}
    said = {"output_index": 1, "item_id": "msg_1", "content_index": 0}
    events: list[Json] = [
        {"type": "response.created", "response": _response()},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"id": "ws_1", "type": "web_search_call", "status": "in_progress"},
        },
        *({"type": f"response.web_search_call.{name}", **search} for name in ("in_progress", "searching", "completed")),
        {"type": "response.output_item.done", "output_index": 0, "item": _SEARCH},
        {
            "type": "response.output_item.added",
            "output_index": 1,
            "item": _MESSAGE | {"status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **said, "part": _PART | {"text": "", "annotations": []}},
        *({"type": "response.output_text.delta", **said, "delta": piece, "logprobs": []} for piece in halves(TEXT)),
        {"type": "response.output_text.annotation.added", **said, "annotation_index": 0, "annotation": _NOTE},
        {"type": "response.output_text.done", **said, "text": TEXT, "logprobs": []},
        {"type": "response.content_part.done", **said, "part": _PART},
        {"type": "response.output_item.done", "output_index": 1, "item": _MESSAGE},
        {"type": "response.completed", "response": _responses()},
    ]
    return sse(*({**event, "sequence_number": number} for number, event in enumerate(events)), named=True)


_LOCATION: Json = {
    "type": "web_search_result_location",
    "url": URL,
    "title": TITLE,
    "cited_text": "-3 degrees",
    "encrypted_index": "aW5kZXg=",
}


def _messages() -> Json:
    found = {"type": "web_search_result", "url": URL, "title": TITLE, "encrypted_content": "Y29udGVudA=="}
    content: list[Json] = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": QUERY}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "srvtoolu_1",
            "content": [{**found, "page_age": None}],
        },
        {"type": "text", "text": BEFORE},
        {"type": "text", "text": CITED, "citations": [_LOCATION]},
    ]
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5"}
    usage = MESSAGES_USAGE | {"server_tool_use": {"web_search_requests": 1}}
    return {**head, "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}


def _messages_records() -> list[bytes]:
    message = _messages()
    begun = message | {"content": [], "stop_reason": None}
    events: list[Json] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(message["content"]):
        start, deltas = _block(block)
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": ended, "usage": message["usage"]})
    return sse(*events, {"type": "message_stop"}, named=True)


def _block(block: Json) -> tuple[Json, list[Json]]:
    """How a block begins, and the deltas that it is made of."""
    match block["type"]:
        case "server_tool_use":
            asked = json.dumps(block["input"])
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in halves(asked)]
        case "text":
            cites = [{"type": "citations_delta", "citation": one} for one in block.get("citations", ())]
            return {"type": "text", "text": ""}, [*cites, {"type": "text_delta", "text": block["text"]}]
        case _:
            return block, []


def _gemini_record(parts: list[Json], **more: Any) -> Json:
    usage = {"promptTokenCount": PROMPT, "candidatesTokenCount": OUTPUT, "totalTokenCount": PROMPT + OUTPUT}
    candidate = {"content": {"parts": parts, "role": "model"}, "index": 0, **more}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r1"}


_GROUNDING: Json = {
    "webSearchQueries": [QUERY],
    "searchEntryPoint": {"renderedContent": "<div></div>"},
    "groundingChunks": [{"web": {"uri": URL, "title": TITLE}}],
    "groundingSupports": [
        {
            "segment": {"startIndex": len(BEFORE.encode()), "endIndex": len(TEXT.encode()), "text": CITED},
            "groundingChunkIndices": [0],
        }
    ],
}


def _gemini() -> Json:
    return _gemini_record([{"text": TEXT}], finishReason="STOP", groundingMetadata=_GROUNDING)


def _gemini_records() -> list[bytes]:
    chunks = [_gemini_record([{"text": piece}]) for piece in halves(TEXT)]
    return sse(*chunks, _gemini_record([{"text": ""}], finishReason="STOP", groundingMetadata=_GROUNDING))


_SOURCE: Json = {"title": TITLE, "sourceContent": [{"text": "-3 degrees"}], "location": {"web": {"url": URL}}}


def _converse() -> Json:
    content: list[Json] = [
        {"text": BEFORE},
        {"citationsContent": {"content": [{"text": CITED}], "citations": [_SOURCE]}},
    ]
    usage = {"inputTokens": PROMPT, "outputTokens": OUTPUT, "totalTokens": PROMPT + OUTPUT}
    message = {"role": "assistant", "content": content}
    return {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}}


def _converse_records() -> list[bytes]:
    answer = _converse()
    events: list[tuple[str, Json]] = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": BEFORE}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": CITED}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"citation": _SOURCE}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": answer["usage"], "metrics": answer["metrics"]}),
    ]
    return [eventstream.event(kind, json.dumps(payload).encode()) for kind, payload in events]


_WHOLE = {
    "openai-chat": _chat,
    "openai-responses": _responses,
    "anthropic": _messages,
    "gemini": _gemini,
    "bedrock": _converse,
}
_RECORDS = {
    "openai-chat": _chat_records,
    "openai-responses": _responses_records,
    "anthropic": _messages_records,
    "gemini": _gemini_records,
    "bedrock": _converse_records,
}
"""Ollama's models name no sources."""
