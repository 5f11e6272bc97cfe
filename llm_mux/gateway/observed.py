"""Being watched: what somebody who looks on is told of an exchange, and the way an answer of a provider is overheard.

Rule: nobody looking costs one comparison, and whoever looks on changes nothing: the same bytes at the same moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from llm_mux.errors import MuxError
from llm_mux.gateway.upstream import Around, Call, Reply, Sink, Upstream
from llm_mux.routing.accounts import Account


class Heard(Protocol):
    """What comes back of one call."""

    def answered(self, status: int, headers: Mapping[str, str]) -> None: ...

    def piece(self, data: bytes) -> None: ...

    def failed(self, error: MuxError) -> None: ...


class Watch(Protocol):
    """Who looks on at one exchange. None of these may raise."""

    def asked(self, account: str, call: Call) -> Heard | None:
        """A provider is asked; None: nobody wants to hear what it says."""

    def failed(self, account: str, model: str, error: MuxError, seconds: float) -> None:
        """A target did not do."""

    def first(self, account: Account, model: str) -> None:
        """A stream has its first content."""


async def send(upstream: Upstream, account: str, call: Call, watch: Watch) -> Reply:
    """`Upstream.send`, overheard."""
    heard = watch.asked(account, call)
    if heard is None:
        return await upstream.send(call)
    try:
        reply = await upstream.send(call)
    except MuxError as error:
        heard.failed(error)
        raise
    heard.answered(reply.status, reply.headers)
    return _Overheard(reply, heard)


class _Overheard(Around):
    """Another reply, whose body is told on."""

    __slots__ = ("_heard",)

    def __init__(self, reply: Reply, heard: Heard) -> None:
        super().__init__(reply)
        self._heard = heard

    async def chunk(self) -> bytes:
        try:
            data = await self._reply.chunk()
        except MuxError as error:
            self._heard.failed(error)
            raise
        self._heard.piece(data)
        return data

    def ready(self) -> bytes:
        try:
            data = self._reply.ready()
        except MuxError as error:
            self._heard.failed(error)
            raise
        self._heard.piece(data)
        return data

    def pour(self, sink: Sink) -> None:
        self._reply.pour(_Both(sink, self._heard))


class _Both:
    """A sink, and whoever overhears it."""

    __slots__ = ("_heard", "_sink")

    def __init__(self, sink: Sink, heard: Heard) -> None:
        self._sink = sink
        self._heard = heard

    def piece(self, data: bytes) -> None:
        self._heard.piece(data)
        self._sink.piece(data)

    def end(self, error: MuxError | None) -> None:
        if error is not None:
            self._heard.failed(error)
        self._sink.end(error)
