"""Errors, both ways: what a server's error means, and what a chat client is told.

Rules. The server's words are kept. Anything may stand where the error should: a string, a list, a bare message, HTML;
codes may be numbers. A client of this format gets the server's own error body, except when the fault is our
credentials: those words are never shown. Kinds and shapes: translation matrix, section 15.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec
from msgspec import Raw, Struct, UnsetType

from llm_mux.errors import Kind, MuxError, flat
from llm_mux.translators.base import present, wordless
from llm_mux.translators.openai_chat import wire
from llm_mux.wire import hints, jsonx, sse

_CONTEXT = re.compile(
    r"context_length_exceeded|maximum context length|context (?:length|window|size)|prompt is too long|"
    r"(?:input|prompt)[^.]{0,40}(?:token count|tokens?)[^.]{0,60}exceed|too many (?:input )?tokens|"
    r"exceeds? (?:the )?(?:model'?s )?(?:maximum )?(?:context|token limit)|"
    r"reduce the length of the (?:messages|prompt)",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content[_ ](?:policy|filter|management)|content_policy_violation|responsibleai|moderation|data_inspection_failed|"
    r"inappropriate content|safety system",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"insufficient[_ ](?:quota|balance|funds|credits?)|exceeded your current quota|billing|arrears|out of credits|"
    r"credit balance|quota[_ ]exceeded|per ?day|daily limit",
    re.IGNORECASE,
)
_OVERLOAD = re.compile(r"overloaded|capacity|server is busy|temporarily unavailable|try again later", re.IGNORECASE)
_BAD_KEY = re.compile(
    r"invalid[_ ]api[_ ]key|incorrect api key|api key not valid|api_key_invalid|no api key", re.IGNORECASE
)
_NO_MODEL = re.compile(
    r"model_not_found|model[_ ](?:does not exist|not found)|model .{0,120}(?:does not exist|not found|not supported)|"
    r"no such model|unknown model|invalid model|not a valid model|no endpoints found|access to (?:the )?model",
    re.IGNORECASE,
)


class _Error(Struct):
    """The error object. Gemini's layer adds `details`, OpenRouter `metadata`."""

    message: str | dict[str, Raw] | list[Raw] | None = None
    msg: str | None = None
    detail: str | None = None
    type: str | None = None
    code: str | int | float | None = None
    param: str | list[str] | None = None
    status: str | int | None = None
    metadata: _Metadata | None = None
    details: list[_Detail] | None = None


class _Detail(Struct):
    retryDelay: str | None = None


class _Metadata(Struct):
    raw: str | None = None


class _Envelope(Struct):
    error: Raw | UnsetType = msgspec.UNSET
    errors: Raw | UnsetType = msgspec.UNSET
    detail: Raw | UnsetType = msgspec.UNSET


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> MuxError:
    """What an unsuccessful answer means. `headers` may be in any case."""
    found = _found(body)
    message = _message(found) or wordless(status, body)
    text = f"{found.code or ''} {found.type or ''} {message}"
    return MuxError(
        kind=_kind(status, text),
        message=message,
        status=status,
        code=None if found.code is None else str(found.code),
        param=found.param if isinstance(found.param, str) else None,
        retry_after=_retry_after(headers, found, message),
        owner=wire.NAME,
        upstream=body,
    )


def decode_failure(data: bytes) -> MuxError:
    """An error inside a 200: in a stream's record, or as a whole answer. The status is read off its code or type."""
    found = _found(data)
    status = _status(found)
    error = decode_error(status or 500, {}, data)
    if status is None:
        error.status = None
    return error


def _status(found: _Error) -> int | None:
    for value in (found.code, found.status):
        if isinstance(value, int | float) or (isinstance(value, str) and value.isdigit()):
            number = int(value)
            return number if 400 <= number < 600 else None
    words = f"{found.code or ''} {found.type or ''}".lower()
    for word, number in _WORDS:
        if word in words:
            return number
    return None


_WORDS = (
    ("rate_limit", 429),
    ("quota", 429),
    ("overloaded", 503),
    ("unavailable", 503),
    ("authentication", 401),
    ("invalid_api_key", 401),
    ("permission", 403),
    ("not_found", 404),
    ("context_length", 400),
    ("invalid_request", 400),
    ("badrequest", 400),
    ("invalid_prompt", 400),
    ("content_", 400),
)


