"""Responses-API objects that a client may come back to: `previous_response_id`, retrieve, delete, input items.

Rule: `put` only remembers, and the database is written behind it, so a response can be used the moment it is finished
and no answer waits for the disk. Everything is kept per tenant; nobody can name another's response. Memory is bounded:
when the database stays away for long, the oldest unwritten response is given up. Time is unix seconds, given by the
caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable

from msgspec import Struct

from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.ledger.database import Database, reason
from llm_mux.ledger.flusher import GATHER_S, Flusher
from llm_mux.ledger.response_table import ResponseTable, Stored
from llm_mux.ledger.rows import plain
from llm_mux.structured import structlog

MAX_AGE_S = 30 * 86_400.0
MAX_BYTES = 256 << 20
MAX_LINKS = 1_000
RECENT_BYTES = 4 << 20
UNWRITTEN_BYTES = 32 << 20
BATCH = 100
SHARED_PATIENCE_S = 1.0
"""How long a response that is not there is waited for where other processes write to the same database."""
_LOOK_S = 0.05

_log = structlog.get_logger()

Key = tuple[str, str]
Elsewhere = Callable[[str, str], Awaitable[Stored | None]]
"""What another process has in memory of a tenant's response."""


class StoreState(Struct, frozen=True, kw_only=True):
    """How the store fares. `lost` responses were given up unwritten; `error` is why the last batch failed."""

    unwritten: int
    lost: int
    failures: int
    error: str | None

    @property
    def healthy(self) -> bool:
        return self.error is None


