"""Opening connections: names to addresses, proxies, TLS; and what went wrong there, in our words.

Rule: whatever fails before a request was sent is `UNREACHABLE` or `CONNECT_TIMEOUT`, and says nothing of a proxy's
password. Addresses are remembered for a while, and forgotten at once when they do not answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

import aiohappyeyeballs
from yarl import URL

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.http.connection import Connection, Limits
from llm_mux.gateway.http.head import Malformed, Target, basic, parse, parser_for
from llm_mux.gateway.trust import trusting
from llm_mux.gateway.upstream import USER_AGENT, Call

AddrInfo = aiohappyeyeballs.AddrInfoType

_REMEMBERED_S = 300.0
_NEXT_ADDRESS_S = 0.25
_GOODBYE_S = 2.0
_MOST_PROXY_HEAD = 1 << 16


class Dialler:
    """Opens connections for one client; holds its addresses and its TLS settings."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._addresses: dict[tuple[str, int], tuple[float, list[AddrInfo]]] = {}
        self._lookups: dict[tuple[str, int], asyncio.Task[list[AddrInfo]]] = {}
        self._tls: ssl.SSLContext | None = None

    async def dial(
        self, target: Target, proxy: str | None, call: Call, let_go: Callable[[Connection], None]
    ) -> Connection:
        """A connection that is ready for a request. Raises MuxError UNREACHABLE or CONNECT_TIMEOUT."""
        patience = call.timeouts.connect
        try:
            async with asyncio.timeout(patience):
                return await self._dial(target, proxy, call, let_go)
        except TimeoutError:
            raise MuxError(Kind.CONNECT_TIMEOUT, f"{call.place} could not be connected to in time.") from None
        except ssl.SSLCertVerificationError as error:
            what = f"has a certificate that is not trusted ({error.verify_message.rstrip('.')})"
            raise MuxError(Kind.UNREACHABLE, f"{call.place} {what}.") from error
        except (OSError, UnicodeError) as error:
            raise MuxError(Kind.UNREACHABLE, f"{call.place} {_said(error, target, proxy)}.") from error

    async def _dial(
        self, target: Target, proxy: str | None, call: Call, let_go: Callable[[Connection], None]
    ) -> Connection:
        loop = asyncio.get_running_loop()
        if proxy is None:
            sock = await self._socket(target.host, target.port)
        elif proxy.startswith("socks"):
            sock = await _through_socks(proxy, target, call)
        else:
            there = URL(proxy, encoded=True)
            sock = await self._socket(there.raw_host or "", there.port or 80)
            if target.secure:
                await _tunnel(loop, sock, target, basic(there), call)
        try:
            if not target.secure:
                _, connection = await loop.create_connection(lambda: Connection(loop, self._limits, let_go), sock=sock)
                return connection
            _, connection = await loop.create_connection(
                lambda: Connection(loop, self._limits, let_go),
                sock=sock,
                ssl=await self._context(),
                server_hostname=target.host,
                # Longer than the limit around all of this, which has the better words.
                ssl_handshake_timeout=call.timeouts.connect + 1,
                ssl_shutdown_timeout=_GOODBYE_S,
            )
        except BaseException:
            sock.close()
            raise
        return connection

    async def prepare(self) -> None:
        """Reads the trusted certificates before the first TLS connection has to wait for it."""
        await self._context()

    async def _context(self) -> ssl.SSLContext:
        """Made when the first TLS connection is, if not before: reading the trusted certificates takes a while."""
        if self._tls is None:
            self._tls = await asyncio.to_thread(trusting)
        return self._tls

    async def _socket(self, host: str, port: int) -> socket.socket:
        """A connected socket: both families are tried, the second a little later."""
        addresses = await self._resolved(host, port)
        try:
            sock = await aiohappyeyeballs.start_connection(
                list(addresses), happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1, loop=asyncio.get_running_loop()
            )
        except OSError:
            self._addresses.pop((host, port), None)
            raise
        _keep_alive(sock)
        return sock

    async def _resolved(self, host: str, port: int) -> list[AddrInfo]:
        with suppress(ValueError):
            return [_literal(ipaddress.ip_address(host), port)]
        loop = asyncio.get_running_loop()
        known = self._addresses.get((host, port))
        if known is not None and known[0] > loop.time():
            return known[1]
        lookup = self._lookups.get((host, port))
        if lookup is None:
            # One look for all who come meanwhile; it goes on when the one who began it goes.
            lookup = self._lookups[host, port] = loop.create_task(self._look_up(host, port))
            lookup.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(lookup)

    async def _look_up(self, host: str, port: int) -> list[AddrInfo]:
        loop = asyncio.get_running_loop()
        try:
            found: list[AddrInfo] = list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        finally:
            del self._lookups[host, port]
        self._addresses[host, port] = loop.time() + _REMEMBERED_S, found
        return found


