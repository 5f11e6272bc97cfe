"""Errors in the API's shape, both ways: `{"type": "error", "error": {type, message, details?}, "request_id"}`.

Rules. The upstream's words are kept, and a client of this format gets the upstream's own body back (coding tools match
the wording), except when our credentials failed. Context overflow of any vendor is told in this API's own words.
Spec: the Messages API page, section 8; translation matrix, section 15.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux.errors import Kind, MuxError
from llm_mux.translators.anthropic.wire import NAME
from llm_mux.translators.base import present, wordless
from llm_mux.translators.foreign import THREAD_UNSUPPORTED
from llm_mux.wire import hints, jsonx

REFUSED_CREDENTIALS: Final = "The provider refused its credentials."
_OURS: Final = frozenset({Kind.UPSTREAM_AUTH, Kind.UPSTREAM_FORBIDDEN})

_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_KINDS: Final = {
    401: Kind.UPSTREAM_AUTH,
    402: Kind.QUOTA,
    403: Kind.UPSTREAM_FORBIDDEN,
    404: Kind.UPSTREAM_MODEL,
    408: Kind.FIRST_BYTE_TIMEOUT,
    409: Kind.CONFLICT,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMIT,
    503: Kind.OVERLOADED,
    504: Kind.FIRST_BYTE_TIMEOUT,
    524: Kind.FIRST_BYTE_TIMEOUT,
    529: Kind.OVERLOADED,
}
_TYPES: Final = {
    Kind.BAD_REQUEST: "invalid_request_error",
    Kind.CONTEXT_LENGTH: "invalid_request_error",
    Kind.POLICY: "invalid_request_error",
    Kind.UNSUPPORTED_MEDIA: "invalid_request_error",
    Kind.METHOD: "invalid_request_error",
    Kind.TOO_LARGE: "request_too_large",
    Kind.CLIENT_AUTH: "authentication_error",
    Kind.FORBIDDEN: "permission_error",
    Kind.NOT_FOUND: "not_found_error",
    Kind.MODEL_NOT_FOUND: "not_found_error",
    Kind.UPSTREAM_MODEL: "not_found_error",
    Kind.CONFLICT: "conflict_error",
    Kind.BALANCE: "billing_error",
    Kind.LIMITED: "rate_limit_error",
    Kind.RATE_LIMIT: "rate_limit_error",
    Kind.QUOTA: "rate_limit_error",
    Kind.OVERLOADED: "overloaded_error",
    Kind.CONNECT_TIMEOUT: "timeout_error",
    Kind.FIRST_BYTE_TIMEOUT: "timeout_error",
    Kind.IDLE_TIMEOUT: "timeout_error",
}

_CONTEXT: Final = re.compile(
    r"prompt is too long|exceeds? (?:the )?context (?:limit|window)|context (?:length|window) (?:is )?exceeded"
    r"|maximum context length|input is too long",
    re.IGNORECASE,
)
_MONEY: Final = re.compile(
    r"credit balance|spend(?:ing)? limit|usage limits?\b|insufficient (?:balance|quota|credit)|billing", re.IGNORECASE
)
_POLICY: Final = re.compile(r"content filtering policy|content policy", re.IGNORECASE)
_SPENT: Final = frozenset(
    {"enforced_spend_limit_reached", "contract_spend_limit_reached", "linked_organization_spend_limit_reached"}
)
# What a model or host does not take, by the API's own sentences; group 1 is the field.
_UNSUPPORTED: Final = (
    (re.compile(r"^`?([a-z_]+)(?:\.[\w.]+)?`?: Extra inputs are not permitted"), "unknown_parameter"),
    (re.compile(r"`([a-z_]+)` is (?:deprecated|not supported)"), "unsupported_parameter"),
    (re.compile(r"`temperature` and `(top_p)` cannot both be specified"), "unsupported_parameter"),
    (re.compile(r"^\"?(thinking|output_config)[.\w]*\"?:? .*not supported"), "unsupported_value"),
)


class _Details(Struct, frozen=True):
    error_code: str | None = None


class _Error(Struct, frozen=True):
    type: str | None = None
    message: str | None = None
    details: Raw | UnsetType = UNSET


class _Body(Struct, frozen=True):
    type: str | None = None
    error: Raw | UnsetType = UNSET
    message: str | None = None
    detail: str | None = None


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> MuxError:
    """What an unsuccessful answer means. An error that came with status 200 is judged by its type."""
    found, ours = _found(body)
    if status < 400:
        status = _STATUSES.get(found.type or "", 500)
    message = found.message or wordless(status, body)
    code = _error_code(found) or found.type
    kind = _kind(status, found.type, code, message)
    param, learned = _unsupported(message) if kind is Kind.BAD_REQUEST else (None, None)
    if kind is Kind.CONTEXT_LENGTH:
        code = "context_length_exceeded"
    return MuxError(
        kind=kind,
        message=message,
        status=status,
        code=learned or code,
        param=param,
        retry_after=_retry_after(headers, message, kind),
        owner=NAME if ours else None,
        upstream=body if ours else None,
    )


def _found(body: bytes) -> tuple[_Error, bool]:
    """The error in a body, and whether the body is of this API's shape (compatible hosts have others)."""
    try:
        whole = jsonx.decode(body, _Body)
        if not isinstance(whole.error, Raw) or not present(whole.error):
            return _Error(message=whole.message or whole.detail), False
        if bytes(whole.error).startswith(b'"'):
            return _Error(message=jsonx.decode(bytes(whole.error), str)), False
        return jsonx.decode(bytes(whole.error), _Error), whole.type == "error"
    except jsonx.Malformed:
        return _Error(), False


