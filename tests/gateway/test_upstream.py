"""The HTTP client: foreign exceptions, timeouts, stale connections, packed bodies, redirects and proxies."""

import asyncio
import contextlib
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import brotli
import pytest
from backports import zstd

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.http.session import SessionUpstream, translated
from llm_mux.gateway.upstream import Call, Timeouts, Upstream, open_upstream
from tests.fake_upstream import RESET, FakeUpstream, Reply, Wait, cut, json_reply

TEXT = b'data: {"text": "' + b"Hello, world. " * 200 + b'"}\n\n'
CALL = Call("http://upstream.invalid/", {}, place="acme/work")


@pytest.fixture(params=["lean", "session"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Upstream]:
    upstream = open_upstream(request.param, environment_proxies=False)
    yield upstream
    await upstream.close()


async def whole(client: Upstream, call: Call) -> bytes:
    reply = await client.send(call)
    try:
        return await reply.read()
    finally:
        reply.close()


class Bucket:
    """A sink that keeps what it gets; `moved` is set by each piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended: asyncio.Future[MuxError | None] = asyncio.get_running_loop().create_future()
        self.moved = asyncio.Event()

    def piece(self, data: bytes) -> None:
        assert data
        assert not self.ended.done()
        self.pieces.append(data)
        self.moved.set()

    def end(self, error: MuxError | None) -> None:
        self.ended.set_result(error)


async def waited(client: Upstream, call: Call) -> bytes:
    """The body, had by waiting only when nothing is there."""
    reply = await client.send(call)
    pieces: list[bytes] = []
    try:
        while not reply.over:
            pieces.append(reply.ready() or await reply.chunk())
        assert reply.ready() == await reply.chunk() == b""
    finally:
        reply.close()
    return b"".join(pieces)


async def poured(client: Upstream, call: Call) -> bytes:
    """The body, had by a sink."""
    reply = await client.send(call)
    bucket = Bucket()
    reply.pour(bucket)
    error = await bucket.ended
    reply.close()
    if error is not None:
        raise error
    return b"".join(bucket.pieces)


WAYS = [pytest.param(whole, id="read"), pytest.param(waited, id="ready"), pytest.param(poured, id="pour")]
Way = Callable[[Upstream, Call], Awaitable[bytes]]


def client_errors() -> list[type[BaseException]]:
    module = vars(aiohttp.client_exceptions).values()
    return sorted(
        {each for each in module if isinstance(each, type) and issubclass(each, aiohttp.ClientError)},
        key=lambda each: each.__name__,
    )


WAIT = object()
"""Stands for a wait without end; events belong to one test's loop."""

KNOWN = {
    aiohttp.ConnectionTimeoutError: Kind.CONNECT_TIMEOUT,
    aiohttp.SocketTimeoutError: Kind.IDLE_TIMEOUT,
    aiohttp.ClientConnectorCertificateError: Kind.UNREACHABLE,
    aiohttp.ClientConnectorSSLError: Kind.UNREACHABLE,
    aiohttp.ClientConnectorDNSError: Kind.UNREACHABLE,
    aiohttp.ClientProxyConnectionError: Kind.UNREACHABLE,
    aiohttp.ClientHttpProxyError: Kind.UNREACHABLE,
    aiohttp.ClientConnectorError: Kind.UNREACHABLE,
    aiohttp.InvalidURL: Kind.UNREACHABLE,
    aiohttp.NonHttpUrlClientError: Kind.UNREACHABLE,
    aiohttp.ServerDisconnectedError: Kind.UPSTREAM_CUT,
    aiohttp.ClientConnectionResetError: Kind.UPSTREAM_CUT,
    aiohttp.ClientOSError: Kind.UPSTREAM_CUT,
    aiohttp.ClientPayloadError: Kind.UPSTREAM_CUT,
    aiohttp.ClientResponseError: Kind.UPSTREAM_NONSENSE,
    aiohttp.ClientError: Kind.UPSTREAM_ERROR,
    TimeoutError: Kind.FIRST_BYTE_TIMEOUT,
    ConnectionRefusedError: Kind.UNREACHABLE,
    ssl.SSLError: Kind.UNREACHABLE,
    UnicodeError: Kind.UNREACHABLE,
}


@pytest.mark.parametrize("type_", [*client_errors(), TimeoutError, ConnectionRefusedError, ssl.SSLError, UnicodeError])
def test_every_exception_of_the_client_library_becomes_ours(type_: type[BaseException]) -> None:
    with pytest.raises(MuxError) as caught, translated(CALL):
        raise type_.__new__(type_)
    error = caught.value
    assert error.message.startswith("acme/work ")
    assert error.policy.try_next, "it is never the client's fault"
    assert error.policy.cooldown_s == 0
    if type_ in KNOWN:
        assert error.kind is KNOWN[type_]


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://[broken/v1", {}),
        ("http:///v1", {}),
        ("ftp://127.0.0.1/v1", {}),
        ("http://127.0.0.1:99999/v1", {}),
        ("http://127.0.0.1:9/v1", {}),
    ],
)
async def test_an_address_that_cannot_be_asked_is_unreachable(
    client: Upstream, url: str, headers: dict[str, str]
) -> None:
    with pytest.raises(MuxError, match="acme/work") as caught:
        await client.send(Call(url, headers, place="acme/work"))
    assert caught.value.kind is Kind.UNREACHABLE


