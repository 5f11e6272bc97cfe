"""The transcripts of this format, and short ways to write requests, lines and events."""

import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.gateway.fold import Fold
from llm_mux.translators.base import Hints, Target
from llm_mux.translators.ollama.translator import TRANSLATOR

CASES = pathlib.Path(__file__).parents[2] / "transcripts" / "ollama"
NAMES = sorted(path.name for path in CASES.iterdir())
TARGET = Target("qwen3:8b", "ollama")
CHAT = Hints(operation="chat")
GENERATE = Hints(operation="generate")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}


def read(case: str, name: str) -> bytes:
    return (CASES / case / name).read_bytes()


def chat(*messages: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": messages, **fields}).encode()


def user(text: str = "Hi", **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **fields}


def decoded(body: bytes, hints: Hints = CHAT) -> ir.Request:
    return TRANSLATOR.decode_request(body, hints)


def request(*parts: ir.Part, **fields: Any) -> ir.Request:
    """A request of one user turn, by a client of another format."""
    messages = fields.pop("messages", (ir.Message("user", parts or (ir.Text("Hi"),)),))
    return ir.Request(model="m", messages=messages, protocol=fields.pop("protocol", "anthropic"), **fields)


def encoded(asked: ir.Request, target: Target = TARGET) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(TRANSLATOR.encode_request(asked, target).body)
    return body


def lines(*objects: dict[str, Any]) -> bytes:
    return b"".join(msgspec.json.encode(one) + b"\n" for one in objects)


def said(**message: Any) -> dict[str, Any]:
    at = "2026-03-01T09:30:00.000000001Z"
    return {"model": "m", "created_at": at, "message": {"role": "assistant", "content": "", **message}, "done": False}


def done(**fields: Any) -> dict[str, Any]:
    return {**said(), "done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2, **fields}


def events(data: bytes, cuts: Iterable[int] = ()) -> list[ir.Event]:
    """What the decoder makes of `data` when it arrives cut at the offsets `cuts`."""
    decoder = TRANSLATOR.stream_decoder(TARGET)
    found: list[ir.Event] = []
    at = 0
    for cut in (*sorted(set(cuts)), len(data)):
        found += decoder.feed(data[at:cut])
        at = cut
    return found + decoder.finish()


def failure(found: Sequence[ir.Event]) -> MuxError:
    """The error that a stream ended with."""
    last = found[-1]
    assert isinstance(last, ir.Failed)
    return last.error


def folded(found: Sequence[ir.Event]) -> ir.Response:
    fold = Fold()
    fold.feed(found)
    return fold.response()


def answer(*parts: ir.Part, reason: ir.FinishReason = "stop", detail: str | None = None) -> ir.Response:
    choice = ir.Choice(parts, ir.Finish(reason, detail=detail))
    return ir.Response(
        "r1", "m", (choice,), ir.Usage(input=5, output=4, cache_read=2, cache_write=1), created=1772357400
    )
