"""Accounts, client keys, providers, models and the books over the management API."""

import asyncio
import json
import pathlib
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from llm_mux import log
from llm_mux.auth.client_keys import fixed_name
from llm_mux.auth.keys import add_key, disabled, find
from tests.fake_upstream import FakeUpstream, json_reply
from tests.server.management import Managed, managed

MODELS = {"object": "list", "data": [{"id": "m", "object": "model"}]}
KEY = "sk-plant-key-of-an-account-1"


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as made:
        made.on("*", json_reply(MODELS))
        yield made


def config(upstream: FakeUpstream, **more: Any) -> dict[str, Any]:
    entry = {"type": "openai-compatible", "id": "lab", "base-url": f"{upstream.url}/v1", **more}
    return {"providers": [entry], "aliases": {"quick": "lab://m", "lost": "nobody-has-it"}}


async def names(mux: Managed) -> dict[str, str]:
    return {each["name"]: each["state"] for each in (await mux.ask("GET", "/accounts"))["accounts"]}


async def test_a_key_becomes_an_account_at_once_and_is_never_shown(
    tmp_path: pathlib.Path, upstream: FakeUpstream
) -> None:
    async with managed(tmp_path, config(upstream)) as mux:
        made = await mux.ask("POST", "/accounts", json={"provider": "lab", "key": KEY, "label": "main"})
        assert made == {"name": "lab/main"}
        assert upstream.requests[-1].headers["authorization"] == f"Bearer {KEY}"
        shown = await mux.ask("GET", "/accounts")
        assert KEY not in str(shown)
        (main,) = (each for each in shown["accounts"] if each["name"] == "lab/main")
        assert (main["origin"], main["state"], main["enabled"]) == ("stored key", "ready", True)
        assert await mux.ask("POST", "/accounts/lab/main/test") == {"ok": True, "message": main_said, "models": 1}


main_said = "OpenAI-compatible server answered."


async def test_an_account_is_renamed_taken_out_of_use_put_back_and_forgotten(
    tmp_path: pathlib.Path, upstream: FakeUpstream
) -> None:
    async with managed(tmp_path, config(upstream)) as mux:
        await mux.ask("POST", "/accounts", json={"provider": "lab", "key": KEY, "label": "a", "check": False})
        assert await mux.ask("PATCH", "/accounts/lab/a", json={"enabled": False}) == {"name": "lab/a"}
        assert (await names(mux))["lab/a"] == "disabled"
        assert await mux.ask("PATCH", "/accounts/lab/a", json={"label": "b"}) == {"name": "lab/b"}
        assert (await names(mux))["lab/b"] == "disabled", "a new name does not put it back"
        assert disabled(mux.store) == {"lab/b"}
        await mux.ask("PATCH", "/accounts/lab/b", json={"enabled": True})
        assert (await names(mux))["lab/b"] == "ready"
        stored = find(mux.store, "lab", "b")
        assert stored is not None
        assert stored.key == KEY
        await mux.ask("DELETE", "/accounts/lab/b")
        assert "lab/b" not in await names(mux)
        await mux.ask("DELETE", "/accounts/lab/b", status=404)
        await mux.ask("PATCH", "/accounts/lab/b", status=404, json={"enabled": True})
        await mux.ask("POST", "/accounts/lab/b/test", status=404)


async def test_what_the_configuration_names_is_renamed_there(tmp_path: pathlib.Path, upstream: FakeUpstream) -> None:
    async with managed(tmp_path, config(upstream, **{"api-key": "k"})) as mux:
        error = await mux.ask("PATCH", "/accounts/lab/config", status=409, json={"label": "b"})
        assert error["error"]["code"] == "not_stored"
        add_key(mux.store, "lab", "other", "k2")
        await mux.ask("POST", "/reload")
        error = await mux.ask("PATCH", "/accounts/lab/other", status=409, json={"label": "config"})
        assert error["error"]["code"] == "label_taken"


