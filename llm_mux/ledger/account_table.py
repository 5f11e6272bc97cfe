"""What is known of accounts and is no secret, in the database: how each is, on which plan, until when, what is left.

Rule: the daemon writes what it sees, commands write what they do; secrets are in the secret store alone. Functions take
what `Database.run` gives and run in the database's thread.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from llm_mux.ledger.rows import plain
from llm_mux.ledger.statements import COLUMNS, Statements, insert, quoted

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


def put(books: Statements, rows: Iterable[AccountRow], gone: Iterable[Name] = ()) -> None:
    """Write rows in place of those of the same accounts, and forget those that are `gone`."""
    rows = list(rows)
    for name in (*gone, *(row.key for row in rows)):
        forget(books, name)
    insert(books, "accounts", [_line(row) for row in rows])


def forget(books: Statements, name: Name) -> None:
    books.run("DELETE FROM accounts WHERE provider = ? AND label = ?", name)


def rename(books: Statements, name: Name, label: str) -> None:
    """The account goes on under another label."""
    forget(books, (name[0], label))
    books.run("UPDATE accounts SET label = ? WHERE provider = ? AND label = ?", (label, *name))


def read(books: Statements) -> dict[Name, AccountRow]:
    """Everything that is known, by account."""
    columns = COLUMNS["accounts"]
    lines = books.run(f"SELECT {', '.join(map(quoted, columns))} FROM accounts").fetchall()  # noqa: S608  # names of ours
    found = (_row(dict(zip(columns, line, strict=True))) for line in lines)
    return {row.key: row for row in found}


def _line(row: AccountRow) -> tuple[object, ...]:
    error = None if row.last_error is None else plain(row.last_error)[:_LONGEST]
    quotas = msgspec.json.encode(row.quotas).decode()
    return (*msgspec.structs.astuple(msgspec.structs.replace(row, last_error=error))[:-2], quotas, row.updated)


def _row(values: dict[str, object]) -> AccountRow:
    return msgspec.convert({**values, "quotas": msgspec.json.decode(str(values["quotas"]))}, AccountRow)
