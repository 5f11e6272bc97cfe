"""Traces and reports of errors, received by stand-ins for a collector and for Sentry."""

import gzip
import json
import pathlib
import subprocess
import sys
from typing import Any

import aiohttp
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from llm_mux import log
from llm_mux.server.serving import DAEMON
from tests.daemon import Daemon, daemon
from tests.fake_upstream import FakeUpstream, Reply, Request, json_reply
from tests.server.test_costs import ANSWER, CHAT
from tests.server.test_health import get

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def spans(request: Request) -> list[tuple[Any, dict[str, Any]]]:
    """Each span of an OTLP request with its attributes as plain values."""
    assert request.headers["Content-Type"] == "application/x-protobuf"
    found = ExportTraceServiceRequest.FromString(request.body)
    return [
        (span, plain(span.attributes))
        for resource in found.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def setup(upstream: FakeUpstream, **telemetry: Any) -> dict[str, Any]:
    provider = {
        "type": "openai",
        "id": "work",
        "base-url": f"{upstream.url}/v1",
        "api-key": "sk-1",
        "models": ["gpt-5"],
    }
    return {"providers": [provider], "telemetry": telemetry, "environment": "test", "request-retry": 0}


async def chat(running: Daemon, **headers: str) -> int:
    async with aiohttp.ClientSession(running.url) as client:
        async with client.post("/v1/chat/completions", json={**CHAT, "model": "gpt-5"}, headers=headers) as answer:
            await answer.read()
            return answer.status


async def test_a_collector_gets_a_span_for_each_exchange(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", json_reply(ANSWER), json_reply({"error": {"message": "no"}}, status=400))
        upstream.on("/v1/traces", Reply(b""))
        env = {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=blue%20one,Authorization=Bearer t"}
        async with daemon(tmp_path, setup(upstream, **{"otlp-endpoint": upstream.url}), env) as running:
            await chat(running, traceparent=PARENT)
            await chat(running, traceparent="nonsense")
            await running.app[DAEMON].parts.traces.flush()
            told = (await get(running, "/health/monitoring"))["otlp"]
        sent = [request for request in upstream.requests if request.path == "/v1/traces"]
    (good, attributes), (bad, others) = [each for request in sent for each in spans(request)]
    assert (good.name, good.trace_id.hex(), good.parent_span_id.hex()) == ("chat gpt-5", PARENT[3:35], PARENT[36:52])
    assert good.end_time_unix_nano > good.start_time_unix_nano
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.response.model": "gpt-5",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.cache_read.input_tokens": 400,
        "gen_ai.usage.output_tokens": 200,
        "gen_ai.usage.cost": 0.0028,
        "server.address": "127.0.0.1",
        "http.response.status_code": 200,
        "llm_mux.account": "config",
    }.items() <= attributes.items()
    assert [each.string_value for each in attributes["gen_ai.response.finish_reasons"].values] == ["stop"]
    assert (others["error.type"], bad.status.code, bad.parent_span_id) == ("bad_request", 2, b"")
    assert "hi" not in str(sent[0].body)
    resource = plain(ExportTraceServiceRequest.FromString(sent[0].body).resource_spans[0].resource.attributes)
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("llm-mux", "test")
    assert (sent[0].headers["x-team"], sent[0].headers["Authorization"]) == ("blue one", "Bearer t")
    assert (told["status"], told["spans_sent"], told["host"]) == ("healthy", 2, upstream.url)


async def test_langfuse_gets_the_same_with_its_keys(tmp_path: pathlib.Path) -> None:
    path = "/api/public/otel/v1/traces"
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", json_reply(ANSWER))
        upstream.on(path, Reply(b""))
        langfuse = {"host": upstream.url, "public-key": "pk-1", "secret-key": "env:LANGFUSE"}
        async with daemon(tmp_path, setup(upstream, langfuse=langfuse), {"LANGFUSE": "sk-lf-2"}) as running:
            await chat(running)
            await running.app[DAEMON].parts.traces.flush()
            told = await get(running, "/health/monitoring")
        (request,) = [request for request in upstream.requests if request.path == path]
    assert len(spans(request)) == 1
    assert request.headers["Authorization"] == "Basic cGstMTpzay1sZi0y"
    assert told["langfuse"]["enabled"] is True
    assert "sk-lf-2" not in str(told)


async def test_a_collector_that_refuses_costs_its_spans_and_nothing_else(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", json_reply(ANSWER))
        upstream.on("/v1/traces", Reply(b"", status=401))
        async with daemon(tmp_path, setup(upstream, **{"otlp-endpoint": f"{upstream.url}/v1/traces"})) as running:
            assert await chat(running) == 200
            await running.app[DAEMON].parts.traces.flush()
            told = (await get(running, "/health/monitoring"))["otlp"]
    assert (told["status"], told["spans_dropped"], told["error"]) == ("unhealthy", 1, "HTTP 401")


async def test_everything_is_off_by_default(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", json_reply(ANSWER))
        async with daemon(tmp_path, setup(upstream)) as running:
            await chat(running)
            told = await get(running, "/health/monitoring")
            assert not running.app[DAEMON].parts.traces.on
    assert {name: each["enabled"] for name, each in told.items()} == {
        "prometheus": True,
        "otlp": False,
        "langfuse": False,
        "sentry": False,
    }


def events(request: Request) -> list[dict[str, Any]]:
    """The events of a Sentry envelope: a header line, then a header and a body for each item."""
    body = gzip.decompress(request.body) if request.headers.get("Content-Encoding") == "gzip" else request.body
    lines = body.splitlines()[1:]
    return [json.loads(item) for head, item in zip(lines[::2], lines[1::2], strict=True) if b'"event"' in head]


async def test_internal_errors_are_reported_without_what_they_were_about(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/api/7/envelope/", Reply(b"{}"))
        dsn = upstream.url.replace("http://", "http://public@") + "/7"
        async with daemon(tmp_path, setup(upstream, **{"sentry-dsn": dsn})) as running:
            sentry = running.app[DAEMON].parts.sentry
            assert sentry.becoming is not None
            await sentry.becoming
            assert sentry.error is None
            secret_local = "sk-this-is-a-secret-value"
            try:
                raise RuntimeError(f"broken with {secret_local}")
            except RuntimeError:
                log.logger.exception("request.broken", request="r")
            told = (await get(running, "/health/monitoring"))["sentry"]
            await upstream.asked("/api/7/envelope/")
        found = [each for request in upstream.requests if "envelope" in request.path for each in events(request)]
    (event,) = found
    assert (event["transaction"], event["environment"]) == ("request.broken", "test")
    exception = event["exception"]["values"][0]
    assert (exception["type"], exception["value"]) == ("RuntimeError", "broken with ***")
    assert "sk-this-is" not in str(event)
    assert (told["status"], told["reported"]) == ("healthy", 1)
    assert log.watchers == []


@pytest.mark.parametrize("module", ["opentelemetry", "sentry_sdk", "google.protobuf"])
def test_nothing_of_it_is_loaded_unless_it_is_on(module: str) -> None:
    code = f"import sys, llm_mux.server.app; print({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
