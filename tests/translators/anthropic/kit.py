"""Short names for the calls that the Anthropic tests share."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import anthropic
import httpx2
import msgspec

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators.anthropic.quirks import Quirks
from llm_mux.translators.anthropic.translator import TRANSLATOR
from llm_mux.translators.base import Encoded, Hints, Target

TRANSCRIPTS = pathlib.Path(__file__).parents[2] / "transcripts" / "anthropic"
CASES = sorted(path.name for path in TRANSCRIPTS.iterdir() if path.name != "error")
MODEL = "claude-opus-5"
OLD = "claude-sonnet-4-5"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEklEQVR4nGP4z8DAAMIM/4EAAB/uBfsL2WiLAAAAAElFTkSuQmCC"
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}
COMPATIBLE = Quirks(
    unsupported=frozenset({"context_management", "metadata", "output_config"}),
    thinking_types=frozenset({"enabled", "disabled"}),
    system_in_messages=False,
    structured_outputs=False,
    strict_tools=False,
    web_search="",
    binding_controls=False,
)


def read(case: str, name: str) -> bytes:
    return (TRANSCRIPTS / case / name).read_bytes()


def target(model: str = MODEL, quirks: Quirks | None = None, **more: Any) -> Target:
    return Target(model, "anthropic", quirks, **more)


def body(*messages: object, **more: object) -> bytes:
    """A client's request; a plain string is a user's message."""
    turns = [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages]
    return json.dumps({"model": MODEL, "max_tokens": 1000, "messages": turns, **more}).encode()


def decoded(*messages: object, **more: object) -> ir.Request:
    return TRANSLATOR.decode_request(body(*messages, **more), Hints())


def user(*blocks: object) -> dict[str, object]:
    return {"role": "user", "content": [_block(block) for block in blocks]}


def assistant(*blocks: object) -> dict[str, object]:
    return {"role": "assistant", "content": [_block(block) for block in blocks]}


def _block(block: object) -> object:
    return {"type": "text", "text": block} if isinstance(block, str) else block


def use(call_id: str, name: str = "look", **more: object) -> dict[str, object]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": {}, **more}


def result(call_id: str, content: object = "seen", **more: object) -> dict[str, object]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **more}


def asked(*messages: ir.Message | str, **more: Any) -> ir.Request:
    """A request of a client of another format."""
    more.setdefault("protocol", "openai_chat")
    more.setdefault("model", MODEL)
    turns = tuple(ir.Message("user", (ir.Text(m),)) if isinstance(m, str) else m for m in messages)
    return ir.Request(messages=turns, **more)


def said(*parts: ir.Part | str) -> ir.Message:
    return ir.Message("user", tuple(ir.Text(part) if isinstance(part, str) else part for part in parts))


def answered(*parts: ir.Part | str) -> ir.Message:
    return ir.Message("assistant", tuple(ir.Text(part) if isinstance(part, str) else part for part in parts))


def system(text: str) -> ir.Message:
    return ir.Message("system", (ir.Text(text),))


def tool(name: str = "look", schema: object = None, **more: Any) -> ir.Tool:
    raw = None if schema is None else msgspec.Raw(json.dumps(schema).encode())
    return ir.Tool(name, schema=raw, **more)


def encoded(request: ir.Request, model: str = MODEL, quirks: Quirks | None = None, **more: Any) -> Encoded:
    return TRANSLATOR.encode_request(request, target(model, quirks, **more))


def sent(request: ir.Request, model: str = MODEL, quirks: Quirks | None = None, **more: Any) -> dict[str, Any]:
    """The body for an upstream, as Python objects."""
    return json.loads(encoded(request, model, quirks, **more).body)


def refusal(request: ir.Request, model: str = MODEL, quirks: Quirks | None = None) -> MuxError:
    """The error that the encoder answers `request` with."""
    try:
        encoded(request, model, quirks)
    except MuxError as error:
        return error
    raise AssertionError("nothing was refused")


def record(type_: str, **fields: object) -> bytes:
    return f"event: {type_}\ndata: {json.dumps({'type': type_, **fields})}\n\n".encode()


def start(**message: object) -> bytes:
    usage = {"input_tokens": 5, "output_tokens": 1}
    return record(
        "message_start", message={"id": "msg_1", "type": "message", "model": MODEL, "usage": usage, **message}
    )


def opened(index: int = 0, **block: object) -> bytes:
    return record("content_block_start", index=index, content_block=block or {"type": "text", "text": ""})


def delta(index: int = 0, **piece: object) -> bytes:
    return record("content_block_delta", index=index, delta=piece)


def text(words: str, index: int = 0) -> bytes:
    return delta(index, type="text_delta", text=words)


def closed(index: int = 0) -> bytes:
    return record("content_block_stop", index=index)


def finish(reason: str = "end_turn", **more: object) -> bytes:
    fields: dict[str, object] = {"usage": {"output_tokens": 9}, **more}
    return record("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, **fields)


STOP = record("message_stop")


def streamed(*pieces: bytes, model: str = MODEL) -> list[ir.Event]:
    decoder = TRANSLATOR.stream_decoder(target(model))
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [*events, *decoder.finish()]


def whole(answer: Mapping[str, object] | bytes, model: str = MODEL) -> ir.Response:
    data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return TRANSLATOR.decode_response(data, target(model))


def answer(*content: object, stop_reason: str | None = "end_turn", **more: object) -> dict[str, object]:
    blocks = [_block(block) for block in content]
    return {"id": "msg_1", "type": "message", "model": MODEL, "content": blocks, "stop_reason": stop_reason, **more}


def response(*parts: ir.Part | str, finish: ir.Finish | None = None, **more: Any) -> ir.Response:
    """An answer of some upstream."""
    found = tuple(ir.Text(part) if isinstance(part, str) else part for part in parts)
    return ir.Response("id_1", MODEL, (ir.Choice(found, finish or ir.Finish("stop")),), **more)


def written(made: ir.Response, request: ir.Request | None = None) -> dict[str, Any]:
    """The answer for a client, as Python objects."""
    return json.loads(TRANSLATOR.encode_response(made, request or decoded("hi")))


def shown(events: Sequence[ir.Event], request: ir.Request | None = None) -> bytes:
    """The events as a client's stream."""
    return TRANSLATOR.stream_encoder(request or asked()).encode(events)


