"""The websocket's frames: a `response.create` to a request body, and errors in their nested form.

One text frame is one JSON event; the events themselves come from `ResponsesStreamEncoder.events`.
Spec: the Responses API page, section 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw, Struct

from llm_mux.errors import MuxError, bad_request
from llm_mux.translators.openai_responses import errors, wire
from llm_mux.translators.openai_responses.reading import read
from llm_mux.wire import jsonx

_NOT_OF_THE_BODY: Final = ("type", "generate", "stream_id", "stream", "background")


@dataclass(frozen=True, slots=True)
class Create:
    """A `response.create`: the body as over HTTP, whether to answer at all, and the lane to answer on."""

    body: bytes
    generate: bool = True
    stream_id: str | None = None


def split_ws_create(message: bytes) -> Create:
    """The client's message. Raises MuxError for anything but `response.create`."""
    try:
        top = jsonx.top(message)
    except jsonx.Malformed as error:
        raise bad_request(f"The message cannot be read: {error}.", code="invalid_json") from None
    kind = read(top["type"], str, "type") if "type" in top else ""
    if kind != "response.create":
        text = f"The message type `{kind[:60]}` is not supported; send `response.create`."
        raise bad_request(text, param="type", code="invalid_value")
    generate = top.get("generate")
    lane = top.get("stream_id")
    body = {name: raw for name, raw in top.items() if name not in _NOT_OF_THE_BODY}
    body["stream"] = Raw(b"true")
    return Create(
        msgspec.json.encode(body),
        generate=generate is None or read(generate, bool, "generate"),
        stream_id=read(lane, str, "stream_id") if lane is not None and lane != wire.NULL else None,
    )


def on_lane(event: bytes, stream_id: str | None) -> bytes:
    """A JSON event with the lane it belongs to."""
    if stream_id is None:
        return event
    return event[:-1] + b',"stream_id":' + msgspec.json.encode(stream_id) + b"}"


class _NestedOut(Struct, tag_field="type", tag="error"):
    error: errors.ErrorBodyOut
    status: int


def ws_error(error: MuxError, status: int) -> bytes:
    """The error frame of a websocket, nested where the one of a stream is flat."""
    return jsonx.encode(_NestedOut(errors.body_of(error), status))