def _keep_alive(sock: socket.socket) -> None:
    """A model may think for minutes without a byte: the network must not forget the connection meanwhile. And one that
    it did forget (a laptop that slept, another network) is noticed when a request is not taken, not when it times out.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4), ("TCP_USER_TIMEOUT", 30_000)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _literal(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> AddrInfo:
    if address.version == 4:
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port)
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port, 0, 0)


async def _through_socks(proxy: str, target: Target, call: Call) -> socket.socket:
    """A socket through a SOCKS proxy; names are resolved behind it with `socks5h`."""
    try:
        from python_socks import ProxyError
        from python_socks.async_.asyncio import Proxy
    except ImportError:
        message = f"{call.place} is behind a SOCKS proxy; install what that needs: pip install 'llm-mux[socks]'."
        raise MuxError(Kind.UNREACHABLE, message) from None
    there = Proxy.from_url(proxy.replace("socks5h://", "socks5://", 1), rdns=proxy.startswith("socks5h"))
    try:
        return await there.connect(target.host, target.port)
    except ProxyError as error:
        raise MuxError(Kind.UNREACHABLE, f"{call.place} is not reachable: the proxy refused.") from error


async def _tunnel(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, target: Target, credentials: str | None, call: Call
) -> None:
    """Asks an HTTP proxy to connect the socket through to the target."""
    there = target.authority if ":" in target.authority.rpartition("]")[2] else f"{target.authority}:{target.port}"
    lines = [f"CONNECT {there} HTTP/1.1", f"Host: {there}", f"User-Agent: {USER_AGENT}"]
    if credentials is not None:
        lines.append(f"Proxy-Authorization: {credentials}")
    try:
        await loop.sock_sendall(sock, ("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = await loop.sock_recv(sock, 4096)
            if not more or len(answer) > _MOST_PROXY_HEAD:
                raise MuxError(Kind.UNREACHABLE, f"{call.place} is not reachable: the proxy gave no answer.")
            answer += more
        head = parse(parser_for(loop), answer[: answer.index(b"\r\n\r\n") + 4])
    except Malformed as error:
        sock.close()
        raise MuxError(Kind.UNREACHABLE, f"{call.place} is not reachable: the proxy does not speak HTTP.") from error
    except BaseException:
        sock.close()
        raise
    if not 200 <= head.status < 300:
        sock.close()
        why = "wants a name and a password" if head.status == 407 else f"refused with status {head.status}"
        raise MuxError(Kind.UNREACHABLE, f"{call.place} is not reachable: the proxy {why}.")


def _said(error: OSError | UnicodeError, target: Target, proxy: str | None) -> str:
    if isinstance(error, ssl.SSLError):
        return "refused the TLS handshake"
    if proxy is not None:
        return "is not reachable through the proxy"
    if isinstance(error, socket.gaierror):
        return "has a host name that cannot be resolved"
    if isinstance(error, UnicodeError):
        return "has a host name that is none"
    if isinstance(error, ConnectionResetError) and target.secure:
        return "closed the connection in the TLS handshake"
    return "is not reachable"
