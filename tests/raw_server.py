"""A server that sends exactly the bytes it is told: for what no well-behaved server would send, and how it breaks off.

Each request is answered by the next script of its connection; nothing is added, nothing is checked.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from typing import Self

from tests.fake_upstream import RESET, Reset, Wait


class Close:
    """A step: end the connection properly."""


CLOSE = Close()

_AT_ONCE = struct.pack("ii", 1, 0)
"""A socket that lingers for no time is reset when it is closed."""

Step = bytes | Wait | Reset | Close
Script = Sequence[Step]


class RawServer:
    """`scripts(connection, request)` gives the steps for one request, both counted from 0. With `heads_only` it answers
    a request's head and not before the body is there; `deaf`, it does not even read while it waits."""

    def __init__(
        self,
        scripts: Callable[[int, int], Script] | Script,
        *,
        tls: ssl.SSLContext | None = None,
        heads_only: bool = False,
        deaf: bool = False,
    ) -> None:
        self._scripts = scripts if callable(scripts) else lambda connection, request: scripts
        self._tls = tls
        self._heads_only = heads_only or deaf
        self._deaf = deaf
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.requests: list[bytes] = []
        self.connections = self.steps = 0
        self.alpn: str | None = None
        self.gone = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """Connections that the client has not closed."""
        return len(self._writers)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._talk(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, count = self.connections, 0
        self.connections += 1
        self._writers.add(writer)
        if self._tls is not None:
            self.alpn = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                while await self._answer(reader, writer, number, count):
                    count += 1
        finally:
            writer.close()
            self._writers.discard(writer)
            self.gone.set()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, count: int
    ) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        body = b"" if self._heads_only else await reader.readexactly(_length(head))
        self.requests.append(head + body)
        for step in self._scripts(number, count):
            if isinstance(step, Wait):
                if not await self._waited(reader, step.event):
                    return False
            elif isinstance(step, Reset):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                writer.transport.abort()
                return False
            elif isinstance(step, Close):
                return False
            else:
                writer.write(step)
                await writer.drain()
                self.steps += 1
                await asyncio.sleep(0)
        return True

    async def _waited(self, reader: asyncio.StreamReader, event: asyncio.Event) -> bool:
        """Whether the client is still there when the event is set."""
        if self._deaf:
            return await event.wait()
        waiting, gone = asyncio.ensure_future(event.wait()), asyncio.ensure_future(_forgotten(reader))
        try:
            await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
            return waiting.done()
        finally:
            for each in (waiting, gone):
                each.cancel()
            await asyncio.gather(waiting, gone, return_exceptions=True)


async def _forgotten(reader: asyncio.StreamReader) -> None:
    """Reads whatever comes until the client goes."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):
            pass


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


__all__ = ["CLOSE", "RESET", "RawServer", "Script", "Step", "Wait"]
