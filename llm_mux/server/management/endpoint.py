"""What a route of the management API is: a record that is the route, its checks and its part of the OpenAPI document.

Rule: a query and a body are whole or refused, by their Structs alone; unknown fields are refused. An answer is a value
of the type that the record names. Nothing happens before `Access.admit` has let the request in.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct

from llm_mux import log
from llm_mux.auth.sealed import StoreError
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.server.aiohttp_end import check_encoding, last, undecodable
from llm_mux.server.answers import Handler, methods_of, not_so, plainly
from llm_mux.server.management.sessions import Session
from llm_mux.server.peers import address_of
from llm_mux.server.reload import RELOADER
from llm_mux.server.serving import DAEMON, Daemon, request_id
from llm_mux.wire import jsonx

ROOT = "/v0/management"
JSON = "application/json"
_MOST_JSON = 1 << 20
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class Done(Struct, frozen=True):
    """It was done. `message` says what, for a person."""

    message: str


class Switch(Struct, frozen=True, forbid_unknown_fields=True):
    value: bool


class Call(Struct, frozen=True):
    """One admitted request: its checked `query` and `body`, and `at`, what its path names. `session` is None for
    whoever came with the key itself."""

    request: web.Request
    daemon: Daemon
    query: Any
    body: Any
    at: dict[str, str]
    session: Session | None


class Endpoint(Struct, frozen=True, kw_only=True):
    """`path` follows `ROOT`. `more`: what has to be known beside the summary. `body` None: none is read; `bytes`: the
    raw one. `answer` None: `media` from a response that `handle` makes itself. `also`: what else it may answer, as
    text. `errors`: the statuses beside 400, 401, 403, 429 and 500."""

    method: str
    path: str
    summary: str
    handle: Callable[[Call], Awaitable[Any]]
    more: str = ""
    query: type[Struct] = Nothing
    body: Any = None
    body_media: str = JSON
    most: int = _MOST_JSON
    answer: Any = None
    media: str = JSON
    also: str | None = None
    status: int = 200
    errors: tuple[int, ...] = ()


def add_routes(app: web.Application, endpoints: Sequence[Endpoint]) -> None:
    for endpoint in endpoints:
        app.router.add_route(endpoint.method, ROOT + endpoint.path, _route(endpoint))
        if endpoint.method == "GET":
            app.router.add_route("HEAD", ROOT + endpoint.path, _route(endpoint))
    app.router.add_route("*", ROOT + "/{tail:(?s:.*)}", _behind_the_key(_elsewhere))


def _route(endpoint: Endpoint) -> Handler:
    async def answer(request: web.Request, daemon: Daemon, session: Session | None) -> web.StreamResponse:
        return await _answered(endpoint, request, daemon, session)

    return _behind_the_key(answer)


async def _elsewhere(request: web.Request, daemon: Daemon, session: Session | None) -> web.StreamResponse:
    """What has no route, or not with this method."""
    methods = await methods_of(request)
    if not methods:
        message = f"There is no {request.path} here; /docs describes every route."
        raise MuxError(Kind.NOT_FOUND, message, code="unknown_url")
    response = plainly(not_so(request, methods))
    response.headers["Allow"] = ", ".join(methods)
    return response


def _behind_the_key(answer: Callable[[web.Request, Daemon, Session | None], Awaitable[web.StreamResponse]]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        daemon, name = request.app[DAEMON], request_id(request)
        try:
            daemon.guard.check_host(request.headers)
            if not daemon.access.has_key:
                # It may have been made a moment ago, before anybody looked.
                await request.app[RELOADER].catch_up()
            session = daemon.access.admit(address_of(request), request.headers, time.monotonic())
            response = await answer(request, daemon, session)
        except MuxError as error:
            response = plainly(error)
        except StoreError as error:
            response = plainly(MuxError(Kind.NO_TARGET, f"The secret store does not answer: {error}"))
        except Exception:
            log.logger.exception("request.broken", path=request.path)
            response = plainly(MuxError(Kind.INTERNAL, "llm-mux failed on this request; its log has the details."))
        if not response.prepared:
            response.headers.update({**HEADERS, "X-Request-ID": name})
            last(request, response)
        return response

    return handle


async def _answered(
    endpoint: Endpoint, request: web.Request, daemon: Daemon, session: Session | None
) -> web.StreamResponse:
    query = _query(endpoint, request)
    body = await _body(endpoint, request) if endpoint.body is not None else None
    found = await endpoint.handle(Call(request, daemon, query, body, dict(request.match_info), session))
    if isinstance(found, web.StreamResponse):
        return found
    content = msgspec.json.encode(found)
    return web.Response(status=endpoint.status, body=content, content_type=JSON)


def _query(endpoint: Endpoint, request: web.Request) -> Any:
    given = request.query
    twice = next((name for name in given if len(given.getall(name)) > 1), None)
    if twice is not None:
        raise bad_request(f"The parameter `{twice[:40]}` is given twice.", param=twice[:40])
    try:
        return msgspec.convert(dict(given), endpoint.query, strict=False)
    except msgspec.ValidationError as error:
        raise bad_request(f"The query is not valid: {error}") from None


async def _body(endpoint: Endpoint, request: web.Request) -> Any:
    content = await _read(request, endpoint.most)
    if endpoint.body is bytes:
        return content
    try:
        return jsonx.decode(content, endpoint.body)
    except jsonx.Malformed as error:
        raise bad_request(f"The body is not valid: {error}") from None


async def _read(request: web.Request, most: int) -> bytes:
    """The body, never more of it than may be."""
    check_encoding(request)
    pieces, size = [], 0
    try:
        async for piece in request.content.iter_chunked(1 << 16):
            size += len(piece)
            if size > most:
                raise MuxError(Kind.TOO_LARGE, f"The body is larger than {most} bytes.", code="request_too_large")
            pieces.append(piece)
    except web.RequestPayloadError:
        raise undecodable(request) from None
    return b"".join(pieces)
