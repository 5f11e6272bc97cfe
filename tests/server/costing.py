"""What one request costs, counted and not timed: the calls that the daemon makes for it, in Python and in C.

The daemon is the real one with its lane and its books; its upstream has every answer there at once, so that only the
daemon's own work is counted. The count is the same on every machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import pathlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import count, islice
from types import FrameType
from typing import Any, NamedTuple

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from llm_mux import log, paths
from llm_mux.auth.store import open_store
from llm_mux.config import parse
from llm_mux.gateway.upstream import Begun, Call, Receiver, Reply, Sink, Upstream
from llm_mux.server.app import make_app, make_runner
from llm_mux.server.serving import DAEMON
from tests.daemon import clean_environment, config_text

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


CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "same",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 50}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17},
}
MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "other",
    "content": [{"type": "text", "text": "word " * 50}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 8},
}


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %b\n\n" % json.dumps({"id": "c", "created": 1, "model": "same", "choices": [choice]}).encode()


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


CHAT_STREAM = [
    chunk({"role": "assistant", "content": ""}),
    *[chunk({"content": "some words "})] * 100,
    chunk({}, "stop") + b"data: [DONE]\n\n",
]
MESSAGE_STREAM = [
    event("message_start", message={**MESSAGE, "content": [], "stop_reason": None}),
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    *[event("content_block_delta", index=0, delta={"type": "text_delta", "text": "some words "})] * 100,
    event("content_block_stop", index=0),
    event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 100}),
    event("message_stop"),
]
ANSWERS = {"/chat/": json.dumps(CHAT).encode(), "/messages": json.dumps(MESSAGE).encode()}
STREAMS = {"/chat/": CHAT_STREAM, "/messages": MESSAGE_STREAM}


def reads(at_once: int) -> dict[str, list[bytes]]:
    return {
        word: [b"".join(events[at : at + at_once]) for at in range(0, len(events), at_once)]
        for word, events in STREAMS.items()
    }


class Kind(NamedTuple):
    """`at_once`: how many events one read of a stream brings. `fresh`: each body begins in words of its own, as that of
    a new conversation does, of which the daemon remembers nothing."""

    body: bytes
    at_once: int = 1
    fresh: bool = False

    def bodies(self) -> Iterator[bytes]:
        """What is asked, one after another."""
        for number in count():
            yield self.body.replace(b"Look at", b"Look %05d times at" % number, 1) if self.fresh else self.body


KINDS = {
    "splice": Kind(small("same", stream=False)),
    "translate": Kind(small("other", stream=False)),
    "spliced stream of 100 events": Kind(small("same", stream=True)),
    "translated stream of 100 events": Kind(small("other", stream=True)),
    "spliced stream, ten events a read": Kind(small("same", stream=True), 10),
    "translated stream, ten events a read": Kind(small("other", stream=True), 10),
    "spliced stream that comes at once": Kind(small("same", stream=True), 200),
    "translated stream that comes at once": Kind(small("other", stream=True), 200),
    "splice of 40 turns": Kind(agents("same", 40)),
    "translate 40 turns": Kind(agents("other", 40)),
    "splice of 40 turns never seen": Kind(agents("same", 40), fresh=True),
    "translate 40 turns never seen": Kind(agents("other", 40), fresh=True),
}


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
        self.streams = streams

    def begin(self, call: Call, receiver: Receiver) -> Begun:
        begun = _Begun(self._reply(call))
        asyncio.get_running_loop().call_soon(receiver.answered, begun.ready)
        return begun

    async def send(self, call: Call) -> Reply:
        return self._reply(call)

    def _reply(self, call: Call) -> Reply:
        word = next(word for word in self._wholes if word in call.url)
        if b'"stream":true' in (call.body or b"").replace(b" ", b""):
            return _Ready("text/event-stream", list(self.streams[word]))
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


def daemon(folder: pathlib.Path) -> web.Application:
    """One provider for each way, the books in `folder`."""
    providers = [
        {"id": "a", "type": "openai-compatible", "base-url": "http://127.0.0.1:9/v1", "models": ["same"]},
        {"id": "b", "type": "anthropic-compatible", "base-url": "http://127.0.0.1:9", "models": ["other"]},
    ]
    env = clean_environment(folder)
    loaded = parse(config_text({"providers": providers}), None, env)
    return make_app(loaded, env, open_store(env=env, data_dir=paths.data_dir(env)))


@contextlib.asynccontextmanager
async def connected(app: web.Application, upstream: Upstream) -> AsyncIterator[tuple[Any, Client]]:
    """A lane of the daemon, which is up as long as the block lasts, and who is at its other end."""
    runner = make_runner(app)
    await runner.setup()
    try:
        app[DAEMON].gateway.upstream = upstream
        made = runner.server
        assert made is not None
        lane, client = made(), Client()
        lane.connection_made(client)
        yield lane, client
    finally:
        await runner.cleanup()


async def calls(app: web.Application, upstream: Upstream, bodies: Iterable[bytes], times: int = 60) -> Counter[str]:
    """How many calls a request takes by kind: `all`, and `json` for those into the JSON library. The least of many: now
    and then something else happens meanwhile."""
    async with connected(app, upstream) as (lane, client):
        counts = [await _counted(lane, client, body) for body in islice(bodies, times)]
    return Counter({kind: min(each[kind] for each in counts) for kind in ("all", "json")})


async def ask(lane: Any, client: Client, body: bytes) -> None:
    """One request, to the end of its answer."""
    client.answered = asyncio.get_running_loop().create_future()
    lane.data_received(request(body))
    await client.answered
    await asyncio.sleep(0)


async def settled(app: web.Application) -> None:
    """What follows from the exchanges until now is written."""
    parts = app[DAEMON].parts
    parts.books.flush()
    log.flush()
    assert await parts.writer.catch_up(60)


async def _counted(lane: Any, client: Client, body: bytes) -> Counter[str]:
    """The calls of one request, and of what else happens to run meanwhile."""
    found = Counter[str]()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            found["all"] += 1
            if event == "c_call" and "msgspec" in repr(argument):
                found["json"] += 1

    whole = request(body)
    client.answered = asyncio.get_running_loop().create_future()
    sys.setprofile(note)
    lane.data_received(whole)
    try:
        await client.answered
    finally:
        sys.setprofile(None)
    await asyncio.sleep(0)
    return found
