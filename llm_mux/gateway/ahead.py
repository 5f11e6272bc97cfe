"""The usual exchange without a task: the request goes to its only target in the step that read it, and the answer, or
each piece of a stream, to the client in the step in which the socket brought it.

Rule: nothing is decided here that `ladder` and `exchange` decide. As soon as anything is not usual the exchange goes on
as any other: `serve` climbs the ladder, whose first attempt finds its call sent, or even answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.gateway import plan, relay
from llm_mux.gateway.ask import Answer, Ask, Whole
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.drain import told
from llm_mux.gateway.exchange import Exchange, enough
from llm_mux.gateway.pouring import Pouring
from llm_mux.gateway.refusal import notice_quota
from llm_mux.gateway.upstream import Begun, Read, Receiver, Reply, Resumed
from llm_mux.routing.select import Candidate
from llm_mux.translators.base import nonsense
from llm_mux.translators.memory import MEMORY


class Opening:
    """A stream of which the client has seen nothing: it is held until real content or an error."""

    __slots__ = ("_began", "_held", "_size", "way")

    def __init__(self, way: relay.Way, began: float) -> None:
        self.way = way
        self._began = began
        self._held: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes | None:
        """The beginning, when the client may see it. Raises what only `serve` can make something of."""
        out, record = self.way.feed(data), self.way.record
        self._held.append(out)
        self._size += len(out)
        if record.error is not None and not record.content:
            raise record.error
        if enough(self._size, self._began):
            record.content = True
        return b"".join(self._held) if record.content or self.way.over else None


class Ahead(Exchange):
    """`begin`, and then one of `finish`, `opened`, `gone`, `told` and, with or without a beginning, `serve`."""

    __slots__ = ("_began", "_begun", "_came", "_made", "_planned", "_sent")

    def __init__(self, gateway: Gateway, ask: Ask) -> None:
        super().__init__(gateway, ask)
        self._planned: plan.Plan | None = None
        self._made: tuple[plan.Plan, relay.Way] | None = None
        self._sent: plan.Plan | None = None
        self._begun: Begun | None = None
        self._came: Reply | None = None
        self._began = 0.0

    def begin(self, receiver: Receiver) -> bool:
        """Sends the request if nothing speaks against it; `receiver` is told of the answer. What only the answer needs
        is made when the request is on its way."""
        try:
            chosen = self._usual_plan()
            if chosen is None or chosen.endpoint.unwrap is not None:
                return False
            self._begun = self._gateway.upstream.begin(self._call(chosen), receiver)
            if self._begun is None:
                return False
            self._began = time.monotonic()
            if self.ask.stream:
                self._made = chosen, super()._way(chosen)
                self._let_go(chosen)
            if MEMORY.noted is not None:
                MEMORY.settle()
        except Exception:
            # It comes up again in `serve`, and is told there.
            self._drop()
            return False
        self._sent = chosen
        # Whoever plans once more reads it again.
        self.ask.outline = None
        self.out.attempts = 1
        chosen.account.enter(chosen.model, self._began)
        self.out.holds(self._gateway, chosen.account)
        return True

    def _usual_plan(self) -> plan.Plan | None:
        """The only target's plan, where there is nothing to wait for."""
        gateway, ask = self._gateway, self.ask
        lone = gateway.lone(ask.model, ask)
        if lone is None or ask.watch is not None:
            return None
        account = lone[0].account
        if account.session is not None or account.sign is not None:
            return None
        chosen = self._planned = super()._plan(lone[0], self._decoded)
        if self._request is not None and gateway.seals.unknown(ask.caller.tenant, self._request, ask.started):
            return None
        return chosen

    def usual(self, reply: Reply) -> bool:
        """Whether it is an answer that `finish` takes once it is whole."""
        chosen = self._sent
        if chosen is None or reply.status >= 300:
            return False
        media, streams = reply.content_type, chosen.upstream.stream_type
        return media == streams if self.ask.stream else media not in ("text/event-stream", streams)

    def finish(self, reply: Reply, body: bytes) -> bytes:
        """The answer for the client. Raises what only `serve` can make something of; `came` is for that."""
        gateway, chosen = self._gateway, self._sent
        assert chosen is not None
        account = chosen.account
        if account.provider.quota is not None:
            notice_quota(account, chosen.model, reply)
        if self.ask.stream:
            return self._whole_stream(chosen, body)
        answer = self._whole(chosen, body)
        if gateway.seals.telling:
            raise nonsense("an answer that waits until others have heard of its seals")
        gateway.standing.budget.earn()
        gateway.praise(account, chosen.model, self._began)
        self._settle(200)
        return answer

    def _whole_stream(self, chosen: plan.Plan, body: bytes) -> bytes:
        """The client's stream to a whole one of the provider, if it tells an answer to its end."""
        gateway, account, way = self._gateway, chosen.account, self._way(chosen)
        out = way.feed(body)
        if not way.over:
            out += way.feed(b"")
        record = way.record
        if record.error is not None or not (record.content and record.done and out):
            raise nonsense("a stream that is no whole answer")
        if gateway.seals.elsewhere is not None and record.watcher is not None and record.watcher.keeps:
            raise nonsense("a stream that waits until others have heard of its seals")
        now = self.out.first_byte = time.monotonic()
        account.timed(chosen.model, now - self._began, now)
        gateway.standing.budget.earn()
        gateway.praise(account, chosen.model, self._began)
        self._settle_stream(record, 200, None)
        return out

    def opening(self, reply: Reply) -> Opening:
        """What a stream begins with that comes in pieces."""
        chosen = self._sent
        assert chosen is not None
        if chosen.account.provider.quota is not None:
            notice_quota(chosen.account, chosen.model, reply)
        return Opening(self._way(chosen), self._began)

    def opened(self, reply: Reply, way: relay.Way, held: bytes) -> Pouring:
        """The stream, from where the client sees it."""
        gateway, chosen = self._gateway, self._sent
        assert chosen is not None
        now = self.out.first_byte = time.monotonic()
        chosen.account.timed(chosen.model, now - self._began, now)
        gateway.standing.budget.earn()
        gateway.praise(chosen.account, chosen.model, self._began)
        self._begun = self._sent = self._planned = self._made = None
        return Pouring(self, reply, way, held)

    def came(self, reply: Reply, body: bytes, error: MuxError | None = None) -> None:
        """What there is of an answer that `serve` is to make something of."""
        self._came = Read(reply, body, error)

    def comes(self, reply: Reply, body: bytes) -> None:
        """The same of one that is still coming."""
        self._came = Resumed(reply, body)

    def gone(self) -> None:
        """The client left."""
        self._drop()
        self._settle(499, self._gateway.drain.cause())

    def told(self) -> Whole:
        """What the client is told when the daemon does not finish."""
        self._drop()
        return self._refuse(told())

    def headers(self) -> dict[str, str]:
        """What the client's answer says of the exchange."""
        return self._headers(None if self.ask.stream else self.out.usage)

    async def serve(self) -> Answer:
        # The ladder counts for itself.
        self.out.release()
        self.out.attempts = 0
        try:
            return await super().serve()
        finally:
            self._drop()
            self._planned = self._sent = self._came = self._made = None

    def _drop(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.drop()

    def _plan(self, candidate: Candidate, decode: Callable[[], ir.Request]) -> plan.Plan:
        """What was planned before, for the first attempt."""
        chosen, self._planned = self._planned, None
        if chosen is None or chosen.account is not candidate.account or chosen.model != candidate.route.model:
            return super()._plan(candidate, decode)
        self._took(chosen)
        return chosen

    def _way(self, chosen: plan.Plan) -> relay.Way:
        """That which was made before the request was sent, once."""
        made, self._made = self._made, None
        return super()._way(chosen) if made is None or chosen is not made[0] else made[1]

    def _asked_at(self, chosen: plan.Plan) -> float:
        return super()._asked_at(chosen) if self._begun is None or chosen is not self._sent else self._began

    async def _send(self, chosen: plan.Plan) -> Reply:
        begun = self._begun
        if begun is None or chosen is not self._sent:
            return await super()._send(chosen)
        self._begun = None
        return await self._good(chosen, self._came or await begun.reply())
