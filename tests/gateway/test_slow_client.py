"""A client that reads nothing must not fill the daemon's memory: it slows the upstream down instead."""

import asyncio
import pathlib
from collections.abc import Sequence
from typing import overload

import aiohttp
import msgspec
import psutil
import pytest

from tests.daemon import process_daemon
from tests.fake_upstream import FakeUpstream, Reply, Step, sse_reply

PIECE = (
    b"data: "
    + msgspec.json.encode(
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "model": "m",
            "choices": [{"index": 0, "delta": {"content": "x" * 65_000}}],
        }
    )
    + b"\n\n"
)
END = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
PIECES = 800
GROWTH = 20 << 20


class Counted(Sequence[Step]):
    """The steps of a stream of 50 MB, and how many of them the daemon took."""

    def __init__(self) -> None:
        self.sent = 0
        self.moved = asyncio.Event()

    def __len__(self) -> int:
        return PIECES + 1

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Step]: ...
    def __getitem__(self, index: int | slice) -> Step | Sequence[Step]:
        if isinstance(index, slice) or index > PIECES:
            raise IndexError(index)
        self.sent = index + 1
        self.moved.set()
        return PIECE if index < PIECES else END

    async def stalled(self) -> None:
        """Returns when the daemon takes no more."""
        while self.sent <= PIECES:
            self.moved.clear()
            try:
                await asyncio.wait_for(self.moved.wait(), 0.5)
            except TimeoutError:
                return


CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat"], ids=["splice", "translate"])
@pytest.mark.covers("OP-9")
async def test_a_client_that_reads_nothing_bounds_the_daemons_memory(tmp_path: pathlib.Path, path: str) -> None:
    async with FakeUpstream() as upstream:
        entry = {"type": "openai-compatible", "id": "up", "base-url": f"{upstream.url}/v1", "models": ["m"]}
        with process_daemon(tmp_path, {"providers": [entry]}) as mux:
            process = psutil.Process(mux.process.pid)
            async with aiohttp.ClientSession() as client:
                await settle_in(client, mux.url + path, upstream)
                before = process.memory_info().rss
                answer, steps = await stall(client, mux.url + path, upstream)
                assert steps.sent < PIECES, "the upstream was slowed down"
                assert process.memory_info().rss - before < GROWTH
                size = 0
                async for piece in answer.content.iter_any():
                    size += len(piece)
                assert size > PIECES * 65_000, "all of it arrives once the client reads"
                assert process.memory_info().rss - before < GROWTH


async def settle_in(client: aiohttp.ClientSession, url: str, upstream: FakeUpstream) -> None:
    """Lets the daemon load what it loads with its first exchanges, such as the ledger."""
    upstream.on("/v1/chat/completions", sse_reply(PIECE, END))
    async with client.post(url, json=CHAT) as whole:
        await whole.read()
    first, _ = await stall(client, url, upstream)
    first.close()


async def stall(
    client: aiohttp.ClientSession, url: str, upstream: FakeUpstream
) -> tuple[aiohttp.ClientResponse, Counted]:
    """A stream whose client stopped reading, at the point where the daemon takes no more of it."""
    steps = Counted()
    upstream.on("/v1/chat/completions", Reply(steps, content_type="text/event-stream"))
    answer = await client.post(url, json=CHAT)
    assert answer.status == 200
    await steps.stalled()
    return answer, steps
