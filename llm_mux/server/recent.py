"""The exchanges of the last while, for whoever watches the daemon: their lines, and with `capture` what was said.

Rule: a line costs an append to a bounded deque when it is written to the log anyway. Without `capture` no body is
looked at; with it the beginnings of both sides are kept, a bounded number of them, in memory only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import Struct

from llm_mux import log
from llm_mux.gateway.ask import Answer, Ask, Whole, Write

MOST_LINES = 500
MOST_CAPTURED = 50
MOST_BYTES = 128 << 10
_MOST_WAITING = 1000

Line = tuple[int, Struct]


class Captured:
    """The beginnings of what one client sent and got."""

    __slots__ = ("answer", "answer_bytes", "headers", "request", "request_bytes", "status")

    def __init__(self, ask: Ask) -> None:
        self.headers = dict(ask.headers)
        self.request = bytes(ask.body[:MOST_BYTES])
        self.request_bytes = len(ask.body)
        self.answer = bytearray()
        self.answer_bytes = 0
        self.status = 200

    def got(self, data: bytes) -> None:
        self.answer_bytes += len(data)
        if len(self.answer) < MOST_BYTES:
            self.answer += data[: MOST_BYTES - len(self.answer)]

    def shown(self) -> dict[str, Any]:
        """For a person: without anything that looks like a secret."""
        return {
            "headers": log.redact(self.headers),
            "request": log.redact_text(self.request.decode("utf-8", "replace")),
            "request_bytes": self.request_bytes,
            "status": self.status,
            "answer": log.redact_text(bytes(self.answer).decode("utf-8", "replace")),
            "answer_bytes": self.answer_bytes,
        }


class Recent:
    """Used from one event loop. `capturing` follows the configuration."""

    def __init__(self) -> None:
        self.capturing = False
        self.last = 0
        self._lines: deque[Line] = deque(maxlen=MOST_LINES)
        self._captured: OrderedDict[str, Captured] = OrderedDict()
        self._watchers: set[asyncio.Queue[Line | None]] = set()

    def add(self, lines: Sequence[Struct]) -> None:
        """Lines of finished exchanges, as they go to the log."""
        for line in lines:
            self.last += 1
            self._lines.append((self.last, line))
            for watcher in self._watchers:
                if watcher.full():
                    watcher.get_nowait()
                watcher.put_nowait((self.last, line))

    def after(self, number: int, limit: int) -> list[dict[str, Any]]:
        """The newest `limit` lines past a number, oldest first, each with its `seq`."""
        return [told(line) for line in self._lines if line[0] > number][-limit:]

    def of(self, request_id: str) -> tuple[list[dict[str, Any]], Captured | None]:
        """The lines of a request's id, and what was captured of it last."""
        lines = [told(line) for line in self._lines if getattr(line[1], "request", None) == request_id]
        return lines, self._captured.get(request_id)

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[asyncio.Queue[Line | None]]:
        """A queue that gets every further line; None at the end of the daemon. A slow reader misses the oldest."""
        queue: asyncio.Queue[Line | None] = asyncio.Queue(_MOST_WAITING)
        self._watchers.add(queue)
        try:
            yield queue
        finally:
            self._watchers.discard(queue)

    def close(self) -> None:
        """The daemon ends: whoever watches is told."""
        for watcher in self._watchers:
            if watcher.full():
                watcher.get_nowait()
            watcher.put_nowait(None)

    def kept(self, ask: Ask, answer: Answer) -> Answer:
        """`answer`, from now on with what the client gets of it noted."""
        captured = Captured(ask)
        self._captured[ask.request_id] = captured
        self._captured.move_to_end(ask.request_id)
        if len(self._captured) > MOST_CAPTURED:
            self._captured.popitem(last=False)
        if isinstance(answer, Whole):
            captured.status = answer.status
            captured.got(answer.body)
            return answer
        pump = answer.pump

        async def noted(write: Write) -> None:
            async def both(data: bytes) -> None:
                captured.got(data)
                await write(data)

            await pump(both)

        return replace(answer, pump=noted)


def told(line: Line) -> dict[str, Any]:
    number, facts = line
    return {"seq": number, **log.redact(msgspec.structs.asdict(facts))}
