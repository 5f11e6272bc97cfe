"""The websocket's frames: a `response.create` to a request body, `response.steer` and why it fails, and errors in their
nested form.

One text frame is one JSON event; the events themselves come from `ResponsesStreamEncoder.events`.
Spec: the Responses API page, section 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from llm_mux.errors import MuxError, bad_request
from llm_mux.translators.openai_responses import errors, wire
from llm_mux.translators.openai_responses.reading import read
from llm_mux.wire import jsonx

_NOT_OF_THE_BODY: Final = ("type", "generate", "stream_id", "stream", "background")


class Create(Struct, frozen=True):
    """A `response.create`: the body as over HTTP, whether to answer at all, and the lane to answer on."""

    body: bytes
    generate: bool = True
    stream_id: str | None = None


class Steer(Struct, frozen=True):
    """A `response.steer`: what the user says while a response is made, which is to go into the next one."""

    previous_response_id: str
    input: Raw


class _SteerError(Struct, frozen=True):
    code: str
    message: str
    type: str = "invalid_request_error"


class _SteerFailed(Struct, frozen=True, tag_field="type", tag="response.steer.failed"):
    error: _SteerError
    steer: Steer
    sequence_number: int = 0


def steer_failed(steer: Steer, code: str, message: str) -> bytes:
    """The event that gives a steering back to the client."""
    return jsonx.encode(_SteerFailed(_SteerError(code, message), steer))


def split_ws(message: bytes) -> Create | Steer:
    """The client's message. Raises MuxError for anything but `response.create` and `response.steer`."""
    try:
        top = jsonx.top(message)
    except jsonx.Malformed as error:
        raise bad_request(f"The message cannot be read: {error}.", code="invalid_json") from None
    kind = read(top["type"], str, "type") if "type" in top else ""
    if kind == "response.steer":
        return _steer(top)
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


def _steer(top: Mapping[str, Raw]) -> Steer:
    for name in ("previous_response_id", "input"):
        if name not in top or top[name] == wire.NULL:
            raise bad_request(f"The field `{name}` is missing.", param=name, code="missing_required_parameter")
    target = read(top["previous_response_id"], str, "previous_response_id")
    return Steer(target, top["input"])


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
