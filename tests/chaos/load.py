"""Clients that ask one after another, each time over a new connection, and note what they got."""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping

import aiohttp

from tests.server.test_workers import CHAT

BODY = {**CHAT, "model": "m"}
SECONDS = float(os.environ.get("LLM_MUX_CHAOS_SECONDS", "6"))
NOTHING: Mapping[str, str] = {}


class Load:
    """`told` has the ids of whole answers, `refused` what 503s said."""

    def __init__(self, headers: Mapping[str, str] = NOTHING, *, pause_s: float = 0.0) -> None:
        self.headers = headers
        self.pause_s = pause_s
        self.verdicts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.told: list[str] = []
        self.over = asyncio.Event()

    async def client(self, url: str, name: str) -> None:
        number = 0
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            while not self.over.is_set():
                number += 1
                try:
                    await self._ask(session, url, f"{name}-{number}")
                except (aiohttp.ClientError, OSError):
                    self.verdicts["broken off"] += 1
                await asyncio.sleep(self.pause_s)

    async def _ask(self, session: aiohttp.ClientSession, url: str, id: str) -> None:
        headers = {**self.headers, "X-Request-ID": id}
        async with session.post(f"{url}/v1/chat/completions", json=BODY, headers=headers) as answer:
            body = await answer.json()
        if answer.status == 200:
            assert body["choices"][0]["message"]["content"] == "hi"
            self.told.append(id)
        elif answer.status == 503:
            assert int(answer.headers["Retry-After"]) >= 1, "whoever is refused hears when to ask again"
            self.refused[body["error"]["message"]] += 1
        self.verdicts[str(answer.status)] += 1

    @contextlib.asynccontextmanager
    async def running(self, url: str, clients: int) -> "AsyncIterator[Load]":
        """The clients ask as long as the block lasts, and then to the end of what they are at."""
        tasks = [asyncio.create_task(self.client(url, f"c{n}")) for n in range(clients)]
        try:
            yield self
        finally:
            self.over.set()
            await asyncio.gather(*tasks)

    async def more(self, verdict: str, count: int, seconds: float = 30) -> None:
        """Until so many more clients got that."""
        until = self.verdicts[verdict] + count
        async with asyncio.timeout(seconds):
            while self.verdicts[verdict] < until:
                await asyncio.sleep(0.02)


async def component_is(session: aiohttp.ClientSession, url: str, name: str, *wanted: str) -> None:
    """Until `/health` says so of a component."""
    async with asyncio.timeout(30):
        while True:
            async with session.get(f"{url}/health") as answer:
                if (await answer.json())["components"][name] in wanted:
                    return
            await asyncio.sleep(0.05)
