"""The exchanges of the last while over the management API: listed, one by one, and live as server-sent events."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from llm_mux.errors import Kind, MuxError
from llm_mux.server.management.endpoint import Call, Endpoint
from llm_mux.server.recent import told

_BEAT_S = 15.0
_EVENTS = "text/event-stream"


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
    """`captured` is None unless `capture` was on; both sides are cut after 128 KiB."""

    lines: list[dict[str, Any]]
    captured: dict[str, Any] | None


async def _list(call: Call) -> Listing:
    recent = call.daemon.parts.recent
    call.daemon.parts.books.flush()
    lines = recent.after(call.query.after, call.query.limit)
    return Listing(lines, recent.last, recent.capturing, call.daemon.metrics.active_requests)


async def _one(call: Call) -> One:
    call.daemon.parts.books.flush()
    lines, captured = call.daemon.parts.recent.of(call.at["id"])
    if not lines and captured is None:
        message = "No exchange of this id is remembered; only the newest ones are."
        raise MuxError(Kind.NOT_FOUND, message, code="request_not_found")
    return One(lines, None if captured is None else captured.shown())


async def _live(call: Call) -> web.StreamResponse:
    """One event for each exchange as it ends, until the reader leaves or the daemon ends."""
    response = web.StreamResponse(headers={"Content-Type": _EVENTS, "Cache-Control": "no-store"})
    async with call.daemon.parts.recent.watched() as queue:
        await response.prepare(call.request)
        await response.write(b": live\n\n")
        while True:
            try:
                async with asyncio.timeout(_BEAT_S):
                    line = await queue.get()
            except TimeoutError:
                if call.session is not None and call.session.ended:
                    break
                await response.write(b": beat\n\n")
                continue
            if line is None:
                break
            await response.write(b"id: %d\ndata: %b\n\n" % (line[0], msgspec.json.encode(told(line))))
    await response.write_eof()
    return response


ENDPOINTS = (
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
        summary="Exchanges as they end, as server-sent events",
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
