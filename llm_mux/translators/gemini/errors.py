"""Errors in Google's shape, both ways: `{"error": {code, message, status, details[]}}`, alone or in a list of one.

Rules. The upstream's words are kept. A bad key answers 400 here, and its account is to blame, not the client. A day's
quota is no rate limit. A client of this format gets the upstream's own body back, except when our credentials failed.
Spec: https://ai.google.dev/gemini-api/docs/troubleshooting, https://google.aip.dev/193
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux.errors import Kind, MuxError
from llm_mux.translators.base import present, wordless
from llm_mux.translators.gemini.seals import OWNER
from llm_mux.wire import hints, jsonx

REFUSED_CREDENTIALS = "The provider refused its credentials."
_OURS = frozenset({Kind.UPSTREAM_AUTH, Kind.UPSTREAM_FORBIDDEN})
_CONTEXT = re.compile(
    r"(?:input|prompt|request)[^.]{0,60}token(?:s| count)[^.]{0,80}(?:exceed|too (?:long|large|many))"
    r"|exceeds the maximum number of (?:input )?tokens|context (?:length|window)|too many (?:input )?tokens",
    re.IGNORECASE,
)
_OVERFLOW = "exceeds the maximum number"
_BAD_KEY = re.compile(
    r"API_KEY_INVALID|API[ _]key (?:not valid|not found|expired|invalid)|API_KEY_SERVICE", re.IGNORECASE
)
_ACCOUNT = re.compile(
    r"user location|billing|not supported (?:in|for) your (?:country|location)|free tier", re.IGNORECASE
)
_DAILY = re.compile(r"per ?day|daily|QUOTA_EXHAUSTED|prepayment|credits|spend(?:ing)? (?:limit|cap)", re.IGNORECASE)
_STATUSES: dict[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    502: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_CODES = {word: code for code, word in reversed(_STATUSES.items())} | {
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "DATA_LOSS": 500,
    "UNKNOWN": 500,
    "UNIMPLEMENTED": 404,
}


class _Violation(Struct, frozen=True):
    quotaId: str | None = None
    quotaMetric: str | None = None
    field: str | None = None
    description: str | None = None


class _Detail(Struct, frozen=True):
    reason: str | None = None
    retryDelay: str | None = None
    violations: list[_Violation] | None = None
    fieldViolations: list[_Violation] | None = None


class _Error(Struct, frozen=True):
    code: int | str | None = None
    message: str | None = None
    status: str | None = None
    details: Raw | UnsetType = UNSET


class _Body(Struct, frozen=True):
    error: Raw | UnsetType = UNSET
    message: str | None = None


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> MuxError:
    """What an unsuccessful answer means; `headers` in any case."""
    found = _found(body)
    details = _details(found)
    message = found.message or wordless(status, body)
    said = " ".join((message, found.status or "", *(detail.reason or "" for detail in details)))
    return MuxError(
        kind=_kind(status, said, details),
        message=message,
        status=status,
        code=next((detail.reason for detail in details if detail.reason), found.status),
        param=next(
            (violation.field for d in details for violation in d.fieldViolations or () if violation.field), None
        ),
        retry_after=_retry_after(headers, details, message),
        owner=OWNER,
        upstream=body,
    )


def decode_failure(data: bytes) -> MuxError:
    """An error that came with status 200: inside a stream, or as a whole answer."""
    found = _found(data)
    code = found.code if isinstance(found.code, int) else _CODES.get((found.status or "").upper(), 500)
    return decode_error(code if 400 <= code < 600 else 500, {}, data)


def _found(body: bytes) -> _Error:
    text = body.strip()
    try:
        if text.startswith(b"["):
            text = bytes(next(iter(jsonx.decode(text, list[Raw])), Raw(b"{}")))
        whole = jsonx.decode(text, _Body)
        if isinstance(whole.error, Raw) and bytes(whole.error).startswith(b'"'):
            return _Error(message=jsonx.decode(bytes(whole.error), str))
        if isinstance(whole.error, Raw) and present(whole.error):
            return jsonx.decode(bytes(whole.error), _Error)
    except jsonx.Malformed:
        return _Error()
    return _Error(message=whole.message)


def _details(found: _Error) -> list[_Detail]:
    if not isinstance(found.details, Raw):
        return []
    try:
        return jsonx.decode(bytes(found.details), list[_Detail])
    except jsonx.Malformed:
        return []


def _kind(status: int, said: str, details: list[_Detail]) -> Kind:
    match status:
        case 400:
            return _of_400(said)
        case 401:
            return Kind.UPSTREAM_AUTH
        case 403:
            return Kind.UPSTREAM_AUTH if _BAD_KEY.search(said) else Kind.UPSTREAM_FORBIDDEN
        case 402:
            return Kind.QUOTA
        case 404:
            return Kind.UPSTREAM_MODEL
        case 413:
            return Kind.TOO_LARGE
        case 429:
            return Kind.QUOTA if _is_long(said, details) else Kind.RATE_LIMIT
        case 503 | 529:
            return Kind.OVERLOADED
        case 408 | 504:
            return Kind.FIRST_BYTE_TIMEOUT
        case _:
            return Kind.BAD_REQUEST if 400 <= status < 499 else Kind.UPSTREAM_ERROR


def _of_400(said: str) -> Kind:
    if _BAD_KEY.search(said):
        return Kind.UPSTREAM_AUTH
    if "FAILED_PRECONDITION" in said and _ACCOUNT.search(said):
        return Kind.UPSTREAM_FORBIDDEN
    return Kind.CONTEXT_LENGTH if _CONTEXT.search(said) else Kind.BAD_REQUEST


def _is_long(said: str, details: list[_Detail]) -> bool:
    """Whether the limit that was hit lasts: a day's quota, or money."""
    quotas = [f"{v.quotaId or ''} {v.quotaMetric or ''}" for detail in details for v in detail.violations or ()]
    if quotas:
        return any("PerDay" in quota or "per_day" in quota for quota in quotas)
    return _DAILY.search(said) is not None