class Shelf:
    """Responses in memory, the least recently used first out when they outgrow `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._held: OrderedDict[Key, Stored] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def add(self, stored: Stored) -> int:
        """The number of others that had to go."""
        key = (stored.tenant, stored.id)
        self.remove(key)
        self._held[key] = stored
        self._bytes += stored.size
        gone = 0
        while self._bytes > self._max_bytes and len(self._held) > 1:
            self._bytes -= self._held.popitem(last=False)[1].size
            gone += 1
        return gone

    def get(self, key: Key) -> Stored | None:
        stored = self._held.get(key)
        if stored is not None:
            self._held.move_to_end(key)
        return stored

    def remove(self, key: Key) -> Stored | None:
        stored = self._held.pop(key, None)
        if stored is not None:
            self._bytes -= stored.size
        return stored

    def oldest(self, count: int) -> list[Stored]:
        return [stored for stored, _ in zip(self._held.values(), range(count), strict=False)]

    def discard(self, stored: Stored) -> None:
        """Remove it unless another took its place."""
        key = (stored.tenant, stored.id)
        if self._held.get(key) is stored:
            self.remove(key)


class ResponseStore:
    """`run` as a task beside the server, `close` at the end. Used from one event loop."""

    def __init__(
        self,
        database: Database,
        *,
        max_age_s: float = MAX_AGE_S,
        max_bytes: int = MAX_BYTES,
        recent_bytes: int = RECENT_BYTES,
        unwritten_bytes: int = UNWRITTEN_BYTES,
        gather_s: float = GATHER_S,
        patience_s: float = 0.0,
        lasting: Callable[[bytes], bool] = lambda body: True,
    ) -> None:
        self._lasting = lasting
        self._patience_s = patience_s
        self.elsewhere: Elsewhere | None = None
        self._table = ResponseTable(database, max_bytes=max_bytes)
        self._max_age_s = max_age_s
        self._recent = Shelf(recent_bytes)
        self._unwritten = Shelf(unwritten_bytes)
        self._flusher = Flusher("responses", self._flush, gather_s=gather_s)
        self._writing = asyncio.Lock()
        self._lost = 0
        self._now = 0.0

    def put(
        self, tenant: str, id: str, *, model: str, body: bytes, items: bytes, previous_id: str | None, now: float
    ) -> None:
        """Keep a finished response: `body` is its JSON, `items` the JSON array of the input items of its request."""
        stored = Stored(
            tenant=tenant,
            id=id,
            model=plain(model),
            created=now,
            expires=now + self._max_age_s,
            previous_id=previous_id,
            body=body,
            items=items,
        )
        self._now = max(self._now, now)
        self._recent.remove((tenant, id))
        self._lost += self._unwritten.add(stored)
        self._flusher.wake()

    async def get(self, tenant: str, id: str, *, now: float) -> Stored | None:
        """The response, None when there is none, or no longer; MuxError when the database does not answer."""
        stored = self._in_memory(tenant, id, now)
        if stored is None:
            found = await self._read_chain(tenant, id, now, links=1)
            stored = found[0] if found else None
            if stored is not None and self._lasting(stored.body):
                self._recent.add(stored)
        return stored

    @property
    def shared(self) -> bool:
        """Whether other processes write to the same database."""
        return self._patience_s > 0

    async def delete(self, tenant: str, id: str, *, now: float) -> bool:
        """Whether there was one; MuxError when the database does not answer, and then nothing is deleted."""
        if plain(id) != id:
            return False
        async with self._writing, _told("deleted"):
            held = self._in_memory(tenant, id, now) is not None
            gone = await self._table.delete(tenant, id, now)
            self._unwritten.remove((tenant, id))
            self._recent.remove((tenant, id))
        return held or gone

    async def chain(self, tenant: str, id: str, *, now: float, links: int = MAX_LINKS) -> list[Stored]:
        """The conversation that ends with this response, oldest first; MuxError when any part of it is not here."""
        walked: dict[str, Stored] = {}
        wanted: str | None = id
        while wanted is not None:
            if wanted in walked or len(walked) >= links:
                raise _endless(id, links)
            found = await self._links(tenant, wanted, now, links - len(walked))
            if not found:
                raise _not_found(wanted)
            walked |= {stored.id: stored for stored in found}
            wanted = found[-1].previous_id
        return list(reversed(walked.values()))

    async def run(self) -> None:
        """Write batches until `close`; sleeps without waking while there is nothing new."""
        await self._flusher.run()

    async def close(self, *, deadline_s: float = 5.0) -> None:
        """Write what is left; what the database does not take in time is lost and logged by its number."""
        if not await self._flusher.close(deadline_s):
            _log.error("ledger.responses_lost", responses=len(self._unwritten), error=self._flusher.error)

    @property
    def state(self) -> StoreState:
        return StoreState(
            unwritten=len(self._unwritten),
            lost=self._lost,
            failures=self._flusher.failures,
            error=self._flusher.error,
        )

    def held(self, tenant: str, id: str) -> Stored | None:
        """A response that is not in the database yet."""
        return self._unwritten.get((tenant, id))

    def _in_memory(self, tenant: str, id: str, now: float) -> Stored | None:
        key = (tenant, id)
        stored = self._unwritten.get(key) or self._recent.get(key)
        return stored if stored is not None and stored.expires > now else None

    async def _links(self, tenant: str, id: str, now: float, links: int) -> list[Stored]:
        """One link from memory, or as many in a row as the database has, newest first."""
        stored = self._in_memory(tenant, id, now)
        return [stored] if stored is not None else await self._read_chain(tenant, id, now, links)

    async def _read_chain(self, tenant: str, id: str, now: float, links: int) -> list[Stored]:
        if plain(id) != id:
            return []
        until = time.monotonic() + self._patience_s
        async with _told("read"):
            while True:
                found = await self._table.chain(tenant, id, now, links=links)
                if not found and self.elsewhere is not None and (held := await self.elsewhere(tenant, id)) is not None:
                    return [held]
                if found or time.monotonic() >= until:
                    return found
                # Another process may have finished it a moment ago, and write it behind its answer.
                await asyncio.sleep(_LOOK_S)

    async def _flush(self) -> None:
        while True:
            async with self._writing:
                batch = self._unwritten.oldest(BATCH)
                if not batch:
                    return
                await self._table.write(batch, self._now)
                for stored in batch:
                    self._unwritten.discard(stored)
                    if self._lasting(stored.body):
                        self._recent.add(stored)


@contextlib.asynccontextmanager
async def _told(verb: str) -> AsyncIterator[None]:
    """A database failure in a client's request becomes an answer that says so."""
    try:
        yield
    except Exception as error:
        _log.warning("ledger.responses_unavailable", error=reason(error), kind=type(error).__name__)
        message = f"Stored responses cannot be {verb} just now: the database does not answer. Try again in a moment."
        raise MuxError(Kind.INTERNAL, message, code="response_store_unavailable", retry_after=1.0) from error


def _not_found(id: str) -> MuxError:
    message = f"Previous response with id '{id}' not found."
    return bad_request(message, param="previous_response_id", code="previous_response_not_found")


def _endless(id: str, links: int) -> MuxError:
    message = f"The conversation before response '{id}' has more than {links} responses; send it as input instead."
    return bad_request(message, param="previous_response_id", code="previous_response_chain_too_long")
