"""Clients of the LLM gateway with accounts and billing (document 004), unchanged."""

from __future__ import annotations

import asyncio
import json
import pathlib
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from llm_mux.auth.jwt import sign
from llm_mux.config import parse
from tests.daemon import config_text, daemon
from tests.fake_upstream import FakeUpstream, json_reply, sse_reply
from tests.standins.scripted import CHUNKS, Mux

meets = pytest.mark.stands_in
SECRET = "a-secret-of-at-least-thirty-two-bytes!"
CHAT = "/v1/chat/completions"
ANSWER = {
    "id": "chatcmpl-1234567890abcdef",
    "object": "chat.completion",
    "created": 1677652288,
    "model": "gpt-3.5-turbo",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Привет! У меня все хорошо."}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 15, "completion_tokens": 12, "total_tokens": 27},
}
BODY = {
    "model": "gpt-3.5-turbo",
    "messages": [
        {"role": "system", "content": "Ты полезный ассистент."},
        {"role": "user", "content": "Привет, как дела?"},
    ],
    "stream": False,
    "max_tokens": 1000,
    "temperature": 0.7,
    "top_p": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
}
PRICES = {"openai/gpt-3.5-turbo": {"input": "1", "output": "2"}}


def config(upstream: FakeUpstream) -> dict[str, Any]:
    provider = {
        "type": "openai",
        "base-url": f"{upstream.url}/v1",
        "api-key": "sk",
        "models": ["gpt-3.5-turbo", "gpt-4"],
    }
    return {
        "providers": [provider],
        "request-retry": 0,
        "models-format": "list",
        "auth": {"jwt": {"secret": SECRET}},
        "disable-auth": False,
        "billing": {"enabled": True, "initial-balance": "100"},
        "rate-limits": {"requests-per-minute": 60, "global": {"requests-per-hour": 1000}},
        "environment": "production",
    }


def token(user: str = "user123") -> str:
    settings = parse(config_text({"auth": {"jwt": {"secret": SECRET}}}), None, {}).config.auth.jwt
    return f"Bearer {sign(settings, SECRET, user, now=time.time(), minutes=30)}"


@pytest.fixture
async def gateway(tmp_path: pathlib.Path, session: aiohttp.ClientSession) -> AsyncIterator[Mux]:
    async with (
        FakeUpstream().on(f"{CHAT}", json_reply(ANSWER)) as upstream,
        daemon(tmp_path, config(upstream)) as running,
    ):
        yield Mux(running.url, upstream, session)


@meets("004-chat", "004-jwt")
async def test_a_chat_with_all_its_parameters_is_answered(gateway: Mux) -> None:
    answer = await gateway.post(CHAT, BODY, Authorization=token())
    found = answer.json()
    assert {name: found[name] for name in ANSWER} == ANSWER
    sent = gateway.upstream.last.json()
    assert {name: sent[name] for name in ("temperature", "top_p", "frequency_penalty", "presence_penalty")} == {
        "temperature": 0.7,
        "top_p": 1.0,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
    }


@meets("004-jwt", "004-errors", "004-statuses")
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}]
)
async def test_without_a_good_token_nothing_is_answered(gateway: Mux, headers: dict[str, str]) -> None:
    answer = await gateway.post(CHAT, BODY, **headers)
    body = answer.json()
    assert answer.status == 401
    assert (body["code"], body["error_type"]) == (401, "authentication_error")
    assert body["detail"]


@meets("004-jwt-life")
async def test_a_token_ends_when_it_says(gateway: Mux) -> None:
    settings = parse(config_text({"auth": {"jwt": {"secret": SECRET}}}), None, {}).config.auth.jwt
    old = sign(settings, SECRET, "user123", now=time.time() - 7200, minutes=30)
    assert (await gateway.get("/v1/models", Authorization=f"Bearer {old}")).status == 401


@meets("004-chat-stream", "004-stream-type")
async def test_the_streaming_route_streams_whatever_the_body_says(gateway: Mux) -> None:
    gateway.upstream.on(CHAT, sse_reply(*CHUNKS))
    answer = await gateway.post(f"{CHAT}/stream", {**BODY, "stream": False}, Authorization=token())
    deltas = [json.loads(record)["choices"][0]["delta"].get("content") for record in answer.records[:-1]]
    assert "".join(delta for delta in deltas if delta) == "Once upon"
    assert answer.records[-1] == "[DONE]"


