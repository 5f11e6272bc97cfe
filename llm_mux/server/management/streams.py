"""Server-sent events over the management API: the frame of a stream that lasts until somebody has enough of it.

Rule: a stream ends with its reader, its session or the daemon, and holds none of them up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from llm_mux.server.management.endpoint import HEADERS, Call
from llm_mux.server.serving import request_id

BEAT_S = 15.0
EVENTS = "text/event-stream"
_BEAT = b": beat\n\n"


async def streamed(call: Call, next_events: Callable[[], Awaitable[bytes | None]]) -> web.StreamResponse:
    """What `next_events` gives, as it gives it; None: the daemon ends. It may be called off at any moment, and what
    takes longer than a beat is bridged by a comment."""
    named = {"X-Request-ID": request_id(call.request), "Content-Type": EVENTS}
    response = web.StreamResponse(headers={**HEADERS, **named})
    await response.prepare(call.request)
    if call.request.method == "HEAD":
        return response
    await response.write(b": live\n\n")
    while True:
        try:
            async with asyncio.timeout(BEAT_S):
                events = await next_events()
        except TimeoutError:
            events = _BEAT
        if events is None or (call.session is not None and call.session.ended):
            break
        await response.write(events)
    await response.write_eof()
    return response