async def test_a_key_that_its_provider_refuses_is_not_stored(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as refusing:
        refusing.on("*", json_reply({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401))
        async with managed(tmp_path, config(refusing)) as mux:
            error = await mux.ask("POST", "/accounts", status=400, json={"provider": "lab", "key": KEY})
            assert error["error"]["code"] == "key_refused"
            assert KEY not in str(error)
            assert mux.store.names() == ["management-key"]
            await mux.ask("POST", "/accounts", json={"provider": "lab", "key": KEY, "check": False})
            tried = await mux.ask("POST", "/accounts/lab/default/test")
            assert tried["ok"] is False
            assert KEY not in str(tried)


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"provider": "no-such", "key": "k"}, 404),
        ({"provider": "lab"}, 400),
        ({"provider": "lab", "key": ""}, 400),
        ({"provider": "lab", "key": "two words"}, 400),
        ({"provider": "lab", "key": "k", "label": "a/b"}, 400),
        ({"provider": "lab", "key": "k", "label": ""}, 400),
        ({"provider": "lab", "key": "k", "base_url": "http://far.example"}, 400),
        ({"provider": "lab", "key": "k", "more": 1}, 400),
        ({"provider": 7, "key": "k"}, 400),
        ([], 400),
    ],
)
async def test_an_account_that_cannot_be_is_refused(
    tmp_path: pathlib.Path, upstream: FakeUpstream, wish: Any, status: int
) -> None:
    async with managed(tmp_path, config(upstream)) as mux:
        await mux.ask("POST", "/accounts", status=status, json=wish)
        assert mux.store.names() == ["management-key"]


async def test_a_broken_file_does_not_keep_a_new_key_out(tmp_path: pathlib.Path, upstream: FakeUpstream) -> None:
    async with managed(tmp_path, config(upstream)) as mux:
        mux.file.write_text("alases: 1\n")
        assert (await mux.ask("POST", "/reload"))["error"] is not None
        await mux.ask("POST", "/accounts", json={"provider": "lab", "key": KEY, "label": "new"})
        assert (await names(mux))["lab/new"] == "ready"
        assert (await mux.ask("GET", "/config"))["state"]["error"] is not None


async def test_client_keys_are_made_changed_rotated_and_revoked(tmp_path: pathlib.Path) -> None:
    fixed = fixed_name("plant-fixed-key")
    async with managed(tmp_path, {"api-keys": ["plant-fixed-key"]}) as mux:
        made = await mux.ask("PUT", "/api-keys", json={"name": "ci", "user": "ann", "scopes": {"models": ["demo*"]}})
        secret = made["key"]
        assert secret.startswith("mux-")
        listed = await mux.ask("GET", "/api-keys")
        assert [(key["name"], key["source"]) for key in listed["keys"]] == [
            ("ci", "database"),
            (fixed, "configuration"),
        ]
        assert secret not in str(listed)
        assert "plant" not in str(listed)
        changed = await mux.ask("PUT", "/api-keys", json={"name": "ci", "scopes": {"limits": {"concurrent": 2}}})
        assert changed["key"] is None
        assert changed["scopes"] == {"limits": {"concurrent": 2}}
        ends = time.time() + 3600
        ending = await mux.ask("PUT", "/api-keys", json={"name": "ci", "expires": ends})
        assert (ending["scopes"], ending["expires"] is None) == ({"limits": {"concurrent": 2}}, False)
        rotated = await mux.ask("PUT", "/api-keys", json={"name": made["id"], "rotate": True})
        assert rotated["key"] not in (None, secret)
        kept = ("name", "user", "scopes", "expires")
        assert [rotated[name] for name in kept] == [ending[name] for name in kept], "a new secret lifts no limit"
        endless = await mux.ask("PUT", "/api-keys", json={"name": "ci", "expires": None, "scopes": {}})
        assert (endless["scopes"], endless["expires"]) == ({}, None)
        await mux.ask("PUT", "/api-keys", status=400, json={"name": "ci", "user": "bob"})
        await mux.ask("DELETE", "/api-keys?key=ci")
        await mux.ask("DELETE", "/api-keys?key=ci", status=404)
        assert [key["name"] for key in (await mux.ask("GET", "/api-keys"))["keys"]] == [fixed]
        (old, _) = (await mux.ask("GET", "/api-keys?all=true"))["keys"]
        assert (old["name"], old["state"]) == ("ci", "revoked")


