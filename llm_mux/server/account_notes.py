"""What the daemon sees of its accounts, noted in the database for those who ask later: `llm-mux accounts` above all.

Rule: it looks often and writes seldom: at once when an account's state changes, otherwise when something else did and
half a minute has passed. An idle daemon whose accounts are all well opens no database for it. While a successor comes
up, and once it is there, the notes are the successor's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from llm_mux.ledger.account_table import AccountRow, Name, Quota, put
from llm_mux.ledger.database import Database, reason
from llm_mux.routing.accounts import Account, without_secrets
from llm_mux.structured import structlog

LOOK_S = 2.0
_SELDOM_S = 30.0
_log = structlog.get_logger()


def row_of(account: Account, said: str | None, now: float, unix: float) -> AccountRow:
    """The account at a moment, in monotonic and in unix seconds. `said`: its last error, without secrets."""
    session = account.session
    windows = tuple(
        Quota(name=w.name, scope=scope, used=w.used, remaining=w.remaining, limit=w.limit, resets_at=w.resets_at)
        for (scope, _), w in account.windows.items()
    )
    return AccountRow(
        provider=account.provider.name,
        label=account.label,
        way="key" if session is None else session.login.way,
        identity=None if session is None else session.credential.email or None,
        plan=None if session is None else session.credential.plan or None,
        state=account.state(now),
        expires=None if session is None else session.credential.expires,
        last_error=said,
        quotas=windows,
        updated=unix,
    )


class AccountNotes:
    """`run` as a task beside the server."""

    def __init__(self, database: Database, *, look_s: float = LOOK_S) -> None:
        self._database = database
        self._look_s = look_s
        self._noted: dict[Name, AccountRow] = {}
        self._wrote_at = 0.0
        self._accounts: Sequence[Account] = ()
        self._said: dict[str, tuple[str, str]] = {}
        self._silent = False

    def watch(self, accounts: Sequence[Account]) -> None:
        """The accounts of a new reading of the configuration."""
        # Those that are gone take with them what nobody may see of them in the others' errors.
        for account in self._accounts:
            self._told(account)
        self._accounts = accounts
        self._said = {name: (said, without_secrets(accounts, told)) for name, (said, told) in self._said.items()}

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            await self.note(everything=False)

    async def close(self) -> None:
        """The last word before the daemon ends."""
        if self._database.opened:
            await self.note(everything=True)

    async def hand_over(self) -> None:
        """The last word before somebody else takes over; nothing is written after it until `resume`."""
        await self.close()
        self._silent = True

    @property
    def silent(self) -> bool:
        """Whether somebody else writes."""
        return self._silent

    def resume(self) -> None:
        """Nobody took over."""
        self._silent = False

    async def note(self, *, everything: bool) -> None:
        """Writes what has changed; a database that does not answer is tried again at the next look."""
        if self._silent:
            return
        now, unix = time.monotonic(), time.time()
        rows = {row.key: row for row in (row_of(account, self._told(account), now, unix) for account in self._accounts)}
        changed = [row for key, row in rows.items() if not row.same(self._noted.get(key))]
        gone = [key for key in self._noted if key not in rows]
        urgent = gone or any(self._urgent(row) for row in changed)
        if not (changed or gone):
            return
        if not (urgent or everything or (self._database.opened and now - self._wrote_at >= _SELDOM_S)):
            return
        try:
            await self._database.run(lambda books: put(books, changed, gone))
        except Exception as error:
            _log.warning("accounts.not_noted", error=reason(error))
            return
        self._noted, self._wrote_at = rows, now

    def _told(self, account: Account) -> str | None:
        """The last error without any account's secrets. Looked through once, since there may be many of both."""
        said = account.last_error
        if said is None:
            self._said.pop(account.name, None)
            return None
        known = self._said.get(account.name)
        if known is None or known[0] != said:
            known = self._said[account.name] = (said, without_secrets(self._accounts, said))
        return known[1]

    def _urgent(self, row: AccountRow) -> bool:
        before = self._noted.get(row.key)
        return row.state != ("ready" if before is None else before.state)
