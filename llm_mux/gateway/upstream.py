"""The only HTTP client: timeouts, pools, proxies, and foreign exceptions turned into ours.

Rule: everything above knows only `Call`, `Reply` and `Upstream`, so that a leaner client can stand in for this one.
Redirects are never followed (a credential must not travel), cookies never kept, bodies never read by line.
"""

from __future__ import annotations

import asyncio
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import payload
from yarl import URL

from llm_mux import __version__
from llm_mux.errors import Kind, MuxError

USER_AGENT = f"llm-mux/{__version__}"
_MOST_ERROR_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect, until the answer's head, and between two pieces of its body."""

    connect: float = 10
    first_byte: float = 300
    between_bytes: float = 300


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a provider. `place` names it in messages ("anthropic/work")."""

    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    method: str = "POST"
    proxy: str | None = None
    place: str = "the provider"
    timeouts: Timeouts = field(default_factory=Timeouts)


class _Body(payload.BytesPayload):
    """Bytes of any size (aiohttp's own class warns above 1 MiB; agents send more every day)."""

    def __init__(self, value: bytes) -> None:
        payload.Payload.__init__(self, value, content_type="application/json")
        self._size = len(value)


class _Unlabelled:
    """Unpacks a body that is gzip although nothing said so, also one of several members. `cut`: its end is missing."""

    def __init__(self) -> None:
        self._start: bytes | None = b""
        self._unzip: Any = None
        self.cut = False

    def feed(self, data: bytes) -> bytes:
        if self._start is not None:
            data = self._start + data
            self._start = data if data == _GZIP[:1] else None
            if self._start is not None:
                return b""
            if data.startswith(_GZIP):
                self._unzip = zlib.decompressobj(wbits=31)
        return data if self._unzip is None else self._unzipped(data)

    def _unzipped(self, data: bytes) -> bytes:
        out: list[bytes] = []
        while data:
            if self._unzip.eof:
                self._unzip = zlib.decompressobj(wbits=31)
            out.append(self._unzip.decompress(data))
            data = self._unzip.unused_data
        self.cut = not self._unzip.eof
        return b"".join(out)

    def end(self) -> bytes:
        """What was held back of a body that ended after one byte."""
        held, self._start = self._start, None
        return held or b""


class Reply:
    """The head of an answer and its body in pieces. Close it, or read it to the end."""

    def __init__(self, response: aiohttp.ClientResponse, call: Call) -> None:
        self._response = response
        self._call = call
        self._packed = _Unlabelled()
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def content_type(self) -> str:
        return self._response.headers.get("Content-Type", "").split(";", 1)[0].strip().lower()

    @property
    def lowered(self) -> dict[str, str]:
        """The headers under lower-case names."""
        return {name.lower(): value for name, value in self.headers.items()}

    async def chunk(self) -> bytes:
        """What has arrived, b"" at the end. Raises MuxError IDLE_TIMEOUT or UPSTREAM_CUT."""
        while data := await self._arrived():
            if plain := self._plain(data):
                return plain
        if rest := self._packed.end():
            return rest
        if self._packed.cut:
            raise MuxError(Kind.UPSTREAM_CUT, f"{self._call.place} broke off in the middle of its answer.")
        return b""

    async def _arrived(self) -> bytes:
        content, waits = self._response.content, self._call.timeouts
        with translated(self._call):
            try:
                if content.total_raw_bytes and (ready := content.read_nowait()):
                    return ready
                if content.at_eof():
                    return b""
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
        except zlib.error as error:
            raise MuxError(Kind.UPSTREAM_NONSENSE, f"{self._call.place} sent a damaged gzip body.") from error

    async def read(self, limit: int | None = None) -> bytes:
        """The whole body, cut at `limit` bytes."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.chunk():
            pieces.append(piece)
            size += len(piece)
            if limit is not None and size >= limit:
                self.close()
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read_error(self) -> bytes:
        """The body of an error answer as far as it is of use; b"" when it does not arrive."""
        try:
            return await self.read(_MOST_ERROR_BYTES)
        except MuxError:
            return b""

    def close(self) -> None:
        """Drops the connection unless the body was read to the end (then it goes back to the pool)."""
        self._response.close()


class Upstream:
    """Sends calls: one session for all, and one for each SOCKS proxy (HTTP proxies are named per call)."""

    def __init__(self, *, environment_proxies: bool = True) -> None:
        self._session = _session(aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, keepalive_timeout=75))
        self._behind: dict[str, aiohttp.ClientSession] = {}
        self._proxies = urllib.request.getproxies() if environment_proxies else {}

    async def send(self, call: Call) -> Reply:
        """The answer's head. Raises MuxError UNREACHABLE, CONNECT_TIMEOUT, FIRST_BYTE_TIMEOUT or UPSTREAM_CUT."""
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
        proxy = self._proxy(call)
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
        return Reply(response, call)

    def _proxy(self, call: Call) -> str | None:
        if call.proxy == "direct" or not (call.proxy or self._proxies):
            return None
        return call.proxy or _environment_proxy(call.url, tuple(sorted(self._proxies.items())))

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
            connector = ProxyConnector.from_url(there, rdns=proxy.startswith("socks5h"), limit=0, keepalive_timeout=75)
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


@lru_cache(maxsize=512)
def _environment_proxy(url: str, proxies: tuple[tuple[str, str], ...]) -> str | None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("localhost", "127.0.0.1", "::1") or urllib.request.proxy_bypass(host):
        return None
    known = dict(proxies)
    return known.get(parts.scheme) or known.get("all")


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
