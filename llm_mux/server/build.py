"""From one reading of the configuration, and the long-lived parts, to the daemon that serves.

Whatever follows from the configuration is made in `build`, at the start and again at every reload. Nothing here may
change what running exchanges use: accounts that are still there keep their live state, everything else is new.
"""

from __future__ import annotations

import asyncio

from llm_mux.auth.keys import keys, resolve
from llm_mux.config import Config, Loaded
from llm_mux.gateway.core import Gateway, Settings
from llm_mux.gateway.upstream import Timeouts
from llm_mux.routing.accounts import carried_over
from llm_mux.server.compose import Fleet, fleet
from llm_mux.server.guard import Guard
from llm_mux.server.parts import Parts
from llm_mux.server.serving import Daemon


async def build(loaded: Loaded, parts: Parts, before: Daemon | None = None) -> Daemon:
    """The daemon of a configuration; `before` is the one that it replaces. Raises ConfigError or StoreError."""
    config = loaded.config
    made, client_keys = await asyncio.to_thread(_read, config, parts)
    accounts = carried_over(made.accounts, before.gateway.accounts if before is not None else ())
    parts.lists.known(accounts)
    gateway = Gateway(
        settings=_settings(config),
        offers=made.offers,
        accounts=accounts,
        upstream=parts.upstream,
        lists=parts.lists,
        seals=parts.seals,
        settle=parts.books,
    )
    return Daemon(
        loaded=loaded,
        parts=parts,
        gateway=gateway,
        guard=Guard(config, client_keys),
        metrics=parts.metrics,
        store=parts.responses if config.store_responses else None,
        max_request_size=config.max_request_size,
    )


def _read(config: Config, parts: Parts) -> tuple[Fleet, list[str]]:
    """Providers and accounts, and the client keys. Blocks: the keyring is asked."""
    env, secrets = parts.env, parts.secrets
    stored = keys(secrets)
    made = fleet(config, env, stored, secret=lambda text: resolve(text, env, secrets), demo_url=parts.demo_url)
    return made, [key for setting in config.api_keys for key in resolve(setting, env, secrets)]


def _settings(config: Config) -> Settings:
    seconds = config.timeouts
    return Settings(
        strict=config.strict,
        timeouts=Timeouts(seconds.connect, seconds.first_byte, seconds.between_bytes),
        aliases=dict(config.aliases),
        default_provider=config.default_provider,
    )
