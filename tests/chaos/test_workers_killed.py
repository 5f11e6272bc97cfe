"""Workers that are killed again and again under load, and a Redis of one's own that stops, hangs and comes back.

What a client sees is a whole answer, or a connection that broke before one: never a made-up end. Limits hold over all of
it, and every answer that a client got is in the books, once. `make chaos` runs it for minutes (LLM_MUX_CHAOS_SECONDS).
"""

import asyncio
import contextlib
import os
import pathlib
import sqlite3
import sys
from collections import Counter

import aiohttp
import pytest
from aiohttp import web

from tests.chaos.load import BODY, SECONDS, Load
from tests.chaos.servers import OwnRedis
from tests.daemon import ProcessDaemon, process_daemon
from tests.server.test_workers import Upstream, fresh, provider, upstream_of, whole, workers_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this platform has no sockets that processes share")

CLIENTS = 8


async def healthy(upstream: Upstream, request: web.Request) -> web.StreamResponse:
    return whole()


def booked(home: pathlib.Path) -> Counter[str]:
    with contextlib.closing(sqlite3.connect(home / "data" / "llm-mux.sqlite")) as database:
        return Counter(id for (id,) in database.execute("select request_id from exchanges"))


async def whole_again(session: aiohttp.ClientSession, mux: ProcessDaemon) -> bool:
    """Whether two workers are there and one says that it is ready; one that was just killed may take the question."""
    if len(workers_of(mux)) < 2:
        return False
    try:
        async with session.get(f"{mux.url}/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def test_killing_a_worker_every_second_loses_no_row_and_doubles_none(tmp_path: pathlib.Path) -> None:
    kills = 0
    async with upstream_of(healthy) as upstream:
        with process_daemon(tmp_path, {"providers": [provider(upstream)], "workers": 2}) as mux:
            async with Load().running(mux.url, CLIENTS) as seen:
                now = asyncio.get_running_loop().time
                until = now() + SECONDS
                # A slow machine gets its answers too, only later.
                while now() < until or (seen.verdicts["200"] <= 20 and now() < until + 60):
                    await asyncio.sleep(1)
                    if workers := workers_of(mux):
                        kills += 1
                        workers[kills % len(workers)].kill()
                async with fresh() as session, asyncio.timeout(60):
                    while not await whole_again(session, mux):
                        await asyncio.sleep(0.1)
    books = booked(tmp_path)
    print(f"\nkills {kills}, {dict(seen.verdicts)}, rows {books.total()}")
    assert kills >= 3
    assert seen.verdicts["200"] > 20
    assert set(seen.verdicts) <= {"200", "broken off", "503"}
    assert [id for id, count in books.items() if count > 1] == []
    assert [id for id in seen.told if not books[id]] == []


async def test_limits_hold_while_workers_are_killed(tmp_path: pathlib.Path) -> None:
    limit = 60
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(upstream_of(healthy))
        redis = OwnRedis(tmp_path)
        await redis.start()
        stack.callback(redis.kill)
        config = {
            "providers": [provider(upstream)],
            "workers": 2,
            "api-keys": [f"key-{tmp_path.parent.name}-{tmp_path.name}-{os.getpid()}"],
            "disable-auth": False,
            "rate-limits": {"requests-per-hour": limit, "when-redis-fails": "refuse"},
            "redis-url": redis.url,
        }
        bearer = {"Authorization": f"Bearer {config['api-keys'][0]}"}  # type: ignore[index]
        verdicts: Counter[str] = Counter()
        with process_daemon(tmp_path, config) as mux:
            async with fresh() as session, asyncio.timeout(90):
                while verdicts["429"] < 10:
                    if sum(verdicts.values()) in (10, 30, 50) and (workers := workers_of(mux)):
                        workers[0].kill()
                    try:
                        async with session.post(f"{mux.url}/v1/chat/completions", json=BODY, headers=bearer) as answer:
                            verdicts[str(answer.status)] += 1
                    except aiohttp.ClientError:
                        verdicts["broken off"] += 1
        assert sum(upstream.asked.values()) <= limit
        assert verdicts["200"] + verdicts["broken off"] >= limit
        assert set(verdicts) <= {"200", "429", "broken off"}


async def test_a_redis_that_is_paused_or_killed_costs_no_request(tmp_path: pathlib.Path) -> None:
    """And `/health` says so until it is back."""
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(upstream_of(healthy))
        redis = OwnRedis(tmp_path)
        await redis.start()
        stack.callback(redis.kill)
        config = {
            "providers": [provider(upstream)],
            "workers": 2,
            "rate-limits": {"requests-per-minute": 10_000},
            "redis-url": redis.url,
        }
        with process_daemon(tmp_path / "home", config) as mux:
            async with fresh() as session:

                async def status() -> int:
                    async with session.post(f"{mux.url}/v1/chat/completions", json=BODY) as answer:
                        return answer.status

                async def redis_is(wanted: str) -> None:
                    async with asyncio.timeout(30):
                        while True:
                            await status()
                            async with session.get(f"{mux.url}/health") as answer:
                                if (await answer.json())["components"]["redis"] == wanted:
                                    return
                            await asyncio.sleep(0.1)

                await redis_is("healthy")
                for fault in (redis.paused, redis.killed):
                    async with fault():
                        assert {await status() for _ in range(12)} == {200}
                        await redis_is("degraded")
                    await redis_is("healthy")