@meets("004-models")
async def test_models_are_a_bare_array(gateway: Mux) -> None:
    models = (await gateway.get("/v1/models", Authorization=token())).json()
    assert [model["id"] for model in models] == ["gpt-3.5-turbo", "gpt-4"]
    first = models[0]
    assert (first["object"], first["root"], first["parent"]) == ("model", "gpt-3.5-turbo", None)
    assert isinstance(first["created"], int)
    assert first["owned_by"]
    permission = first["permission"][0]
    assert permission["object"] == "model_permission"
    for name in ("allow_sampling", "allow_view", "allow_fine_tuning", "organization", "is_blocking"):
        assert name in permission


@meets("004-balance", "004-transactions")
async def test_what_a_chat_costs_is_taken_from_the_balance(gateway: Mux) -> None:
    assert (await gateway.get("/billing/balance", Authorization=token())).json() == {
        "user_id": "user123",
        "balance": 100,
    }
    await gateway.post(CHAT, BODY, Authorization=token())
    async with asyncio.timeout(10):
        # Accounts are settled right behind the answer, together with those of the same moment.
        while (balance := (await gateway.get("/billing/balance", Authorization=token())).json())["balance"] == 100:
            pass
    assert balance["user_id"] == "user123"
    assert 99 < balance["balance"] < 100
    page = (await gateway.get("/billing/transactions?limit=5&offset=0", Authorization=token())).json()
    assert (page["user_id"], page["limit"], page["offset"], page["total"]) == ("user123", 5, 0, 2)
    spent, given = page["transactions"]
    assert spent["amount"] < 0
    assert spent["balance_after"] == balance["balance"]
    assert "gpt-3.5-turbo" in spent["description"]
    assert given["amount"] == 100
    for one in page["transactions"]:
        assert {"id", "user_id", "amount", "description", "timestamp", "balance_after"} <= one.keys()
    assert (await gateway.get("/billing/transactions?limit=-1", Authorization=token())).status == 400


@meets("004-health")
async def test_health_has_every_field(gateway: Mux) -> None:
    body = (await gateway.get("/health")).json()
    assert body["status"] == "healthy"
    assert body["environment"] == "production"
    assert {"timestamp", "version", "components"} <= body.keys()
    assert body["components"]["database"] == "healthy"
    assert body["components"]["llm_services"] == "healthy"
    assert body["rate_limit_storage"] in ("memory", "redis")
    assert (body["retry_enabled"], body["circuit_breaker_enabled"]) == (False, True)


@meets("004-health-detailed")
async def test_every_component_says_how_it_is(gateway: Mux) -> None:
    body = (await gateway.get("/health/detailed")).json()
    for component in body["components"].values():
        assert component["status"] == "healthy"
        assert component["message"]
        assert isinstance(component["details"], dict)
        assert component["duration_ms"] >= 0


@meets("004-circuit-breakers")
async def test_breakers_say_their_state_and_their_rules(gateway: Mux) -> None:
    body = (await gateway.get("/health/circuit-breakers")).json()
    breaker = next(iter(body["circuit_breakers"].values()))
    assert breaker["state"] == "closed"
    assert {"failure_count", "last_failure_time", "failure_threshold", "recovery_timeout"} <= breaker.keys()
    assert {"enabled", "max_attempts", "base_delay", "max_delay", "exponential_base", "jitter"} <= body[
        "retry_config"
    ].keys()
    assert {"enabled", "failure_threshold", "recovery_timeout"} <= body["circuit_breaker_config"].keys()


@meets("004-monitoring")
async def test_monitoring_says_what_is_on(gateway: Mux) -> None:
    body = (await gateway.get("/health/monitoring")).json()
    assert body["prometheus"] == {"status": "healthy", "enabled": True}
    for name in ("langfuse", "sentry"):
        assert body[name]["enabled"] is False


@meets("004-system")
async def test_the_system_is_measured(gateway: Mux) -> None:
    body = (await gateway.get("/health/system")).json()
    assert {"status", "message", "timestamp", "duration_ms"} <= body.keys()
    for name in ("cpu_usage_percent", "memory_usage_percent", "disk_usage_percent", "network_connections"):
        assert body["details"][name] >= 0


