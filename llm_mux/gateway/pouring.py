"""A stream to the client: from one socket to the other inside of a callback, where no task is woken for an event.

Rule: what one read brought leaves in one write. A client that is behind makes the upstream wait; a keep-alive leaves
when nothing else did for a while; whatever goes wrong in a callback ends the wait of `run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from llm_mux.errors import MuxError
from llm_mux.gateway.ask import Outlet, Write
from llm_mux.gateway.beats import Beats
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.drain import told
from llm_mux.gateway.relay import Way
from llm_mux.gateway.upstream import Reply


async def flow(reply: Reply, way: Way, held: bytes, write: Write, gateway: Gateway) -> None:
    """A stream to its end, `held` first, as `write` allows. Raises ConnectionError when the client left."""
    if held:
        await write(held)
        held = b""
    every_s = gateway.settings.keepalive_s
    if not isinstance(write, Outlet):
        await _waited(reply, way, Beats(every_s, way, write), gateway)
    elif not way.over:
        try:
            await Pouring(reply, way, write, every_s).run()
        except asyncio.CancelledError:
            if not gateway.drain.over:
                raise
            write.put(way.fail(told()))


async def _waited(reply: Reply, way: Way, beats: Beats, gateway: Gateway) -> None:
    """The byte loop for who has to be waited for."""
    try:
        while not way.over:
            try:
                out = way.feed(await reply.chunk())
            except MuxError as error:
                out = way.fail(error)
            except asyncio.CancelledError:
                if not gateway.drain.over:
                    raise
                out = way.fail(told())
            if out:
                await beats.write(out)
    finally:
        beats.stop()


class Pouring:
    """One stream (as the `Sink` of its reply)."""

    __slots__ = ("_every_s", "_last", "_loop", "_outlet", "_over", "_reply", "_way")

    def __init__(self, reply: Reply, way: Way, outlet: Outlet, every_s: float) -> None:
        self._reply = reply
        self._way = way
        self._outlet = outlet
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._over: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> None:
        """Returns when nothing more is wanted of the upstream. Raises ConnectionError when the client left."""
        self._outlet.caught_up = self._reply.resume
        self._reply.pour(self)
        if self._over.done():
            return self._over.result()
        timer = _Timer(self._loop, self._every_s, self._tick)
        try:
            await self._over
        finally:
            timer.cancel()
            self._outlet.caught_up = None

    def piece(self, data: bytes) -> None:
        if not self._over.done():
            try:
                self._put(self._way.feed(data))
            except Exception as error:
                self._broke(error)

    def end(self, error: MuxError | None) -> None:
        if not self._over.done():
            try:
                self._put(self._way.feed(b"") if error is None else self._way.fail(error))
            except Exception as broken:
                self._broke(broken)
            self._finished()

    def _put(self, data: bytes) -> None:
        if data:
            self._last = self._loop.time()
            if not self._outlet.put(data):
                self._reply.pause()
        if self._way.over:
            self._finished()

    def _broke(self, error: Exception) -> None:
        if isinstance(error, MuxError):
            try:
                self._outlet.put(self._way.fail(error))
            except ConnectionError as gone:
                self._over.set_exception(gone)
            else:
                self._finished()
        elif not self._over.done():
            self._over.set_exception(error)

    def _finished(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def _tick(self) -> float:
        """Seconds until the next look."""
        quiet = self._loop.time() - self._last
        if quiet < self._every_s:
            return max(0.01, self._every_s - quiet)
        if not self._over.done() and (beat := self._way.keepalive()):
            try:
                self._outlet.put(beat)
            except ConnectionError as gone:
                self._over.set_exception(gone)
        return self._every_s


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
