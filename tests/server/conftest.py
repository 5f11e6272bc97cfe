"""A daemon with the demo model behind it, inside the test's own loop."""

import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from llm_mux.server.demo import start_demo
from tests.daemon import Daemon, daemon

Run = Callable[..., AbstractAsyncContextManager[Daemon]]


@pytest.fixture
def demo(tmp_path: pathlib.Path) -> Run:
    """`async with demo({...config}) as running:`"""

    @contextlib.asynccontextmanager
    async def run(config: Mapping[str, Any] | None = None) -> AsyncIterator[Daemon]:
        async with start_demo() as url, daemon(tmp_path, config or {}, demo_url=url) as running:
            yield running

    return run
