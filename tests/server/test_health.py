"""What the daemon says of its health, with everything well and with something wrong."""

import asyncio
import hashlib
import pathlib
import sqlite3
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from llm_mux import __version__
from llm_mux.server.serving import DAEMON
from tests.daemon import Daemon, daemon
from tests.fake_upstream import FakeUpstream, json_reply
from tests.server.conftest import Run

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
PATHS = [
    "/health",
    "/health/detailed",
    "/health/circuit-breakers",
    "/health/monitoring",
    "/health/system",
    "/health/history",
    "/ready",
    "/metrics",
    "/metrics/running-totals",
    "/v1/providers",
    "/v1/mappings",
    "/v1/usage",
    "/v1/aliases",
    "/top-models",
    "/",
]


def _mark(name: str, key: bytes) -> str:
    return f"{name}:{hashlib.new(name, key).hexdigest()[:8]}"


async def get(running: Daemon, path: str, status: int = 200, **headers: str) -> Any:
    async with aiohttp.ClientSession(running.url) as client, client.get(path, headers=headers) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json() if "json" in answer.content_type else await answer.text()


async def test_a_daemon_with_a_provider_is_healthy_and_ready(demo: Run) -> None:
    async with demo() as running:
        told = await get(running, "/health")
        assert (told["status"], told["version"], told["environment"]) == ("healthy", __version__, "local")
        assert told["components"] == {"database": "healthy", "llm_services": "healthy"}
        assert (told["rate_limit_storage"], told["retry_enabled"]) == ("memory", True)
        assert told["providers"] == {"demo": "healthy"}
        assert "aws" not in told
        ready = await get(running, "/ready")
        assert (ready["ready"], ready["checks"]) == (True, {"database": True, "llm_services": True})


async def test_without_a_provider_it_is_unhealthy_and_not_ready(tmp_path: pathlib.Path) -> None:
    async with daemon(tmp_path, {}) as running:
        assert (await get(running, "/health"))["status"] == "unhealthy"
        assert (await get(running, "/ready", 503))["ready"] is False


async def test_details_are_measured_and_remembered(demo: Run) -> None:
    async with demo() as running:
        await running.app[DAEMON].parts.database.open()
        before = await get(running, "/health/history")
        told = await get(running, "/health/detailed")
        assert told["status"] == "healthy"
        database = told["components"]["database"]
        assert database["message"] == "Database connection successful"
        assert database["details"]["where"].startswith("SQLite at ")
        assert database["duration_ms"] > 0
        assert told["components"]["llm_services"]["details"] == {"demo": "healthy"}
        after = await get(running, "/health/history")
    assert (before, after["total_checks"]) == ({"history": [], "total_checks": 0}, 2)
    assert [check["name"] for check in after["history"]] == ["database", "llm_services"]


async def test_a_locked_database_is_told_and_stops_nobody(demo: Run) -> None:
    async with demo() as running:
        parts = running.app[DAEMON].parts
        await parts.database.open()
        file = parts.database.description.removeprefix("SQLite at ")
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        try:
            async with aiohttp.ClientSession(running.url) as client, asyncio.timeout(20):
                async with client.post("/v1/chat/completions", json=CHAT) as answer:
                    assert answer.status == 200
                assert not await parts.writer.catch_up()
            told = await get(running, "/health")
            assert (told["status"], told["components"]["database"]) == ("degraded", "degraded")
            assert (await get(running, "/ready"))["checks"] == {"database": False, "llm_services": True}
            details = (await get(running, "/health/detailed"))["components"]["database"]
            assert "locked" in details["message"]
            assert details["details"]["rows_in_spool"] == 1
        finally:
            other.close()


async def test_a_full_database_is_told_and_stops_nobody(demo: Run) -> None:
    async with demo() as running, aiohttp.ClientSession(running.url) as client:
        parts = running.app[DAEMON].parts
        await parts.database.open()
        await parts.database.run(lambda books: books.run("PRAGMA max_page_count = 1").fetchone())
        async with asyncio.timeout(60):
            while await parts.writer.catch_up():
                for _ in range(20):
                    async with client.post("/v1/chat/completions", json=CHAT) as answer:
                        assert answer.status == 200
        details = (await get(running, "/health/detailed"))["components"]["database"]
        assert (details["status"], details["message"]) == ("degraded", "database or disk is full")
        assert details["details"]["rows_in_spool"] > 0


