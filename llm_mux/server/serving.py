"""A model request over HTTP: read, admit, hand to the gateway, write the answer. The same for every protocol."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiohttp import web
from msgspec import Struct

from llm_mux import __version__, log
from llm_mux.config import Loaded
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.gateway.ahead import Ahead
from llm_mux.gateway.ask import Answer, Ask, Caller, Streaming, Whole, Write, error_answer
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.drain import told
from llm_mux.gateway.exchange import Exchange
from llm_mux.gateway.outcome import Outcome
from llm_mux.ledger.responses import ResponseStore
from llm_mux.server.admission import Admission, Entry
from llm_mux.server.arrival import Arrival
from llm_mux.server.flowing import Flowing
from llm_mux.server.guard import Guard, Passed
from llm_mux.server.management.access import Access
from llm_mux.server.metrics import Metrics
from llm_mux.server.parts import Parts
from llm_mux.server.recent import Onlooker
from llm_mux.translators import registry
from llm_mux.translators.base import Hints, Outline
from llm_mux.translators.memory import LEAST
from llm_mux.translators.outlined import look
from llm_mux.wire import jsonx

SERVER = f"llm-mux/{__version__}"
_PREFIX = "req_" + os.urandom(6).hex()
_COUNT = itertools.count(1)
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_EXPOSED = (
    "X-Request-ID, Retry-After, x-llm-mux-provider, x-llm-mux-account, x-llm-mux-model, x-llm-mux-attempts, "
    "x-llm-mux-dropped, x-llm-mux-count, X-Bedrock-Model, X-Token-Usage-Input, X-Token-Usage-Output, "
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"
)


class Daemon(Struct):
    """What every handler needs: the long-lived parts, and what `server/build.py` made of one reading of the
    configuration. `store` is None when `store-responses` is off.

    A new reading replaces all fields between two steps of the event loop. Whoever took one of them before, such as a
    running stream its gateway, keeps it to the end.
    """

    loaded: Loaded
    parts: Parts
    gateway: Gateway
    guard: Guard
    admission: Admission
    access: Access
    metrics: Metrics
    store: ResponseStore | None
    max_request_size: int

    def become(self, other: Daemon) -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(other, name))


DAEMON: web.AppKey[Daemon] = web.AppKey("daemon", Daemon)


class Peeked(Struct, frozen=True):
    """What one look at a body finds. `body` is the bytes themselves, mended where they were no JSON."""

    model: str
    stream: bool
    outline: Outline | None
    body: bytes


Serve = Callable[[Daemon, Ask], Awaitable[Answer]]


def exchange(daemon: Daemon, ask: Ask) -> Awaitable[Answer]:
    return Exchange(daemon.gateway, ask).serve()


def aside(serve: Callable[[Gateway, Ask], Awaitable[Answer]]) -> Serve:
    """A side operation of the gateway as what a route runs."""

    async def run(daemon: Daemon, ask: Ask) -> Answer:
        return await serve(daemon.gateway, ask)

    return run


class ModelRoute(Struct, frozen=True):
    """What a POST to one path asks for. `streams`: the protocol's default without `stream`. Bodies of fewer bytes than
    `least` may be no model requests: the application looks at them first. `plain`: for a route that does more than an
    exchange, whether a request wants no more than that."""

    protocol: str
    hints: Hints = Hints()
    run: Serve = exchange
    streams: bool = False
    least: int = 0
    plain: Callable[[Daemon, Outline | None], bool] | None = None


class _Headed(Protocol):
    @property
    def headers(self) -> Mapping[str, str]: ...


def request_id(request: _Headed) -> str:
    """The client's own X-Request-ID when it is sane, else a new one."""
    given = request.headers.get("X-Request-ID")
    if given and len(given) <= 128 and given.isascii() and given.isprintable():
        return given
    return f"{_PREFIX}{next(_COUNT):x}"


class Advance(Struct, frozen=True):
    """What was done of a request before it had a task: what it took of its limits, the headers that say where those
    stand, or why it is `refused`."""

    exchange: Ahead
    more: dict[str, str]
    entry: Entry | None = None
    refused: MuxError | None = None