async def test_a_header_of_two_lines_goes_nowhere(client: Upstream) -> None:
    async with FakeUpstream() as upstream:
        with pytest.raises(MuxError) as caught:
            await client.send(Call(upstream.url, {"authorization": "Bearer a\r\nx-injected: b"}))
        assert caught.value.kind is Kind.UNREACHABLE
        assert "injected" not in caught.value.message
        assert not upstream.requests


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("steps", "timeouts", "kind"),
    [
        pytest.param(None, Timeouts(0.05, 0.05, 5), Kind.FIRST_BYTE_TIMEOUT, id="nothing at all"),
        pytest.param(None, Timeouts(5, 0.05, 0.05), Kind.FIRST_BYTE_TIMEOUT, id="nothing, equal limits"),
        pytest.param(
            (b"some", WAIT),
            Timeouts(5, 0.05, 0.05),
            Kind.IDLE_TIMEOUT,
            id="a pause, equal limits",
        ),
        pytest.param((b"some", WAIT), Timeouts(5, 5, 0.05), Kind.IDLE_TIMEOUT, id="a pause in the middle"),
        pytest.param((b"some", RESET), Timeouts(), Kind.UPSTREAM_CUT, id="a cut in the middle"),
    ],
)
async def test_each_wait_has_its_own_limit(
    client: Upstream, steps: tuple[object, ...] | None, timeouts: Timeouts, kind: Kind, way: Way
) -> None:
    async with FakeUpstream() as upstream:
        body = [Wait(asyncio.Event()) if step is WAIT else step for step in steps or ()]
        upstream.on("*", Reply(body) if steps else Reply(before=asyncio.Event()))
        with pytest.raises(MuxError) as caught:
            await way(client, Call(upstream.url, {}, place="acme/work", timeouts=timeouts))
        assert caught.value.kind is kind


async def test_a_sink_that_pauses_gets_nothing_until_it_goes_on(client: Upstream) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    async with FakeUpstream() as upstream:
        upstream.on("/paused", Reply((b"one", Wait(first), b"two", Wait(second), b"three"))).on("/other", Reply(b"{}"))
        reply = await client.send(Call(f"{upstream.url}/paused", {}))
        bucket = Bucket()
        reply.pour(bucket)
        await bucket.moved.wait()
        reply.pause()
        first.set()
        for _ in range(3):
            assert await whole(client, Call(f"{upstream.url}/other", {})) == b"{}"
        assert bucket.pieces == [b"one"]
        reply.resume()
        second.set()
        assert await bucket.ended is None
        assert b"".join(bucket.pieces) == b"onetwothree"


async def test_a_redirect_is_not_followed(client: Upstream) -> None:
    async with FakeUpstream() as thief, FakeUpstream() as upstream:
        upstream.on("*", Reply(b"", 307, headers={"Location": f"{thief.url}/v1", "Set-Cookie": "a=b"}))
        for _ in range(2):
            answer = await client.send(Call(upstream.url, {"authorization": "Bearer secret"}, b"{}"))
            assert answer.status == 307
            await answer.read()
        assert not thief.requests
        assert "Cookie" not in upstream.last.headers


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


