import asyncio
import pathlib
import secrets
import sqlite3
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from llm_mux.errors import MuxError
from llm_mux.ledger.database import Database
from llm_mux.ledger.responses import ResponseStore
from tests.ledger.samples import NOON

DAY = 86_400.0


@pytest.fixture
async def store(database: Database) -> AsyncIterator[ResponseStore]:
    store = ResponseStore(database)
    yield store
    await store.close()


def put(store: ResponseStore, id: str, previous: str | None = None, *, tenant: str = "ann", now: float = NOON) -> None:
    body, items = f'{{"id":"{id}"}}'.encode(), b'[{"role":"user"}]'
    store.put(tenant, id, model="gpt-5", body=body, items=items, previous_id=previous, now=now)


async def reopened(store: ResponseStore, database: Database) -> ResponseStore:
    """A store that remembers nothing itself, as after a restart."""
    await store.close()
    return ResponseStore(database)


async def ids(store: ResponseStore, id: str, *, now: float = NOON, links: int = 1000) -> list[str]:
    return [stored.id for stored in await store.chain("ann", id, now=now, links=links)]


async def test_a_finished_response_can_be_used_before_it_is_written(store: ResponseStore) -> None:
    put(store, "r1")
    found = await store.get("ann", "r1", now=NOON)
    assert found is not None
    assert (found.body, found.items, found.model) == (b'{"id":"r1"}', b'[{"role":"user"}]', "gpt-5")
    assert store.state.unwritten == 1


async def test_a_response_survives_a_restart(store: ResponseStore, database: Database) -> None:
    put(store, "r1", "r0")
    before = await store.get("ann", "r1", now=NOON)
    assert await (await reopened(store, database)).get("ann", "r1", now=NOON) == before


async def test_no_tenant_sees_what_is_anothers(store: ResponseStore, database: Database) -> None:
    put(store, "r1", tenant="ann")
    for each in (store, await reopened(store, database)):
        assert await each.get("bob", "r1", now=NOON) is None
        assert not await each.delete("bob", "r1", now=NOON)
        with pytest.raises(MuxError):
            await each.chain("bob", "r1", now=NOON)
        assert await each.get("ann", "r1", now=NOON) is not None


async def test_a_chain_does_not_cross_tenants(store: ResponseStore, database: Database) -> None:
    put(store, "r1", tenant="bob")
    put(store, "r2", "r1", tenant="ann")
    for each in (store, await reopened(store, database)):
        with pytest.raises(MuxError, match="'r1' not found"):
            await each.chain("ann", "r2", now=NOON)


async def test_a_later_version_of_a_response_replaces_the_earlier(store: ResponseStore, database: Database) -> None:
    put(store, "r1")
    fresh = await reopened(store, database)
    fresh.put("ann", "r1", model="gpt-5", body=b'{"status":"completed"}', items=b"[]", previous_id=None, now=NOON)
    for each in (fresh, await reopened(fresh, database)):
        found = await each.get("ann", "r1", now=NOON)
        assert found is not None
        assert found.body == b'{"status":"completed"}'


async def test_a_deleted_response_is_gone_wherever_it_was(store: ResponseStore, database: Database) -> None:
    put(store, "unwritten")
    assert await store.delete("ann", "unwritten", now=NOON)
    put(store, "written")
    store = await reopened(store, database)
    assert await store.delete("ann", "written", now=NOON)
    assert not await store.delete("ann", "written", now=NOON)
    store = await reopened(store, database)
    assert await store.get("ann", "unwritten", now=NOON) is None
    assert await store.get("ann", "written", now=NOON) is None


@pytest.mark.parametrize("restart_after", [None, 1, 3, 5])
async def test_a_chain_comes_oldest_first_from_memory_and_database(
    store: ResponseStore, database: Database, restart_after: int | None
) -> None:
    for number in range(1, 6):
        put(store, f"r{number}", f"r{number - 1}" if number > 1 else None)
        if number == restart_after:
            store = await reopened(store, database)
    assert await ids(store, "r5") == ["r1", "r2", "r3", "r4", "r5"]
    assert await ids(store, "r2") == ["r1", "r2"]
    await store.close()


