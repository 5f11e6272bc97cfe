"""The rows of `schema.responses`: written in batches, read one by one or as a chain, kept within an age and a size.

Rule: bodies lie compressed, `size` is what they take so, and the oldest go first. Nothing here remembers responses;
that is `responses`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from llm_mux.ledger.database import Database
from llm_mux.ledger.statements import COLUMNS, Statements, insert

KEPT_AFTER_EVICTION = 0.9
EVICTION_INTERVAL_S = 600.0

_SIZE = COLUMNS["responses"].index("size")
_CHAIN = f"""
WITH RECURSIVE walk (id, previous_id, link) AS (
    SELECT id, previous_id, 1 FROM responses WHERE tenant = ? AND expires > ? AND id = ?
    UNION ALL
    SELECT r.id, r.previous_id, walk.link + 1 FROM responses AS r JOIN walk ON r.id = walk.previous_id
    WHERE r.tenant = ? AND r.expires > ? AND walk.link < ?
)
SELECT {", ".join(f"r.{name}" for name in COLUMNS["responses"])} FROM responses AS r JOIN walk ON r.id = walk.id
WHERE r.tenant = ? AND r.expires > ? ORDER BY walk.link
"""  # noqa: S608  # names of ours
"""The whole chain; the number of links also ends one that bites its tail."""

_DELETE_OLDEST = """
DELETE FROM responses WHERE created <= (
    SELECT max(created) FROM (
        SELECT created, sum(size) OVER (ORDER BY created DESC) AS bytes FROM responses
    ) AS newest_first WHERE bytes > ?
)
"""
"""Leaves the newest rows that fit into so many bytes together."""


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
        lines = await asyncio.to_thread(lambda: [_line(stored) for stored in batch])
        size = self._bytes + sum(line[_SIZE] for line in lines)
        evicting = size > self._max_bytes or now - self._evicted_at >= EVICTION_INTERVAL_S

        def work(books: Statements) -> int:
            insert(books, "responses", lines)
            return _evict(books, now, self._max_bytes) if evicting else size

        self._bytes = await self._database.run(work)
        if evicting:
            self._evicted_at = now

    async def chain(self, tenant: str, id: str, now: float, *, links: int) -> list[Stored]:
        """The response and those before it, newest first, as far as they are here; empty when it is not."""
        values = (tenant, now, id, tenant, now, links, tenant, now)
        found = await self._database.look(lambda books: books.run(_CHAIN, values).fetchall())
        return await asyncio.to_thread(lambda: [_stored(line) for line in found]) if found else []

    async def delete(self, tenant: str, id: str, now: float) -> bool:
        """Whether it was here and had not expired."""
        gone = "DELETE FROM responses WHERE tenant = ? AND id = ? RETURNING expires"
        found = await self._database.run(lambda books: books.run(gone, (tenant, id)).fetchone())
        return found is not None and found[0] > now


def _evict(books: Statements, now: float, most: int) -> int:
    """Delete the expired, then the oldest beyond the bound; the bytes that stay."""

    def kept() -> int:
        return int(books.run("SELECT coalesce(sum(size), 0) FROM responses").fetchone()[0])

    books.run("DELETE FROM responses WHERE expires <= ?", (now,))
    if (size := kept()) <= most:
        return size
    books.run(_DELETE_OLDEST, (int(most * KEPT_AFTER_EVICTION),))
    return kept()


def _line(stored: Stored) -> tuple[Any, ...]:
    body, items = _compress(stored.body), _compress(stored.items)
    named = (stored.tenant, stored.id, stored.created, stored.expires, stored.model)
    return *named, len(body) + len(items), stored.previous_id, body, items


def _stored(line: Sequence[Any]) -> Stored:
    values = dict(zip(COLUMNS["responses"], line, strict=True))
    del values["size"]
    return Stored(**{**values, "body": _decompress(values["body"]), "items": _decompress(values["items"])})


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