def _error_code(found: _Error) -> str | None:
    if not present(found.details) or isinstance(found.details, UnsetType):
        return None
    try:
        return jsonx.decode(bytes(found.details), _Details).error_code
    except jsonx.Malformed:
        return None


def _kind(status: int, type_: str | None, code: str | None, message: str) -> Kind:
    if code in _SPENT:
        return Kind.QUOTA
    if type_ == "overloaded_error":
        return Kind.OVERLOADED
    if status in (400, 413, 422) and _CONTEXT.search(message):
        return Kind.CONTEXT_LENGTH
    if status in (400, 403, 429) and _MONEY.search(message):
        return Kind.QUOTA
    if status == 400 and _POLICY.search(message):
        return Kind.POLICY
    if status in _KINDS:
        return _KINDS[status]
    return Kind.BAD_REQUEST if 400 <= status < 500 else Kind.UPSTREAM_ERROR


def _unsupported(message: str) -> tuple[str | None, str | None]:
    """The field that a 400 complains of, and the word that lets the gateway try again without it."""
    for pattern, code in _UNSUPPORTED:
        if match := pattern.search(message):
            return match[1], code
    place = re.match(r"([a-z_]+(?:\.[\w-]+)*): ", message)
    return (place[1], None) if place else (None, None)


def _retry_after(headers: Mapping[str, str], message: str, kind: Kind) -> float | None:
    if kind not in (Kind.RATE_LIMIT, Kind.OVERLOADED, Kind.QUOTA, Kind.UPSTREAM_ERROR):
        return None
    found = hints.retry_after(headers, _sent_at(headers))
    return found or hints.retry_in_text(message)


def _sent_at(headers: Mapping[str, str]) -> float:
    """The server's own time, to which a retry date of its relates; without it such a date says nothing."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except ValueError:
        return math.inf


class _ErrorOut(Struct, frozen=True, omit_defaults=True):
    type: str
    message: str
    details: dict[str, object] | None = None


class _BodyOut(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="error"):
    error: _ErrorOut
    request_id: str | None = None


def encode_error(error: MuxError, request_id: str) -> bytes:
    """The body for a client; the upstream's own where it is of this API and not about our credentials."""
    if error.kind in _OURS:
        return jsonx.encode(_BodyOut(_ErrorOut("api_error", REFUSED_CREDENTIALS), request_id or None))
    if error.owner == NAME and error.upstream is not None and _found(error.upstream)[1]:
        return error.upstream
    kind = _TYPES.get(error.kind, "api_error")
    details: dict[str, object] | None = None
    if error.code == THREAD_UNSUPPORTED:
        details = {"error_code": error.code, "unsupported": ["thread"]}
    return jsonx.encode(_BodyOut(_ErrorOut(kind, _worded(error), details), request_id or None))


def error_status(error: MuxError) -> int:
    """The status for a client; 529 is this API's word for an overloaded provider."""
    return 529 if error.kind is Kind.OVERLOADED else error.http_status


_NUMBER: Final = re.compile(r"\d[\d,]{3,}")


def _worded(error: MuxError) -> str:
    """The message, with the words in front by which coding tools know an overflow of the context."""
    if error.kind is not Kind.CONTEXT_LENGTH or "prompt is too long" in error.message:
        return error.message
    numbers = sorted({int(found.replace(",", "")) for found in _NUMBER.findall(error.message)})
    if len(numbers) < 2:
        return f"prompt is too long: {error.message}"
    return f"prompt is too long: {numbers[-1]} tokens > {numbers[0]} maximum ({error.message})"
