"""Two daemons on machines of their own, with a Redis and a PostgreSQL as all that they share."""

import asyncio
import base64
import contextlib
import os
import pathlib
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from llm_mux.auth.base import Credential
from llm_mux.auth.logins import StoredLogin, keep_login
from llm_mux.auth.postgres_store import PostgresStore
from tests.chaos.load import BODY
from tests.chaos.machines import HERE, machines
from tests.chaos.servers import OwnPostgres, OwnRedis
from tests.daemon import process_daemon
from tests.gateway.test_upstream_connections import certificate
from tests.server.test_workers import whole

LIMIT = 17
SEALING = os.urandom(32)


@dataclass
class World:
    """What the daemons have in front of them: who asked what by which key, and how often a token was renewed."""

    asked: Counter[str] = field(default_factory=Counter)
    renewed: list[str] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    resting: set[str] = field(default_factory=set)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        key = request.headers["Authorization"].removeprefix("Bearer ")
        self.asked[key] += 1
        if key in self.revoked:
            return web.json_response({"error": {"message": "token expired"}}, status=401)
        if key in self.resting:
            return web.json_response({"error": {"message": "no"}}, status=429, headers={"Retry-After": "600"})
        return whole()

    async def token(self, request: web.Request) -> web.StreamResponse:
        said = str((await request.post())["refresh_token"])
        self.renewed.append(said)
        await asyncio.sleep(0.3)  # As long as a vendor takes: who comes meanwhile must wait, and not ask too.
        number = int(said.removeprefix("rt-")) + 1
        return web.json_response({"access_token": f"at-{number}", "refresh_token": f"rt-{number}", "expires_in": 3600})

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/token", self.token)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, HERE, 0, ssl_context=tls).start()
        try:
            yield f"https://{HERE}:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


@dataclass
class Fleet:
    world: World
    postgres: OwnPostgres
    daemons: contextlib.ExitStack
    sessions: list[aiohttp.ClientSession]
    ids: list[str] = field(default_factory=list)

    async def ask(self, machine: int, model: str, *, key: str = "", said: str = "hi") -> tuple[int, str]:
        """The status, and which account answered. Without a `key`: by one that has not used up its limit."""
        key = key or f"free-{len(self.ids) // LIMIT}"
        self.ids.append(f"r{len(self.ids)}")
        body = {**BODY, "model": model, "messages": [{"role": "user", "content": said}]}
        headers = {"Authorization": f"Bearer {key}", "X-Request-ID": self.ids[-1]}
        async with self.sessions[machine].post("/v1/chat/completions", json=body, headers=headers) as answer:
            await answer.read()
            return answer.status, answer.headers.get("x-llm-mux-account", "")

    async def both(self, count: int, model: str, **more: str) -> Counter[int]:
        """So many at each machine at once; how often which status came."""
        answers = await asyncio.gather(*(self.ask(n % 2, model, **more) for n in range(2 * count)))
        return Counter(status for status, _ in answers)


def settings(world_url: str, machine_address: str, redis: OwnRedis, postgres: OwnPostgres) -> dict[str, object]:
    many = [{"key": f"key-{n}", "label": f"k{n}"} for n in range(5)]
    fixed = {"type": "openai-compatible", "base-url": f"{world_url}/v1"}
    oauth = {"token-url": f"{world_url}/token", "client-id": "c"}
    return {
        "host": machine_address,
        "api-keys": ["limited", *(f"free-{number}" for number in range(9))],
        "rate-limits": {"requests-per-hour": LIMIT, "when-redis-fails": "refuse"},
        "request-retry": 0,
        "redis-url": redis.url,
        "usage": {"database": postgres.dsn("books")},
        "providers": [
            {**fixed, "id": "many", "models": ["spread"], "api-keys": many},
            {**fixed, "id": "one", "models": ["rested"], "api-keys": [{"key": "tired", "label": "t"}]},
            {**fixed, "type": "oauth", "id": "corp", "models": ["corp"], "oauth": oauth},
        ],
    }


@contextlib.asynccontextmanager
async def fleet(folder: pathlib.Path) -> AsyncIterator[Fleet]:
    async with contextlib.AsyncExitStack() as stack:
        there = stack.enter_context(machines(2))
        world = World()
        tls, trusted = certificate(folder, HERE)
        url = await stack.enter_async_context(world.running(tls))
        postgres = stack.enter_context(OwnPostgres.made(host=HERE))
        await postgres.start()
        await postgres.run("CREATE DATABASE books")
        redis = OwnRedis(folder, host=HERE)
        await redis.start()
        stack.callback(redis.kill)
        over = Credential(
            access="at-0", refresh="rt-0", expires=time.time() - 1, obtained=time.time() - 3600, way="browser"
        )
        store = PostgresStore(postgres.dsn("books"), [SEALING])
        await asyncio.to_thread(keep_login, store, StoredLogin("corp", "me", over))
        await asyncio.to_thread(store.close)
        env = {"LLM_MUX_KEYRING": "postgresql", "LLM_MUX_SECRETS_KEY": base64.b64encode(SEALING).decode()}
        env |= {"LLM_MUX_SECRETS_DATABASE": postgres.dsn("books"), "SSL_CERT_FILE": str(trusted)}
        daemons = stack.enter_context(contextlib.ExitStack())
        sessions = []
        for machine in there:
            config = settings(url, machine.address, redis, postgres)
            starting = process_daemon(folder / machine.name, config, env=env, inside=machine.inside)
            # What it asks for at its start is answered here meanwhile.
            mux = await asyncio.to_thread(daemons.enter_context, starting)
            sessions.append(await stack.enter_async_context(aiohttp.ClientSession(mux.url)))
        yield Fleet(world, postgres, daemons, sessions)


async def test_two_machines_are_one_daemon(tmp_path: pathlib.Path) -> None:
    """One limit, one renewal of a login, one rest of an account, one choice for a conversation, one row each."""
    async with fleet(tmp_path) as f:
        # A token that is over when both begin, and one that the provider takes no more: one renewal each time.
        assert await f.both(5, "corp") == {200: 10}
        assert f.world.renewed == ["rt-0"]
        f.world.revoked.add("at-1")
        assert await f.both(5, "corp") == {200: 10}
        assert f.world.renewed == ["rt-0", "rt-1"]

        conversations = [f"conversation {number}" for number in range(8)]
        chosen = [
            [await f.ask(machine, "spread", key="free-8", said=said) for said in conversations] for machine in (0, 1)
        ]
        assert chosen[0] == chosen[1]
        assert len(set(chosen[0])) > 2

        f.world.resting.add("tired")
        assert (await f.ask(0, "rested"))[0] == 429
        async with asyncio.timeout(20):
            asked = -1
            while f.world.asked["tired"] != asked:
                asked = f.world.asked["tired"]
                assert (await f.ask(1, "rested"))[0] == 429
        assert f.world.asked["tired"] <= 2

        assert await f.both(30, "spread", key="limited") == {200: LIMIT, 429: 60 - LIMIT}
        await asyncio.to_thread(f.daemons.close)
        rows = await f.postgres.run("SELECT request_id FROM exchanges", "books")
        assert Counter(row["request_id"] for row in rows) == Counter(f.ids)
