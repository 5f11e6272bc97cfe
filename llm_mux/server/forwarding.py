"""Requests that one worker answers for all.

Rule: management, health and metrics are answered by worker 0, whoever was asked, so that a daemon looks like one. While
it is started again, what is passed on waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import ClientError, ClientTimeout, web

from llm_mux.errors import Kind, MuxError
from llm_mux.server.answers import error_body
from llm_mux.server.peers import PEER, PEERS, Peers, address_of, by_the_door
from llm_mux.server.serving import request_id

_PASSED_ON_S = 60.0
_OF_ONE_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"})


async def pass_on(peers: Peers, request: web.Request) -> web.StreamResponse:
    """What worker 0 answers to a request."""
    gone = frozenset({"content-encoding", *_OF_ONE_HOP})
    headers = [(k, v) for k, v in request.headers.items() if k.lower() not in gone and k.lower() != PEER.lower()]
    headers.append((PEER, address_of(request)))
    body = await request.read()
    response: web.StreamResponse | None = None
    try:
        async with peers.session(0).request(
            request.method,
            f"http://llm-mux{request.raw_path}",
            headers=headers,
            data=body or None,
            allow_redirects=False,
            timeout=ClientTimeout(total=None, sock_read=_PASSED_ON_S),
        ) as answer:
            kept = [(k, v) for k, v in answer.headers.items() if k.lower() not in _OF_ONE_HOP]
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
    except (ClientError, TimeoutError):
        if response is None:
            error = MuxError(Kind.NO_TARGET, "The worker that answers this is being started; ask again.")
            return web.json_response(
                error_body(error, 503), status=503, headers={"Retry-After": "1", "X-Request-ID": request_id(request)}
            )
        response.force_close()
    return response


def for_the_leader(path: str) -> bool:
    """Whether worker 0 answers this for all."""
    first, _, _ = path.removeprefix("/").partition("/")
    return first in ("health", "metrics") or path.startswith("/v0/management/")


@web.middleware
async def to_the_leader(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """On the way to the routes of a worker that does not lead."""
    if for_the_leader(request.path) and not by_the_door(request):
        return await pass_on(request.app[PEERS], request)
    return await handler(request)