def records(stream: bytes) -> list[dict[str, Any]]:
    """The data of a stream's records; every one must have an event line of the same type."""
    found = []
    for block in stream.decode().split("\n\n"):
        if block:
            event, data = block.split("\n")
            found.append(json.loads(data.removeprefix("data: ")))
            assert event == f"event: {found[-1]['type']}"
    return found


def sdk(content: bytes, content_type: str = "application/json", status: int = 200) -> anthropic.Anthropic:
    """The official client in front of a server that answers with `content`."""

    def reply(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": content_type}, content=content)

    http = httpx2.Client(transport=httpx2.MockTransport(reply))
    return anthropic.Anthropic(api_key="k", base_url="http://test", http_client=http, max_retries=0)


def gathered(stream: bytes) -> anthropic.types.Message:
    """A client's stream as the official accumulator puts it together."""
    with sdk(stream, "text/event-stream").messages.stream(
        model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}]
    ) as found:
        message = found.get_final_message()
    return anthropic.types.Message.model_validate(message.to_dict())


def plain(value: object) -> Any:
    """Structs, and the JSON in them, as Python objects that compare."""
    match value:
        case msgspec.Raw():
            return json.loads(bytes(value))
        case msgspec.Struct():
            return {name: plain(getattr(value, name)) for name in value.__struct_fields__} | {"": type(value).__name__}
        case tuple() | list():
            return [plain(item) for item in value]
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case _:
            return value


def native(data: object, owner: str = "anthropic", family: str = "") -> ir.Native:
    return ir.Native(owner, msgspec.Raw(json.dumps(data).encode()), family)