async def test_a_key_with_a_budget_says_what_it_has_spent(tmp_path: pathlib.Path) -> None:
    prices = [{"model": "demo/demo", "input": 0, "output": 0, "request": 250}]
    async with managed(tmp_path, {"prices": prices, "disable-auth": False}) as mux:
        free = await mux.ask("PUT", "/api-keys", json={"name": "free"})
        made = await mux.ask("PUT", "/api-keys", json={"name": "ci", "scopes": {"monthly-budget": "5"}})
        for key in (free["key"], made["key"], made["key"]):
            body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
            headers = {"x-api-key": key}
            async with mux.bare.post("/v1/chat/completions", json=body, headers=headers) as answer:
                assert answer.status == 200
        listed = (await mux.ask("GET", "/api-keys"))["keys"]
        assert [(key["name"], key["spent"]) for key in listed] == [
            ("free", None),
            ("ci", {"day": "0.50", "month": "0.50"}),
        ]


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"name": ""},
        {"name": "x", "expires": 5},
        {"name": "x", "expires": -1},
        {"name": "x", "scopes": {"models": [""]}},
        {"name": "x", "scopes": {"daily-budget": "NaN"}},
        {"name": "x", "scopes": {"limits": {"concurrent": 0}}},
        {"name": "x\u0000y"},
        {"name": "x", "user": "local"},
        {"name": "x" * 300},
    ],
)
async def test_a_client_key_that_cannot_be_is_refused(tmp_path: pathlib.Path, wish: dict[str, Any]) -> None:
    async with managed(tmp_path) as mux:
        await mux.ask("PUT", "/api-keys", status=400, json=wish)


async def test_providers_models_and_aliases_are_listed(tmp_path: pathlib.Path, upstream: FakeUpstream) -> None:
    async with managed(tmp_path, config(upstream, **{"api-key": "k"})) as mux:
        models = await mux.ask("GET", "/models?provider=lab&refresh=true")
        assert [(each["name"], each["provider"]) for each in models["models"]] == [("m", "lab")]
        assert models["models"][0]["accounts"] == ["lab/config"]
        assert models["models"][0]["price"] is None
        providers = {each["name"]: each for each in (await mux.ask("GET", "/providers"))["providers"]}
        assert (providers["lab"]["configured"], providers["lab"]["accounts"], providers["lab"]["models"]) == (
            True,
            1,
            1,
        )
        assert providers["openai"]["configured"] is False
        assert providers["openai"]["takes_keys"] is True
        aliases = {each["name"]: each for each in (await mux.ask("GET", "/aliases"))["aliases"]}
        assert (aliases["quick"]["provider"], aliases["quick"]["model"]) == ("lab", "m")
        assert aliases["lost"]["provider"] is None


def told_in(record: bytes) -> list[dict[str, Any]]:
    fields = dict(line.split(": ", 1) for line in record.decode().strip().splitlines())
    found: list[dict[str, Any]] = json.loads(fields["data"])
    return found


async def test_exchanges_are_listed_one_by_one_and_live(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path, {"capture": True}) as mux:
        chat = {"model": "demo", "messages": [{"role": "user", "content": "my key is sk-plant-in-a-prompt-123"}]}
        async with mux.client.get("/v0/management/requests/live") as live:
            assert await live.content.readuntil(b"\n\n") == b": live\n\n"
            for stream in (False, True):
                named = {"X-Request-ID": f"mine-{stream}"}
                async with mux.bare.post(
                    "/v1/chat/completions", json={**chat, "stream": stream}, headers=named
                ) as answer:
                    said = await answer.text()
            ended: list[dict[str, Any]] = []
            while len(ended) < 2:
                told = told_in(await live.content.readuntil(b"\n\n"))
                ended += [each for each in told if each["event"] == "exchange.done"]
        assert [line["request"] for line in ended] == ["mine-False", "mine-True"]
        assert (ended[1]["provider"], ended[1]["status"]) == ("demo", 200)
        assert ended[1]["ttft_ms"] > 0
        listed = await mux.ask("GET", "/requests")
        assert [line["request"] for line in listed["requests"]] == ["mine-False", "mine-True"]
        assert listed["capturing"] is True
        newer = await mux.ask("GET", f"/requests?after={listed['requests'][0]['seq']}")
        assert [line["request"] for line in newer["requests"]] == ["mine-True"]
        one = await mux.ask("GET", "/requests/mine-True")
        assert one["lines"][0]["status"] == 200
        assert '"messages"' in one["captured"]["request"]
        assert one["captured"]["answer"].endswith("data: [DONE]\n\n")
        assert one["captured"]["answer_bytes"] == len(said.encode())
        assert "plant" not in str(one["captured"]["request"])
        await mux.ask("GET", "/requests/nobodys", status=404)


