"""The exchanges of the last while over the management API: listed, one by one, and live as server-sent events.

Rule: what happens within a moment is one event, written down once for all who watch, so that watching costs little.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from llm_mux import log
from llm_mux.errors import Kind, MuxError
from llm_mux.routing.accounts import without_secrets
from llm_mux.server import together
from llm_mux.server.ended import Line
from llm_mux.server.management.endpoint import Call, Endpoint, Switch
from llm_mux.server.management.streams import EVENTS, streamed
from llm_mux.server.recent import Happening, Moment

_OF_A_LINE = attrgetter("model", "served", "provider", "account", "client")
_ENCODER = msgspec.json.Encoder(enc_hook=str)


class Which(Struct, frozen=True, forbid_unknown_fields=True):
    """`after` is the `seq` of the last line that is known."""

    after: Annotated[int, Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class Listing(Struct, frozen=True):
    """Finished exchanges, oldest first. `capturing`: whether what clients send and get is kept."""

    requests: list[dict[str, Any]]
    last: int
    capturing: bool
    active: int


class One(Struct, frozen=True):
    """`captured` is None unless `capture` was on: `request` and `answer` as the client sent and got them, and
    `upstream` with the same of every provider that was asked. Each is cut after 128 KiB."""

    lines: list[dict[str, Any]]
    captured: dict[str, Any] | None


async def _list(call: Call) -> Listing:
    recent = call.daemon.parts.recent
    call.daemon.parts.books.flush()
    lines = recent.after(call.query.after, call.query.limit)
    whole = await together.counted(call.daemon)
    return Listing(lines, recent.last, recent.capturing, whole.active_requests)


async def _one(call: Call) -> One:
    call.daemon.parts.books.flush()
    lines, here = call.daemon.parts.recent.of(call.at["id"])
    accounts = call.daemon.gateway.accounts
    captured: dict[str, Any] | None
    if here is not None:
        captured = here.shown(lambda text: without_secrets(accounts, text))
    else:
        captured = await together.captured(call.daemon, call.at["id"])
    if not lines and captured is None:
        message = "No exchange of this id is remembered; only the newest ones are."
        raise MuxError(Kind.NOT_FOUND, message, code="request_not_found")
    return One(lines, captured)


async def _live(call: Call) -> web.StreamResponse:
    """What happens in exchanges. Each event is a list of what happened within a moment: of exchanges that ended their
    lines (`exchange.done`), of others that they have `begun`, `failed` at a target, have their `first` content, or are
    `over` without a line as yet."""
    async with call.daemon.parts.recent.watched() as queue, together.relayed(call.daemon):

        async def newer() -> bytes | None:
            moment = await queue.get()
            return None if moment is None else written(moment)

        return await streamed(call, newer)


def written(moment: Moment) -> bytes:
    """One event, made once."""
    if moment.written is None:
        found = b"[%b]" % b",".join([_told(each) for each in moment.happened])
        # What looks like a secret is rarely there, and looking for it in each name once takes next to no time.
        names = {name for each in moment.happened for name in _named(each)}
        if log.may_hold_secrets("\n".join(names)):
            found = _ENCODER.encode(log.redact(msgspec.json.decode(found)))
        moment.written = b"id: %d\ndata: %b\n\n" % (moment.happened[-1].number, found)
    return moment.written


def _told(happening: Happening) -> bytes:
    """`event` says what it is; the line of an exchange has `seq` too."""
    name, number, request, facts = happening
    if isinstance(facts, Struct):
        return b'{"seq":%d,%b' % (number, _ENCODER.encode(facts)[1:])
    return _ENCODER.encode({"event": name, "request": request, **facts})


def _named(happening: Happening) -> Iterator[str]:
    """What others have named in it, and what was said by them."""
    facts = happening.facts
    yield happening.request
    if isinstance(facts, Line):
        yield from (name for name in _OF_A_LINE(facts) if name)
        yield from facts.dropped
        yield from facts.failed
    elif isinstance(facts, Mapping):
        yield from (value for value in facts.values() if isinstance(value, str))
    else:
        yield str(facts)


async def _capture(call: Call) -> Switch:
    return Switch(call.daemon.parts.recent.capturing)


async def _set_capture(call: Call) -> Switch:
    call.daemon.parts.recent.capturing = call.body.value
    await together.tell(call.daemon, capture=call.body.value)
    log.logger.info("capture.switched", value=call.body.value)
    return await _capture(call)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/capture",
        summary="Whether what is said in exchanges is kept",
        more="What is kept is in memory: that of the last 50 exchanges.",
        handle=_capture,
        answer=Switch,
    ),
    Endpoint(
        method="PUT",
        path="/capture",
        summary="Keep what is said in exchanges, or no longer, until the configuration is read again",
        handle=_set_capture,
        body=Switch,
        answer=Switch,
    ),
    Endpoint(
        method="GET",
        path="/requests",
        summary="The newest finished exchanges",
        handle=_list,
        query=Which,
        answer=Listing,
    ),
    Endpoint(
        method="GET",
        path="/requests/live",
        summary="What happens in exchanges and how they end, as server-sent events",
        more="Each event is a list of what happened within 0.2 s, and its name says what: `begun`, `failed` (a target "
        "that did not do), `first` (content, with its time), `over`, and `exchange.done`, the line of an exchange that "
        "ended, with its `seq`. Of an exchange that ended within the 0.2 s only the line is told.",
        handle=_live,
        media=EVENTS,
    ),
    Endpoint(
        method="GET",
        path="/requests/{id}",
        summary="One exchange, with what was said where `capture` is on",
        more="With `capture` the first 128 KiB that its client sent and got, and the same of every provider that "
        "was asked.",
        handle=_one,
        answer=One,
        errors=(404,),
    ),
)
