"""Two hundred clients, eight accounts in bad moods, new configurations and a restart in the middle.

While one account is well nobody sees a failure before the first byte; what breaks later is told; nothing is sent twice
once the client has something; the books have every exchange once; nothing is left over. `make chaos` runs it longer.
"""

import asyncio
import os
import pathlib
import random
import sqlite3
import time
from collections import Counter

import psutil
import pytest
import yaml

from tests.chaos.clients import Report, client
from tests.chaos.upstream import KEYS, Moody
from tests.daemon import config_text, daemon, process_daemon
from tests.server.test_restart import command, ended_at_last, record

SEED = int(os.environ.get("LLM_MUX_CHAOS_SEED", "1"))
CLIENTS = int(os.environ.get("LLM_MUX_CHAOS_CLIENTS", "200"))
REQUESTS = int(os.environ.get("LLM_MUX_CHAOS_REQUESTS", "5"))


def configured(upstream: Moody, **more: object) -> dict[str, object]:
    keys = [{"key": key, "label": f"a{number}"} for number, key in enumerate(KEYS)]
    provider = {"id": "moody", "type": "openai-compatible", "base-url": f"{upstream.url}/v1", "models": ["m"]}
    return {
        "providers": [{**provider, "api-keys": keys}],
        "routing": {"strategy": "round-robin"},
        "timeouts": {"connect": 5, "first-byte": 5, "between-bytes": 3},
        **more,
    }


def sent_twice(upstream: Moody, report: Report) -> list[str]:
    """Requests that reached an upstream after their client had the first content."""
    return [id for id, first in report.first.items() if any(at > first for at in upstream.seen[id])]


def booked(home: pathlib.Path) -> Counter[str]:
    """How often the ledger has each request."""
    with sqlite3.connect(home / "data" / "llm-mux.sqlite") as database:
        return Counter(id for (id,) in database.execute("select request_id from exchanges"))


async def quiet(upstream: Moody, seconds: float = 10) -> None:
    """Returns when no request is open at the upstream any more."""
    async with asyncio.timeout(seconds):
        while upstream.open:
            await asyncio.sleep(0.05)


async def meddle(home: pathlib.Path, upstream: Moody, report: Report, all_: int, rss: list[float]) -> None:
    """New configurations at every tenth of the way, a restart in the middle, and a look at the memory after it."""
    restarted = False
    for tenth in range(1, 10):
        while len(report.ids) < all_ * tenth / 10:
            await asyncio.sleep(0.02)
        if tenth == 5 and hasattr(os, "fork"):
            code, out, err = await command(home, "restart")
            assert code == 0, out + err
            restarted = True
        elif tenth % 2:
            text = config_text(configured(upstream, **{"request-retry": 3 + tenth, "aliases": {f"n{tenth}": "m"}}))
            (home / "config.yaml").write_text(text)
        if restarted and tenth >= 6:
            rss.append(psutil.Process(record(home).pid).memory_info().rss / 2**20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot hand sockets over")
async def test_nobody_sees_what_another_account_could_answer(tmp_path: pathlib.Path) -> None:
    report, chance, rss = Report(), random.Random(SEED), []
    async with Moody(SEED) as upstream:
        with process_daemon(tmp_path, configured(upstream)) as mux, ended_at_last(tmp_path):
            began = time.monotonic()
            meddling = asyncio.create_task(meddle(tmp_path, upstream, report, CLIENTS * REQUESTS, rss))
            await asyncio.gather(
                *(client(mux.url, f"c{n}", REQUESTS, random.Random(chance.random()), report) for n in range(CLIENTS))
            )
            await meddling
            seconds = time.monotonic() - began
            await quiet(upstream)
            last = psutil.Process(record(tmp_path).pid)
            inbound = [
                c for c in last.net_connections("tcp") if c.status == "ESTABLISHED" and c.laddr.port == port(mux.url)
            ]
            rss.append(last.memory_info().rss / 2**20)
            applied = yaml.safe_load((tmp_path / "config.yaml").read_text())["request-retry"]
    books = booked(tmp_path)
    figures = {
        "requests": len(report.ids),
        "verdicts": dict(report.verdicts),
        "attempts by mood": dict(upstream.by_mood),
        "sent twice after the first byte": len(sent_twice(upstream, report)),
        "in the books not once": sum(books[id] != 1 for id in report.ids),
        "connections left": len(inbound),
        "memory MiB": [round(each, 1) for each in rss],
        "seconds": round(seconds, 1),
        "slowest s": round(max(report.seconds), 1),
    }
    print("\nchaos:", *(f"  {name}: {value}" for name, value in figures.items()), sep="\n")
    assert report.verdicts["failed"] == 0, report.failed[:5]
    assert report.verdicts["made up"] == report.verdicts["cut without a word"] == 0, report.failed[:5]
    assert sent_twice(upstream, report) == []
    assert {id: books[id] for id in report.ids if books[id] != 1} == {}
    assert inbound == []
    assert max(rss) - min(rss) < 40, "memory stays"
    assert applied > 3
    assert len(upstream.by_mood) >= 9, "most moods were met"


def port(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


async def test_nothing_is_left_over_in_the_process(tmp_path: pathlib.Path) -> None:
    report, chance = Report(), random.Random(SEED)
    async with Moody(SEED) as upstream, daemon(tmp_path, configured(upstream)) as running:
        before = asyncio.all_tasks()
        files = psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0
        await asyncio.gather(
            *(client(running.url, f"c{n}", 4, random.Random(chance.random()), report) for n in range(20))
        )
        await quiet(upstream)
        async with asyncio.timeout(10):
            while left := [task for task in asyncio.all_tasks() - before if not task.done() and ours(task)]:
                await asyncio.sleep(0.05)
        from llm_mux.server.serving import DAEMON

        gateway = running.app[DAEMON].gateway
        assert [account.inflight for account in gateway.accounts] == [0] * 8
        assert len(gateway.waiting) == 0
        pooled = [c for c in psutil.Process().net_connections("tcp") if c.status == "ESTABLISHED"]
        files_now = psutil.Process().num_fds() if files else 0
        print(f"\nchaos: {dict(report.verdicts)}, tasks left {len(left)}, files {files} -> {files_now}")
        assert files_now - files - len(pooled) < 10
    assert report.verdicts["failed"] == 0, report.failed[:5]


def ours(task: "asyncio.Task[object]") -> bool:
    """Not the servers' own tasks for connections that are kept open."""
    return "RequestHandler.start" not in repr(task.get_coro())
