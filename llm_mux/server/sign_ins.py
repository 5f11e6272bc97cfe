"""Logins that somebody drives over HTTP: each is a flow in a task, and what it shows and wants of the person.

Rule: a login ends, however that happens: with the account, with an error, by being called off, or after a while. What
the person sends goes to the flow and is kept nowhere else. Used from one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from llm_mux import log
from llm_mux.auth.base import (
    Ask,
    Browse,
    Confirm,
    Credential,
    Flow,
    Listen,
    LoginError,
    Pasted,
    Receive,
    Returned,
    Show,
    Step,
)
from llm_mux.auth.sealed import StoreError
from llm_mux.gateway.loopback import Loopback
from llm_mux.gateway.steps import drive, performer
from llm_mux.gateway.upstream import Upstream

MOST_RUNNING = 8
MOST_KEPT = 20
LIFE_S = 1200.0
_FIRST_LOOK_S = 10.0


class Shown(Struct, frozen=True):
    """Something for the person: `text` to read, or `url` to open in a browser, where `code` is to be typed."""

    text: str = ""
    url: str = ""
    code: str = ""


class Wanted(Struct, frozen=True):
    """What the person is asked for: a line of `text` (`secret`: not to be shown), or yes or no. `browser`: the
    browser's return does as well as pasting where it ended."""

    kind: str
    prompt: str
    secret: bool = False
    browser: bool = False


class SignIn:
    """One login. `state` is running, waiting (for the person), done, failed or cancelled."""

    def __init__(self, provider: str, way: str) -> None:
        self.id = f"login_{secrets.token_urlsafe(9)}"
        self.provider = provider
        self.way = way
        self.state = "running"
        self.steps: list[Shown] = []
        self.wanted: Wanted | None = None
        self.account: str | None = None
        self.error: str | None = None
        self.started = time.time()
        self.task: asyncio.Task[None] | None = None
        self._reply: asyncio.Future[str | bool] | None = None
        self._loopback = Loopback()
        self._moved = asyncio.Event()

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    async def perform(self, step: Step) -> Any:
        """The person's part of a flow."""
        match step:
            case Show():
                self._show(Shown(text=step.text))
            case Browse():
                self._show(Shown(url=step.url, code=step.code))
            case Listen():
                return await self._loopback.open(step)
            case Receive():
                return await self._receive(step)
            case Ask():
                return str(await self._asked(Wanted("text", step.prompt, secret=step.secret))).strip()
            case Confirm():
                return bool(await self._asked(Wanted("confirm", step.question)))
            case _:
                raise LoginError(f"this step cannot be done here: {type(step).__name__}")
        return None

    def _show(self, shown: Shown) -> None:
        self.steps.append(shown)
        self._moved.set()

    async def _receive(self, step: Receive) -> Returned | Pasted | None:
        """The browser's return or what is pasted, whichever is first."""
        returned = asyncio.ensure_future(self._loopback.returned())
        pasted = asyncio.ensure_future(self._asked(Wanted("text", step.prompt, browser=True)))
        try:
            done, _ = await asyncio.wait(
                (returned, pasted), timeout=step.timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for each in (returned, pasted):
                each.cancel()
            await asyncio.gather(returned, pasted, return_exceptions=True)
        if returned in done:
            return Returned(returned.result())
        return Pasted(str(pasted.result())) if pasted in done else None

    async def _asked(self, wanted: Wanted) -> str | bool:
        self._reply = asyncio.get_running_loop().create_future()
        self.wanted, self.state = wanted, "waiting"
        self._moved.set()
        try:
            return await self._reply
        finally:
            self.wanted, self._reply = None, None
            if self.state == "waiting":
                self.state = "running"

    def reply(self, said: str | bool) -> bool:
        """What the person says; False when nothing of the kind is wanted."""
        if self._reply is None or self._reply.done() or self.wanted is None:
            return False
        if isinstance(said, bool) is not (self.wanted.kind == "confirm"):
            return False
        self._reply.set_result(said)
        self._moved.clear()
        return True

    async def moved(self) -> None:
        """Returns when there is something to show, to answer, or it is over; after a while in any case."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_LOOK_S):
                await self._moved.wait()

    async def run(self, flow: Flow, upstream: Upstream, proxy: str | None, keep: Keep) -> None:
        """Goes the way to its end, whatever that is."""
        try:
            async with asyncio.timeout(LIFE_S):
                credential = await drive(flow, performer(upstream, proxy=proxy, person=self))
                self.account = await keep(credential)
            self.state = "done"
        except (LoginError, StoreError) as error:
            self._failed(str(error))
        except TimeoutError:
            self._failed("nobody finished it in time; begin again")
        except asyncio.CancelledError:
            self.state = "cancelled"
        except Exception:
            log.logger.exception("login.broken", provider=self.provider)
            self._failed("llm-mux failed on this login; its log has the details")
        finally:
            self._moved.set()
            await self._loopback.close()

    def _failed(self, why: str) -> None:
        self.state, self.error = "failed", log.redact_text(why)


Keep = Callable[[Credential], Awaitable[str]]


class SignIns:
    """The logins of the last while. Lives as long as the process."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, SignIn] = OrderedDict()

    @property
    def running(self) -> int:
        return sum(not each.over for each in self._known.values())

    def listed(self) -> list[SignIn]:
        return list(self._known.values())

    def get(self, id: str) -> SignIn | None:
        return self._known.get(id)

    async def begin(self, made: SignIn, flow: Flow, upstream: Upstream, proxy: str | None, keep: Keep) -> None:
        """Returns as soon as there is something for the person."""
        for id in [each.id for each in self._known.values() if each.over][: len(self._known) - MOST_KEPT + 1]:
            del self._known[id]
        self._known[made.id] = made
        made.task = asyncio.create_task(made.run(flow, upstream, proxy, keep))
        await made.moved()

    async def call_off(self, made: SignIn) -> None:
        if made.task is not None and not made.task.done():
            made.task.cancel()
            await asyncio.gather(made.task, return_exceptions=True)

    async def close(self) -> None:
        for each in self._known.values():
            await self.call_off(each)
