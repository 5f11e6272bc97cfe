"""The reference client: aiohttp's session behind our interface, its exceptions turned into ours.

Rule: what it does with a case is right for both clients; the conformance suite runs on it first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import aiohttp
from aiohttp import payload
from yarl import URL

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.http.proxies import Proxies
from llm_mux.gateway.http.unpacking import Damaged, Unpacking
from llm_mux.gateway.trust import trusting
from llm_mux.gateway.upstream import USER_AGENT, Call, Reply, Sink, Timeouts, Upstream


class _Body(payload.BytesPayload):
    """Bytes of any size (aiohttp's own class warns above 1 MiB; agents send more every day)."""

    def __init__(self, value: bytes) -> None:
        payload.Payload.__init__(self, value, content_type="application/json")
        self._size = len(value)


class SessionReply(Reply):
    """An aiohttp response."""

    __slots__ = ("_call", "_flows", "_packed", "_pouring", "_response")

    def __init__(self, response: aiohttp.ClientResponse, call: Call) -> None:
        super().__init__(response.status, response.headers)
        self._response = response
        self._call = call
        self._packed = Unpacking()
        self._pouring: asyncio.Task[None] | None = None
        self._flows: asyncio.Event | None = None

    async def chunk(self) -> bytes:
        while (more := self._packed.more) or (data := await self._arrived()):
            if plain := self._plain(b"" if more else data):
                return plain
        return self._rest()

    def _rest(self) -> bytes:
        """What is left when nothing more arrives."""
        if rest := self._packed.end():
            return rest
        if not self._packed.whole:
            raise MuxError(Kind.UPSTREAM_CUT, f"{self._call.place} broke off in the middle of its answer.")
        return b""

    def ready(self) -> bytes:
        content = self._response.content
        with translated(self._call):
            some = not content.at_eof() and not self._packed.more and content.total_raw_bytes
            data = content.read_nowait() if some else b""
        while data or self._packed.more:
            if plain := self._plain(data):
                return plain
            data = b""
        return self._rest() if content.at_eof() else b""

    @property
    def over(self) -> bool:
        return self._response.content.at_eof() and self._packed.whole

    def pour(self, sink: Sink) -> None:
        self._flows = asyncio.Event()
        self._flows.set()
        self._pouring = asyncio.create_task(self._pour(sink, self._flows))

    async def _pour(self, sink: Sink, flows: asyncio.Event) -> None:
        try:
            while data := await self.chunk():
                await flows.wait()
                sink.piece(data)
        except MuxError as error:
            sink.end(error)
        else:
            sink.end(None)

    def pause(self) -> None:
        if self._flows is not None:
            self._flows.clear()

    def resume(self) -> None:
        if self._flows is not None:
            self._flows.set()

    async def _arrived(self) -> bytes:
        content, waits = self._response.content, self._call.timeouts
        with translated(self._call):
            try:
                # First, because the reader of an answer without a body cannot do more than this.
                if content.at_eof():
                    return b""
                if content.total_raw_bytes and (ready := content.read_nowait()):
                    return ready
                if waits.between_bytes >= waits.first_byte:
                    return await content.readany()
                async with asyncio.timeout(waits.between_bytes):
                    return await content.readany()
            except TimeoutError:
                self.close()
                waited = waits.between_bytes
                message = f"{self._call.place} sent nothing for {waited:g} s in the middle of its answer."
                raise MuxError(Kind.IDLE_TIMEOUT, message) from None

    def _plain(self, data: bytes) -> bytes:
        try:
            return self._packed.feed(data)
        except Damaged as error:
            message = f"{self._call.place} sent a body that cannot be unpacked."
            raise MuxError(Kind.UPSTREAM_NONSENSE, message) from error

    def close(self) -> None:
        if self._pouring is not None:
            self._pouring.cancel()
        self._response.close()


class SessionUpstream(Upstream):
    """Sends calls: one session for all, and one for each SOCKS proxy (HTTP proxies are named per call)."""

    def __init__(self, *, environment_proxies: bool = True, most: int = 0) -> None:
        self._tls = trusting()
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=most, ttl_dns_cache=300, keepalive_timeout=75, ssl=self._tls
        )
        self._session = _session(connector)
        self._behind: dict[str, aiohttp.ClientSession] = {}
        self._proxies = Proxies(environment=environment_proxies)

    async def send(self, call: Call) -> Reply:
        with translated(call):
            try:
                return await self._once(call)
            except _STALE as error:
                # A pooled connection that the server had already closed: no byte was answered, so ask once more.
                if isinstance(error, aiohttp.ClientConnectorError):
                    raise
                return await self._once(call)

    async def _once(self, call: Call) -> Reply:
        waits = call.timeouts
        if waits.first_byte >= waits.between_bytes:
            return await self._ask(call)
        async with asyncio.timeout(waits.first_byte + waits.connect):
            return await self._ask(call)

    async def _ask(self, call: Call) -> Reply:
        # The session's own timer watches the socket for the longer of the two waits, at no cost of ours.
        proxy = self._proxies.of(call)
        session = self._session
        if proxy is not None and proxy.startswith("socks"):
            session, proxy = self._through_socks(proxy, call), None
        try:
            response = await session.request(
                call.method,
                _url(call.url),
                data=None if call.body is None else _Body(call.body),
                headers=call.headers,
                proxy=proxy,
                allow_redirects=False,
                timeout=_limits(call.timeouts),
            )
        except aiohttp.SocketTimeoutError as error:
            raise TimeoutError from error
        return SessionReply(response, call)

    def _through_socks(self, proxy: str, call: Call) -> aiohttp.ClientSession:
        """The session of a SOCKS proxy; names are resolved behind it with `socks5h`."""
        session = self._behind.get(proxy)
        if session is None:
            try:
                from aiohttp_socks import ProxyConnector
            except ImportError:
                message = (
                    f"{call.place} is behind a SOCKS proxy; install what that needs: pip install 'llm-mux[socks]'."
                )
                raise MuxError(Kind.UNREACHABLE, message) from None
            there = proxy.replace("socks5h://", "socks5://", 1)
            connector = ProxyConnector.from_url(
                there, rdns=proxy.startswith("socks5h"), limit=0, keepalive_timeout=75, ssl=self._tls
            )
            session = self._behind[proxy] = _session(connector)
        return session

    async def close(self) -> None:
        for session in (self._session, *self._behind.values()):
            await session.close()


