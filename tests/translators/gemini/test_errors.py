"""Errors in Google's shape, both ways."""

import json

import pytest

from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.translators.gemini.translator import TRANSLATOR


def body(code: int, status: str, message: str = "m", *details: dict[str, object]) -> bytes:
    error: dict[str, object] = {"code": code, "message": message, "status": status}
    return json.dumps({"error": error | ({"details": list(details)} if details else {})}).encode()


def info(reason: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}


def quota(quota_id: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota_id}]}


def retry(delay: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def decoded(status: int, data: bytes, headers: dict[str, str] | None = None) -> MuxError:
    return TRANSLATOR.decode_error(status, headers or {}, data)


@pytest.mark.parametrize(
    ("status", "data", "kind"),
    [
        (400, body(400, "INVALID_ARGUMENT"), Kind.BAD_REQUEST),
        pytest.param(
            400,
            body(400, "INVALID_ARGUMENT", "API key not valid.", info("API_KEY_INVALID")),
            Kind.UPSTREAM_AUTH,
            marks=pytest.mark.covers("PF-111"),
        ),
        (400, body(400, "INVALID_ARGUMENT", "API key expired. Please renew it."), Kind.UPSTREAM_AUTH),
        (
            400,
            body(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
            Kind.UPSTREAM_FORBIDDEN,
        ),
        pytest.param(
            400,
            body(
                400,
                "INVALID_ARGUMENT",
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            ),
            Kind.CONTEXT_LENGTH,
            marks=pytest.mark.covers("RC-11"),
        ),
        (400, body(400, "INVALID_ARGUMENT", "Function call is missing a thought_signature."), Kind.BAD_REQUEST),
        (401, body(401, "UNAUTHENTICATED"), Kind.UPSTREAM_AUTH),
        (402, body(402, "FAILED_PRECONDITION"), Kind.QUOTA),
        (403, body(403, "PERMISSION_DENIED"), Kind.UPSTREAM_FORBIDDEN),
        (403, body(403, "PERMISSION_DENIED", "m", info("API_KEY_SERVICE_BLOCKED")), Kind.UPSTREAM_AUTH),
        (404, body(404, "NOT_FOUND"), Kind.UPSTREAM_MODEL),
        (413, b"", Kind.TOO_LARGE),
        (422, b"", Kind.BAD_REQUEST),
        (429, body(429, "RESOURCE_EXHAUSTED"), Kind.RATE_LIMIT),
        (429, body(429, "RESOURCE_EXHAUSTED", "m", quota("RequestsPerMinutePerProject")), Kind.RATE_LIMIT),
        pytest.param(
            429,
            body(429, "RESOURCE_EXHAUSTED", "m", quota("RequestsPerDayPerProject")),
            Kind.QUOTA,
            marks=pytest.mark.covers("PF-112"),
        ),
        (429, body(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), Kind.QUOTA),
        (499, body(499, "CANCELLED"), Kind.UPSTREAM_ERROR),
        (500, body(500, "INTERNAL"), Kind.UPSTREAM_ERROR),
        (503, body(503, "UNAVAILABLE"), Kind.OVERLOADED),
        (504, body(504, "DEADLINE_EXCEEDED"), Kind.FIRST_BYTE_TIMEOUT),
    ],
)
def test_every_failure_has_its_kind(status: int, data: bytes, kind: Kind) -> None:
    error = decoded(status, data)
    assert (error.kind, error.status, error.owner, error.upstream) == (kind, status, "gemini", data)


@pytest.mark.parametrize(
    ("data", "headers", "seconds"),
    [
        (body(429, "RESOURCE_EXHAUSTED", "Please retry in 9s.", retry("12.5s")), {}, 12.5),
        (body(429, "RESOURCE_EXHAUSTED", "Please retry in 9s."), {}, 9.0),
        (body(429, "RESOURCE_EXHAUSTED"), {"Retry-After": "7"}, 7.0),
        (
            body(429, "RESOURCE_EXHAUSTED"),
            {"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT", "Date": "Fri, 20 Nov 2026 10:00:00 GMT"},
            30.0,
        ),
        (body(429, "RESOURCE_EXHAUSTED"), {}, None),
    ],
)
@pytest.mark.covers("PF-19", "RC-8")
def test_the_wait_is_read_wherever_it_stands(data: bytes, headers: dict[str, str], seconds: float | None) -> None:
    assert decoded(429, data, headers).retry_after == seconds


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (body(400, "INVALID_ARGUMENT", "Exactly these words."), "Exactly these words."),
        (b"[" + body(400, "INVALID_ARGUMENT", "In a list.") + b"]", "In a list."),
        (b'{"error":"just text"}', "just text"),
        (b'{"message":"bare"}', "bare"),
        (b"plain words", "plain words"),
        pytest.param(
            b"<html>secret</html>",
            "The provider answered with status 400 with a web page and no error message.",
            marks=pytest.mark.covers("FB-112", "PF-24"),
        ),
        (b"", "The provider answered with status 400 and no error message."),
        (b'{"error":[1]}', "The provider answered with status 400 and no error message."),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
@pytest.mark.covers("RC-11", "PF-77")
def test_the_words_are_kept(data: bytes, message: str) -> None:
    assert decoded(400, data).message == message


def test_the_field_at_fault_is_named() -> None:
    detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "contents[0]"}]}
    error = decoded(400, body(400, "INVALID_ARGUMENT", "m", detail))
    assert (error.param, error.code) == ("contents[0]", "INVALID_ARGUMENT")


