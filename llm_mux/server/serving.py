"""A model request over HTTP: read, admit, hand to the gateway, write the answer. The same for every protocol."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from aiohttp import web

from llm_mux import __version__, log
from llm_mux.config import Loaded
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.gateway.ask import Answer, Ask, Streaming, Write, error_answer
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.exchange import Exchange
from llm_mux.ledger.responses import ResponseStore
from llm_mux.server.guard import Guard
from llm_mux.server.metrics import Metrics
from llm_mux.server.parts import Parts
from llm_mux.translators.base import Hints, Outline, Translator
from llm_mux.wire import jsonx

_SERVER = f"llm-mux/{__version__}"
_PREFIX = "req_" + os.urandom(6).hex()
_COUNT = itertools.count(1)
_ENCODINGS = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})
_STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_EXPOSED = (
    "X-Request-ID, Retry-After, x-llm-mux-provider, x-llm-mux-account, x-llm-mux-model, x-llm-mux-attempts, "
    "x-llm-mux-dropped, x-llm-mux-count, X-Token-Usage-Input, X-Token-Usage-Output"
)


@dataclass(slots=True)
class Daemon:
    """What every handler needs: the long-lived parts, and what `server/build.py` made of one reading of the
    configuration. `store` is None when `store-responses` is off.

    A new reading replaces all fields between two steps of the event loop. Whoever took one of them before, such as a
    running stream its gateway, keeps it to the end.
    """

    loaded: Loaded
    parts: Parts
    gateway: Gateway
    guard: Guard
    metrics: Metrics
    store: ResponseStore | None
    max_request_size: int

    def become(self, other: Daemon) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))


DAEMON: web.AppKey[Daemon] = web.AppKey("daemon", Daemon)


class Peeked(NamedTuple):
    """What one look at a body finds. `body` is the bytes themselves, mended where they were no JSON."""

    model: str
    stream: bool
    outline: Outline | None
    body: bytes


Serve = Callable[[Gateway, Ask], Awaitable[Answer]]


async def exchange(gateway: Gateway, ask: Ask) -> Answer:
    return await Exchange(gateway, ask).serve()


def request_id(request: web.Request) -> str:
    """The client's own X-Request-ID when it is sane, else a new one."""
    given = request.headers.get("X-Request-ID")
    if given and len(given) <= 128 and given.isascii() and given.isprintable():
        return given
    return f"{_PREFIX}{next(_COUNT):x}"


async def serve(
    request: web.Request, protocol: Translator, hints: Hints, *, run: Serve = exchange, streams: bool = False
) -> web.StreamResponse:
    """One model request from the first header to the last byte. `streams`: the protocol's default without `stream`."""
    metrics = request.app[DAEMON].metrics
    metrics.active_requests += 1
    try:
        early = _Early(request)
        answer = await _answer(request, protocol, hints, run, streams, early)
        return await respond(request, answer, early.origin, early.response)
    finally:
        metrics.active_requests -= 1


async def _answer(
    request: web.Request, protocol: Translator, hints: Hints, run: Serve, streams: bool, early: _Early
) -> Answer:
    started, now = time.monotonic(), time.time()
    name = request_id(request)
    daemon = request.app[DAEMON]
    try:
        early.origin = daemon.guard.check(request.headers)
        caller = await daemon.guard.caller(
            request.headers, request.rel_url.query.get("key") if request.query_string else None
        )
        body = await read_body(request, daemon.max_request_size)
        model, stream, outline, body = peek(body, hints, streams, protocol.outline)
        ask = Ask(
            protocol=protocol,
            body=body,
            hints=replace(hints, headers=request.headers, stream=stream) if hints.stream is None else hints,
            model=model,
            stream=stream,
            request_id=name,
            headers=request.headers,
            caller=caller,
            time=now,
            started=started,
            begin=early.begin,
            outline=outline,
        )
        return await run(daemon.gateway, ask)
    except MuxError as error:
        log.logger.debug("request.refused", request=name, kind=error.kind.value, path=request.path)
        return error_answer(error, protocol, name, {"X-Request-ID": name})
    except Exception:
        log.logger.exception("request.broken", request=name)
        broken = MuxError(Kind.INTERNAL, f"llm-mux failed on this request; its log has the details under {name}.")
        return error_answer(broken, protocol, name, {"X-Request-ID": name})