async def test_nothing_that_was_said_is_kept_unless_asked_for(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path) as mux:
        chat = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
        async with mux.bare.post("/v1/chat/completions", json=chat, headers={"X-Request-ID": "mine"}) as answer:
            assert answer.status == 200
        one = await mux.ask("GET", "/requests/mine")
        assert one["captured"] is None
        assert len(one["lines"]) == 1


async def test_records_of_the_log_come_as_they_are_written_and_none_twice(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path) as mux:
        known = (await mux.ask("GET", "/logs"))["last"]
        for number in range(3):
            log.logger.info("live.test", number=number)
            log.logger.debug("live.test", number=-1)
        log.logger.warning("live.test", number=3, token="plant-in-a-live-log-1")
        path = "/v0/management/logs/live"
        for query, first in (({"after": known}, 0), ({"after": known + 10**9}, 0), ({"level": "warning"}, 4)):
            async with mux.client.get(path, params={"level": "info", **query}) as live:
                assert (answered := await live.content.readuntil(b"\n\n")) == b": live\n\n", answered
                if first:
                    log.logger.info("live.test", number=0)
                    log.logger.error("live.test", number=4)
                seen: list[int] = []
                last = 0
                async with asyncio.timeout(10):
                    while not seen or seen[-1] < max(first, 3):
                        record = await live.content.readuntil(b"\n\n")
                        assert b"plant" not in record
                        told = json.loads(record.partition(b"data: ")[2])
                        assert told["last"] > last
                        last = told["last"]
                        seen += [each["number"] for each in told["records"] if each["event"] == "live.test"]
                assert seen == list(range(first, max(first, 3) + 1))


@pytest.mark.parametrize("path", ["/requests/live", "/logs/live"])
async def test_who_watches_does_not_hold_up_the_end(tmp_path: pathlib.Path, path: str) -> None:
    async with aiohttp.ClientSession() as client:
        async with asyncio.timeout(4):
            async with managed(tmp_path) as mux:
                live = await client.get(f"{mux.url}/v0/management{path}", headers={"X-Management-Key": mux.key})
                await live.content.readuntil(b"\n\n")
        assert await live.content.read() == b""


async def test_usage_and_money_are_told_and_given(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path) as mux:
        used = await mux.ask("GET", "/usage?days=1&group_by=model")
        assert (used["object"], used["data"]) == ("usage", [])
        made = await mux.ask("POST", "/billing/credit", json={"user": "ann", "amount": "12.50"})
        assert made["balance_after"] == "12.50"
        await mux.ask("POST", "/billing/credit", json={"user": "ann", "amount": "-2.25", "description": "refund"})
        told = await mux.ask("GET", "/billing?user=ann")
        assert (told["balance"], told["total"]) == ("10.25", 2)
        assert [each["amount"] for each in told["transactions"]] == ["-2.25", "12.50"]
        for wrong in ("x", "NaN", "0", "1e300", "1.0000000000001", ""):
            await mux.ask("POST", "/billing/credit", status=400, json={"user": "ann", "amount": wrong})
        for query in (
            "days=0",
            "days=-1",
            "days=x",
            "from=2026-02-01&to=2026-01-01",
            "from=yesterday",
            "group_by=nothing",
            "days=3&from=2026-01-01",
            "group_by=day;DROP TABLE exchanges",
        ):
            await mux.ask("GET", f"/usage?{query}", status=400)
        for query in ("limit=-1&user=a", "offset=-1&user=a", "offset=99999999999999999&user=a", "", "user="):
            await mux.ask("GET", f"/billing?{query}", status=400)
        hostile = await mux.ask("GET", "/billing?user=' OR 1=1 --")
        assert hostile["total"] == 0
