"""The upstream clients are tested on both event loops: what holds on one need not hold on the other."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

_BOTH = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
_ON_BOTH = ("test_upstream_conformance.py", "test_upstream_connections.py", "test_upstream_faults.py")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Plain asyncio, and uvloop too where the clients themselves are tested."""
    return _BOTH if item.path.name in _ON_BOTH else {"asyncio": asyncio.new_event_loop}
