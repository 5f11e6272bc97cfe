"""One question for each account that only a good key or login is answered, with its token renewed where it is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from llm_mux import paths
from llm_mux.errors import MuxError
from llm_mux.gateway.credentials import Credentials
from llm_mux.gateway.models import fetch, list_models
from llm_mux.gateway.upstream import Upstream, open_upstream
from llm_mux.routing.accounts import PASSTHROUGH, Account, without_secrets

if TYPE_CHECKING:
    from llm_mux.auth.store import SecretStore


class Tested(Struct, frozen=True):
    """`ok` None: there is nothing to ask this account without spending something."""

    name: str
    ok: bool | None
    message: str


async def checked(
    accounts: Sequence[Account], among: Sequence[Account], store: SecretStore, say: Callable[[str], object]
) -> list[Tested]:
    """Asks all of the `accounts`, a few at a time; `say` gets a line for each as it is known, without anything secret
    of those that they are `among`."""
    upstream = open_upstream()
    credentials = Credentials(store, paths.data_dir(), upstream)
    slots = asyncio.Semaphore(8)

    async def one(account: Account) -> Tested:
        async with slots:
            result = await _asked(account, upstream, credentials)
        result = replace(result, message=without_secrets(among, result.message))
        mark = {True: "ok  ", False: "FAIL", None: "?   "}[result.ok]
        say(f"{mark}  {result.name}: {result.message}")
        return result

    try:
        return list(await asyncio.gather(*(one(account) for account in accounts)))
    finally:
        await credentials.close()
        await upstream.close()


async def _asked(account: Account, upstream: Upstream, credentials: Credentials) -> Tested:
    provider = account.provider
    path = provider.models_path if provider.check_path is None else provider.check_path
    if account.key == PASSTHROUGH:
        return Tested(account.name, None, "its key is the client's own")
    try:
        if not path:
            await credentials.ready(account)
            said = "its token is good" if account.session is not None else f"{provider.title} has nothing to ask"
            return Tested(account.name, True if account.session is not None else None, said)
        return Tested(account.name, True, await credentials.using(account, lambda: _told(account, upstream)))
    except MuxError as error:
        return Tested(account.name, False, error.message)


async def _told(account: Account, upstream: Upstream) -> str:
    """What the provider told, in words."""
    if account.provider.check_path:
        await fetch(account, upstream, account.provider.check_path)
    models = await list_models(account, upstream)
    return f"{len(models)} models" if models else "taken"
