"""A person at the dashboard: a real browser, signed in, that complains of whatever a page may not do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    TimeoutError,
    async_playwright,
    expect,
)

from tests.server.management import Managed
from tests.services import missing

NAMES = ("chromium", "chromium-browser", "google-chrome")
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 860}
LIMIT_MS = 15_000
READY_MS = 60_000
PAGES = (
    "home",
    "live",
    "usage",
    "inspector",
    "logs",
    "accounts",
    "models",
    "routes",
    "keys",
    "billing",
    "config",
    "playground",
    "sessions",
)

expect.set_options(timeout=LIMIT_MS)


@contextlib.asynccontextmanager
async def chromium(*arguments: str) -> AsyncIterator[Browser]:
    """The browser of this machine; the test that needs it is skipped without, or fails where CI is true."""
    found = os.environ.get("LLM_MUX_TEST_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing("no Chromium on this machine: install it, or name it in LLM_MUX_TEST_CHROMIUM")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox", *arguments])
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visit:
    """A page of the dashboard of `mux`. `refused`: failures of requests that a test means to happen, by status."""

    mux: Managed
    page: Page
    refused: set[int] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    waiting: dict[Request, str] = field(default_factory=dict)

    async def open(self, address: str) -> None:
        """Goes to `#/address` and waits until the page has what it shows; says what it has instead if it never does."""
        await self.page.goto(f"{self.mux.url}/#/{address}")
        name = address.split("?", maxsplit=1)[0].split("/", maxsplit=1)[0] or "home"
        try:
            await self.page.wait_for_selector(f"main[data-page={name}][data-ready]", timeout=READY_MS)
        except TimeoutError as late:
            raise AssertionError(f"{name} is not ready\n{await self._state()}") from late

    async def _state(self) -> str:
        """Where the page is, what it shows, what it asked without having the whole answer."""
        shown = await asyncio.wait_for(self.page.evaluate("() => document.body.outerHTML"), 10)
        told = "\n".join(("waits for:", *self.waiting.values(), "complains:", *self.complaints))
        return f"{self.page.url}\n{told}\n{shown}"

    async def sign_in(self, key: str | None = None) -> None:
        await self.page.get_by_label("Management key").fill(key or self.mux.key)
        await self.page.get_by_role("button", name="Sign in").click()

    def button(self, name: str, **more: Any) -> Any:
        return self.page.get_by_role("button", name=name, **more)

    def says(self, text: str) -> Any:
        """Expectations about the first thing that shows a text."""
        return expect(self.page.get_by_text(text).first)

    def forget(self) -> None:
        """What was complained of so far was meant to happen."""
        self.complaints.clear()

    def row(self, text: str) -> Any:
        """The first row of a table that has a text."""
        return self.page.locator("main tbody tr", has_text=text).first

    def listen(self) -> None:
        self.page.set_default_timeout(LIMIT_MS)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", self._request)
        for end in ("requestfinished", "requestfailed"):
            self.page.on(end, lambda request: self.waiting.pop(request, None))

    def _console(self, message: ConsoleMessage) -> None:
        meant = any(f"status of {status}" in message.text for status in self.refused)
        if message.type in ("error", "warning") and not meant:
            self.complaints.append(f"{message.type}: {message.text} {message.location}")

    def _request(self, request: Request) -> None:
        self.waiting[request] = f"{request.method} {request.url}"
        if not request.url.startswith((f"{self.mux.url}/", "data:", "blob:")):
            self.complaints.append(f"asked elsewhere: {request.url}")


async def visited(browser: Browser, mux: Managed, **looks: Any) -> tuple[BrowserContext, Visit]:
    """A new browser profile at the page, not signed in. `looks`: what Playwright takes for a context."""
    context = await browser.new_context(**{"viewport": DESK, "reduced_motion": "reduce", **looks})
    visit = Visit(mux, await context.new_page())
    visit.listen()
    return context, visit
