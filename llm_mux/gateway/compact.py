"""`POST /v1/responses/compact` on every target: the provider's own where it has one, else a summary by the model."""

from __future__ import annotations

from dataclasses import replace

from llm_mux.errors import MuxError
from llm_mux.gateway.ask import Answer, Ask, Whole, error_answer
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.exchange import Exchange
from llm_mux.translators import registry
from llm_mux.translators.base import Hints


async def serve(gateway: Gateway, ask: Ask) -> Answer:
    """The compaction of a conversation. The summary is asked for as an ordinary request, so it is routed and booked."""
    from llm_mux.translators.openai_responses import compaction

    protocol = registry.get("openai_responses")
    try:
        body = compaction.compact_request(ask.body)
    except MuxError as error:
        return error_answer(error, protocol, ask.request_id, {"X-Request-ID": ask.request_id})
    inner = replace(ask, body=body, hints=Hints(model=ask.model, stream=False, headers=ask.headers))
    answer = await Exchange(gateway, inner).serve()
    if not isinstance(answer, Whole) or answer.status != 200:
        return answer
    return replace(answer, body=compaction.compact_response(answer.body, ask.body))
