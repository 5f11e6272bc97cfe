"""Token counts: the upstream's own where it has them, else an honest estimate, and which of them it was."""

from __future__ import annotations

from collections.abc import Callable

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.gateway.aside import asked
from llm_mux.gateway.ask import Answer, Ask, Whole, error_answer
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.plan import operation_endpoint
from llm_mux.routing.select import Candidate
from llm_mux.translators import estimate, registry
from llm_mux.translators.base import Encoded, Target


async def serve(gateway: Gateway, ask: Ask) -> Answer:
    """The count for a request in the client's own shape, with `x-llm-mux-count: native|estimate`."""
    headers = {"X-Request-ID": ask.request_id}
    counter = ask.protocol.counter
    if counter is None:
        raise LookupError(f"{ask.protocol.name} has no token counts")
    try:
        request = ask.decoded()
        candidates = await gateway.candidates(ask)
    except MuxError as error:
        return error_answer(error, ask.protocol, ask.request_id, headers)
    for candidate in candidates[:1]:
        native = await _native(gateway, ask, candidate, request)
        if native is not None:
            return Whole(200, counter.encode_response(native, request), {**headers, "x-llm-mux-count": "native"})
    tokens = estimate.prompt(request)
    return Whole(200, counter.encode_response(tokens, request), {**headers, "x-llm-mux-count": "estimate"})


async def _native(gateway: Gateway, ask: Ask, candidate: Candidate, request: ir.Request) -> int | None:
    """The provider's own count, None when it has none or cannot give it now."""
    endpoint = operation_endpoint(ask, candidate, "count")
    translator = registry.get(endpoint.translator) if endpoint is not None else None
    if endpoint is None or translator is None or translator.counter is None:
        return None
    account = candidate.account
    target = Target(candidate.route.model, account.provider.name, endpoint.quirks)
    encode = translator.counter.encode_request
    try:
        encoded = await _encoded(gateway, ask, request, lambda each: encode(each, target))
        body = await asked(gateway, ask, account, endpoint, target.model, encoded)
        return translator.counter.decode_response(body)
    except MuxError:
        return None


async def _encoded(gateway: Gateway, ask: Ask, request: ir.Request, encode: Callable[[ir.Request], Encoded]) -> Encoded:
    """The question, with what it names by URL inside it where the provider takes only bytes."""
    try:
        return encode(request)
    except MuxError as error:
        if "by_url" not in error.facts:
            raise
        return await gateway.downloads.again(error, request, ask.caller.tenant, encode)
