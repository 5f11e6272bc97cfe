"""Responses that run on after their client left (`background: true` of the Responses API).

Rules. The daemon runs them itself, whatever the target speaks: as a stream whose events it keeps, so that who comes
back sees all of them. They end with the daemon: a stop lets them finish like any other answer, and then says that it
did not. They are bounded in number, time and what is kept of them. The books and limits see one exchange, to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec import Struct

from llm_mux import log
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.gateway.ask import Answer, Streaming, Whole, Write
from llm_mux.gateway.drain import Drain, told
from llm_mux.translators.openai_responses.background import Retelling, meant
from llm_mux.wire import sse

_LAST_WORDS_S = 1.0


class Bounds(Struct, frozen=True):
    """`most`: how many run at once; `longest_s`: each of them. Events are kept for `kept_s` after the end, and of one
    response at most `most_bytes`, of all that are finished `most_kept`. `beat_s`: how often others are shown that it
    still runs."""

    most: int = 64
    longest_s: float = 3600.0
    kept_s: float = 600.0
    most_bytes: int = 16 << 20
    most_kept: int = 64 << 20
    beat_s: float = 20.0


class Work(Struct, frozen=True):
    """`serve` gives the stream, `keep` stores the response as it is, `leave` is called at the end. `beats`: others may
    look for it where it is stored."""

    serve: Callable[[], Awaitable[Answer]]
    keep: Callable[[bytes], None]
    leave: Callable[[], None]
    beats: bool


class Running:
    """One background response. `told` is what its clients see."""

    def __init__(self, tenant: str, told: Retelling, drain: Drain, keepalive_s: float, most_bytes: int) -> None:
        self.tenant = tenant
        self.told = told
        self.drain = drain
        self.task: asyncio.Task[None] | None = None
        self.cancelled = False
        self.forgotten = False
        self.size = 0
        self._keepalive_s = keepalive_s
        self._most_bytes = most_bytes
        self._splitter = sse.Splitter()
        self._first = 0
        self._records: list[bytes] = []
        self._news = asyncio.Event()
        for record in told.begin():
            self.add(record)

    @property
    def id(self) -> str:
        return self.told.id

    def add(self, record: bytes | None) -> None:
        if record is None:
            return
        self._records.append(record)
        self.size += len(record)
        while self.size > self._most_bytes and len(self._records) > 1:
            self.size -= len(self._records.pop(0))
            self._first += 1
        self._news.set()
        self._news = asyncio.Event()

    async def write(self, data: bytes) -> None:
        """The stream that answers the request."""
        for frame in self._splitter.feed(data):
            self.add(self.told.take(frame))

    def end(self, error: MuxError) -> None:
        """An end that the stream did not have itself."""
        if not self.told.over:
            self.add(self.told.cancel() if self.cancelled else self.told.fail(error))

    def stream(self, headers: dict[str, str], after: int = -1) -> Streaming:
        """Its events with numbers above `after`, those to come too. Raises MuxError when they are no longer kept."""
        if after + 1 < self._first:
            message = f"Of this response's events those up to number {self._first - 1} are no longer kept."
            raise bad_request(message, param="starting_after")

        async def pump(write: Write) -> None:
            await self._follow(after + 1, write)

        return Streaming(headers, "text/event-stream", pump)

    async def _follow(self, number: int, write: Write) -> None:
        while True:
            news = self._news
            if number < self._first:
                raise ConnectionAbortedError("the client is too far behind")
            records = self._records[number - self._first :]
            number += len(records)
            if records:
                await write(b"".join(records))
            elif self.told.over:
                return
            elif not await self._heard(news):
                await write(sse.comment("keep-alive"))

    async def _heard(self, news: asyncio.Event) -> bool:
        """Waits for more. At the daemon's deadline whoever follows is cancelled too, and still told the end."""
        try:
            async with asyncio.timeout(self._keepalive_s):
                await news.wait()
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            if not self.drain.over or self.task is None:
                raise
            await asyncio.wait({self.task}, timeout=_LAST_WORDS_S)
            if not self.told.over:
                raise
        return True


class Background:
    """The background responses of this process, those that are finished for a while too."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.bounds = bounds or Bounds()
        self._held: dict[tuple[str, str], Running] = {}

    def get(self, tenant: str, id: str) -> Running | None:
        return self._held.get((tenant, id))

    def start(self, running: Running, work: Work) -> None:
        work.keep(running.told.body)
        self._held[running.tenant, running.id] = running
        running.task = asyncio.create_task(self._run(running, work))

    def room(self) -> None:
        """Raises MuxError LIMITED when no more may run."""
        if sum(not running.told.over for running in self._held.values()) >= self.bounds.most:
            message = f"{self.bounds.most} responses run in the background already; try again when one is finished."
            raise MuxError(Kind.LIMITED, message, retry_after=5.0, code="rate_limit_exceeded")

    async def _run(self, running: Running, work: Work) -> None:
        under_way = running.drain.enter()
        beat = asyncio.create_task(self._beat(running, work.keep)) if work.beats else None
        error = MuxError(Kind.UPSTREAM_CUT, "The provider's stream ended before the answer was complete.")
        try:
            async with asyncio.timeout(self.bounds.longest_s):
                answer = await work.serve()
                if isinstance(answer, Whole):
                    error = meant(answer.status, answer.body)
                else:
                    await answer.pump(running.write)
        except TimeoutError:
            error = MuxError(Kind.IDLE_TIMEOUT, f"It took more than {self.bounds.longest_s / 60:g} minutes.")
        except asyncio.CancelledError:
            error = told()
        except Exception:
            log.logger.exception("request.broken", response=running.id)
            error = MuxError(Kind.INTERNAL, "llm-mux failed on this response; its log has the details.")
        finally:
            if beat is not None:
                beat.cancel()
            running.end(error)
            if not running.forgotten:
                work.keep(running.told.body)
            work.leave()
            running.drain.leave(under_way)
            self._finished(running)

    async def _beat(self, running: Running, keep: Callable[[bytes], None]) -> None:
        while True:
            await asyncio.sleep(self.bounds.beat_s)
            keep(running.told.body)

    def _finished(self, running: Running) -> None:
        asyncio.get_running_loop().call_later(self.bounds.kept_s, self._forget, running)
        over = [each for each in self._held.values() if each.told.over]
        size = sum(each.size for each in over)
        for each in over[:-1]:
            if size <= self.bounds.most_kept:
                break
            size -= each.size
            self._forget(each)

    def _forget(self, running: Running) -> None:
        if self._held.get((running.tenant, running.id)) is running:
            del self._held[running.tenant, running.id]

    async def cancel(self, tenant: str, id: str, *, forget: bool = False) -> Running | None:
        """Ends a response that runs here and waits for that; `forget`: nothing of it is kept."""
        running = self._held.get((tenant, id))
        if running is None:
            return None
        if forget:
            running.forgotten = True
            self._forget(running)
        if not running.told.over and running.task is not None:
            running.cancelled = True
            running.task.cancel()
            await asyncio.wait({running.task})
        return running

    async def close(self) -> None:
        """The daemon ends."""
        tasks = {each.task for each in self._held.values() if each.task is not None and not each.task.done()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
