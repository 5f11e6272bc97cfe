"""Where requests that cost money pass: what they may cost is held before they are sent; what they did cost is paid
behind the answer, by the writer, with their row.

Rule: only a hold is waited for. Holds that are asked for while others are being written are written together, so many
requests at once cost hardly more than one. A hold is renewed until the books have its end, so one that lapses is of a
process that is gone; where its disk is left, whoever finds its spool ends its holds at once (`writer`).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterable, Mapping
from decimal import Decimal

from llm_mux.ledger.balances import HOLD_S, ZERO, Balances, Hold, Settlement, Shortage, holds_of
from llm_mux.ledger.writer import Writer

_MOST_AT_ONCE = 500
_MOST_KNOWN = 1000


class Till:
    """`close` at the end, before the writer's. Used from one event loop."""

    def __init__(self, balances: Balances, writer: Writer) -> None:
        self.balances = balances
        self._writer = writer
        self._asked: list[tuple[Hold, float, asyncio.Future[Decimal | Shortage]]] = []
        self._taking: asyncio.Task[None] | None = None
        self._known: dict[str, Decimal] = {}
        self._open: set[str] = set()
        self._renewing: asyncio.Task[None] | None = None
        writer.paid = self._note
        writer.ended = self._ended

    @property
    def known(self) -> Mapping[str, Decimal]:
        """Balances as they were when last seen from here."""
        return self._known

    def new_id(self) -> str:
        """For a hold: it says whose it is."""
        return holds_of(self._writer.claimed()) + secrets.token_hex(8)

    async def look(self, most: int, *, patience_s: float = 1.0) -> None:
        """See the balances as they are now: of those who were here, and of others, as many as `most`. While the
        database does not answer they stay as they were."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(patience_s):
                self._note(await self.balances.some(list(self._known)[:most], most))

    async def hold(self, hold: Hold, now: float) -> Shortage | None:
        """Keep what a request may cost, or say why that is not possible. Raises what the database raises."""
        future = asyncio.get_running_loop().create_future()
        self._asked.append((hold, now, future))
        if self._taking is None or self._taking.done():
            self._taking = asyncio.create_task(self._take())
        try:
            answer = await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(lambda done: self._let_go(hold, now, done))
            raise
        if isinstance(answer, Shortage):
            return answer
        if hold.user is not None:
            self._note({hold.user: answer})
        return None

    def release(self, hold: Hold, now: float) -> None:
        """What was held is free again with the next batch."""
        self._writer.release(Settlement(hold=hold, cost=ZERO, description="", time=now))

    async def close(self, *, deadline_s: float = 5.0) -> None:
        """The holds that are being written are."""
        if self._renewing is not None:
            self._renewing.cancel()
        if self._taking is not None:
            await asyncio.wait((self._taking,), timeout=deadline_s)

    def _let_go(self, hold: Hold, now: float, done: asyncio.Future[Decimal | Shortage]) -> None:
        """Nobody waits for the answer any more: what was held is free again."""
        if done.exception() is None and not isinstance(done.result(), Shortage):
            self.release(hold, now)

    async def _take(self) -> None:
        while self._asked:
            batch, self._asked = self._asked[:_MOST_AT_ONCE], self._asked[_MOST_AT_ONCE:]
            try:
                answers = await self.balances.hold([hold for hold, _, _ in batch], max(now for _, now, _ in batch))
            except Exception as error:
                for _, _, future in batch:
                    future.set_exception(error)
            else:
                for (hold, _, future), answer in zip(batch, answers, strict=True):
                    if not isinstance(answer, Shortage):
                        self._open.add(hold.id)
                    future.set_result(answer)
            if self._open and (self._renewing is None or self._renewing.done()):
                self._renewing = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        """Long answers keep their holds while they last."""
        while self._open:
            await asyncio.sleep(HOLD_S / 3)
            with contextlib.suppress(Exception):
                await self.balances.renew(list(self._open), time.time())

    def _ended(self, ids: Iterable[str]) -> None:
        """The books have their end."""
        self._open.difference_update(ids)

    def _note(self, balances: Mapping[str, Decimal]) -> None:
        for user, balance in balances.items():
            if user in self._known or len(self._known) < _MOST_KNOWN:
                self._known[user] = balance
