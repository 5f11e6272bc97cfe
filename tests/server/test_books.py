"""When the books have an exchange: never later than its client has the end of the answer."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from llm_mux.gateway.upstream import Begun, Call, Receiver, Reply
from llm_mux.ledger import ring
from llm_mux.server.serving import DAEMON
from tests.server import costing
from tests.server.costing import ANSWERS, STREAMS, Client, ReadyUpstream

ASKED = {
    "spliced": costing.small("same", stream=False),
    "translated": costing.small("other", stream=False),
    "spliced stream": costing.small("same", stream=True),
    "translated stream": costing.small("other", stream=True),
    "refused": b'{"model":"nobody has it","messages":[]}',
    "unreadable": b'{"model":"same",',
}
BOOKED = ASKED.keys() - {"unreadable"}


def named(body: bytes, name: str) -> bytes:
    return costing.request(body).replace(b"Host:", b"X-Request-ID: %b\r\nHost:" % name.encode(), 1)


def outlives(folder: pathlib.Path) -> bytes:
    """What a process that is killed now leaves of its rows."""
    on_disk = (path.read_bytes() for path in folder.rglob("*.rows"))
    return b"".join([*map(ring.left, folder.rglob("*.ring")), *on_disk])


class Watching(Client):
    """Notes at each end of an answer which rows would outlive the process; `names` are those of its requests."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__()
        self.folder = folder
        self.left: list[bytes] = []
        self.written: list[bytes] = []
        self.closed = False
        self.ended = asyncio.Event()

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written.append(bytes(data))
        if bytes(data).endswith(b"0\r\n\r\n") or b"Content-Length" in bytes(data)[:1000]:
            self.left.append(outlives(self.folder))
            self.ended.set()

    async def ends(self, count: int) -> None:
        """Waits for the ends of so many answers."""
        async with asyncio.timeout(20):
            while len(self.left) < count:
                self.ended.clear()
                await self.ended.wait()

    def is_reading(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


class Between(ReadyUpstream):
    """Its answers are there at once, and then something happens in the same turn of the event loop."""

    happens: Callable[[], None]

    def begin(self, call: Call, receiver: Receiver) -> Begun:
        begun = super().begin(call, receiver)
        asyncio.get_running_loop().call_soon(self.happens)
        return begun

    async def send(self, call: Call) -> Reply:
        asyncio.get_running_loop().call_soon(self.happens)
        return await super().send(call)


@contextlib.asynccontextmanager
async def watched(
    folder: pathlib.Path, upstream: ReadyUpstream
) -> AsyncIterator[tuple[web.Application, Any, Watching]]:
    """A daemon that has another request under way, so that what ends waits for the end of the turn."""
    app = costing.daemon(folder)
    async with costing.connected(app, upstream) as (lane, _):
        app[DAEMON].metrics.active_requests += 1
        client = Watching(folder)
        lane.connection_made(client)
        yield app, lane, client


@pytest.mark.parametrize("kind", ASKED)
async def test_the_end_of_an_answer_leaves_when_its_row_outlives_the_process(tmp_path: pathlib.Path, kind: str) -> None:
    async with watched(tmp_path, ReadyUpstream(ANSWERS, STREAMS)) as (_, lane, client):
        for number, name in enumerate(("first", "second"), 1):
            lane.data_received(named(ASKED[kind], name))
            await client.ends(number)
    assert [b"first" in client.left[0], b"second" in client.left[1]] == [kind in BOOKED] * 2


@pytest.mark.parametrize("kind", ["spliced", "translated"])
async def test_a_request_alone_waits_for_nothing(tmp_path: pathlib.Path, kind: str) -> None:
    upstream = Between(ANSWERS, STREAMS)
    ended: list[int] = []
    async with watched(tmp_path, upstream) as (app, lane, client):
        upstream.happens = lambda: ended.append(len(client.left))
        for number, others in enumerate((0, 0, 0, 1), 1):
            app[DAEMON].metrics.active_requests = others
            lane.data_received(named(ASKED[kind], f"number-{number}"))
            await client.ends(number)
    assert ended[2:] == [3, 3], "the third in the very callback that brought its answer, the fourth a turn later"
    assert [f"number-{number}".encode() in left for number, left in enumerate(client.left, 1)] == [True] * 4


async def test_what_ends_together_is_kept_together_and_each_client_has_its_answer(tmp_path: pathlib.Path) -> None:
    async with watched(tmp_path, ReadyUpstream(ANSWERS, STREAMS)) as (app, lane, first):
        lane.data_received(named(ASKED["spliced"], "the first loads what they take"))
        await first.ends(1)
        clients = [Watching(tmp_path) for _ in range(20)]
        lanes = [lane._lanes() for _ in clients]
        for number, (one, client) in enumerate(zip(lanes, clients, strict=True)):
            one.connection_made(client)
            one.data_received(named(ASKED["spliced"], f"number-{number:02}"))
        await asyncio.gather(*(client.ends(1) for client in clients))
        assert app[DAEMON].parts.writer.state.recorded == 21
    names = [f"number-{number:02}".encode() for number in range(20)]
    assert all(name in client.left[0] for client in clients for name in names), "all rows first, then the answers"
    assert [name in b"".join(client.written) for client, name in zip(clients, names, strict=True)] == [True] * 20


async def test_a_client_that_leaves_before_the_end_is_written_has_its_row_and_costs_nothing_else(
    tmp_path: pathlib.Path,
) -> None:
    upstream = Between(ANSWERS, STREAMS)
    async with watched(tmp_path, upstream) as (app, lane, client):
        upstream.happens = lambda: lane.connection_lost(None)
        lane.data_received(named(ASKED["spliced"], "left"))
        while not app[DAEMON].parts.writer.state.recorded:
            await asyncio.sleep(0)
        await costing.settled(app)
        [line] = app[DAEMON].parts.recent.after(0, 9)
        assert (line["status"], line["output_tokens"] > 0) == (200, True), "the answer was there and is paid for"
        assert not client.written


async def test_a_connection_that_is_closed_before_the_end_is_written_gets_it_first(tmp_path: pathlib.Path) -> None:
    upstream = Between(ANSWERS, STREAMS)
    async with watched(tmp_path, upstream) as (_, lane, client):
        upstream.happens = lane.close
        lane.data_received(named(ASKED["spliced"], "closed"))
        await client.ends(1)
        assert client.closed
        assert b"closed" in b"".join(client.written)


@pytest.mark.parametrize("kind", ASKED)
async def test_requests_that_came_together_are_answered_in_their_order(tmp_path: pathlib.Path, kind: str) -> None:
    async with watched(tmp_path, ReadyUpstream(ANSWERS, STREAMS)) as (_, lane, client):
        lane.data_received(named(ASKED[kind], "one") + named(ASKED["spliced"], "two") + named(ASKED[kind], "three"))
        await client.ends(3)
    ends = b"".join(client.written)
    assert ends.index(b"one") < ends.index(b"two") < ends.index(b"three")
