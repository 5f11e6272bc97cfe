"""A load client for the benchmarks: raw HTTP/1.1 on kept-alive connections, closed loop or open loop at a fixed rate.

Open loop sends on schedule whatever is still running, so that waiting is not hidden. Every answer is checked for its
end mark; a wrong one counts as an error.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast


@dataclass
class Result:
    """Times in seconds. `first` is to the first body byte, `whole` to the last."""

    whole: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    errors: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.whole) / self.seconds if self.seconds else 0.0

    def p(self, times: list[float], percent: float) -> float:
        ordered = sorted(times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.waiter: asyncio.Future[bool] | None = None
        self.sent = self.first = 0.0
        self.buffer = bytearray()
        self.length: int | None = None
        self.head = False
        self.good = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes) -> asyncio.Future[bool]:
        assert self.transport is not None
        self.waiter = asyncio.get_running_loop().create_future()
        self.buffer.clear()
        self.head, self.length, self.first = False, None, 0.0
        self.sent = time.perf_counter()
        self.transport.write(request)
        return self.waiter

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.head:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.buffer[:end]).lower()
            self.good = head.startswith(b"http/1.1 200")
            at = head.find(b"content-length:")
            self.length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else None
            del self.buffer[: end + 4]
            self.head = True
        if self.buffer and not self.first:
            self.first = time.perf_counter()
        over = len(self.buffer) >= self.length if self.length is not None else self.buffer.endswith(b"0\r\n\r\n")
        if over and self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(self.good and len(self.buffer) > 20)

    def connection_lost(self, error: Exception | None) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(False)


def request_bytes(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def connect(port: int) -> Connection:
    _, protocol = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return protocol


def _made(request: bytes | Iterator[bytes], total: int) -> list[bytes]:
    """So many requests: the same one, or the next of several."""
    return [request] * total if isinstance(request, bytes) else list(itertools.islice(request, total))


async def closed_loop(port: int, request: bytes | Iterator[bytes], *, concurrency: int, total: int) -> Result:
    """`total` requests, `concurrency` at a time; the same one, or the next of several, made before it begins."""
    result, left = Result(), total
    requests = iter(_made(request, total))

    async def worker() -> None:
        nonlocal left
        connection = await connect(port)
        while left > 0:
            left -= 1
            good = await connection.ask(next(requests))
            _note(result, connection, good)
            if not good:
                connection = await connect(port)
        assert connection.transport is not None
        connection.transport.close()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    result.seconds = time.perf_counter() - started
    return result


async def open_loop(port: int, request: bytes | Iterator[bytes], *, rate: float, seconds: float) -> Result:
    """Requests at a fixed rate, made before it begins; each takes a free connection or opens one."""
    result, free, tasks = Result(), [], []
    made = _made(request, int(rate * seconds))
    started = time.perf_counter()

    async def one(request: bytes) -> None:
        connection = free.pop() if free else await connect(port)
        _note(result, connection, await connection.ask(request))
        free.append(connection)

    for number, each in enumerate(made):
        due = started + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.ensure_future(one(each)))
    await asyncio.gather(*tasks)
    result.seconds = time.perf_counter() - started
    for connection in free:
        connection.transport.close()
    return result


def _note(result: Result, connection: Connection, good: bool) -> None:
    if not good:
        result.errors += 1
        return
    result.whole.append(time.perf_counter() - connection.sent)
    result.first.append(connection.first - connection.sent)


def median(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")
