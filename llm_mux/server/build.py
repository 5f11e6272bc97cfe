"""From one reading of the configuration, and the long-lived parts, to the daemon that serves.

Whatever follows from the configuration is made here, at the start and again at every reload: in `draw` what may block
or fail, in `assemble` the rest. Accounts that are still there keep their live state, everything else is new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from llm_mux import paths
from llm_mux.auth.keys import disabled, keys, management_key, resolve
from llm_mux.auth.logins import logins
from llm_mux.config import Config, ConfigError, Loaded, from_env, located
from llm_mux.gateway.core import Gateway, Settings
from llm_mux.gateway.downloads import Downloads
from llm_mux.gateway.tuning import Tuning
from llm_mux.gateway.upstream import Timeouts
from llm_mux.ledger.price_book import current
from llm_mux.ledger.pricing import Prices, own_prices
from llm_mux.routing.accounts import Account, carried_over
from llm_mux.routing.aliases import from_environment
from llm_mux.routing.catalog import Offer
from llm_mux.server import telemetry
from llm_mux.server.admission import Admission
from llm_mux.server.compose import Fleet, fleet
from llm_mux.server.guard import Guard
from llm_mux.server.known import Known
from llm_mux.server.limiter import Limiter
from llm_mux.server.management.access import Access
from llm_mux.server.parts import Parts
from llm_mux.server.serving import Daemon
from llm_mux.server.tokens import Tokens
from llm_mux.server.worker import Worker


class Drawn(Struct, frozen=True):
    """What a configuration stands for once keyring and environment were asked; nothing of it is in use yet."""

    loaded: Loaded
    fleet: Fleet
    client_keys: list[str]
    management_key: str | None
    prices: Prices
    limiter: Limiter
    telemetry: telemetry.Wanted


async def build(loaded: Loaded, parts: Parts) -> Daemon:
    """The first daemon. Raises ConfigError or StoreError."""
    return assemble(await draw(loaded, parts), parts, ())


async def draw(loaded: Loaded, parts: Parts) -> Drawn:
    """Everything that can fail or block. Raises ConfigError or StoreError."""
    try:
        return await asyncio.to_thread(_draw, loaded, parts)
    except ConfigError as error:
        raise located(error, loaded) from error


def _draw(loaded: Loaded, parts: Parts) -> Drawn:
    config, env, secrets = loaded.config, parts.env, parts.secrets
    stored = keys(secrets)
    made = fleet(
        config,
        env,
        stored,
        logins=logins(secrets),
        disabled=disabled(secrets),
        secret=lambda text: resolve(text, env, secrets),
        demo_url=parts.demo_url,
    )
    client_keys = [key for setting in config.api_keys for key in resolve(setting, env, secrets)]
    prices = Prices(current(paths.prices_file(env)), own_prices(config.prices))
    refuse = config.rate_limits.when_redis_fails == "refuse"
    limiter = parts.limiters.of(config.redis_url, refuse=refuse, alone=not parts.peers.others)
    _divide(made.accounts, parts.peers.worker)
    measured = telemetry.wanted(config, env, lambda text: resolve(text, env, secrets))
    return Drawn(loaded, made, client_keys, management_key(secrets), prices, limiter, measured)


def _divide(accounts: Iterable[Account], worker: Worker | None) -> None:
    """Each of several workers has its part of what an account takes at once. Raises ConfigError."""
    if worker is None:
        return
    for account in accounts:
        if account.most is None:
            continue
        if account.most < worker.of:
            message = f"{account.name} takes {account.most} exchanges at once (max-concurrent)"
            raise ConfigError(f"{message}, which {worker.of} workers cannot divide; use fewer workers or raise it")
        account.most = account.most // worker.of + (worker.number < account.most % worker.of)


def assemble(drawn: Drawn, parts: Parts, before: Sequence[Account]) -> Daemon:
    """The daemon of a configuration; `before` are the accounts of the one that it replaces."""
    config = drawn.loaded.config
    accounts = carried_over(drawn.fleet.accounts, before)
    parts.lists.known(accounts)
    parts.credentials.watch(accounts)
    parts.books.prices = drawn.prices
    parts.traces.become(drawn.telemetry.destinations, drawn.telemetry.environment)
    parts.sentry.become_soon(drawn.telemetry.sentry_dsn, drawn.telemetry.environment)
    parts.retention.days = config.usage.retention_days
    parts.sessions.belong_to(drawn.management_key)
    known = Known(parts.books.prices, {offer.provider: offer.vendor for offer in drawn.fleet.offers})
    parts.recent.capturing = config.capture
    parts.till.balances.initial = config.billing.initial_balance
    gateway = Gateway(
        settings=_settings(config, parts.env, drawn.fleet.offers),
        offers=drawn.fleet.offers,
        accounts=accounts,
        upstream=parts.upstream,
        credentials=parts.credentials,
        lists=parts.lists,
        seals=parts.seals,
        drain=parts.drain,
        downloads=Downloads(on=config.download_media, hosts=config.download_hosts),
        standing=parts.standing,
        waiting=parts.waiting,
        settle=parts.books,
        price=known.price,
        context=known.context,
    )
    for account in accounts:
        # It may have become one that takes more at once.
        parts.waiting.room(account)
    parts.cooldowns.watch(accounts)
    parts.quotas.watch(accounts)
    parts.rests.become(accounts, config.redis_url)
    parts.shared_seals.become(config.redis_url)
    parts.account_notes.watch(accounts)
    return Daemon(
        loaded=drawn.loaded,
        parts=parts,
        gateway=gateway,
        guard=Guard(config, drawn.client_keys, parts.key_book, _tokens(config, parts), parts.sessions),
        access=_access(drawn, parts),
        admission=_admission(drawn, parts),
        metrics=parts.metrics,
        store=parts.responses if config.store_responses else None,
        max_request_size=config.max_request_size,
    )


def _access(drawn: Drawn, parts: Parts) -> Access:
    allow_remote = drawn.loaded.config.remote_management.allow_remote
    return Access(drawn.management_key, parts.lockout, parts.sessions, allow_remote=allow_remote)


def _admission(drawn: Drawn, parts: Parts) -> Admission:
    config = drawn.loaded.config
    return Admission(
        config.rate_limits,
        drawn.limiter,
        parts.till,
        parts.metrics,
        drawn.prices,
        billing=config.billing,
    )


def _tokens(config: Config, parts: Parts) -> Tokens | None:
    settings = config.auth.jwt
    if not settings.enabled:
        return None
    return Tokens(settings, from_env(settings.secret, parts.env), parts.upstream)


def _settings(config: Config, env: Mapping[str, str], offers: Sequence[Offer]) -> Settings:
    seconds = config.timeouts
    return Settings(
        strict=config.strict,
        timeouts=Timeouts(seconds.connect, seconds.first_byte, seconds.between_bytes),
        aliases=from_environment(env, [(each.provider, each.vendor) for each in offers]) | config.aliases,
        default_provider=config.default_provider,
        fallbacks=dict(config.fallbacks),
        request_retry=config.request_retry,
        max_retry_interval=config.max_retry_interval,
        hedge_after=config.routing.hedge_after,
        strategy=config.routing.strategy,
        tunings=tuple(Tuning(each.model, each.defaults, each.overrides, each.context) for each in config.models),
    )
