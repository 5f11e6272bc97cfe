"""An answer whose provider puts the format's own bytes into an envelope: the same reply with the envelope taken off.

Everything above sees the format itself, so that splice and translate work on it as on any other. Errors come bare.
"""

from __future__ import annotations

from llm_mux.errors import MuxError
from llm_mux.gateway.upstream import Reply, Sink
from llm_mux.providers.base import Endpoint, Unwrap


def opened(reply: Reply, endpoint: Endpoint) -> Reply:
    """`reply` as the endpoint's format has it."""
    return reply if endpoint.unwrap is None else _Unwrapped(reply, endpoint.unwrap())


class _Unwrapped(Reply):
    """The face of a reply over another one. `read` takes a whole answer out of its envelope, the rest a stream."""

    __slots__ = ("_ended", "_inner", "_unwrap")

    def __init__(self, inner: Reply, unwrap: Unwrap) -> None:
        super().__init__(inner.status, inner.headers)
        self._inner = inner
        self._unwrap = unwrap
        self._ended = False

    async def chunk(self) -> bytes:
        while not self._ended:
            data = await self._inner.chunk()
            if bare := self._taken(data, at_end=not data):
                return bare
        return b""

    def ready(self) -> bytes:
        while data := self._inner.ready():
            if bare := self._taken(data, at_end=False):
                return bare
        return self._taken(b"", at_end=True) if self._inner.over else b""

    def _taken(self, data: bytes, *, at_end: bool) -> bytes:
        if self._ended:
            return b""
        bare = self._unwrap.feed(data) if data else b""
        if at_end:
            self._ended = True
            bare += self._unwrap.finish()
        return bare

    @property
    def over(self) -> bool:
        return self._ended

    def pour(self, sink: Sink) -> None:
        self._inner.pour(_Unwrapping(sink, self))

    def pause(self) -> None:
        self._inner.pause()

    def resume(self) -> None:
        self._inner.resume()

    async def read(self, limit: int | None = None) -> bytes:
        self._ended = True
        return self._unwrap.whole(await self._inner.read(limit))

    def close(self) -> None:
        self._inner.close()

    def leave(self) -> None:
        self._inner.leave()


class _Unwrapping:
    """A sink before the sink."""

    def __init__(self, sink: Sink, reply: _Unwrapped) -> None:
        self._sink = sink
        self._reply = reply

    def piece(self, data: bytes) -> None:
        self._pass_on(data, at_end=False)

    def end(self, error: MuxError | None) -> None:
        if not self._reply.over and self._pass_on(b"", at_end=True):
            self._sink.end(error)

    def _pass_on(self, data: bytes, *, at_end: bool) -> bool:
        """Whether it went well; the sink is told when it did not."""
        try:
            bare = self._reply._taken(data, at_end=at_end)
        except MuxError as error:
            self._reply._ended = True
            self._reply.close()
            self._sink.end(error)
            return False
        if bare:
            self._sink.piece(bare)
        return True
