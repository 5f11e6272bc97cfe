"""The way that the stream of one attempt goes: spliced or translated, with what each needs to know of the request.

Rule: a way is made before the answer comes and keeps nothing of the request that is large. While a model thinks what
was said is kept as the client sent it and as it was sent on (it may have to be sent again), while it answers once at
the most.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from llm_mux import ir
from llm_mux.gateway import complete, plan, relay
from llm_mux.gateway.ask import Ask
from llm_mux.gateway.seals import Seals, Watcher
from llm_mux.translators import estimate
from llm_mux.translators.base import StreamEncoder
from llm_mux.wire import eventstream

STRIPPING = frozenset({"openai_chat", "ollama"})
"""The formats whose clients send a conversation back without its seals."""

Decoded = Callable[[], ir.Request]
"""The canonical form of the request, read again where it is not there any more."""


def way(ask: Ask, chosen: plan.Plan, seals: Seals, decoded: Decoded) -> relay.Way:
    """The way that a plan's answer goes to its client."""
    protocol = ask.protocol
    watched = not chosen.spliced or protocol.name in STRIPPING
    record = relay.Record(Watcher(seals, ask.caller.tenant) if watched else None)
    if not chosen.spliced:
        return translating(ask, chosen, record, decoded)
    names = None
    if chosen.served != ask.model:
        names = (msgspec.json.encode(chosen.served), msgspec.json.encode(ask.model))
    edit = None
    if names is not None or chosen.hide_usage or protocol.stream_type == eventstream.MEDIA_TYPE:
        edit = relay.Edit(protocol, hide_usage=chosen.hide_usage, names=names)
    decoder = chosen.upstream.stream_decoder(chosen.target)
    return relay.Splice(protocol, decoder, partial(_bare_encoder, ask), record, edit)


def _bare_encoder(ask: Ask) -> StreamEncoder:
    """For what is not the provider's own in a stream that goes through."""
    protocol = ask.protocol
    return protocol.stream_encoder(ir.Request(ask.model, (), protocol=protocol.name, stream=True))


def translating(ask: Ask, chosen: plan.Plan, record: relay.Record, decoded: Decoded) -> relay.Translate:
    """The way of a plan's answer in another format than the client's."""
    request = chosen.request or decoded()
    return relay.Translate(
        chosen.upstream.stream_decoder(chosen.target),
        ask.protocol.stream_encoder(request),
        names=chosen.names,
        stops=chosen.stops,
        most=chosen.max_tokens,
        choices=request.sampling.n or 1,
        record=record,
        stamp=partial(_stamped, ask),
        complete=complete.Completion(complete.taken_ids(request), ask.seed, partial(estimated, decoded)),
    )


def estimated(decoded: Decoded, chars: int) -> ir.Usage:
    """The usage of an answer of so many characters whose provider told none."""
    return ir.Usage(input=estimate.prompt(decoded()), output=estimate.output(chars), estimated=True)


def _stamped(ask: Ask, start: ir.Start) -> ir.Start:
    return msgspec.structs.replace(
        start, id=start.id or ask.made_id(), model=ask.model, created=start.created or int(ask.time)
    )
