"""A fast upstream for the benchmarks: raw HTTP/1.1 over an asyncio protocol, canned answers, no parsing beyond lengths.

It speaks OpenAI chat and responses and Anthropic messages (by path), whole and as a stream of 100 events
(`"stream":true` in the body). Below `/quota/` every answer has the headers of its format's rate limits, and the key
`limited` gets a 429 with an hour's rest. A model name that ends in `-pace-<ms>` (or `X-Pace: <ms>`) spaces the events
out; with `-then-<ms>` the first words leave alone, as a model's do, and the others together so much later; without
either they leave in one burst of ten writes.
"""

import asyncio
import json
import sys
from typing import cast

EVENTS = 100


def _whole(kind: str) -> bytes:
    if kind == "anthropic":
        body = {
            "id": "msg_bench",
            "type": "message",
            "role": "assistant",
            "model": "bench",
            "content": [{"type": "text", "text": "word " * 60}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 100, "output_tokens": 60},
        }
    elif kind == "responses":
        body = _response([_spoken("word " * 60)])
    else:
        body = {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1700000000,
            "model": "bench",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "word " * 60}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 60, "total_tokens": 160},
        }
    data = json.dumps(body, separators=(",", ":")).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def _spoken(text: str) -> dict[str, object]:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"id": "msg_bench", "type": "message", "role": "assistant", "status": "completed", "content": content}


def _response(output: list[dict[str, object]], status: str = "completed") -> dict[str, object]:
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 60,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 160,
    }
    return {
        "id": "resp_bench",
        "object": "response",
        "created_at": 1700000000,
        "status": status,
        "model": "bench",
        "output": output,
        "usage": usage if status == "completed" else None,
    }


def _responses_events() -> list[bytes]:
    place = {"output_index": 0, "content_index": 0, "item_id": "msg_bench"}
    words, count = "a few words ", EVENTS - 9
    begun = {"content": [], "status": "in_progress"}
    whole, part = _spoken(words * count), {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    events: list[dict[str, object]] = [
        {"type": "response.created", "response": _response([], "in_progress")},
        {"type": "response.in_progress", "response": _response([], "in_progress")},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": whole | begun,
        },
        {"type": "response.content_part.added", **place, "part": part},
    ]
    events += [{"type": "response.output_text.delta", **place, "delta": words, "logprobs": []}] * count
    events += [
        {"type": "response.output_text.done", **place, "text": words * count, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part | {"text": words * count}},
        {"type": "response.output_item.done", "output_index": 0, "item": whole},
        {"type": "response.completed", "response": _response([whole])},
    ]
    numbered = [{**event, "sequence_number": number} for number, event in enumerate(events)]
    return [f"event: {e['type']}\ndata: {json.dumps(e, separators=(',', ':'))}\n\n".encode() for e in numbered]


def _anthropic_events() -> list[bytes]:
    start = {
        "type": "message_start",
        "message": {
            "id": "msg_bench",
            "type": "message",
            "role": "assistant",
            "model": "bench",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 100, "output_tokens": 1},
        },
    }
    events = [start, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}]
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a few words "}}
    events += [delta] * (EVENTS - 5)
    events.append({"type": "content_block_stop", "index": 0})
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 95}})
    events.append({"type": "message_stop"})
    return [f"event: {e['type']}\ndata: {json.dumps(e, separators=(',', ':'))}\n\n".encode() for e in events]


def _openai_events() -> list[bytes]:
    base = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1700000000, "model": "bench"}

    def chunk(delta: dict[str, object], finish: str | None = None) -> dict[str, object]:
        return {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    events = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"content": "a few words "})] * (EVENTS - 4)
    events.append(chunk({}, "stop"))
    usage = {"prompt_tokens": 100, "completion_tokens": 96, "total_tokens": 196}
    events.append({**base, "choices": [], "usage": usage})
    return [f"data: {json.dumps(e, separators=(',', ':'))}\n\n".encode() for e in events] + [b"data: [DONE]\n\n"]


WHOLE = {kind: _whole(kind) for kind in ("openai", "anthropic", "responses")}
BEGINNING = {"openai": 2, "anthropic": 3, "responses": 5}
"""Events up to the first words."""
STREAM = {"openai": _openai_events(), "anthropic": _anthropic_events(), "responses": _responses_events()}
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
QUOTAS = {
    "openai": b"x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9000\r\n"
    b"x-ratelimit-reset-requests: 6m0s\r\nx-ratelimit-limit-tokens: 1000000\r\n"
    b"x-ratelimit-remaining-tokens: 900000\r\nx-ratelimit-reset-tokens: 6m0s\r\n",
    "anthropic": b"anthropic-ratelimit-unified-status: allowed\r\nanthropic-ratelimit-unified-5h-utilization: 0.42\r\n"
    b"anthropic-ratelimit-unified-5h-reset: 4102444800\r\nanthropic-ratelimit-unified-7d-utilization: 0.17\r\n"
    b"anthropic-ratelimit-unified-7d-reset: 4102444800\r\n",
}
LIMITED = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3600\r\nContent-Length: 2\r\n\r\n{}"


