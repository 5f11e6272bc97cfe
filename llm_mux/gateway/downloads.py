"""Images, documents, audio and video that a request names by URL, fetched for a target that takes only bytes.

Rules. Only `https`, only to public addresses, checked where the connection is made and again at each redirect, so that
no name, redirect or second look-up leads into a private network; `hosts` are the exceptions that the user has named. A
proxy would do that look-up in its own network, so none is used. Size, time and number are bounded. Nothing of the
client or of an account goes along. The same bytes are given again in every turn (caches and bound reasoning depend on
them), to the same tenant.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar
from urllib.parse import unquote, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from msgspec import structs

from llm_mux import ir
from llm_mux.errors import MuxError, bad_request
from llm_mux.gateway.trust import trusting
from llm_mux.gateway.upstream import USER_AGENT
from llm_mux.wire import media

T = TypeVar("T")
Medium = ir.Image | ir.Document | ir.Audio | ir.Video
_KINDS: Mapping[type[ir.Part], str] = {
    ir.Image: "image",
    ir.Document: "document",
    ir.Audio: "audio",
    ir.Video: "video",
}
_MOST_AT_ONCE = 4
_MOST = 20
_MOST_HOPS = 3
_MOST_BYTES = 20 << 20
_MOST_KEPT = 64 << 20
_SECONDS = 30.0
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNKNOWN = ("", "application/octet-stream", "binary/octet-stream")


class Downloads:
    """What was fetched, bounded by size; the oldest goes first. `most_bytes` and `seconds` bound one download."""

    def __init__(
        self,
        *,
        on: bool = True,
        hosts: tuple[str, ...] = (),
        most_bytes: int = _MOST_BYTES,
        seconds: float = _SECONDS,
    ) -> None:
        self._on = on
        self._hosts = frozenset(host.lower() for host in hosts)
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._kept: OrderedDict[tuple[str, str], ir.Inline] = OrderedDict()
        self._size = 0
        self._tls: ssl.SSLContext | None = None

    async def again(self, error: MuxError, request: ir.Request, tenant: str, attempt: Callable[[ir.Request], T]) -> T:
        """`attempt` with the bytes of what `error` says is not taken by URL. Raises other errors as they are."""
        for _ in _KINDS:
            kind = _kind_of(request, error.facts.get("by_url"))
            if not self._on or kind is None:
                raise error
            request = await self._inlined(request, kind, tenant)
            try:
                return attempt(request)
            except MuxError as other:
                error = other
        raise error

    async def _inlined(self, request: ir.Request, kind: type[ir.Part], tenant: str) -> ir.Request:
        urls = list(dict.fromkeys(url for found, url in _urls(request) if found is kind))
        if len(urls) > _MOST:
            raise _failed(kind, f"there are more than {_MOST} of them")
        found: dict[str, ir.Inline] = {}
        gate = asyncio.Semaphore(_MOST_AT_ONCE)

        async def get(url: str) -> None:
            async with gate:
                found[url] = await self._found(url, kind, tenant)

        try:
            async with asyncio.TaskGroup() as group:
                for url in urls:
                    group.create_task(get(url))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        messages = (structs.replace(m, parts=_replaced(m.parts, kind, found)) for m in request.messages)
        return structs.replace(request, messages=tuple(messages))

    async def _found(self, url: str, kind: type[ir.Part], tenant: str) -> ir.Inline:
        kept = self._kept.get((tenant, url))
        if kept is not None:
            self._kept.move_to_end((tenant, url))
            return kept
        try:
            async with asyncio.timeout(self._seconds):
                said, body = await self._fetched(url, kind)
        except TimeoutError:
            raise _failed(kind, f"it took more than {self._seconds:g} seconds") from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise _failed(kind, "its server cannot be reached or does not answer as it should") from None
        made = ir.Inline(*_typed(said, body, url, kind))
        self._keep((tenant, url), made)
        return made

    def _keep(self, key: tuple[str, str], made: ir.Inline) -> None:
        old = self._kept.pop(key, None)
        self._size += len(made.data) - (len(old.data) if old is not None else 0)
        self._kept[key] = made
        while self._size > _MOST_KEPT:
            _, gone = self._kept.popitem(last=False)
            self._size -= len(gone.data)

    async def _fetched(self, url: str, kind: type[ir.Part]) -> tuple[str, bytes]:
        """The declared type and the bytes, at the end of at most `_MOST_HOPS` redirects."""
        if self._tls is None:
            self._tls = await asyncio.to_thread(trusting)
        connector = aiohttp.TCPConnector(resolver=_Resolver(self._hosts), use_dns_cache=False, ssl=self._tls)
        headers = {"user-agent": USER_AGENT, "accept-encoding": "identity"}
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, headers=headers, cookie_jar=jar) as session:
            for _ in range(_MOST_HOPS + 1):
                self._check(url, kind)
                async with session.get(url, allow_redirects=False) as answer:
                    if answer.status in (301, 302, 303, 307, 308) and "location" in answer.headers:
                        url = urljoin(url, answer.headers["location"])
                        continue
                    if answer.status != 200:
                        raise _failed(kind, f"its server answered with status {answer.status}")
                    said = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
                    return said, await self._body(answer, kind)
        raise _failed(kind, f"its server redirects more than {_MOST_HOPS} times")

    async def _body(self, answer: aiohttp.ClientResponse, kind: type[ir.Part]) -> bytes:
        body = bytearray()
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > self._most_bytes:
                raise _failed(kind, f"it is larger than {self._most_bytes >> 20} MiB")
        return bytes(body)

    def _check(self, url: str, kind: type[ir.Part]) -> None:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if host in self._hosts and parts.scheme in ("http", "https"):
            return
        if parts.scheme != "https" or not host or parts.username is not None:
            raise _failed(kind, "only https URLs without credentials are fetched")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return
        if not public(address):
            raise _failed(kind, "its address is not a public one")


class _Resolver(AbstractResolver):
    """The system's look-up, less every address that is not public. A connection goes to what was checked here."""

    def __init__(self, hosts: frozenset[str]) -> None:
        self._hosts = hosts
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        if host.lower() in self._hosts:
            return found
        able = [each for each in found if public(ipaddress.ip_address(each["host"].partition("%")[0]))]
        if not able:
            raise OSError(None, "no public address")
        return able

    async def close(self) -> None:
        await self._system.close()


