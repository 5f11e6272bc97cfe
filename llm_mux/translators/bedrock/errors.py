"""Errors in AWS's shape, both ways: `{"message"}` with the exception's name in `x-amzn-ErrorType`, or in `__type`.

Rules. The exception's name decides before the status does, and stays the error's code. Refused credentials and models
without access are told with what to do. Spec: the Bedrock Runtime page, section 9; translation matrix, section 15.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from llm_mux.errors import Kind, MuxError
from llm_mux.translators.base import wordless
from llm_mux.translators.bedrock.wire import NAME
from llm_mux.wire import hints, jsonx

REFUSED_CREDENTIALS: Final = "The provider refused its credentials."

_KINDS: Final = {
    "ValidationException": Kind.BAD_REQUEST,
    "SerializationException": Kind.BAD_REQUEST,
    "AccessDeniedException": Kind.UPSTREAM_FORBIDDEN,
    "ResourceNotFoundException": Kind.UPSTREAM_MODEL,
    "ModelTimeoutException": Kind.FIRST_BYTE_TIMEOUT,
    "ServiceQuotaExceededException": Kind.QUOTA,
    "ThrottlingException": Kind.RATE_LIMIT,
    "TooManyRequestsException": Kind.RATE_LIMIT,
    "ModelNotReadyException": Kind.OVERLOADED,
    "ModelErrorException": Kind.UPSTREAM_ERROR,
    "ModelStreamErrorException": Kind.UPSTREAM_ERROR,
    "InternalServerException": Kind.UPSTREAM_ERROR,
    "InternalFailure": Kind.UPSTREAM_ERROR,
    "ServiceUnavailableException": Kind.OVERLOADED,
    "ConflictException": Kind.CONFLICT,
    "UnrecognizedClientException": Kind.UPSTREAM_AUTH,
    "ExpiredTokenException": Kind.UPSTREAM_AUTH,
    "ExpiredToken": Kind.UPSTREAM_AUTH,
    "InvalidSignatureException": Kind.UPSTREAM_AUTH,
    "IncompleteSignatureException": Kind.UPSTREAM_AUTH,
    "InvalidClientTokenId": Kind.UPSTREAM_AUTH,
    "MissingAuthenticationTokenException": Kind.UPSTREAM_AUTH,
    "MissingAuthenticationToken": Kind.UPSTREAM_AUTH,
}
_STATUSES: Final = {
    401: Kind.UPSTREAM_AUTH,
    403: Kind.UPSTREAM_FORBIDDEN,
    404: Kind.UPSTREAM_MODEL,
    408: Kind.FIRST_BYTE_TIMEOUT,
    413: Kind.TOO_LARGE,
    424: Kind.UPSTREAM_ERROR,
    429: Kind.RATE_LIMIT,
    503: Kind.OVERLOADED,
    504: Kind.FIRST_BYTE_TIMEOUT,
}
_NAMES: Final = {
    Kind.CLIENT_AUTH: ("UnrecognizedClientException", 403),
    Kind.FORBIDDEN: ("AccessDeniedException", 403),
    Kind.BALANCE: ("ServiceQuotaExceededException", 402),
    Kind.NOT_FOUND: ("ResourceNotFoundException", 404),
    Kind.MODEL_NOT_FOUND: ("ResourceNotFoundException", 404),
    Kind.UPSTREAM_MODEL: ("ResourceNotFoundException", 404),
    Kind.LIMITED: ("ThrottlingException", 429),
    Kind.RATE_LIMIT: ("ThrottlingException", 429),
    Kind.QUOTA: ("ThrottlingException", 429),
    Kind.OVERLOADED: ("ServiceUnavailableException", 503),
    Kind.NO_TARGET: ("ServiceUnavailableException", 503),
    Kind.LOGIN_NEEDED: ("ServiceUnavailableException", 503),
    Kind.DRAINING: ("ServiceUnavailableException", 503),
    Kind.CONNECT_TIMEOUT: ("ModelTimeoutException", 408),
    Kind.FIRST_BYTE_TIMEOUT: ("ModelTimeoutException", 408),
    Kind.IDLE_TIMEOUT: ("ModelTimeoutException", 408),
    Kind.UPSTREAM_ERROR: ("ModelErrorException", 424),
    Kind.CONFLICT: ("ConflictException", 400),
}
_IN_STREAM: Final = frozenset(
    {"internalServerException", "modelStreamErrorException", "validationException", "throttlingException"}
    | {"serviceUnavailableException"}
)
_CONTEXT: Final = re.compile(
    r"(?:input|prompt) is too long|too many (?:input )?tokens|exceeds? the (?:maximum )?context|maximum context",
    re.IGNORECASE,
)
_NO_ACCESS: Final = re.compile(r"access to the model|model access|not authorized to perform: bedrock", re.IGNORECASE)
_PROFILE: Final = re.compile(r"on-demand throughput isn.t supported|inference profile", re.IGNORECASE)
_NO_MODEL: Final = re.compile(
    r"model identifier is invalid|no such model|could not resolve the foundation", re.IGNORECASE
)
_EXPIRED: Final = re.compile(
    r"security token .* (?:expired|invalid)|signature (?:we calculated|expired)", re.IGNORECASE
)


class _Inner(Struct, frozen=True):
    message: str | None = None
    type: str | None = None


class _Body(Struct, frozen=True):
    """What AWS sends; `error` is what gateways in front of it do."""

    message: str | None = None
    Message: str | None = None
    type: str | None = msgspec.field(name="__type", default=None)
    code: str | None = None
    originalStatusCode: int | None = None
    originalMessage: str | None = None
    error: _Inner | None = None


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> MuxError:
    """What an unsuccessful answer means. The code is the AWS exception's name."""
    try:
        found = jsonx.decode(body, _Body)
    except jsonx.Malformed:
        found = _Body()
    name = _name(headers.get("x-amzn-errortype") or found.type or found.code or "")
    inner = found.error or _Inner()
    message = found.message or found.Message or inner.message or wordless(status, body)
    kind = _kind(status, name, message)
    if found.originalMessage and found.originalMessage not in message:
        message = f"{message} ({found.originalMessage})"
    code = "context_length_exceeded" if kind is Kind.CONTEXT_LENGTH else name or None
    return MuxError(
        kind=kind,
        message=message + _advice(kind, message),
        status=status if status >= 400 else None,
        code=code,
        retry_after=_retry_after(headers, kind),
        owner=NAME if name else None,
        upstream=body if name else None,
        facts={"aws_error": name} if name else {},
    )


