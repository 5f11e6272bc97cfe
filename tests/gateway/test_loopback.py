"""The listener that a browser comes back to: loopback alone, one answer, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from llm_mux.auth.base import Listen
from llm_mux.gateway.loopback import Loopback
from tests.services import missing

STATE = "s" * 32
GOOD = f"/callback?code=c0de&state={STATE}"


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[tuple[Loopback, int]]:
    loopback = Loopback()
    port = await loopback.open(Listen(0, "/callback", STATE))
    assert port is not None
    try:
        yield loopback, port
    finally:
        await loopback.close()


async def status(url: str) -> int:
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        return answer.status


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


async def test_the_return_is_told_once_and_a_second_is_refused() -> None:
    async with listening() as (loopback, port):
        assert await status(f"http://127.0.0.1:{port}/callback?code=c&state=wrong") == 403
        assert await status(f"http://127.0.0.1:{port}{GOOD}") == 200
        assert await loopback.returned() == {"code": "c0de", "state": STATE}
        assert await status(f"http://127.0.0.1:{port}{GOOD}") == 409


async def test_both_loopback_addresses_are_listened_on_and_no_other() -> None:
    async with listening() as (_, port):
        if has_ipv6():
            assert await status(f"http://[::1]:{port}/") == 404
        others = {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
        for address in others - {"127.0.0.1", "127.0.1.1"}:
            with pytest.raises(OSError):
                socket.create_connection((address, port), timeout=5).close()


async def test_a_port_of_another_program_is_not_had() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert await Loopback().open(Listen(other.getsockname()[1], "/callback", STATE)) is None


async def test_a_port_that_another_program_has_on_ipv6_alone_is_not_had_either() -> None:
    if not has_ipv6():
        missing("this machine has no IPv6")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        assert await Loopback().open(Listen(other.getsockname()[1], "/callback", STATE)) is None


async def test_somebody_who_says_nothing_keeps_nobody_waiting() -> None:
    async with listening() as (loopback, port):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        assert await status(f"http://127.0.0.1:{port}{GOOD}") == 200
        assert (await loopback.returned())["code"] == "c0de"
        for _, writer in silent:
            writer.close()


async def test_the_port_is_free_again_afterwards() -> None:
    async with listening() as (_, port):
        pass
    with socket.create_server(("127.0.0.1", port)):
        pass