@contextlib.asynccontextmanager
async def closing_server(*, reset: bool, answers: int) -> AsyncIterator[tuple[str, list[int]]]:
    """Answers `answers` requests of its first connection and drops it at the next one; later connections likewise,
    but without an answer when `answers` is 0. Gives the URL and, per connection, how many requests came."""
    seen: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(seen)
        seen.append(0)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                seen[number] += 1
                if seen[number] > answers:
                    writer.transport.abort() if reset else writer.close()
                    return
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}/", seen
    finally:
        server.close()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_a_stale_connection_is_asked_once_more(client: Upstream, reset: bool) -> None:
    async with closing_server(reset=reset, answers=1) as (url, seen):
        for _ in range(3):
            assert await whole(client, Call(url, {}, b"{}")) == b"ok"
        assert seen == [2, 2, 1]


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_a_server_that_never_answers_is_asked_once_more_only_by_the_client_that_cannot_tell(
    client: Upstream, reset: bool
) -> None:
    async with closing_server(reset=reset, answers=0) as (url, seen):
        with pytest.raises(MuxError) as caught:
            await client.send(Call(url, {}, b"{}"))
        assert caught.value.kind is Kind.UPSTREAM_CUT
        assert seen == ([1, 1] if isinstance(client, SessionUpstream) else [1])


def members(data: bytes) -> bytes:
    return b"".join(gzip.compress(piece) for piece in cut(data, 700))


PACKED = [
    pytest.param(TEXT, {}, id="plain"),
    pytest.param(b"\x1f", {}, id="one byte"),
    pytest.param(gzip.compress(TEXT), {}, id="unlabelled gzip"),
    pytest.param(members(TEXT), {}, id="unlabelled gzip of several members"),
    pytest.param(gzip.compress(TEXT), {"Content-Encoding": "gzip"}, id="gzip"),
    pytest.param(zlib.compress(TEXT), {"Content-Encoding": "deflate"}, id="deflate"),
    pytest.param(gzip.compress(gzip.compress(TEXT)), {"Content-Encoding": "gzip"}, id="gzip twice"),
    pytest.param(zlib.compress(TEXT)[2:-4], {"Content-Encoding": "deflate"}, id="bare deflate"),
    pytest.param(brotli.compress(TEXT), {"Content-Encoding": "br"}, id="br"),
    pytest.param(zstd.compress(TEXT), {"Content-Encoding": "zstd"}, id="zstd"),
    pytest.param(members(TEXT), {"Content-Encoding": "gzip"}, id="gzip of several members"),
    pytest.param(zstd.compress(TEXT[:900]) + zstd.compress(TEXT[900:]), {"Content-Encoding": "zstd"}, id="two frames"),
    pytest.param(TEXT, {"Content-Encoding": "identity"}, id="identity"),
    pytest.param(TEXT, {"Content-Encoding": "unheard-of"}, id="a coding nobody knows"),
]


@pytest.mark.covers("FB-111")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [1, 2, 9, 100_000])
@pytest.mark.parametrize(("body", "headers"), PACKED)
async def test_a_packed_body_is_unpacked_whatever_its_label(
    client: Upstream, body: bytes, headers: dict[str, str], size: int, way: Way
) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("*", Reply(cut(body, size), headers=headers))
        assert await way(client, Call(upstream.url, {"accept-encoding": "identity"})) == (
            TEXT if len(body) > 1 else body
        )
        assert upstream.last.headers["Accept-Encoding"] == "identity"


@pytest.mark.covers("FB-111")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("body", "headers", "kinds"),
    [
        pytest.param(gzip.compress(TEXT)[:-20], {}, {Kind.UPSTREAM_CUT}, id="cut"),
        pytest.param(b"\x1f\x8b" + b"nonsense" * 9, {}, {Kind.UPSTREAM_NONSENSE}, id="damaged"),
        pytest.param(
            TEXT, {"Content-Encoding": "gzip"}, {Kind.UPSTREAM_CUT, Kind.UPSTREAM_NONSENSE}, id="labelled, yet plain"
        ),
    ],
)
async def test_a_damaged_body_is_no_answer(
    client: Upstream, body: bytes, headers: dict[str, str], kinds: set[Kind], way: Way
) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("*", Reply(body, headers=headers))
        with pytest.raises(MuxError) as caught:
            await way(client, Call(upstream.url, {}))
        assert caught.value.kind in kinds


