"""A token server whose refresh tokens rotate and must not be used twice, and processes that share one login.

Run as a program it plays rounds: each round makes the token overdue, forks processes that all want it, and kills some
of them at random moments. Prints one JSON line for each round.
usage: python -m tests.upstreams.rotating HOME TOKEN_URL ROUNDS SEED KILLS
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from llm_mux.auth import tokens
from llm_mux.auth.base import Credential, OAuth
from llm_mux.auth.logins import StoredLogin, find_login, keep_login
from llm_mux.auth.sealed import SealedFile
from llm_mux.errors import MuxError
from llm_mux.gateway.credentials import Credentials
from llm_mux.gateway.upstream import open_upstream
from llm_mux.providers import registry
from llm_mux.providers.base import Login
from llm_mux.routing.accounts import Account, Session

PROCESSES = 3
LONGEST_S = 0.08


@dataclass
class Rotating:
    """The newest refresh token counts. The one that was used last does too until a newer one is used: whoever was
    killed before the answer came may ask again. Every other one is a reuse and refused for good."""

    url: str = ""
    newest: int = 0
    last_used: int = -1
    reused: int = 0
    sent: list[int] = field(default_factory=list)

    async def token(self, request: web.Request) -> web.Response:
        number = int((await request.post())["refresh_token"].removeprefix("rt-"))  # type: ignore[union-attr]
        self.sent.append(number)
        if number not in (self.newest, self.last_used):
            self.reused += 1
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.last_used, self.newest = number, self.newest + 1
        answer = {"access_token": f"at-{self.newest}", "refresh_token": f"rt-{self.newest}", "expires_in": 3600}
        return web.json_response(answer)


@contextlib.asynccontextmanager
async def rotating() -> AsyncIterator[Rotating]:
    server = Rotating()
    app = web.Application()
    app.router.add_post("/token", server.token)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def account_of(credential: Credential, token_url: str) -> Account:
    oauth = OAuth(client_id="me", token_url=token_url)
    session = Session(Login("browser", "", oauth, None, tokens.refresh), oauth, credential, registry.get("openai"))
    return Account(session.provider(), "me", credential.access, session=session)


def stored(store: SealedFile) -> Credential:
    found = find_login(store, "openai", "me")
    assert found is not None
    return found.credential


async def wanting(home: pathlib.Path, token_url: str) -> str:
    """One process that wants the token: what it may send in the end, or why not."""
    store, upstream = SealedFile(home), open_upstream()
    credentials = Credentials(store, home, upstream)
    account = account_of(stored(store), token_url)
    try:
        await credentials.ready(account)
        return account.key
    except MuxError as error:
        return f"{error.kind.value}: {error.message}"
    finally:
        await credentials.close()
        await upstream.close()


def forked(home: pathlib.Path, token_url: str) -> tuple[int, int]:
    """A process that wants the token, and the pipe that it says the outcome into."""
    ends = os.pipe()
    pid = os.fork()
    if pid:
        os.close(ends[1])
        return pid, ends[0]
    os.close(ends[0])
    os.write(ends[1], asyncio.run(wanting(home, token_url)).encode())
    os._exit(0)


def play(home: pathlib.Path, token_url: str, rng: random.Random, *, kills: bool) -> dict[str, object]:
    """One round."""
    store = SealedFile(home)
    over = msgspec.structs.replace(stored(store), expires=time.time() - 1, obtained=time.time() - 3600)
    keep_login(store, StoredLogin("openai", "me", over))
    children = [forked(home, token_url) for _ in range(PROCESSES)]
    killed = [pid for pid, _ in children if kills and rng.random() < 0.5]
    for pid in killed:
        time.sleep(rng.random() * LONGEST_S)
        os.kill(pid, signal.SIGKILL)
    told = []
    for pid, end in children:
        with os.fdopen(end) as outcome:
            said = outcome.read()
        os.waitpid(pid, 0)
        if pid not in killed:
            told.append(said)
    return {"told": told, "killed": len(killed), "kept": stored(store).access}


def main() -> None:
    home, token_url, rounds, seed, kills = sys.argv[1:]
    rng = random.Random(int(seed))
    for _ in range(int(rounds)):
        print(json.dumps(play(pathlib.Path(home), token_url, rng, kills=kills == "kills")), flush=True)


if __name__ == "__main__":
    main()
