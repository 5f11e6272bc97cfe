"""Every rule of HTTP/1.1 that concerns a server, byte for byte: in the lane's place and in the application's, whole and
cut into pieces."""

import asyncio

import pytest

from tests.server.conftest import Run
from tests.server.http_requests import CASES, HEALTH, Case
from tests.server.test_lane import Client, connected

PATIENCE_S = 20.0


async def status(client: Client, *, head: bool = False) -> int:
    """Of the next answer, which is read to its end; 0 where the connection ended instead."""
    try:
        if not head:
            return (await client.answer())[0]
        return int((await client.reader.readuntil(b"\r\n\r\n")).split()[1])
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0


async def answers(client: Client, case: Case) -> list[int]:
    found: list[int] = []
    for number in range(len(case.answers)):
        last = number == len(case.answers) - 1
        interim = case.answers[number] < 200
        found.append(await status(client, head=interim or (last and case.head)))
    return found


@pytest.mark.parametrize("before", [b"", HEALTH], ids=["first", "later"])
@pytest.mark.parametrize("name", CASES)
async def test_a_request_is_understood_in_one_way(demo: Run, name: str, before: bytes) -> None:
    case = CASES[name]
    async with demo() as mux, connected(mux.url) as client, asyncio.timeout(PATIENCE_S):
        if before:
            await client.send(before)
            assert await status(client) == 200
        sending = asyncio.create_task(client.send(case.sent))
        found = await answers(client, case)
        assert found[:-1] == list(case.answers[:-1])
        assert found[-1] in (case.answers[-1], *case.also), found
        if case.ends:
            assert await status(client) == 0, "nothing behind it is answered"
        else:
            await sending
            await client.send(HEALTH)
            assert await status(client) == 200, "the connection serves the next request"
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
