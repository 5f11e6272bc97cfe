"""The short way of a model request: bytes from the socket to `serving` and back, without aiohttp's server in between.

Rule: a connection is in the lane as long as its requests are usual ones (`heads`); with the first other one it goes
over to aiohttp's application, which knows all of HTTP, and stays there. An answer leaves in one write with its head,
a stream with one write for each piece; nobody waits unless the client falls behind. The end of either leaves when the
books have its row, at the end of this turn of the event loop. A client that left cancels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp.tcp_helpers import tcp_keepalive

from llm_mux import log
from llm_mux.gateway.ahead import Ahead
from llm_mux.gateway.ask import Outlet, Whole, Write
from llm_mux.server.answer_heads import written
from llm_mux.server.express import Express, begun
from llm_mux.server.flowing import Flowing
from llm_mux.server.heads import MOST_HEAD, Head, unfinished
from llm_mux.server.serving import STREAM_HEADERS, Advance, labelled, serve

if TYPE_CHECKING:
    from llm_mux.server.lanes import Lanes

_MOST_BODY: Final = 4 << 20
_MOST_AHEAD: Final = 64 << 10


class Lane(asyncio.Protocol, Outlet):
    """One connection, (as `Arrival`) the request that it is at, and (as `Outlet`) the stream that answers it."""

    __slots__ = (
        "_ahead",
        "_body",
        "_chunked",
        "_drained",
        "_express",
        "_gone",
        "_head",
        "_lanes",
        "_last",
        "_leaving",
        "_missing",
        "_pending",
        "_pieces",
        "_transport",
        "flowing",
        "headers",
        "memo",
        "path",
        "query_key",
        "since",
        "task",
    )

    def __init__(self, lanes: Lanes) -> None:
        super().__init__()
        self._lanes = lanes
        self._transport: asyncio.Transport | None = None
        self._ahead = b""
        self._head: Head | None = None
        self._pieces: list[bytes] = []
        self._missing = 0
        self._body = b""
        self._pending = self._last = b""
        self._chunked = False
        self._express: Express | None = None
        self._drained: asyncio.Future[None] | None = None
        self._gone = False
        self._leaving = False
        self.task: asyncio.Task[None] | None = None
        self.flowing: Flowing | None = None
        self.since = lanes.loop.time()
        self.path = ""
        self.headers: Mapping[str, str] = {}
        self.query_key: str | None = None
        self.memo: dict[object, Any] = {}

    @property
    def busy(self) -> bool:
        return self.task is not None or self._express is not None or self.flowing is not None or bool(self._last)

    @property
    def awaits_stream(self) -> bool:
        return self._express is not None and self._express.exchange.ask.stream

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        tcp_keepalive(self._transport)
        self._lanes.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._lanes.lanes.discard(self)
        self._wake()
        if self.task is not None:
            self.task.cancel()
        if self._express is not None:
            self._express.gone()
        if self.flowing is not None:
            self.flowing.gone()

    def pause_writing(self) -> None:
        if self._drained is None:
            self._drained = self._lanes.loop.create_future()

    def resume_writing(self) -> None:
        self._wake()

    def _wake(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
        if self.caught_up is not None and not self._gone:
            self.caught_up()

    def data_received(self, data: bytes) -> None:
        if self.busy:
            self._ahead += data
            if len(self._ahead) > _MOST_AHEAD and self._transport is not None:
                self._transport.pause_reading()
        elif self._missing:
            self._more(data)
        else:
            self._begin(self._ahead + data if self._ahead else data)

    def _begin(self, data: bytes) -> None:
        """The start of a request."""
        if not self._ahead:
            self.since = self._lanes.loop.time()
        end = data.find(b"\r\n\r\n", 0, MOST_HEAD)
        if end < 0 and unfinished(data):
            self._ahead = data
            return
        self._ahead = b""
        found = self._lanes.heads.read(data[:end]) if end >= 0 else None
        if found is None:
            self._hand_over(data)
            return
        head, length = found
        if length > min(_MOST_BODY, self._lanes.daemon.max_request_size) or length < head.route.least:
            self._hand_over(data)
            return
        self._head = head
        start, have = end + 4, len(data) - end - 4
        if have < length:
            self._pieces, self._missing = [data[start:]], length - have
            return
        self._body, self._ahead = data[start : start + length], data[start + length :]
        self._serve()

    def _more(self, data: bytes) -> None:
        self._missing -= len(data)
        self.since = self._lanes.loop.time()
        if self._missing < 0:
            self._ahead = data[self._missing :]
            data = data[: self._missing]
            self._missing = 0
        self._pieces.append(data)
        if not self._missing:
            self._body, self._pieces = b"".join(self._pieces), []
            self._serve()

    def _hand_over(self, data: bytes) -> None:
        """The connection is aiohttp's from here on."""
        transport = self._transport
        self._lanes.lanes.discard(self)
        if transport is None:
            return
        handler = self._lanes.server()
        transport.set_protocol(handler)
        handler.connection_made(transport)
        handler.data_received(data)
        if self._leaving:
            handler.close()

    # One request.

    def _serve(self) -> None:
        head = self._head
        if head is None:
            return
        self.path, self.headers, self.query_key, self.memo = head.path, head.headers, head.query_key, head.memo
        express = begun(self._lanes.daemon, self, head.route, self._body)
        if express is not None:
            # It has the body, and lets go of it when it needs it no more.
            self._body = b""
        if express is not None and express.sent:
            self._express = express
            if express.exchange.ask.stream:
                self._lanes.patient()
        else:
            self.task = self._lanes.loop.create_task(self._served(head, None if express is None else express.advance))

    async def _served(self, head: Head, ahead: Advance | None) -> None:
        try:
            await serve(self._lanes.daemon, self, head.route, ahead)
        except asyncio.CancelledError:
            self.close()
            raise
        except Exception:
            log.logger.exception("request.broken", path=self.path)
            self.close()
        finally:
            self.task, self._body = None, b""
        if self.flowing is None:
            self._next()

    def _next(self) -> None:
        """The answer is written: on to the next request, if it is there already."""
        if self._last:
            return
        self.since = self._lanes.loop.time()
        transport, ahead = self._transport, self._ahead
        if transport is None or self._gone or self._chunked:
            # A stream without its end: the client must not take what follows for a part of it.
            self.close()
        elif self._leaving:
            self.close()
        elif ahead:
            if not transport.is_reading():
                transport.resume_reading()
            self._begin(ahead)

    def go_on(self) -> None:
        """What was begun without a task needs one."""
        express, self._express = self._express, None
        if express is not None and self._head is not None:
            express.handed_over()
            self.task = self._lanes.loop.create_task(self._served(self._head, express.advance))

    async def end_of_flow(self) -> None:
        """Waits for the end of a stream that has no task; where it is not waited for any longer it is broken off."""
        if (flowing := self.flowing) is not None:
            try:
                await flowing.ended()
            except asyncio.CancelledError:
                flowing.gone()
                raise

    def leave(self) -> None:
        """Closes at once, or after the answer under way."""
        self._leaving = True
        if not self.busy and not self._missing:
            self.close()

    def close(self) -> None:
        if self._last:
            self._lanes.books.keep()
            self._write_last()
        if self._transport is not None:
            self._transport.close()

    def _finish(self, data: bytes) -> None:
        """The end of an answer, for a client that is there."""
        if self._transport is None or self._gone:
            return
        if self._lanes.books.settled:
            # They keep it in the next turn, before this is called.
            self._last = data
            self._lanes.loop.call_soon(self._kept)
        else:
            self._transport.write(data)

    def _kept(self) -> None:
        """The books have what is answered."""
        if self._last:
            self._write_last()
            if self.task is None:
                self._next()

    def _write_last(self) -> None:
        data, self._last = self._last, b""
        if self._transport is not None and not self._gone:
            self._transport.write(data)

    # What `serving` calls.

    async def body(self, most: int) -> bytes:
        """Asked for once: it is not kept here."""
        body, self._body = self._body, b""
        return body

    def told(self, answer: Whole, headers: dict[str, str]) -> None:
        """The answer to what was begun without a task."""
        self._put_whole(answer.status, answer.body, headers)
        self._end_of_express()

    def plain(self, exchange: Ahead, body: bytes, more: dict[str, str]) -> None:
        """The same with the head of an exchange that went well; `more` are headers that say where limits stand."""
        if more or self._lanes.drain.leaving:
            self._put_whole(200, body, labelled(exchange.headers() | more, "application/json"))
        else:
            self._finish(self._lanes.forms.head(exchange, len(body), self._lanes.date()) + body)
        self._end_of_express()

    def streamed(self, exchange: Ahead, data: bytes, more: dict[str, str]) -> None:
        """The same for a stream, all of it."""
        self._finish(b"%b%x\r\n%b\r\n0\r\n\r\n" % (self._stream_head(exchange, more), len(data), data))
        self._end_of_express()

    def flows(self, exchange: Ahead, flowing: Flowing, more: dict[str, str]) -> None:
        """The same for a stream that goes on."""
        self._express, self._chunked = None, True
        self._pending = self._stream_head(exchange, more)
        self._carry(flowing)

    def carry(self, flowing: Flowing) -> bool:
        flowing.enter()
        self._carry(flowing)
        return True

    def _carry(self, flowing: Flowing) -> None:
        self.flowing = flowing
        self._lanes.beating()
        flowing.begin(self, self._flowed)

    def _flowed(self, whole: bool) -> None:
        """The stream is over; one that broke has no end, and ends the connection."""
        self.flowing = None
        if whole:
            self._end_stream()
        if self.task is None:
            self._next()

    def _stream_head(self, exchange: Ahead, more: dict[str, str]) -> bytes:
        if not (more or self._lanes.drain.leaving):
            return self._lanes.forms.streamed(exchange, self._lanes.date())
        headers = labelled(exchange.headers() | more | STREAM_HEADERS, exchange.media)
        return self._headed(200, headers | {"Transfer-Encoding": "chunked"})

    def _end_of_express(self) -> None:
        self._express = None
        self._next()

    async def whole(self, answer: Whole, headers: dict[str, str]) -> None:
        self._put_whole(answer.status, answer.body, headers)

    def _put_whole(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        headers["Content-Length"] = str(len(body))
        self._finish(self._headed(status, headers) + body)

    async def begin(self, headers: dict[str, str]) -> Write:
        if self._gone:
            raise ConnectionResetError("the client left")
        headers["Transfer-Encoding"] = "chunked"
        self._pending = self._headed(200, headers)
        self._chunked = True
        return self

    async def __call__(self, data: bytes, /) -> None:
        """One piece of the stream. Waits while the client is behind; raises ConnectionError when it left."""
        if self.put(data):
            return
        if self._drained is not None:
            # Shielded: a keep-alive and a piece may wait for the same thing, and only one of them be cancelled.
            await asyncio.shield(self._drained)
            if self._gone:
                raise ConnectionResetError("the client left")

    def put(self, data: bytes, /) -> bool:
        """The same without waiting; whether the client keeps up."""
        if self._gone or self._transport is None:
            raise ConnectionResetError("the client left")
        if self._pending and data:
            head, self._pending = self._pending, b""
            self._transport.write(b"%b%x\r\n%b\r\n" % (head, len(data), data))
        elif data:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return self._drained is None

    def last(self, data: bytes, /) -> None:
        """The last piece and the end of the stream in one write."""
        if self._gone or self._transport is None:
            raise ConnectionResetError("the client left")
        piece = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        self._finish(b"%b%b0\r\n\r\n" % (self._pending, piece))
        self._pending, self._chunked, self.caught_up = b"", False, None

    async def end(self) -> None:
        self._end_stream()

    def _end_stream(self) -> None:
        if self._chunked:
            self._finish(self._pending + b"0\r\n\r\n")
        self._pending, self._chunked, self.caught_up = b"", False, None

    def _headed(self, status: int, headers: dict[str, str]) -> bytes:
        headers["Date"] = self._lanes.date().decode()
        if self._lanes.drain.leaving:
            headers["Connection"] = "close"
            self._leaving = True
        return written(status, headers)