def _found(body: bytes) -> _Error:
    text = body.strip()
    try:
        if text[:1] == b"[":
            items = jsonx.decode(text, list[Raw])
            text = bytes(items[0]) if items else b""
        envelope = jsonx.decode(text, _Envelope)
    except jsonx.Malformed:
        return _Error()
    for raw in (envelope.error, envelope.errors, envelope.detail):
        if isinstance(raw, Raw) and present(raw):
            return _object(bytes(raw))
    return _object(text)


def _object(raw: bytes) -> _Error:
    if raw[:1] == b"[":
        items = jsonx.decode(raw, list[Raw])
        return _object(bytes(items[0])) if items else _Error()
    if raw[:1] == b'"':
        return _Error(message=jsonx.decode(raw, str))
    try:
        return jsonx.decode(raw, _Error)
    except jsonx.Malformed:
        return _Error(message=_any_message(raw))


def _any_message(raw: bytes) -> str | None:
    """The message of an error object whose other fields have unexpected types."""
    try:
        return jsonx.decode(raw, _Said).message
    except jsonx.Malformed:
        return None


class _Said(Struct):
    message: str | None = None


def _message(found: _Error) -> str | None:
    message = found.message or found.msg or found.detail
    if isinstance(message, dict | list):
        message = msgspec.json.encode(message).decode()
    if message and found.metadata is not None and found.metadata.raw:
        # OpenRouter says "Provider returned error" and puts the provider's words here.
        return f"{message}: {found.metadata.raw}"
    return message or (found.type if isinstance(found.type, str) else None)


def _kind(status: int, text: str) -> Kind:
    match status:
        case 401:
            return Kind.UPSTREAM_AUTH
        case 402:
            return Kind.QUOTA
        case 403:
            return _forbidden(text)
        case 404:
            return Kind.UPSTREAM_MODEL
        case 413:
            return Kind.CONTEXT_LENGTH if _CONTEXT.search(text) else Kind.TOO_LARGE
        case 429:
            return _limited(text)
        case 503 | 529:
            return Kind.OVERLOADED
        case 504 | 524:
            return Kind.FIRST_BYTE_TIMEOUT
        case _:
            return _bad_request(text) if status in (400, 415, 422) else _server(status, text)


def _forbidden(text: str) -> Kind:
    if _FILTERED.search(text):
        return Kind.POLICY
    if _QUOTA.search(text):
        return Kind.QUOTA
    return Kind.UPSTREAM_MODEL if _NO_MODEL.search(text) else Kind.UPSTREAM_FORBIDDEN


def _limited(text: str) -> Kind:
    if _QUOTA.search(text):
        return Kind.QUOTA
    return Kind.OVERLOADED if "overloaded" in text.lower() else Kind.RATE_LIMIT


def _bad_request(text: str) -> Kind:
    if _CONTEXT.search(text):
        return Kind.CONTEXT_LENGTH
    if _FILTERED.search(text):
        return Kind.POLICY
    if _BAD_KEY.search(text):
        return Kind.UPSTREAM_AUTH
    if re.search(r"insufficient[_ ]balance|arrears|credit balance", text, re.IGNORECASE):
        return Kind.QUOTA
    return Kind.UPSTREAM_MODEL if _NO_MODEL.search(text) else Kind.BAD_REQUEST


def _server(status: int, text: str) -> Kind:
    if 400 <= status < 500 and status not in (408, 409, 425, 498, 499):
        return Kind.BAD_REQUEST
    if status >= 500 and _CONTEXT.search(text) and "exceed" in text.lower():
        return Kind.CONTEXT_LENGTH
    return Kind.OVERLOADED if _OVERLOAD.search(text) else Kind.UPSTREAM_ERROR


def _retry_after(headers: Mapping[str, str], found: _Error, message: str) -> float | None:
    """Seconds, from the headers, else from what the body says."""
    lower = {name.lower(): value for name, value in headers.items()}
    delay = hints.retry_after(lower, _their_clock(lower))
    if delay is not None:
        return delay
    for detail in found.details or ():
        if detail.retryDelay:
            return hints.go_duration(detail.retryDelay)
    return hints.retry_in_text(message)


