"""What the tests of chat completions share: requests and chunks in few words, and the official SDK without a network."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import httpx2
import msgspec
import openai

from llm_mux import ir
from llm_mux.translators.base import Hints, Target
from llm_mux.translators.openai_chat.quirks import Quirks
from llm_mux.translators.openai_chat.translator import TRANSLATOR

TRANSCRIPTS = pathlib.Path(__file__).parents[2] / "transcripts" / "openai_chat"
CASES = sorted(path.name for path in TRANSCRIPTS.iterdir())
OPENAI = Target("gpt-5.5", provider="openai")
PLAIN = Target("gpt-4.1", provider="openai")


def target(model: str = "gpt-4.1", **quirks: Any) -> Target:
    return Target(model, provider="server", quirks=Quirks(**quirks))


NO_HINTS = Hints()


def decode(hints: Hints = NO_HINTS, **body: Any) -> ir.Request:
    """A client's request; `model` and `messages` are given when left out."""
    full = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **body}
    return TRANSLATOR.decode_request(json.dumps(full).encode(), hints)


def encode(request: ir.Request, to: Target = PLAIN) -> Any:
    """The body a server gets, parsed."""
    return json.loads(TRANSLATOR.encode_request(request, to).body)


def crossed(to: Target = PLAIN, **body: Any) -> Any:
    """What a server gets when a chat client sends `body`."""
    return encode(decode(**body), to)


def request(*messages: ir.Message, **fields: Any) -> ir.Request:
    """A request of another format's client."""
    said = messages or (ir.Message("user", (ir.Text("hi"),)),)
    return ir.Request("m", said, **{"protocol": "anthropic", **fields})


def chunk(delta: Any = None, finish: str | None = None, index: int = 0, **fields: Any) -> bytes:
    """One record of a stream."""
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice]}
    return record(body | fields)


def record(body: Any) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def events(*records: bytes, to: Target = PLAIN) -> list[ir.Event]:
    """The events of a stream, whose grammar is checked."""
    decoder = TRANSLATOR.stream_decoder(to)
    found = [event for data in records for event in decoder.feed(data)] + decoder.finish()
    assert ir.violations(found) == []
    return found


def plain(found: list[ir.Event]) -> list[tuple[str, bytes]]:
    """Events in a form that compares by value."""
    return [
        (type(e).__name__, str(e.error).encode() if isinstance(e, ir.Failed) else msgspec.json.encode(e)) for e in found
    ]


def text(found: list[ir.Event]) -> str:
    return "".join(event.text for event in found if isinstance(event, ir.TextDelta))


def reasoning(found: list[ir.Event]) -> str:
    return "".join(event.text for event in found if isinstance(event, ir.ReasoningDelta))


def calls(found: list[ir.Event]) -> list[tuple[str, str, str]]:
    """(id, name, arguments) of the calls in a stream."""
    heads = {e.index: e.part for e in found if isinstance(e, ir.PartStart) and isinstance(e.part, ir.ToolCall)}
    pieces: dict[int, str] = dict.fromkeys(heads, "")
    for event in found:
        if isinstance(event, ir.ArgumentsDelta):
            pieces[event.index] += event.text
    return [(call.id, call.name, pieces[index]) for index, call in heads.items()]


def finishes(found: list[ir.Event]) -> list[str]:
    return [event.reason for event in found if isinstance(event, ir.Finish)]


def failure(found: list[ir.Event]) -> str:
    """The kind of the error that a stream ended with."""
    assert isinstance(found[-1], ir.Failed)
    return found[-1].error.kind.value


def client(answer: bytes, media_type: str = "application/json", status: int = 200) -> openai.OpenAI:
    """The official SDK in front of one fixed answer."""

    def reply(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=answer, headers={"content-type": media_type})

    http = httpx2.Client(transport=httpx2.MockTransport(reply))
    return openai.OpenAI(api_key="key", base_url="http://server/v1", http_client=http, max_retries=0)


def frames(data: bytes) -> list[Any]:
    """The records of a client's stream, parsed; the end mark as a string."""
    bodies = [part.removeprefix(b"data: ") for part in data.split(b"\n\n") if part]
    return [body.decode() if body == b"[DONE]" else json.loads(body) for body in bodies]
