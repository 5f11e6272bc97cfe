"""One connection to a provider: a request out, its answer in, one at a time, all of it in the socket's callbacks.

Rule: no task, no lock and no timer of its own for a request. One timer serves a connection for life: it is set for the
earliest wait that could run out and looks, when it fires, how long it has really been silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from msgspec import Struct

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.http.framing import Framing, framing_of
from llm_mux.gateway.http.head import MOST_HEAD, Head, Malformed, beginning, parse, parser_for
from llm_mux.gateway.http.reply import LeanReply
from llm_mux.gateway.upstream import Call, Sink

_STALE_S = 5.0
_END_S = 1.0
_ONE_WRITE = 1 << 16
_PIECE = 1 << 18
_MOST_INTERIM = 32


class Limits(Struct, frozen=True):
    """How long a connection may lie idle and how old it may grow, in seconds; how many there may be at once to one host
    (0: any number)."""

    idle_s: float = 75.0
    oldest_s: float = 600.0
    most: int = 0


class Stale(Exception):
    """A kept connection died before a byte of the answer: the server had closed it when the request came."""


class Waiter(Protocol):
    """Who is told of an answer's head: a future, or who takes it without a task."""

    def done(self) -> bool:
        """Whether it was told already, or wants to hear nothing."""

    def set_result(self, reply: LeanReply, /) -> None: ...

    def set_exception(self, error: MuxError | Stale, /) -> None: ...


