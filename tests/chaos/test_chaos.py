"""Two hundred clients, eight accounts in bad moods, new configurations and a restart in the middle.

While one account is well nobody sees a failure before the first byte; what breaks later is told; nothing is sent twice
once the client has something; the books have every exchange once; nothing is left over; memory stays. `make chaos` runs
it for minutes (LLM_MUX_CHAOS_SECONDS).
"""

import asyncio
import contextlib
import os
import pathlib
import random
import re
import sqlite3
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp
import psutil
import pytest

from llm_mux import paths
from llm_mux.auth.keys import create_management_key
from llm_mux.auth.store import open_store
from llm_mux.server.serving import DAEMON
from tests.chaos.clients import Report, client
from tests.chaos.upstream import KEYS, Moody
from tests.daemon import clean_environment, config_text, daemon, process_daemon
from tests.server.test_restart import command, ended_at_last, record

SEED = int(os.environ.get("LLM_MUX_CHAOS_SEED", "1"))
CLIENTS = int(os.environ.get("LLM_MUX_CHAOS_CLIENTS", "200"))
REQUESTS = int(os.environ.get("LLM_MUX_CHAOS_REQUESTS", "5"))
SECONDS = float(os.environ.get("LLM_MUX_CHAOS_SECONDS", "0"))
STEPS = 20 if SECONDS else 10
RELOAD_AT = range(1, STEPS, 4)
RESTART_AT = STEPS // 3
WARM_AT = STEPS * 7 // 10
"""Of the steps: what comes after it is when the memory has to stay."""
LONG = 5000
"""Requests after which a slope of the memory says something."""
MOST_KIB = 2048
"""What a thousand requests may add to it: 2 KiB each is less than what is said in the smallest of them."""


def configured(upstream: Moody, **more: object) -> dict[str, object]:
    keys = [{"key": key, "label": f"a{number}"} for number, key in enumerate(KEYS)]
    provider = {"id": "moody", "type": "openai-compatible", "base-url": f"{upstream.url}/v1", "models": ["m"]}
    return {
        "providers": [{**provider, "api-keys": keys}],
        "routing": {"strategy": "round-robin"},
        "timeouts": {"connect": 5, "first-byte": 5, "between-bytes": 3},
        "drain-timeout": 60,
        **more,
    }


def sent_twice(upstream: Moody, report: Report) -> list[str]:
    """Requests that reached an upstream after their client had the first content."""
    return [id for id, first in report.first.items() if any(at > first for at in upstream.seen[id])]


def booked(home: pathlib.Path) -> Counter[str]:
    """How often the ledger has each request."""
    with contextlib.closing(sqlite3.connect(home / "data" / "llm-mux.sqlite")) as database:
        if not database.execute("select 1 from sqlite_master where name = 'exchanges'").fetchone():
            return Counter()
        return Counter(id for (id,) in database.execute("select request_id from exchanges"))


