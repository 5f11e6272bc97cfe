"""The rows of `schema.responses`: written in batches, read one by one or as a chain, kept within an age and a size.

Rule: bodies lie compressed, `size` is what they take so, and the oldest go first. Nothing here remembers responses;
that is `responses`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from llm_mux.ledger.database import Database

if TYPE_CHECKING:
    from sqlalchemy import Delete, Row, Select
    from sqlalchemy.ext.asyncio import AsyncConnection

KEPT_AFTER_EVICTION = 0.9
EVICTION_INTERVAL_S = 600.0


class Stored(Struct, frozen=True, kw_only=True):
    """One response: `body` is the response object and `items` the input items of its request, both JSON.

    `created` and `expires` are unix seconds.
    """

    tenant: str
    id: str
    model: str
    created: float
    expires: float
    previous_id: str | None
    body: bytes
    items: bytes

    @property
    def size(self) -> int:
        return len(self.body) + len(self.items)


class ResponseTable:
    """`max_bytes` bounds the sum of `size` over all tenants."""

    def __init__(self, database: Database, *, max_bytes: int) -> None:
        self._database = database
        self._max_bytes = max_bytes
        self._bytes = 0
        self._evicted_at = float("-inf")

    async def write(self, batch: Sequence[Stored], now: float) -> None:
        """Insert or replace; then drop what is too old or too much, when it is time to look."""
        rows = await asyncio.to_thread(lambda: [_values(stored) for stored in batch])
        async with self._database.write() as connection:
            await _upsert(connection, rows)
            self._bytes += sum(row["size"] for row in rows)
            if self._bytes > self._max_bytes or now - self._evicted_at >= EVICTION_INTERVAL_S:
                self._bytes = await self._evict(connection, now)
                self._evicted_at = now

    async def chain(self, tenant: str, id: str, now: float, *, links: int) -> list[Stored]:
        """The response and those before it, newest first, as far as they are here; empty when it is not."""
        async with self._database.read() as connection:
            found = (await connection.execute(_chain(tenant, id, now, links))).all()
        return await asyncio.to_thread(lambda: [_stored(row) for row in found]) if found else []

    async def delete(self, tenant: str, id: str, now: float) -> bool:
        """Whether it was here and had not expired."""
        from sqlalchemy import delete

        from llm_mux.ledger.schema import responses

        chosen = (responses.c.tenant == tenant, responses.c.id == id)
        async with self._database.write() as connection:
            gone = await connection.execute(delete(responses).where(*chosen).returning(responses.c.expires))
            expires = gone.scalar()
        return expires is not None and expires > now

    async def _evict(self, connection: AsyncConnection, now: float) -> int:
        """Delete the expired, then the oldest beyond the bound; the bytes that stay."""
        from sqlalchemy import delete, func, select

        from llm_mux.ledger.schema import responses

        total = select(func.coalesce(func.sum(responses.c.size), 0))
        await connection.execute(delete(responses).where(responses.c.expires <= now))
        kept = int((await connection.execute(total)).scalar_one())
        if kept <= self._max_bytes:
            return kept
        await connection.execute(_delete_oldest(int(self._max_bytes * KEPT_AFTER_EVICTION)))
        return int((await connection.execute(total)).scalar_one())


def _values(stored: Stored) -> dict[str, Any]:
    body, items = _compress(stored.body), _compress(stored.items)
    return {
        "tenant": stored.tenant,
        "id": stored.id,
        "model": stored.model,
        "created": stored.created,
        "expires": stored.expires,
        "previous_id": stored.previous_id,
        "size": len(body) + len(items),
        "body": body,
        "items": items,
    }


def _stored(row: Row[Any]) -> Stored:
    return Stored(
        tenant=row.tenant,
        id=row.id,
        model=row.model,
        created=row.created,
        expires=row.expires,
        previous_id=row.previous_id,
        body=_decompress(row.body),
        items=_decompress(row.items),
    )


async def _upsert(connection: AsyncConnection, rows: list[dict[str, Any]]) -> None:
    from sqlalchemy.dialects import postgresql, sqlite

    from llm_mux.ledger.schema import responses

    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(responses)
    key = ["tenant", "id"]
    replaced = {name: statement.excluded[name] for name in rows[0] if name not in key}
    await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=replaced), rows)


def _chain(tenant: str, id: str, now: float, links: int) -> Select[Any]:
    """The whole chain in one query; `links` also ends a chain that bites its tail."""
    from sqlalchemy import literal, select

    from llm_mux.ledger.schema import responses as table

    alive = (table.c.tenant == tenant, table.c.expires > now)
    walk = (
        select(table.c.id, table.c.previous_id, literal(1).label("link"))
        .where(*alive, table.c.id == id)
        .cte("walk", recursive=True)
    )
    before = (
        select(table.c.id, table.c.previous_id, walk.c.link + 1)
        .join(walk, table.c.id == walk.c.previous_id)
        .where(*alive, walk.c.link < links)
    )
    walk = walk.union_all(before)
    return select(table).join(walk, table.c.id == walk.c.id).where(*alive).order_by(walk.c.link)


def _delete_oldest(kept_bytes: int) -> Delete:
    """Leave the newest rows that fit into `kept_bytes` together."""
    from sqlalchemy import delete, func, select

    from llm_mux.ledger.schema import responses

    running = func.sum(responses.c.size).over(order_by=responses.c.created.desc())
    newest_first = select(responses.c.created, running.label("bytes")).subquery()
    last_kept = select(func.max(newest_first.c.created)).where(newest_first.c.bytes > kept_bytes).scalar_subquery()
    return delete(responses).where(responses.c.created <= last_kept)


def _compress(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    return zstd.compress(data)


def _decompress(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    return zstd.decompress(data)
