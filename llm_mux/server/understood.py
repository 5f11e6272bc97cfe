"""What aiohttp's parser lets pass of HTTP/1.1 and another server may understand in another way: refused, and the
connection ends with it (RFC 9112, 3.2.2 and 6.1; RFC 9110, 7.2). `server/heads.py` lets none of it into the lane."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from llm_mux.errors import bad_request
from llm_mux.server.aiohttp_end import told
from llm_mux.server.answers import protocol_of
from llm_mux.server.heads import HOST
from llm_mux.server.serving import request_id


@web.middleware
async def understood(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Hands on what can be understood in one way only."""
    wrong, status = _ambiguity(request), 400
    if wrong is None:
        codings = request.headers.getall("Transfer-Encoding", ())
        if not codings or (len(codings) == 1 and codings[0].lower() == "chunked"):
            return await handler(request)
        wrong, status = "This Transfer-Encoding is not known; use chunked, or a Content-Length.", 501
    response = told(bad_request(wrong), protocol_of(request) or "openai_chat", request_id(request))
    response.set_status(status)
    response.force_close()
    return response


def _ambiguity(request: web.Request) -> str | None:
    """What is wrong about where a request goes to."""
    host, target = request.headers.get("Host", ""), request.raw_path
    if HOST.fullmatch(host) is None:
        return "The Host of this request is none."
    if target[:1] in "/*" or request.method == "CONNECT":
        return None
    with contextlib.suppress(ValueError):
        if urlsplit(target).netloc.lower() == host.lower():
            return None
    return "The Host of this request and the address in its first line are not the same."
