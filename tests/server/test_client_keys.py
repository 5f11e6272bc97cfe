"""Keys of the database: made and taken away while the daemon runs, looked up without waiting, useless to guess."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from llm_mux.auth.jwt import sign
from llm_mux.auth.scopes import Scopes
from llm_mux.config.schema import Jwt
from llm_mux.ledger.database import Database
from llm_mux.ledger.keys import KeyTable
from tests.daemon import Daemon
from tests.fake_upstream import FakeUpstream, json_reply
from tests.server.conftest import Run

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/v1/chat/completions"
ASKED = {"disable-auth": False}
JWT = {"secret": "a-secret-of-thirty-two-characters"}


@contextlib.asynccontextmanager
async def beside(running: Daemon) -> AsyncIterator[KeyTable]:
    """The table as another process, such as the command line, opens it."""
    database = Database(running.home / "data" / "llm-mux.sqlite")
    try:
        yield KeyTable(database)
    finally:
        await database.close()


async def status(client: aiohttp.ClientSession, running: Daemon, secret: str, **changes: Any) -> int:
    headers = {"Authorization": f"Bearer {secret}"}
    async with client.post(running.url + PATH, json={**CHAT, **changes}, headers=headers) as answer:
        await answer.read()
        return answer.status


async def test_a_key_works_from_the_moment_it_is_made_and_a_revoked_one_soon_no_longer(demo: Run) -> None:
    """How soon is the key book's (`tests/ledger/test_key_book.py`)."""
    async with demo(ASKED) as mux, aiohttp.ClientSession() as client, beside(mux) as table:
        assert await status(client, mux, "mux-guess") == 401
        made, secret = await table.create("laptop", now=time.time())
        assert await status(client, mux, secret) == 200
        await table.revoke(made.id, now=time.time())
        async with asyncio.timeout(20):
            while (found := await status(client, mux, secret)) == 200:
                pass
        assert found == 401


async def test_a_rotated_key_is_the_new_one_and_for_its_grace_the_former_too(demo: Run) -> None:
    async with demo(ASKED) as mux, aiohttp.ClientSession() as client, beside(mux) as table:
        _, first = await table.create("ci", now=time.time())
        _, second = await table.rotate("ci", now=time.time(), grace_s=60)
        assert [await status(client, mux, secret) for secret in (first, second)] == [200, 200]
        _, third = await table.rotate("ci", now=time.time())
        assert await status(client, mux, third) == 200
        assert [await status(client, mux, secret) for secret in (first, second)] == [401, 401]


async def test_a_key_ends_when_it_was_said_to(demo: Run) -> None:
    async with demo(ASKED) as mux, aiohttp.ClientSession() as client, beside(mux) as table:
        _, over = await table.create("over", now=time.time(), expires=time.time() - 1)
        _, valid = await table.create("valid", now=time.time(), expires=time.time() + 60)
        assert [await status(client, mux, secret) for secret in (over, valid)] == [401, 200]


SCOPED = [
    pytest.param("/v1/chat/completions", CHAT, "model_not_allowed", id="openai"),
    pytest.param("/v1/responses", {"model": "demo", "input": "hi"}, "model_not_allowed", id="responses"),
    pytest.param("/v1/messages", {**CHAT, "max_tokens": 5}, "permission_error", id="anthropic"),
    pytest.param("/v1beta/models/demo:generateContent", {"contents": []}, "PERMISSION_DENIED", id="gemini"),
    pytest.param("/api/chat", CHAT, '"error":', id="ollama"),
]


@pytest.mark.parametrize(("path", "body", "shape"), SCOPED)
async def test_what_is_out_of_reach_is_a_403_in_the_clients_shape(
    demo: Run, path: str, body: dict[str, Any], shape: str
) -> None:
    async with demo(ASKED) as mux, aiohttp.ClientSession() as client, beside(mux) as table:
        _, secret = await table.create("narrow", now=time.time(), scopes=Scopes(models=("gpt-*",)))
        async with client.post(mux.url + path, json=body, headers={"x-api-key": secret}) as answer:
            text = await answer.text()
            assert (answer.status, shape in text) == (403, True)
            assert "gpt-" not in text


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (Scopes(), 200),
        (Scopes(models=("de*",)), 200),
        (Scopes(models=("demo/demo",)), 200),
        (Scopes(models=("DEMO",)), 403),
        (Scopes(providers=("demo",)), 200),
        (Scopes(providers=("open*",)), 403),
        (Scopes(accounts=("demo/*",)), 200),
        (Scopes(accounts=("work",)), 403),
        (Scopes(models=("demo",), providers=("other",)), 403),
    ],
)
async def test_scopes_name_models_providers_and_accounts_by_wildcards(demo: Run, scopes: Scopes, expected: int) -> None:
    async with demo(ASKED) as mux, aiohttp.ClientSession() as client, beside(mux) as table:
        _, secret = await table.create("scoped", now=time.time(), scopes=scopes)
        assert await status(client, mux, secret) == expected


