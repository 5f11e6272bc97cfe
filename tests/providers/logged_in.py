"""A daemon that asks a played backend with a credential, as it does after a login."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from llm_mux.auth.base import Credential
from llm_mux.providers import registry
from llm_mux.providers.base import Login
from llm_mux.routing.accounts import Account
from llm_mux.server.serving import DAEMON
from tests.daemon import daemon

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return msgspec.json.decode(self.text)


@dataclass(frozen=True)
class Client:
    """A client of the daemon; `account` is the only one there."""

    url: str
    account: Account
    http: aiohttp.ClientSession

    async def post(self, path: str, body: Json, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.post(self.url + path, json=body, headers=named) as answer:
            return Answer(answer.status, answer.headers.copy(), await answer.text())

    async def get(self, path: str) -> Answer:
        async with self.http.get(self.url + path) as answer:
            return Answer(answer.status, answer.headers.copy(), await answer.text())


def login_of(provider: str, way: str) -> Login:
    return next(login for login in registry.get(provider).logins if login.way == way)


@contextlib.asynccontextmanager
async def logged_in(
    home: pathlib.Path, provider: str, credential: Credential, base_url: str, **entry: Any
) -> AsyncIterator[Client]:
    """`entry` are more keys of the configuration entry, such as models."""
    config = {"providers": [{"type": provider, "base-url": base_url, "api-key": credential.access, **entry}]}
    async with daemon(home, config) as running, aiohttp.ClientSession() as http:
        (account,) = running.app[DAEMON].gateway.accounts
        applied = login_of(provider, credential.way).applied
        if applied is not None:
            account.provider = applied(account.provider, credential)
        yield Client(running.url, account, http)
