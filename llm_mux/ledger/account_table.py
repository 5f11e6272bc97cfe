"""What is known of accounts and is no secret, in the database: how each is, on which plan, until when, what is left.

Rule: the daemon writes what it sees, commands write what they do; secrets are in the secret store alone. Functions take
a connection and run in the database's thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from llm_mux.ledger.rows import plain

if TYPE_CHECKING:
    from sqlalchemy import Connection

Name = tuple[str, str]
_LONGEST = 2000


class Quota(Struct, frozen=True, kw_only=True):
    """One quota window: of the whole account (`scope` "") or of one model. `used` is a fraction, `resets_at` unix
    seconds."""

    name: str
    scope: str = ""
    used: float | None = None
    remaining: float | None = None
    limit: float | None = None
    resets_at: float | None = None


class AccountRow(Struct, frozen=True, kw_only=True):
    """One account as it was seen last. `way` is `key` or the way of its login, `identity` an e-mail or login name,
    `state` ready, resting or login needed; `expires` and `updated` are unix seconds."""

    provider: str
    label: str
    way: str
    identity: str | None = None
    plan: str | None = None
    state: str = "ready"
    expires: float | None = None
    last_error: str | None = None
    quotas: tuple[Quota, ...] = ()
    updated: float = 0.0

    @property
    def key(self) -> Name:
        return self.provider, self.label

    def same(self, other: AccountRow | None) -> bool:
        """Whether both say the same; when they were seen does not count."""
        return other is not None and msgspec.structs.replace(other, updated=self.updated) == self


def put(connection: Connection, rows: Iterable[AccountRow], gone: Iterable[Name] = ()) -> None:
    """Write rows in place of those of the same accounts, and forget those that are `gone`."""
    from sqlalchemy import insert

    from llm_mux.ledger.schema import accounts

    rows = list(rows)
    for name in (*gone, *(row.key for row in rows)):
        forget(connection, name)
    if rows:
        connection.execute(insert(accounts), [_values(row) for row in rows])


def forget(connection: Connection, name: Name) -> None:
    from sqlalchemy import delete

    from llm_mux.ledger.schema import accounts

    provider, label = name
    connection.execute(delete(accounts).where(accounts.c.provider == provider, accounts.c.label == label))


def rename(connection: Connection, name: Name, label: str) -> None:
    """The account goes on under another label."""
    from sqlalchemy import update

    from llm_mux.ledger.schema import accounts

    forget(connection, (name[0], label))
    mine = (accounts.c.provider == name[0]) & (accounts.c.label == name[1])
    connection.execute(update(accounts).where(mine).values(label=label))


def read(connection: Connection) -> dict[Name, AccountRow]:
    """Everything that is known, by account."""
    from sqlalchemy import select

    from llm_mux.ledger.schema import accounts

    found = (_row(dict(row._mapping)) for row in connection.execute(select(accounts)))
    return {row.key: row for row in found}


def _values(row: AccountRow) -> dict[str, object]:
    values = msgspec.structs.asdict(row)
    values["last_error"] = None if row.last_error is None else plain(row.last_error)[:_LONGEST]
    values["quotas"] = msgspec.json.encode(row.quotas).decode()
    return values


def _row(values: dict[str, object]) -> AccountRow:
    named = {str(name): value for name, value in values.items()}
    return msgspec.convert({**named, "quotas": msgspec.json.decode(str(values["quotas"]))}, AccountRow)