def public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether anybody on the internet could mean this address; one inside another counts as well."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return public(inner)
    return address.is_global and not address.is_multicast


def _typed(said: str, body: bytes, url: str, kind: type[ir.Part]) -> tuple[str, str]:
    """Media type and base64. What the bytes show wins; a web page in place of an image is refused."""
    data = b64encode(body).decode()
    name = urlsplit(url).path.rpartition("/")[2]
    type_ = media.sniff(data) or (said if said not in _UNKNOWN else media.guess(name) or "application/octet-stream")
    if not body or (kind is not ir.Document and type_.partition("/")[0] != _KINDS[kind]):
        raise _failed(kind, f"what its server sent is {type_ if body else 'empty'}")
    return type_, data


def _failed(kind: type[ir.Part], why: str) -> MuxError:
    one = "Audio" if kind is ir.Audio else f"A{'n' if kind is ir.Image else ''} {_KINDS[kind]}"
    said = f"{one} by URL could not be downloaded for this model: {why}. Send it inside the request."
    # Another target may take the URL as it is.
    return bad_request(said, code="unsupported_by_target")


def _urls(request: ir.Request) -> Iterator[tuple[type[ir.Part], str]]:
    """What is named by URL, and of what kind it is."""
    for message in request.messages:
        for part in message.parts:
            for each in part.content if isinstance(part, ir.ToolResult) else (part,):
                if isinstance(each, Medium) and isinstance(each.source, ir.Url):
                    yield type(each), each.source.url


def _kind_of(request: ir.Request, url: str | None) -> type[ir.Part] | None:
    return next((kind for kind, named in _urls(request) if named == url), None)


def _replaced(parts: tuple[ir.Part, ...], kind: type[ir.Part], found: Mapping[str, ir.Inline]) -> tuple[ir.Part, ...]:
    return tuple(_with_bytes(part, kind, found) for part in parts)


def _with_bytes(part: ir.Part, kind: type[ir.Part], found: Mapping[str, ir.Inline]) -> ir.Part:
    if isinstance(part, ir.ToolResult):
        return structs.replace(part, content=_replaced(part.content, kind, found))
    if not (isinstance(part, Medium) and type(part) is kind and isinstance(part.source, ir.Url)):
        return part
    url, made = part.source.url, found[part.source.url]
    if isinstance(part, ir.Document) and part.name is None:
        return structs.replace(part, source=made, name=unquote(urlsplit(url).path.rpartition("/")[2]) or None)
    return structs.replace(part, source=made)
