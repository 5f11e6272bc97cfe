"""The usual request for a whole answer, without a task: read, sent, and answered in the sockets' callbacks.

Rule: only what `serving` would do without waiting for anything is done here, in the same words. Whatever else turns up
(a key that is not known yet, a limit, a page's origin, an onlooker, a stream, an answer that is no usual one) goes on
in a task: from the start (`begun` gives None) or from where it is (`Lane.go_on`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from llm_mux.errors import MuxError
from llm_mux.gateway.ahead import Ahead
from llm_mux.gateway.upstream import Reply
from llm_mux.server.guard import Passed
from llm_mux.server.serving import Daemon, ModelRoute, asked, exchange, labelled, peek, request_id
from llm_mux.translators import registry

if TYPE_CHECKING:
    from llm_mux.server.lane import Lane


class Express:
    """One request under way. `sent`: its answer will be told to this (a `Receiver` and `Sink` of the gateway)."""

    __slots__ = ("_daemon", "_lane", "_pieces", "_reply", "exchange", "sent")

    def __init__(self, daemon: Daemon, lane: Lane, exchange: Ahead) -> None:
        self._daemon = daemon
        self._lane = lane
        self._reply: Reply | None = None
        self._pieces: list[bytes] = []
        self.exchange = exchange
        self.sent = exchange.begin(self)
        if self.sent:
            daemon.metrics.active_requests += 1
            daemon.parts.drain.enter(self)

    # What the upstream tells.

    def answered(self, reply: Reply | None) -> None:
        if reply is None or not self.exchange.usual(reply):
            self._lane.go_on()
            return
        body = reply.whole()
        if body is None:
            self._reply = reply
            reply.pour(self)
        else:
            self._finish(reply, body)

    def piece(self, data: bytes) -> None:
        self._pieces.append(data)

    def end(self, error: MuxError | None) -> None:
        reply, body = self._reply, b"".join(self._pieces)
        assert reply is not None
        if error is None:
            self._finish(reply, body)
        else:
            self.exchange.came(reply, body, error)
            self._lane.go_on()

    def _finish(self, reply: Reply, body: bytes) -> None:
        try:
            answer = self.exchange.finish(reply, body)
        except Exception:
            # Whatever it is comes up again there, and is told to the client.
            self.exchange.came(reply, body)
            self._lane.go_on()
            return
        self.over()
        self._lane.plain(self.exchange, answer)

    # How it ends otherwise.

    def cancel(self) -> None:
        """The daemon does not finish it."""
        answer = self.exchange.told()
        self.over()
        self._lane.told(answer, labelled(answer.headers, answer.content_type))

    def gone(self) -> None:
        """The client left."""
        self.exchange.gone()
        self.over()

    def over(self) -> None:
        """It is not under way here any more."""
        self._daemon.parts.drain.leave(self)
        self._daemon.metrics.active_requests -= 1


def begun(daemon: Daemon, lane: Lane, route: ModelRoute, body: bytes) -> Express | None:
    """A request that is under way, or at least read; None for one of which nothing was done."""
    passed: Passed | None = lane.memo.get(Passed)
    if passed is None or passed.guard is not daemon.guard or passed.origin is not None or route.run is not exchange:
        return None
    if daemon.parts.recent.looked_at or daemon.admission.concerns(passed.caller):
        return None
    started, now = time.monotonic(), time.time()
    try:
        peeked = peek(body, route.hints, route.streams, registry.get(route.protocol).outline)
    except MuxError:
        return None
    if peeked.stream:
        return None
    ask = asked(lane, route, passed.caller, peeked, request_id(lane), started, now)
    return Express(daemon, lane, Ahead(daemon.gateway, ask))
