"""HTTP/1.1 as RFC 9112 has it and as servers speak it: the same cases for both clients, on both event loops."""

import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.upstream import Call, Timeouts, Upstream, open_upstream
from tests.fake_upstream import cut
from tests.raw_server import CLOSE, RESET, RawServer, Script, Step

OK = b"HTTP/1.1 200 OK\r\n"
PLACE = "acme/work"


@pytest.fixture(params=["lean", "session"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Upstream]:
    upstream = open_upstream(request.param, environment_proxies=False)
    yield upstream
    await upstream.close()


@pytest.fixture
async def lean() -> AsyncIterator[Upstream]:
    upstream = open_upstream("lean", environment_proxies=False)
    yield upstream
    await upstream.close()


async def asked(client: Upstream, url: str, method: str = "POST", body: bytes | None = b"{}") -> tuple[int, bytes]:
    reply = await client.send(Call(url, {}, body, method=method, place=PLACE, timeouts=Timeouts(5, 5, 5)))
    try:
        return reply.status, await reply.read()
    finally:
        reply.close()


@dataclass(frozen=True)
class Good:
    """An answer that is right: its bytes, what they mean, and whether the connection serves another request.

    `more`: it comes with what nobody asked for, which is noticed when both are in one read; the reference client fails.
    """

    name: str
    answer: bytes
    body: bytes = b""
    status: int = 200
    kept: bool = True
    method: str = "POST"
    ends: bool = False
    more: bool = False


CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = [
    Good("sized", OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    Good("empty", OK + b"Content-Length: 0\r\n\r\n"),
    Good("chunked", OK + CHUNKS + b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", b"hello!"),
    Good("chunked, empty", OK + CHUNKS + b"0\r\n\r\n"),
    Good("chunked in other letters", OK + b"transfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    Good("chunk sizes in capitals and with zeros", OK + CHUNKS + b"00A\r\n0123456789\r\n000\r\n\r\n", b"0123456789"),
    Good("chunk extensions", OK + CHUNKS + b'5;a=b;c="d e"\r\nhello\r\n0;last\r\n\r\n', b"hello"),
    Good("a space after a chunk's size", OK + CHUNKS + b"5 \r\nhello\r\n0\r\n\r\n", b"hello"),
    Good("trailers", OK + CHUNKS + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n", b"hello"),
    Good("100 before", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", b"ok"),
    Good(
        "102 and 103 before",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n"
        + OK
        + b"Content-Length: 2\r\n\r\nok",
        b"ok",
    ),
    Good("no content", b"HTTP/1.1 204 No Content\r\n\r\n", status=204),
    Good("not modified, with a length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", status=304),
    Good("a HEAD's length", OK + b"Content-Length: 7\r\n\r\n", method="HEAD"),
    Good("a HEAD's chunks", OK + CHUNKS, method="HEAD"),
    Good("until the end", OK + b"\r\nhello", b"hello", kept=False, ends=True),
    Good("until the end, empty", OK + b"\r\n", kept=False, ends=True),
    Good("said to close", OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", b"ok", kept=False),
    Good("said to close in a list", OK + b"Connection: x, Close\r\nContent-Length: 2\r\n\r\nok", b"ok", kept=False),
    Good("closed after all", OK + b"Content-Length: 2\r\n\r\nok", b"ok", kept=False, ends=True),
    Good("1.0", b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello", kept=False, ends=True),
    Good("1.0 with a length", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", kept=False),
    Good(
        "1.0 with chunks",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + CHUNKS + b"2\r\nok\r\n0\r\n\r\n",
        b"ok",
        kept=False,
        more=True,
    ),
    Good("1.0 kept", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    Good("no reason", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", b"ok"),
    Good("no reason and no space", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    Good("spaces around values", OK + b"Content-Length:  \t 2  \r\nX:\r\n\r\nok", b"ok"),
    Good("the same header twice", OK + b"Server: a\r\nServer: b\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    Good("an unusual status", b"HTTP/1.1 529 Overloaded\r\nContent-Length: 2\r\n\r\nno", b"no", status=529),
    Good("a long head", OK + b"X: %b\r\nContent-Length: 2\r\n\r\nok" % (b"x" * 60_000), b"ok"),
    Good("more after a length", OK + b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n", b"ok", kept=False, more=True),
    Good("more after the chunks", OK + CHUNKS + b"2\r\nok\r\n0\r\n\r\nmore", b"ok", kept=False, more=True),
    Good("two answers", (OK + b"Content-Length: 2\r\n\r\nok") * 2, b"ok", kept=False, more=True),
    Good("text that is not ASCII", OK + "X-Words: bücher\r\nContent-Length: 2\r\n\r\nok".encode(), b"ok"),
    Good(
        "gzip",
        OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello" * 99),
        b"hello" * 99,
        kept=False,
        ends=True,
    ),
]


def script(case: Good, size: int) -> Script:
    steps: list[Step] = [*cut(case.answer, size)]
    return [*steps, CLOSE] if case.ends else steps


@pytest.mark.parametrize("size", [1, 3, 1 << 20], ids=["bytes", "threes", "whole"])
@pytest.mark.parametrize("case", [case for case in GOOD if not case.more], ids=lambda case: case.name)
async def test_an_answer_means_the_same_however_it_is_cut(client: Upstream, case: Good, size: int) -> None:
    if len(case.answer) > 10_000:
        size *= 1000
    await twice(client, case, size)


@pytest.mark.parametrize("case", [case for case in GOOD if case.more], ids=lambda case: case.name)
async def test_a_connection_with_bytes_that_nobody_asked_for_is_not_used_again(lean: Upstream, case: Good) -> None:
    await twice(lean, case, 1 << 20)


async def twice(client: Upstream, case: Good, size: int) -> None:
    async with RawServer(script(case, size)) as server:
        for count in (1, 2):
            assert await asked(client, server.url, case.method) == (case.status, case.body)
            assert len(server.requests) == count
        assert server.connections == (1 if case.kept else 2)


@dataclass(frozen=True)
class Bad:
    """Bytes that are no answer. `lax`: the reference client takes them for one."""

    name: str
    answer: bytes
    kind: Kind = Kind.UPSTREAM_NONSENSE
    lax: bool = False
    last: Step = CLOSE


CUT = Kind.UPSTREAM_CUT
BAD = [
    Bad("two lengths", OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!"),
    Bad("the same length twice", OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
    Bad("a list of lengths", OK + b"Content-Length: 2, 2\r\n\r\nok"),
    Bad("a negative length", OK + b"Content-Length: -2\r\n\r\nok"),
    Bad("a length with a sign", OK + b"Content-Length: +2\r\n\r\nok"),
    Bad("a length in hexadecimal", OK + b"Content-Length: 0x2\r\n\r\nok"),
    Bad("an empty length", OK + b"Content-Length:\r\n\r\nok", lax=True),
    Bad("a length without end", OK + b"Content-Length: " + b"9" * 40 + b"\r\n\r\nok"),
    Bad("a length and chunks", OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    Bad("chunks and a length", OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n"),
    Bad("a coding that is not chunked", OK + b"Transfer-Encoding: gzip\r\n\r\nok", lax=True),
    Bad("chunked, but not last", OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n", lax=True),
    Bad("a coding inside the chunks", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", lax=True),
    Bad("two codings", OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", lax=True),
    Bad("almost chunked", OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", lax=True),
    Bad("a chunk without a size", OK + CHUNKS + b"\r\nok\r\n0\r\n\r\n"),
    Bad("a chunk's size with a sign", OK + CHUNKS + b"+2\r\nok\r\n0\r\n\r\n"),
    Bad("a chunk's size with 0x", OK + CHUNKS + b"0x2\r\nok\r\n0\r\n\r\n"),
    Bad("a chunk's size that is a word", OK + CHUNKS + b"two\r\nok\r\n0\r\n\r\n"),
    Bad("a space before a chunk's size", OK + CHUNKS + b" 2\r\nok\r\n0\r\n\r\n"),
    Bad("a chunk's size out of all bounds", OK + CHUNKS + b"f" * 17 + b"\r\nok"),
    Bad("a chunk longer than its size", OK + CHUNKS + b"2\r\nok!\r\n0\r\n\r\n"),
    Bad("a chunk line ended by LF", OK + CHUNKS + b"2\nok\r\n0\r\n\r\n", lax=True),
    Bad("an extension with an LF", OK + CHUNKS + b"2;a\nb\r\nok\r\n0\r\n\r\n", lax=True),
    Bad("an extension without end", OK + CHUNKS + b"2;" + b"x" * 70_000),
    Bad("extensions in all chunks", OK + CHUNKS + (b"1;" + b"x" * 4000 + b"\r\na\r\n") * 500 + b"0\r\n\r\n", lax=True),
    Bad("trailers without end", OK + CHUNKS + b"0\r\n" + b"X: y\r\n" * 40_000 + b"\r\n", lax=True),
    Bad("a trailer without a colon", OK + CHUNKS + b"0\r\nnonsense\r\n\r\n"),
    Bad("a folded header", OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok", lax=True),
    Bad("lines ended by LF", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", lax=True),
    Bad("one line ended by LF", OK + b"X: a\nContent-Length: 2\r\n\r\nok", lax=True),
    Bad("a bare CR in a value", OK + b"X: a\rb\r\nContent-Length: 2\r\n\r\nok"),
    Bad("a NUL in a value", OK + b"X: a\0b\r\nContent-Length: 2\r\n\r\nok"),
    Bad("a space before the colon", OK + b"Content-Length : 2\r\n\r\nok", lax=True),
    Bad("a space in a name", OK + b"Content Length: 2\r\n\r\nok"),
    Bad("a header without a name", OK + b": 2\r\n\r\nok"),
    Bad("a header without a colon", OK + b"nonsense\r\n\r\nok"),
    Bad("a status that is a word", b"HTTP/1.1 fine OK\r\n\r\n"),
    Bad("a status of two digits", b"HTTP/1.1 20 OK\r\n\r\n"),
    Bad("a status of four digits", b"HTTP/1.1 2000 OK\r\n\r\n"),
    Bad("another version", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", lax=True),
    Bad("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n"),
    Bad("no head at all", b"<html>hello</html>"),
    Bad(
        "an unasked upgrade", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", lax=True
    ),
    Bad("interim answers without end", b"HTTP/1.1 102 Processing\r\n\r\n" * 200, lax=True),
    Bad("a line that is too long", OK + b"X: " + b"x" * 140_000 + b"\r\nContent-Length: 2\r\n\r\nok"),
    Bad("too many headers", OK + b"X: x\r\n" * 1000 + b"Content-Length: 2\r\n\r\nok"),
    Bad("nothing", b"", CUT),
    Bad("half a head", OK + b"Content-Le", CUT),
    Bad("an interim answer only", b"HTTP/1.1 100 Continue\r\n\r\n", CUT),
    Bad("half a body", OK + b"Content-Length: 5\r\n\r\nhel", CUT),
    Bad("half a chunk", OK + CHUNKS + b"5\r\nhel", CUT),
    Bad("no last chunk", OK + CHUNKS + b"5\r\nhello\r\n", CUT),
    Bad("no end of the trailers", OK + CHUNKS + b"5\r\nhello\r\n0\r\nX: y\r\n", CUT),
    Bad("a reset instead of an end", OK + b"\r\nhello", CUT, lax=True, last=RESET),
]


async def refused(client: Upstream, case: Bad, size: int) -> None:
    async with RawServer([*cut(case.answer, size), case.last]) as server:
        with pytest.raises(MuxError, match=PLACE) as caught:
            await asked(client, server.url)
        assert caught.value.kind in (case.kind, Kind.UPSTREAM_CUT), caught.value.message
        assert b"POST / HTTP/1.1" in server.requests[0]


@pytest.mark.parametrize("case", [case for case in BAD if not case.lax], ids=lambda case: case.name)
async def test_what_is_no_answer_is_refused(client: Upstream, case: Bad) -> None:
    await refused(client, case, 1 << 20)


@pytest.mark.parametrize("size", [1, 1 << 20], ids=["bytes", "whole"])
@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
async def test_the_lean_client_is_strict_however_the_bytes_are_cut(lean: Upstream, case: Bad, size: int) -> None:
    await refused(lean, case, max(size, len(case.answer) // 300))
