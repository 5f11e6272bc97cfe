"""Requests byte for byte, and what a server of HTTP/1.1 has to make of them. The rules they belong to are in
`tests/http_rules.py`; they are sent in `test_http_rules.py`."""

import json
from dataclasses import dataclass

BODY = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hi"}]}).encode()
LINE = b"POST /v1/chat/completions HTTP/1.1\r\n"
HOST = b"Host: localhost\r\n"
SIZE = b"Content-Length: %d\r\n" % len(BODY)
START = LINE + HOST
POST = START + SIZE + b"\r\n" + BODY
HEALTH = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKS = START + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


@dataclass(frozen=True)
class Case:
    """Bytes of a client, the statuses of their answers, and whether the connection ends with the last of them.
    `also`: other statuses that the last may have. `head`: that answer has a head only."""

    name: str
    sent: bytes
    answers: tuple[int, ...] = (200,)
    ends: bool = False
    also: tuple[int, ...] = ()
    head: bool = False


def bad(name: str, sent: bytes, *also: int) -> Case:
    """Refused, and whatever came behind it is not read."""
    return Case(name, sent + POST, (400,), ends=True, also=also)


def fields(*lines: bytes) -> bytes:
    """A request with more fields."""
    return START + b"".join(line + b"\r\n" for line in lines) + SIZE + b"\r\n" + BODY