async def refuse(request: web.Request, error: MuxError, protocol: Translator) -> web.StreamResponse:
    """An error of a route itself, in the protocol's own shape; strangers are told no more than elsewhere."""
    name = request_id(request)
    origin = None
    try:
        origin = request.app[DAEMON].guard.check(request.headers)
    except MuxError as stranger:
        error = stranger
    return await respond(request, error_answer(error, protocol, name, {"X-Request-ID": name}), origin)


async def read_body(request: web.Request, most: int) -> bytes:
    """The decoded body. Raises MuxError TOO_LARGE, UNSUPPORTED_MEDIA or BAD_REQUEST."""
    encoding = request.headers.get("Content-Encoding", "")
    if encoding and encoding.strip().lower() not in _ENCODINGS:
        raise MuxError(
            Kind.UNSUPPORTED_MEDIA, "This Content-Encoding is not known; use gzip, deflate, br, zstd or none."
        )
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        message = f"The request body is larger than max-request-size ({most} bytes)."
        raise MuxError(Kind.TOO_LARGE, message, code="request_too_large") from None
    except web.RequestPayloadError:
        raise bad_request("The request body could not be decoded; check its Content-Encoding.") from None


def peek(body: bytes, hints: Hints, streams: bool, outline: type[Outline] = Outline) -> Peeked:
    """The model name and whether to stream, from the route where it says so, else from the body."""
    if hints.model is not None and hints.stream is not None:
        return Peeked(hints.model, hints.stream, None, body)
    found, body = _looked_at(body, outline)
    model = hints.model if hints.model is not None else found.model
    if not model:
        raise bad_request("The field `model` is missing.", param="model")
    stream = hints.stream if hints.stream is not None else found.stream
    return Peeked(model, streams if stream is None else stream, found, body)


def _looked_at(body: bytes, outline: type[Outline]) -> tuple[Outline, bytes]:
    """What the protocol's own outline finds, or a bare one of a body that has not its shape."""
    try:
        return jsonx.sound(body, outline)
    except jsonx.Malformed:
        pass
    try:
        return jsonx.sound(body, Outline)
    except jsonx.Malformed as error:
        raise bad_request(f"The request body is not a valid request: {error}") from None


class _Early:
    """A request's stream, should it have to begin before there is an answer; and the Origin that may see it."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.origin: str | None = None
        self.response: web.StreamResponse | None = None

    async def begin(self, headers: dict[str, str], content_type: str) -> Write:
        response = _stream_response(headers, content_type, self.origin)
        await response.prepare(self._request)
        self.response = response
        return response.write


async def respond(
    request: web.Request, answer: Answer, origin: str | None, begun: web.StreamResponse | None = None
) -> web.StreamResponse:
    """Writes an answer; a client that left ends it quietly."""
    if isinstance(answer, Streaming):
        return await _stream(request, answer, origin, begun)
    headers = {**answer.headers, "Server": _SERVER, "Content-Type": answer.content_type}
    if origin is not None:
        headers |= cors(origin)
    return web.Response(status=answer.status, body=answer.body, headers=headers)


def _stream_response(headers: dict[str, str], content_type: str, origin: str | None) -> web.StreamResponse:
    headers = {**headers, **_STREAM_HEADERS, "Server": _SERVER, "Content-Type": content_type}
    if origin is not None:
        headers |= cors(origin)
    return web.StreamResponse(status=200, headers=headers)


async def _stream(
    request: web.Request, answer: Streaming, origin: str | None, begun: web.StreamResponse | None
) -> web.StreamResponse:
    response = begun or _stream_response(answer.headers, answer.content_type, origin)
    metrics = request.app[DAEMON].metrics
    metrics.active_streams += 1
    try:
        try:
            if begun is None:
                await response.prepare(request)
        except ConnectionError:
            # Nobody is there any more; the pump still has to close the upstream and settle.
            await answer.pump(_nowhere)
        await answer.pump(response.write)
        await response.write_eof()
    except ConnectionError:
        pass
    finally:
        metrics.active_streams -= 1
    return response


async def _nowhere(data: bytes) -> None:
    raise ConnectionResetError("the client left")


def cors(origin: str) -> dict[str, str]:
    """What an allowed page may see."""
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED, "Vary": "Origin"}
