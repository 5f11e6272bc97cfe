"""A person who logs in: the steps of a flow, done over real HTTP, with a browser that agrees to everything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
from yarl import URL

from llm_mux.auth.base import (
    Ask,
    Browse,
    Call,
    Confirm,
    Credential,
    Flow,
    Listen,
    LoginError,
    Pasted,
    Receive,
    Reply,
    Returned,
    Show,
    Sleep,
    Step,
    Steps,
    Wish,
)

NOW = 1_796_000_000.0


def wish(**extra: str) -> Wish:
    """A login at `NOW`; its random texts are told apart by their length and are of no use elsewhere."""
    return Wish(now=NOW, token=lambda size: f"random-{size:03d}-" + "x" * size, extra=extra)


@dataclass
class Person:
    """`agree(url, code)` is what happens in the browser: by default `url` is visited, and where it sends the browser
    back to is followed. `answers` are given to questions in order; `pastes` instead of the browser's return."""

    agree: Callable[[str, str], Awaitable[None]] | None = None
    answers: list[str | bool] = field(default_factory=list)
    pastes: list[str] = field(default_factory=list)
    clock: float = NOW
    told: list[str] = field(default_factory=list)
    browsed: list[Browse] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    _returned: dict[str, str] = field(default_factory=dict)

    async def does(self, flow: Flow | Steps[Any]) -> Any:
        """What the flow ends with. Raises its LoginError."""
        reply: Any = None
        async with aiohttp.ClientSession() as http:
            try:
                step: Step = next(flow)
                while True:
                    try:
                        reply = await self._done(step, http)
                    except LoginError as error:
                        step = flow.throw(error)
                    else:
                        step = flow.send(reply)
            except StopIteration as end:
                return end.value

    async def logs_in(self, flow: Flow) -> Credential:
        found = await self.does(flow)
        assert isinstance(found, Credential)
        return found

    async def _done(self, step: Step, http: aiohttp.ClientSession) -> Any:
        match step:
            case Call(url=url, method=method, headers=headers, body=body):
                return await self._called(http, url, method, dict(headers), body)
            case Sleep(seconds=seconds):
                self.slept.append(seconds)
                self.clock += seconds
                return self.clock
            case Show(text=text):
                self.told.append(text)
            case Browse(url=url, code=code):
                self.browsed.append(step)
                await (self.agree or self._visit)(url, code)
            case Listen(port=port):
                return port or 40000
            case Receive():
                return Pasted(self.pastes.pop(0)) if self.pastes else Returned(self._returned)
            case Ask(prompt=prompt) | Confirm(question=prompt):
                self.told.append(prompt)
                return self.answers.pop(0)

    async def _called(
        self, http: aiohttp.ClientSession, url: str, method: str, headers: dict[str, str], body: bytes | None
    ) -> Reply:
        try:
            async with http.request(method, url, headers=headers, data=body, allow_redirects=False) as answer:
                lowered = {name.lower(): value for name, value in answer.headers.items()}
                return Reply(answer.status, lowered, await answer.read(), self.clock)
        except aiohttp.ClientError as error:
            raise LoginError(f"{url} cannot be reached") from error

    async def _visit(self, url: str, code: str) -> None:
        async with aiohttp.ClientSession() as http, http.get(URL(url, encoded=True), allow_redirects=False) as answer:
            assert answer.status < 400, await answer.text()
            self._returned = dict(parse_qsl(urlsplit(answer.headers.get("location", "")).query))
