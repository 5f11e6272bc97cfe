"""The fake upstream does what its replies say, or every test above it means nothing."""

import asyncio

import aiohttp
import pytest

from tests.fake_upstream import RESET, FakeUpstream, Reply, Wait, cut, json_reply, sse_reply


async def test_replies_of_a_path_are_used_in_order_and_the_last_one_stays() -> None:
    async with FakeUpstream() as upstream, aiohttp.ClientSession() as session:
        upstream.on("/v1/x", json_reply({}, status=429, retry_after="3"), json_reply({"ok": True}))
        seen = []
        for _ in range(3):
            async with session.post(f"{upstream.url}/v1/x?key=1", json={"a": 1}) as response:
                seen.append((response.status, response.headers.get("Retry-After")))
        assert seen == [(429, "3"), (200, None), (200, None)]
        assert upstream.last.json() == {"a": 1}
        assert (upstream.last.method, upstream.last.path, upstream.last.query) == ("POST", "/v1/x", "key=1")


async def test_an_unscripted_path_is_a_404() -> None:
    async with (
        FakeUpstream() as upstream,
        aiohttp.ClientSession() as session,
        session.get(f"{upstream.url}/nowhere") as response,
    ):
        assert response.status == 404


async def test_chunks_arrive_as_they_were_cut() -> None:
    data = 'data: {"t": "é"}\n\n'.encode()
    async with FakeUpstream() as upstream, aiohttp.ClientSession() as session:
        upstream.on("/s", sse_reply(*cut(data, 1)))
        async with session.get(f"{upstream.url}/s") as response:
            assert response.content_type == "text/event-stream"
            assert b"".join([piece async for piece in response.content.iter_any()]) == data


async def test_a_reset_is_seen_as_a_broken_body() -> None:
    async with FakeUpstream() as upstream, aiohttp.ClientSession() as session:
        upstream.on("/s", sse_reply(b"data: 1\n\n", RESET))
        async with session.get(f"{upstream.url}/s") as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


async def test_a_client_that_leaves_is_noticed() -> None:
    async with FakeUpstream() as upstream, aiohttp.ClientSession() as session:
        upstream.on("/s", sse_reply(b"data: 1\n\n", Wait(asyncio.Event())))
        response = await session.get(f"{upstream.url}/s")
        await response.content.readany()
        response.close()
        async with asyncio.timeout(5):
            await upstream.closed.wait()
        assert upstream.open == 0


async def test_a_reply_can_hang_before_its_headers() -> None:
    go = asyncio.Event()
    async with FakeUpstream() as upstream, aiohttp.ClientSession() as session:
        upstream.on("*", Reply(body=b"late", content_type="text/plain", before=go))
        waiting = asyncio.ensure_future(session.get(f"{upstream.url}/any"))
        async with asyncio.timeout(5):
            await upstream.arrived.wait()
        assert not waiting.done()
        go.set()
        async with await waiting as response:
            assert await response.text() == "late"
