"""A browser at a daemon's dashboard. A visit fails on errors of its scripts, broken rules of the page, and strangers."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.dashboard.browser import Visit, chromium, visited
from tests.server.management import managed

Seen = Callable[..., AbstractAsyncContextManager[Visit]]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest.fixture
def visit(browser: Browser, tmp_path: pathlib.Path) -> Seen:
    """`async with visit("usage") as seen:` is a daemon with the demo provider and its page, signed in and ready."""

    @contextlib.asynccontextmanager
    async def run(
        address: str | None = "home",
        config: Mapping[str, Any] | str | None = None,
        *,
        looks: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[Visit]:
        async with managed(tmp_path / "home", config) as mux:
            context, seen = await visited(browser, mux, **(looks or {}))
            await seen.page.goto(f"{mux.url}/")
            if address is not None:
                await seen.sign_in()
                await seen.open(address)
            yield seen
            await context.close()
            assert seen.complaints == []

    return run