def _their_clock(headers: Mapping[str, str]) -> float:
    """The server's own time, to which a retry date of its relates."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except ValueError:
        return 0.0


class _Told(Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class _Body(Struct, frozen=True):
    error: _Told


# Kind: type and code. A code of None is the error's own.
_SHAPES: dict[Kind, tuple[str, str | None]] = {
    Kind.BAD_REQUEST: ("invalid_request_error", None),
    Kind.CONTEXT_LENGTH: ("invalid_request_error", "context_length_exceeded"),
    Kind.TOO_LARGE: ("invalid_request_error", "request_too_large"),
    Kind.UNSUPPORTED_MEDIA: ("invalid_request_error", "unsupported_media_type"),
    Kind.CLIENT_AUTH: ("invalid_request_error", "invalid_api_key"),
    Kind.FORBIDDEN: ("invalid_request_error", "permission_denied"),
    Kind.NOT_FOUND: ("invalid_request_error", "not_found"),
    Kind.MODEL_NOT_FOUND: ("invalid_request_error", "model_not_found"),
    Kind.METHOD: ("invalid_request_error", "method_not_allowed"),
    Kind.CONFLICT: ("invalid_request_error", "conflict"),
    Kind.BALANCE: ("insufficient_quota", "insufficient_quota"),
    Kind.LIMITED: ("rate_limit_exceeded", "rate_limit_exceeded"),
    Kind.POLICY: ("invalid_request_error", "content_policy_violation"),
    Kind.UPSTREAM_MODEL: ("invalid_request_error", "model_not_found"),
    Kind.RATE_LIMIT: ("rate_limit_exceeded", "rate_limit_exceeded"),
    Kind.QUOTA: ("insufficient_quota", "insufficient_quota"),
}
_OURS = (Kind.UPSTREAM_AUTH, Kind.UPSTREAM_FORBIDDEN)
_TOLD_APART = (Kind.FORBIDDEN, Kind.LIMITED, Kind.NO_TARGET)
"""What only the daemon says, for several reasons: its own code is the reason."""


def encode_error(error: MuxError, request_id: str) -> bytes:
    """The whole body for a chat client; the id of the request travels in a header. Beside OpenAI's object stand the
    fields of gateways whose errors are flat."""
    told = _enveloped(error)
    said = jsonx.decode(bytes(jsonx.top(told)["error"]), _Said).message or error.message
    return told[:-1] + b"," + jsonx.encode(flat(said, error_status(error)))[1:]


def _enveloped(error: MuxError) -> bytes:
    """OpenAI's object alone."""
    own = _verbatim(error)
    return own if own is not None else jsonx.encode(_Body(_told(error)))


def _verbatim(error: MuxError) -> bytes | None:
    """The server's own error object when it is one that chat clients read."""
    if error.owner != wire.NAME or error.upstream is None or error.kind in _OURS:
        return None
    try:
        found = jsonx.decode(error.upstream, _Envelope).error
        said = jsonx.decode(bytes(found), _Said).message if isinstance(found, Raw) else None
    except jsonx.Malformed:
        return None
    return b'{"error":' + bytes(found) + b"}" if said and isinstance(found, Raw) else None


def _told(error: MuxError) -> _Told:
    type_, code = _SHAPES.get(error.kind, ("server_error", error.kind.value))
    if error.kind in _OURS:
        return _Told("Provider refused its credentials.", type_, None, code)
    message = error.message
    if error.kind is not Kind.CONTEXT_LENGTH:  # which tools know by its code alone
        code = error.facts.get("aws_error", code)
    if error.kind is Kind.CLIENT_AUTH and "api key" not in message.lower():
        # litellm tells a bad key from a bad request by these words.
        message = f"Incorrect API key provided. {message}"
    if error.kind in _TOLD_APART:
        code = error.code or code
    return _Told(message, type_, error.param, code or error.code)


def error_status(error: MuxError) -> int:
    return error.http_status


def encode_failure(error: MuxError) -> bytes:
    """The error as the last records of a stream."""
    return sse.frame(_enveloped(error)) + DONE


DONE = sse.frame(b"[DONE]")
