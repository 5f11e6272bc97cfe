"""What asking a provider over HTTP looks like to everything above: `Call` out, `Reply` back, `Upstream` between them.

Rule: nobody above knows which client is behind it. There are two (`gateway/http/`): `lean`, our own over asyncio's
protocols, and `session`, aiohttp's, which is the reference for what is right. Neither follows redirects (a credential
must not travel), keeps cookies, or reads bodies by line.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, Protocol

from msgspec import Struct

from llm_mux import __version__
from llm_mux.errors import MuxError

USER_AGENT = f"llm-mux/{__version__}"
_MOST_ERROR_BYTES = 1 << 20

Client = Literal["lean", "session"]


class Timeouts(Struct, frozen=True):
    """Seconds: to connect, until the answer's head, and between two pieces of its body."""

    connect: float = 10
    first_byte: float = 300
    between_bytes: float = 300


class Call(Struct, frozen=True):
    """One request to a provider. `place` names it in messages ("anthropic/work")."""

    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    method: str = "POST"
    proxy: str | None = None
    place: str = "the provider"
    timeouts: Timeouts = Timeouts()


@lru_cache(256)
def media_type(said: str) -> str:
    """What a Content-Type says beside its parameters."""
    return said.split(";", 1)[0].strip().lower()


class Sink(Protocol):
    """Takes a body as it arrives, inside the socket's own callback: no task is woken for it. Neither may raise."""

    def piece(self, data: bytes) -> None:
        """What one read brought; never empty."""

    def end(self, error: MuxError | None) -> None:
        """Once, after the last piece. `error` is what `Reply.chunk` would have raised."""


