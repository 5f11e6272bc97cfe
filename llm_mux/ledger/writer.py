"""Rows of exchanges, and what is paid for them, on their way into the database.

Rule: a payment is in the piece of its row, so both are written or neither. `record` is called on the event loop at the
end of an exchange, before its answer ends, and never waits or raises: it puts the piece into the spool, where it
outlives the process. Less than 100 ms later all that gathered goes into the database, once, however often that is
tried. A database that is locked, full or away loses nothing while the spool has room. Without a spool, or with a full
disk, rows wait in memory, bounded; the oldest go first, counted in `state`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from itertools import count, islice
from operator import attrgetter
from pathlib import Path

from msgspec import Struct

from llm_mux.ledger import insert
from llm_mux.ledger.balances import Settlement
from llm_mux.ledger.database import Database, reason
from llm_mux.ledger.flusher import GATHER_S, Flusher
from llm_mux.ledger.insert import Written
from llm_mux.ledger.ring import shared_memory, sweep
from llm_mux.ledger.rows import Exchange
from llm_mux.ledger.spool import Left, Piece, Spool
from llm_mux.ledger.statements import Statements
from llm_mux.structured import structlog

CAPACITY = 20_000
TRANSACTION_ROWS = 2_000
_PATIENCE_S = 30.0
_SLOW_S = 1.0
"""What waits for longer is on the disk."""

_number = attrgetter("number")
_log = structlog.get_logger()


class State(Struct, frozen=True, kw_only=True):
    """How the writer fares. `error` is why the last try to write failed, None when it did not; `spool_error` the same
    of the spool. `spooled` of the `waiting` rows are in the spool. No column took `rejected`; `replayed` are an earlier
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
    `paid` is told the balances of those who paid, `ended` the holds whose end is in the books."""

    def __init__(
        self, database: Database, spool: Path | None = None, *, capacity: int = CAPACITY, gather_s: float = GATHER_S
    ) -> None:
        self._database = database
        self._folder = spool
        self._spool = Spool(spool, shared_memory()) if spool is not None else None
        self._name = self._spool.writer if self._spool is not None else Spool(Path()).writer
        self._capacity = capacity
        self._made = self._payments = 0
        # Oldest first: what memory and spool have, what only the spool has, what only memory has.
        self._spooled: list[Piece] = []
        self._in_spool_only = 0
        self._unspooled: deque[Piece] = deque()
        self._written_to = 0
        self._writing = Flusher("exchanges", self._write_all, gather_s=gather_s)
        self._released = self._written = self._rejected = self._replayed = 0
        self._left_seen = False
        self._spool_error: str | None = None
        self._catching: asyncio.Task[bool] | None = None
        self._coming: asyncio.Task[bool] | None = None
        self.paid: Callable[[Mapping[str, Decimal]], None] | None = None
        self.ended: Callable[[Iterable[str]], None] | None = None

    def claimed(self) -> str:
        """The name of this writer, by which others can see whether it lives, if the disk takes anything."""
        if self._spool is not None:
            with contextlib.suppress(OSError):
                self._spool.claim()
        return self._name

    def record(self, row: Exchange | None, payment: Settlement | None = None) -> None:
        """Take a row, with what is paid for it."""
        self.record_all((row,), (payment,))

    def record_all(self, rows: Sequence[Exchange | None], payments: Sequence[Settlement | None]) -> None:
        """Take rows, which are some, each with what is paid for it."""
        pieces = list(map(Piece, count(self._made + 1), rows, payments))
        self._made = pieces[-1].number
        for payment in payments:
            if payment is not None:
                self._payments += 1
        if self._unspooled or not self._kept(pieces):
            several = not self._unspooled and len(pieces) > 1
            self._unspooled += pieces
            if several:  # of which one may be such as no file takes
                self._to_spool()
            while len(self._unspooled) > self._capacity:
                self._end([self._unspooled.popleft()])
        if not self._writing.awake:
            self._writing.wake()

    def release(self, payment: Settlement) -> None:
        """Take a payment that no row belongs to: one of nothing, which ends a hold."""
        self._released += 1
        self.record(None, payment)

    def _kept(self, pieces: Sequence[Piece]) -> bool:
        """Whether the spool has them; one that takes nothing now is tried again with the next batch."""
        if self._spool is None:
            return False
        try:
            self._spool.append(*pieces)
        except OSError as failed:
            self._spool_said(reason(failed))
            return False
        if self._in_spool_only or len(self._spooled) >= self._capacity:
            self._in_spool_only += len(pieces)
        else:
            self._spooled += pieces
        return True

    def _to_spool(self) -> None:
        """What only memory has, in its order."""
        while self._unspooled and self._kept([self._unspooled[0]]):
            self._unspooled.popleft()
        if not self._unspooled:
            self._spool_said(None)

    def _spool_said(self, error: str | None) -> None:
        if error != self._spool_error:
            self._spool_error = error
            if error is not None:
                _log.warning("ledger.spool_failed", error=error)

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
        return await self._writing.flush_now()

    async def run(self) -> None:
        """Write batches until `close`; sleeps without waking while there are no rows."""
        if self._folder is not None:
            if (shared := shared_memory()) is not None:
                await asyncio.to_thread(sweep, shared)
            if await asyncio.to_thread(Left(self._folder).anything):
                self._writing.wake()
        await self._writing.run()

    async def close(self, *, deadline_s: float = 5.0) -> None:
        """Write what is left. Rows that the database does not take in time wait in the spool for the next start;
        those that are not there either are lost and logged by their number."""
        done = await self._writing.close(deadline_s)
        self._to_spool()
        state = self.state
        if not done and state.spooled:
            _log.warning("ledger.rows_wait", rows=state.spooled, error=state.error)
        if not done and state.waiting > state.spooled:
            _log.error("ledger.rows_lost", rows=state.waiting - state.spooled, error=state.error)
        if self._spool is not None:
            await asyncio.to_thread(self._spool.close, self._written_to)

    @property
    def state(self) -> State:
        spooled = _count(self._spooled) + self._in_spool_only
        waiting = spooled + _count(self._unspooled)
        recorded = self._made - self._released
        return State(
            recorded=recorded,
            written=self._written,
            waiting=waiting,
            spooled=spooled,
            dropped=recorded - self._written - self._rejected - waiting,
            rejected=self._rejected,
            replayed=self._replayed,
            failures=self._writing.failures,
            error=self._writing.trouble,
            spool_error=self._spool_error,
        )

    async def _write_all(self) -> None:
        """Everything that waits, oldest first: what an earlier process left, the spool, then memory. Raises what the
        database raises; what it does not have by then, or after a second, is on disk."""
        settle = self._spool.settle if self._spool is not None else _nothing
        slow = asyncio.get_running_loop().call_later(_SLOW_S, settle)
        try:
            await self._write_left()
            await self._write_own()
        except Exception:
            await asyncio.to_thread(settle)
            raise
        finally:
            slow.cancel()

    async def _write_own(self) -> None:
        self._to_spool()
        if self._spool is not None:
            self._spool.mark()
        until = self._made
        while self._written_to < until and (pieces := await self._next()):
            written = await self._into_books(self._name, pieces)
            self._rejected += written.rejected
            self._written += written.rows
            self._end(pieces)
            await self._done(pieces)

    async def _next(self) -> list[Piece]:
        if not self._spooled and self._in_spool_only and self._spool is not None:
            found = await asyncio.to_thread(self._spool.after, self._written_to)
            self._in_spool_only = max(self._in_spool_only - len(found), 0) if found else 0
            self._spooled.extend(found)
        return list(islice(self._spooled or self._unspooled, TRANSACTION_ROWS))

    async def _done(self, pieces: Sequence[Piece]) -> None:
        """The database has everything up to the last of these, the oldest."""
        self._written_to = number = pieces[-1].number
        del self._spooled[: bisect_right(self._spooled, number, key=_number)]
        while self._unspooled and self._unspooled[0].number <= number:
            self._unspooled.popleft()
        if self._spool is None:
            return
        if self._spool.size:
            await asyncio.to_thread(self._spool.written, number)
        else:
            self._spool.written(number)

    def _end(self, pieces: Sequence[Piece]) -> None:
        if self._payments and (ended := [piece.payment.hold.id for piece in pieces if piece.payment is not None]):
            self._payments -= len(ended)
            if self.ended is not None:
                self.ended(ended)

    async def _write_left(self) -> None:
        """What writers that are gone left in the spool, then the end of what they hold; looked for once."""
        if self._left_seen or self._folder is None:
            return
        # Closed when the database does not take it: who tries again finds no lock of its own on what is left.
        with contextlib.closing(Left(self._folder).pieces()) as left:
            while (found := await asyncio.to_thread(next, left, None)) is not None:
                writer, pieces = found
                if not pieces:
                    await self._free(writer)
                for first in range(0, len(pieces), TRANSACTION_ROWS):
                    await self._into_books(writer, pieces[first : first + TRANSACTION_ROWS])
                self._replayed += _count(pieces)
        self._left_seen = True

    async def _free(self, writer: str) -> None:
        if ended := await self._database.run(partial(insert.free, writer=writer)):
            _log.info("billing.holds_freed", holds=ended, writer=writer)

    async def _into_books(self, writer: str, pieces: Sequence[Piece]) -> Written:
        def how(write: Callable[..., Written]) -> Callable[[Statements], Written]:
            return partial(write, writer=writer, pieces=pieces, now=time.time())

        try:
            # A server that went without a word is not waited for longer than that; SQLite's thread ends by itself.
            async with asyncio.timeout(_PATIENCE_S if self._database.shared else None):
                written = await self._database.run(how(insert.write))
        except Exception as error:
            if not insert.fault_of_a_row(error):
                raise
            _log.error("ledger.row_rejected", error=reason(error))
            written = await self._database.run(how(insert.write_carefully))
        if written.unpaid:
            _log.error("billing.payments_rejected", payments=written.unpaid)
        if written.balances and self.paid is not None:
            self.paid(written.balances)
        return written


def _nothing() -> None:
    """There is no spool."""


def _count(pieces: Iterable[Piece]) -> int:
    """How many rows there are."""
    return sum(piece.row is not None for piece in pieces)
