"""Errors of this format: an upstream's to kinds, and any failure to this format's shapes, whole and in a stream.

Rules. The upstream's message stays word for word, because agents read it. What an upstream says about our own
credentials never reaches a client. Codex reads failures as events of a stream. Spec: the chat API page, section 8;
translation matrix, section 15.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators.base import wordless
from llm_mux.translators.openai_responses import wire
from llm_mux.translators.openai_responses.reading import CODEX, OWNER, first_byte, present
from llm_mux.wire import hints, jsonx

_BY_STATUS: Final = {
    401: Kind.UPSTREAM_AUTH,
    402: Kind.QUOTA,
    403: Kind.UPSTREAM_FORBIDDEN,
    404: Kind.UPSTREAM_MODEL,
    408: Kind.UPSTREAM_ERROR,
    409: Kind.UPSTREAM_ERROR,
    413: Kind.TOO_LARGE,
    415: Kind.UNSUPPORTED_MEDIA,
    429: Kind.RATE_LIMIT,
    503: Kind.OVERLOADED,
    504: Kind.FIRST_BYTE_TIMEOUT,
    524: Kind.FIRST_BYTE_TIMEOUT,
    529: Kind.OVERLOADED,
}
_BY_CODE: Final = {
    "context_length_exceeded": Kind.CONTEXT_LENGTH,
    "string_above_max_length": Kind.CONTEXT_LENGTH,
    "insufficient_quota": Kind.QUOTA,
    "billing_hard_limit_reached": Kind.QUOTA,
    "billing_not_active": Kind.QUOTA,
    "usage_limit_reached": Kind.QUOTA,
    "usage_not_included": Kind.QUOTA,
    "rate_limit_exceeded": Kind.RATE_LIMIT,
    "server_is_overloaded": Kind.OVERLOADED,
    "slow_down": Kind.OVERLOADED,
    "overloaded": Kind.OVERLOADED,
    "server_error": Kind.UPSTREAM_ERROR,
    "invalid_api_key": Kind.UPSTREAM_AUTH,
    "model_not_found": Kind.UPSTREAM_MODEL,
    "content_policy_violation": Kind.POLICY,
    "cyber_policy": Kind.POLICY,
    "bio_policy": Kind.POLICY,
    "misalignment_policy_violation": Kind.POLICY,
    "previous_response_not_found": Kind.BAD_REQUEST,
    "invalid_prompt": Kind.BAD_REQUEST,
}
_OVERFLOW: Final = ("context length", "context window", "maximum context", "input is too long", "prompt is too long")
_OUR_FAULT: Final = frozenset({Kind.UPSTREAM_AUTH, Kind.UPSTREAM_FORBIDDEN})
_IN_STREAM: Final = 0
"""In place of a status, for errors told inside an answer that has status 200."""
_LONGEST_WAIT: Final = 366 * 86400.0
_REFUSED: Final = "Provider refused its credentials"

# Kind -> `type` and `code` of an error body. Kinds that are not listed are the server's.
_SHAPES: Final[dict[Kind, tuple[str, str | None]]] = {
    Kind.BAD_REQUEST: ("invalid_request_error", None),
    Kind.CONTEXT_LENGTH: ("invalid_request_error", "context_length_exceeded"),
    Kind.TOO_LARGE: ("invalid_request_error", "request_too_large"),
    Kind.UNSUPPORTED_MEDIA: ("invalid_request_error", "unsupported_media_type"),
    Kind.CLIENT_AUTH: ("invalid_request_error", "invalid_api_key"),
    Kind.FORBIDDEN: ("invalid_request_error", "permission_denied"),
    Kind.NOT_FOUND: ("invalid_request_error", "not_found"),
    Kind.MODEL_NOT_FOUND: ("invalid_request_error", "model_not_found"),
    Kind.UPSTREAM_MODEL: ("invalid_request_error", "model_not_found"),
    Kind.METHOD: ("invalid_request_error", "method_not_allowed"),
    Kind.CONFLICT: ("invalid_request_error", "conflict"),
    Kind.BALANCE: ("insufficient_quota", "insufficient_quota"),
    Kind.QUOTA: ("insufficient_quota", "insufficient_quota"),
    Kind.LIMITED: ("rate_limit_error", "rate_limit_exceeded"),
    Kind.RATE_LIMIT: ("rate_limit_error", "rate_limit_exceeded"),
    Kind.POLICY: ("invalid_request_error", "content_policy_violation"),
}

# Kinds whose code in a failed response says that the client has to mend its request.
_CLIENTS: Final = frozenset(
    {Kind.BAD_REQUEST, Kind.TOO_LARGE, Kind.UNSUPPORTED_MEDIA, Kind.POLICY, Kind.CLIENT_AUTH, Kind.FORBIDDEN}
    | {Kind.NOT_FOUND, Kind.MODEL_NOT_FOUND, Kind.UPSTREAM_MODEL, Kind.METHOD, Kind.CONFLICT}
)


class _Body(Struct):
    error: Raw | UnsetType = UNSET
    message: str | None = None
    detail: Raw | UnsetType = UNSET


class ErrorBodyOut(Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class _BodyOut(Struct):
    error: ErrorBodyOut


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> MuxError:
    """An upstream's failed answer."""
    found = _found(body)
    message = found.message or wordless(status, body)
    code = _word(found.code) or found.type
    seconds = _wait(headers)
    if seconds is None:
        seconds = found.resets_in_seconds or hints.retry_in_text(message)
    return MuxError(
        kind_of(status, code, message),
        message,
        status=status,
        code=_word(found.code),
        param=found.param,
        retry_after=seconds,
        owner=OWNER,
        upstream=body,
    )


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds by the headers; a date is compared with the answer's own `Date`, since there is no clock here."""
    sent = next((value for name, value in headers.items() if name.lower() == "date"), "")
    try:
        now = parsedate_to_datetime(sent).timestamp()
    except ValueError:
        now = 0.0
    seconds = hints.retry_after(headers, now)
    return seconds if seconds is not None and seconds < _LONGEST_WAIT else None


