"""A small whole request beside the exchanges: token counts and embeddings are asked for like this."""

from __future__ import annotations

from llm_mux.gateway.ask import Ask
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.plan import headers_for, url_for, whose_fault
from llm_mux.gateway.upstream import Call
from llm_mux.providers.base import Endpoint
from llm_mux.routing.accounts import Account
from llm_mux.translators import registry
from llm_mux.translators.base import Encoded


async def asked(
    gateway: Gateway, ask: Ask, account: Account, endpoint: Endpoint, model: str, encoded: Encoded
) -> bytes:
    """The body of a good answer. Raises MuxError for everything else."""
    call = Call(
        url=url_for(account, endpoint, model, stream=False),
        headers=headers_for(ask, account, endpoint, encoded.headers),
        body=encoded.body,
        proxy=account.proxy_url,
        place=account.name,
        timeouts=gateway.timeouts_for(account),
    )
    reply = await gateway.upstream.send(call)
    try:
        body = await reply.read()
    finally:
        reply.close()
    if reply.status >= 300:
        headers = reply.lowered
        error = registry.get(endpoint.translator).decode_error(reply.status, headers, body)
        raise whose_fault(account, account.provider.refined(error, headers))
    return body
