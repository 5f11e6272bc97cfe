"""What becomes of connections: which are kept, for how long, how many, what a slow side does, proxies and TLS."""

import asyncio
import contextlib
import ipaddress
import os
import pathlib
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.http.client import LeanUpstream
from llm_mux.gateway.http.connection import Limits
from llm_mux.gateway.http.dial import Dialler
from llm_mux.gateway.upstream import Call, Timeouts, Upstream, open_upstream
from tests.raw_server import CLOSE, RawServer, Script, Wait

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SOON = Timeouts(5, 5, 5)


@pytest.fixture(params=["lean", "session"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Upstream]:
    upstream = open_upstream(request.param, environment_proxies=False)
    yield upstream
    await upstream.close()


@contextlib.asynccontextmanager
async def lean(**limits: float) -> AsyncIterator[LeanUpstream]:
    upstream = LeanUpstream(environment_proxies=False, limits=Limits(**limits))  # type: ignore[arg-type]
    yield upstream
    await upstream.close()


async def asked(client: Upstream, url: str, body: bytes | None = b"{}", timeouts: Timeouts = SOON) -> bytes:
    reply = await client.send(Call(url, {}, body, place="acme/work", timeouts=timeouts))
    try:
        return await reply.read()
    finally:
        reply.close()


@pytest.mark.covers("OP-9")
async def test_requests_one_after_another_use_one_connection(client: Upstream) -> None:
    async with RawServer([OK]) as server:
        for _ in range(50):
            assert await asked(client, server.url) == b"ok"
        assert (server.connections, len(server.requests)) == (1, 50)


async def test_requests_at_once_use_as_many_connections_and_keep_them(client: Upstream) -> None:
    async with RawServer([OK]) as server:
        for _ in range(3):
            await asyncio.gather(*(asked(client, server.url) for _ in range(10)))
        assert (server.connections, len(server.requests)) == (10, 30)


async def test_a_connection_that_lies_idle_too_long_is_closed() -> None:
    async with lean(idle_s=0.05) as client, RawServer([OK]) as server:
        await asked(client, server.url)
        await server.gone.wait()
        assert server.open == 0
        await asked(client, server.url)
        assert server.connections == 2


async def test_a_connection_that_grew_old_is_not_used_again() -> None:
    async with lean(oldest_s=0.0) as client, RawServer([OK]) as server:
        for _ in range(3):
            await asked(client, server.url)
        assert server.connections == 3


async def test_a_server_that_says_how_long_it_waits_is_believed() -> None:
    said = OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: max=9, timeout=1\r\n\r\n")
    async with lean() as client, RawServer([said]) as server:
        await asked(client, server.url)
        began = asyncio.get_running_loop().time()
        await asyncio.wait_for(server.gone.wait(), 5)
        assert asyncio.get_running_loop().time() - began < 1, "we close before the server does"


async def test_a_server_that_closes_an_idle_connection_costs_no_request(client: Upstream) -> None:
    async with RawServer([OK, CLOSE]) as server:
        for count in range(3):
            assert await asked(client, server.url) == b"ok"
            server.gone.clear()
            if server.open:
                await server.gone.wait()
            # The end has left the server; a round trip over another connection sees to it that it has arrived.
            assert len(server.requests) == count + 1


async def test_there_are_never_more_connections_than_allowed() -> None:
    go = asyncio.Event()
    async with lean(most=2) as client, RawServer([Wait(go), OK]) as server:
        waiting = [asyncio.create_task(asked(client, server.url)) for _ in range(6)]
        while server.connections < 2:
            await asyncio.sleep(0)
        gone = waiting.pop()
        gone.cancel()
        go.set()
        assert await asyncio.gather(*waiting) == [b"ok"] * 5
        assert server.connections == 2


async def test_who_waits_for_a_connection_too_long_is_told_so() -> None:
    hold = Timeouts(0.05, 5, 5)
    async with lean(most=1) as client, RawServer([Wait(asyncio.Event()), OK]) as server:
        first = asyncio.create_task(asked(client, server.url))
        while not server.requests:
            await asyncio.sleep(0)
        with pytest.raises(MuxError, match="in use") as caught:
            await asked(client, server.url, timeouts=hold)
        assert caught.value.kind is Kind.CONNECT_TIMEOUT
        first.cancel()
        await server.gone.wait()
        assert server.connections == 1


async def test_whoever_waits_gets_the_place_of_a_connection_that_died() -> None:
    def scripts(connection: int, request: int) -> Script:
        return [CLOSE] if connection == 0 else [OK]

    async with lean(most=1) as client, RawServer(scripts) as server:
        answers = await asyncio.gather(*(asked(client, server.url) for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [MuxError, bytes, bytes]


async def test_a_client_that_goes_closes_its_connection_at_once(client: Upstream) -> None:
    async with RawServer([Wait(asyncio.Event())]) as server:
        task = asyncio.create_task(asked(client, server.url))
        while not server.requests:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait_for(server.gone.wait(), 1)
        assert server.open == 0


@pytest.mark.parametrize(
    "early", [b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno", OK], ids=["refused", "taken"]
)
async def test_an_answer_that_comes_before_the_body_is_sent_is_heard(client: Upstream, early: bytes) -> None:
    body = b"x" * (64 << 20)
    async with RawServer([early, Wait(asyncio.Event())], heads_only=True) as server:
        reply = await client.send(Call(server.url, {}, body, timeouts=SOON))
        assert reply.status == int(early[9:12])
        assert await reply.read() == early[-2:]
        reply.close()
        await asyncio.wait_for(server.gone.wait(), 5)


async def test_a_large_body_arrives_whole(client: Upstream) -> None:
    body = bytes(range(256)) * (20 << 12)
    async with RawServer([OK]) as server:
        for _ in range(2):
            assert await asked(client, server.url, body) == b"ok"
            assert server.requests[-1].endswith(body)
        assert server.connections == 1


async def test_a_server_that_takes_nothing_runs_into_the_limit() -> None:
    async with lean() as client, RawServer([Wait(asyncio.Event())], deaf=True) as server:
        with pytest.raises(MuxError) as caught:
            await asked(client, server.url, b"x" * (64 << 20), Timeouts(5, 0.2, 0.2))
        assert caught.value.kind is Kind.FIRST_BYTE_TIMEOUT


async def test_a_reader_that_does_not_read_makes_the_server_wait(client: Upstream) -> None:
    piece, count = b"x" * 65536, 1600
    async with RawServer([OK.replace(b": 2", b": %d" % (len(piece) * count))[:-2], *[piece] * count]) as server:
        reply = await client.send(Call(server.url, {}, timeouts=SOON))
        sent = -1
        while sent != server.steps:
            sent = server.steps
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.2)
        assert sent < count / 4, "100 MB are not held for whoever reads none of them"
        size = 0
        while data := await reply.chunk():
            size += len(data)
        assert size == len(piece) * count
        reply.close()


async def test_a_slow_reader_is_not_a_silent_server(client: Upstream) -> None:
    piece, count = b"x" * 65536, 60
    head = OK.replace(b": 2", b": %d" % (len(piece) * count))[:-2]
    async with RawServer([head, *[piece] * count]) as server:
        reply = await client.send(Call(server.url, {}, timeouts=Timeouts(5, 0.2, 0.2)))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.5)
        assert len(await reply.read()) == len(piece) * count
        reply.close()


def test_without_a_compiled_parser_the_reference_client_serves() -> None:
    asks = (
        "import asyncio\n"
        "from llm_mux.gateway.upstream import open_upstream\n"
        "async def main():\n"
        "    client = open_upstream()\n"
        "    print(type(client).__name__)\n"
        "    await client.close()\n"
        "asyncio.run(main())"
    )
    for env, name in (({}, "LeanUpstream"), ({"AIOHTTP_NO_EXTENSIONS": "1"}, "SessionUpstream")):
        said = subprocess.run(
            [sys.executable, "-c", asks], env={**os.environ, **env}, capture_output=True, text=True, check=True
        )
        assert said.stdout.strip() == name


# Requests.


async def test_what_a_request_says_is_what_the_call_says(client: Upstream) -> None:
    async with RawServer([OK]) as server:
        url = f"http://me:p%40ss@127.0.0.1:{server.port}/v1/a%2Fb?x=%20y&z#part"
        headers = {"X-One": "1", "accept-encoding": "identity", "content-type": "application/json"}
        for body, method in ((b"{}", "POST"), (None, "GET"), (b"", "POST"), (None, "DELETE"), (b"{}", "POST")):
            reply = await client.send(Call(url, headers, body, method=method))
            await reply.read()
        posted, got, empty, *_ = (request.decode().lower() for request in server.requests)
        assert posted.startswith("post /v1/a%2fb?x=%20y&z http/1.1\r\n")
        assert posted.endswith("\r\n\r\n{}")
        for line in (
            f"host: 127.0.0.1:{server.port}",
            "x-one: 1",
            "accept-encoding: identity",
            "user-agent: llm-mux/",
            "authorization: basic bwu6cebzcw==",
            "content-length: 2",
        ):
            assert posted.count(f"\r\n{line}") == 1, line
        assert "content-length" not in got
        assert "\r\ncontent-length: 0\r\n" in empty
        assert "transfer-encoding" not in posted + got + empty
        assert "accept: " not in posted


async def test_headers_that_change_are_sent_as_they_are_now() -> None:
    async with lean() as client, RawServer([OK]) as server:
        headers = {"authorization": "Bearer one"}
        for _ in range(2):
            await (await client.send(Call(server.url, headers, b"{}"))).read()
        headers["authorization"] = "Bearer two"
        await (await client.send(Call(server.url, headers, b"{}"))).read()
        keys = [request.partition(b"Bearer ")[2].split(b"\r\n")[0] for request in server.requests]
        assert keys == [b"one", b"one", b"two"]


async def test_a_call_cannot_frame_its_own_request() -> None:
    bad = {
        "Content-Length": "99",
        "Transfer-Encoding": "chunked",
        "Connection": "close",
        "Expect": "100-continue",
    }
    async with lean() as client, RawServer([OK]) as server:
        for _ in range(2):
            await (await client.send(Call(server.url, bad, b"{}"))).read()
        head = server.requests[0].split(b"\r\n\r\n")[0].lower()
        assert head.count(b"content-length") == head.count(b"host:") == 1
        assert b"\r\nconnection:" not in head
        assert b"expect" not in head
        assert server.connections == 1


# TLS and proxies.


def certificate(folder: pathlib.Path, name: str = "127.0.0.1", days: int = 1) -> tuple[ssl.SSLContext, pathlib.Path]:
    """A server's settings with a certificate that it signed itself, and the file to trust it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    alternative: x509.GeneralName = x509.DNSName(name)
    with contextlib.suppress(ValueError):
        alternative = x509.IPAddress(ipaddress.ip_address(name))
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, secret = folder / "server.pem", folder / "server.key"
    file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, secret)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context, file


async def test_tls_is_spoken_and_its_connections_are_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, file = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    body = b"x" * 300_000
    async with lean() as client, RawServer([OK], tls=context) as server:
        for _ in range(3):
            assert await asked(client, server.url, body) == b"ok"
            assert server.requests[-1].endswith(body)
        assert server.connections == 1
        assert server.alpn == "http/1.1"


async def test_the_trusted_certificates_can_be_read_before_the_first_request(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, file = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with lean() as client, RawServer([OK], tls=context) as server:
        await client.prepare()
        monkeypatch.delenv("SSL_CERT_FILE")
        assert server.connections == 0, "nobody was asked"
        assert await asked(client, server.url, b"x") == b"ok"
        assert client.asked == client.dialled == 1


@pytest.mark.parametrize(
    ("name", "days", "trusted", "words"),
    [
        ("127.0.0.1", 1, False, r"not trusted \(self-signed certificate\)"),
        ("127.0.0.1", -1, True, r"not trusted \(certificate has expired\)"),
        ("elsewhere.example", 1, True, r"not trusted \(IP address mismatch"),
    ],
)
async def test_a_certificate_that_is_not_right_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str, days: int, trusted: bool, words: str
) -> None:
    context, file = certificate(tmp_path, name, days)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with lean() as client, RawServer([OK], tls=context) as server:
        with pytest.raises(MuxError, match=f"acme/work has a certificate that is {words}") as caught:
            await asked(client, server.url)
        assert caught.value.kind is Kind.UNREACHABLE
        assert not server.requests


async def test_tls_where_none_is_spoken_is_no_handshake(client: Upstream) -> None:
    def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    with pytest.raises(MuxError, match="TLS") as caught:
        await asked(client, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    server.close()
    assert caught.value.kind is Kind.UNREACHABLE


class Tunnel:
    """An HTTP proxy that connects through, or says `refusal`."""

    def __init__(self, refusal: bytes | None = None) -> None:
        self.heads: list[bytes] = []
        self._refusal = refusal
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "Tunnel":
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.url = f"http://me:pass@127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if self._refusal is not None:
            writer.write(self._refusal)
            writer.close()
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        inner_reader, inner = await asyncio.open_connection(host, int(port))
        self._writers += [writer, inner]
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        for source, to in ((reader, inner), (inner_reader, writer)):
            self._tasks.add(asyncio.create_task(self._copy(source, to)))

    async def _copy(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                to.write(data)
        to.close()


async def test_tls_goes_through_an_http_proxy_in_a_tunnel(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, file = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with lean() as client, Tunnel() as proxy, RawServer([OK], tls=context) as server:
        call = Call(server.url, {}, b"{}", proxy=proxy.url, timeouts=SOON)
        for _ in range(2):
            assert await (await client.send(call)).read() == b"ok"
        assert len(proxy.heads) == server.connections == 1
        assert proxy.heads[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % server.port)
        assert b"\r\nProxy-Authorization: Basic bWU6cGFzcw==\r\n" in proxy.heads[0]
        assert b"Proxy-Authorization" not in server.requests[0]


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxy wants a name and a password"),
        (b"HTTP/1.1 503 No\r\n\r\n", "proxy refused with status 503"),
        (b"SSH-2.0\r\n\r\n", "proxy does not speak HTTP"),
        (b"", "proxy gave no answer"),
    ],
)
async def test_a_proxy_that_does_not_connect_through_is_named(refusal: bytes, words: str) -> None:
    async with lean() as client, Tunnel(refusal) as proxy:
        with pytest.raises(MuxError, match=words) as caught:
            await client.send(Call("https://127.0.0.1:9/", {}, b"{}", proxy=proxy.url, timeouts=SOON))
        assert caught.value.kind is Kind.UNREACHABLE
        assert "pass" not in caught.value.message.replace("password", "")


async def test_a_proxy_that_is_reached_over_tls_is_the_references_business(tmp_path: pathlib.Path) -> None:
    context, _ = certificate(tmp_path)
    async with lean() as client, RawServer([OK], tls=context) as proxy:
        with pytest.raises(MuxError, match="certificate that is not trusted"):
            await client.send(Call("http://127.0.0.1:9/", {}, b"{}", proxy=proxy.url, timeouts=SOON))
        assert not proxy.requests


async def test_another_family_is_tried_where_one_does_not_answer(client: Upstream) -> None:
    async with RawServer([OK]) as server:
        # The name has an IPv6 address too on most machines; the server listens on IPv4 only.
        assert await asked(client, f"http://localhost:{server.port}") == b"ok"


async def test_requests_at_once_to_a_new_name_look_it_up_together(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, looked = asyncio.get_running_loop(), 0
    real = socket.getaddrinfo

    def counted(*arguments: object, **named: object) -> object:
        nonlocal looked
        looked += 1
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    async with lean() as client, RawServer([OK]) as server:
        asking = [asyncio.create_task(asked(client, f"http://localhost:{server.port}")) for _ in range(8)]
        await asyncio.sleep(0)
        asking.pop(0).cancel()
        assert await asyncio.gather(*asking) == [b"ok"] * 7
        assert await asked(client, f"http://localhost:{server.port}/again") == b"ok"
    # uvloop asks the system itself, without this function.
    assert looked == (1 if type(loop).__module__.startswith("asyncio") else 0)


async def test_a_connection_is_kept_alive_while_a_model_thinks() -> None:
    async with RawServer([OK]) as server:
        with await Dialler(Limits())._socket("127.0.0.1", server.port) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
            while not server.connections:
                await asyncio.sleep(0)


async def test_a_name_that_does_not_exist_is_named_as_the_reason(client: Upstream) -> None:
    with pytest.raises(MuxError, match="host name that cannot be resolved") as caught:
        await asked(client, "http://no-such-host.invalid/")
    assert caught.value.kind is Kind.UNREACHABLE


async def test_an_address_that_swallows_everything_runs_into_the_limit(client: Upstream) -> None:
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            # Nobody accepts: these fill the queue, and the next one is not even answered.
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        with pytest.raises(MuxError) as caught:
            await asked(client, f"http://127.0.0.1:{listening.getsockname()[1]}/", timeouts=Timeouts(0.1, 5, 5))
        assert caught.value.kind is Kind.CONNECT_TIMEOUT
