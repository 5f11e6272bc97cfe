"""The exchanges of the last while over the management API: listed, one by one, and live as server-sent events.

Rule: what happens within a tenth of a second is one write to whoever watches, so that watching costs little.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from llm_mux import log
from llm_mux.errors import Kind, MuxError
from llm_mux.routing.accounts import without_secrets
from llm_mux.server import together
from llm_mux.server.management.endpoint import Call, Endpoint, Switch
from llm_mux.server.recent import Happening

_BEAT_S = 15.0
_GATHER_S = 0.1
_MOST_NAME = 200
_OWN_WORDS = frozenset({"timestamp", "level", "event", "protocol", "path", "error", "stop"})
_EVENTS = "text/event-stream"
_BEAT = b": beat\n\n"


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
    """What happens in exchanges, until the reader leaves, its session or the daemon ends. An exchange that ended is an
    event without a name, its line; `begun`, `failed` (a target), `first` (content) and `over` have one."""
    response = web.StreamResponse(headers={"Content-Type": _EVENTS, "Cache-Control": "no-store"})
    async with call.daemon.parts.recent.watched() as queue, together.relayed(call.daemon):
        await response.prepare(call.request)
        await response.write(b": live\n\n")
        while True:
            found = await _gathered(queue)
            if call.session is not None and call.session.ended:
                break
            happened = [each for each in found if each is not None]
            await response.write(b"".join([_event(each) for each in happened]) if found else _BEAT)
            if len(happened) < len(found):
                break
    await response.write_eof()
    return response


async def _gathered(queue: asyncio.Queue[Happening | None]) -> list[Happening | None]:
    """What happened, from the first of it on for a moment; nothing, when for long nothing did."""
    try:
        async with asyncio.timeout(_BEAT_S):
            first = await queue.get()
    except TimeoutError:
        return []
    if first is not None:
        await asyncio.sleep(_GATHER_S)
    return [first, *(queue.get_nowait() for _ in range(queue.qsize()))]


def _event(happening: Happening) -> bytes:
    name, number, facts = happening
    if isinstance(facts, Struct):
        data = msgspec.json.encode({"seq": number, **_clean(msgspec.structs.asdict(facts))})
        return b"id: %d\ndata: %b\n\n" % (number, data)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(_clean(facts)))


def _clean(facts: Mapping[str, Any]) -> dict[str, Any]:
    """`log.redact`, which takes longer than all the rest, for what others have named and for each name once."""
    return {name: value if name in _OWN_WORDS else _cleaned(value) for name, value in facts.items()}


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _masked(value) if len(value) <= _MOST_NAME else log.redact_text(value)
    return log.redact(value) if value and not isinstance(value, int | float) else value


@lru_cache(maxsize=4096)
def _masked(name: str) -> str:
    return log.redact_text(name)


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
        handle=_live,
        media=_EVENTS,
    ),
    Endpoint(
        method="GET",
        path="/requests/{id}",
        summary="One exchange, with what was said where `capture` is on",
        handle=_one,
        answer=One,
        errors=(404,),
    ),
)