async def once(url: str, home: pathlib.Path) -> None:
    """One request to the account that is well, until it is in the books."""
    body = {"model": "moody@a0://m", "messages": [{"role": "user", "content": "once"}]}
    async with aiohttp.ClientSession(url) as session, session.post("/v1/chat/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
    async with asyncio.timeout(10):
        while not (home / "data" / "llm-mux.sqlite").exists() or not booked(home):
            await asyncio.sleep(0.05)


async def quiet(upstream: Moody, seconds: float = 10) -> None:
    """Returns when no request is open at the upstream any more."""
    async with asyncio.timeout(seconds):
        while upstream.open:
            await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Open:
    """What a process holds beside its connections."""

    files: int
    tasks: int
    inbound: int

    def left_since(self, before: "Open") -> int:
        """What is more than it was; a second connection to the books (two files) is not."""
        return self.inbound + max(0, self.tasks - before.tasks) + max(0, self.files - before.files - 2)

    @classmethod
    async def of(cls, pid: int, url: str) -> "Open":
        process, port = psutil.Process(pid), int(url.rsplit(":", 1)[1])
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(url, connector=connector) as session:
            async with session.get("/health/system") as answer:
                tasks = (await answer.json())["details"]["process_tasks"]
        ends = [end for end in process.net_connections("tcp") if end.status != "LISTEN"]
        inbound = [end for end in ends if end.laddr.port == port and end.status == "ESTABLISHED"]
        return cls(process.num_fds() - len(ends), tasks, len(inbound))


@dataclass
class Run:
    """One run: how far it is, what was asked of the daemon meanwhile, and how its memory fared."""

    home: pathlib.Path
    url: str
    upstream: Moody
    report: Report
    began: float
    key: str
    reloads: list[str] = field(default_factory=list)
    restarts: int = 0
    cleared: int = 0
    memory: list[tuple[int, float]] = field(default_factory=list)

    @property
    def way(self) -> float:
        """0 at the beginning, 1 at the end."""
        if SECONDS:
            return (time.monotonic() - self.began) / SECONDS
        return len(self.report.ids) / (CLIENTS * REQUESTS)

    async def meddle(self) -> None:
        """At every fourth step a new configuration, a restart in the middle, and looks at the memory after it. Rests
        are ended by hand again and again: whoever is in a bad mood is asked once more."""
        for step in range(1, STEPS):
            while self.way < step / STEPS:
                await asyncio.sleep(0.02)
            if step == RESTART_AT:
                code, out, err = await command(self.home, "restart")
                assert code == 0, out + err
                self.restarts += 1
            elif step in RELOAD_AT:
                await self._reload(f"n{step}")
            else:
                await self._clear()
            if step >= WARM_AT:
                self.memory.append((len(self.report.ids), self.megabytes()))

    async def _reload(self, alias: str) -> None:
        """A new configuration is in effect when this returns."""
        text = config_text(configured(self.upstream, aliases={alias: "m"}))
        (self.home / "config.yaml").write_text(text)
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{self.url}/v1/models/{alias}") as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.1)
        self.reloads.append(alias)

    async def _clear(self) -> None:
        headers = {"X-Management-Key": self.key}
        async with aiohttp.ClientSession(self.url, headers=headers) as session:
            async with session.delete("/v0/management/cooldowns") as answer:
                self.cleared += len((await answer.json())["cleared"])

    def megabytes(self) -> float:
        return float(psutil.Process(record(self.home).pid).memory_info().rss / 2**20)

    def slope(self) -> float:
        """KiB that a thousand requests add, where most of the looks agree (Theil and Sen): what one look caught by
        chance says nothing."""
        steps = [
            (later - sooner) / (b - a) * 1024 * 1000
            for n, (a, sooner) in enumerate(self.memory)
            for b, later in self.memory[n + 1 :]
            if b > a
        ]
        return statistics.median(steps)

    async def kept_connections(self) -> float:
        """Of the requests to the upstream, the share that went over a connection that was there."""
        async with aiohttp.ClientSession(self.url) as session, session.get("/metrics") as answer:
            page = await answer.text()

        def value(name: str) -> float:
            found = re.search(rf"^{name} (\S+)$", page, re.MULTILINE)
            assert found is not None, name
            return float(found[1])

        asked, opened = value("llm_mux_upstream_requests_total"), value("llm_mux_upstream_connections_total")
        return 1 - opened / asked


async def settled(pid: int, url: str, before: Open) -> Open:
    """What a process holds once that is what it held `before`, or after ten seconds."""
    until = time.monotonic() + 10
    while True:
        now = await Open.of(pid, url)
        if now.left_since(before) <= 0 or time.monotonic() > until:
            return now
        await asyncio.sleep(0.1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot hand sockets over")
async def test_nobody_sees_what_another_account_could_answer(tmp_path: pathlib.Path) -> None:
    report, chance = Report(), random.Random(SEED)
    environment = clean_environment(tmp_path)
    key = create_management_key(open_store(env=environment, data_dir=paths.data_dir(environment)))
    async with Moody(SEED) as upstream:
        with process_daemon(tmp_path, configured(upstream)) as mux, ended_at_last(tmp_path):
            await once(mux.url, tmp_path)
            fresh = await Open.of(mux.process.pid, mux.url)
            run = Run(tmp_path, mux.url, upstream, report, time.monotonic(), key)
            meddling = asyncio.create_task(run.meddle())
            await asyncio.gather(
                *(
                    client(mux.url, f"c{n}", REQUESTS, random.Random(chance.random()), report, meddling.done)
                    for n in range(CLIENTS)
                )
            )
            await meddling
            seconds = time.monotonic() - run.began
            await quiet(upstream)
            run.memory.append((len(report.ids), run.megabytes()))
            last = await settled(record(tmp_path).pid, mux.url, fresh)
            kept = await run.kept_connections()
    books = booked(tmp_path)
    enough = run.memory[-1][0] - run.memory[0][0] > LONG
    figures = {
        "requests": len(report.ids),
        "seconds": round(seconds, 1),
        "verdicts": dict(report.verdicts),
        "attempts by mood": dict(upstream.by_mood),
        "failures seen by clients before a byte": report.verdicts["failed"],
        "made-up clean ends": report.verdicts["made up"] + report.verdicts["cut without a word"],
        "sent twice after the first byte": len(sent_twice(upstream, report)),
        "in the books not once": sum(books[id] != 1 for id in report.ids),
        "restarts, configurations taken, rests ended by hand": (run.restarts, len(run.reloads), run.cleared),
        "files, tasks, clients' connections left": (last.files - fresh.files, last.tasks - fresh.tasks, last.inbound),
        "memory MiB": [round(each, 1) for _, each in run.memory],
        "memory KiB more per 1,000 requests": round(run.slope()) if enough else "too few requests",
        "requests over kept connections": f"{kept:.1%}",
        "slowest s": round(max(report.seconds), 1),
    }
    print("\nchaos:", *(f"  {name}: {value}" for name, value in figures.items()), sep="\n")
    assert report.verdicts["failed"] == 0, report.failed[:5]
    assert report.verdicts["made up"] == report.verdicts["cut without a word"] == 0, report.failed[:5]
    assert sent_twice(upstream, report) == []
    assert {id: books[id] for id in report.ids if books[id] != 1} == {}
    assert (run.restarts, len(run.reloads)) == (1, len(RELOAD_AT))
    assert last.left_since(fresh) == 0, (fresh, last)
    assert max(each for _, each in run.memory) - min(each for _, each in run.memory) < 40, "memory stays"
    assert not enough or run.slope() < MOST_KIB, "memory grows with every request"
    assert len(upstream.by_mood) >= 9, "most moods were met"


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