class Connection(asyncio.Protocol):
    """`let_go` is told, with the connection, when it can be used again and when it is lost (`closed` says which)."""

    __slots__ = (
        "_armed",
        "_asked",
        "_between_s",
        "_born",
        "_buffer",
        "_call",
        "_framing",
        "_heard",
        "_idle_s",
        "_interim",
        "_keep",
        "_known",
        "_last",
        "_let_go",
        "_limits",
        "_loop",
        "_parser",
        "_paused_reading",
        "_paused_writing",
        "_place",
        "_reply",
        "_timer",
        "_transport",
        "_unsent",
        "_used",
        "_waiter",
        "closed",
        "sink",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, let_go: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._limits = limits
        self._let_go = let_go
        self._parser = parser_for(loop)
        # The last answer's head: the next one may be the very same.
        self._last = b""
        self._known: Head | None = None
        self._transport: asyncio.Transport | None = None
        # Until the answer's head is there: its body is not kept for longer.
        self._call: Call | None = None
        self._place = ""
        self._between_s = 0.0
        self._waiter: Waiter | None = None
        self._reply: LeanReply | None = None
        self._framing: Framing | None = None
        self._buffer = b""
        self._unsent: memoryview | None = None
        self._keep = False
        self._paused_reading = self._paused_writing = False
        self._born = self._asked = self._heard = loop.time()
        self._idle_s = limits.idle_s
        self._interim = 0
        self._used = False
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0.0
        self.closed = False
        # Who takes the pieces of a body in the reply's place, which has nothing to do with them.
        self.sink: Sink | None = None

    # What the pool and the client ask for.

    @property
    def reused(self) -> bool:
        """Whether an answer came over it before."""
        return self._used

    def fit(self) -> bool:
        """Whether it can take a request: open, silent, and not at the end of its time."""
        transport, now = self._transport, self._loop.time()
        return (
            not self.closed
            and transport is not None
            and not transport.is_closing()
            and now - self._heard < self._idle_s
            and now - self._born < self._limits.oldest_s
        )

    def ask(self, call: Call, head: bytes) -> asyncio.Future[LeanReply]:
        """Sends a request; the future is done with the answer's head, or with MuxError or Stale."""
        waiter: asyncio.Future[LeanReply] = self._loop.create_future()
        self.begin(call, head, waiter)
        return waiter

    def begin(self, call: Call, head: bytes, waiter: Waiter) -> None:
        """Sends a request; `waiter` is told the answer's head, or MuxError or Stale, in the socket's callback."""
        transport = self._transport
        self._waiter = waiter
        self._call = call
        self._place = call.place
        self._interim = 0
        if transport is None:
            self._ended(None)
            return
        now = self._asked = self._heard = self._loop.time()
        body = call.body
        if not body:
            transport.write(head)
        elif len(body) <= _ONE_WRITE:
            transport.write(head + body)
        else:
            whole = memoryview(body)
            self._unsent = whole[_PIECE:] if len(body) > _PIECE else None
            transport.writelines((head, whole[:_PIECE]))
            self._send_more()
        self._watch(now + call.timeouts.first_byte)

    def drop(self) -> None:
        """Closes it at once, whatever is under way; nobody is told anything more."""
        self._waiter = self._reply = self._call = self._framing = self._unsent = self.sink = None
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def leave(self) -> None:
        """Nobody listens to the answer any more, which said all it had to say: if its end comes in a moment, and
        nothing else, the connection can be used again."""
        self._reply = self.sink = None
        self._between_s = min(self._between_s, _END_S)
        self.resume()
        self._watch(self._loop.time() + self._between_s)

    def pause(self) -> None:
        """The reader is behind: what the provider sends stays in the network."""
        if not self._paused_reading and self._transport is not None and not self._transport.is_closing():
            self._paused_reading = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """The reader has caught up."""
        if self._paused_reading and self._transport is not None:
            self._paused_reading = False
            self._heard = self._loop.time()
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if type(data) is not bytes:
            # Some event loops hand over their own buffer.
            data = bytes(data)
        try:
            framing = self._framing
            if framing is not None:
                piece, sink = framing.feed(data), self.sink
                if piece and sink is not None and not framing.over:
                    sink.piece(piece)
                else:
                    self._took(framing, piece)
            elif self._waiter is not None:
                self._take_head(data)
            else:
                # Nobody asked: a server that says good-bye with words, or one that cannot count.
                self.drop()
        except Malformed as error:
            self._nonsense(error)

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.closed = True
        self._transport = None
        self._let_go(self)

    def pause_writing(self) -> None:
        self._paused_writing = True

    def resume_writing(self) -> None:
        self._paused_writing = False
        if self._unsent is not None:
            # The provider takes what we send: it is not silent.
            self._asked = self._heard = self._loop.time()
            self._send_more()

    # Sending.

    def _send_more(self) -> None:
        """A large body goes out as fast as the provider takes it."""
        transport = self._transport
        while (rest := self._unsent) is not None and not self._paused_writing and transport is not None:
            self._unsent = rest[_PIECE:] if len(rest) > _PIECE else None
            transport.write(rest[:_PIECE])

    # Receiving.

    def _take_head(self, data: bytes) -> None:
        held = len(self._buffer)
        if held:
            data, self._buffer = self._buffer + data, b""
        end = data.find(b"\r\n\r\n", max(0, held - 3))
        if end < 0:
            if len(data) > MOST_HEAD or not beginning(data):
                raise Malformed("no head")
            self._buffer = data
            return
        end += 4
        raw = data[:end] if end < len(data) else data
        head = self._known
        if head is None or raw != self._last:
            head = parse(self._parser, raw)
            if head.status >= 200:
                self._last, self._known = raw, head
        if head.status < 200:
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                raise Malformed("too many interim answers")
            if end < len(data):
                self._take_head(data[end:])
            return
        self._answered(head, data[end:])

    def _answered(self, head: Head, rest: bytes) -> None:
        call, waiter = self._call, self._waiter
        assert call is not None
        assert waiter is not None
        self._waiter = None
        if head.status >= 300:
            # It does not want the rest of the body.
            self._unsent = None
        self._keep = head.keep
        length = 0 if call.method == "HEAD" else head.length
        if not self._used:
            self._used = True
            self._idle_s = _idle_limit(head.headers.get("Keep-Alive"), self._limits.idle_s)
        self._call = None
        reply = LeanReply(head, call.place, self)
        if length == len(rest):
            # All of it came with the head, as most answers do that are not streams.
            reply.took(rest)
            self._done(None, reusable=True)
            if not waiter.done():
                waiter.set_result(reply)
            return
        self._reply = reply
        framing = self._framing = framing_of(length)
        self._between_s = call.timeouts.between_bytes
        self._watch(self._heard + self._between_s)
        try:
            if rest or framing.over:
                self._took(framing, framing.feed(rest))
        finally:
            if not waiter.done():
                waiter.set_result(reply)

    def _took(self, framing: Framing, piece: bytes) -> None:
        """A piece of the body arrived, b"" for what is none."""
        reply = self._reply
        if piece and self.sink is not None:
            self.sink.piece(piece)
        elif piece and reply is not None:
            reply.take(piece)
        elif piece:
            self.drop()
        if framing.over and self._framing is framing:
            self._framing = None
            self._done(reply, reusable=not framing.rest)

    def _done(self, reply: LeanReply | None, *, reusable: bool) -> None:
        """The answer is whole."""
        transport = self._transport
        sent = self._unsent is None and not self._paused_writing
        self._reply = self._call = self._unsent = self.sink = None
        if reply is not None:
            reply.finish()
        if transport is None or transport.is_closing():
            return
        if self._keep and reusable and sent and not transport.get_write_buffer_size():
            self.resume()
            self._watch(self._heard + self._idle_s)
            self._let_go(self)
        else:
            self.closed = True
            # What it has not taken of the request by now nobody needs any more.
            transport.abort() if transport.get_write_buffer_size() else transport.close()

    # Endings.

    def _nonsense(self, error: Malformed) -> None:
        self._fail(MuxError(Kind.UPSTREAM_NONSENSE, f"{self._place} sent an answer that is not HTTP: {error}."))

    def _ended(self, exc: Exception | None) -> None:
        """No more bytes will come."""
        framing = self._framing
        if framing is not None and exc is None and framing.ended():
            self._framing, self._keep = None, False
            self._done(self._reply, reusable=False)
        elif framing is not None:
            self._fail(MuxError(Kind.UPSTREAM_CUT, f"{self._place} broke off in the middle of its answer."))
        elif self._waiter is not None:
            silent = self._used and not self._buffer and not self._interim
            # A TimeoutError is the system's: nobody acknowledged what was sent.
            if silent and (self._loop.time() - self._asked < _STALE_S or isinstance(exc, TimeoutError)):
                self._fail(Stale())
                return
            how = "reset the connection" if exc is not None else "closed the connection without an answer"
            self._fail(MuxError(Kind.UPSTREAM_CUT, f"{self._place} {how}."))
        else:
            self.closed = True

    def _fail(self, error: MuxError | Stale) -> None:
        waiter, reply = self._waiter, self._reply
        self.drop()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        elif reply is not None and isinstance(error, MuxError):
            reply.fail(error)

    # The one timer.

    def _watch(self, due: float) -> None:
        """Sees to it that the timer fires at `due` or before; a timer that is set for earlier is left alone."""
        if self._timer is not None:
            if self._armed <= due:
                return
            self._timer.cancel()
        # A kept connection's limit comes next anyway: set for that, the timer is not touched by the requests.
        self._armed = min(due, self._heard + self._idle_s)
        self._timer = self._loop.call_at(self._armed, self._look)

    def _look(self) -> None:
        """The timer fired: whether a wait is over, and when to look again."""
        self._timer = None
        now, call = self._loop.time(), self._call
        if call is None and self._framing is None:
            due = self._heard + self._idle_s
            if now >= due or now - self._born >= self._limits.oldest_s:
                self.drop()
                return
        elif call is not None:
            due = self._asked + call.timeouts.first_byte
            if now >= due:
                self._fail(MuxError(Kind.FIRST_BYTE_TIMEOUT, f"{self._place} did not begin to answer in time."))
                return
        else:
            waited = self._between_s
            due = (now if self._paused_reading else self._heard) + waited
            if now >= due:
                message = f"{self._place} sent nothing for {waited:g} s in the middle of its answer."
                self._fail(MuxError(Kind.IDLE_TIMEOUT, message))
                return
        self._watch(due)


def _idle_limit(said: str | None, ours: float) -> float:
    """How long it may lie idle: less than the server says it waits, so that it is we who close."""
    if said is None:
        return ours
    for part in said.split(","):
        name, _, value = part.partition("=")
        if name.strip().lower() == "timeout" and value.strip().isdigit():
            return min(ours, max(0.5, float(value) - 1))
    return ours