def _session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"User-Agent": USER_AGENT},
        skip_auto_headers=("Accept", "Content-Type"),
        max_line_size=65536,
        max_field_size=65536,
        read_bufsize=1 << 17,
    )


@lru_cache(maxsize=64)
def _limits(waits: Timeouts) -> aiohttp.ClientTimeout:
    longest = max(waits.between_bytes, waits.first_byte)
    return aiohttp.ClientTimeout(total=None, sock_connect=waits.connect, sock_read=longest)


@lru_cache(maxsize=512)
def _url(url: str) -> URL:
    return URL(url, encoded=True)


_KINDS: tuple[tuple[type[BaseException], Kind, str], ...] = (
    (aiohttp.ConnectionTimeoutError, Kind.CONNECT_TIMEOUT, "could not be connected to in time"),
    (aiohttp.ServerTimeoutError, Kind.IDLE_TIMEOUT, "stopped answering"),
    (aiohttp.ClientConnectorCertificateError, Kind.UNREACHABLE, "has a certificate that is not trusted"),
    (aiohttp.ClientConnectorSSLError, Kind.UNREACHABLE, "refused the TLS handshake"),
    (aiohttp.ClientProxyConnectionError, Kind.UNREACHABLE, "is not reachable through the proxy"),
    (aiohttp.ClientHttpProxyError, Kind.UNREACHABLE, "is not reachable: the proxy refused"),
    (aiohttp.ClientConnectorDNSError, Kind.UNREACHABLE, "has a host name that cannot be resolved"),
    (aiohttp.ClientConnectorError, Kind.UNREACHABLE, "is not reachable"),
    (aiohttp.ServerDisconnectedError, Kind.UPSTREAM_CUT, "closed the connection without an answer"),
    (aiohttp.ClientPayloadError, Kind.UPSTREAM_CUT, "broke off in the middle of its answer"),
    (aiohttp.ClientOSError, Kind.UPSTREAM_CUT, "reset the connection"),
    (aiohttp.ClientConnectionError, Kind.UPSTREAM_CUT, "closed the connection"),
    (aiohttp.ClientResponseError, Kind.UPSTREAM_NONSENSE, "sent an answer that is not HTTP"),
    (aiohttp.InvalidURL, Kind.UNREACHABLE, "has a base-url that is not a URL"),
    (aiohttp.NonHttpUrlClientError, Kind.UNREACHABLE, "has a base-url that is not http or https"),
    (aiohttp.ClientError, Kind.UPSTREAM_ERROR, "could not be asked"),
    (TimeoutError, Kind.FIRST_BYTE_TIMEOUT, "did not begin to answer in time"),
    (OSError, Kind.UNREACHABLE, "is not reachable"),
    (ValueError, Kind.UNREACHABLE, "cannot be asked: its base-url, proxy-url or headers are not valid"),
)
_STALE = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientConnectionResetError)


@contextmanager
def translated(call: Call) -> Iterator[None]:
    """Turns the client library's exceptions into MuxError, the most specific first; nothing of them is shown."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        for type_, kind, what in _KINDS:
            if isinstance(error, type_):
                raise MuxError(kind, f"{call.place} {what}.") from error
        raise
