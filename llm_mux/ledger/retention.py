"""Old rows go: those of exchanges and of their hours after `usage.retention-days`, and holds that have lapsed; the sums
of days stay for good.

Rule: it works in small transactions with pauses, for the writer waits for each of them; a database that does not answer
is tried again at the next round. Loads nothing and connects to nothing while there is no database to shorten.
"""

from __future__ import annotations

import asyncio
from itertools import accumulate
from time import time

from llm_mux.ledger.database import Database, reason
from llm_mux.ledger.rows import SECONDS_A_DAY
from llm_mux.ledger.statements import Statements
from llm_mux.structured import structlog

FIRST_S = 300.0
ROUND_S = 3600.0
CHUNK = 2_000
"""Rows of a transaction, and more where one batch has more."""

_PAUSE_S = 0.05

_log = structlog.get_logger()


class Retention:
    """`run` as a task beside the server. `days` may change at any time; it counts at the next round."""

    def __init__(
        self, database: Database, days: int = 90, *, first_s: float = FIRST_S, round_s: float = ROUND_S
    ) -> None:
        self._database = database
        self._first_s = first_s
        self._round_s = round_s
        self.days = days

    async def run(self) -> None:
        """A round an hour, the first soon after the start: a daemon that is stopped each evening keeps the days too."""
        pause = self._first_s
        while True:
            await asyncio.sleep(pause)
            if not self._database.opened:
                continue
            pause = self._round_s
            try:
                gone = await self.shorten(time())
            except Exception as error:
                _log.warning("ledger.retention_failed", error=reason(error))
            else:
                if gone:
                    _log.info("ledger.shortened", rows=gone, days=self.days)

    async def shorten(self, now: float) -> int:
        """Removes what is older; the number of exchanges that went."""
        day = int(now // SECONDS_A_DAY) - self.days
        await self._database.run(lambda books: _forget_periods(books, day, self.days, now))
        gone = 0
        while chunk := await self._database.run(lambda books: _forget_oldest(books, day)):
            gone += chunk
            await asyncio.sleep(_PAUSE_S)
        return gone


def _forget_periods(books: Statements, day: int, days: int, now: float) -> None:
    books.run("DELETE FROM holds WHERE expires < ?", (now,))
    # A row that came late goes late, when it is among the oldest; its names wait for it.
    books.run("DELETE FROM exchange_names WHERE day < ?", (day - days,))
    books.run("DELETE FROM usage_hours WHERE hour < ?", (day * 24,))
    books.run("DELETE FROM usage_totals WHERE hour < ?", (day * 24,))
    books.run("DELETE FROM ledger_writers WHERE time < ?", (float(day * SECONDS_A_DAY),))


def _forget_oldest(books: Statements, day: int) -> int:
    """How many rows went. The oldest are in the first batches: no index has to find them."""
    first = books.run("SELECT id, last_day, count FROM exchange_batches ORDER BY id LIMIT ?", (CHUNK,)).fetchall()
    before = [0, *accumulate(count for _, _, count in first)]
    old = [batch for batch, rows in zip(first, before, strict=False) if batch[1] < day and rows < CHUNK]
    for batch, _, _ in old:
        books.run("DELETE FROM exchange_batches WHERE id = ?", (batch,))
    return sum(count for _, _, count in old)
