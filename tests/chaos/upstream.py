"""Eight accounts of one provider, most of them in a bad mood at any time: refusals with and without hints, errors, hangs,
cuts, resets, lies, revoked keys, crawling. Moods follow from a seed and the number of requests, never from the clock.
"""

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter, defaultdict
from email.utils import formatdate
from typing import Self

import msgspec
from aiohttp import web

HEALTHY = "key-0"
KEYS = [f"key-{number}" for number in range(8)]
MOODS = ("limited", "busy", "broken", "silent", "stuck", "cut", "reset", "lying", "crawling", "healthy")
WORDS = [f"word{number} " for number in range(20)]
TEXT = "".join(WORDS)
PER_MOOD = 3
_NUMBERS = itertools.count()


class Message(msgspec.Struct):
    content: str = ""


class Body(msgspec.Struct):
    messages: list[Message] = []
    stream: bool = False


class Moody:
    """The server. `seen` has the times of arrival by the id that a client put into its prompt."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._moods = {key: self._chance.sample(MOODS, len(MOODS)) for key in KEYS}
        self._count: Counter[str] = Counter()
        self._cut_at = 0
        self._never = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.by_mood: Counter[str] = Counter()
        self.seen: dict[str, list[float]] = defaultdict(list)
        self.open = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def _mood(self, key: str) -> str:
        if key == HEALTHY:
            return "healthy"
        number = self._count[key]
        self._count[key] += 1
        if key == "key-7" and number > 6 * PER_MOOD:
            return "revoked"
        return self._moods[key][number // PER_MOOD % len(MOODS)]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = msgspec.json.decode(await request.read(), type=Body)
        key = request.headers["Authorization"].removeprefix("Bearer ")
        mood = self._mood(key)
        self.by_mood[mood] += 1
        self.seen[body.messages[-1].content].append(time.monotonic())
        self.open += 1
        try:
            return await self._in_mood(mood, request, body.stream)
        finally:
            self.open -= 1

    async def _in_mood(self, mood: str, request: web.Request, stream: bool) -> web.StreamResponse:
        match mood:
            case "limited":
                return _error(429, "slow down", **self._hint())
            case "busy":
                return _error(429, "slow down")
            case "broken":
                return _error(500, "it broke")
            case "revoked":
                return _error(401, "this key was revoked")
            case "silent":
                await self._never.wait()
            case "reset":
                return self._abort(request, web.StreamResponse())
            case "lying":
                content = msgspec.json.encode({"error": {"message": "overloaded", "type": "server_error"}})
                return await self._sent(request, [b"data: " + content + b"\n\n"] if stream else [content], stream)
            case _:
                pass
        pieces = _stream() if stream else [_whole()]
        if mood == "stuck":
            return await self._sent(request, self._half(pieces), stream, end="hang")
        if mood == "cut":
            self._cut_at += 7
            flat = b"".join(pieces)
            return await self._sent(request, [flat[: self._cut_at % len(flat)]], stream, end="abort")
        return await self._sent(request, pieces, stream, pause_s=0.02 if mood == "crawling" else 0)

    def _hint(self) -> dict[str, str]:
        return self._chance.choice(
            [
                {"Retry-After": "0.3"},
                {"retry-after-ms": "250"},
                {"Retry-After": formatdate(time.time() + 1, usegmt=True)},
            ]
        )

    def _half(self, pieces: list[bytes]) -> list[bytes]:
        return pieces[: len(pieces) // 2] if len(pieces) > 1 else [pieces[0][: len(pieces[0]) // 2]]

    async def _sent(
        self, request: web.Request, pieces: list[bytes], stream: bool, *, pause_s: float = 0, end: str = "clean"
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream" if stream else "application/json"})
        await response.prepare(request)
        try:
            for piece in pieces:
                await response.write(piece)
                await asyncio.sleep(pause_s)
        except ConnectionError:
            # Its client left.
            return response
        if end == "hang":
            await self._never.wait()
        if end == "abort":
            return self._abort(request, response)
        with contextlib.suppress(ConnectionError):
            await response.write_eof()
        return response

    def _abort(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return response


def _error(status: int, message: str, **headers: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "error"}}, status=status, headers=headers)


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _stream() -> list[bytes]:
    ends = [_chunk({}, "stop"), b"data: [DONE]\n\n"]
    return [_chunk({"role": "assistant", "content": ""}), *(_chunk({"content": word}) for word in WORDS), *ends]


def _whole() -> bytes:
    message = {"role": "assistant", "content": TEXT}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 20, "total_tokens": 23}
    whole = {"object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return msgspec.json.encode({"id": f"c{next(_NUMBERS)}", **whole})
