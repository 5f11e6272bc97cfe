"""Old rows go: those of exchanges and of their hours after `usage.retention-days`, and holds that have lapsed; the sums
of days stay for good.

Rule: it works in small transactions with pauses, for the writer waits for each of them; a database that does not answer
is tried again at the next round. Loads nothing and connects to nothing while there is no database to shorten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING

from llm_mux.ledger.database import Database, reason
from llm_mux.ledger.rows import SECONDS_A_DAY
from llm_mux.structured import structlog

if TYPE_CHECKING:
    from sqlalchemy import Connection

ROUND_S = 3600.0
CHUNK = 2_000
_PAUSE_S = 0.05

_log = structlog.get_logger()


class Retention:
    """`run` as a task beside the server. `days` may change at any time; it counts at the next round."""

    def __init__(self, database: Database, days: int = 90, *, round_s: float = ROUND_S) -> None:
        self._database = database
        self._round_s = round_s
        self.days = days

    async def run(self) -> None:
        """A round an hour, the first an hour after the start."""
        while True:
            await asyncio.sleep(self._round_s)
            if not self._database.opened:
                continue
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
        await self._database.transact(lambda connection: _forget_periods(connection, day, self.days, now))
        gone = 0
        while True:
            chunk = await self._database.transact(_oldest(day))
            gone += chunk
            if chunk < CHUNK:
                return gone
            await asyncio.sleep(_PAUSE_S)


def _forget_periods(connection: Connection, day: int, days: int, now: float) -> None:
    from sqlalchemy import delete

    from llm_mux.ledger.schema import exchange_names, holds, usage_hours, usage_totals, writers

    connection.execute(delete(holds).where(holds.c.expires < now))
    # A row that came late goes late, when it is among the oldest; its names wait for it.
    connection.execute(delete(exchange_names).where(exchange_names.c.day < day - days))
    for sums in (usage_hours, usage_totals):
        connection.execute(delete(sums).where(sums.c.hour < day * 24))
    connection.execute(delete(writers).where(writers.c.time < day * SECONDS_A_DAY))


def _oldest(day: int) -> Callable[[Connection], int]:
    """The oldest rows are the first ones: no index has to find them."""

    def forget(connection: Connection) -> int:
        from sqlalchemy import delete, select

        from llm_mux.ledger.schema import exchange_rows as rows

        first = select(rows.c.id).order_by(rows.c.id).limit(CHUNK).scalar_subquery()
        old = rows.c.time < day * SECONDS_A_DAY
        return connection.execute(delete(rows).where(rows.c.id.in_(first), old)).rowcount

    return forget
