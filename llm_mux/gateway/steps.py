"""The driver of login flows: performs their steps, whoever the person is, and over this daemon's HTTP client.

Rule: secrets go over https, or to this machine itself; redirects are not followed; an answer is read up to a limit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from llm_mux.auth import base
from llm_mux.auth.base import LoginError, Step, Steps
from llm_mux.auth.discovery import insecure
from llm_mux.errors import MuxError
from llm_mux.gateway.upstream import Call, Timeouts, Upstream

T = TypeVar("T")
_TIMEOUTS = Timeouts(connect=10, first_byte=30, between_bytes=30)
_MOST_BYTES = 1 << 20


class Person(Protocol):
    """Who performs the steps that need a person: a terminal, the management API, a test."""

    async def perform(self, step: Step) -> Any: ...


async def drive(flow: Steps[T], perform: Callable[[Step], Awaitable[Any]]) -> T:
    """The flow's result. A `LoginError` out of a step is the flow's to deal with; everything else ends it."""
    try:
        step = flow.send(None)
        while True:
            try:
                answer = await perform(step)
            except LoginError as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        flow.close()


def performer(
    upstream: Upstream, *, proxy: str | None = None, person: Person | None = None, place: str = "the login server"
) -> Callable[[Step], Awaitable[Any]]:
    """Performs calls and waits itself and leaves the rest to `person`; without one the rest is refused."""

    async def perform(step: Step) -> Any:
        if isinstance(step, base.Call):
            return await called(step, upstream, proxy=proxy, place=place)
        if isinstance(step, base.Sleep):
            await asyncio.sleep(step.seconds)
            return time.time()
        if person is None:
            raise LoginError("this needs a person; run the login again", final=True)
        return await person.perform(step)

    return perform


async def called(step: base.Call, upstream: Upstream, *, proxy: str | None, place: str) -> base.Reply:
    """The answer to one call. Raises `LoginError` when nobody answers."""
    problem = insecure(step.url)
    if problem:
        raise LoginError(problem)
    headers = {"accept-encoding": "identity", **step.headers}
    call = Call(step.url, headers, step.body, step.method, proxy=proxy, place=place, timeouts=_TIMEOUTS)
    try:
        reply = await upstream.send(call)
        try:
            body = await reply.read(_MOST_BYTES)
        finally:
            reply.close()
    except MuxError as error:
        raise LoginError(error.message.rstrip(".")) from error
    return base.Reply(reply.status, reply.lowered, body, time.time())