async def test_a_chain_with_a_missing_part_is_refused_rather_than_shortened(
    store: ResponseStore, database: Database
) -> None:
    put(store, "r2", "r1")
    put(store, "r3", "r2")
    for each in (store, await reopened(store, database)):
        with pytest.raises(MuxError, match="Previous response with id 'r1' not found") as caught:
            await each.chain("ann", "r3", now=NOON)
        assert (caught.value.http_status, caught.value.param) == (400, "previous_response_id")


async def test_a_chain_is_walked_only_so_far(store: ResponseStore, database: Database) -> None:
    put(store, "r0")
    for number in range(1, 8):
        put(store, f"r{number}", f"r{number - 1}")
    for each in (store, await reopened(store, database)):
        assert len(await ids(each, "r7", links=8)) == 8
        with pytest.raises(MuxError, match="more than 7 responses"):
            await ids(each, "r7", links=7)


async def test_a_chain_that_bites_its_tail_ends(store: ResponseStore, database: Database) -> None:
    put(store, "r1", "r2")
    put(store, "r2", "r1")
    for each in (store, await reopened(store, database)):
        with pytest.raises(MuxError, match="more than"):
            await ids(each, "r2", links=10)


async def test_an_expired_response_is_not_found_and_later_removed(store: ResponseStore, database: Database) -> None:
    put(store, "old")
    later = NOON + 30 * DAY
    for each in (store, await reopened(store, database)):
        assert await each.get("ann", "old", now=later - 1) is not None
        assert await each.get("ann", "old", now=later) is None
        assert not await each.delete("bob", "old", now=later)
    put(each, "new", now=later)
    await each.close()
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT id FROM responses"))).scalars().all() == ["new"]


async def test_the_oldest_go_when_all_together_grow_too_large(database: Database) -> None:
    store = ResponseStore(database, max_bytes=20_000)
    for number in range(10):
        incompressible = secrets.token_bytes(4000)
        store.put("ann", f"r{number}", model="m", body=incompressible, items=b"[]", previous_id=None, now=NOON + number)
    await store.close()
    async with database.read() as connection:
        kept = (await connection.execute(text("SELECT id, size FROM responses ORDER BY created"))).all()
    assert [id for id, _ in kept] == ["r6", "r7", "r8", "r9"]
    assert sum(size for _, size in kept) <= 20_000


async def test_memory_stays_bounded_while_the_database_is_away(tmp_path: pathlib.Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    store = ResponseStore(Database(tmp_path / "data" / "ledger.db"), unwritten_bytes=10_000)
    for number in range(10):
        store.put("ann", f"r{number}", model="m", body=b"x" * 2990, items=b"[]", previous_id=None, now=NOON)
    assert (store.state.unwritten, store.state.lost) == (3, 7)
    assert await store.get("ann", "r9", now=NOON) is not None
    await store.close(deadline_s=0.05)


async def test_a_database_that_does_not_answer_is_told_to_the_client(sqlite: Database) -> None:
    store = ResponseStore(sqlite)
    await sqlite.open()
    other = sqlite3.connect(sqlite.description.removeprefix("SQLite at "), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(MuxError, match="cannot be deleted just now") as caught:
        await store.delete("ann", "r1", now=NOON)
    assert caught.value.code == "response_store_unavailable"
    other.close()
    assert not await store.delete("ann", "r1", now=NOON)


@pytest.mark.parametrize("id", ["", "r\0", "\ud83d", "r" * 10_000, "'; DROP TABLE responses; --"])
async def test_an_id_that_a_client_made_up_is_just_not_found(store: ResponseStore, id: str) -> None:
    assert await store.get("ann", id, now=NOON) is None
    assert not await store.delete("ann", id, now=NOON)
    with pytest.raises(MuxError, match="not found"):
        await store.chain("ann", id, now=NOON)


async def test_it_writes_behind_while_it_runs(store: ResponseStore, database: Database) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(store.run())
        put(store, "r1")
        assert await ResponseStore(database, patience_s=10).get("ann", "r1", now=NOON) is not None
        assert store.state.healthy
        await store.close()
