"""The lean client's reply: what the connection takes from the socket, until somebody reads it or as it comes.

Rule: reading never waits for what is there, and a plain body is handed on as the very bytes that one read brought.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.http.head import Head
from llm_mux.gateway.http.unpacking import Damaged, Unpacking, packed_unsaid
from llm_mux.gateway.upstream import Reply, Sink

if TYPE_CHECKING:
    from llm_mux.gateway.http.connection import Connection

_MOST_AHEAD = 1 << 18


class LeanReply(Reply):
    """`take`, `finish` and `fail` are the connection's; the rest is the reader's."""

    __slots__ = (
        "_ahead",
        "_connection",
        "_ended",
        "_error",
        "_held",
        "_label",
        "_looked",
        "_media",
        "_packed",
        "_pieces",
        "_place",
        "_sink",
        "_waiter",
    )

    def __init__(self, head: Head, place: str, connection: Connection) -> None:
        super().__init__(head.status, head.headers)
        self._place = place
        self._connection: Connection | None = connection
        self._label = head.packed
        self._media = head.media
        self._looked = False
        self._packed: Unpacking | None = None
        self._pieces: list[bytes] = []
        self._ahead = 0
        self._ended = False
        self._error: MuxError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Sink | None = None
        self._held = False

    # Reading.

    @property
    def content_type(self) -> str:
        return self._media

    def ready(self) -> bytes:
        pieces, packed = self._pieces, self._packed
        while pieces or (packed is not None and packed.more):
            data = b""
            if pieces and not (packed is not None and packed.more):
                data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                pieces.clear()
                self._ahead = 0
                if self._connection is not None and self._sink is None:
                    self._connection.resume()
            if packed is None:
                return data
            if plain := self._unpacked(packed, data):
                return plain
        return self._rest(packed) if self._ended else b""

    def _rest(self, packed: Unpacking | None) -> bytes:
        """What is left when nothing more arrives."""
        if self._error is not None:
            raise self._error
        if packed is not None:
            if held := packed.end():
                return held
            if not packed.whole:
                raise MuxError(Kind.UPSTREAM_CUT, f"{self._place} broke off in the middle of its answer.")
        return b""

    def _unpacked(self, packed: Unpacking, data: bytes) -> bytes:
        try:
            plain = packed.feed(data)
        except Damaged as damage:
            error = MuxError(Kind.UPSTREAM_NONSENSE, f"{self._place} sent a body that cannot be unpacked.")
            self._stop(error)
            raise error from damage
        if packed.plain:
            self._packed = None
        return plain

    @property
    def over(self) -> bool:
        packed = self._packed
        left = self._pieces or self._error is not None or (packed is not None and not packed.whole)
        return self._ended and not left

    async def chunk(self) -> bytes:
        while not (data := self.ready()):
            if self._ended:
                # A piece that unpacks to nothing may have been the last; the end is told by the look after it.
                return self.ready()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return data

    async def read(self, limit: int | None = None) -> bytes:
        there = self.whole() if limit is None else None
        return await super().read(limit) if there is None else there

    def whole(self) -> bytes | None:
        there = self._ended and self._error is None and self._packed is None and len(self._pieces) == 1
        return self._pieces.pop() if there else None

    def close(self) -> None:
        self._sink = None
        if self._connection is not None:
            self._stop(MuxError(Kind.UPSTREAM_CUT, f"{self._place} was not heard to the end."))
            self._wake()

    def leave(self) -> None:
        self._sink = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.leave()

    def _stop(self, error: MuxError) -> None:
        """Nothing more is wanted; whoever reads on gets `error`."""
        connection, self._connection = self._connection, None
        self._pieces.clear()
        self._packed = None
        self._error, self._ended = error, True
        if connection is not None:
            connection.drop()

    # Pouring.

    def pour(self, sink: Sink) -> None:
        self._sink = sink
        self._flow()

    def pause(self) -> None:
        self._held = True
        if self._connection is not None:
            self._connection.sink = None
            self._connection.pause()

    def resume(self) -> None:
        self._held = False
        if self._connection is not None:
            self._connection.resume()
        self._flow()

    def keep(self) -> None:
        self._sink = None
        if self._connection is not None:
            self._connection.sink = None

    def _flow(self) -> None:
        """Hands the sink what is there, and the end when it is reached."""
        error: MuxError | None = None
        try:
            while (sink := self._sink) is not None and not self._held and (data := self.ready()):
                sink.piece(data)
        except MuxError as broken:
            error = broken
        if (sink := self._sink) is not None and (error is not None or (self._ended and not self._held)):
            self._sink = None
            sink.end(error)
        elif self._connection is not None and self._looked and self._packed is None and not self._held:
            # Nothing is to be done with a plain body's pieces here.
            self._connection.sink = sink

    # What the connection tells.

    def take(self, piece: bytes) -> None:
        """A piece of the body has arrived."""
        if not self._looked:
            self._looked = True
            if self._label is not None or packed_unsaid(piece):
                self._packed = Unpacking(self._label)
        self._pieces.append(piece)
        if self._sink is not None:
            self._flow()
            return
        self._ahead += len(piece)
        if self._ahead > _MOST_AHEAD and self._connection is not None:
            self._connection.pause()
        self._wake()

    def took(self, body: bytes) -> None:
        """All of the body came with the head, before anybody could ask for it."""
        self._connection = None
        self._ended = True
        if body:
            if self._label is not None or packed_unsaid(body):
                self._packed = Unpacking(self._label)
            self._pieces.append(body)

    def finish(self) -> None:
        """The body is whole; the connection is no longer ours."""
        self._connection = None
        self._ended = True
        self._wake() if self._sink is None else self._flow()

    def fail(self, error: MuxError) -> None:
        """Nothing more will come, and it is not the end."""
        self._error = error
        self.finish()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
