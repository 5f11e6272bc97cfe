"""Rows of exchanges, and what is paid for them, on their way into the database.

Rule: a payment is in the batch of its row, so both are written or neither. `record` is called on the event loop at the
end of an exchange, costs an append, and never waits or raises. Less than 100 ms later a batch is on disk (`spool`),
and from there it goes into the database, once, however often that is tried. A killed process loses what gathered since
its last batch; a database that is locked, full or away loses nothing while the spool has room. Without a spool, rows
wait in memory, bounded; the oldest go first, counted in `state`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from llm_mux.ledger.balances import Settlement
from llm_mux.ledger.database import Database, reason
from llm_mux.ledger.flusher import GATHER_S, Flusher
from llm_mux.ledger.rows import Exchange
from llm_mux.ledger.spool import Batch, Left, Spool

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from llm_mux.ledger.insert import Written

CAPACITY = 20_000
BATCH_ROWS = 500
TRANSACTION_ROWS = 2_000

_log = structlog.get_logger()


class State(Struct, frozen=True, kw_only=True):
    """How the writer fares. `error` is why the last try to write failed, None when it did not; `spool_error` the same
    of the disk. `spooled` of the `waiting` rows are on disk. No column took `rejected`; `replayed` are an earlier
    process's."""

    recorded: int
    written: int
    waiting: int
    spooled: int
    dropped: int
    rejected: int
    replayed: int
    failures: int
    error: str | None
    spool_error: str | None

    @property
    def healthy(self) -> bool:
        return self.error is None and self.spool_error is None


