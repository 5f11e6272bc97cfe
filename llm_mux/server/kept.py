"""The ledger's responses as the gateway's store."""

from __future__ import annotations

import time
from collections.abc import Sequence

from llm_mux.gateway import stored
from llm_mux.gateway.ask import Ask
from llm_mux.gateway.stored import Kept, Wishes
from llm_mux.ledger.responses import ResponseStore
from llm_mux.server.serving import Daemon
from llm_mux.wire import jsonx


class LedgerStore:
    """The gateway's store of responses over the ledger's."""

    def __init__(self, table: ResponseStore) -> None:
        self._table = table

    async def chain(self, tenant: str, id: str, now: float) -> Sequence[Kept]:
        links = await self._table.chain(tenant, id, now=now)
        return [Kept(link.items, stored.output_of(link.body)) for link in links]

    def put(self, ask: Ask, finished: bytes, items: bytes, wishes: Wishes) -> None:
        name = jsonx.decode(finished, stored.Named).id
        self._table.put(
            ask.caller.tenant,
            name,
            model=ask.model,
            body=finished,
            items=items,
            previous_id=wishes.previous_response_id,
            now=time.time(),
        )


def store_of(daemon: Daemon) -> stored.Store | None:
    """The store, None when `store-responses` is off."""
    return None if daemon.store is None else LedgerStore(daemon.store)
