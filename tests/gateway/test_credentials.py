"""Tokens kept good: renewed once for everybody, stored before use, and never asked for in vain."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from llm_mux.auth import tokens
from llm_mux.auth.base import Credential, OAuth
from llm_mux.auth.logins import StoredLogin, find_login, holding, keep_login, remove_login
from llm_mux.auth.sealed import SealedFile
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.credentials import Credentials
from llm_mux.gateway.upstream import open_upstream
from llm_mux.providers import registry
from llm_mux.providers.base import Login
from llm_mux.routing.accounts import Account, Session
from tests.fake_upstream import RESET, FakeUpstream, Reply, json_reply

NOW = 1_800_000_000.0


class Clock:
    """The time of a test; epoch seconds."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@dataclasses.dataclass
class Stage:
    """One account with a token of an hour, its store, and the server that renews it."""

    upstream: FakeUpstream
    store: SealedFile
    folder: Path
    clock: Clock
    credentials: Credentials
    account: Account

    def stored(self) -> Credential:
        found = find_login(self.store, "openai", "me")
        assert found is not None
        return found.credential

    def sent(self) -> list[str]:
        """The refresh tokens that reached the server."""
        return [parse_qs(request.body.decode())["refresh_token"][0] for request in self.upstream.seen("/token")]


def first(**more: Any) -> Credential:
    made = Credential(access="at-0", refresh="rt-0", expires=NOW + 3600, obtained=NOW, way="browser", id="u-1")
    return msgspec.structs.replace(made, **more)


def again(number: int, **more: Any) -> Reply:
    """The server's `number`-th new token. The answer is of the real time, so it lives past the test's own."""
    answer = {"access_token": f"at-{number}", "refresh_token": f"rt-{number}", "expires_in": 10**9, **more}
    return json_reply({name: value for name, value in answer.items() if value is not None})


def account_at(url: str, credential: Credential, refresh: Any = tokens.refresh) -> Account:
    oauth = OAuth(client_id="me", token_url=f"{url}/token")
    session = Session(Login("browser", "", oauth, None, refresh), oauth, credential, registry.get("openai"))
    return Account(session.provider(), "me", credential.access, session=session)


@contextlib.asynccontextmanager
async def stage(
    tmp_path: Path, credential: Credential | None = None, refresh: Any = tokens.refresh
) -> AsyncIterator[Stage]:
    credential, clock, client = credential or first(), Clock(), open_upstream()
    async with FakeUpstream() as upstream:
        store = SealedFile(tmp_path / "store")
        keep_login(store, StoredLogin("openai", "me", credential))
        credentials = Credentials(store, tmp_path, client, clock=clock)
        account = account_at(upstream.url, credential, refresh)
        try:
            yield Stage(upstream, store, tmp_path, clock, credentials, account)
        finally:
            await credentials.close()
            await client.close()