async def serve(daemon: Daemon, arrival: Arrival, route: ModelRoute, ahead: Advance | None = None) -> None:
    """One model request from the first header to the last byte, or from where it was begun `ahead`."""
    metrics, drain = daemon.metrics, daemon.parts.drain
    metrics.active_requests += 1
    task = drain.enter()
    early = _Early(arrival)
    try:
        answer = await _answer(daemon, arrival, route, early, ahead)
        if early.onlooker is not None:
            answer = early.onlooker.answered(answer)
        if not await _flows(daemon, arrival, answer, early):
            await respond(metrics, arrival, answer, early)
    finally:
        if early.entry is not None:
            early.entry.leave()
        if early.onlooker is not None:
            early.onlooker.over()
        drain.leave(task)
        metrics.active_requests -= 1


async def _flows(daemon: Daemon, arrival: Arrival, answer: Answer, early: _Early) -> bool:
    """Whether the answer is a stream that goes on without this task."""
    if not isinstance(answer, Streaming) or answer.stream is None or early.onlooker is not None:
        return False
    try:
        if early.write is None:
            await early.begin(answer.headers, answer.content_type)
    except (ConnectionError, asyncio.CancelledError):
        return False
    if not arrival.carry(Flowing(daemon, answer.stream, early.entry)):
        return False
    early.entry = None
    return True


async def admitted(daemon: Daemon, ask: Ask, headers: dict[str, str]) -> Entry | None:
    """What a request took of its limits, None where nothing is limited; `headers` are given where those stand. Raises
    MuxError for one that is refused, which is in the books then."""
    if not daemon.admission.concerns(ask.caller):
        return None
    try:
        entry = await daemon.admission.enter(daemon.gateway, ask, headers)
    except MuxError as error:
        daemon.gateway.settle(ask, Outcome(status=ask.protocol.error_status(error), error=error))
        raise
    ask.entry = entry
    return entry


async def standing(daemon: Daemon, caller: Caller | None) -> dict[str, str]:
    """The headers of a request that was refused before it took anything of its limits, where they can be told."""
    if caller is not None and daemon.admission.concerns(caller):
        with contextlib.suppress(MuxError):
            return await daemon.admission.headers(caller)
    return {}


def asked(
    arrival: Arrival, route: ModelRoute, caller: Caller, peeked: Peeked, name: str, started: float, now: float
) -> Ask:
    """What a request asks of the gateway."""
    hints, stream, protocol = route.hints, peeked.stream, registry.get(route.protocol)
    if hints.stream is None:
        hints = Hints(hints.model, stream, hints.operation, hints.framing, arrival.headers)
    body, model, outline, headers = peeked.body, peeked.model, peeked.outline, arrival.headers
    return Ask(protocol, body, hints, model, stream, name, headers, caller, now, started, None, outline)


async def _answer(daemon: Daemon, arrival: Arrival, route: ModelRoute, early: _Early, ahead: Advance | None) -> Answer:
    started, now = time.monotonic(), time.time()
    protocol = registry.get(route.protocol)
    name = request_id(arrival) if ahead is None else ahead.exchange.ask.request_id
    ask: Ask | None = None
    passed: Passed | None = arrival.memo.get(Passed)
    try:
        if ahead is not None:
            ask, early.entry, early.more = ahead.exchange.ask, ahead.entry, ahead.more
            ask.begin = early.begin
            if ahead.refused is not None:
                raise ahead.refused
            return await ahead.exchange.serve()
        if passed is None or passed.guard is not daemon.guard:
            passed = None
            # Before the key: the page of an allowed origin may read why it was refused.
            early.origin = daemon.guard.check(arrival.headers)
            passed = await daemon.guard.admit(arrival.headers, arrival.query_key, early.origin, arrival.memo)
        early.origin = passed.origin
        body = await arrival.body(daemon.max_request_size)
        peeked = peek(body, route.hints, route.streams, protocol.outline)
        ask = asked(arrival, route, passed.caller, peeked, name, started, now)
        ask.begin = early.begin
        if daemon.parts.recent.looked_at:
            early.onlooker = daemon.parts.recent.look_on(ask)
        early.entry = await admitted(daemon, ask, early.more)
        return await route.run(daemon, ask)
    except MuxError as error:
        if ask is None:
            daemon.metrics.refused(error.kind.value)
            early.more = await standing(daemon, None if passed is None else passed.caller)
        log.logger.debug("request.refused", request=name, kind=error.kind.value, path=arrival.path)
        return error_answer(error, protocol, name, {"X-Request-ID": name})
    except asyncio.CancelledError:
        if not daemon.parts.drain.over:
            raise
        return error_answer(told(), protocol, name, {"X-Request-ID": name})
    except Exception:
        log.logger.exception("request.broken", request=name)
        broken = MuxError(Kind.INTERNAL, f"llm-mux failed on this request; its log has the details under {name}.")
        return error_answer(broken, protocol, name, {"X-Request-ID": name})