class Reply(ABC):
    """The head of an answer and its body in pieces. Close it, or read it to the end.

    The body is had in one of three ways: `chunk()` waits for it; `ready()` and `over` give what is there without
    waiting; `pour()` hands each read to a `Sink` as it arrives. Whoever falls behind makes the provider wait.
    """

    __slots__ = ("headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers

    @property
    def content_type(self) -> str:
        return media_type(self.headers.get("Content-Type", ""))

    @property
    def lowered(self) -> dict[str, str]:
        """The headers under lower-case names."""
        return {name.lower(): value for name, value in self.headers.items()}

    @abstractmethod
    async def chunk(self) -> bytes:
        """What has arrived, b"" at the end. Raises MuxError IDLE_TIMEOUT, UPSTREAM_CUT or UPSTREAM_NONSENSE."""

    @abstractmethod
    def ready(self) -> bytes:
        """What has arrived, without waiting: b"" when nothing has and at the end (see `over`). Raises like `chunk`."""

    @property
    @abstractmethod
    def over(self) -> bool:
        """Whether the whole body was handed over."""

    @abstractmethod
    def pour(self, sink: Sink) -> None:
        """Hands the rest of the body to `sink`: what is there at once, the rest as it arrives. Not to be mixed with
        the other ways of reading."""

    @abstractmethod
    def pause(self) -> None:
        """While pouring: no more pieces until `resume`."""

    @abstractmethod
    def resume(self) -> None:
        """While pouring: goes on after `pause`."""

    def keep(self) -> None:
        """Ends the pouring: what arrives is kept for whoever reads on in any way. Only for answers to begun calls."""
        raise NotImplementedError

    def whole(self) -> bytes | None:
        """The body, where all of it is there and was not read yet; it is read then."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Drops the connection unless the body arrived to its end (then it goes back to the pool)."""

    def leave(self) -> None:
        """The same when the body said all that it had to say: its end may come a moment later, and is waited for."""
        self.close()

    async def read(self, limit: int | None = None) -> bytes:
        """The whole body, cut at `limit` bytes."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.chunk():
            pieces.append(piece)
            size += len(piece)
            if limit is not None and size >= limit:
                self.close()
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read_error(self) -> bytes:
        """The body of an error answer as far as it is of use; b"" when it does not arrive."""
        try:
            return await self.read(_MOST_ERROR_BYTES)
        except MuxError:
            return b""


class Read(Reply):
    """An answer whose body was read already, as far as it came: `error` is what it ended with."""

    __slots__ = ("_body", "_error")

    def __init__(self, reply: Reply, body: bytes, error: MuxError | None = None) -> None:
        super().__init__(reply.status, reply.headers)
        self._body = body
        self._error = error

    async def chunk(self) -> bytes:
        return self.ready()

    def ready(self) -> bytes:
        body, self._body = self._body, b""
        if not body and self._error is not None:
            raise self._error
        return body

    @property
    def over(self) -> bool:
        return not self._body and self._error is None

    def pour(self, sink: Sink) -> None:
        if self._body:
            sink.piece(self._body)
        sink.end(self._error)

    def pause(self) -> None:
        """All of it is here."""

    def resume(self) -> None:
        """All of it is here."""

    def close(self) -> None:
        """There is no connection left."""


class Around(Reply):
    """Another answer, something of whose body is different for who reads it here."""

    __slots__ = ("_reply",)

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status, reply.headers)
        self._reply = reply

    @property
    def content_type(self) -> str:
        return self._reply.content_type

    @property
    def over(self) -> bool:
        return self._reply.over

    def pause(self) -> None:
        self._reply.pause()

    def resume(self) -> None:
        self._reply.resume()

    def close(self) -> None:
        self._reply.close()

    def leave(self) -> None:
        self._reply.leave()


class Resumed(Around):
    """An answer of which the beginning was read already, `begun`, and the rest is still to be read."""

    __slots__ = ("_begun",)

    def __init__(self, reply: Reply, begun: bytes) -> None:
        super().__init__(reply)
        self._begun = begun

    async def chunk(self) -> bytes:
        begun, self._begun = self._begun, b""
        return begun or await self._reply.chunk()

    def ready(self) -> bytes:
        begun, self._begun = self._begun, b""
        return begun or self._reply.ready()

    @property
    def over(self) -> bool:
        return not self._begun and self._reply.over

    def pour(self, sink: Sink) -> None:
        begun, self._begun = self._begun, b""
        if begun:
            sink.piece(begun)
        self._reply.pour(sink)


class Receiver(Protocol):
    """Who waits for an answer without a task. Told once, inside the socket's own callback; may not raise."""

    def answered(self, reply: Reply | None) -> None:
        """The head is there, and the body as far as it came with it. None: it failed, which `Begun.reply` tells."""


class Begun(ABC):
    """A call that was sent and whose answer somebody waits for without a task."""

    __slots__ = ()

    @abstractmethod
    async def reply(self) -> Reply:
        """The answer, for a task that goes on waiting in the receiver's place. Raises like `Upstream.send`."""

    @abstractmethod
    def drop(self) -> None:
        """Nobody wants the answer any more; the receiver hears nothing."""


class Upstream(ABC):
    """Sends calls and keeps the connections for the next ones.

    `asked`: how many calls were sent, `dialled`: how many connections were opened for them. The reference client does
    not count.
    """

    asked = 0
    dialled = 0

    @abstractmethod
    async def send(self, call: Call) -> Reply:
        """The answer's head. Raises MuxError UNREACHABLE, CONNECT_TIMEOUT, FIRST_BYTE_TIMEOUT, UPSTREAM_CUT or
        UPSTREAM_NONSENSE."""

    def begin(self, call: Call, receiver: Receiver) -> Begun | None:
        """Sends a call, at once where a connection lies ready for it; None, and nothing is sent, where it has to wait
        for others or nobody knows the way yet."""
        return None

    async def prepare(self) -> None:  # noqa: B027  # not every client has something to prepare
        """Does ahead of the first request what needs no network."""

    @abstractmethod
    async def close(self) -> None:
        """Closes every connection, also those in use."""


def open_upstream(client: Client = "lean", *, most: int = 0, environment_proxies: bool = True) -> Upstream:
    """A client; needs a running event loop. Where aiohttp's parser is not compiled, it is the reference client.

    `most`: how many connections to one host there may be at once, 0 for any number. `environment_proxies`: whether
    `HTTPS_PROXY` and the like count.
    """
    from llm_mux.gateway.http.head import COMPILED

    if client == "session" or not COMPILED:
        from llm_mux.gateway.http.session import SessionUpstream

        return SessionUpstream(environment_proxies=environment_proxies, most=most)
    from llm_mux.gateway.http.client import LeanUpstream
    from llm_mux.gateway.http.connection import Limits

    return LeanUpstream(environment_proxies=environment_proxies, limits=Limits(most=most))
