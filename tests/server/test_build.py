"""A new reading of the configuration beside the running daemon: what is replaced, and what goes on as it was."""

import asyncio
import pathlib

import aiohttp

from llm_mux.config import parse
from llm_mux.errors import Kind, MuxError
from llm_mux.server.build import assemble, draw
from llm_mux.server.serving import DAEMON
from tests.daemon import clean_environment, config_text, daemon
from tests.fake_upstream import FakeUpstream, json_reply
from tests.server.conftest import Run

SLOW = {"model": "demo-slow", "stream": True, "messages": [{"role": "user", "content": "one two three four five six"}]}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
WHOLE = {"id": "c", "model": "m", "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}


async def test_a_running_stream_does_not_notice_that_its_provider_is_taken_away(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(f"{mux.url}/v1/chat/completions", json=SLOW) as answer:
            head = await answer.content.readany()
            now = mux.app[DAEMON]
            old = now.gateway
            loaded = parse(config_text({"strict": True}), None, clean_environment(mux.home))
            now.become(assemble(await draw(loaded, now.parts), now.parts, old.accounts))
            assert now.gateway is not old
            assert now.gateway.settings.strict
            assert (head + await answer.read()).endswith(b"data: [DONE]\n\n")


async def test_accounts_keep_their_rest_and_moved_ones_do_not(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply(WHOLE))
        same = {"type": "openai-compatible", "id": "same", "base-url": f"{upstream.url}/v1", "api-key": "k"}
        moved = {**same, "id": "moved", "options": {}}
        async with daemon(tmp_path, {"providers": [same, moved]}) as mux:
            now = mux.app[DAEMON]
            loop = asyncio.get_running_loop()
            for account in now.gateway.accounts:
                account.failed("m", MuxError(Kind.RATE_LIMIT, "slow down", retry_after=60), loop.time())
            later = [{**same, "weight": 2}, {**moved, "base-url": f"{upstream.url}/other/v1"}]
            loaded = parse(config_text({"providers": later}), None, clean_environment(tmp_path))
            now.become(assemble(await draw(loaded, now.parts), now.parts, now.gateway.accounts))
            rests = {account.provider.name: bool(account.breakers) for account in now.gateway.accounts}
            assert rests == {"same": True, "moved": False}
            assert {account.provider.name: account.weight for account in now.gateway.accounts} == {
                "same": 2,
                "moved": 1,
            }
            async with aiohttp.ClientSession() as client:
                async with client.post(f"{mux.url}/v1/chat/completions", json={**CHAT, "model": "moved://m"}) as answer:
                    assert answer.status == 200, await answer.text()
            assert upstream.requests[-1].path == "/other/v1/chat/completions"


async def test_reading_it_again_and_again_under_load_fails_no_request(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply(WHOLE))
        entry = {"type": "openai-compatible", "id": "up", "base-url": f"{upstream.url}/v1", "api-key": "k"}
        async with daemon(tmp_path, {"providers": [entry]}) as mux, aiohttp.ClientSession() as client:
            now, statuses, over = mux.app[DAEMON], [], asyncio.Event()

            async def ask() -> None:
                while not over.is_set():
                    body = {**CHAT, "model": "up://m"}
                    async with client.post(f"{mux.url}/v1/chat/completions", json=body) as answer:
                        statuses.append(answer.status)

            clients = [asyncio.create_task(ask()) for _ in range(8)]
            for number in range(30):
                weighed = {**entry, "weight": number + 1, "headers": {"x-reading": str(number)}}
                loaded = parse(config_text({"providers": [weighed]}), None, clean_environment(tmp_path))
                now.become(assemble(await draw(loaded, now.parts), now.parts, now.gateway.accounts))
            over.set()
            await asyncio.gather(*clients)
            assert set(statuses) == {200}
            (account,) = now.gateway.accounts
            assert (account.inflight, account.weight) == (0, 30)
            assert len({request.headers.get("x-reading") for request in upstream.requests}) > 3
