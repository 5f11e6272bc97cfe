"""A stream to the client: from one socket to the other inside of a callback, where no task is woken for an event.

Rule: what one read brought leaves in one write. A client that is behind makes the upstream wait; a keep-alive leaves
when nothing else did for a while; whatever goes wrong in a callback ends the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from llm_mux.errors import MuxError
from llm_mux.gateway.ask import Outlet, Write
from llm_mux.gateway.beats import Beats
from llm_mux.gateway.drain import Drain, told
from llm_mux.gateway.relay import Way
from llm_mux.gateway.upstream import Reply

Over = Callable[[Exception | None], None]


async def flow(stream: Pouring, write: Write, every_s: float, drain: Drain) -> None:
    """A stream to its end, as `write` allows. Raises ConnectionError when the client left."""
    if not isinstance(write, Outlet):
        await _waited(stream, Beats(every_s, stream.way, write), drain)
        return
    try:
        await _poured(stream, write, every_s)
    except asyncio.CancelledError:
        if not drain.over:
            raise
        write.put(stream.way.fail(told()))


async def _waited(stream: Pouring, beats: Beats, drain: Drain) -> None:
    """The byte loop for who has to be waited for."""
    way = stream.way
    try:
        while not way.over:
            try:
                out = way.feed(await stream.reply.chunk())
            except MuxError as error:
                out = way.fail(error)
            except asyncio.CancelledError:
                if not drain.over:
                    raise
                out = way.fail(told())
            if out:
                await beats.write(out)
    finally:
        beats.stop()


class Teller(Protocol):
    """Whose stream it is."""

    def seen(self, way: Way) -> None:
        """The client has seen something of it."""

    def ended(self, stream: Pouring, error: BaseException | None) -> None:
        """Nothing more goes to the client. `error`: what broke the stream that is none of its own errors."""


class Pouring:
    """One stream that has begun well (as the `Sink` of its reply); `held` is what the client is to see first. `last`:
    when something was written, by the loop's clock."""

    __slots__ = ("_loop", "_outlet", "_over", "held", "last", "reply", "teller", "way")

    def __init__(self, teller: Teller, reply: Reply, way: Way, held: bytes) -> None:
        self.teller = teller
        self.reply = reply
        self.way = way
        self.held = held
        self._loop = asyncio.get_running_loop()
        self._outlet: Outlet | None = None
        self._over: Over | None = None
        self.last = self._loop.time()

    def begin(self, outlet: Outlet, over: Over) -> None:
        """Goes on past this. `over` is told once that nothing more is wanted of the upstream, with what broke it where
        that is none of the stream's own errors: ConnectionError when the client left."""
        self._outlet, self._over = outlet, over
        held, self.held = self.held, b""
        try:
            if not outlet.put(held):
                self.reply.pause()
        except ConnectionError as gone:
            self.stop(gone)
            return
        self.teller.seen(self.way)
        try:
            self.way.settle()
        except Exception as error:
            self._broke(error)
            return
        if self.way.over:
            self.stop()
        else:
            outlet.caught_up = self.reply.resume
            self.reply.pour(self)

    def piece(self, data: bytes) -> None:
        way, outlet = self.way, self._outlet
        if outlet is None:
            return
        try:
            if out := way.feed(data):
                self.last = self._loop.time()
                if not outlet.put(out):
                    self.reply.pause()
        except Exception as error:
            self._broke(error)
        else:
            if way.over:
                self.stop()

    def end(self, error: MuxError | None) -> None:
        if self._outlet is not None:
            try:
                if out := self.way.feed(b"") if error is None else self.way.fail(error):
                    self._outlet.put(out)
            except Exception as broken:
                self._broke(broken)
            else:
                self.stop()

    def fail(self, error: MuxError) -> None:
        """Ends it with an error for the client."""
        try:
            if self._outlet is not None:
                self._outlet.put(self.way.fail(error))
        except ConnectionError as gone:
            self.stop(gone)
        else:
            self.stop()

    def _broke(self, error: Exception) -> None:
        if isinstance(error, MuxError):
            self.fail(error)
        else:
            self.stop(error)

    def stop(self, error: Exception | None = None) -> None:
        """Nothing more goes this way."""
        outlet, over = self._outlet, self._over
        self._outlet = self._over = None
        if outlet is not None and over is not None:
            outlet.caught_up = None
            over(error)

    def beat(self, every_s: float) -> float:
        """A keep-alive, where nothing was written for so long; seconds until the next look."""
        quiet = self._loop.time() - self.last
        if quiet < every_s:
            return max(0.01, every_s - quiet)
        if self._outlet is not None and (beat := self.way.keepalive()):
            try:
                self._outlet.put(beat)
            except ConnectionError as gone:
                self.stop(gone)
        return every_s


async def _poured(stream: Pouring, outlet: Outlet, every_s: float) -> None:
    """Begins and waits for the end. Raises ConnectionError when the client left."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def told(error: Exception | None) -> None:
        if not over.done():
            over.set_result(None) if error is None else over.set_exception(error)

    stream.begin(outlet, told)
    if over.done():
        return over.result()
    timer = _Timer(loop, every_s, lambda: stream.beat(every_s))
    try:
        await over
    finally:
        timer.cancel()
        stream.stop()


class _Timer:
    """Calls again and again after the seconds that each call gives."""

    __slots__ = ("_call", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, first_s: float, call: Callable[[], float]) -> None:
        self._loop = loop
        self._call = call
        self._handle = loop.call_later(first_s, self._due)

    def _due(self) -> None:
        self._handle = self._loop.call_later(self._call(), self._due)

    def cancel(self) -> None:
        self._handle.cancel()