async def test_lists_show_a_key_the_models_that_it_may_use(demo: Run) -> None:
    async with demo({**ASKED, "aliases": {"gpt-cheap": "demo"}}) as mux, aiohttp.ClientSession() as client:
        async with beside(mux) as table:
            _, some = await table.create("some", now=time.time(), scopes=Scopes(models=("gpt-cheap",)))
            _, none = await table.create("none", now=time.time(), scopes=Scopes(accounts=("work",)))
        for path, shown in (("/v1/models", "id"), ("/api/tags", "name")):
            for secret, expected in ((some, ["gpt-cheap"]), (none, [])):
                async with client.get(mux.url + path, headers={"x-api-key": secret}) as answer:
                    body = await answer.json()
                    assert [each[shown] for each in body.get("data", body.get("models"))] == expected
        for name, status in (("gpt-cheap", 200), ("demo", 403)):
            async with client.get(f"{mux.url}/v1/models/{name}", headers={"x-api-key": some}) as answer:
                assert answer.status == status


async def test_an_alias_leads_no_key_out_of_its_scopes(demo: Run) -> None:
    config = {**ASKED, "aliases": {"gpt-cheap": "demo"}}
    async with demo(config) as mux, aiohttp.ClientSession() as client, beside(mux) as table:
        _, by_alias = await table.create("alias", now=time.time(), scopes=Scopes(models=("gpt-cheap",)))
        _, by_name = await table.create("name", now=time.time(), scopes=Scopes(models=("demo",)))
        asked = [(key, model) for key in (by_alias, by_name) for model in ("gpt-cheap", "demo", "demo://demo")]
        found = [await status(client, mux, key, model=model) for key, model in asked]
        assert found == [200, 403, 403, 200, 200, 200]


async def test_where_no_keys_are_asked_for_a_known_one_still_has_its_scopes(demo: Run) -> None:
    async with demo({}) as mux, aiohttp.ClientSession() as client, beside(mux) as table:
        _, secret = await table.create("narrow", now=time.time(), scopes=Scopes(models=("gpt-*",)))
        assert await status(client, mux, "anything") == 200
        async with asyncio.timeout(10):
            while await status(client, mux, secret) == 200:
                pass
        assert await status(client, mux, secret) == 403


async def test_keys_go_on_to_hold_when_the_database_is_away_and_unknown_ones_are_told_so(demo: Run) -> None:
    async with demo({**ASKED, "usage": {"database": "postgresql://127.0.0.1:1/none"}}) as mux:
        async with aiohttp.ClientSession() as client:
            async with client.post(mux.url + PATH, json=CHAT, headers={"x-api-key": "mux-x"}) as answer:
                assert answer.status == 503
                assert "database does not answer" in await answer.text()


@pytest.mark.parametrize("beside_it", ["x-api-key", "x-goog-api-key", "api-key"])
async def test_a_key_of_the_daemon_goes_to_no_provider_and_one_beside_it_does(demo: Run, beside_it: str) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply({"error": {"message": "no"}}, 400))
        provider = {"id": "pass", "type": "openai-compatible", "base-url": f"{upstream.url}/v1", "models": ["m"]}
        async with (
            demo({**ASKED, "auth": {"jwt": JWT}, "providers": [{**provider, "api-key": "!PASSTHRU"}]}) as mux,
            aiohttp.ClientSession(mux.url) as client,
            beside(mux) as table,
        ):
            _, secret = await table.create("ours", now=time.time())
            token = sign(Jwt(**JWT), JWT["secret"], "ann", now=time.time(), minutes=1)
            body = {**CHAT, "model": "pass://m"}
            for own in ({"Authorization": f"Bearer {secret}"}, {"x-api-key": secret}, {"x-api-key": token}):
                async with client.post(PATH, json=body, headers=own) as answer:
                    assert answer.status == 401
                    assert "no client API key was provided" in (await answer.json())["error"]["message"]
            assert not upstream.requests
            both = {"Authorization": f"Bearer {secret}", beside_it: "sk-theirs"}
            async with client.post(PATH, json=body, headers=both) as answer:
                assert answer.status == 400
        (request,) = upstream.requests
        sent = dict(request.headers)
        assert sent["Authorization"] == "Bearer sk-theirs"
        assert secret not in str(sent)
