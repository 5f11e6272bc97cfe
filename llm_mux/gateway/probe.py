"""A key tried once before it is stored: the provider is asked for its model list, or for what its record names."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.models import fetch, list_models
from llm_mux.gateway.upstream import Upstream, open_upstream
from llm_mux.providers import registry
from llm_mux.providers.placement import placed
from llm_mux.routing.accounts import Account


class KeyCheck(Struct, frozen=True):
    """`ok`: the provider took the key. `reached` False: it could not be asked. `models`: how many it listed."""

    ok: bool
    message: str
    models: int = 0
    reached: bool = True


async def try_key(provider_type: str, key: str, *, base_url: str | None = None, config: Any = None) -> KeyCheck:
    """Asks `provider_type` (at `base_url`) with `key` for what only a good key is told."""
    try:
        provider = placed(registry.get(provider_type), base_url=base_url)
    except ValueError as error:
        return KeyCheck(False, f"{provider_type} {error}: say where it is with --base-url")
    account = Account(provider, "new", key, proxy_url=getattr(config, "proxy_url", None))
    upstream = open_upstream()
    try:
        return await _tried(account, upstream)
    except MuxError as error:
        refused = error.kind in (Kind.UPSTREAM_AUTH, Kind.UPSTREAM_FORBIDDEN, Kind.BAD_REQUEST)
        return KeyCheck(False, error.message, reached=refused or error.status is not None)
    finally:
        await upstream.close()


async def _tried(account: Account, upstream: Upstream) -> KeyCheck:
    provider = account.provider
    path = provider.models_path if provider.check_path is None else provider.check_path
    if not path:
        return KeyCheck(True, f"{provider.title} has nothing to try a key with: the first request will tell.")
    if provider.check_path:
        await fetch(account, upstream, provider.check_path)
    models = await list_models(account, upstream)
    return KeyCheck(True, f"{provider.title} took the key.", models=len(models))
