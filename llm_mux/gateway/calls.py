"""Sending a call for an account: signed, where its provider wants that."""

from __future__ import annotations

from msgspec import structs

from llm_mux.gateway import observed
from llm_mux.gateway.upstream import Call, Reply, Upstream
from llm_mux.routing.accounts import Account


async def send(upstream: Upstream, account: Account, call: Call, watch: observed.Watch | None = None) -> Reply:
    """The head of the answer. Raises what `Upstream.send` and the signer raise. `watch` looks on."""
    if account.sign is not None:
        call = structs.replace(call, headers=await account.sign(call.method, call.url, call.headers, call.body))
    if watch is not None:
        return await observed.send(upstream, account.name, call, watch)
    return await upstream.send(call)