class Writer:
    """`record` rows at any time, `run` as a task beside the server, `close` at the end. Used from one event loop.
    `paid` is told the balances of those who paid."""

    def __init__(
        self, database: Database, spool: Path | None = None, *, capacity: int = CAPACITY, gather_s: float = GATHER_S
    ) -> None:
        self._database = database
        self._folder = spool
        self._spool = Spool(spool) if spool is not None else None
        self._name = self._spool.writer if self._spool is not None else Spool(Path()).writer
        self._disk = asyncio.Lock()
        self._capacity = capacity
        self._rows: deque[Exchange | Settlement] = deque(maxlen=capacity)
        self._made = 0
        self._unspooled: deque[Batch] = deque()
        self._spooled: deque[Batch] = deque()
        self._on_disk_only = 0
        self._written_to = 0
        self._gathering = Flusher("rows", self._gather, gather_s=gather_s)
        self._writing = Flusher("exchanges", self._write_all, gather_s=0)
        self._recorded = self._written = self._rejected = self._replayed = 0
        self._left_seen = False
        self._spool_error: str | None = None
        self._catching: asyncio.Task[bool] | None = None
        self._coming: asyncio.Task[bool] | None = None
        self.paid: Callable[[Mapping[str, Decimal]], None] | None = None

    def record(self, row: Exchange, payment: Settlement | None = None) -> None:
        """Take a row for the next batch, with what is paid for it."""
        self._rows.append(row)
        if payment is not None:
            self._rows.append(payment)
        self._recorded += 1
        self._gathering.wake()

    def release(self, payment: Settlement) -> None:
        """Take a payment that no row belongs to: one of nothing, which ends a hold."""
        self._rows.append(payment)
        self._gathering.wake()

    async def catch_up(self, patience_s: float = 10.0) -> bool:
        """Have what was recorded until now written; whether the database took it in that time."""
        if self._coming is None:
            self._coming = asyncio.create_task(self._catch_up(self._catching))
        task = self._coming
        await asyncio.wait((task,), timeout=patience_s)
        return task.done() and task.result()

    async def _catch_up(self, before: asyncio.Task[bool] | None) -> bool:
        """Whoever comes while one is at work waits for the next one, which knows of every row until then."""
        if before is not None:
            await asyncio.wait((before,))
        self._catching, self._coming = self._coming, None
        return await self._gathering.flush_now() and await self._writing.flush_now()

    async def run(self) -> None:
        """Write batches until `close`; sleeps without waking while there are no rows."""
        if self._folder is not None and await asyncio.to_thread(Left(self._folder).anything):
            self._writing.wake()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._gathering.run())
            group.create_task(self._writing.run())

    async def close(self, *, deadline_s: float = 5.0) -> None:
        """Write what is left. Rows that the database does not take in time wait in the spool for the next start;
        those that are not there either are lost and logged by their number."""
        await self._gathering.close(deadline_s)
        done = await self._writing.close(deadline_s)
        state = self.state
        if not done and state.spooled:
            _log.warning("ledger.rows_wait", rows=state.spooled, error=state.error)
        if not done and state.waiting > state.spooled:
            _log.error("ledger.rows_lost", rows=state.waiting - state.spooled, error=state.error)
        if self._spool is not None:
            await asyncio.to_thread(self._spool.close, self._written_to)

    @property
    def state(self) -> State:
        spooled = _count(self._spooled) + self._on_disk_only
        waiting = spooled + sum(type(each) is Exchange for each in self._rows) + _count(self._unspooled)
        return State(
            recorded=self._recorded,
            written=self._written,
            waiting=waiting,
            spooled=spooled,
            dropped=self._recorded - self._written - self._rejected - waiting,
            rejected=self._rejected,
            replayed=self._replayed,
            failures=self._writing.failures,
            error=self._writing.error,
            spool_error=self._spool_error,
        )

    async def _gather(self) -> None:
        """Rows become batches, batches go to the disk, and whoever writes them hears of it."""
        while self._rows:
            pieces = [self._rows.popleft() for _ in range(min(BATCH_ROWS, len(self._rows)))]
            while self._rows and isinstance(self._rows[0], Settlement):
                # What is paid stays with the row before it.
                pieces.append(self._rows.popleft())
            rows = [each for each in pieces if isinstance(each, Exchange)]
            payments = [each for each in pieces if isinstance(each, Settlement)]
            self._made += 1
            self._unspooled.append(Batch(self._made, rows, payments))
        while _count(self._unspooled) > self._capacity:
            self._unspooled.popleft()
        self._writing.wake()
        if self._spool is not None:
            async with self._disk:
                await self._to_disk(self._spool)

    async def _to_disk(self, spool: Spool) -> None:
        batches = list(self._unspooled)
        kept, error = await asyncio.to_thread(_appended, spool, batches)
        if error != self._spool_error:
            self._spool_error = error
            if error is not None:
                _log.warning("ledger.spool_failed", error=error)
        for batch in batches[:kept]:
            self._settle_on_disk(batch)

    def _settle_on_disk(self, batch: Batch) -> None:
        if self._unspooled and self._unspooled[0] is batch:
            self._unspooled.popleft()
            if self._on_disk_only or _count(self._spooled) + len(batch.rows) > self._capacity:
                self._on_disk_only += len(batch.rows)
            else:
                self._spooled.append(batch)

    async def _write_all(self) -> None:
        """Everything that waits, oldest first: what an earlier process left, the spool, then memory. Raises what the
        database raises."""
        await self._write_left()
        while True:
            batches = await self._next()
            if not batches:
                return
            rejected = await self._into_books(self._name, batches)
            self._rejected += rejected
            self._written += _count(batches) - rejected
            await self._done(batches)

    async def _next(self) -> list[Batch]:
        if not self._spooled and self._on_disk_only and self._spool is not None:
            async with self._disk:
                found = await asyncio.to_thread(self._spool.after, self._written_to)
                self._on_disk_only = max(self._on_disk_only - _count(found), 0) if found else 0
                self._spooled.extend(found)
        return _first(self._spooled or self._unspooled)

    async def _done(self, batches: Sequence[Batch]) -> None:
        """The database has them; they may have reached the disk meanwhile."""
        self._written_to = batches[-1].number
        for queue in (self._spooled, self._unspooled):
            while queue and queue[0].number <= self._written_to:
                queue.popleft()
        if self._spool is not None:
            async with self._disk:
                await asyncio.to_thread(self._spool.written, self._written_to)

    async def _write_left(self) -> None:
        """What writers that are gone left in the spool; looked for once."""
        if self._left_seen or self._folder is None:
            return
        left = Left(self._folder).batches()
        while (found := await asyncio.to_thread(next, left, None)) is not None:
            writer, batches = found
            if batches:
                await self._into_books(writer, batches)
                self._replayed += _count(batches)
        self._left_seen = True

    async def _into_books(self, writer: str, batches: Sequence[Batch]) -> int:
        await self._database.open()
        from llm_mux.ledger import insert  # loaded by `open`, in a thread

        def how(write: Callable[..., Written]) -> Callable[[Connection], Written]:
            return partial(write, writer=writer, batches=batches, now=time.time())

        try:
            written = await self._database.transact(how(insert.write))
        except Exception as error:
            if not insert.fault_of_a_row(error):
                raise
            _log.error("ledger.row_rejected", error=reason(error))
            written = await self._database.transact(how(insert.write_carefully))
        if written.unpaid:
            _log.error("billing.payments_rejected", payments=written.unpaid)
        if written.balances and self.paid is not None:
            self.paid(written.balances)
        return written.rejected


def _appended(spool: Spool, batches: Sequence[Batch]) -> tuple[int, str | None]:
    """How many of the batches are on disk now, and why not all."""
    for number, batch in enumerate(batches):
        try:
            spool.append(batch)
        except OSError as error:
            return number, reason(error)
    return len(batches), None


def _first(queue: deque[Batch]) -> list[Batch]:
    """The first batches, as many as one transaction takes."""
    found: list[Batch] = []
    rows = 0
    for batch in queue:
        rows += len(batch.rows)
        if found and rows > TRANSACTION_ROWS:
            break
        found.append(batch)
    return found


def _count(batches: Sequence[Batch] | deque[Batch]) -> int:
    return sum(len(batch.rows) for batch in batches)