def peek(body: bytes, hints: Hints, streams: bool, outline: type[Outline] = Outline) -> Peeked:
    """The model name and whether to stream, from the route where it says so, else from the body."""
    if hints.model is not None and hints.stream is not None:
        return Peeked(hints.model, hints.stream, None, body)
    found, body = _looked_at(body, outline)
    model = hints.model if hints.model is not None else found.model
    if not model:
        raise bad_request("The field `model` is missing.", param="model")
    if found.bedrock_model or found.model_provider:
        model, body, found = _directed(model, body, found)
    stream = hints.stream if hints.stream is not None else found.stream
    return Peeked(model, streams if stream is None else stream, found, body)


_DIRECTIONS: dict[str, bytes | None] = {"bedrock_model": None, "model_provider": None}


def _directed(model: str, body: bytes, found: Outline) -> tuple[str, bytes, Outline]:
    """The model that a request directs itself to, and the request without those directions."""
    name = f"bedrock://{found.bedrock_model}" if found.bedrock_model else f"{found.model_provider}://{model}"
    body = jsonx.splice(body, _DIRECTIONS)
    return name, body, _looked_at(body, type(found))[0]


def _looked_at(body: bytes, outline: type[Outline]) -> tuple[Outline, bytes]:
    """What the protocol's own outline finds, or a bare one of a body that has not its shape."""
    try:
        return look(body, outline) if len(body) >= LEAST else jsonx.sound(body, outline)
    except jsonx.Malformed:
        pass
    try:
        return jsonx.sound(body, Outline)
    except jsonx.Malformed as error:
        raise bad_request(f"The request body is not a valid request: {error}") from None


class _Early:
    """A request's stream, should it have to begin before there is an answer; the Origin that may see it; what it took
    of its limits, and the headers that say where those stand; who looks on."""

    __slots__ = ("_arrival", "entry", "more", "onlooker", "origin", "write")

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival
        self.origin: str | None = None
        self.entry: Entry | None = None
        self.onlooker: Onlooker | None = None
        self.more: dict[str, str] = {}
        self.write: Write | None = None

    def headed(self, headers: dict[str, str]) -> dict[str, str]:
        return headers | self.more if self.more else headers

    async def begin(self, headers: dict[str, str], content_type: str) -> Write:
        self.write = write = await self._arrival.begin(
            labelled(self.headed(headers) | STREAM_HEADERS, content_type, self.origin)
        )
        return write


async def respond(metrics: Metrics, arrival: Arrival, answer: Answer, early: _Early) -> None:
    """Writes an answer; a client that left ends it quietly."""
    if isinstance(answer, Whole):
        await arrival.whole(answer, labelled(early.headed(answer.headers), answer.content_type, early.origin))
        return
    metrics.active_streams += 1
    try:
        try:
            write = early.write or await early.begin(answer.headers, answer.content_type)
        except (ConnectionError, asyncio.CancelledError):
            # Nobody is there any more; the pump still has to close the upstream and settle.
            write = _nowhere
        await answer.pump(write)
        await arrival.end()
    except ConnectionError:
        pass
    finally:
        metrics.active_streams -= 1


async def write(daemon: Daemon, arrival: Arrival, answer: Answer) -> None:
    """An answer of a route that asks no model, beginning with its headers."""
    early = _Early(arrival)
    early.origin = daemon.guard.check(arrival.headers)
    await respond(daemon.metrics, arrival, answer, early)


def labelled(headers: dict[str, str], content_type: str, origin: str | None = None) -> dict[str, str]:
    """The headers of an answer with those that all have."""
    headers = {**headers, "Server": SERVER, "Content-Type": content_type}
    return headers if origin is None else headers | cors(origin)


async def _nowhere(data: bytes) -> None:
    raise ConnectionResetError("the client left")


def cors(origin: str) -> dict[str, str]:
    """What an allowed page may see."""
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED, "Vary": "Origin"}
