"""What servers' errors mean, and what chat clients are told."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from llm_mux.errors import Kind, MuxError
from llm_mux.translators.openai_chat.translator import TRANSLATOR
from tests.translators.openai_chat import chat


def means(status: int, body: Any, headers: dict[str, str] | None = None) -> MuxError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return TRANSLATOR.decode_error(status, headers or {}, data)


def said(message: str, **fields: Any) -> Any:
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, said("bad", type="invalid_request_error"), Kind.BAD_REQUEST),
        (400, said("x", code="context_length_exceeded"), Kind.CONTEXT_LENGTH),
        (400, said("This model's maximum context length is 8192 tokens."), Kind.CONTEXT_LENGTH),
        (400, said("prompt is too long: 5 tokens > 4 maximum"), Kind.CONTEXT_LENGTH),
        (400, said("Your input exceeds the context window of this model."), Kind.CONTEXT_LENGTH),
        (400, said("The input token count (5) exceeds the maximum"), Kind.CONTEXT_LENGTH),
        (413, said("Request too large: maximum context length"), Kind.CONTEXT_LENGTH),
        (413, b"", Kind.TOO_LARGE),
        (400, said("x", code="content_policy_violation"), Kind.POLICY),
        (400, said("x", code="content_filter"), Kind.POLICY),
        (400, said("API key not valid. Please pass a valid API key."), Kind.UPSTREAM_AUTH),
        (400, said("The model `x` does not exist", code="model_not_found"), Kind.UPSTREAM_MODEL),
        (400, said("insufficient balance"), Kind.QUOTA),
        (401, said("Incorrect API key provided"), Kind.UPSTREAM_AUTH),
        (402, said("Insufficient Balance"), Kind.QUOTA),
        (403, said("not in your country"), Kind.UPSTREAM_FORBIDDEN),
        (403, said("Your input was flagged by moderation"), Kind.POLICY),
        (403, said("You do not have access to the model"), Kind.UPSTREAM_MODEL),
        (404, said("no such model"), Kind.UPSTREAM_MODEL),
        (408, b"", Kind.UPSTREAM_ERROR),
        (409, b"", Kind.UPSTREAM_ERROR),
        (422, said("field required"), Kind.BAD_REQUEST),
        (429, said("slow", code="rate_limit_exceeded"), Kind.RATE_LIMIT),
        (429, said("You exceeded your current quota", code="insufficient_quota"), Kind.QUOTA),
        (429, said("engine overloaded", type="engine_overloaded_error"), Kind.OVERLOADED),
        (500, said("boom"), Kind.UPSTREAM_ERROR),
        (500, said("The server is overloaded"), Kind.OVERLOADED),
        (502, b"<html>Bad gateway</html>", Kind.UPSTREAM_ERROR),
        (503, b"", Kind.OVERLOADED),
        (524, b"<html>", Kind.FIRST_BYTE_TIMEOUT),
        (529, said("overloaded"), Kind.OVERLOADED),
        (418, said("teapot"), Kind.BAD_REQUEST),
        (403, said("insufficient balance"), Kind.QUOTA),
        (500, said("maximum context length exceeded"), Kind.CONTEXT_LENGTH),
    ],
)
@pytest.mark.covers("FB-141")
def test_an_error_has_a_kind(status: int, body: Any, kind: Kind) -> None:
    assert means(status, body).kind is kind


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (said("no", type="t", code="c"), "no", "c"),
        (said("no", code=400), "no", "400"),
        (said("no", code="400"), "no", "400"),
        ({"error": "no"}, "no", None),
        ({"message": "no", "object": "error"}, "no", None),
        ({"detail": "no"}, "no", None),
        ({"detail": [{"msg": "no", "loc": ["body"]}]}, "no", None),
        ([said("no", code=429, status="RESOURCE_EXHAUSTED")], "no", "429"),
        (
            said("Provider returned error", metadata={"raw": "no such thing"}),
            "Provider returned error: no such thing",
            None,
        ),
        (said("no", param=["a"]), "no", None),
        (said("no", type={"odd": 1}), "no", None),
        ({"error": {"message": 5, "type": {}}}, "The provider answered with status 400 and no error message.", None),
        ({"error": {"message": {"field": "bad"}}}, '{"field":"bad"}', None),
        (b"plain words", "plain words", None),
        (
            b"<html><b>502</b></html>",
            "The provider answered with status 400 with a web page and no error message.",
            None,
        ),
        (b"", "The provider answered with status 400 and no error message.", None),
        ([], "The provider answered with status 400 and no error message.", None),
        ({"error": []}, "The provider answered with status 400 and no error message.", None),
        (b"{broken", "The provider answered with status 400 and no error message.", None),
    ],
)
@pytest.mark.covers("PF-77", "PF-24", "FB-112")
def test_the_servers_words_are_found_wherever_they_are(body: Any, message: str, code: str | None) -> None:
    error = means(400, body)
    assert (error.message, error.code) == (message, code)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "20"}, said("x"), 20),
        ({"retry-after": "1.5"}, said("x"), 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, said("x"), 0.25),
        ({"date": "Fri, 20 Nov 2026 12:00:00 GMT", "retry-after": "Fri, 20 Nov 2026 12:00:30 GMT"}, said("x"), 30),
        ({}, said("Please try again in 1.5s."), 1.5),
        ({}, [said("x", details=[{"@type": "t", "retryDelay": "6s"}])], 6),
        ({}, said("x"), None),
    ],
)
@pytest.mark.covers("PF-19")
def test_the_wait_is_read_from_headers_and_words(headers: dict[str, str], body: Any, seconds: float | None) -> None:
    assert means(429, body, headers).retry_after == seconds


def told(error: MuxError) -> Any:
    return json.loads(TRANSLATOR.encode_error(error, "req_1"))["error"]


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_the_clients_shape(kind: Kind) -> None:
    body = told(MuxError(kind, "What happened."))
    assert set(body) == {"message", "type", "param", "code"}
    assert (body["message"] and body["type"] and body["code"]) or kind is Kind.BAD_REQUEST


@pytest.mark.parametrize(
    ("kind", "status", "sdk"),
    [
        (Kind.BAD_REQUEST, 400, openai.BadRequestError),
        (Kind.CLIENT_AUTH, 401, openai.AuthenticationError),
        (Kind.FORBIDDEN, 403, openai.PermissionDeniedError),
        (Kind.MODEL_NOT_FOUND, 404, openai.NotFoundError),
        (Kind.LIMITED, 429, openai.RateLimitError),
        (Kind.OVERLOADED, 503, openai.InternalServerError),
        (Kind.UPSTREAM_AUTH, 502, openai.InternalServerError),
    ],
)
def test_the_sdk_raises_the_right_exception(kind: Kind, status: int, sdk: type[openai.APIStatusError]) -> None:
    error = MuxError(kind, "What happened.", param="x")
    assert TRANSLATOR.error_status(error) == status
    answer = chat.client(TRANSLATOR.encode_error(error, "req_1"), status=status)
    with pytest.raises(sdk) as caught:
        answer.chat.completions.create(model="m", messages=[])
    assert isinstance(caught.value.body, dict) and caught.value.body["code"] == told(error)["code"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Kind.LIMITED, "budget_exceeded"),
        (Kind.FORBIDDEN, "price_unknown"),
        (Kind.NO_TARGET, "keys_unavailable"),
    ],
)
def test_why_the_daemon_refuses_is_told_by_the_code(kind: Kind, code: str) -> None:
    assert told(MuxError(kind, "What happened.", code=code))["code"] == code


@pytest.mark.covers("RC-11", "PF-56")
def test_a_servers_own_error_reaches_its_client_verbatim() -> None:
    inner = b'{"message":"odd","type":"t","code":"c","misalignment":{"n":1e5}}'
    error = TRANSLATOR.decode_error(400, {}, b'{"error":' + inner + b',"extra":1}')
    body = TRANSLATOR.encode_error(error, "")
    assert body.startswith(b'{"error":' + inner + b",")
    assert json.loads(body)["detail"] == "odd"


@pytest.mark.parametrize("body", [{"error": "text"}, [said("listed")], {"message": "bare"}, b"<html>"])
@pytest.mark.covers("FB-3B")
def test_an_error_that_chat_clients_cannot_read_is_put_into_their_shape(body: Any) -> None:
    assert set(told(means(400, body))) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("status", [401, 403])
def test_our_own_credentials_are_never_talked_about(status: int) -> None:
    error = means(status, said("Incorrect API key provided: sk-secret. org-123"))
    body = TRANSLATOR.encode_error(error, "")
    assert b"sk-secret" not in body and b"org-123" not in body
    assert TRANSLATOR.error_status(error) == 502


@pytest.mark.covers("RC-11")
def test_overflow_has_the_code_that_agents_look_for() -> None:
    words = "prompt is too long: 210000 tokens > 200000 maximum"
    body = told(MuxError(Kind.CONTEXT_LENGTH, words, owner="anthropic", upstream=b"{}"))
    assert (body["code"], body["message"]) == ("context_length_exceeded", words)


@pytest.mark.covers("RC-11")
def test_a_bad_client_key_has_the_words_that_litellm_looks_for() -> None:
    assert told(MuxError(Kind.CLIENT_AUTH, "This key is unknown."))["message"].startswith("Incorrect API key provided")
    assert told(MuxError(Kind.MODEL_NOT_FOUND, "x"))["code"] == "model_not_found"