def event_error(raw: Raw | None, message: str | None = None, code: object = None) -> MuxError:
    """The error inside a stream or inside a response that answers 200."""
    found = _error(raw) if raw is not None else wire.ResponseError(message, _word(code))
    text = found.message or message or "The provider reported a failure without saying which."
    word = _word(found.code) or found.type
    kind = kind_of(_IN_STREAM, word, text)
    return MuxError(
        kind,
        text,
        code=_word(found.code),
        param=found.param,
        retry_after=found.resets_in_seconds or hints.retry_in_text(text),
        owner=OWNER,
        upstream=None if raw is None else b'{"error":%b}' % bytes(raw),
    )


def kind_of(status: int, code: str | None, message: str) -> Kind:
    """The kind of a failure: the code says it best, then the wording, then the status."""
    known = _BY_CODE.get(code or "")
    if known is Kind.UPSTREAM_ERROR and status in _BY_STATUS:
        # OpenAI says `server_error` of everything that is its own fault, of too much to do as well.
        return _BY_STATUS[status]
    if known is not None:
        return known
    if status in (400, 413, 422, 500, _IN_STREAM) and any(words in message.lower() for words in _OVERFLOW):
        return Kind.CONTEXT_LENGTH
    if status == _IN_STREAM and code in ("invalid_request_error", "invalid_value", "unsupported_value"):
        return Kind.BAD_REQUEST
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return Kind.BAD_REQUEST if 400 <= status < 500 else Kind.UPSTREAM_ERROR


def _found(body: bytes) -> wire.ResponseError:
    """The error of a body: an object under `error`, a text there, or the object itself. HTML says nothing."""
    try:
        outer = jsonx.decode(body, _Body, strict=False)
    except jsonx.Malformed:
        return wire.ResponseError()
    if present(outer.error):
        return _error(outer.error)
    if present(outer.detail) and first_byte(outer.detail) == b'"':
        return wire.ResponseError(msgspec.json.decode(outer.detail, type=str))
    return wire.ResponseError(outer.message)


