"""The websocket mode of the Responses API: one text frame, one event; `response.create` as the HTTP body.

A client that asks for an upgrade gets the real thing; a plain GET gets 426, at which Codex falls back to HTTP at once.
A connection remembers its own responses, also those with `store: false`, so that only new items need to be sent.
Requests run one after another, so a `response.steer` is read when its response has ended, and is given back.
"""

from __future__ import annotations

import asyncio
import time
import weakref

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Raw, Struct

from llm_mux import log
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.gateway import stored
from llm_mux.gateway.ask import Ask, Whole
from llm_mux.gateway.drain import told
from llm_mux.server.answers import error_body
from llm_mux.server.kept import store_of
from llm_mux.server.serving import DAEMON, Daemon, admitted, request_id
from llm_mux.translators import registry
from llm_mux.translators.base import Hints
from llm_mux.translators.ids import digest
from llm_mux.translators.openai_responses import websocket
from llm_mux.wire import jsonx, sse

_LARGEST = 64 << 20
_BEAT_S = 30.0
_OPEN: weakref.WeakSet[_Connection] = weakref.WeakSet()


class _Fields(Struct):
    """What of a message's body steers this module."""

    model: str | None = None
    previous_response_id: str | None = None
    input: Raw = Raw(b"[]")


class _Named(Struct):
    id: str = ""


class _Created(Struct):
    response: _Named


class _ErrorBody(Struct):
    error: Raw


def _id_of(created: bytes) -> str:
    """The id of the response that an event begins, "" when it says none."""
    try:
        return jsonx.decode(created, _Created).response.id
    except jsonx.Malformed:
        return ""


async def connect(request: web.Request) -> web.StreamResponse:
    """The upgrade, or 426 for a plain GET."""
    daemon = request.app[DAEMON]
    named = {"X-Request-ID": request_id(request)}
    try:
        daemon.guard.check(request.headers)
        await daemon.guard.caller(request.headers, request.query.get("key"))
    except MuxError as error:
        return web.json_response(error_body(error, error.http_status), status=error.http_status, headers=named)
    socket = web.WebSocketResponse(max_msg_size=_LARGEST, heartbeat=_BEAT_S, compress=False)
    socket.headers.update(named)
    if not socket.can_prepare(request).ok:
        message = "Use POST /v1/responses, or open a websocket here."
        plain = MuxError(Kind.METHOD, message, code="upgrade_required")
        return web.json_response(error_body(plain, 426), status=426, headers={**named, "Upgrade": "websocket"})
    await socket.prepare(request)
    connection = _Connection(request, socket)
    _OPEN.add(connection)
    async for received in socket:
        if received.type == WSMsgType.TEXT:
            await connection.take(received.data.encode("utf-8", "surrogatepass"))
        elif received.type == WSMsgType.BINARY:
            await connection.fail(bad_request("Send text frames with JSON events."), 400, None)
        if connection.leaving:
            await socket.close(code=WSCloseCode.GOING_AWAY)
    return socket


async def leave(app: web.Application) -> None:
    """The daemon stops: idle connections are closed, the others after the answer that is under way."""
    for connection in [each for each in _OPEN if each.app is app]:
        await connection.leave()


