"""The ledger's responses as the gateway's store."""

from __future__ import annotations

import time
from collections.abc import Sequence

from msgspec import structs

from llm_mux.errors import bad_request
from llm_mux.gateway import stored
from llm_mux.gateway.ask import Ask
from llm_mux.gateway.stored import Kept, Wishes
from llm_mux.ledger.response_table import Stored
from llm_mux.ledger.responses import ResponseStore
from llm_mux.server.serving import Daemon
from llm_mux.translators.openai_responses import background
from llm_mux.wire import jsonx

_SILENT_S = 60.0
"""After so long without a word a response that says it runs does not."""


async def current(table: ResponseStore, tenant: str, id: str, now: float) -> Stored | None:
    """A stored response as it is now. One that says it runs may do so in another process, which says so again and
    again; once nobody does, it was broken off."""
    found = await table.get(tenant, id, now=now)
    if found is None or not background.running(found.body) or (table.shared and now - found.created < _SILENT_S):
        return found
    return structs.replace(found, body=background.interrupted(found.body))


class LedgerStore:
    """The gateway's store of responses over the ledger's."""

    def __init__(self, table: ResponseStore) -> None:
        self._table = table

    async def chain(self, tenant: str, id: str, now: float) -> Sequence[Kept]:
        links = await self._table.chain(tenant, id, now=now)
        if links and background.running(links[-1].body):
            message = f"Response '{id}' is not finished; go on from it when it is."
            raise bad_request(message, param="previous_response_id")
        return [Kept(link.items, stored.output_of(link.body)) for link in links]

    @property
    def shared(self) -> bool:
        return self._table.shared

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
