"""The two heads of an exchange: ours as bytes, theirs as status and headers.

Rule: the lines of an answer's head are read by aiohttp's parser (llhttp, where it is compiled); here stands only what
that parser lets pass and a relay must not: folded and unevenly ended lines, other versions, framings that contradict.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParser, HttpResponseParserPy
from multidict import CIMultiDictProxy
from yarl import URL

from llm_mux.gateway.upstream import USER_AGENT, media_type

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

COMPILED = HttpResponseParser is not HttpResponseParserPy
"""Whether aiohttp's parser is llhttp; the one in Python wants to read bodies too."""

MOST_HEAD = 1 << 17
_MOST_LINE = 1 << 16
_OURS = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive", "expect", "upgrade", "te"})


class Malformed(Exception):
    """The bytes are not an answer that can be relied on."""


class Head(NamedTuple):
    """An answer's head. `length` of the body: None when it is chunked, -1 when the connection's end ends it."""

    status: int
    headers: CIMultiDictProxy[str]
    length: int | None
    packed: str | None
    keep: bool
    media: str


def parser_for(loop: asyncio.AbstractEventLoop) -> HttpResponseParser:
    """A parser for the heads of one connection, one after another. It sees no bodies and needs no protocol."""
    return HttpResponseParser(
        cast("ResponseHandler", None),
        loop,
        1 << 16,
        max_line_size=_MOST_LINE,
        max_field_size=_MOST_LINE,
        max_headers=256,
        response_with_body=False,
        auto_decompress=False,
    )


def beginning(data: bytes) -> bool:
    """Whether the start of a head is one that may yet become whole."""
    return data[:7] == b"HTTP/1."[: len(data)] and data.count(b"\n") == data.count(b"\r\n")


def parse(parser: HttpResponseParser, data: bytes) -> Head:
    """Reads a whole head, its empty line included. Raises Malformed."""
    lines = data.count(b"\r\n")
    if data.count(b"\n") != lines or data.count(b"\r") != lines or b"\n " in data or b"\n\t" in data:
        raise Malformed("a line is folded or not ended by CR LF")
    if b"\0" in data:
        raise Malformed("a NUL in the head")
    if b" :" in data or b"\t:" in data:
        _refuse_spaced_names(data)
    try:
        messages, _, rest = parser.feed_data(data)
    except HttpProcessingError as error:
        raise Malformed(error.message) from error
    if len(messages) != 1 or rest:
        raise Malformed("not one head")
    message = messages[0][0]
    if message.version.major != 1 or message.code == 101:
        raise Malformed("not an HTTP/1 answer")
    headers = message.headers
    length = _length(message.code, headers, message.chunked)
    # Chunks from a server of the version before them: read, but not relied on for what comes after.
    keep = not message.should_close and not (length is None and message.version.minor == 0)
    return Head(message.code, headers, length, message.compression, keep, media_type(headers.get("Content-Type", "")))


def _refuse_spaced_names(data: bytes) -> None:
    for line in data.split(b"\r\n"):
        name, colon, _ = line.partition(b":")
        if colon and name != name.rstrip(b" \t") and not name.startswith(b"HTTP/"):
            raise Malformed("a space between a header's name and its colon")


def _length(status: int, headers: CIMultiDictProxy[str], chunked: bool) -> int | None:
    size = headers.get("Content-Length")
    if "Transfer-Encoding" in headers:
        codings = headers.getall("Transfer-Encoding")
        if not chunked or size is not None or len(codings) != 1 or codings[0].lower() != "chunked":
            raise Malformed("a transfer coding other than chunked, or beside a length")
        return None if _has_body(status) else 0
    if not _has_body(status):
        return 0
    if size is None:
        return -1
    if not (size.isascii() and size.isdigit()):
        raise Malformed("a length that is not a number")
    return int(size)


def _has_body(status: int) -> bool:
    return status >= 200 and status not in (204, 304)


class Target(NamedTuple):
    """Where a URL's requests go: what to connect to, and what the request line and the Host header say."""

    secure: bool
    host: str
    port: int
    path: str
    authority: str
    credentials: str | None


def target_of(url: str) -> Target:
    """Raises ValueError for what is not an http or https URL."""
    parsed = URL(url, encoded=True)
    host, port = parsed.raw_host, parsed.port
    if parsed.scheme not in ("http", "https") or not host or port is None:
        raise ValueError("not an http or https URL with a host")
    path = parsed.raw_path_qs or "/"
    if not path.isprintable() or " " in path or "#" in path:
        raise ValueError("a path that cannot stand in a request line")
    shown = f"[{host}]" if ":" in host else host
    usual = port == (443 if parsed.scheme == "https" else 80)
    return Target(
        secure=parsed.scheme == "https",
        host=host,
        port=port,
        path=path,
        authority=shown if usual else f"{shown}:{port}",
        credentials=basic(parsed),
    )


def basic(url: URL) -> str | None:
    """The value of an authorization header for the name and password in a URL."""
    if url.user is None and url.password is None:
        return None
    pair = f"{url.user or ''}:{url.password or ''}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def request_head(method: str, line: str, target: Target, headers: Mapping[str, str], more: Mapping[str, str]) -> bytes:
    """A request's head up to its length, which each request adds. `line` is what stands between method and version.

    What the connection itself decides (length, keep-alive) is not taken from `headers`. Raises ValueError for a header
    that would be more than one line.
    """
    lines = [f"{method} {line} HTTP/1.1"]
    # The last of two spellings counts: what the user configured comes after what the provider's record says.
    named = {name.lower(): f"{name}: {value}" for name, value in headers.items()}
    if "host" not in named:
        lines.append(f"Host: {target.authority}")
    if "user-agent" not in named:
        lines.append(f"User-Agent: {USER_AGENT}")
    if "accept-encoding" not in named:
        lines.append("Accept-Encoding: identity")
    if target.credentials is not None and "authorization" not in named:
        lines.append(f"Authorization: {target.credentials}")
    lines += [header for name, header in named.items() if name not in _OURS]
    lines += [f"{name}: {value}" for name, value in more.items()]
    text = "\r\n".join(lines)
    ends = len(lines) - 1
    if text.count("\n") != ends or text.count("\r") != ends or "\0" in text:
        raise ValueError("a header of more than one line")
    return f"{text}\r\n".encode()
