"""Failures of upstreams, and of every kind as clients of this format see them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import anthropic
import pytest

from llm_mux.errors import Kind, MuxError
from llm_mux.translators.anthropic.translator import TRANSLATOR
from tests.translators.anthropic import kit


def body(type_: str, message: str = "m", **error: object) -> bytes:
    return json.dumps(
        {"type": "error", "error": {"type": type_, "message": message, **error}, "request_id": "r"}
    ).encode()


@dataclass(frozen=True)
class Upstream:
    """An answer that is no success, and what it means."""

    status: int
    body: bytes
    kind: Kind
    message: str = "m"
    code: str | None = None
    param: str | None = None


CASES = [
    Upstream(400, body("invalid_request_error"), Kind.BAD_REQUEST),
    Upstream(
        400,
        body("invalid_request_error", "messages.0.role: no"),
        Kind.BAD_REQUEST,
        "messages.0.role: no",
        param="messages.0.role",
    ),
    Upstream(
        400,
        body("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
        Kind.CONTEXT_LENGTH,
        "prompt is too long: 210000 tokens > 200000 maximum",
        "context_length_exceeded",
    ),
    Upstream(
        400,
        body("invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 2"),
        Kind.CONTEXT_LENGTH,
        "input length and `max_tokens` exceed context limit: 1 + 2 > 2",
    ),
    Upstream(
        400,
        body("invalid_request_error", "Your credit balance is too low"),
        Kind.QUOTA,
        "Your credit balance is too low",
    ),
    Upstream(
        400,
        body("invalid_request_error", "Output blocked by content filtering policy"),
        Kind.POLICY,
        "Output blocked by content filtering policy",
    ),
    Upstream(
        400,
        body("invalid_request_error", "context_management: Extra inputs are not permitted"),
        Kind.BAD_REQUEST,
        "context_management: Extra inputs are not permitted",
        "unknown_parameter",
        "context_management",
    ),
    Upstream(
        400,
        body("invalid_request_error", "`temperature` is deprecated for this model."),
        Kind.BAD_REQUEST,
        "`temperature` is deprecated for this model.",
        "unsupported_parameter",
        "temperature",
    ),
    Upstream(
        400,
        body("invalid_request_error", '"thinking.type.enabled" is not supported for this model.'),
        Kind.BAD_REQUEST,
        '"thinking.type.enabled" is not supported for this model.',
        "unsupported_value",
        "thinking",
    ),
    Upstream(401, body("authentication_error"), Kind.UPSTREAM_AUTH),
    Upstream(402, body("billing_error"), Kind.QUOTA),
    Upstream(403, body("permission_error"), Kind.UPSTREAM_FORBIDDEN),
    Upstream(404, body("not_found_error"), Kind.UPSTREAM_MODEL),
    Upstream(409, body("conflict_error"), Kind.CONFLICT),
    Upstream(413, body("request_too_large"), Kind.TOO_LARGE),
    Upstream(429, body("rate_limit_error"), Kind.RATE_LIMIT),
    Upstream(
        429,
        body("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
        Kind.QUOTA,
        code="enforced_spend_limit_reached",
    ),
    Upstream(429, body("rate_limit_error", details={"error_code": "ramp_limit_exceeded"}), Kind.RATE_LIMIT),
    Upstream(500, body("api_error"), Kind.UPSTREAM_ERROR),
    Upstream(503, body("overloaded_error"), Kind.OVERLOADED),
    Upstream(504, body("timeout_error"), Kind.FIRST_BYTE_TIMEOUT),
    Upstream(529, body("overloaded_error"), Kind.OVERLOADED),
    Upstream(418, b'{"error":"text"}', Kind.BAD_REQUEST, "text"),
    Upstream(400, b'{"error":{"message":"text","code":7}}', Kind.BAD_REQUEST, "text"),
    Upstream(400, b'{"message":"text"}', Kind.BAD_REQUEST, "text"),
    Upstream(400, b'{"detail":"text"}', Kind.BAD_REQUEST, "text"),
    Upstream(
        502,
        b"<html>bad gateway</html>",
        Kind.UPSTREAM_ERROR,
        "The provider answered with status 502 with a web page and no error message.",
    ),
    Upstream(500, b"", Kind.UPSTREAM_ERROR, "The provider answered with status 500 and no error message."),
    Upstream(500, b"plain words", Kind.UPSTREAM_ERROR, "plain words"),
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.covers("FB-112", "FB-141", "PF-24", "PF-36", "RC-11")
def test_an_upstreams_failure_has_its_kind_and_keeps_its_words(case: Upstream) -> None:
    error = TRANSLATOR.decode_error(case.status, {}, case.body)
    assert (error.kind, error.message, error.status) == (case.kind, case.message, case.status)
    assert case.code is None or error.code == case.code
    assert case.param is None or error.param == case.param


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "12"}, 12),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"date": "Fri, 20 Nov 2026 10:00:00 GMT", "retry-after": "Fri, 20 Nov 2026 10:00:30 GMT"}, 30),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT"}, None),
        ({}, None),
    ],
)
@pytest.mark.covers("PF-19", "RC-8")
def test_the_time_to_wait_is_read_in_every_form(headers: dict[str, str], expected: float | None) -> None:
    assert TRANSLATOR.decode_error(429, headers, body("rate_limit_error")).retry_after == expected


@pytest.mark.covers("PF-56", "RC-11")
def test_a_client_of_this_format_gets_the_upstreams_own_body() -> None:
    sent = body(
        "invalid_request_error", "messages.1.content.0: Invalid `signature` in `thinking` block", details={"x": 1}
    )
    error = TRANSLATOR.decode_error(400, {}, sent)
    assert TRANSLATOR.encode_error(error, "req_1") == sent
    assert TRANSLATOR.error_status(error) == 400


@pytest.mark.parametrize(("status", "type_"), [(401, "authentication_error"), (403, "permission_error")])
def test_the_failure_of_our_own_credentials_is_not_shown(status: int, type_: str) -> None:
    error = TRANSLATOR.decode_error(status, {}, body(type_, "key sk-secret of org 7 is invalid"))
    shown = json.loads(TRANSLATOR.encode_error(error, "req_1"))
    assert shown == {
        "type": "error",
        "error": {"type": "api_error", "message": "The provider refused its credentials."},
        "request_id": "req_1",
    }
    assert TRANSLATOR.error_status(error) == 502


@pytest.mark.parametrize(
    ("kind", "type_", "status"),
    [
        (Kind.BAD_REQUEST, "invalid_request_error", 400),
        (Kind.CLIENT_AUTH, "authentication_error", 401),
        (Kind.BALANCE, "billing_error", 402),
        (Kind.FORBIDDEN, "permission_error", 403),
        (Kind.MODEL_NOT_FOUND, "not_found_error", 404),
        (Kind.CONFLICT, "conflict_error", 409),
        (Kind.TOO_LARGE, "request_too_large", 413),
        (Kind.RATE_LIMIT, "rate_limit_error", 429),
        (Kind.INTERNAL, "api_error", 500),
        (Kind.UPSTREAM_NONSENSE, "api_error", 502),
        (Kind.NO_TARGET, "api_error", 503),
        (Kind.IDLE_TIMEOUT, "timeout_error", 504),
        (Kind.OVERLOADED, "overloaded_error", 529),
    ],
)
def test_every_kind_has_its_type_and_status(kind: Kind, type_: str, status: int) -> None:
    error = MuxError(kind, "Words.")
    shown = TRANSLATOR.encode_error(error, "req_1")
    assert json.loads(shown)["error"] == {"type": type_, "message": "Words."}
    assert TRANSLATOR.error_status(error) == status
    with pytest.raises(anthropic.APIStatusError) as caught:
        kit.sdk(shown, status=status).messages.create(
            model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}]
        )
    assert caught.value.status_code == status


def test_every_kind_there_is_can_be_shown() -> None:
    for kind in Kind:
        assert json.loads(TRANSLATOR.encode_error(MuxError(kind, "Words."), ""))["type"] == "error"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 130,500 tokens.",
            "prompt is too long: 130500 tokens > 128000 maximum (This",
        ),
        (
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            "prompt is too long: 1200000 tokens > 1048576 maximum",
        ),
        ("Too much.", "prompt is too long: Too much."),
        ("prompt is too long: 9 tokens > 8 maximum", "prompt is too long: 9 tokens > 8 maximum"),
    ],
)
@pytest.mark.covers("RC-11")
def test_an_overflow_of_any_vendor_is_told_in_the_words_that_tools_know(said: str, shown: str) -> None:
    error = MuxError(Kind.CONTEXT_LENGTH, said, owner="openai_chat", upstream=b"{}")
    message = json.loads(TRANSLATOR.encode_error(error, "r"))["error"]["message"]
    assert message.startswith(shown)
    assert said in message


def test_the_body_of_another_format_is_never_shown() -> None:
    error = MuxError(Kind.BAD_REQUEST, "No.", owner="openai_chat", upstream=b'{"error":{"message":"No."}}')
    assert json.loads(TRANSLATOR.encode_error(error, ""))["error"]["message"] == "No."