def _name(text: str) -> str:
    """`ThrottlingException` of `com.amazonaws#ThrottlingException:http://...`; in streams it begins small."""
    name = text.partition(":")[0].rpartition("#")[2].strip()
    return name[:1].upper() + name[1:]


def _kind(status: int, name: str, message: str) -> Kind:
    if _EXPIRED.search(message) and (status in (0, 200, 400, 401, 403)):
        return Kind.UPSTREAM_AUTH
    kind = _KINDS.get(name) or _STATUSES.get(status)
    if kind is None:
        kind = Kind.BAD_REQUEST if 400 <= status < 500 else Kind.UPSTREAM_ERROR
    if kind is Kind.BAD_REQUEST and _CONTEXT.search(message):
        return Kind.CONTEXT_LENGTH
    if kind is Kind.BAD_REQUEST and (_NO_MODEL.search(message) or _PROFILE.search(message)):
        return Kind.UPSTREAM_MODEL
    if kind is Kind.UPSTREAM_FORBIDDEN and _NO_ACCESS.search(message):
        # Other models of the account may be open to it.
        return Kind.UPSTREAM_MODEL
    return kind


def _advice(kind: Kind, message: str) -> str:
    if kind is Kind.UPSTREAM_AUTH:
        return " Renew the AWS credentials (`aws sso login`, or new keys) and check the clock of this machine."
    if _NO_ACCESS.search(message):
        return " Ask for access to this model in the Bedrock console of that region."
    if _PROFILE.search(message):
        return " Use an inference profile: the model id with a region in front, such as `us.` or `global.`."
    if kind is Kind.UPSTREAM_MODEL:
        return " Check the model id and the region (`options.region`)."
    return ""


def _retry_after(headers: Mapping[str, str], kind: Kind) -> float | None:
    if kind not in (Kind.RATE_LIMIT, Kind.OVERLOADED, Kind.QUOTA):
        return None
    return hints.retry_after(headers, 0.0)


class _ErrorOut(Struct, frozen=True, omit_defaults=True):
    message: str
    type: str | None = msgspec.field(name="__type", default=None)


def told(error: MuxError) -> tuple[str, int]:
    """The exception's name and status for a client."""
    if error.kind in _NAMES:
        return _NAMES[error.kind]
    if 400 <= error.http_status < 500:
        return "ValidationException", error.http_status
    return "InternalServerException", error.http_status


def encode_error(error: MuxError, request_id: str) -> bytes:
    """The body for a client; the name stands in it too, for SDKs that look there."""
    return jsonx.encode(_ErrorOut(_worded(error), told(error)[0]))


def error_headers(error: MuxError) -> Mapping[str, str]:
    """Where AWS's SDKs look for the exception's name."""
    return {"x-amzn-ErrorType": told(error)[0]}


def error_status(error: MuxError) -> int:
    return told(error)[1]


def exception(error: MuxError) -> tuple[str, bytes]:
    """The exception that ends a stream: its type and payload."""
    name = told(error)[0]
    name = name[:1].lower() + name[1:]
    if name == "modelErrorException":
        name = "modelStreamErrorException"
    if name not in _IN_STREAM:
        name = "internalServerException"
    return name, jsonx.encode(_ErrorOut(_worded(error)))


def _worded(error: MuxError) -> str:
    if error.kind in (Kind.UPSTREAM_AUTH, Kind.UPSTREAM_FORBIDDEN):
        return REFUSED_CREDENTIALS
    if error.kind is Kind.CONTEXT_LENGTH and "too long" not in error.message:
        return f"Input is too long for requested model. {error.message}"
    return error.message
