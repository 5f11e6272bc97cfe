"""Why a request goes where it goes, and which accounts rest: the management routes over real HTTP."""

import asyncio
import contextlib
import pathlib
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from llm_mux import paths
from llm_mux.auth.keys import create_management_key
from llm_mux.auth.scopes import Scopes
from llm_mux.auth.store import open_store
from llm_mux.server.serving import DAEMON
from tests.daemon import Daemon, clean_environment, daemon
from tests.fake_upstream import FakeUpstream, json_reply

EXPLAIN, COOLDOWNS = "/v0/management/routes/explain", "/v0/management/cooldowns"
CHAT = {"model": "big", "messages": [{"role": "user", "content": "hi"}]}
SLOW_DOWN = json_reply({"error": {"message": "slow down", "type": "rate_limit_error"}}, 429, retry_after="600")


def configured(upstream: FakeUpstream, **more: object) -> dict[str, object]:
    def provider(id: str, model: str, **own: object) -> dict[str, object]:
        base = {"id": id, "type": "openai-compatible", "base-url": f"{upstream.url}/v1", "models": [model]}
        return {**base, **own}

    keys = [{"key": "sk-first-secret", "label": "one"}, {"key": "sk-second-secret", "label": "two", "priority": -1}]
    providers = [provider("a", "big", **{"api-keys": keys}), provider("b", "small", **{"api-key": "sk-third-secret"})]
    return {"providers": providers, "fallbacks": {"big": ["small", "nobody://x"]}, **more}


@contextlib.asynccontextmanager
async def managed(home: pathlib.Path, config: dict[str, object]) -> AsyncIterator[tuple[Daemon, str]]:
    environment = clean_environment(home)
    key = create_management_key(open_store(env=environment, data_dir=paths.data_dir(environment)))
    async with daemon(home, config) as running:
        yield running, key


async def call(running: Daemon, key: str, path: str, method: str = "GET", /, **query: str) -> tuple[int, Any]:
    headers = {"X-Management-Key": key} if key else {}
    async with aiohttp.ClientSession() as client:
        async with client.request(method, running.url + path, params=query, headers=headers) as answer:
            return answer.status, msgspec.json.decode(await answer.read())


async def ask(running: Daemon, **more: object) -> int:
    async with aiohttp.ClientSession() as client:
        async with client.post(f"{running.url}/v1/chat/completions", json={**CHAT, **more}) as answer:
            return answer.status