_text: msgspec.json.Decoder[str] = msgspec.json.Decoder(str)
_object: msgspec.json.Decoder[wire.ResponseError] = msgspec.json.Decoder(wire.ResponseError, strict=False)


def _error(raw: Raw) -> wire.ResponseError:
    try:
        return wire.ResponseError(_text.decode(raw)) if first_byte(raw) == b'"' else _object.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return wire.ResponseError()


def _word(code: object) -> str | None:
    return str(code) if code is not None and code != "" else None


def body_of(error: MuxError) -> ErrorBodyOut:
    """The inner object of an error body."""
    if error.kind in _OUR_FAULT:
        return ErrorBodyOut(_REFUSED, "server_error", None, "provider_credentials")
    type_, code = _shape(error)
    return ErrorBodyOut(error.message, type_, error.param, code)


def encode_error(error: MuxError, request_id: str) -> bytes:
    """The whole body of a failed answer. Of an upstream that speaks this format its own words, but for our credentials.

    `request_id` has no place in this shape; it is in a header.
    """
    upstream = error.upstream
    whole = error.status is not None and error.owner == OWNER and error.kind not in _OUR_FAULT
    if whole and upstream is not None and _is_ours(upstream):
        return upstream
    return jsonx.encode(_BodyOut(body_of(error)))


def _is_ours(body: bytes) -> bool:
    try:
        outer = jsonx.decode(body, _Body, strict=False)
    except jsonx.Malformed:
        return False
    return present(outer.error) and first_byte(outer.error) == b"{"


def _shape(error: MuxError) -> tuple[str, str | None]:
    type_, code = _SHAPES.get(error.kind, ("server_error", "server_error"))
    own = error.code if error.owner in (OWNER, "openai_chat", None) and error.kind not in _SAID_BY_CODE else None
    return type_, own or code


# Agents look for these codes and for no other.
_SAID_BY_CODE: Final = frozenset({Kind.CONTEXT_LENGTH, Kind.RATE_LIMIT, Kind.LIMITED, Kind.UPSTREAM_MODEL})


def error_status(error: MuxError) -> int:
    """The HTTP status of a failed answer."""
    return error.http_status


def failed(error: MuxError) -> wire.ErrorOut:
    """`error` of a response that failed in its stream."""
    if error.kind in _OUR_FAULT:
        return wire.ErrorOut("server_error", _REFUSED)
    if error.kind is Kind.CONTEXT_LENGTH:
        return wire.ErrorOut("context_length_exceeded", error.message)
    if error.kind in (Kind.RATE_LIMIT, Kind.LIMITED):
        return wire.ErrorOut("rate_limit_exceeded", _with_wait(error))
    if error.kind in (Kind.QUOTA, Kind.BALANCE):
        return wire.ErrorOut("insufficient_quota", error.message)
    if error.kind in _CLIENTS:
        return wire.ErrorOut("invalid_prompt", error.message)
    return wire.ErrorOut("server_error", error.message)


def _with_wait(error: MuxError) -> str:
    """The message with the time to wait in the words that Codex reads."""
    if error.retry_after is None or "try again in" in error.message.lower():
        return error.message
    return f"{error.message.rstrip()} Please try again in {ceil(error.retry_after)}s."


def told_in_stream(error: MuxError, request: ir.Request) -> bool:
    """Whether a failure before any answer is better told as a failed stream (status 200) than as a status.

    Codex gives up at a status for an overflow, and at a 429 without `Retry-After`; as an event it understands both.
    """
    understood = error.kind in (Kind.CONTEXT_LENGTH, Kind.RATE_LIMIT, Kind.LIMITED)
    return understood and request.stream and CODEX in request.extras
