"""What requests of a killed worker held is free again as soon as its successor serves, and not before what it still had
to pay is paid: money in SQLite and in PostgreSQL, places under way in Redis."""

import asyncio
import contextlib
import json
import pathlib
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal

import aiohttp
import pytest
from aiohttp import web

from tests.chaos.load import BODY
from tests.chaos.servers import OwnPostgres, OwnRedis
from tests.daemon import process_daemon
from tests.server.test_workers import Upstream, fresh, provider, until, upstream_of, whole, workers_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this platform has no sockets that processes share")

INITIAL, COST = Decimal(4), 3 * Decimal("0.001") + 2 * Decimal("0.003")
DEAR = {**BODY, "max_tokens": 1000}
"""May cost more than half of the balance."""
SOON_S = 30
"""Less than any lease, for machines that are busy with other things."""


@contextlib.asynccontextmanager
async def settings(kind: str, folder: pathlib.Path, upstream: Upstream) -> AsyncIterator[dict[str, object]]:
    config: dict[str, object] = {
        "providers": [provider(upstream)],
        "workers": 2,
        "prices": [{"model": "up/m", "input": "1000", "output": "3000"}],
        "billing": {"enabled": True, "initial-balance": str(INITIAL)},
    }
    async with AsyncExitStack() as stack:
        if kind != "SQLite":
            postgres, redis = stack.enter_context(OwnPostgres.made()), OwnRedis(folder)
            await asyncio.gather(postgres.start(), redis.start())
            stack.callback(redis.kill)
            await postgres.run("CREATE DATABASE books")
            config |= {"usage": {"database": postgres.dsn("books")}, "redis-url": redis.url}
        if kind == "Redis":
            config |= {"billing": {"enabled": False}, "rate-limits": {"concurrent": 1}}
        yield config


@pytest.mark.parametrize(("kind", "refused"), [("SQLite", 402), ("PostgreSQL", 402), ("Redis", 429)])
async def test_what_a_killed_worker_held_is_free_when_its_successor_serves(
    tmp_path: pathlib.Path, kind: str, refused: int
) -> None:
    stuck = False

    async def answer(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        if stuck:
            await upstream.never.wait()
        return whole()

    async with upstream_of(answer) as upstream, settings(kind, tmp_path, upstream) as config, fresh() as session:
        with process_daemon(tmp_path / "home", config) as mux:

            async def status() -> int:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.post(f"{mux.url}/v1/chat/completions", json=DEAR) as answered:
                        return answered.status
                return 0

            async def paid(requests: int) -> bool:
                async with session.get(f"{mux.url}/billing/balance") as told:
                    found = json.loads(await told.text(), parse_float=Decimal)
                return kind == "Redis" or found["balance"] == INITIAL - requests * COST

            assert await status() == 200
            await until(lambda: paid(1))
            stuck = True
            upstream.reached.clear()
            lost = asyncio.create_task(status())
            async with asyncio.timeout(SOON_S):
                await upstream.reached.wait()
                assert [await status() for _ in range(6)] == [refused] * 6
            for worker in workers_of(mux):
                worker.kill()
            assert await lost == 0
            stuck = False
            seen: Counter[int] = Counter()
            async with asyncio.timeout(SOON_S):
                while not seen[200]:
                    seen[await status()] += 1
            assert set(seen) <= {0, 200, 503, refused}
            await until(lambda: paid(2))
