"""A person at a terminal: performs the steps of a login that need one.

Rule: what is typed and the browser's return are waited for at the same time, and Ctrl-C ends both and leaves the
terminal as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import click

from llm_mux.auth.base import Ask, Browse, Confirm, Listen, LoginError, Pasted, Receive, Returned, Show, Step
from llm_mux.cli.said import clean
from llm_mux.gateway.loopback import Loopback

_MOST_TYPED = 65536


class Terminal:
    """`browser` False: addresses are only shown. `yes`: agrees to what is asked."""

    def __init__(self, *, browser: bool = True, yes: bool = False) -> None:
        self._browser = browser
        self._yes = yes
        self._loopback = Loopback()

    async def perform(self, step: Step) -> Any:
        match step:
            case Show():
                _say(step.text)
            case Browse():
                await self._browse(step)
            case Listen():
                return await self._loopback.open(step)
            case Receive():
                return await self._receive(step)
            case Ask():
                return await _asked(step)
            case Confirm():
                return await self._confirmed(step)
            case _:
                raise LoginError(f"a terminal cannot do this step: {type(step).__name__}")
        return None

    async def close(self) -> None:
        await self._loopback.close()

    async def _browse(self, step: Browse) -> None:
        opened = self._browser and _has_browser() and await asyncio.to_thread(_open, step.url)
        _say("Your browser has been sent to:" if opened else "Open this address in a browser, on any device:")
        _say(f"\n  {step.url}\n")
        if step.code:
            _say(f"and enter the code:  {step.code}\n\nWaiting for it... (Ctrl-C gives up)")

    async def _receive(self, step: Receive) -> Returned | Pasted | None:
        """The browser's return or a typed line, whichever is first."""
        _say(f"{step.prompt}: ", end="")
        waits = [asyncio.create_task(self._returned())]
        if _can_type():
            waits.append(asyncio.create_task(_pasted()))
        try:
            done, _ = await asyncio.wait(waits, timeout=step.timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if not done:
            return None
        found = done.pop().result()
        if isinstance(found, Returned):
            _say("")
        return found

    async def _returned(self) -> Returned | Pasted:
        return Returned(await self._loopback.returned())

    async def _confirmed(self, step: Confirm) -> bool:
        if self._yes:
            return True
        if not _can_type():
            raise LoginError("there is no terminal to agree on; --yes agrees")
        _say(f"{step.question} [y/N]: ", end="")
        return (await _line() or "").strip().lower() in ("y", "yes")


def _say(text: str, *, end: str = "\n") -> None:
    click.echo(clean(text) + end, err=True, nl=False)


def _can_type() -> bool:
    try:
        return sys.stdin.isatty()
    except (AttributeError, ValueError):
        return False


def _has_browser() -> bool:
    """Whether a browser opened from here is seen by the person: not over SSH, and not one inside this terminal."""
    if os.environ.get("BROWSER"):
        return True
    if os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"):
        return False
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open(url: str) -> bool:
    import webbrowser

    with contextlib.suppress(Exception):
        return webbrowser.open(url)
    return False


async def _asked(step: Ask) -> str:
    if not _can_type():
        raise LoginError("there is no terminal to ask on")
    _say(f"{step.prompt}: ", end="")
    with _silent() if step.secret else contextlib.nullcontext():
        line = await _line()
    if step.secret:
        _say("")
    return (line or "").strip()


async def _pasted() -> Pasted:
    line = await _line()
    if line is None:
        # The input has ended; the browser may still come back.
        await asyncio.Event().wait()
    return Pasted(line or "")


async def _line() -> str | None:
    """One typed line, None when the input has ended. Cancelling it leaves nothing behind."""
    if sys.platform == "win32":
        return await asyncio.to_thread(sys.stdin.readline) or None
    async with _readable(sys.stdin.fileno()) as arrived:
        await arrived.wait()
        data = os.read(sys.stdin.fileno(), _MOST_TYPED)
    return data.decode(errors="replace") if data else None


@contextlib.asynccontextmanager
async def _readable(fd: int) -> AsyncIterator[asyncio.Event]:
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, arrived.set)
    try:
        yield arrived
    finally:
        loop.remove_reader(fd)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The terminal does not show what is typed."""
    if sys.platform == "win32":
        yield
        return
    import termios

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    quiet = termios.tcgetattr(fd)
    quiet[3] &= ~termios.ECHO
    termios.tcsetattr(fd, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
