"""Errors of upstreams understood, and failures told in this format's shapes."""

import json

import openai
import pytest

from llm_mux.errors import Kind, MuxError
from llm_mux.translators.base import Hints
from llm_mux.translators.openai_responses.translator import TRANSLATOR
from llm_mux.translators.openai_responses.websocket import ws_error
from tests.translators.openai_responses.kit import MODEL, TARGET, body, client_for


def error_body(message: str, code: str | None = None, type_: str = "invalid_request_error") -> bytes:
    return json.dumps({"error": {"message": message, "type": type_, "param": None, "code": code}}).encode()


@pytest.mark.covers("PF-77", "PF-24", "FB-112", "FB-141", "RC-11")
@pytest.mark.parametrize(
    ("status", "answer", "kind", "message"),
    [
        (400, error_body("bad field"), Kind.BAD_REQUEST, "bad field"),
        (400, error_body("too long", "context_length_exceeded"), Kind.CONTEXT_LENGTH, "too long"),
        (
            400,
            error_body("maximum context length is 5 tokens"),
            Kind.CONTEXT_LENGTH,
            "maximum context length is 5 tokens",
        ),
        (400, error_body("no", "content_policy_violation"), Kind.POLICY, "no"),
        (404, error_body("gone", "previous_response_not_found"), Kind.BAD_REQUEST, "gone"),
        (401, error_body("Incorrect API key provided"), Kind.UPSTREAM_AUTH, "Incorrect API key provided"),
        (403, error_body("region"), Kind.UPSTREAM_FORBIDDEN, "region"),
        (404, error_body("no model", "model_not_found"), Kind.UPSTREAM_MODEL, "no model"),
        (413, error_body("large"), Kind.TOO_LARGE, "large"),
        (422, error_body("shape"), Kind.BAD_REQUEST, "shape"),
        (429, error_body("slow", "rate_limit_exceeded"), Kind.RATE_LIMIT, "slow"),
        (429, error_body("money", "insufficient_quota"), Kind.QUOTA, "money"),
        (429, b'{"error":{"type":"usage_limit_reached","message":"plan"}}', Kind.QUOTA, "plan"),
        (500, error_body("boom", "server_error", "server_error"), Kind.UPSTREAM_ERROR, "boom"),
        (503, error_body("busy"), Kind.OVERLOADED, "busy"),
        (400, b'{"error":"plain"}', Kind.BAD_REQUEST, "plain"),
        (400, b'{"error":{"message":"x","code":400}}', Kind.BAD_REQUEST, "x"),
        (400, b'{"detail":"not here"}', Kind.BAD_REQUEST, "not here"),
        (400, b'{"message":"top"}', Kind.BAD_REQUEST, "top"),
        (
            502,
            b"<html><h1>Bad gateway</h1></html>",
            Kind.UPSTREAM_ERROR,
            "The provider answered with status 502 with a web page and no error message.",
        ),
        (500, b"", Kind.UPSTREAM_ERROR, "The provider answered with status 500 and no error message."),
        (500, b'{"error":[1]}', Kind.UPSTREAM_ERROR, "The provider answered with status 500 and no error message."),
    ],
)
def test_an_upstreams_error_keeps_its_words(status: int, answer: bytes, kind: Kind, message: str) -> None:
    error = TRANSLATOR.decode_error(status, {}, answer)
    assert (error.kind, error.message, error.status, error.owner) == (kind, message, status, "openai_responses")


@pytest.mark.covers("PF-19")
@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "7"}, "slow", 7.0),
        ({"Retry-After-Ms": "1500"}, "slow", 1.5),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT", "date": "Fri, 20 Nov 2026 10:00:00 GMT"}, "slow", 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT"}, "slow", None),
        ({}, "Please try again in 1.5s.", 1.5),
        ({}, "slow", None),
    ],
)
def test_the_time_to_wait_is_found(headers: dict[str, str], message: str, seconds: float | None) -> None:
    assert TRANSLATOR.decode_error(429, headers, error_body(message)).retry_after == seconds


def test_a_time_to_wait_in_the_body_is_found() -> None:
    answer = b'{"error":{"type":"usage_limit_reached","message":"plan","resets_in_seconds":90}}'
    assert TRANSLATOR.decode_error(429, {}, answer).retry_after == 90


@pytest.mark.covers("PF-56", "RC-11", "FB-3B")
def test_an_upstream_of_this_format_is_quoted_word_for_word() -> None:
    answer = error_body("odd", "odd_code")
    assert TRANSLATOR.encode_error(TRANSLATOR.decode_error(400, {}, answer), "req_1") == answer


@pytest.mark.parametrize("status", [401, 403])
def test_what_an_upstream_says_of_our_credentials_stays_here(status: int) -> None:
    error = TRANSLATOR.decode_error(status, {}, error_body("Incorrect API key provided: sk-abc"))
    made = TRANSLATOR.encode_error(error, "")
    assert b"sk-abc" not in made + ws_error(error, 502)
    assert TRANSLATOR.error_status(error) == 502