GOOD = [
    Case("a length", POST),
    Case("no field but Host", HEALTH),
    Case("chunks", CHUNKS + chunk(BODY) + LAST),
    Case("many chunks", CHUNKS + b"".join(chunk(BODY[at : at + 7]) for at in range(0, len(BODY), 7)) + LAST),
    Case("chunk sizes in capitals and with zeros", CHUNKS + b"000%X\r\n" % len(BODY) + BODY + b"\r\n" + LAST),
    Case("chunk extensions", CHUNKS + chunk(BODY, b';a=b;c="d e"') + b"0;last\r\n\r\n"),
    Case("trailers", CHUNKS + chunk(BODY) + b"0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"),
    Case("chunked in other letters", CHUNKS.replace(b"chunked", b"Chunked") + chunk(BODY) + LAST),
    Case("empty lines before", b"\r\n" + POST),
    Case("names in any case", POST.replace(b"Host", b"hOST").replace(b"Content-Length", b"CONTENT-LENGTH")),
    Case("blanks around a value", fields(b"X-Blank: \t a \t")),
    Case("an empty value", fields(b"X-Empty:")),
    Case("text that is not ASCII", fields("X-Words: bücher".encode())),
    Case("absolute form", POST.replace(b"POST /", b"POST http://localhost/")),
    Case("two requests at once", POST + POST, (200, 200)),
    Case("the lane, the application and back", POST + HEALTH + POST, (200, 200, 200)),
    Case("a body and the next request", CHUNKS + chunk(BODY) + LAST + POST, (200, 200)),
    Case("Connection: close", fields(b"Connection: close"), ends=True),
    Case("close in a list", fields(b"Connection: x-mine, Close"), ends=True),
    Case("more after the last request", fields(b"Connection: close") + POST, ends=True, also=(400,)),
    Case("keep-alive in a list", fields(b"Connection: keep-alive, x-mine")),
    Case("1.0", POST.replace(b"HTTP/1.1", b"HTTP/1.0"), ends=True),
    Case("1.0 kept", POST.replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n")),
    Case("100 asked for with the body there", fields(b"Expect: 100-continue"), (100, 200)),
    Case("an unknown expectation", fields(b"Expect: miracles"), (417,)),
    Case("an unknown upgrade", fields(b"Connection: upgrade", b"Upgrade: teleport")),
    Case("an upgrade to h2c", fields(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")),
    Case("HEAD", HEALTH.replace(b"GET", b"HEAD"), head=True),
    Case("a preflight", b"OPTIONS /v1/messages HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n", (204,), head=True),
    Case("asterisk form", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", (404,), also=(200, 204, 400, 405)),
    Case("a method that is not there", HEALTH.replace(b"GET", b"DELETE"), (405,)),
    Case("a method in small letters", POST.replace(b"POST", b"post") , (400,), ends=True, also=(405, 501)),
    Case("an extension without end", CHUNKS + b"2;" + b"x" * 200_000 + b"\r\nok\r\n" + LAST, (400,)),
    Case("extensions in all chunks", CHUNKS + chunk(b" ", b";" + b"x" * 4000) * 2000 + LAST, (400,)),
    Case("no length and no body", START + b"\r\n", (400,)),
    Case("authority form", b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n" + POST, (404, 200)),
    Case("two blanks in the request line", POST.replace(b"POST /", b"POST  /")),
]  # fmt: skip

BAD = [
    bad("a bare LF after the request line", POST.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\n")),
    bad("bare LFs", POST.replace(b"\r\n", b"\n")),
    bad("a bare CR in a value", fields(b"X: a\rb")),
    bad("a bare CR in the request line", POST.replace(b" HTTP/1.1", b"\r HTTP/1.1")),
    bad("a NUL in a value", fields(b"X: a\0b")),
    bad("a blank before the first field", LINE + b" " + HOST + SIZE + b"\r\n" + BODY),
    bad("no request at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    bad("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    bad("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    bad("another major version", POST.replace(b"HTTP/1.1", b"HTTP/2.0"), 505),
    bad("a version without a minor", POST.replace(b"HTTP/1.1", b"HTTP/1"), 505),
    bad("a version in small letters", POST.replace(b"HTTP/1.1", b"http/1.1"), 505),
    bad("no version", b"GET /healthz\r\n\r\n", 505),
    bad("a later minor version", POST.replace(b"HTTP/1.1", b"HTTP/1.2"), 505),
    bad("a blank in the target", POST.replace(b"/v1/", b"/v1 /")),
    bad("a tab for a blank", POST.replace(b"POST /", b"POST\t/")),
    bad("a blank after the version", POST.replace(b"HTTP/1.1\r\n", b"HTTP/1.1 \r\n")),
    bad("a method that is no token", POST.replace(b"POST", b"PO(ST")),
    bad("a target that is too long", POST.replace(b"/v1/chat/completions", b"/" + b"a" * 70_000), 414, 431),
    bad("no Host", LINE + SIZE + b"\r\n" + BODY),
    bad("two Hosts", fields(b"Host: localhost")),
    bad("two Hosts that differ", fields(b"Host: evil.example")),
    bad("a Host that is none", POST.replace(b"Host: localhost", b"Host: local host"), 403),
    bad("an absolute form with another Host", POST.replace(b"POST /", b"POST http://evil.example/"), 403),
    bad("a blank before the colon", fields(b"X-Blank : a")),
    bad("a blank before the colon of a length", START + b"Content-Length : 5\r\n\r\nhello"),
    bad("a folded line", fields(b"X-Folded: a\r\n b")),
    bad("a folded length", START + b"Content-Length:\r\n 5\r\n\r\nhello"),
    bad("a name that is empty", fields(b": a")),
    bad("a name that is no token", fields(b"X(Y): a")),
    bad("a line without a colon", fields(b"nonsense")),
    bad("a field that is too long", fields(b"X: " + b"a" * 70_000), 431),
    bad("too many fields", fields(*[b"X: a"] * 40_000), 431),
    bad("a length and chunks", START + SIZE + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(BODY) + LAST),
    bad("chunks and a length", START + b"Transfer-Encoding: chunked\r\n" + SIZE + b"\r\n" + chunk(BODY) + LAST),
    bad("a coding that is not chunked", START + b"Transfer-Encoding: gzip\r\n\r\n" + chunk(BODY) + LAST, 501),
    bad("chunked, but not last", START + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + chunk(BODY) + LAST, 501),
    bad("a coding inside the chunks", START + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk(BODY) + LAST, 501),
    bad("chunked twice", START + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + chunk(BODY) + LAST, 501),
    bad("two codings", START + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n" + chunk(BODY) + LAST, 501),
    bad("two codings that differ", START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + chunk(BODY) + LAST, 501),
    bad("almost chunked", START + b"Transfer-Encoding: xchunked\r\n\r\n" + chunk(BODY) + LAST, 501),
    bad("chunked with a parameter", START + b"Transfer-Encoding: chunked;q=1\r\n\r\n" + chunk(BODY) + LAST, 501),
    bad("chunked behind a vertical tab", START + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + chunk(BODY) + LAST, 501),
    bad("an empty coding", START + b"Transfer-Encoding:\r\n\r\n" + chunk(BODY) + LAST, 501),
    bad("chunks in 1.0", CHUNKS.replace(b"HTTP/1.1", b"HTTP/1.0") + chunk(BODY) + LAST, 501),
    bad("two lengths", START + SIZE + SIZE + b"\r\n" + BODY),
    bad("two lengths that differ", START + SIZE + b"Content-Length: 5\r\n\r\n" + BODY),
    bad("a list of lengths", POST.replace(SIZE, b"Content-Length: %d, %d\r\n" % (len(BODY), len(BODY)))),
    bad("a length with a sign", POST.replace(b"Length: ", b"Length: +")),
    bad("a negative length", START + b"Content-Length: -5\r\n\r\n"),
    bad("a length in hexadecimal", POST.replace(b"Length: ", b"Length: 0x")),
    bad("a length with an underscore", START + b"Content-Length: 1_0\r\n\r\n0123456789"),
    bad("a length with a point", START + b"Content-Length: 5.0\r\n\r\nhello"),
    bad("a length with a blank inside", START + b"Content-Length: 1 0\r\n\r\n0123456789"),
    bad("an empty length", START + b"Content-Length:\r\n\r\n"),
    bad("a length in foreign digits", START + "Content-Length: ५\r\n\r\nhello".encode()),
    bad("a length out of all bounds", START + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n", 413),
    bad("a chunk without a size", CHUNKS + b"\r\n" + BODY + b"\r\n" + LAST),
    bad("a chunk's size with a sign", CHUNKS + b"+" + chunk(BODY) + LAST),
    bad("a chunk's size with 0x", CHUNKS + b"0x" + chunk(BODY) + LAST),
    bad("a chunk's size that is a word", CHUNKS + b"two\r\nok\r\n" + LAST),
    bad("a chunk's size with an underscore", CHUNKS + b"1_0\r\n0123456789abcdef\r\n" + LAST),
    bad("a blank before a chunk's size", CHUNKS + b" " + chunk(BODY) + LAST),
    bad("a chunk's size out of all bounds", CHUNKS + b"f" * 17 + b"\r\n" + BODY, 413),
    bad("a chunk longer than its size", CHUNKS + b"2\r\nok!\r\n" + LAST),
    bad("a chunk shorter than its size", CHUNKS + b"5\r\nok\r\n" + LAST),
    bad("a chunk line ended by LF", CHUNKS + b"%x\n" % len(BODY) + BODY + b"\r\n" + LAST),
    bad("a chunk ended by LF", CHUNKS + b"%x\r\n" % len(BODY) + BODY + b"\n" + LAST),
    bad("an extension with an LF", CHUNKS + chunk(BODY, b";a\nb") + LAST),
    bad("an extension with a CR", CHUNKS + chunk(BODY, b";a\rb") + LAST),
    bad("a trailer without a colon", CHUNKS + chunk(BODY) + b"0\r\nnonsense\r\n\r\n"),
    bad("trailers without end", CHUNKS + chunk(BODY) + b"0\r\n" + b"X: y\r\n" * 40_000 + b"\r\n", 413, 431),
]  # fmt: skip
CASES = {case.name: case for case in (*GOOD, *BAD)}
