"""Rows of exchanges on their way into the database.

Rule: `record` is called on the event loop at the end of an exchange, costs an append, and never waits or raises. Rows
wait in memory, bounded; the oldest go first when the database stays away, counted in `state`. A row is written once,
however often its batch is tried: the table refuses the same request id and time a second time. A killed process loses
what gathered since the last batch.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from llm_mux.ledger.database import Database, reason
from llm_mux.ledger.flusher import GATHER_S, Flusher
from llm_mux.ledger.rows import Exchange, Value, columns

if TYPE_CHECKING:
    from sqlalchemy import Dialect
    from sqlalchemy.ext.asyncio import AsyncConnection

CAPACITY = 20_000
BATCH_ROWS = 500

_log = structlog.get_logger()


class State(Struct, frozen=True, kw_only=True):
    """How the writer fares. `error` is why the last batch failed, None when it did not. No column took `rejected`."""

    recorded: int
    written: int
    waiting: int
    dropped: int
    rejected: int
    failures: int
    error: str | None

    @property
    def healthy(self) -> bool:
        return self.error is None


class Writer:
    """`record` rows at any time, `run` as a task beside the server, `close` at the end. Used from one event loop."""

    def __init__(self, database: Database, *, capacity: int = CAPACITY, gather_s: float = GATHER_S) -> None:
        self._database = database
        self._rows: deque[Exchange] = deque(maxlen=capacity)
        self._batch: list[Exchange] = []
        self._flusher = Flusher("exchanges", self._flush, gather_s=gather_s)
        self._recorded = 0
        self._written = 0
        self._rejected = 0
        self._statement: str | None = None

    def record(self, row: Exchange) -> None:
        """Take a row for the next batch."""
        self._rows.append(row)
        self._recorded += 1
        self._flusher.wake()

    async def run(self) -> None:
        """Write batches until `close`; sleeps without waking while there are no rows."""
        await self._flusher.run()

    async def close(self, *, deadline_s: float = 5.0) -> None:
        """Write what is left; rows that the database does not take in time are lost and logged by their number."""
        if not await self._flusher.close(deadline_s):
            _log.error("ledger.rows_lost", rows=self.state.waiting, error=self._flusher.error)

    @property
    def state(self) -> State:
        waiting = len(self._rows) + len(self._batch)
        return State(
            recorded=self._recorded,
            written=self._written,
            waiting=waiting,
            dropped=self._recorded - self._written - self._rejected - waiting,
            rejected=self._rejected,
            failures=self._flusher.failures,
            error=self._flusher.error,
        )

    async def _flush(self) -> None:
        while self._take():
            await self._database.open()
            try:
                await self._insert([columns(row) for row in self._batch])
            except Exception as error:
                if not _fault_of_a_row(error):
                    raise
                await self._insert_one_by_one()
            else:
                self._written += len(self._batch)
                self._batch = []

    def _take(self) -> bool:
        """Fill the batch unless one is still unwritten; it stays until the database has it."""
        if not self._batch:
            count = min(BATCH_ROWS, len(self._rows))
            self._batch = [self._rows.popleft() for _ in range(count)]
        return bool(self._batch)

    async def _insert_one_by_one(self) -> None:
        while self._batch:
            try:
                await self._insert([columns(self._batch[0])])
                self._written += 1
            except Exception as error:
                if not _fault_of_a_row(error):
                    raise
                self._rejected += 1
                _log.error("ledger.row_rejected", request=self._batch[0].request_id, error=reason(error))
            del self._batch[0]

    async def _insert(self, values: list[tuple[Value, ...]]) -> None:
        async with self._database.write() as connection:
            await connection.exec_driver_sql(self._sql(connection), values)

    def _sql(self, connection: AsyncConnection) -> str:
        if self._statement is None:
            self._statement = _insert_sql(connection.dialect)
        return self._statement


def _insert_sql(dialect: Dialect) -> str:
    """The statement with a place for each of `rows.columns`: compiled once, for it costs more than the row itself."""
    from sqlalchemy.dialects import postgresql, sqlite

    from llm_mux.ledger.schema import exchanges

    names = [column.name for column in exchanges.columns if column.name != "id"]
    insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    statement = insert(exchanges).on_conflict_do_nothing(index_elements=["request_id", "time"])
    return str(statement.compile(dialect=dialect, column_keys=names))


def _fault_of_a_row(error: Exception) -> bool:
    """Whether a value was refused, so that trying the same batch again cannot help."""
    from sqlalchemy.exc import DataError, IntegrityError

    return isinstance(error, DataError | IntegrityError | OverflowError | ValueError | TypeError)