async def test_a_good_token_asks_nobody(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.credentials.ready(s.account)
        await s.credentials.ready(Account(registry.get("openai"), "key", "sk-1"))
        assert s.upstream.requests == []


@pytest.mark.covers("OP-6")
async def test_a_token_that_is_over_is_renewed_once_for_everybody_who_waits(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.upstream.on("/token", again(1))
        s.clock.now += 3600
        await asyncio.gather(*(s.credentials.ready(s.account) for _ in range(50)))
        assert s.sent() == ["rt-0"]
        assert (s.account.key, s.stored().refresh) == ("at-1", "rt-1")
        assert s.credentials.refreshes == {("openai", "ok"): 1}


async def test_a_token_that_is_due_but_good_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        gate = asyncio.Event()
        s.upstream.on("/token", dataclasses.replace(again(1), before=gate))
        s.clock.now += 3400
        await s.credentials.ready(s.account)
        assert s.account.key == "at-0"
        await s.upstream.arrived.wait()
        gate.set()
        await s.credentials.close()
        assert s.account.key == "at-1"


async def test_a_client_that_leaves_does_not_stop_the_renewal(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        gate = asyncio.Event()
        s.upstream.on("/token", dataclasses.replace(again(1), before=gate))
        s.clock.now += 3600
        waiting = asyncio.create_task(s.credentials.ready(s.account))
        await s.upstream.arrived.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()
        await s.credentials.close()
        assert (s.account.key, s.stored().access) == ("at-1", "at-1")


@pytest.mark.covers("OP-8")
async def test_the_new_token_is_in_the_store_before_anybody_uses_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.upstream.on("/token", again(1))
        s.clock.now += 3600
        seen: list[tuple[str, str]] = []
        keep = s.store.renew

        def watched(name: str, value: str) -> None:
            seen.append(("before", s.account.key))
            keep(name, value)

        s.store.renew = watched  # type: ignore[method-assign]  # the real store, watched
        await s.credentials.ready(s.account)
        assert seen == [("before", "at-0")]


async def test_the_old_refresh_token_stays_when_none_comes_back(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.upstream.on("/token", again(1, refresh_token=None))
        s.clock.now += 3600
        await s.credentials.ready(s.account)
        assert (s.stored().access, s.stored().refresh) == ("at-1", "rt-0")


async def test_what_another_process_has_renewed_is_taken_over(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        keep_login(s.store, StoredLogin("openai", "me", first(access="at-7", refresh="rt-7", expires=NOW + 9999)))
        s.clock.now += 3600
        await s.credentials.ready(s.account)
        assert s.account.key == "at-7"
        assert s.upstream.requests == []
        assert s.credentials.refreshes == {("openai", "adopted"): 1}


async def test_whoever_finds_the_lock_taken_waits_for_what_the_other_gets(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.clock.now += 3600
        with holding(s.folder, "openai/me"):
            waiting = asyncio.create_task(s.credentials.ready(s.account))
            await asyncio.sleep(0)
            new = first(access="at-7", refresh="rt-7", expires=NOW + 9999)
            await asyncio.to_thread(keep_login, s.store, StoredLogin("openai", "me", new))
            assert not waiting.done()
        await waiting
        assert s.account.key == "at-7"
        assert s.upstream.requests == []


@pytest.mark.parametrize("error", ["invalid_grant", "refresh_token_reused"])
async def test_a_final_refusal_asks_for_a_login_and_nobody_is_asked_again(tmp_path: Path, error: str) -> None:
    async with stage(tmp_path) as s:
        s.upstream.on("/token", json_reply({"error": error, "error_description": "rt-0 is over"}, 400))
        s.clock.now += 3600
        for _ in range(3):
            with pytest.raises(MuxError, match="Run `llm-mux login openai --oauth --name me`") as caught:
                await s.credentials.ready(s.account)
            assert caught.value.kind is Kind.LOGIN_NEEDED
            assert "rt-0" not in caught.value.message
        assert s.sent() == ["rt-0"]
        assert s.account.refused
        with pytest.raises(MuxError, match="llm-mux login"):
            await s.credentials.refused(s.account, "at-0")
        assert s.credentials.refreshes == {("openai", "login_needed"): 1}


@pytest.mark.parametrize(
    "answer", [json_reply({}, 503), Reply(body=b"<html>", status=200), Reply(body=[RESET]), json_reply({"error": "x"})]
)
async def test_a_server_that_fails_for_now_is_asked_again_later_and_not_before(tmp_path: Path, answer: Reply) -> None:
    async with stage(tmp_path) as s:
        s.upstream.on("/token", answer)
        s.clock.now += 3600
        for _ in range(3):
            with pytest.raises(MuxError, match="could not be renewed yet") as caught:
                await s.credentials.ready(s.account)
            assert caught.value.kind is Kind.UPSTREAM_ERROR
            assert caught.value.retry_after
        assert len(s.sent()) == 1
        s.upstream.on("/token", again(1))
        s.clock.now += 61
        await s.credentials.ready(s.account)
        assert s.account.key == "at-1"


async def test_a_server_that_says_when_is_asked_then(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.upstream.on("/token", json_reply({}, 429, retry_after="200"), again(1))
        s.clock.now += 3600
        for _ in range(2):
            with pytest.raises(MuxError):
                await s.credentials.ready(s.account)
        s.clock.now += 199
        with pytest.raises(MuxError):
            await s.credentials.ready(s.account)
        s.clock.now += 2
        await s.credentials.ready(s.account)
        assert len(s.sent()) == 2


async def test_a_failed_renewal_of_a_token_that_is_still_good_hurts_nobody(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.upstream.on("/token", json_reply({}, 503))
        s.clock.now += 3400
        await s.credentials.ready(s.account)
        await s.credentials.close()
        await s.credentials.ready(s.account)
        assert "could not be renewed" in (s.account.last_error or "")


async def test_a_refused_token_is_renewed_once_for_all_and_worth_another_try(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.upstream.on("/token", again(1))
        worth = await asyncio.gather(*(s.credentials.refused(s.account, "at-0") for _ in range(20)))
        assert worth == [True] * 20
        assert await s.credentials.refused(s.account, "at-0")
        assert s.sent() == ["rt-0"]


async def test_an_account_made_anew_by_a_reload_gets_the_token_that_its_older_self_asked_for(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        gate = asyncio.Event()
        s.upstream.on("/token", dataclasses.replace(again(1), before=gate))
        s.clock.now += 3600
        older = asyncio.create_task(s.credentials.ready(s.account))
        await s.upstream.arrived.wait()
        anew = account_at(s.upstream.url, first())
        waiting = [
            asyncio.create_task(s.credentials.ready(anew)),
            asyncio.create_task(s.credentials.refused(anew, "at-0")),
        ]
        gate.set()
        await asyncio.gather(older, *waiting)
        assert (s.account.key, anew.key) == ("at-1", "at-1")
        assert s.sent() == ["rt-0"]


async def test_a_refused_api_key_is_not_worth_another_try(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        assert not await s.credentials.refused(Account(registry.get("openai"), "key", "sk-1"), "sk-1")


async def test_a_login_without_a_next_token_ends_with_the_command(tmp_path: Path) -> None:
    async with stage(tmp_path, refresh=None) as s:
        assert not await s.credentials.refused(s.account, "at-0")
        s.clock.now += 3500
        await s.credentials.ready(s.account)
        s.clock.now += 100
        with pytest.raises(MuxError, match="has to be done again"):
            await s.credentials.ready(s.account)


async def test_a_login_that_was_taken_away_is_not_renewed(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        remove_login(s.store, "openai", "me")
        s.clock.now += 3600
        with pytest.raises(MuxError, match="it was logged out"):
            await s.credentials.ready(s.account)
        assert s.upstream.requests == []


async def test_a_clock_that_was_set_back_does_not_keep_an_old_token_alive(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.upstream.on("/token", again(1))
        s.clock.now -= 86400
        await s.credentials.ready(s.account)
        assert s.account.key == "at-1"


async def test_a_store_that_cannot_write_does_not_lose_the_token(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.upstream.on("/token", again(1))
        s.clock.now += 3600
        (tmp_path / "store").chmod(0o500)
        real = s.store.renew
        failures = iter([True, True, False])

        def sometimes(name: str, value: str) -> None:
            if next(failures):
                raise OSError("disk full")
            real(name, value)

        (tmp_path / "store").chmod(0o700)
        s.store.renew = sometimes  # type: ignore[method-assign]  # the real store, with a disk that is full for a while
        await s.credentials.ready(s.account)
        assert (s.account.key, s.stored().access) == ("at-1", "at-1")
        assert next(failures, None) is None, "it was tried until it could be kept"


async def test_the_loop_renews_what_comes_due_without_anybody_asking(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.upstream.on("/token", again(1))
        loop = asyncio.create_task(s.credentials.run())
        s.credentials.watch([s.account])
        s.clock.now += 7 * 86400
        s.credentials.watch([s.account])
        await s.upstream.arrived.wait()
        await s.credentials.close()
        assert s.account.key == "at-1"
        loop.cancel()


async def test_the_loop_leaves_alone_what_needs_a_login_or_never_ends(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.account.needs_login("log in")
        endless = account_at(s.upstream.url, first(expires=None))
        s.credentials.watch([s.account, endless])
        s.clock.now += 7 * 86400
        assert s.credentials._renew_due() is None
        assert s.upstream.requests == []
