"""The exchanges of the last while, for whoever watches the daemon: their lines, what happens just now, and with
`capture` what was said.

Rule: a line is kept as it was encoded for the log anyway. Unless somebody watches or
`capture` is on, nothing else is done; nothing but memory is written to, and a bounded part of it. Whoever watches is
told of a moment at a time, and is not told what the end of an exchange in the same moment has made old.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from llm_mux import log
from llm_mux.errors import MuxError
from llm_mux.gateway.ask import Answer, Ask, Whole, Write
from llm_mux.gateway.upstream import Call
from llm_mux.records import Ring
from llm_mux.routing.accounts import Account
from llm_mux.server.captured import Captured, Leg

MOST_LINES = 500
MOST_CAPTURED = 50
MOST_BYTES = 32 << 20
GATHER_S = 0.2
_MOST_WAITING = 100


class Happening(NamedTuple):
    """What a watcher is told of the exchange `request`: `number` and its line, when it ended (`name` is ""), or what
    happened in it."""

    name: str
    number: int
    request: str
    facts: Struct | Mapping[str, Any]


class Moment:
    """What happened within `GATHER_S`, the same for all who watch. `written` is what somebody made of it for them
    all."""

    __slots__ = ("happened", "written")

    def __init__(self, happened: Sequence[Happening]) -> None:
        self.happened = happened
        self.written: bytes | None = None


class Recent:
    """Used from one event loop. `capturing` follows the configuration, or who switched it. In a worker `reported` is
    the number of the log's last record that worker 0 has, `relaying` whether it wants to hear what happens."""

    def __init__(self) -> None:
        self.capturing = False
        self._lines = Ring(MOST_LINES)
        self._captured: OrderedDict[str, Captured] = OrderedDict()
        self._watchers: set[asyncio.Queue[Moment | None]] = set()
        self._gathered: list[Happening] = []
        self.reported = 0
        self.relaying = False
        self._heard: dict[int, tuple[int, int]] = {}

    @property
    def last(self) -> int:
        """The number of the newest line."""
        return self._lines.last

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    @property
    def looked_at(self) -> bool:
        return self.capturing or bool(self._watchers)

    def unheard(self, worker: int, process: int, last: int) -> int:
        """How many of a worker's records until number `last` are new: who got no answer in time tells them again."""
        before, heard = self._heard.get(worker, (process, 0))
        heard = heard if before == process else 0
        self._heard[worker] = process, max(heard, last)
        return max(last - heard, 0)

    def add(self, content: bytes, count: int, lines: Iterable[Struct]) -> None:
        """Lines of finished exchanges, as they go to the log; they are only made if somebody watches."""
        first = self.last + 1
        if count:
            self._lines.add(content, count)
        if self._watchers:
            for number, line in enumerate(lines, first):
                self._gather(Happening("", number, getattr(line, "request", ""), line))

    def happens(self, name: str, request: str, **facts: Any) -> None:
        if self._watchers:
            self._gather(Happening(name, self.last, request, facts))

    def _gather(self, happening: Happening) -> None:
        if not self._gathered:
            asyncio.get_running_loop().call_later(GATHER_S, self._hand_out)
        self._gathered.append(happening)

    def _hand_out(self) -> None:
        gathered, self._gathered = self._gathered, []
        if happened := without_the_old(gathered):
            self._tell(Moment(happened))

    def _tell(self, moment: Moment | None) -> None:
        for watcher in self._watchers:
            if watcher.full():
                watcher.get_nowait()
            watcher.put_nowait(moment)

    def after(self, number: int, limit: int) -> list[dict[str, Any]]:
        """The newest `limit` lines past a number, oldest first, each with its `seq`."""
        return [log.redact(line) for line in self._lines.after(number, limit=limit)]

    def of(self, request_id: str) -> tuple[list[dict[str, Any]], Captured | None]:
        """The lines of a request's id, and what was captured of it last."""
        found = self._lines.after(limit=MOST_LINES)
        lines = [log.redact(line) for line in found if line.get("request") == request_id]
        return lines, self._captured.get(request_id)

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[asyncio.Queue[Moment | None]]:
        """A queue that gets whatever happens from now on; None at the end of the daemon. A slow reader misses the
        oldest."""
        queue: asyncio.Queue[Moment | None] = asyncio.Queue(_MOST_WAITING)
        self._watchers.add(queue)
        try:
            yield queue
        finally:
            self._watchers.discard(queue)

    def close(self) -> None:
        """The daemon ends: whoever watches is told."""
        self._hand_out()
        self._tell(None)

    def look_on(self, ask: Ask) -> Onlooker:
        """From now on what becomes of a request is told, and kept where that is wished."""
        captured = Captured(ask) if self.capturing else None
        if captured is not None:
            self._keep(ask.request_id, captured)
        ask.watch = onlooker = Onlooker(self, ask, captured)
        moment = datetime.fromtimestamp(ask.time, UTC).isoformat(timespec="milliseconds")
        self.happens(
            "begun",
            ask.request_id,
            model=ask.model,
            protocol=ask.protocol.name,
            client=ask.caller.name,
            timestamp=moment,
        )
        return onlooker

    def _keep(self, request_id: str, captured: Captured) -> None:
        self._captured[request_id] = captured
        self._captured.move_to_end(request_id)
        weight = sum(each.weight for each in self._captured.values())
        while len(self._captured) > MOST_CAPTURED or (weight > MOST_BYTES and len(self._captured) > 1):
            weight -= self._captured.popitem(last=False)[1].weight


class Onlooker:
    """Who looks on at one request: a `gateway.observed.Watch`."""

    __slots__ = ("_ask", "_captured", "_recent")

    def __init__(self, recent: Recent, ask: Ask, captured: Captured | None) -> None:
        self._recent = recent
        self._ask = ask
        self._captured = captured

    def asked(self, account: str, call: Call) -> Leg | None:
        return None if self._captured is None else self._captured.asked(account, call)

    def failed(self, account: str, model: str, error: MuxError, seconds: float) -> None:
        self._recent.happens(
            "failed",
            self._ask.request_id,
            account=account,
            served=model,
            error=error.kind.value,
            seconds=round(seconds, 3),
        )

    def first(self, account: Account, model: str) -> None:
        self._recent.happens(
            "first",
            self._ask.request_id,
            ttft_ms=round((time.monotonic() - self._ask.started) * 1000, 2),
            served=model,
            provider=account.provider.name,
            account=account.label,
        )

    def over(self) -> None:
        """Nothing more will come of it, if it left a line or not."""
        self._recent.happens("over", self._ask.request_id)

    def answered(self, answer: Answer) -> Answer:
        """`answer`, from now on with what the client gets of it noted."""
        captured = self._captured
        if captured is None:
            return answer
        captured.answers(answer.status if isinstance(answer, Whole) else 200, answer.headers)
        if isinstance(answer, Whole):
            captured.got(answer.body)
            return answer
        pump = answer.pump

        async def noted(write: Write) -> None:
            async def both(data: bytes) -> None:
                captured.got(data)
                await write(data)

            await pump(both)

        return replace(answer, pump=noted)


def without_the_old(gathered: Sequence[Happening]) -> list[Happening]:
    """What has to be told of a moment: of an exchange that is over in it only the line, or just that it is over."""
    over = {each.request for each in gathered if each.name in ("", "over")}
    if not over:
        return list(gathered)
    silent = {each.request for each in gathered if each.name in ("", "begun")}
    return [
        each
        for each in gathered
        if not each.name or each.request not in over or (each.name == "over" and each.request not in silent)
    ]
