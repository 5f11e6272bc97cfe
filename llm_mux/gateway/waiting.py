"""Exchanges that wait for a target to recover or to have room, and who is told when a rest begins or ends.

Nobody polls: a wait ends after its time, or early when an account answers well again, has room, or was cleared by hand.
Room goes to whoever waits for it longest, and to nobody else: it is promised before that one is woken, so that whoever
comes meanwhile does not find it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence

from msgspec import Struct

from llm_mux.routing.accounts import Account

_APART_S = 0.005


class _Waiter(Struct):
    """`ticket`: the lower, the longer it waits. `rooms` are the full accounts that would do; `given` is one of them."""

    ticket: int
    rooms: Sequence[Account]
    given: Account | None = None


class Waiting:
    """Outlasts a new reading of the configuration. `listeners` are called when a rest began or ended."""

    def __init__(self) -> None:
        self._waiters: dict[asyncio.Future[None], _Waiter] = {}
        self._tickets = itertools.count(1)
        self.listeners: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._waiters)

    def changed(self) -> None:
        """A rest began or ended."""
        for listener in self.listeners:
            listener()

    def ticket(self) -> int:
        """A place in the queue, for all the waits of one exchange."""
        return next(self._tickets)

    async def wait(self, seconds: float, ticket: int, rooms: Sequence[Account] = ()) -> None:
        """Returns after `seconds`, or when it is worth to look again."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        waiter = self._waiters[future] = _Waiter(ticket, rooms)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await future
        finally:
            del self._waiters[future]
            if (account := waiter.given) is not None:
                account.promised -= 1
                # It is taken before the loop comes round twice; if not, it is the next one's.
                loop.call_soon(loop.call_soon, self.room, account)

    def room(self, account: Account) -> None:
        """There may be room at an account: those who wait for it get it, the longest first."""
        while not account.full and (first := self._first(account)) is not None:
            account.promised += 1
            self._waiters[first].given = account
            first.set_result(None)

    def _first(self, account: Account) -> asyncio.Future[None] | None:
        mine = [
            (waiter.ticket, number, future)
            for number, (future, waiter) in enumerate(self._waiters.items())
            if account in waiter.rooms and waiter.given is None and not future.done()
        ]
        return min(mine)[2] if mine else None

    def wake(self) -> None:
        """Something changed. They look again one after the other, so that an account that has just come back is not
        overrun."""
        later = asyncio.get_running_loop().call_later
        for number, future in enumerate(self._waiters):
            later(number * _APART_S, _let_go, future)


def _let_go(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