@pytest.mark.parametrize(
    ("pack", "label"), [(gzip.compress, "gzip"), (gzip.compress, ""), (zstd.compress, "zstd"), (brotli.compress, "br")]
)
async def test_a_small_body_cannot_become_a_large_piece(
    client: Upstream, pack: Callable[[bytes], bytes], label: str
) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("*", Reply(pack(bytes(64 << 20)), headers={"Content-Encoding": label} if label else {}))
        reply = await client.send(Call(upstream.url, {}))
        sizes: list[int] = []
        while data := await reply.chunk():
            sizes.append(len(data))
        assert (sum(sizes), max(sizes) <= 4 << 20) == (64 << 20, True)
        reply.close()


async def test_an_error_body_is_read_as_far_as_it_is_of_use(client: Upstream) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/large", Reply(cut(b"x" * (3 << 20), 1 << 16), 500)).on("/cut", Reply((b"x", RESET), 500))
        large = await client.send(Call(f"{upstream.url}/large", {}))
        assert 1 << 20 <= len(await large.read_error()) < 2 << 20
        broken = await client.send(Call(f"{upstream.url}/cut", {}))
        assert await broken.read_error() == b""
        broken.close()


async def test_the_proxy_of_a_call_is_used(client: Upstream) -> None:
    async with FakeUpstream() as proxy:
        proxy.on("*", json_reply({"from": "proxy"}))
        url = proxy.url.replace("http://", "http://me:pass@")
        call = Call("http://upstream.invalid/v1", {}, b"{}", proxy=url, place="acme/work")
        assert b"proxy" in await whole(client, call)
        assert proxy.last.headers["Host"] == "upstream.invalid"
        assert proxy.last.headers["Proxy-Authorization"].startswith("Basic ")
    with pytest.raises(MuxError, match="proxy") as caught:
        await client.send(Call("http://upstream.invalid/v1", {}, proxy=proxy.url, place="acme/work"))
    assert caught.value.kind is Kind.UNREACHABLE
    assert "pass" not in caught.value.message


@pytest.mark.parametrize(
    ("scheme", "host", "kind"),
    [("socks5", "127.0.0.1", 1), ("socks5", "localhost", 1), ("socks5h", "localhost", 3)],
    ids=["an address", "a name, resolved here", "a name, resolved behind it"],
)
async def test_a_socks_proxy_is_spoken_to_in_socks(client: Upstream, scheme: str, host: str, kind: int) -> None:
    seen: list[bytes] = []
    kinds: list[int] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readexactly(3))
        writer.write(b"\x05\x00")
        head = await reader.readexactly(4)
        kinds.append(head[3])
        size = {1: 4, 4: 16}.get(head[3]) or (await reader.readexactly(1))[0]
        await reader.readexactly(size)
        port = int.from_bytes(await reader.readexactly(2), "big")
        inner_reader, inner = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        await asyncio.gather(_copy(reader, inner), _copy(inner_reader, writer))

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply({"ok": True}))
        url = upstream.url.replace("127.0.0.1", host) + "/x"
        for _ in range(2):
            reply = await client.send(Call(url, {}, b"{}", proxy=f"{scheme}://127.0.0.1:{port}"))
            assert await reply.read() == b'{"ok":true}'
        await client.close()
    server.close()
    assert seen == [b"\x05\x01\x00"], "one connection for both"
    assert kinds == [kind]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


async def test_the_environments_proxy_is_used_but_never_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with FakeUpstream() as proxy, FakeUpstream() as upstream:
        proxy.on("*", json_reply({"from": "proxy"}))
        upstream.on("*", json_reply({"from": "upstream"}))
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.3")
        client = open_upstream()
        try:
            assert b"proxy" in await whole(client, Call("http://127.0.0.2:9/v1", {}))
            assert b"upstream" in await whole(client, Call(upstream.url, {}))
            for call in (
                Call("http://127.0.0.3:9/v1", {}),
                Call("http://127.0.0.2:9/v1", {}, proxy="direct"),
            ):
                with pytest.raises(MuxError):
                    await client.send(call)
        finally:
            await client.close()
        assert len(proxy.requests) == 1
