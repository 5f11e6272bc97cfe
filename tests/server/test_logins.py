"""A daemon whose account was logged in to: its token in every request, renewed in time, and what is said when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from llm_mux import paths
from llm_mux.auth.base import Credential
from llm_mux.auth.keys import disable
from llm_mux.auth.logins import StoredLogin, find_login, keep_login
from llm_mux.auth.store import changes, open_store
from llm_mux.ledger.account_table import read
from llm_mux.routing.accounts import Account
from llm_mux.server.reload import RELOADER
from llm_mux.server.serving import DAEMON
from tests.daemon import Daemon, clean_environment, daemon
from tests.fake_upstream import FakeUpstream, Reply, json_reply

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
WHOLE = {"id": "c", "model": "m", "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}
REFUSED = json_reply({"error": {"message": "token expired"}}, 401)
NEW = json_reply({"access_token": "at-1", "refresh_token": "rt-1", "expires_in": 3600})


@dataclasses.dataclass
class Stage:
    upstream: FakeUpstream
    mux: Daemon
    client: aiohttp.ClientSession

    async def chat(self, **more: Any) -> tuple[int, str]:
        async with self.client.post("/v1/chat/completions", json=CHAT | more) as answer:
            return answer.status, await answer.text()

    async def get(self, path: str) -> Any:
        async with self.client.get(path) as answer:
            return await (answer.json() if answer.content_type == "application/json" else answer.text())

    def tokens(self) -> list[str]:
        """What the provider was shown, in order."""
        return [r.headers["Authorization"].removeprefix("Bearer ") for r in self.upstream.seen("/v1/chat/completions")]

    def store(self) -> Any:
        env = clean_environment(self.mux.home)
        return open_store(env=env, data_dir=paths.data_dir(env))


def token(**more: Any) -> Credential:
    now = time.time()
    made = Credential(
        access="at-0", refresh="rt-0", expires=now + 3600, obtained=now, way="browser", email="me@x.example"
    )
    return msgspec.structs.replace(made, **more)


@contextlib.asynccontextmanager
async def stage(home: Path, credential: Credential | None = None, *tokens: Reply) -> AsyncIterator[Stage]:
    env = clean_environment(home)
    store = open_store(env=env, data_dir=paths.data_dir(env))
    keep_login(store, StoredLogin("corp", "me", credential or token()))
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", json_reply(WHOLE)).on("/token", *(tokens or (NEW,)))
        oauth = {"token-url": f"{upstream.url}/token", "client-id": "c"}
        entry = {"type": "oauth", "id": "corp", "base-url": f"{upstream.url}/v1", "models": ["m"], "oauth": oauth}
        async with daemon(home, {"providers": [entry]}) as mux, aiohttp.ClientSession(mux.url) as client:
            yield Stage(upstream, mux, client)


async def test_a_login_is_used_like_any_account(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        assert (await s.chat())[0] == 200
        assert s.tokens() == ["at-0"]
        (account,) = (await s.get("/health"))["accounts"]
        assert (account["name"], account["state"]) == ("corp/me", "ready")
        assert account["token_expires"]
        assert s.upstream.seen("/token") == []


async def test_a_token_that_is_over_is_renewed_before_it_is_sent(tmp_path: Path) -> None:
    week = 7 * 86400
    async with stage(tmp_path, token(expires=time.time() - week, obtained=time.time() - week - 3600)) as s:
        answers = await asyncio.gather(*(s.chat() for _ in range(20)))
        assert {status for status, _ in answers} == {200}
        assert set(s.tokens()) == {"at-1"}
        assert len(s.upstream.seen("/token")) == 1
        kept = find_login(s.store(), "corp", "me")
        assert kept is not None and kept.credential.refresh == "rt-1"
        assert 'llm_mux_login_refreshes_total{outcome="ok",provider="corp"} 1.0' in await s.get("/metrics")


@pytest.mark.covers("OP-10")
async def test_the_daemons_own_renewal_makes_nothing_be_read_again(tmp_path: Path) -> None:
    week = 7 * 86400
    mark = changes(paths.data_dir(clean_environment(tmp_path)))
    async with stage(tmp_path, token(expires=time.time() - week, obtained=time.time() - week - 3600)) as s:
        before, gateway = mark.stat(), s.mux.app[DAEMON].gateway
        assert (await s.chat())[0] == 200
        assert s.tokens() == ["at-1"], "it was renewed"
        assert mark.stat() == before
        keep_login(s.store(), StoredLogin("corp", "other", token(access="at-9", refresh="rt-9", id="other")))
        async with asyncio.timeout(10):
            while s.mux.app[DAEMON].gateway is gateway:
                await asyncio.sleep(0.05)
        assert [account.key for account in s.mux.app[DAEMON].gateway.accounts] == ["at-1", "at-9"]


@pytest.mark.covers("OP-10")
async def test_what_is_stored_through_the_daemon_is_read_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        reloader = s.mux.app[RELOADER]
        keep_login(s.store(), StoredLogin("corp", "other", token(access="at-9", refresh="rt-9", id="other")))
        await reloader.refresh()
        assert len(s.mux.app[DAEMON].gateway.accounts) == 2
        assert reloader._seen == reloader._signatures()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refused_token_is_renewed_within_the_request(tmp_path: Path, stream: bool) -> None:
    async with stage(tmp_path) as s:
        s.upstream.on("/v1/chat/completions", REFUSED, json_reply(WHOLE))
        status, body = await s.chat(stream=stream)
        assert (status, "hi" in body) == (200, True)
        assert s.tokens() == ["at-0", "at-1"]
        assert (await s.get("/health"))["accounts"][0]["state"] == "ready"


@pytest.mark.parametrize(
    ("path", "upstream_path", "good"),
    [
        (
            "/v1/embeddings",
            "/v1/embeddings",
            {"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 1}},
        ),
        ("/v1/models?refresh=true", "/v1/models", {"data": [{"id": "m"}]}),
    ],
)
async def test_a_refused_token_is_renewed_for_embeddings_and_lists_too(
    tmp_path: Path, path: str, upstream_path: str, good: Any
) -> None:
    async with stage(tmp_path) as s:
        s.upstream.on(upstream_path, REFUSED, json_reply(good))
        if "embeddings" in path:
            async with s.client.post(path, json={"model": "m", "input": "hi"}) as answer:
                assert answer.status == 200
        else:
            await s.get(path)
        shown = [r.headers["Authorization"] for r in s.upstream.seen(upstream_path)]
        assert shown == ["Bearer at-0", "Bearer at-1"]


async def test_an_account_that_is_taken_out_of_use_is_asked_no_more(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        assert (await s.chat())[0] == 200
        disable(s.store(), "corp/me")
        async with asyncio.timeout(15):
            while (await s.get("/health"))["accounts"]:
                await asyncio.sleep(0.1)
        status, body = await s.chat()
        assert (status, "No account for" in body) == (503, True)
        assert len(s.tokens()) == 1


async def test_a_new_token_that_is_refused_too_is_not_renewed_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.upstream.on("/v1/chat/completions", REFUSED)
        assert (await s.chat())[0] == 502
        assert s.tokens() == ["at-0", "at-1"]
        assert len(s.upstream.seen("/token")) == 1


async def test_a_login_that_ended_says_the_command_everywhere_at_once(tmp_path: Path) -> None:
    async with stage(tmp_path, None, json_reply({"error": "invalid_grant"}, 400)) as s:
        s.upstream.on("/v1/chat/completions", REFUSED)
        for _ in range(2):
            status, body = await s.chat()
            assert status == 503
            assert "llm-mux login corp --oauth --name me" in body
        assert len(s.upstream.seen("/token")) == 1
        health = await s.get("/health")
        assert health["status"] == "unhealthy"
        assert health["accounts"][0]["state"] == "login needed"
        assert "llm-mux login corp --oauth --name me" in health["accounts"][0]["last_error"]
        assert 'llm_mux_login_accounts{provider="corp",state="login needed"} 1.0' in await s.get("/metrics")


async def test_what_the_daemon_sees_of_an_account_is_noted_for_later(tmp_path: Path) -> None:
    async with stage(tmp_path, None, json_reply({"error": "invalid_grant"}, 400)) as s:
        parts = s.mux.app[DAEMON].parts
        await parts.account_notes.note(everything=False)
        assert not parts.database.opened, "an idle daemon whose accounts are well opens no database"
        s.upstream.on("/v1/chat/completions", REFUSED)
        await s.chat()
        await parts.account_notes.note(everything=False)
        row = (await parts.database.look(read))["corp", "me"]
        assert (row.state, row.way, row.identity) == ("login needed", "browser", "me@x.example")
        assert "llm-mux login corp" in (row.last_error or "")
        parts.account_notes.watch([])
        await parts.account_notes.note(everything=False)
        assert await parts.database.look(read) == {}


async def test_what_was_secret_of_an_account_that_is_gone_is_not_noted_either(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        parts = s.mux.app[DAEMON].parts
        (gone,) = s.mux.app[DAEMON].gateway.accounts
        left = Account(msgspec.structs.replace(gone.provider, name="other"), "you", "key-of-you")
        parts.account_notes.watch([gone, left])
        left.last_error = "upstream_auth: neither at-0-of-me nor key-of-you is known"
        assert gone.session is not None
        gone.session = dataclasses.replace(gone.session, credential=token(access="at-0-of-me"))
        parts.account_notes.watch([left])
        await parts.account_notes.note(everything=True)
        row = (await parts.database.look(read))["other", "you"]
        assert row.last_error == "upstream_auth: neither *** nor *** is known"


async def test_a_new_login_is_taken_up_while_the_daemon_runs(tmp_path: Path) -> None:
    async with stage(tmp_path, None, json_reply({"error": "invalid_grant"}, 400)) as s:
        s.upstream.on("/v1/chat/completions", REFUSED)
        await s.chat()
        s.upstream.on("/v1/chat/completions", json_reply(WHOLE))
        keep_login(s.store(), StoredLogin("corp", "me", token(access="at-5", refresh="rt-5")))
        async with asyncio.timeout(15):
            while (await s.chat())[0] != 200:
                await asyncio.sleep(0.1)
        assert s.tokens()[-1] == "at-5"
        assert (await s.get("/health"))["accounts"][0]["state"] == "ready"


async def test_a_token_server_that_fails_for_now_is_another_accounts_turn(tmp_path: Path) -> None:
    async with stage(tmp_path, token(expires=time.time() - 60), json_reply({}, 503)) as s:
        status, body = await s.chat()
        assert status == 502
        assert "could not be renewed yet" in body
        assert s.tokens() == []
        assert len(s.upstream.seen("/token")) == 1


async def test_an_unknown_fact_of_a_login_is_named_at_the_start(tmp_path: Path) -> None:
    env = clean_environment(tmp_path)
    keep_login(open_store(env=env, data_dir=paths.data_dir(env)), StoredLogin("corp", "me", token()))
    entry = {"type": "oauth", "id": "corp", "base-url": "http://127.0.0.1:1/v1", "oauth": {"token-ulr": "x"}}
    with pytest.raises(Exception, match="did you mean `token-url`"):
        async with daemon(tmp_path, {"providers": [entry]}):
            pass