async def test_a_refused_key_opens_the_breaker_of_its_account(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", json_reply({"error": {"message": "bad key sk-secret-1"}}, status=401))
        provider = {"type": "openai", "base-url": f"{upstream.url}/v1", "api-key": "sk-secret-1", "models": ["demo"]}
        async with daemon(tmp_path, {"providers": [provider]}) as running:
            closed = await get(running, "/health/circuit-breakers")
            async with aiohttp.ClientSession(running.url) as client:
                async with client.post("/v1/chat/completions", json=CHAT) as answer:
                    assert answer.status >= 400
            opened = await get(running, "/health/circuit-breakers")
            health = await get(running, "/health")
            everything = [await get(running, path, 503 if path == "/ready" else 200) for path in PATHS]
    assert closed["circuit_breakers"]["openai/config"]["state"] == "closed"
    assert opened["circuit_breakers"]["openai/config"]["state"] == "open"
    assert (health["status"], health["components"]["llm_services"]) == ("unhealthy", "unhealthy")
    assert "sk-secret-1" not in str(everything)


async def test_the_system_is_measured(demo: Run) -> None:
    async with demo() as running:
        told = await get(running, "/health/system")
    for name in ("cpu_usage_percent", "memory_usage_percent", "disk_usage_percent"):
        assert 0 <= told["details"][name] <= 100
    assert told["details"]["network_connections"] >= 1
    assert told["details"]["process_tasks"] >= 1
    assert told["details"]["process_memory_mb"] > 10


@pytest.mark.parametrize("asking", ["query", "header"])
async def test_the_report_in_yaml_tells_keys_apart_without_telling_them(tmp_path: pathlib.Path, asking: str) -> None:
    keys = [{"key": "sk-one"}, {"key": "sk-two"}]
    providers = [
        {"type": "openai", "api-key": "sk-one"},
        {"type": "anthropic", "id": "work", "base-url": "https://claude.example", "api-keys": keys},
    ]
    async with daemon(tmp_path, {"providers": providers, "default-provider": "work"}) as running:
        text = await (
            get(running, "/health?format=yaml") if asking == "query" else get(running, "/health", Accept="text/yaml")
        )
    told = yaml.safe_load(text)
    assert (told["status"], told["api_key_valid"], told["client_api_key_validation"]) == ("healthy", True, False)
    assert told["default_provider"] == "work"
    work = told["providers"]["work"]
    assert (work["api_format"], work["base_url"]) == ("anthropic", "https://claude.example")
    assert work["api_key_hash"][0] == told["providers"]["openai"]["api_key_hash"] == _mark("sha256", b"sk-one")
    assert len(set(work["api_key_hash"])) == 2
    assert "sk-" not in text


async def test_metrics_tell_of_accounts_the_books_and_the_event_loop(demo: Run) -> None:
    async with demo() as running:
        async with aiohttp.ClientSession(running.url) as client:
            async with client.post("/v1/chat/completions", json=CHAT) as answer:
                assert answer.status == 200
        parts = running.app[DAEMON].parts
        assert await parts.writer.catch_up()
        page = await get(running, "/metrics")
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert found["llm_accounts", ("provider", "demo"), ("state", "ready")] == 1
    assert found["llm_mux_ledger_rows_written_total",] == 1
    assert found["llm_mux_upstream_requests_total",] == 1
    assert found["llm_mux_upstream_connections_total",] == 1
    assert (found["llm_mux_ledger_rows_waiting",], found["llm_mux_ledger_rows_lost_total",]) == (0, 0)
    assert 0 <= found["llm_mux_event_loop_lag_seconds",] < 5


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", None])
async def test_a_redis_that_is_away_is_told_where_one_is_configured(demo: Run, url: str | None) -> None:
    config = {} if url is None else {"redis-url": url, "rate-limits": {"requests-per-minute": 100}}
    async with demo(config) as running:
        async with aiohttp.ClientSession(running.url) as client:
            async with client.post("/v1/chat/completions", json=CHAT) as answer:
                assert answer.status == 200
        told = await get(running, "/health")
    assert told["components"].get("redis") == (None if url is None else "degraded")
    assert told["rate_limit_storage"] == ("memory" if url is None else "redis")
