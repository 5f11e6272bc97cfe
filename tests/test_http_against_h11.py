"""Where messages end, by our readers and by h11, an independent one: bytes that ours takes must say the same to both, or
a request could be smuggled past one of them. What ours refuses or hands on is no matter here."""

import asyncio
import random
from collections.abc import Iterator

import h11
import pytest

from llm_mux.gateway.http.framing import framing_of
from llm_mux.gateway.http.head import Malformed, parse, parser_for
from llm_mux.server.app import model_route
from llm_mux.server.heads import Heads
from tests.gateway.test_upstream_conformance import BAD, GOOD
from tests.server.http_requests import CASES

PIECES = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b"\x85", b":", b",", b";", b"0", b"1", b"+", b"-", b"0x", b"_"),
    *(b"\r\n\r\n", b"Content-Length: 5\r\n", b"content-length:0\r\n", b"Content-Length : 3\r\n", b" folded\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"transfer-encoding:\tchunked\r\n"),
    *(b"Connection: close\r\n", b"Host: b\r\n", b"HTTP/1.0", b"HTTP/1.1 ", b"0\r\n\r\n", b"5\r\nhello\r\n", b"chunked"),
]  # fmt: skip
"""Without the control characters that RFC 9110 (5.5) lets stay and h11 refuses."""
ROUNDS = 400


def changed(seed: bytes, chance: random.Random) -> bytes:
    """A few pieces put in, bytes taken out or parts doubled, mostly in the head."""
    data = seed
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(min(len(data), 400) + 1)
        match chance.randrange(4):
            case 0 | 1:
                data = data[:at] + chance.choice(PIECES) + data[at:]
            case 2:
                data = data[:at] + data[at + chance.randint(1, 6) :]
            case _:
                end = at + chance.randint(1, 40)
                data = data[:end] + data[at:end] + data[end:]
    return data


def of(seeds: list[bytes], seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        yield changed(chance.choice(seeds), chance)


REQUESTS = [case.sent[:2000] for case in CASES.values()]
ANSWERS = [case.answer for case in (*GOOD, *BAD) if len(case.answer) < 2000]


def in_the_lane(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Target, body and what follows, as the lane reads them."""
    end = data.find(b"\r\n\r\n")
    found = Heads(model_route).read(data[:end]) if end >= 0 else None
    if found is None or len(data) - end - 4 < found[1]:
        return None
    target, start = data[:end].split(b" ", 2)[1], end + 4
    return target, data[start : start + found[1]], data[start + found[1] :]


def by_h11(role: "type[h11.SERVER] | type[h11.CLIENT]", data: bytes, method: str) -> tuple[object, bytes, bytes]:
    """The head, the body and what follows. Raises h11.RemoteProtocolError."""
    connection = h11.Connection(role)
    if role is h11.CLIENT:
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    head, body = None, b""
    while True:
        event = connection.next_event()
        match event:
            case h11.Request() | h11.Response():
                head = event
            case h11.Data():
                body += bytes(event.data)
            case h11.EndOfMessage():
                return head, body, connection.trailing_data[0]
            case h11.InformationalResponse():
                pass
            case _:
                return head, body, b"unfinished"


@pytest.mark.parametrize("seed", range(20))
def test_the_lane_takes_no_request_that_another_reads_differently(seed: int) -> None:
    taken = 0
    for data in of(REQUESTS, seed):
        if (found := in_the_lane(data)) is None:
            continue
        taken += 1
        head, body, rest = by_h11(h11.SERVER, data, "")
        assert isinstance(head, h11.Request)
        assert (head.method, head.target, body, rest) == (b"POST", *found), data
    assert taken


def as_ours(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Status, body and what follows, as the lean client reads them; None for what it refuses or waits for."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return None
    loop = asyncio.new_event_loop()
    try:
        head = parse(parser_for(loop), data[:end])
        if head.status < 200 or head.length == -1:
            return None
        framing = framing_of(head.length)
        body = framing.feed(data[end:]) if data[end:] and not framing.over else b""
        return (head.status, body, framing.rest if body or framing.rest else data[end:]) if framing.over else None
    except Malformed:
        return None
    finally:
        loop.close()


@pytest.mark.parametrize("seed", range(20))
def test_the_client_takes_no_answer_that_another_reads_differently(seed: int) -> None:
    taken = 0
    for data in of(ANSWERS, seed):
        if (found := as_ours(data)) is None:
            continue
        taken += 1
        head, body, _ = by_h11(h11.CLIENT, data, "POST")
        assert isinstance(head, h11.Response)
        assert (head.status_code, body) == found[:2], data
    assert taken
