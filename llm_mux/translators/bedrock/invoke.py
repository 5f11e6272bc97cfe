"""InvokeModel with Anthropic bodies: the Messages API without `model` and `stream`, its stream in binary frames.

As a client's protocol (`/model/{id}/invoke` and its streaming twin) and as an upstream's format for Claude. Each frame
is a `chunk` whose payload holds one record of the Messages stream in base64. Spec: the Bedrock Runtime page, section 6.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec
from msgspec import Struct

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators.anthropic.models import facts
from llm_mux.translators.anthropic.quirks import Quirks
from llm_mux.translators.anthropic.translator import TRANSLATOR as _MESSAGES
from llm_mux.translators.base import Counter, Edits, Encoded, Hints, Outline, Target, Translator, nonsense
from llm_mux.translators.bedrock import errors, models, quirks, response
from llm_mux.translators.plain import Spelling
from llm_mux.wire import eventstream, jsonx, sse

_VERSION: Final = "anthropic_version"
_OLD, _NEW = "bedrock-2023-05-31", "2026-10-21"
_BETA: Final = "anthropic_beta"
_BETA_HEADER: Final = "anthropic-beta"


def decode_request(body: bytes, hints: Hints) -> ir.Request:
    """A client's body; the model and whether it streams stand in the path."""
    request = _MESSAGES.decode_request(body, hints)
    kept = {key: value for key, value in request.extras.items() if key != _VERSION}
    return msgspec.structs.replace(request, extras=kept)


def encode_request(request: ir.Request, target: Target) -> Encoded:
    return _bare(_MESSAGES.encode_request(request, _on_this_host(target)), target)


def encode_count(request: ir.Request, target: Target) -> Encoded:
    """The request for `POST /model/{id}/count-tokens`."""
    encoded = encode_request(request, target)
    body = {"input": {"invokeModel": {"body": base64.b64encode(encoded.body).decode()}}}
    return msgspec.structs.replace(encoded, body=msgspec.json.encode(body))


def _on_this_host(target: Target) -> Target:
    return target if isinstance(target.quirks, Quirks) else replace(target, quirks=quirks.FACTS)


def _version(model: str) -> str:
    """Models from 4.7 on, which take no sampling, have a version of their own."""
    return _NEW if facts(model).sampling == "none" else _OLD


def _bare(encoded: Encoded, target: Target) -> Encoded:
    """The body without what stands in the path; a beta that the API takes as a header is a field here."""
    edits: dict[str, bytes | None] = {"model": None, "stream": None}
    edits[_VERSION] = msgspec.json.encode(_version(target.model))
    headers = dict(encoded.headers)
    if (beta := headers.pop(_BETA_HEADER, None)) is not None:
        edits[_BETA] = msgspec.json.encode(beta.split(","))
    return msgspec.structs.replace(encoded, body=jsonx.splice(encoded.body, edits), headers=headers)


def adapt(body: bytes, target: Target, stream: bool, outline: Outline | None = None) -> Edits | None:
    """A client of this format to the same host: its bytes, unless Anthropic's own rules ask for a translation."""
    edits = _MESSAGES.adapt(body, _on_this_host(target), stream, outline)
    if edits is None:
        return None
    top = {key: value for key, value in edits.top.items() if key not in ("model", "stream")}
    return msgspec.structs.replace(edits, top=top)


class _Chunk(Struct, frozen=True):
    bytes: str = ""


class Decoder:
    """The state of one stream: frames unpacked into the records of the Messages API."""

    def __init__(self, target: Target) -> None:
        self._frames = eventstream.Splitter()
        self._inner = _MESSAGES.stream_decoder(target)
        self._over = False

    def feed(self, data: bytes) -> list[ir.Event]:
        if self._over:
            return []
        try:
            records = b"".join(_unpacked(frame) for frame in self._frames.feed(data))
        except eventstream.Damaged as error:
            return self._failed(nonsense(f"a damaged event stream ({error})"))
        except (jsonx.Malformed, binascii.Error, ValueError):
            return self._failed(nonsense("a stream record that cannot be read"))
        except MuxError as error:
            return self._failed(error)
        return self._inner.feed(records) if records else []

    def finish(self) -> list[ir.Event]:
        if self._over:
            return []
        try:
            self._frames.finish()
        except eventstream.Damaged as error:
            return self._failed(nonsense(f"a damaged event stream ({error})"))
        return self._inner.finish()

    def _failed(self, error: MuxError) -> list[ir.Event]:
        self._over = True
        return [ir.Failed(error)]


def _unpacked(frame: eventstream.Frame) -> bytes:
    if frame.text(":message-type") != "event":
        name = frame.text(":exception-type") or frame.text(":error-code")
        message = frame.text(":error-message")
        payload = jsonx.encode({"message": message}) if message else frame.payload
        raise errors.decode_error(200, {"x-amzn-errortype": name}, payload)
    if frame.text(":event-type") != "chunk":
        return b""
    record = base64.b64decode(jsonx.decode(frame.payload, _Chunk).bytes, validate=True)
    return sse.frame(jsonx.compact(record))


class Encoder:
    """Events as frames: the records of the Messages API, packed; failures are exceptions."""

    def __init__(self, request: ir.Request) -> None:
        self._inner = _MESSAGES.stream_encoder(request)
        self._records = sse.Splitter()
        self._over = False

    def encode(self, events: Sequence[ir.Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if self._over:
                break
            if isinstance(event, ir.Failed):
                self._over = True
                out.append(eventstream.exception(*errors.exception(event.error)))
            elif data := self._inner.encode([event]):
                out += [_packed(record) for record in self._records.feed(data)]
        return b"".join(out)

    def keepalive(self) -> bytes:
        return _PING


def _packed(record: sse.Frame) -> bytes:
    return eventstream.event("chunk", jsonx.encode({"bytes": base64.b64encode(record.data).decode()}))


_PING: Final = eventstream.event("chunk", jsonx.encode({"bytes": base64.b64encode(b'{"type":"ping"}').decode()}))


INVOKE = Translator(
    name="bedrock_invoke",
    stream_type=eventstream.MEDIA_TYPE,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=_MESSAGES.decode_response,
    encode_response=_MESSAGES.encode_response,
    stream_decoder=Decoder,
    stream_encoder=Encoder,
    decode_error=errors.decode_error,
    encode_error=errors.encode_error,
    error_status=errors.error_status,
    adapt=adapt,
    summary=_MESSAGES.summary,
    decode_models=models.decode_models,
    counter=Counter(encode_count, response.decode_count, response.encode_count),
    error_headers=errors.error_headers,
    outline=_MESSAGES.outline,
    said=Spelling(
        user=b'{"role":"user","content":[{"type":"text","text":%b}]}',
        assistant=b'{"role":"assistant","content":[{"type":"text","text":%b}]}',
        system=b'{"type":"text","text":%b}',
    ),
)
