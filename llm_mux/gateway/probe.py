"""A key tried once before it is stored: the provider's model list is asked with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.models import list_models
from llm_mux.gateway.upstream import Upstream
from llm_mux.providers import registry
from llm_mux.routing.accounts import Account


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """`ok`: the provider took the key. `reached` False: it could not be asked. `models`: how many it listed."""

    ok: bool
    message: str
    models: int = 0
    reached: bool = True


async def try_key(provider_type: str, key: str, *, base_url: str | None = None, config: Any = None) -> KeyCheck:
    """Asks `provider_type` (at `base_url`) for its models with `key`."""
    provider = registry.get(provider_type)
    if base_url:
        provider = replace(provider, base_url=base_url)
    upstream = Upstream()
    try:
        models = await list_models(
            Account(provider, "new", key, proxy_url=getattr(config, "proxy_url", None)), upstream
        )
    except MuxError as error:
        refused = error.kind in (Kind.UPSTREAM_AUTH, Kind.UPSTREAM_FORBIDDEN, Kind.BAD_REQUEST)
        return KeyCheck(False, error.message, reached=refused or error.status is not None)
    finally:
        await upstream.close()
    return KeyCheck(True, f"{provider.title} took the key.", models=len(models))
