"""A small whole request beside the exchanges: token counts and embeddings are asked for like this."""

from __future__ import annotations

from llm_mux.gateway.ask import Ask
from llm_mux.gateway.calls import send
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.plan import headers_for, url_for
from llm_mux.gateway.refusal import notice_quota, refusal
from llm_mux.gateway.unwrapped import opened
from llm_mux.gateway.upstream import Call
from llm_mux.providers.base import Endpoint
from llm_mux.routing.accounts import Account
from llm_mux.translators import registry
from llm_mux.translators.base import Encoded


async def asked(
    gateway: Gateway, ask: Ask, account: Account, endpoint: Endpoint, model: str, encoded: Encoded
) -> bytes:
    """The body of a good answer. Raises MuxError for everything else."""
    return await gateway.credentials.using(account, lambda: _once(gateway, ask, account, endpoint, model, encoded))


async def _once(
    gateway: Gateway, ask: Ask, account: Account, endpoint: Endpoint, model: str, encoded: Encoded
) -> bytes:
    body, headers = endpoint.sent(encoded.body, model, headers_for(ask, account, endpoint, encoded.headers))
    call = Call(
        url=url_for(account, endpoint, model, stream=False),
        headers=headers,
        body=body,
        proxy=account.proxy_url,
        place=account.name,
        timeouts=gateway.timeouts_for(account),
    )
    reply = await send(gateway.upstream, account, call, ask.watch)
    if reply.status >= 300:
        raise await refusal(account, model, registry.get(endpoint.translator), reply)
    notice_quota(account, model, reply)
    try:
        return await opened(reply, endpoint).read()
    finally:
        reply.close()
