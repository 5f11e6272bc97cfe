"""The usual request without a task: read, sent, and answered, at once or in pieces, in the sockets' callbacks.

Rule: only what `serving` would do without waiting for anything is done here, in the same words. Whatever else turns up
(a key that is not known yet, limits that others count too, a page's origin, an onlooker, a response to be kept, a
stream that keeps its client waiting, an answer that is no usual one) goes on in a task: from the start (`begun` gives
None) or from where it is (`Lane.go_on`).
"""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, TypeVar

from llm_mux.errors import MuxError
from llm_mux.gateway.ahead import Ahead, Opening
from llm_mux.gateway.ask import Caller
from llm_mux.gateway.relay import Way
from llm_mux.gateway.upstream import Reply
from llm_mux.server.admission import Entry
from llm_mux.server.flowing import Flowing
from llm_mux.server.guard import Passed
from llm_mux.server.serving import Advance, Daemon, ModelRoute, admitted, asked, exchange, labelled, peek, request_id
from llm_mux.translators import registry

if TYPE_CHECKING:
    from llm_mux.server.lane import Lane

T = TypeVar("T")


class Express:
    """One request under way. `sent`: its answer will be told to this (a `Receiver` and `Sink` of the gateway)."""

    __slots__ = ("_daemon", "_lane", "_opening", "_pieces", "_reply", "advance", "exchange", "sent")

    def __init__(self, daemon: Daemon, lane: Lane, advance: Advance) -> None:
        self._daemon = daemon
        self._lane = lane
        # What is poured here, and what came of it: until the stream that it is begins for the client.
        self._reply: Reply | None = None
        self._pieces: list[bytes] = []
        self._opening: Opening | None = None
        self.advance = advance
        self.exchange = advance.exchange
        self.sent = advance.refused is None and advance.exchange.begin(self)
        if self.sent:
            daemon.metrics.active_requests += 1
            daemon.parts.drain.enter(self)

    # What the upstream tells.

    def answered(self, reply: Reply | None) -> None:
        if reply is None or not self.exchange.usual(reply):
            self._lane.go_on()
        elif (body := reply.whole()) is not None:
            self._finish(reply, body)
        else:
            try:
                self._opening = self.exchange.opening(reply) if self.exchange.ask.stream else None
            except Exception:
                self._lane.go_on()
                return
            self._reply = reply
            reply.pour(self)

    def piece(self, data: bytes) -> None:
        self._pieces.append(data)
        if self._opening is None:
            return
        try:
            first = self._opening.feed(data)
        except Exception:
            # Whatever it is comes up again there, and is told to the client.
            self._lane.go_on()
            return
        if first is not None:
            self._begin(self._opening.way, first)

    def end(self, error: MuxError | None) -> None:
        reply, body = self._reply, b"".join(self._pieces)
        if reply is None:
            return
        self._reply = None
        if error is None:
            self._finish(reply, body)
        else:
            self.exchange.came(reply, body, error)
            self._lane.go_on()

    def _finish(self, reply: Reply, body: bytes) -> None:
        try:
            answer = self.exchange.finish(reply, body)
        except Exception:
            self.exchange.came(reply, body)
            self._lane.go_on()
            return
        self.over()
        if self.exchange.ask.stream:
            self._lane.streamed(self.exchange, answer, self.advance.more)
        else:
            self._lane.plain(self.exchange, answer, self.advance.more)

    def _begin(self, way: Way, first: bytes) -> None:
        """The client gets to see a stream, which goes on past this."""
        reply = self._reply
        assert reply is not None
        self._reply = self._opening = None
        flowing = Flowing(self._daemon, self.exchange.opened(reply, way, first), self.advance.entry)
        flowing.enter()
        # Not before: while the daemon leaves it would be taken for idle.
        self._leave()
        self._lane.flows(self.exchange, flowing, self.advance.more)

    # How it ends otherwise.

    def cancel(self) -> None:
        """The daemon does not finish it."""
        answer = self.exchange.told()
        self.over()
        self._lane.told(answer, labelled(answer.headers | self.advance.more, answer.content_type))

    def gone(self) -> None:
        """The client left."""
        self.exchange.gone()
        self.over()

    def over(self) -> None:
        """It is at its end."""
        self._leave()
        if self.advance.entry is not None:
            self.advance.entry.leave()

    def handed_over(self) -> None:
        """It is not under way here any more: a task goes on from where it is."""
        self._leave()
        reply, self._reply, self._opening = self._reply, None, None
        if reply is not None:
            reply.keep()
            self.exchange.comes(reply, b"".join(self._pieces))

    def _leave(self) -> None:
        self._daemon.parts.drain.leave(self)
        self._daemon.metrics.active_requests -= 1


def begun(daemon: Daemon, lane: Lane, route: ModelRoute, body: bytes) -> Express | None:
    """A request that is under way, or at least read; None for one of which nothing was done."""
    caller = _caller(daemon, lane) if route.run is exchange or route.plain is not None else None
    if caller is None:
        return None
    limited = daemon.admission.concerns(caller)
    if daemon.parts.recent.looked_at or (limited and not daemon.admission.instant(caller)):
        return None
    started, now = time.monotonic(), time.time()
    try:
        peeked = peek(body, route.hints, route.streams, registry.get(route.protocol).outline)
    except MuxError:
        return None
    if route.plain is not None and not route.plain(daemon, peeked.outline):
        return None
    ask = asked(lane, route, caller, peeked, request_id(lane), started, now)
    more: dict[str, str] = {}
    entry: Entry | None = None
    refused: MuxError | None = None
    if limited:
        try:
            entry = at_once(admitted(daemon, ask, more))
        except MuxError as error:
            refused = error
    return Express(daemon, lane, Advance(Ahead(daemon.gateway, ask), more, entry, refused))


def _caller(daemon: Daemon, lane: Lane) -> Caller | None:
    """Who asks, where that is known; None for a page, which wants to be told more."""
    passed: Passed | None = lane.memo.get(Passed)
    if passed is not None and passed.guard is daemon.guard:
        return passed.caller if passed.origin is None else None
    try:
        return daemon.guard.caller_at_once(lane.headers, lane.query_key, lane.memo)
    except MuxError:
        return None


def at_once(coroutine: Coroutine[object, None, T]) -> T:
    """What a coroutine gives that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        found: T = end.value
        return found
    coroutine.close()
    raise RuntimeError("it waits for something")
