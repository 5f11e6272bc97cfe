"""Errors both ways: `{"error": "text"}`, as a body and as a line of a stream.

Rule: the server's words are kept. Ollama has no error codes, so some kinds are told by their wording.
Spec: https://docs.ollama.com/api/errors
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from msgspec import UNSET, Raw, Struct

from llm_mux.errors import Kind, MuxError
from llm_mux.translators.base import present, wordless
from llm_mux.translators.ollama import wire
from llm_mux.wire import hints, jsonx

_CONTEXT = re.compile(r"context (?:length|window|size|limit)|exceeds? (?:the )?(?:available |maximum )?context", re.I)
_BUSY = re.compile(r"server busy|overloaded|maximum pending requests", re.I)
_QUOTA = re.compile(r"usage limit|quota|subscription|upgrade|billing|payment|credits?\b", re.I)
_LIMITED = re.compile(r"rate.?limit|too many requests", re.I)
_NO_MODEL = re.compile(r"model\b.*\bnot found|no such model", re.I | re.S)
_NO_THINKING = re.compile(r"does not support thinking|invalid think value|think value .* not supported", re.I)
_UNAUTHORIZED = re.compile(r"^\W*unauthorized", re.I)
_PASSING = frozenset({408, 409, 425, 499})
_OURS = (Kind.UPSTREAM_AUTH, Kind.UPSTREAM_FORBIDDEN)


class _Body(Struct):
    error: wire.RawField = UNSET
    message: wire.RawField = UNSET


class _Object(Struct):
    message: str | None = None


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> MuxError:
    """A refusal of an Ollama server. `headers` may be in any case."""
    message = _said(body) or wordless(status, body)
    delay = hints.retry_after(headers, _their_clock(headers))
    error = MuxError(
        _kind(status, message),
        message,
        status=status,
        retry_after=delay if delay is not None else hints.retry_in_text(message),
        owner=wire.NAME,
        upstream=body,
    )
    return _named(error)


def _their_clock(headers: Mapping[str, str]) -> float:
    """The server's own time, to which a retry date of its relates."""
    try:
        return parsedate_to_datetime(next(v for k, v in headers.items() if k.lower() == "date")).timestamp()
    except (ValueError, StopIteration):
        return 0.0


def decode_failure(record: bytes) -> MuxError:
    """An error in an answer that began as a success, where only the words tell what it is."""
    message = _said(record) or "The provider broke off with an error and no message."
    error = MuxError(
        _kind_by_words(message),
        message,
        retry_after=hints.retry_in_text(message),
        owner=wire.NAME,
        upstream=record,
    )
    return _named(error)


def _named(error: MuxError) -> MuxError:
    """Names the parameter where it can be left out and the request asked again."""
    if error.kind is Kind.BAD_REQUEST and _NO_THINKING.search(error.message):
        error.code, error.param = "unsupported_parameter", "think"
    return error


def _said(body: bytes) -> str | None:
    try:
        found = jsonx.decode(body, _Body)
        raw = found.error if present(found.error) else found.message
        return _text(raw) if isinstance(raw, Raw) and present(raw) else None
    except jsonx.Malformed:
        return None


def _text(raw: Raw) -> str | None:
    if bytes(raw).startswith(b'"'):
        return jsonx.decode(bytes(raw), str)
    return jsonx.decode(bytes(raw), _Object).message


def _kind(status: int, text: str) -> Kind:
    match status:
        case 401:
            return Kind.UPSTREAM_AUTH
        case 402:
            return Kind.QUOTA
        case 403:
            return Kind.QUOTA if _QUOTA.search(text) else Kind.UPSTREAM_FORBIDDEN
        case 404:
            return Kind.UPSTREAM_MODEL
        case 413:
            return Kind.TOO_LARGE
        case 429:
            return Kind.QUOTA if _QUOTA.search(text) else Kind.RATE_LIMIT
        case 503:
            return Kind.OVERLOADED
        case _ if 400 <= status < 500 and status not in _PASSING:
            return _refusal(text)
        case _:
            return _kind_by_words(text)


def _refusal(text: str) -> Kind:
    if _CONTEXT.search(text):
        return Kind.CONTEXT_LENGTH
    return Kind.UPSTREAM_MODEL if _NO_MODEL.search(text) else Kind.BAD_REQUEST


_BY_WORDS = (
    (_BUSY, Kind.OVERLOADED),
    (_CONTEXT, Kind.CONTEXT_LENGTH),
    (_UNAUTHORIZED, Kind.UPSTREAM_AUTH),
    (_LIMITED, Kind.RATE_LIMIT),
    (_NO_MODEL, Kind.UPSTREAM_MODEL),
    (_NO_THINKING, Kind.BAD_REQUEST),
)


def _kind_by_words(text: str) -> Kind:
    return next((kind for words, kind in _BY_WORDS if words.search(text)), Kind.UPSTREAM_ERROR)


def encode_error(error: MuxError, request_id: str) -> bytes:
    """The whole body for an Ollama client; the id of the request travels in a header."""
    if error.kind in _OURS:
        return jsonx.encode({"error": "Provider refused its credentials."})
    own = _verbatim(error)
    return own if own is not None else jsonx.encode({"error": error.message})


def _verbatim(error: MuxError) -> bytes | None:
    """The server's own body when it is one that Ollama's clients read."""
    if error.owner != wire.NAME or error.upstream is None:
        return None
    try:
        found = jsonx.decode(error.upstream, _Body).error
        return jsonx.compact(error.upstream) if isinstance(found, Raw) and bytes(found).startswith(b'"') else None
    except jsonx.Malformed:
        return None


def error_status(error: MuxError) -> int:
    return error.http_status


def broken(detail: str | None) -> MuxError:
    """The error that an answer which broke off becomes: Ollama has no reason for such an end."""
    why = f" ({detail})" if detail else ""
    return MuxError(Kind.UPSTREAM_NONSENSE, f"The model's answer broke off: it made a call that cannot be used{why}.")
