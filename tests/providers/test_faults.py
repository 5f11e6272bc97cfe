"""What vendors' own error answers mean, read by the translator and refined by the provider."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from llm_mux.errors import Kind, MuxError
from llm_mux.providers import registry
from llm_mux.providers.faults import Fault, table
from llm_mux.translators import registry as translators


@dataclass(frozen=True)
class Case:
    provider: str
    status: int
    body: str
    kind: Kind
    translator: str = "openai_chat"


CASES = [
    Case("openai", 401, '{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}', Kind.UPSTREAM_AUTH),
    Case("openai", 429, '{"error":{"message":"quota","code":"insufficient_quota"}}', Kind.QUOTA),
    Case(
        "anthropic",
        400,
        '{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access"}}',
        Kind.QUOTA,
        "anthropic",
    ),
    Case(
        "anthropic",
        400,
        '{"type":"error","error":{"type":"invalid_request_error","message":"messages: field required"}}',
        Kind.BAD_REQUEST,
        "anthropic",
    ),
    Case(
        "gemini",
        400,
        '{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT",'
        '"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}',
        Kind.UPSTREAM_AUTH,
        "gemini",
    ),
    Case(
        "gemini",
        400,
        '{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}',
        Kind.UPSTREAM_FORBIDDEN,
        "gemini",
    ),
    Case("deepseek", 402, '{"error":{"message":"Insufficient Balance","type":"unknown_error"}}', Kind.QUOTA),
    Case("openrouter", 402, '{"error":{"code":402,"message":"This request requires more credits"}}', Kind.QUOTA),
    Case("openrouter", 403, '{"error":{"code":403,"message":"Your input was flagged"}}', Kind.POLICY),
    Case("openrouter", 403, '{"error":{"code":403,"message":"Key limit exceeded (daily)"}}', Kind.QUOTA),
    Case("xai", 400, '{"code":"invalid-argument","error":"Incorrect API key provided: xa***"}', Kind.UPSTREAM_AUTH),
    Case("xai", 403, '{"code":"bad-credentials","error":"Bad credentials"}', Kind.UPSTREAM_AUTH),
    Case("xai", 403, '{"code":"permission-denied","error":"Your team has used all available credits"}', Kind.QUOTA),
    Case(
        "groq", 413, '{"error":{"message":"Request too large for model `m` on TPM: Limit 6000"}}', Kind.CONTEXT_LENGTH
    ),
    Case(
        "github-models",
        413,
        '{"error":{"code":"tokens_limit_reached","message":"Request body too large for gpt-4o. Max size: 8000 tokens."}}',
        Kind.CONTEXT_LENGTH,
    ),
    Case(
        "github-models",
        429,
        '{"error":{"code":"RateLimitReached","message":"Rate limit of 50 per 86400s exceeded for UserByModelByDay."}}',
        Kind.QUOTA,
    ),
    Case("zai", 429, '{"error":{"code":"1113","message":"Insufficient balance"}}', Kind.QUOTA),
    Case("zai", 429, '{"error":{"code":"1302","message":"High concurrency"}}', Kind.RATE_LIMIT),
    Case("moonshot", 429, '{"error":{"type":"engine_overloaded_error","message":"overloaded"}}', Kind.OVERLOADED),
    Case("moonshot", 429, '{"error":{"type":"exceeded_current_quota_error","message":"suspended"}}', Kind.QUOTA),
    Case("dashscope", 400, '{"error":{"code":"Arrearage","message":"Access denied"}}', Kind.QUOTA),
    Case("dashscope", 400, '{"error":{"code":"DataInspectionFailed","message":"inappropriate"}}', Kind.POLICY),
    Case("minimax", 500, '{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}', Kind.QUOTA),
    Case("azure", 404, '{"error":{"code":"DeploymentNotFound","message":"no"}}', Kind.UPSTREAM_MODEL),
    Case("huggingface", 402, '{"error":"You have exceeded your monthly included credits"}', Kind.QUOTA),
    Case("mistral", 422, '{"detail":[{"type":"extra_forbidden","loc":["body","n"],"msg":"x"}]}', Kind.BAD_REQUEST),
    Case("lmstudio", 400, '{"error":"No models loaded."}', Kind.BAD_REQUEST),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.provider}-{case.status}-{case.kind.value}")
def test_a_vendors_signal_is_understood(case: Case) -> None:
    body = case.body.encode()
    error = translators.get(case.translator).decode_error(case.status, {}, body)
    refined = registry.get(case.provider).refined(error, {})
    assert refined.kind is case.kind
    assert (refined.status, refined.upstream, refined.message) == (case.status, body, error.message)


def test_the_first_fault_that_fits_decides_in_any_letter_case() -> None:
    classify = table(Fault(403, "CREDITS", Kind.QUOTA), Fault(403, "", Kind.UPSTREAM_FORBIDDEN))
    said = MuxError(Kind.UPSTREAM_ERROR, "x", status=403, upstream=b"Your Credits are gone")
    assert classify(said, {}).kind is Kind.QUOTA
    assert classify(MuxError(Kind.UPSTREAM_ERROR, "x", status=403), {}).kind is Kind.UPSTREAM_FORBIDDEN
    assert classify(MuxError(Kind.UPSTREAM_ERROR, "x", status=500), {}).kind is Kind.UPSTREAM_ERROR
