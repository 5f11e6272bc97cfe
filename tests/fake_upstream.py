"""A real HTTP server that plays an upstream: scripted replies, chosen cuts, delays, resets and lies.

Replies are queued per path and used in order; the last one of a path stays. Nothing here sleeps: a reply that has to
wait holds an `asyncio.Event` that the test sets.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from aiohttp import web


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; `body` is the raw bytes, `query` the undecoded query string."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return msgspec.json.decode(self.body)


@dataclass(frozen=True, slots=True)
class Wait:
    """A step of a reply's body: stop until the test sets the event (or the client goes)."""

    event: asyncio.Event


class Reset:
    """A step of a reply's body: drop the connection without a proper end."""


RESET = Reset()

Step = bytes | Wait | Reset


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer.

    A `body` of bytes goes out whole, with a length. A sequence goes out in chunks, one write per step; `Wait` holds
    the stream, `RESET` breaks it. `before` holds even the status line.
    """

    body: bytes | Sequence[Step] = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    before: asyncio.Event | None = None


def json_reply(value: object, status: int = 200, **headers: str) -> Reply:
    """A JSON answer; keyword names become headers, `_` read as `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(body=msgspec.json.encode(value), status=status, headers=named)


def sse_reply(*steps: Step, status: int = 200) -> Reply:
    """An event stream of ready-made steps, one write each."""
    return Reply(body=steps, status=status, content_type="text/event-stream")


def cut(data: bytes, size: int) -> list[bytes]:
    """The same bytes in pieces of `size`."""
    return [data[start : start + size] for start in range(0, len(data), size)]


class FakeUpstream:
    """The server. `async with FakeUpstream() as upstream: upstream.on("/v1/messages", reply)`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.arrived = asyncio.Event()
        self.closed = asyncio.Event()
        self.open = 0
        self.url = ""
        self._replies: dict[str, list[Reply]] = {}
        self._runner: web.AppRunner | None = None

    def on(self, path: str, *replies: Reply) -> Self:
        """Script the answers of a path; `*` is the answer of every path without its own."""
        self._replies[path] = list(replies)
        return self

    @property
    def last(self) -> Request:
        """The newest request."""
        return self.requests[-1]

    def seen(self, path: str) -> list[Request]:
        """The requests for one path, oldest first."""
        return [request for request in self.requests if request.path == path]

    async def asked(self, path: str, times: int = 1) -> None:
        """Returns once that many requests for a path have come."""
        async with asyncio.timeout(20):
            while len(self.seen(path)) < times:
                self.arrived.clear()
                await self.arrived.wait()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _next(self, path: str) -> Reply:
        queue = self._replies.get(path) or self._replies.get("*")
        if not queue:
            return json_reply({"error": {"message": f"nothing is scripted for {path}"}}, status=404)
        return queue.pop(0) if len(queue) > 1 else queue[0]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        path = request.rel_url.raw_path
        self.requests.append(Request(request.method, path, request.query_string, request.headers.copy(), body))
        self.open += 1
        self.arrived.set()
        try:
            return await self._send(request, self._next(path))
        except (asyncio.CancelledError, ConnectionError):
            self.closed.set()
            raise
        finally:
            self.open -= 1

    async def _send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        if reply.before is not None:
            await reply.before.wait()
        headers = {"Content-Type": reply.content_type, **reply.headers}
        if isinstance(reply.body, bytes):
            return web.Response(status=reply.status, headers=headers, body=reply.body)
        response = web.StreamResponse(status=reply.status, headers=headers)
        await response.prepare(request)
        return await _play(request, response, reply.body)


async def _play(request: web.Request, response: web.StreamResponse, steps: Iterable[Step]) -> web.StreamResponse:
    for step in steps:
        if isinstance(step, Reset):
            if request.transport is not None:
                request.transport.abort()
            return response
        if isinstance(step, Wait):
            await step.event.wait()
        else:
            await response.write(step)
            await asyncio.sleep(0)
    with contextlib.suppress(ConnectionError):
        await response.write_eof()
    return response
