"""Client keys in the database: made, listed, changed, rotated and revoked.

Rule: a key itself is returned once, to whoever made it, and kept nowhere; the table has its digest. Each change gives
its row the table's next revision, so that a daemon reads only what changed since it looked. Time is unix seconds, given
by the caller.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from llm_mux.auth.client_keys import digest, hint, new_key
from llm_mux.auth.scopes import Scopes, problem
from llm_mux.ledger.database import Database
from llm_mux.ledger.rows import LONGEST_TEXT, plain
from llm_mux.ledger.statements import quoted

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_LOCK = 0x6C6D75785F6B6579


class KeyProblem(Exception):
    """A key cannot be made or found as asked; the message says why."""


class ClientKey(Struct, frozen=True, kw_only=True):
    """One key. `user` is who it belongs to, None: only itself. After a rotation the former key works too until
    `former_until`."""

    id: str
    name: str
    user: str | None
    hint: str
    scopes: Scopes
    created: float
    expires: float | None = None
    revoked: float | None = None
    former_until: float | None = None

    def state(self, now: float) -> str:
        """active, revoked or expired."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"


_COLUMNS = (*ClientKey.__struct_fields__, "digest", "former_digest", "revision")
_SINCE = f"SELECT {', '.join(map(quoted, _COLUMNS))} FROM client_keys WHERE revision > ?"  # noqa: S608  # names of ours


class Digests(Struct, frozen=True):
    """A key as the daemon looks it up."""

    key: ClientKey
    digest: bytes
    former: bytes | None


class KeyTable:
    """The keys of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        name: str,
        *,
        now: float,
        user: str | None = None,
        scopes: Scopes | None = None,
        expires: float | None = None,
    ) -> tuple[ClientKey, str]:
        """A new key and its secret, which nobody can ask for again. Raises KeyProblem for a name that is taken."""
        from sqlalchemy import insert

        from llm_mux.ledger.schema import client_keys

        _check(name, user, scopes or Scopes())
        secret = new_key()
        key = ClientKey(
            id=f"key_{secrets.token_hex(8)}",
            name=name,
            user=user,
            hint=hint(secret),
            scopes=scopes or Scopes(),
            created=now,
            expires=expires,
        )
        async with self._database.write() as connection:
            revision = await _next_revision(connection)
            if await _live(connection, name) is not None:
                raise KeyProblem(
                    f"there is a key with the name {name} already; revoke or rotate it, or take another name"
                )
            values = {**_values(key), "digest": digest(secret), "revision": revision}
            await connection.execute(insert(client_keys).values(values))
        return key, secret

    async def rotate(self, named: str, *, now: float, grace_s: float = 0) -> tuple[ClientKey, str]:
        """A new secret for a key, which stays what it is otherwise; the former one works for `grace_s` more."""
        from llm_mux.ledger.schema import client_keys

        secret = new_key()
        async with self._database.write() as connection:
            revision = await _next_revision(connection)
            found = await _existing(connection, named)
            changes = {
                "former_digest": client_keys.c.digest if grace_s > 0 else None,
                "former_until": now + grace_s if grace_s > 0 else None,
                "digest": digest(secret),
                "hint": hint(secret),
                "revision": revision,
            }
            await _change(connection, found.id, changes)
        until = now + grace_s if grace_s > 0 else None
        return msgspec.structs.replace(found, hint=hint(secret), former_until=until), secret

    async def revoke(self, named: str, *, now: float) -> ClientKey:
        """End a key for good. Raises KeyProblem when there is none of that id or name."""
        async with self._database.write() as connection:
            revision = await _next_revision(connection)
            found = await _existing(connection, named)
            await _change(connection, found.id, {"revoked": now, "revision": revision})
        return msgspec.structs.replace(found, revoked=now)

    async def change(self, named: str, how: Callable[[ClientKey], ClientKey]) -> ClientKey:
        """The scopes and the end that `how` gives to a key. Raises KeyProblem."""
        async with self._database.write() as connection:
            revision = await _next_revision(connection)
            found = await _existing(connection, named)
            changed = how(found)
            _check(found.name, found.user, changed.scopes)
            values = _values(changed)
            await _change(
                connection, found.id, {name: values[name] for name in ("scopes", "expires")} | {"revision": revision}
            )
        return changed

    async def listed(self) -> list[ClientKey]:
        """All keys, also revoked ones, oldest first."""
        return sorted((each.key for each in (await self.since(0))[0]), key=lambda key: (key.created, key.id))

    async def since(self, revision: int) -> tuple[list[Digests], int]:
        """What changed after a revision, and the newest revision."""
        lines = await self._database.look(lambda books: books.run(_SINCE, (revision,)).fetchall())
        rows = [dict(zip(_COLUMNS, line, strict=True)) for line in lines]
        found = [Digests(_key(row), row["digest"], row["former_digest"]) for row in rows]
        return found, max((row["revision"] for row in rows), default=revision)


def _check(name: str, user: str | None, scopes: Scopes) -> None:
    for what, text in (("name", name), ("user", user)):
        if text is not None and (not text.strip() or plain(text) != text or not text.isprintable()):
            raise KeyProblem(f"the {what} of a key is printable text of at most {LONGEST_TEXT} characters")
    if user is not None and reserved(user):
        raise KeyProblem(f"no user can be called {user}: keys without a user go by such names")
    if (wrong := problem(scopes)) is not None:
        raise KeyProblem(wrong)


def reserved(user: str) -> bool:
    """Whether a user's name is one that the daemon gives to those who have none."""
    return user == "local" or user.startswith("key:")


def _values(key: ClientKey) -> dict[str, Any]:
    values = {name: getattr(key, name) for name in key.__struct_fields__ if name != "former_until"}
    return {**values, "scopes": msgspec.json.encode(key.scopes).decode()}


def _key(row: Mapping[str, Any]) -> ClientKey:
    values = {name: row[name] for name in ClientKey.__struct_fields__ if name != "scopes"}
    return ClientKey(scopes=msgspec.json.decode(row["scopes"], type=Scopes), **values)


async def _next_revision(connection: AsyncConnection) -> int:
    """One higher than any; nobody else gets one before this transaction ends."""
    from sqlalchemy import func, select, text

    from llm_mux.ledger.schema import client_keys

    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    newest = await connection.execute(select(func.coalesce(func.max(client_keys.c.revision), 0)))
    return int(newest.scalar_one()) + 1


async def _live(connection: AsyncConnection, named: str) -> ClientKey | None:
    """The key of an id or name that is not revoked."""
    from sqlalchemy import select

    from llm_mux.ledger.schema import client_keys

    columns = client_keys.c
    query = select(client_keys).where((columns.id == named) | (columns.name == named), columns.revoked.is_(None))
    row = (await connection.execute(query)).first()
    return None if row is None else _key(dict(row._mapping))


async def _existing(connection: AsyncConnection, named: str) -> ClientKey:
    found = await _live(connection, named)
    if found is None:
        raise KeyProblem(f"there is no key {plain(named)} that is not revoked")
    return found


async def _change(connection: AsyncConnection, id: str, changes: dict[str, Any]) -> None:
    from sqlalchemy import update

    from llm_mux.ledger.schema import client_keys

    await connection.execute(update(client_keys).where(client_keys.c.id == id).values(changes))