def test_a_web_page_is_never_passed_on() -> None:
    error = TRANSLATOR.decode_error(502, {}, b"<html>secret</html>")
    assert b"secret" not in TRANSLATOR.encode_error(error, "")


@pytest.mark.covers("RC-11")
@pytest.mark.parametrize(
    ("error", "status", "raised", "code"),
    [
        (
            MuxError(Kind.BAD_REQUEST, "m", param="input", code="invalid_value"),
            400,
            openai.BadRequestError,
            "invalid_value",
        ),
        (MuxError(Kind.CONTEXT_LENGTH, "m"), 400, openai.BadRequestError, "context_length_exceeded"),
        (MuxError(Kind.CLIENT_AUTH, "m"), 401, openai.AuthenticationError, "invalid_api_key"),
        (MuxError(Kind.FORBIDDEN, "m"), 403, openai.PermissionDeniedError, "permission_denied"),
        (MuxError(Kind.MODEL_NOT_FOUND, "m"), 404, openai.NotFoundError, "model_not_found"),
        (MuxError(Kind.UPSTREAM_MODEL, "m", code="nope"), 404, openai.NotFoundError, "model_not_found"),
        (MuxError(Kind.LIMITED, "m"), 429, openai.RateLimitError, "rate_limit_exceeded"),
        (MuxError(Kind.QUOTA, "m"), 429, openai.RateLimitError, "insufficient_quota"),
        (MuxError(Kind.OVERLOADED, "m"), 503, openai.InternalServerError, "server_error"),
        (
            MuxError(Kind.RATE_LIMIT, "m", code="RESOURCE_EXHAUSTED", owner="gemini"),
            429,
            openai.RateLimitError,
            "rate_limit_exceeded",
        ),
        (MuxError(Kind.TOO_LARGE, "m"), 413, openai.APIStatusError, "request_too_large"),
    ],
)
def test_the_sdk_raises_the_right_error(
    error: MuxError, status: int, raised: type[openai.APIStatusError], code: str
) -> None:
    made = TRANSLATOR.encode_error(error, "req_1")
    assert TRANSLATOR.error_status(error) == status
    with pytest.raises(raised) as caught:
        client_for(made, "application/json", status).responses.create(model=MODEL, input="x")
    assert (caught.value.code, caught.value.param) == (code, error.param)
    assert "m" in caught.value.message


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_a_shape(kind: Kind) -> None:
    inner = json.loads(TRANSLATOR.encode_error(MuxError(kind, "m"), ""))["error"]
    assert set(inner) == {"message", "type", "param", "code"}
    assert inner["code"] or kind is Kind.BAD_REQUEST


@pytest.mark.covers("PF-88")
def test_an_error_on_a_websocket_is_nested() -> None:
    assert json.loads(ws_error(MuxError(Kind.BAD_REQUEST, "m", param="input"), 400)) == {
        "type": "error",
        "error": {"message": "m", "type": "invalid_request_error", "param": "input", "code": None},
        "status": 400,
    }


@pytest.mark.covers("PF-23")
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error_body("inside a 200", "server_error"), Kind.UPSTREAM_ERROR),
        (
            b'{"id":"r","status":"failed","output":[],"error":{"code":"rate_limit_exceeded","message":"x"}}',
            Kind.RATE_LIMIT,
        ),
        (b'{"id":"r","status":"in_progress","output":[]}', Kind.UPSTREAM_NONSENSE),
        (b'{"id":"r","status":"completed"}', Kind.UPSTREAM_NONSENSE),
        (b'{"id":"r","status":"completed","output":[5]}', Kind.UPSTREAM_NONSENSE),
        (b'{"id":"r","status":"completed","output":[{"type":"message","content":5}]}', Kind.UPSTREAM_NONSENSE),
        (b'{"id":"r","status":"completed","output":[{"type":"reasoning","summary":5}]}', Kind.UPSTREAM_NONSENSE),
        (b"<html></html>", Kind.UPSTREAM_NONSENSE),
        (b"", Kind.UPSTREAM_NONSENSE),
        (b'{"id":"r","output":[', Kind.UPSTREAM_NONSENSE),
    ],
)
def test_a_whole_answer_that_is_none_is_an_error_of_the_upstream(answer: bytes, kind: Kind) -> None:
    with pytest.raises(MuxError) as caught:
        TRANSLATOR.decode_response(answer, TARGET)
    assert caught.value.kind is kind
    assert TRANSLATOR.summary(answer).usage is None


def test_an_error_of_ours_names_the_place_to_the_sdk() -> None:
    with pytest.raises(MuxError) as refused:
        TRANSLATOR.decode_request(body(input=[{"role": "robot"}]), Hints())
    made = TRANSLATOR.encode_error(refused.value, "")
    with pytest.raises(openai.BadRequestError) as caught:
        client_for(made, "application/json", 400).responses.create(model=MODEL, input="x")
    assert caught.value.param == "input[0].role"