class _Connection:
    """One websocket: its requests run one after another."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._socket = socket
        self._memory = stored.Memory(store_of(request.app[DAEMON]))
        self._lanes: dict[str, str] = {}
        self._made = 0
        self._busy = False
        self.leaving = False

    @property
    def app(self) -> web.Application:
        return self._request.app

    async def leave(self) -> None:
        self.leaving = True
        if not self._busy:
            await self._socket.close(code=WSCloseCode.GOING_AWAY)

    async def take(self, data: bytes) -> None:
        self._busy = True
        drain = self._request.app[DAEMON].parts.drain
        task = drain.enter()
        try:
            await self._answer(data)
        except asyncio.CancelledError:
            if not drain.over:
                raise
            await self.fail(told(), told().http_status, None)
        finally:
            drain.leave(task)
            self._busy = False

    async def _answer(self, data: bytes) -> None:
        lane = None
        try:
            message = websocket.split_ws(data)
            if isinstance(message, websocket.Steer):
                await self._steer(message)
                return
            lane = message.stream_id
            await self._run(message)
        except MuxError as error:
            await self.fail(error, error.http_status, lane)
        except ConnectionError:
            return
        except Exception:
            log.logger.exception("request.broken", path="websocket")
            await self.fail(MuxError(Kind.INTERNAL, "llm-mux failed on this request."), 500, lane)

    async def _steer(self, steer: websocket.Steer) -> None:
        target = steer.previous_response_id
        if self._memory.knows(target):
            code, said = "response_already_completed", f"Response '{target}' has ended; send this input with its id."
        else:
            code, said = "response_not_found", f"Response '{target}' was not made on this connection."
        await self._send(websocket.steer_failed(steer, code, said), self._lanes.get(target))

    async def _run(self, create: websocket.Create) -> None:
        fields = jsonx.decode(create.body, _Fields, strict=False)
        if not fields.model:
            raise bad_request("The field `model` is missing.", param="model")
        if not create.generate:
            await self._warm_up(fields, create.stream_id)
            return
        daemon = self._request.app[DAEMON]
        # A connection may outlive its key.
        caller = await daemon.guard.caller(self._request.headers, self._request.query.get("key"))
        ask = Ask(
            protocol=registry.get("openai_responses"),
            body=create.body,
            hints=Hints(model=fields.model, stream=True, headers=self._request.headers),
            model=fields.model,
            stream=True,
            request_id=request_id(self._request),
            headers=self._request.headers,
            caller=caller,
            time=time.time(),
            started=time.monotonic(),
        )
        entry = await admitted(daemon, ask, {})
        try:
            await self._exchange(daemon, ask, create.stream_id)
        finally:
            if entry is not None:
                entry.leave()

    async def _exchange(self, daemon: Daemon, ask: Ask, lane: str | None) -> None:
        run = stored.server(self._memory, keep_all=True)
        answer = await run(daemon.gateway, ask)
        if isinstance(answer, Whole):
            daemon.parts.books.keep()
            error = jsonx.decode(answer.body, _ErrorBody).error
            frame = msgspec.json.encode({"type": "error", "error": error, "status": answer.status})
            await self._send(frame, lane)
            return
        splitter = sse.Splitter()

        async def write(piece: bytes) -> None:
            for frame in splitter.feed(piece):
                if lane is not None and b'"response.created"' in frame.data[:200]:
                    self._lanes[_id_of(frame.data)] = lane
                await self._send(frame.data, lane)

        await answer.pump(write)

    async def _warm_up(self, fields: _Fields, lane: str | None) -> None:
        """`generate: false` prepares state only: the items are remembered under an id, nothing is generated."""
        self._made += 1
        name = f"resp_{digest(f'{id(self)}{self._made}{time.time()}')}"
        kept = stored.Kept(stored.own_items(fields.input), b"[]")
        self._memory.remember(name, kept, fields.previous_response_id)
        base = {
            "id": name,
            "object": "response",
            "created_at": int(time.time()),
            "model": fields.model,
            "output": [],
            "error": None,
            "incomplete_details": None,
        }
        usage = {
            "input_tokens": 0,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 0,
        }
        running = {**base, "status": "in_progress", "usage": None}
        done = {**base, "status": "completed", "usage": usage}
        for number, (type_, response) in enumerate((("response.created", running), ("response.completed", done))):
            event = {"type": type_, "sequence_number": number, "response": response}
            await self._send(msgspec.json.encode(event), lane)

    async def _send(self, event: bytes, stream_id: str | None) -> None:
        if event.startswith(b"[DONE]"):
            return
        await self._socket.send_str(websocket.on_lane(event, stream_id).decode("utf-8", "replace"))

    async def fail(self, error: MuxError, status: int, stream_id: str | None) -> None:
        """The nested error frame of this mode."""
        await self._send(websocket.ws_error(error, status), stream_id)
