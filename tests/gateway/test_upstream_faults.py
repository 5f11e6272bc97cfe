"""Connections that die at every moment: nothing is left over, and no request is sent twice after it was answered."""

import asyncio
import contextlib
import gc
import random
import socket
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.http.client import LeanUpstream
from llm_mux.gateway.http.connection import Connection, Limits
from llm_mux.gateway.http.framing import Chunked, Sized
from llm_mux.gateway.http.head import Malformed
from llm_mux.gateway.upstream import Call, Reply, Timeouts
from tests.gateway.test_upstream_conformance import BAD, GOOD, Bad, Good
from tests.raw_server import CLOSE, RESET, RawServer, Script

SOON = Timeouts(5, 5, 5)


async def asked(client: LeanUpstream, url: str, name: int) -> bytes:
    reply = await client.send(Call(url, {"X-Name": str(name)}, b"{}" * 50, timeouts=SOON))
    try:
        return await reply.read()
    finally:
        reply.close()


def answer(name: int) -> bytes:
    """The answer to one request: chunked or sized, of a size of its own."""
    body = (b"%d." % name) * (name % 40 + 1)
    if name % 2:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def body_of(name: int) -> bytes:
    return (b"%d." % name) * (name % 40 + 1)


class Unreliable:
    """Answers by the name in the request; a third of the connections' answers break off somewhere."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.begun: set[int] = set()
        self.repeated: set[int] = set()
        self.server: RawServer | None = None

    def __call__(self, connection: int, request: int) -> Script:
        assert self.server is not None
        name = name_of(self.server.requests[-1])
        if name in self.begun:
            self.repeated.add(name)
        whole = answer(name)
        chance = self._random.random()
        if chance > 0.3:
            self.begun.add(name)
            return [whole]
        at = self._random.choice([0, 0, self._random.randrange(len(whole)), len(whole)])
        if at:
            self.begun.add(name)
        end = CLOSE if chance > 0.15 else RESET
        return [whole[:at], end] if at else [end]


def name_of(request: bytes) -> int:
    return int(request.partition(b"X-Name: ")[2].split(b"\r\n")[0])


async def test_a_thousand_cuts_leave_nothing_over_and_send_nothing_twice() -> None:
    unreliable = Unreliable(7)
    process = psutil.Process()
    client = LeanUpstream(environment_proxies=False)
    async with RawServer([answer(1)]) as server:
        # What a loop opens for itself when it is first used is not counted.
        await asked(client, server.url, 1)
        await client.close()
    gc.collect()
    before = process.num_fds()
    client = LeanUpstream(environment_proxies=False)
    outcomes: Counter[str] = Counter()
    async with RawServer(unreliable) as server:
        unreliable.server = server
        names = iter(range(1000))

        async def worker() -> None:
            for name in names:
                try:
                    assert await asked(client, server.url, name) == body_of(name)
                    outcomes["whole"] += 1
                except MuxError as error:
                    assert error.kind in (Kind.UPSTREAM_CUT, Kind.UPSTREAM_NONSENSE), error
                    outcomes[error.kind.value] += 1

        await asyncio.gather(*(worker() for _ in range(8)))
        await client.close()
    sent = Counter(map(name_of, server.requests))
    assert set(sent) == set(range(1000))
    assert max(sent.values()) == 2, "a stale connection is asked once more, and no more than once"
    again = {name for name, count in sent.items() if count > 1}
    assert again
    assert outcomes["whole"] > 700
    assert outcomes["upstream_cut"] > 50
    assert not unreliable.repeated, "a byte had been answered"
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Connection)]
    assert process.num_fds() <= before


@pytest.mark.parametrize("end", [CLOSE, RESET], ids=["closed", "reset"])
@pytest.mark.parametrize(
    "said", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"]
)
async def test_a_request_is_not_sent_again_once_a_byte_came_back(said: bytes, end: object) -> None:
    def scripts(connection: int, request: int) -> Script:
        return [answer(1)] if request == 0 else [said, end]  # type: ignore[list-item]

    client = LeanUpstream(environment_proxies=False)
    async with RawServer(scripts) as server:
        await asked(client, server.url, 1)
        with pytest.raises(MuxError) as caught:
            await asked(client, server.url, 2)
        assert caught.value.kind is Kind.UPSTREAM_CUT
        assert [name_of(request) for request in server.requests] == [1, 2]
        await client.close()


async def test_the_second_try_is_over_a_new_connection_and_the_last() -> None:
    def scripts(connection: int, request: int) -> Script:
        return [answer(1)] if request == 0 and connection < 4 else [CLOSE]

    client = LeanUpstream(environment_proxies=False)
    async with RawServer(scripts) as server:
        await asyncio.gather(*(asked(client, server.url, 1) for _ in range(4)))
        assert server.connections == 4
        with pytest.raises(MuxError, match="without an answer"):
            await asked(client, server.url, 2)
        assert [name_of(request) for request in server.requests].count(2) == 2
        assert server.connections == 5
        await client.close()


# Any cut of the bytes gives the same answer.


@contextlib.contextmanager
def connected() -> Iterator[tuple[Connection, asyncio.AbstractEventLoop, socket.socket]]:
    """A connection over a pair of sockets, on a loop that runs only when asked to."""
    loop = asyncio.new_event_loop()
    ours, theirs = socket.socketpair()
    try:
        _, connection = loop.run_until_complete(
            loop.create_connection(lambda: Connection(loop, Limits(), lambda _: None), sock=ours)
        )
        yield connection, loop, theirs
        connection.drop()
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        theirs.close()
        loop.close()


def heard(pieces: list[bytes], method: str, *, ends: bool) -> tuple[object, ...]:
    """What becomes of an answer that arrives in these pieces: status and body, or what went wrong."""
    with connected() as (connection, loop, _):

        async def talk() -> tuple[object, ...]:
            waiting = connection.ask(Call("http://x/", {}, b"", method=method, timeouts=SOON), b"x")
            for piece in pieces:
                if not connection.closed:
                    connection.data_received(piece)
            if ends and not connection.closed:
                connection.eof_received()
            try:
                reply: Reply = await waiting
                return reply.status, await reply.read()
            except MuxError as error:
                return (error.kind,)

        return loop.run_until_complete(talk())


def cuts(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """`data` in pieces, cut anywhere."""
    return st.lists(st.integers(0, len(data)), max_size=12).map(
        lambda places: [
            data[a:b] for a, b in zip([0, *sorted(places)], [*sorted(places), len(data)], strict=True) if a < b
        ]
    )


def test_any_cut_of_an_answer_gives_the_same_answer() -> None:
    short = [case for case in (*GOOD, *BAD) if len(case.answer) < 4000]

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(short).flatmap(lambda case: st.tuples(st.just(case), cuts(case.answer))))
    def holds(drawn: tuple[Good | Bad, list[bytes]]) -> None:
        case, pieces = drawn
        method, ends = (case.method, case.ends) if isinstance(case, Good) else ("POST", True)
        got = heard(pieces, method, ends=ends)
        if isinstance(case, Good):
            assert got == (case.status, case.body)
        elif case.last is CLOSE:
            assert got[0] in (case.kind, Kind.UPSTREAM_CUT)

    holds()


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
@example([b"0\r\n\r\n", b"\r\n"], None)
def test_chunks_come_out_as_they_went_in(bodies: list[bytes], data: st.DataObject | None) -> None:
    packed = b"".join(b"%x;x=y\r\n%b\r\n" % (len(body), body) for body in bodies) + b"0\r\nX: y\r\n\r\nrest"
    pieces = data.draw(cuts(packed)) if data is not None else [packed]
    framing, out, rest = Chunked(), b"", b""
    for piece in pieces:
        if framing.over:
            rest += piece
        else:
            out += framing.feed(piece)
            rest += framing.rest
    assert (framing.over, out, rest) == (True, b"".join(bodies), b"rest")


@given(st.binary(max_size=200), st.data())
def test_a_sized_body_ends_where_its_length_says(body: bytes, data: st.DataObject) -> None:
    framing, out, rest = Sized(len(body)), b"", b""
    for piece in data.draw(cuts(body + b"rest")):
        if framing.over:
            rest += piece
        else:
            out += framing.feed(piece)
            rest += framing.rest
    assert (framing.over, out, rest) == (True, body, b"rest")


@settings(max_examples=300)
@given(st.text("0123456789abcfFx;=+- \t\r\n\0", max_size=40).map(str.encode))
def test_chunked_nonsense_is_refused_or_waited_for_and_never_more_than_came(data: bytes) -> None:
    framing = Chunked()
    with contextlib.suppress(Malformed):
        assert len(framing.feed(data)) <= len(data)