def _retry_after(headers: Mapping[str, str], details: list[_Detail], message: str) -> float | None:
    for detail in details:
        if detail.retryDelay:
            return hints.go_duration(detail.retryDelay)
    found = hints.retry_after(headers, _sent_at(headers))
    return hints.retry_in_text(message) if found is None else found


def _sent_at(headers: Mapping[str, str]) -> float:
    """The server's own time of its answer, against which a date in `retry-after` counts."""
    date = next((value for name, value in headers.items() if name.lower() == "date"), "")
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return float("inf")


def encode_error(error: MuxError, request_id: str) -> bytes:
    """The error as a whole body."""
    own = _own_body(error)
    return own if own is not None else jsonx.encode({"error": _object(error, request_id)})


def error_status(error: MuxError) -> int:
    if _own_body(error) is not None and error.status is not None:
        return error.status
    return error.http_status


def encode_failure(error: MuxError) -> bytes:
    """The error as one record of a stream that is already running."""
    return _own_body(error) or jsonx.encode({"error": _object(error, "")})


def _own_body(error: MuxError) -> bytes | None:
    """The upstream's body when it speaks this format and may be shown; out of its list, if it is in one."""
    if error.owner != OWNER or error.upstream is None or error.kind in _OURS or not _is_error(error.status):
        return None
    text = error.upstream.strip()
    try:
        if text.startswith(b"["):
            items = jsonx.decode(text, list[Raw])
            text = bytes(items[0]) if len(items) == 1 else b""
        found = jsonx.decode(text, _Body)
        shaped = isinstance(found.error, Raw) and jsonx.decode(bytes(found.error), _Error).message is not None
    except jsonx.Malformed:
        return None
    return text if shaped else None


def _is_error(status: int | None) -> bool:
    return status is not None and 400 <= status < 600


def _worded(error: MuxError) -> str:
    """The message, with the words in front by which coding tools know an overflow of the context."""
    if error.kind is not Kind.CONTEXT_LENGTH or _OVERFLOW in error.message:
        return error.message
    return f"The input token count {_OVERFLOW} of tokens allowed. {error.message}"


def _object(error: MuxError, request_id: str) -> dict[str, object]:
    status = error.http_status
    message = REFUSED_CREDENTIALS if error.kind in _OURS else _worded(error)
    made: dict[str, object] = {"code": status, "message": message, "status": _STATUSES.get(status, "INTERNAL")}
    details = _rpc_details(error, request_id)
    return made | {"details": details} if details else made


def _rpc_details(error: MuxError, request_id: str) -> list[dict[str, object]]:
    details: list[dict[str, object]] = []
    if error.param is not None:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
    if error.retry_after is not None:
        delay = f"{error.retry_after:g}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    if request_id:
        details.append({"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": request_id})
    return details
