"""Model requests through aiohttp's application: every method, coding and oddity of HTTP that it knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from aiohttp import web

from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.gateway.ask import Answer, Whole, Write, error_answer
from llm_mux.server.flowing import Flowing
from llm_mux.server.serving import DAEMON, SERVER, ModelRoute, cors, request_id, serve, write
from llm_mux.translators import registry

Response = TypeVar("Response", bound=web.StreamResponse)
_ENCODINGS = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})


class _Request:
    """An aiohttp request as an `Arrival`. `response` is what the application is to give back."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.path = request.path
        self.headers: Mapping[str, str] = request.headers
        self.query_key = request.query.get("key") if request.query_string else None
        self.memo: dict[object, Any] = {}
        self.response: web.StreamResponse | None = None

    async def body(self, most: int) -> bytes:
        return await read_body(self._request, most)

    async def whole(self, answer: Whole, headers: dict[str, str]) -> None:
        self._keep()
        self.response = self._last(web.Response(status=answer.status, body=answer.body, headers=headers))

    async def begin(self, headers: dict[str, str]) -> Write:
        self.response = response = self._last(web.StreamResponse(status=200, headers=headers))
        await response.prepare(self._request)
        return response.write

    def _last(self, response: Response) -> Response:
        return last(self._request, response)

    def carry(self, flowing: Flowing) -> bool:
        return False

    def _keep(self) -> None:
        """The books have what is answered, before the client does."""
        self._request.app[DAEMON].parts.books.keep()

    async def end(self) -> None:
        self._keep()
        if self.response is not None:
            await self.response.write_eof()


def served(route: ModelRoute) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler of a model route."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await serve_route(request, route)

    handle.__doc__ = f"A model request in the form of {route.protocol} ({route.hints.operation})."
    handle.route = route  # type: ignore[attr-defined]  # for the OpenAPI document
    return handle


async def serve_route(request: web.Request, route: ModelRoute) -> web.StreamResponse:
    """One model request from the first header to the last byte."""
    arrival = _Request(request)
    await serve(request.app[DAEMON], arrival, route)
    return arrival.response or web.Response(status=500)


async def streamed(request: web.Request, answer: Answer) -> web.StreamResponse:
    """A stream that answers no model request."""
    arrival = _Request(request)
    await write(request.app[DAEMON], arrival, answer)
    return arrival.response or web.Response(status=500)


async def read_body(request: web.Request, most: int) -> bytes:
    """The decoded body. Raises MuxError TOO_LARGE, UNSUPPORTED_MEDIA or BAD_REQUEST."""
    check_encoding(request)
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        message = f"The request body is larger than max-request-size ({most} bytes)."
        raise MuxError(Kind.TOO_LARGE, message, code="request_too_large") from None
    except web.RequestPayloadError:
        raise undecodable(request) from None


def last(request: web.Request, response: Response) -> Response:
    """Ends the connection with this answer when the daemon is leaving, or the request cannot be made out to its end."""
    if request.app[DAEMON].parts.drain.leaving or request.content.exception() is not None:
        response.force_close()
    return response


def check_encoding(request: web.Request) -> None:
    """Raises MuxError UNSUPPORTED_MEDIA for a coding of the body that nobody here knows."""
    encoding = request.headers.get("Content-Encoding", "")
    if encoding and encoding.strip().lower() not in _ENCODINGS:
        raise MuxError(
            Kind.UNSUPPORTED_MEDIA, "This Content-Encoding is not known; use gzip, deflate, br, zstd or none."
        )


def undecodable(request: web.Request) -> MuxError:
    """A body that is not what it says. Its answer is the connection's `last`."""
    request.content.feed_eof()  # or aiohttp would look for its end, and fail
    return bad_request("The request body could not be decoded; check its Content-Encoding.")


async def refuse(request: web.Request, error: MuxError, protocol: str) -> web.StreamResponse:
    """An error of a route itself, in the protocol's own shape; strangers are told no more than elsewhere."""
    name = request_id(request)
    origin = None
    try:
        origin = request.app[DAEMON].guard.check(request.headers)
    except MuxError as stranger:
        error = stranger
    return last(request, told(error, protocol, name, origin))


def told(error: MuxError, protocol: str, name: str, origin: str | None = None) -> web.Response:
    """A failure in the protocol's own shape. `name` is the request's id."""
    answer = error_answer(error, registry.get(protocol), name, {"X-Request-ID": name})
    headers = {**answer.headers, "Server": SERVER, "Content-Type": answer.content_type}
    if origin is not None:
        headers |= cors(origin)
    return web.Response(status=answer.status, body=answer.body, headers=headers)
