"""The driver of login flows: performs their steps, whoever the person is, and over this daemon's HTTP client.

Rule: secrets go over https, or to this machine itself; redirects are not followed; an answer is read up to a limit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl

import msgspec

from llm_mux.auth import base
from llm_mux.auth.base import LoginError, Step, Steps
from llm_mux.auth.discovery import insecure
from llm_mux.errors import MuxError
from llm_mux.gateway.upstream import Call, Timeouts, Upstream

T = TypeVar("T")
_TIMEOUTS = Timeouts(connect=10, first_byte=30, between_bytes=30)
_MOST_BYTES = 1 << 20
_LEAST_SECRET = 6
_SECRET = frozenset(
    {"client_secret", "refresh_token", "access_token", "code", "code_verifier", "device_code", "assertion", "token"}
)


class Person(Protocol):
    """Who performs the steps that need a person: a terminal, the management API, a test."""

    async def perform(self, step: Step) -> Any: ...


async def drive(flow: Steps[T], perform: Callable[[Step], Awaitable[Any]]) -> T:
    """The flow's result. A `LoginError` out of a step is the flow's to deal with; everything else ends it.

    What leaves the flow as a `LoginError` repeats none of the secrets that were sent on the way.
    """
    sent: set[str] = set()
    try:
        step = flow.send(None)
        while True:
            if isinstance(step, base.Call):
                sent |= secrets_of(step)
            try:
                answer = await perform(step)
            except LoginError as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
    except LoginError as error:
        error.args = (_without(str(error), sent),)
        raise
    finally:
        flow.close()


def secrets_of(step: base.Call) -> set[str]:
    """What a server could repeat in its complaint: the secrets of a token request, and the token of any other."""
    found = {step.headers.get("authorization", "").partition(" ")[2]}
    body = (step.body or b"").decode("utf-8", "replace")
    try:
        values = msgspec.json.decode(body)
    except msgspec.DecodeError:
        values = dict(parse_qsl(body))
    if isinstance(values, dict):
        found |= {value for name, value in values.items() if name in _SECRET and isinstance(value, str)}
    return {each for each in found if len(each) >= _LEAST_SECRET}


def _without(text: str, secrets: set[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


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
