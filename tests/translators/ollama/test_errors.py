"""Errors of servers told apart, and errors in the client's shape."""

import json
from dataclasses import dataclass, field

import pytest

from llm_mux.errors import Kind, MuxError
from llm_mux.translators.ollama.translator import TRANSLATOR
from tests.translators.ollama.samples import events, failure, lines, said


@dataclass(frozen=True)
class Case:
    status: int
    message: str
    kind: Kind
    param: str | None = None
    retry_after: float | None = None
    headers: dict[str, str] = field(default_factory=dict)


@pytest.mark.covers("FB-141", "PF-19", "RC-8", "PF-117")
@pytest.mark.parametrize(
    "case",
    [
        Case(400, "invalid options: temperature", Kind.BAD_REQUEST),
        Case(400, '"gemma3:1b" does not support thinking', Kind.BAD_REQUEST, param="think"),
        Case(400, 'invalid think value: "x"', Kind.BAD_REQUEST, param="think"),
        Case(400, "registry.ollama.ai/library/x does not support tools", Kind.BAD_REQUEST),
        Case(400, "the input length exceeds the context length", Kind.CONTEXT_LENGTH),
        Case(401, "unauthorized", Kind.UPSTREAM_AUTH),
        Case(402, "no credit", Kind.QUOTA),
        Case(403, "this model requires a subscription, upgrade for access", Kind.QUOTA),
        Case(403, "not allowed", Kind.UPSTREAM_FORBIDDEN),
        Case(404, "model 'x' not found", Kind.UPSTREAM_MODEL),
        Case(413, "too big", Kind.TOO_LARGE),
        Case(429, "too many requests", Kind.RATE_LIMIT, retry_after=7, headers={"Retry-After": "7"}),
        Case(429, "you have reached your hourly usage limit", Kind.QUOTA),
        Case(429, "slow down, try again in 20 seconds", Kind.RATE_LIMIT, retry_after=20),
        Case(500, "model runner has unexpectedly stopped", Kind.UPSTREAM_ERROR),
        Case(502, "upstream", Kind.UPSTREAM_ERROR),
        Case(503, "server busy, please try again. maximum pending requests exceeded", Kind.OVERLOADED),
    ],
)
def test_a_refusal_is_told_by_status_and_words(case: Case) -> None:
    body = json.dumps({"error": case.message}).encode()
    error = TRANSLATOR.decode_error(case.status, case.headers, body)
    assert (error.kind, error.message, error.param) == (case.kind, case.message, case.param)
    assert (error.retry_after, error.status, error.owner, error.upstream) == (
        case.retry_after,
        case.status,
        "ollama",
        body,
    )
    assert (error.code == "unsupported_parameter") is (case.param is not None)


def test_a_retry_date_counts_from_the_servers_own_clock() -> None:
    dates = {"Retry-After": "Sun, 01 Mar 2026 09:30:30 GMT", "Date": "Sun, 01 Mar 2026 09:30:00 GMT"}
    assert TRANSLATOR.decode_error(429, dates, b'{"error":"slow"}').retry_after == 30


@pytest.mark.covers("PF-77", "PF-24", "FB-112")
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"in an object"}}', "in an object"),
        (b'{"message":"beside"}', "beside"),
        (b"plain words", "plain words"),
        (b"<html>502</html>", "The provider answered with status 500 with a web page and no error message."),
        (b"", "The provider answered with status 500 and no error message."),
        (b'{"error":7}', "The provider answered with status 500 and no error message."),
    ],
)
def test_a_message_is_found_in_any_shape(body: bytes, message: str) -> None:
    assert TRANSLATOR.decode_error(500, {}, body).message == message


@pytest.mark.covers("PF-121", "PF-23")
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("model runner has unexpectedly stopped", Kind.UPSTREAM_ERROR),
        ("server busy, please try again", Kind.OVERLOADED),
        ("unauthorized", Kind.UPSTREAM_AUTH),
        ("too many requests", Kind.RATE_LIMIT),
        ("prompt exceeds the available context size", Kind.CONTEXT_LENGTH),
    ],
)
def test_an_error_line_in_a_stream_fails_it(message: str, kind: Kind) -> None:
    error = failure(events(lines(said(content="x"), {"error": message}, said(content="y"))))
    assert (error.kind, error.message) == (kind, message)


@pytest.mark.covers("FB-3B", "PF-56", "FB-105")
def test_an_error_for_a_client_is_one_text() -> None:
    error = MuxError(Kind.RATE_LIMIT, "Slow down.", retry_after=3)
    assert TRANSLATOR.encode_error(error, "id") == b'{"error":"Slow down."}'
    assert TRANSLATOR.error_status(error) == 429


def test_a_servers_own_body_is_given_back_but_never_what_it_says_of_our_key() -> None:
    body = b'{"error": "model \'x\' not found", "more": 1}'
    assert json.loads(TRANSLATOR.encode_error(TRANSLATOR.decode_error(404, {}, body), "id")) == json.loads(body)
    foreign = MuxError(Kind.BAD_REQUEST, "No.", owner="anthropic", upstream=b'{"error":"inner"}')
    assert TRANSLATOR.encode_error(foreign, "id") == b'{"error":"No."}'
    odd = TRANSLATOR.decode_error(500, {}, b'{"error":{"message":"m"}}')
    assert TRANSLATOR.encode_error(odd, "id") == b'{"error":"m"}'
    ours = TRANSLATOR.decode_error(401, {}, b'{"error":"unauthorized","signin_url":"https://ollama.com/x"}')
    assert TRANSLATOR.encode_error(ours, "id") == b'{"error":"Provider refused its credentials."}'
    assert TRANSLATOR.error_status(ours) == 502
