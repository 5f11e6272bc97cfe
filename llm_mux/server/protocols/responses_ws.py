"""The websocket mode of the Responses API: one text frame, one event; `response.create` as the HTTP body.

A client that asks for an upgrade gets the real thing; a plain GET gets 426, at which Codex falls back to HTTP at once.
A connection remembers its own responses, also those with `store: false`, so that only new items need to be sent.
"""

from __future__ import annotations

import time

import msgspec
from aiohttp import WSMsgType, web
from msgspec import Raw, Struct

from llm_mux import log
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.gateway import stored
from llm_mux.gateway.ask import Ask, Caller, Whole
from llm_mux.server.answers import error_body
from llm_mux.server.kept import store_of
from llm_mux.server.serving import DAEMON, request_id
from llm_mux.translators import registry
from llm_mux.translators.base import Hints
from llm_mux.translators.ids import digest
from llm_mux.wire import jsonx, sse

_LARGEST = 64 << 20
_BEAT_S = 30.0
_NOT_FIELDS = ("type", "generate", "stream_id")


class _Create(Struct):
    """A client's message, as far as it steers this module."""

    type: str = ""
    model: str | None = None
    generate: bool | None = None
    stream_id: str | None = None
    previous_response_id: str | None = None
    input: Raw = Raw(b"[]")


class _ErrorBody(Struct):
    error: Raw


async def connect(request: web.Request) -> web.StreamResponse:
    """The upgrade, or 426 for a plain GET."""
    daemon = request.app[DAEMON]
    try:
        daemon.guard.check(request.headers)
        caller = daemon.guard.caller(request.headers, request.query.get("key"))
    except MuxError as error:
        return web.json_response(error_body(error, error.http_status), status=error.http_status)
    socket = web.WebSocketResponse(max_msg_size=_LARGEST, heartbeat=_BEAT_S, compress=False)
    if not socket.can_prepare(request).ok:
        message = "Use POST /v1/responses, or open a websocket here."
        plain = MuxError(Kind.METHOD, message, code="upgrade_required")
        return web.json_response(error_body(plain, 426), status=426, headers={"Upgrade": "websocket"})
    await socket.prepare(request)
    connection = _Connection(request, socket, caller)
    async for received in socket:
        if received.type == WSMsgType.TEXT:
            await connection.take(received.data.encode("utf-8", "surrogatepass"))
        elif received.type == WSMsgType.BINARY:
            await connection.fail(bad_request("Send text frames with JSON events."), 400, None)
    return socket


class _Connection:
    """One websocket: its requests run one after another."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, caller: Caller) -> None:
        self._request = request
        self._socket = socket
        self._caller = caller
        self._memory = stored.Memory(store_of(request.app))
        self._made = 0

    async def take(self, data: bytes) -> None:
        try:
            create = jsonx.decode(data, _Create)
        except jsonx.Malformed as error:
            await self.fail(bad_request(f"The message is not a valid event: {error}"), 400, None)
            return
        if create.type != "response.create":
            kind = bad_request("Only `response.create` events are taken here.", param="type")
            await self.fail(kind, 400, create.stream_id)
            return
        try:
            await self._run(create, data)
        except MuxError as error:
            await self.fail(error, error.http_status, create.stream_id)
        except ConnectionError:
            return
        except Exception:
            log.logger.exception("request.broken", path="websocket")
            await self.fail(MuxError(Kind.INTERNAL, "llm-mux failed on this request."), 500, create.stream_id)

    async def _run(self, create: _Create, data: bytes) -> None:
        if not create.model:
            raise bad_request("The field `model` is missing.", param="model")
        if create.generate is False:
            await self._warm_up(create)
            return
        body = jsonx.splice(data, {**dict.fromkeys(_NOT_FIELDS), "stream": b"true"})
        protocol = registry.get("openai_responses")
        ask = Ask(
            protocol=protocol,
            body=body,
            hints=Hints(model=create.model, stream=True, headers=self._request.headers),
            model=create.model,
            stream=True,
            request_id=request_id(self._request),
            headers=self._request.headers,
            caller=self._caller,
            time=time.time(),
            started=time.monotonic(),
        )
        run = stored.server(self._memory, keep_all=True)
        answer = await run(self._request.app[DAEMON].gateway, ask)
        if isinstance(answer, Whole):
            await self._send_error(bytes(jsonx.decode(answer.body, _ErrorBody).error), answer.status, create.stream_id)
            return
        splitter = sse.Splitter()

        async def write(piece: bytes) -> None:
            for frame in splitter.feed(piece):
                await self._send(frame.data, create.stream_id)

        await answer.pump(write)

    async def _warm_up(self, create: _Create) -> None:
        """`generate: false` prepares state only: the items are remembered under an id, nothing is generated."""
        self._made += 1
        name = f"resp_{digest(f'{id(self)}{self._made}{time.time()}')}"
        kept = stored.Kept(stored.own_items(create.input), b"[]")
        self._memory.remember(name, kept, create.previous_response_id)
        base = {
            "id": name,
            "object": "response",
            "created_at": int(time.time()),
            "model": create.model,
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
            await self._send(msgspec.json.encode(event), create.stream_id)

    async def _send(self, event: bytes, stream_id: str | None) -> None:
        if event.startswith(b"[DONE]"):
            return
        if stream_id is not None:
            event = jsonx.splice(event, {"stream_id": msgspec.json.encode(stream_id)})
        await self._socket.send_str(event.decode("utf-8", "replace"))

    async def fail(self, error: MuxError, status: int, stream_id: str | None) -> None:
        """The nested error frame of this mode."""
        protocol = registry.get("openai_responses")
        body = jsonx.decode(protocol.encode_error(error, request_id(self._request)), _ErrorBody)
        await self._send_error(bytes(body.error), status, stream_id)

    async def _send_error(self, error: bytes, status: int, stream_id: str | None) -> None:
        event = msgspec.json.encode({"type": "error", "error": Raw(error), "status": status})
        await self._send(event, stream_id)