@meets("004-history")
async def test_past_checks_are_kept(gateway: Mux) -> None:
    await gateway.get("/health/detailed")
    body = (await gateway.get("/health/history")).json()
    assert body["total_checks"] >= 1
    assert {"name", "status", "message", "timestamp", "duration_ms"} <= body["history"][0].keys()


@meets("004-ready")
async def test_readiness_has_its_checks(gateway: Mux) -> None:
    answer = await gateway.get("/ready")
    body = answer.json()
    assert answer.status == 200
    assert body["ready"] is True
    assert body["checks"]["database"] is True
    assert body["checks"]["llm_services"] is True


@meets("004-metrics")
async def test_the_named_series_are_there_with_true_values(gateway: Mux) -> None:
    await gateway.post(CHAT, BODY, Authorization=token())
    families = {family.name: family for family in text_string_to_metric_families((await gateway.get("/metrics")).text)}
    counted = {
        (s.labels["model"], s.labels["status"]): s.value
        for s in families["llm_requests"].samples
        if s.name == "llm_requests_total"
    }
    assert counted["gpt-3.5-turbo", "success"] == 1
    assert any(
        sample.name == "llm_requests_duration_seconds_bucket"
        for sample in families["llm_requests_duration_seconds"].samples
    )
    assert {sample.labels["user_id"] for sample in families["user_balance"].samples} == {"user123"}
    assert "rate_limit_requests" in families


@meets("004-rate-limit", "004-rate-headers", "004-errors", "004-statuses")
async def test_the_sixty_first_request_of_a_minute_waits(gateway: Mux) -> None:
    first = await gateway.post(CHAT, BODY, Authorization=token())
    assert first.headers["X-RateLimit-Limit"] == "60"
    assert first.headers["X-RateLimit-Remaining"] == "59"
    assert int(first.headers["X-RateLimit-Reset"]) > 0
    for _ in range(59):
        await gateway.post(CHAT, BODY, Authorization=token())
    refused = await gateway.post(CHAT, BODY, Authorization=token())
    assert refused.status == 429
    assert int(refused.headers["Retry-After"]) > 0
    body = refused.json()
    assert (body["code"], body["error_type"]) == (429, "rate_limit_error")
    assert (await gateway.post(CHAT, BODY, Authorization=token("another"))).status == 200


@meets("004-statuses")
async def test_a_provider_that_is_down_is_a_503_with_its_type(gateway: Mux) -> None:
    gateway.upstream.on(CHAT, json_reply({"error": {"message": "overloaded"}}, 503))
    body = (await gateway.post(CHAT, BODY, Authorization=token())).json()
    assert (body["code"], body["error_type"]) == (503, "service_error")


@meets("004-python")
async def test_the_example_in_python(gateway: Mux) -> None:
    headers = {"Authorization": token(), "Content-Type": "application/json"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers) as client:
        models = (await client.get("/v1/models")).json()
        assert [m["id"] for m in models]
        data = {
            "model": "gpt-3.5-turbo",
            "messages": [{"role": "user", "content": "Расскажи о Python"}],
            "stream": False,
        }
        response = await client.post(CHAT, json=data)
        assert response.status_code == 200
        assert response.json()["choices"][0]["message"]["content"]


@meets("004-javascript", "004-curl", "004-go")
@pytest.mark.parametrize("fields", [("message", "content"), ("message", "role")])
async def test_the_other_examples_read_what_they_look_for(gateway: Mux, fields: tuple[str, str]) -> None:
    found = (
        await gateway.post(CHAT, {**BODY, "messages": [{"role": "user", "content": "Привет!"}]}, Authorization=token())
    ).json()
    assert found["choices"][0][fields[0]][fields[1]]
    assert found["usage"]["total_tokens"] == 27
    assert (await gateway.get("/billing/balance", Authorization=token())).status == 200
    assert (await gateway.get("/health")).status == 200
    failed = (await gateway.post(CHAT, {"model": "nobody", "messages": []}, Authorization=token())).json()
    assert isinstance(failed["detail"], str)
