"""Embeddings: every client format to every provider that embeds, up the same ladder."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.aside import asked
from llm_mux.gateway.ask import Answer, Ask, Whole, error_answer
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.ladder import Ladder
from llm_mux.gateway.outcome import Outcome
from llm_mux.gateway.plan import operation_endpoint
from llm_mux.routing.select import Candidate
from llm_mux.translators import registry
from llm_mux.translators.base import Embedder, Target, Translator

_KINDS = {Kind.UPSTREAM_MODEL: Kind.MODEL_NOT_FOUND}


async def serve(gateway: Gateway, ask: Ask) -> Answer:
    """The vectors in the client's own shape."""
    outcome = Outcome()
    try:
        embedder = _embedder(ask.protocol)
        request = ask.read(embedder.decode_request)
        response = await _climbed(gateway, ask, request, outcome)
    except MuxError as error:
        answer = error_answer(error, ask.protocol, ask.request_id, _headers(ask, outcome))
        outcome.status, outcome.error = answer.status, error
        gateway.settle(ask, outcome)
        return answer
    except asyncio.CancelledError:
        outcome.status, outcome.error = 499, gateway.drain.cause()
        gateway.settle(ask, outcome)
        raise
    except Exception:
        outcome.status, outcome.error = 500, MuxError(Kind.INTERNAL, "llm-mux failed on this request.")
        gateway.settle(ask, outcome)
        raise
    outcome.usage = ir.Usage(input=response.tokens)
    gateway.settle(ask, outcome)
    named = ir.EmbedResponse(ask.model, response.vectors, response.tokens)
    return Whole(200, embedder.encode_response(named, request), _headers(ask, outcome))


def _embedder(translator: Translator) -> Embedder:
    if translator.embedder is None:
        raise MuxError(Kind.NOT_FOUND, f"{translator.name} has no embeddings.")
    return translator.embedder


async def _climbed(gateway: Gateway, ask: Ask, request: ir.EmbedRequest, outcome: Outcome) -> ir.EmbedResponse:
    async def attempt(candidate: Candidate) -> ir.EmbedResponse:
        outcome.account, outcome.model = candidate.account, candidate.route.model
        try:
            return await _once(gateway, ask, candidate, request)
        except MuxError as error:
            # No embeddings of a model says nothing of its text.
            raise replace(error, kind=_KINDS.get(error.kind, error.kind)) from error

    try:
        return await Ladder(gateway, ask, outcome, attempt).climb()
    finally:
        outcome.release()


async def _once(gateway: Gateway, ask: Ask, candidate: Candidate, request: ir.EmbedRequest) -> ir.EmbedResponse:
    account = candidate.account
    endpoint = operation_endpoint(ask, candidate, "embed")
    if endpoint is None:
        raise MuxError(Kind.NO_TARGET, f"{account.provider.title} offers no embeddings for `{candidate.route.model}`.")
    translator = registry.get(endpoint.translator)
    embedder = _embedder(translator)
    target = Target(candidate.route.model, account.provider.name, endpoint.quirks)
    vectors: list[tuple[float, ...]] = []
    tokens = 0
    for part in _parts(request, embedder.at_once(target.model) if embedder.at_once is not None else None):
        encoded = embedder.encode_request(part, target)
        body = await asked(gateway, ask, account, endpoint, target.model, encoded)
        answer = embedder.decode_response(body, target)
        vectors += answer.vectors
        tokens += answer.tokens
    return ir.EmbedResponse(target.model, tuple(vectors), tokens)


def _parts(request: ir.EmbedRequest, most: int | None) -> list[ir.EmbedRequest]:
    """The request in as many as it takes where one call takes only `most` texts."""
    if most is None or len(request.inputs) <= most:
        return [request]
    starts = range(0, len(request.inputs), most)
    return [msgspec.structs.replace(request, inputs=request.inputs[at : at + most]) for at in starts]


def _headers(ask: Ask, outcome: Outcome) -> dict[str, str]:
    headers = {"X-Request-ID": ask.request_id, "x-llm-mux-attempts": str(outcome.attempts)}
    if outcome.account is not None:
        headers["x-llm-mux-provider"] = outcome.account.provider.name
        headers["x-llm-mux-account"] = outcome.account.label
        headers["x-llm-mux-model"] = outcome.model or ""
        if served := outcome.account.provider.served_header:
            headers[served] = outcome.model or ""
    return headers