def test_a_client_gets_the_upstreams_own_body_back() -> None:
    data = body(429, "RESOURCE_EXHAUSTED", "m", retry("3s"))
    for given in (data, b"[" + data + b"]"):
        error = decoded(429, given)
        assert (TRANSLATOR.encode_error(error, "id"), TRANSLATOR.error_status(error)) == (data, 429)
    busy = decoded(500, body(500, "INTERNAL"))
    assert TRANSLATOR.error_status(busy) == 500


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.covers("FB-106")
def test_refused_credentials_are_told_without_details(status: int) -> None:
    error = decoded(status, body(status, "UNAUTHENTICATED", "key AIza-secret of project 7 is bad"))
    given = json.loads(TRANSLATOR.encode_error(error, ""))["error"]
    assert given == {"code": 502, "message": "The provider refused its credentials.", "status": "INTERNAL"}
    assert TRANSLATOR.error_status(error) == 502


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        (Kind.BAD_REQUEST, 400, "INVALID_ARGUMENT"),
        (Kind.CONTEXT_LENGTH, 400, "INVALID_ARGUMENT"),
        (Kind.CLIENT_AUTH, 401, "UNAUTHENTICATED"),
        (Kind.FORBIDDEN, 403, "PERMISSION_DENIED"),
        (Kind.MODEL_NOT_FOUND, 404, "NOT_FOUND"),
        (Kind.TOO_LARGE, 413, "INVALID_ARGUMENT"),
        (Kind.RATE_LIMIT, 429, "RESOURCE_EXHAUSTED"),
        (Kind.OVERLOADED, 503, "UNAVAILABLE"),
        (Kind.IDLE_TIMEOUT, 504, "DEADLINE_EXCEEDED"),
        (Kind.INTERNAL, 500, "INTERNAL"),
        (Kind.UPSTREAM_CUT, 502, "INTERNAL"),
    ],
)
@pytest.mark.covers("FB-3B")
def test_every_kind_is_rendered_in_this_shape(kind: Kind, code: int, status: str) -> None:
    error = MuxError(kind, "Words.", owner="anthropic", upstream=b'{"error":{"message":"theirs"}}', status=529)
    given = json.loads(TRANSLATOR.encode_error(error, ""))["error"]
    front = "The input token count exceeds the maximum number of tokens allowed. "
    words = f"{front if kind is Kind.CONTEXT_LENGTH else ''}Words."
    assert given == {"code": code, "message": words, "status": status}


def test_details_tell_the_field_the_wait_and_the_request() -> None:
    error = bad_request("Bad.", param="contents")
    error.retry_after = 1.5
    details = json.loads(TRANSLATOR.encode_error(error, "req-1"))["error"]["details"]
    assert [detail["@type"].rsplit(".", 1)[-1] for detail in details] == ["BadRequest", "RetryInfo", "RequestInfo"]
    assert details[1]["retryDelay"] == "1.5s"