def _with_quotas(kind: str, answer: bytes) -> bytes:
    line, rest = answer.split(b"\r\n", 1)
    return line + b"\r\n" + QUOTAS[kind] + rest


METERED = {kind: (_with_quotas(kind, WHOLE[kind]), _with_quotas(kind, STREAM_HEAD)) for kind in QUOTAS}


def _chunked(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


BURST = {
    kind: [_chunked(b"".join(events[at : at + 10])) for at in range(0, len(events), 10)]
    for kind, events in STREAM.items()
}
MODELS = json.dumps({"object": "list", "data": [{"id": "bench", "object": "model"}]}).encode()


KEPT = 400


class Upstream(asyncio.Protocol):
    """One connection; requests come one after another. Of a body only its first and last `KEPT` bytes are kept: what a
    large one costs here would bound what can be asked of the servers before it."""

    def __init__(self) -> None:
        self.held = self.start = self.tail = b""
        self.head: bytes | None = None
        self.missing = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.held:
            data, self.held = self.held + data, b""
        at = 0
        while at < len(data):
            if self.head is None:
                end = data.find(b"\r\n\r\n", at)
                if end < 0:
                    self.held = data[at:]
                    return
                self.head, at = data[at:end].lower(), end + 4
                self.start = self.tail = b""
                self.missing = _number(self.head, b"content-length:")
            end = min(len(data), at + self.missing)
            if len(self.start) < KEPT:
                self.start += data[at : min(end, at + KEPT)]
            self.tail = (self.tail + data[max(at, end - KEPT) : end])[-KEPT:]
            self.missing -= end - at
            at = end
            if not self.missing:
                head, self.head = self.head, None
                self.answer(head, self.start, self.tail)

    def answer(self, head: bytes, start: bytes, tail: bytes) -> None:
        assert self.transport is not None
        if head.startswith(b"get "):
            length = str(len(MODELS)).encode()
            reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + length
            self.transport.write(reply + b"\r\n\r\n" + MODELS)
            return
        line = head.split(b"\r\n", 1)[0]
        kind = "anthropic" if b"/messages" in line else "responses" if b"/responses" in line else "openai"
        whole, stream_head = METERED[kind] if b"/quota/" in line else (WHOLE[kind], STREAM_HEAD)
        if b"bearer limited\r\n" in head or b"x-api-key: limited\r\n" in head:
            self.transport.write(LIMITED)
            return
        if not (_streams(start[:200]) or _streams(tail)):
            self.transport.write(whole)
            return
        if pace := _number(head, b"x-pace:") or _asked(start[:300], b"-pace-"):
            asyncio.get_running_loop().create_task(self.paced(kind, pace / 1000))
            return
        if then := _asked(start[:300], b"-then-"):
            self.transport.write(STREAM_HEAD + _chunked(b"".join(STREAM[kind][: BEGINNING[kind]])))
            rest = _chunked(b"".join(STREAM[kind][BEGINNING[kind] :])) + b"0\r\n\r\n"
            asyncio.get_running_loop().call_later(then / 1000, self.transport.write, rest)
            return
        self.transport.write(stream_head)
        for burst in BURST[kind]:
            self.transport.write(burst)
        self.transport.write(b"0\r\n\r\n")

    async def paced(self, kind: str, pause: float) -> None:
        assert self.transport is not None
        self.transport.write(STREAM_HEAD)
        for event in STREAM[kind]:
            self.transport.write(_chunked(event))
            await asyncio.sleep(pause)
        self.transport.write(b"0\r\n\r\n")


def _streams(part: bytes) -> bool:
    return b'"stream":true' in part or b'"stream": true' in part


def _number(head: bytes, name: bytes) -> int:
    at = head.find(name)
    if at < 0:
        return 0
    return int(head[at + len(name) :].split(b"\r\n", 1)[0].strip() or 0)


def _asked(start: bytes, how: bytes) -> int:
    """The milliseconds that the model's name asks for."""
    at = start.find(how)
    return 0 if at < 0 else int(start[at + len(how) : start.find(b'"', at)])


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    print(f"mock on {port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main(int(sys.argv[1])))
    except ImportError:
        asyncio.run(main(int(sys.argv[1])))
