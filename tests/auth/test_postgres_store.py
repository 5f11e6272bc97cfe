"""Secrets in PostgreSQL: sealed, shared by daemons, locked among them."""

import base64
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import pytest

from llm_mux.auth.postgres_store import PostgresStore, from_environment
from llm_mux.auth.sealed import StoreError
from tests.services import named


@pytest.fixture
def dsn() -> Iterator[str]:
    """A schema of its own on the shared server."""
    import asyncio

    base, schema = named("LLM_MUX_TEST_POSTGRES", "PostgreSQL"), f"secrets_{secrets.token_hex(4)}"

    async def run(statement: str) -> None:
        connection = await asyncpg.connect(base)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(run(f"CREATE SCHEMA {schema}"))
    yield f"{base}?options=-csearch_path%3D{schema}"
    asyncio.run(run(f"DROP SCHEMA {schema} CASCADE"))


async def rows(dsn: str) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch("SELECT * FROM llm_mux_secrets"))
    finally:
        await connection.close()


def key() -> bytes:
    return os.urandom(32)


def test_a_secret_is_kept_for_all_and_no_byte_of_it_is_in_the_database(dsn: str) -> None:
    import asyncio

    own = key()
    one, two = PostgresStore(dsn, [own]), PostgresStore(dsn, [own])
    before = one.state()
    one.set("login/codex/me", "planted-secret")
    assert two.get("login/codex/me") == "planted-secret"
    assert two.names() == ["login/codex/me"]
    assert two.state() != before
    (row,) = asyncio.run(rows(dsn))
    assert all(b"planted" not in value for value in (row["sealed_key"], row["data"]))
    again = two.state()
    two.set("login/codex/me", "planted-secret")
    assert one.state() != again, "each change is one"
    (changed,) = asyncio.run(rows(dsn))
    assert changed["data"] != row["data"], "each has a key and a nonce of its own"
    same = one.state()
    two.renew("login/codex/me", "its next value")
    assert (one.get("login/codex/me"), one.state()) == ("its next value", same), "a renewal is for who reads, no change"
    one.delete("login/codex/me")
    assert (two.get("login/codex/me"), two.names()) == (None, [])
    one.close(), two.close()


def test_a_new_key_seals_and_the_old_one_still_opens(dsn: str) -> None:
    old, new = key(), key()
    first = PostgresStore(dsn, [old])
    first.set("a", "x")
    both = PostgresStore(dsn, [new, old])
    assert both.get("a") == "x"
    both.set("a", "x")
    fresh = PostgresStore(dsn, [new])
    assert fresh.get("a") == "x"
    with pytest.raises(StoreError, match="LLM_MUX_SECRETS_KEY is another one"):
        first.get("a")
    for store in (first, both, fresh):
        store.close()


def test_a_lock_is_one_among_all_and_ends_with_its_holder(dsn: str) -> None:
    own = key()
    one, two = PostgresStore(dsn, [own]), PostgresStore(dsn, [own])
    with one.holding("codex/me"):
        with pytest.raises(BlockingIOError), two.holding("codex/me"):
            pass
        with two.holding("codex/other"):
            pass
    with two.holding("codex/me"):
        pass
    one.close(), two.close()


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "needs LLM_MUX_SECRETS_DATABASE"),
        ({"LLM_MUX_SECRETS_DATABASE": "postgresql://h/n"}, "LLM_MUX_SECRETS_KEY must be 32 random bytes"),
        ({"LLM_MUX_USAGE_DATABASE": "postgresql://h/n", "LLM_MUX_SECRETS_KEY": "c2hvcnQ="}, "must be 32 random bytes"),
    ],
)
def test_what_is_missing_is_said(env: dict[str, str], said: str) -> None:
    with pytest.raises(StoreError, match=said):
        from_environment(env)


def test_a_database_that_is_away_is_said_without_its_password() -> None:
    env = {
        "LLM_MUX_SECRETS_DATABASE": "postgresql://u:hidden@127.0.0.1:9/n",
        "LLM_MUX_SECRETS_KEY": base64.b64encode(key()).decode(),
    }
    store = from_environment(env)
    with pytest.raises(StoreError, match="it does not answer") as caught:
        store.names()
    assert "hidden" not in str(caught.value)
    store.close()


def test_many_threads_of_several_daemons_may_ask_at_once(dsn: str) -> None:
    own = key()
    stores = [PostgresStore(dsn, [own]) for _ in range(3)]
    with ThreadPoolExecutor(24) as threads:
        list(threads.map(lambda n: stores[n % 3].set(f"name-{n}", f"value-{n}"), range(48)))
        found = list(threads.map(lambda n: stores[(n + 1) % 3].get(f"name-{n}"), range(48)))
    assert found == [f"value-{n}" for n in range(48)]
    for store in stores:
        store.close()
