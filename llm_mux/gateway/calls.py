"""Sending a call for an account: signed, where its provider wants that."""

from __future__ import annotations

from dataclasses import replace

from llm_mux.gateway.upstream import Call, Reply, Upstream
from llm_mux.routing.accounts import Account


async def send(upstream: Upstream, account: Account, call: Call) -> Reply:
    """The head of the answer. Raises what `Upstream.send` and the signer raise."""
    if account.sign is not None:
        call = replace(call, headers=await account.sign(call.method, call.url, call.headers, call.body))
    return await upstream.send(call)
