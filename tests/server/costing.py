"""What one request costs, counted and not timed: the calls that the daemon makes for it, in Python and in C.

The daemon is the real one with its lane and its books; its upstream has every answer there at once, so that only the
daemon's own work is counted. The count is the same on every machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from types import FrameType
from typing import Any

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from llm_mux.gateway.upstream import Begun, Call, Receiver, Reply, Sink, Upstream
from llm_mux.server.app import make_runner
from llm_mux.server.serving import DAEMON

TURN = [{"role": "user", "content": "words " * 40}, {"role": "assistant", "content": "more words " * 20}]
WORK = [
    {"role": "user", "content": "Look at it."},
    {
        "role": "assistant",
        "content": "I will look.",
        "tool_calls": [{"id": "call_%d", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "call_%d", "content": "a line\n" * 200},
]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


def small(model: str, *, stream: bool) -> bytes:
    """About 2 KB."""
    return json.dumps({"model": model, "stream": stream, "max_tokens": 100, "messages": [*TURN * 3, TURN[0]]}).encode()


def agents(model: str, turns: int) -> bytes:
    """An agent's conversation, 1.5 KB a turn."""
    steps = [json.loads(json.dumps(step).replace("%d", str(n))) for n in range(turns) for step in WORK]
    return json.dumps({"model": model, "max_tokens": 100, "messages": steps, "tools": [TOOL] * 20}).encode()


class _Ready(Reply):
    """An answer that is all there."""

    __slots__ = ("_pieces",)

    def __init__(self, content_type: str, pieces: list[bytes]) -> None:
        super().__init__(200, CIMultiDictProxy(CIMultiDict({"Content-Type": content_type})))
        self._pieces = pieces

    async def chunk(self) -> bytes:
        return self.ready()

    def ready(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    @property
    def over(self) -> bool:
        return not self._pieces

    def whole(self) -> bytes | None:
        return self._pieces.pop() if len(self._pieces) == 1 else None

    def pour(self, sink: Sink) -> None:
        while self._pieces:
            sink.piece(self._pieces.pop(0))
        sink.end(None)

    def pause(self) -> None:
        raise AssertionError("the client keeps up")

    def resume(self) -> None:
        raise AssertionError("the client keeps up")

    def close(self) -> None:
        pass


class _Begun(Begun):
    """A call whose answer is there in the next step of the loop."""

    __slots__ = ("ready",)

    def __init__(self, ready: Reply) -> None:
        self.ready = ready

    async def reply(self) -> Reply:
        return self.ready

    def drop(self) -> None:
        pass


class ReadyUpstream(Upstream):
    """`wholes` and `streams` are the answers by a word of the URL."""

    def __init__(self, wholes: dict[str, bytes], streams: dict[str, list[bytes]]) -> None:
        self._wholes = wholes
        self._streams = streams

    def begin(self, call: Call, receiver: Receiver) -> Begun:
        begun = _Begun(self._reply(call))
        asyncio.get_running_loop().call_soon(receiver.answered, begun.ready)
        return begun

    async def send(self, call: Call) -> Reply:
        return self._reply(call)

    def _reply(self, call: Call) -> Reply:
        word = next(word for word in self._wholes if word in call.url)
        if b'"stream":true' in (call.body or b"").replace(b" ", b""):
            return _Ready("text/event-stream", list(self._streams[word]))
        return _Ready("application/json", [self._wholes[word]])

    async def close(self) -> None:
        pass


class Client(asyncio.Transport):
    """The other end of a lane: takes what is written and says when an answer is whole."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def write(self, data: Any) -> None:
        if bytes(data).endswith(b"0\r\n\r\n") or b"Content-Length" in bytes(data)[:1000]:
            self.answered.set_result(None)

    def close(self) -> None:
        pass


def request(body: bytes) -> bytes:
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def calls(app: web.Application, upstream: Upstream, body: bytes, times: int = 60) -> Counter[str]:
    """How many calls a request takes by kind: `all`, and `json` for those into the JSON library. The least of many: now
    and then something else happens meanwhile."""
    runner = make_runner(app)
    await runner.setup()
    try:
        app[DAEMON].gateway.upstream = upstream
        made = runner.server
        assert made is not None
        lane, client = made(), Client()
        lane.connection_made(client)
        counts = [await _asked(lane, client, body) for _ in range(times)]
        return Counter({kind: min(count[kind] for count in counts) for kind in ("all", "json")})
    finally:
        await runner.cleanup()


async def _asked(lane: Any, client: Client, body: bytes) -> Counter[str]:
    """The calls of one request, and of what else happens to run meanwhile."""
    count = Counter[str]()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            count["all"] += 1
            if event == "c_call" and "msgspec" in repr(argument):
                count["json"] += 1

    whole = request(body)
    client.answered = asyncio.get_running_loop().create_future()
    sys.setprofile(note)
    lane.data_received(whole)
    try:
        await client.answered
    finally:
        sys.setprofile(None)
    await asyncio.sleep(0)
    return count
