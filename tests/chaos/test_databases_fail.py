"""A PostgreSQL and a Redis of one's own that are killed, paused, slow and full, one after the other, while clients ask.

No row is lost or in the books twice, limits hold to the last request, clients see answers or an error that says when to
ask again, `/health` says what is wrong, and all is well again by itself. `make chaos` makes each fault longer.
"""

import asyncio
import contextlib
import os
import pathlib
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import pytest
from aiohttp import web

from tests.chaos.load import SECONDS, Load, component_is
from tests.chaos.servers import NOBODY, OwnPostgres, OwnRedis, Relay
from tests.daemon import process_daemon
from tests.server.test_workers import Upstream, fresh, provider, upstream_of, whole

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this platform has no sockets that processes share")

FAULT_S = min(SECONDS / 6, 10)
SLOW_S = 0.05
"""Each way: under what is waited for, many times what is usual."""

Fault = Callable[[], AbstractAsyncContextManager[None]]


async def healthy(upstream: Upstream, request: web.Request) -> web.StreamResponse:
    return whole()


class SmallDisk:
    """A file system of some megabytes for PostgreSQL, which `full` fills to the last byte. Where nobody may mount one, a
    trigger says what PostgreSQL would."""

    def __init__(self, folder: pathlib.Path, postgres: OwnPostgres) -> None:
        self._folder = folder
        self._postgres = postgres
        self._real = False

    @contextlib.asynccontextmanager
    async def books(self) -> AsyncIterator[None]:
        """The database `books` on it."""
        mount = ["mount", "-t", "tmpfs", "-o", f"size=24m,uid={NOBODY},gid={NOBODY},mode=700", "tmpfs"]
        self._real = os.geteuid() == 0 and not subprocess.run([*mount, str(self._folder)], check=False).returncode
        try:
            if self._real:
                await self._postgres.run(f"CREATE TABLESPACE small LOCATION '{self._folder}'")
            await self._postgres.run("CREATE DATABASE books" + (" TABLESPACE small" if self._real else ""))
            yield
        finally:
            if self._real:
                self._postgres.kill()
                subprocess.run(["umount", str(self._folder)], check=True)

    @contextlib.asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        filler = self._folder / "filler"
        if self._real:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        else:
            words = "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'"
            function = f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {words}; END $$"
            await self._postgres.run(function, "books")
            when = "CREATE TRIGGER full_disk BEFORE INSERT ON exchanges EXECUTE FUNCTION full_disk()"
            await self._postgres.run(when, "books")
        yield
        if self._real:
            filler.unlink()
        else:
            await self._postgres.run("DROP FUNCTION full_disk() CASCADE", "books")


async def test_a_postgresql_that_fails_costs_no_row_and_doubles_none(tmp_path: pathlib.Path) -> None:
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(upstream_of(healthy))
        postgres = stack.enter_context(OwnPostgres.made())
        await postgres.start()
        disk = SmallDisk(postgres.data.parent / "small", postgres)
        (postgres.data.parent / "small").mkdir()
        await stack.enter_async_context(disk.books())
        relay = stack.enter_context(Relay(postgres.port).running())
        config = {
            "providers": [provider(upstream)],
            "workers": 2,
            "usage": {"database": postgres.dsn("books", port=relay.port)},
        }
        faults: dict[str, Fault] = {
            "killed": postgres.killed,
            "paused": postgres.paused,
            "slow": lambda: relay.slow(SLOW_S),
            "full": disk.full,
        }
        load = Load(pause_s=0.02)
        with process_daemon(tmp_path, config) as mux:
            async with load.running(mux.url, 6), fresh() as session:
                await load.more("200", 10)
                await component_is(session, mux.url, "database", "healthy")
                for name, fault in faults.items():
                    async with fault():
                        if name != "slow":
                            await component_is(session, mux.url, "database", "degraded")
                        await load.more("200", 20)
                        await asyncio.sleep(FAULT_S)
                    await component_is(session, mux.url, "database", "healthy")
                    await load.more("200", 10)
        books = Counter(row["request_id"] for row in await postgres.run("SELECT request_id FROM exchanges", "books"))
        (sums,) = await postgres.run("SELECT sum(requests) AS requests FROM usage_days", "books")
    print(f"\n{dict(load.verdicts)}, rows {books.total()}")
    assert set(load.verdicts) == {"200"}
    assert books == Counter(load.told)
    assert sums["requests"] == len(load.told)


LIMIT = int(250 * max(FAULT_S, 1))


async def test_limits_hold_to_the_last_request_over_a_redis_that_fails(tmp_path: pathlib.Path) -> None:
    """Where requests are refused that cannot be counted. What Redis took for one whose client was refused, it gives
    back."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(upstream_of(healthy))
        redis = OwnRedis(tmp_path, durable=True)
        await redis.start()
        stack.callback(redis.kill)
        relay = stack.enter_context(Relay(redis.port).running())
        config = {
            "providers": [provider(upstream)],
            "workers": 2,
            "api-keys": ["some-key"],
            "disable-auth": False,
            "rate-limits": {"requests-per-hour": LIMIT, "concurrent": 50, "when-redis-fails": "refuse"},
            "redis-url": f"redis://127.0.0.1:{relay.port}/0",
        }
        faults: dict[str, Fault] = {
            "killed": redis.killed,
            "paused": redis.paused,
            "slow": lambda: relay.slow(SLOW_S),
            "full": redis.full,
        }
        load = Load({"Authorization": "Bearer some-key"}, pause_s=0.1)
        with process_daemon(tmp_path / "home", config) as mux:
            async with load.running(mux.url, 4), fresh() as session:
                await load.more("200", 5)
                for name, fault in faults.items():
                    async with fault():
                        if name in ("slow", "full"):
                            # What counts limits begins by taking away, which Redis lets pass however full it is.
                            await load.more("200", 8)
                        else:
                            await load.more("503", 8)
                            await component_is(session, mux.url, "redis", "unhealthy", "degraded")
                        await asyncio.sleep(FAULT_S)
                    await component_is(session, mux.url, "redis", "healthy")
                    await load.more("200", 8)
                used = sum(upstream.asked.values())
                load.pause_s = 0
                await load.more("429", 20, 60 + SECONDS)
        asked = sum(upstream.asked.values())
        print(f"\n{dict(load.verdicts)}, refused {dict(load.refused)}, at the upstream {asked}")
        assert used < LIMIT, "the faults came while there was something left"
        assert asked == load.verdicts["200"] == LIMIT
        assert set(load.verdicts) == {"200", "429", "503"}
        assert set(load.refused) == {
            "Rate limits cannot be counted now: Redis does not answer. Try again in a moment.",
        }