async def test_the_targets_of_a_model_and_its_fallbacks_in_their_order_with_reasons(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream, managed(tmp_path, configured(upstream)) as (running, key):
        status, found = await call(running, key, EXPLAIN, model="big")
        assert status == 200
        rows = [(t["order"], t["account"], t["name"], t["why"]) for t in found["targets"]]
        assert rows == [
            (1, "one", "big", "sticky, priority 0"),
            (2, "two", "big", "sticky, priority -1"),
            (3, "config", "small", "sticky, priority 0"),
        ]
        assert [each["name"] for each in found["chain"]] == ["big", "small", "nobody://x"]
        assert "no provider `nobody`" in found["chain"][2]["problem"]


async def test_with_a_clients_key_only_what_it_reaches_is_shown(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream, managed(tmp_path, configured(upstream)) as (running, key):
        table = running.app[DAEMON].parts.key_book.table
        for name, scopes in (
            ("second", Scopes(accounts=("two",))),
            ("elsewhere", Scopes(providers=("b",))),
            ("all", Scopes()),
        ):
            made, _ = await table.create(name, now=time.time(), scopes=scopes)

        async def accounts(named: str) -> list[str]:
            status, found = await call(running, key, EXPLAIN, model="big", key=named)
            assert status == 200, found
            return [f"{t['provider']}/{t['account']}" for t in found["targets"]]

        assert await accounts("second") == ["a/two"]
        assert await accounts("all") == await accounts(made.id) == ["a/one", "a/two", "b/config"]
        status, found = await call(running, key, EXPLAIN, model="big", key="elsewhere")
        assert (status, found["error"]["code"]) == (403, "model_not_allowed")
        status, found = await call(running, key, EXPLAIN, model="big", key="nobody")
        assert (status, "There is no key `nobody`" in found["error"]["message"]) == (404, True)


@pytest.mark.covers("OP-11")
async def test_what_is_passed_over_says_why_and_is_the_same_that_requests_pass_over(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream, managed(tmp_path, configured(upstream)) as (running, key):
        upstream.on("/v1/chat/completions", SLOW_DOWN)
        assert await ask(running) == 429
        _, found = await call(running, key, EXPLAIN, model="big")
        assert [t.get("order") for t in found["targets"]] == [None, None, None]
        assert {t["why"] for t in found["targets"]} == {"resting (rate_limit)"}
        assert all(290 < t["back_in_s"] <= 300 for t in found["targets"]), "a long rest is tried after five minutes"


async def test_rests_are_listed_and_cleared_by_account_by_model_and_all(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream, managed(tmp_path, configured(upstream)) as (running, key):
        upstream.on("/v1/chat/completions", SLOW_DOWN)
        assert await call(running, key, COOLDOWNS) == (200, {"cooldowns": []})
        await ask(running)
        _, found = await call(running, key, COOLDOWNS)
        assert {each["account"] for each in found["cooldowns"]} == {"a/one", "a/two", "b/config"}
        first = found["cooldowns"][0]
        assert (first["model"], first["state"], first["reason"]) == ("big", "open", "rate_limit")
        assert 590 < first["seconds_left"] <= 600
        assert await call(running, key, COOLDOWNS, "DELETE", account="a/one") == (200, {"cleared": ["a/one big"]})
        assert await call(running, key, COOLDOWNS, "DELETE", model="small") == (200, {"cleared": ["b/config small"]})
        upstream.on("/v1/chat/completions", json_reply({"error": {"message": "bad"}}, 400))
        assert await ask(running) == 400, "it is asked again"
        assert await call(running, key, COOLDOWNS, "DELETE") == (200, {"cleared": ["a/two big"]})


@pytest.mark.covers("OP-1")
async def test_clearing_by_hand_lets_those_go_on_who_wait(tmp_path: pathlib.Path) -> None:
    patient = {"max-retry-interval": 3600}
    async with FakeUpstream() as upstream, managed(tmp_path, configured(upstream, **patient)) as (running, key):
        upstream.on("/v1/chat/completions", SLOW_DOWN)
        asking = asyncio.ensure_future(ask(running))
        async with asyncio.timeout(5):
            while not len(running.app[DAEMON].gateway.waiting):
                await asyncio.sleep(0.01)
        upstream.on("/v1/chat/completions", json_reply({"error": {"message": "bad"}}, 400))
        await call(running, key, COOLDOWNS, "DELETE")
        async with asyncio.timeout(5):
            assert await asking == 400


async def test_rests_outlast_a_restart_but_not_another_key(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", SLOW_DOWN)
        config = configured(upstream)
        async with managed(tmp_path, config) as (running, _):
            await ask(running)
        kept = (tmp_path / "state" / "cooldowns.json").read_text()
        assert "secret" not in kept
        config["providers"][0]["api-keys"][0]["key"] = "sk-another-secret"  # type: ignore[index]
        async with managed(tmp_path, config) as (running, key):
            _, found = await call(running, key, COOLDOWNS)
            assert {each["account"]: each["seconds_left"] > 500 for each in found["cooldowns"]} == {
                "a/two": True,
                "b/config": True,
            }


async def test_rests_are_on_the_disk_a_moment_after_they_began_whatever_ends_the_daemon(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream, managed(tmp_path, configured(upstream)) as (running, _):
        upstream.on("/v1/chat/completions", SLOW_DOWN)
        await ask(running)
        file = tmp_path / "state" / "cooldowns.json"
        async with asyncio.timeout(5):
            while not file.exists():
                await asyncio.sleep(0.05)
        kept = msgspec.json.decode(file.read_bytes())
        assert {(each["account"], each["scope"]) for each in kept} == {
            ("a/one", "big"),
            ("a/two", "big"),
            ("b/config", "small"),
        }
        assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [b"", b"{", b'[{"account": 1}]', b"\xff\xfe", b'[{"account":"a/one"}]'])
async def test_a_damaged_file_of_rests_keeps_nobody_from_starting(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "state").mkdir(parents=True)
    (tmp_path / "state" / "cooldowns.json").write_bytes(content)
    async with FakeUpstream() as upstream, managed(tmp_path, configured(upstream)) as (running, key):
        assert await call(running, key, COOLDOWNS) == (200, {"cooldowns": []})


@pytest.mark.parametrize(
    ("query", "status"),
    [({}, 400), ({"model": "none"}, 404), ({"model": "big", "size": "-1"}, 400), ({"model": "big", "size": "²"}, 400)],
)
async def test_bad_questions_are_answered_clearly(tmp_path: pathlib.Path, query: dict[str, str], status: int) -> None:
    async with FakeUpstream() as upstream, managed(tmp_path, configured(upstream)) as (running, key):
        assert (await call(running, key, EXPLAIN, **query))[0] == status
        assert (await call(running, key, COOLDOWNS, "DELETE", account="a/none"))[0] == 404
