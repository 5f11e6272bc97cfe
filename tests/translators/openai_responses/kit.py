"""What the tests of this format share: requests by keyword, transcripts, events folded to parts, the real SDK."""

import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import httpx2
import msgspec
import openai
from msgspec import Raw

from llm_mux import ir
from llm_mux.translators.base import Hints, Target
from llm_mux.translators.openai_responses.translator import TRANSLATOR

ROOT = pathlib.Path(__file__).parents[2] / "transcripts" / "openai_responses"
CASES = sorted(path.name for path in ROOT.iterdir())
ANSWERED = [case for case in CASES if case != "error"]
MODEL = "gpt-6-sol"
TARGET = Target(MODEL, provider="openai")
CODEX = {"originator": "codex_exec", "user-agent": "codex_exec/0.169.0"}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": MODEL, "input": "Hi", **fields}).encode()


def decode(headers: Mapping[str, str] | None = None, **fields: Any) -> ir.Request:
    return TRANSLATOR.decode_request(body(**fields), Hints(headers=headers or {}))


def encode(request: ir.Request, target: Target = TARGET) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(TRANSLATOR.encode_request(request, target).body)
    return found


def again(target: Target = TARGET, **fields: Any) -> dict[str, Any]:
    """What a client's request becomes when it is translated to its own format."""
    return encode(decode(**fields), target)


def other(*messages: ir.Message, protocol: str = "anthropic", **fields: Any) -> ir.Request:
    """A request from a client of another format."""
    said = messages or (ir.Message("user", (ir.Text("Hi"),)),)
    return ir.Request(MODEL, tuple(said), protocol=protocol, **fields)


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def file(case: str, name: str) -> bytes:
    return (ROOT / case / name).read_bytes()


def request_of(case: str, headers: Mapping[str, str] | None = None) -> ir.Request:
    return TRANSLATOR.decode_request(file(case, "request.json"), Hints(headers=headers or {}))


def events_of(data: bytes, target: Target = TARGET) -> list[ir.Event]:
    decoder = TRANSLATOR.stream_decoder(target)
    return decoder.feed(data) + decoder.finish()


def record(type_: str, **fields: Any) -> bytes:
    data = json.dumps({"type": type_, **fields})
    return f"event: {type_}\ndata: {data}\n\n".encode()


def stream(*records: bytes, created: bool = True) -> bytes:
    first = record("response.created", response={"id": "resp_1", "model": MODEL, "created_at": 5, "output": []})
    return b"".join((first, *records) if created else records)


def completed(output: Sequence[Any] = (), status: str = "completed", **fields: Any) -> bytes:
    found = {"id": "resp_1", "model": MODEL, "status": status, "output": list(output), **fields}
    return record(f"response.{status}", response=found)


def fold(events: Iterable[ir.Event]) -> list[ir.Part]:
    """The whole parts of a stream."""
    parts: list[ir.Part] = []
    for event in events:
        match event:
            case ir.PartStart(part=part):
                parts.append(part)
            case ir.TextDelta(index=index, text=text) | ir.ReasoningDelta(index=index, text=text):
                parts[index] = _more(parts[index], "text", text)
            case ir.ArgumentsDelta(index=index, text=text):
                parts[index] = _more(parts[index], "arguments", text)
            case ir.Seal(index=index, native=native):
                parts[index] = msgspec.structs.replace(parts[index], native=native)
            case ir.Cite(index=index, citation=citation):
                parts[index] = msgspec.structs.replace(parts[index], citations=(*parts[index].citations, citation))
    return parts


def _more(part: ir.Part, field: str, text: str) -> ir.Part:
    return msgspec.structs.replace(part, **{field: getattr(part, field) + text})


def last(events: Sequence[ir.Event], type_: type) -> Any:
    return next(event for event in reversed(events) if isinstance(event, type_))


def plain(value: Any) -> Any:
    """Something with raw JSON inside as comparable builtins."""
    return msgspec.json.decode(msgspec.json.encode(value))


def unfold(
    parts: Sequence[ir.Part], finish: ir.Finish, usage: ir.Usage | None = None, logprobs: msgspec.Raw | None = None
) -> list[ir.Event]:
    """The stream of a whole answer, in small deltas; the log probabilities come with the first."""
    events: list[ir.Event] = [ir.Start("abc", MODEL, 1795000000)]
    for index, part in enumerate(parts):
        events += [*_pieces(index, part), ir.PartEnd(index)]
    first = next((at for at, event in enumerate(events) if isinstance(event, ir.TextDelta)), None)
    if first is not None:
        events[first] = msgspec.structs.replace(events[first], logprobs=logprobs)
    return [*events, *([ir.UsageReport(usage)] if usage else []), finish, ir.Done()]


def _pieces(index: int, part: ir.Part) -> list[ir.Event]:
    match part:
        case ir.Text(text=text, citations=citations):
            bare = msgspec.structs.replace(part, text="", citations=())
            cites = [ir.Cite(index, citation) for citation in citations]
            return [ir.PartStart(index, bare), *(ir.TextDelta(index, char) for char in text), *cites]
        case ir.Refusal(text=text):
            return [ir.PartStart(index, ir.Refusal("")), *(ir.TextDelta(index, char) for char in text)]
        case ir.Reasoning(text=text, native=native, raw=chain):
            seal = [ir.Seal(index, native)] if native else []
            deltas = [ir.ReasoningDelta(index, char) for char in text]
            return [ir.PartStart(index, ir.Reasoning("", raw=chain)), *deltas, *seal]
        case ir.ToolCall(arguments=arguments):
            bare = msgspec.structs.replace(part, arguments="")
            return [ir.PartStart(index, bare), *(ir.ArgumentsDelta(index, char) for char in arguments)]
        case _:
            return [ir.PartStart(index, part)]


def client_for(answer: bytes, media_type: str = "text/event-stream", status: int = 200) -> openai.OpenAI:
    """The real SDK before a transport that gives `answer` to every request."""

    def respond(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=answer, headers={"content-type": media_type})

    http = httpx2.Client(transport=httpx2.MockTransport(respond))
    return openai.OpenAI(api_key="test", base_url="http://mux.test/v1", http_client=http, max_retries=0)


def records_of(data: bytes) -> list[dict[str, Any]]:
    """The records of an encoded stream, which must each be one `event:` and one `data:` line."""
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        first, second = block.split("\n")
        payload = json.loads(second.removeprefix("data: "))
        assert first == f"event: {payload['type']}"
        found.append(payload)
    return found


def sent(events: Sequence[ir.Event], request: ir.Request | None = None) -> list[dict[str, Any]]:
    return records_of(TRANSLATOR.stream_encoder(request or decode()).encode(events))
