"""From the configuration, the environment and stored keys to providers, offers and accounts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from llm_mux.auth.aws import AwsSigner, available
from llm_mux.auth.base import overridden
from llm_mux.auth.keys import StoredKey
from llm_mux.auth.logins import StoredLogin
from llm_mux.config import Config, ConfigError, ProviderEntry
from llm_mux.providers import environment, registry
from llm_mux.providers.base import Provider
from llm_mux.providers.placement import placed
from llm_mux.routing.accounts import PASSTHROUGH, Account, Session
from llm_mux.routing.catalog import Offer, Shorts
from llm_mux.translators.base import ModelInfo

Stored = StoredKey | StoredLogin
_NOTHING: Mapping[str, object] = {}


class Fleet(Struct):
    """Everyone we can send to."""

    offers: list[Offer] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)


def fleet(
    config: Config,
    env: Mapping[str, str],
    stored: Iterable[StoredKey],
    *,
    secret: Callable[[str], list[str]],
    logins: Iterable[StoredLogin] = (),
    disabled: frozenset[str] = frozenset(),
    demo_url: str | None = None,
) -> Fleet:
    """Providers of the configuration first, then stored keys and logins, then the environment, then the demo.

    `secret` gives the keys that one of the configuration stands for (`env:NAME`, `keyring:NAME`); none: no account.
    `disabled` are accounts (`provider/label`) that are left out.
    """
    made = Fleet()
    kept: list[Stored] = [*stored, *logins]
    for index, entry in enumerate(config.providers):
        try:
            _configured(made, _with_environment(entry, env), config, kept, secret)
        except ConfigError as error:
            error.path = error.path or ("providers", index)
            raise
    for key in kept:
        if not any(offer.provider == key.provider for offer in made.offers):
            _stored(made, key.provider, kept, config)
    if config.discover:
        _discovered(made, env, config)
    if demo_url is not None:
        demo = replace(registry.get("demo"), base_url=demo_url)
        _add(made, demo, _offer(demo, None), [Account(demo, "demo", priority=-1)])
    made.accounts = [account for account in made.accounts if account.name not in disabled]
    twice = next((name for name, n in Counter(account.name for account in made.accounts).items() if n > 1), None)
    if twice is not None:
        raise ConfigError(
            f"two accounts are called {twice}: rename the key's `label` in the configuration, "
            f"or forget the stored one: llm-mux logout {twice}",
            path=_configured_as(twice, config),
        )
    return made


def _configured_as(name: str, config: Config) -> tuple[str | int, ...]:
    """The key of the configuration that makes the account of this name; its provider where that cannot be told."""
    provider, _, label = name.partition("/")
    for index, entry in enumerate(config.providers):
        if entry.id != provider:
            continue
        for place, key in enumerate(entry.api_keys):
            if label == (key.label or f"key{place + 1}"):
                return ("providers", index, "api-keys", place)
        return ("providers", index, "api-key") if entry.api_key is not None else ("providers", index)
    return ()


def _add(made: Fleet, provider: Provider, offer: Offer, accounts: Sequence[Account]) -> None:
    made.offers.append(offer)
    made.accounts.extend(accounts)
    for account in accounts:
        if provider.signs and not account.key:
            account.sign = AwsSigner(account.options["region"], account.options.get("profile") or None).headers


def _with_environment(entry: ProviderEntry, env: Mapping[str, str]) -> ProviderEntry:
    """The entry with the options that it leaves to the environment."""
    named = environment.options(registry.get(entry.type), env)
    return msgspec.structs.replace(entry, options={**named, **entry.options}) if named else entry


def _configured(
    made: Fleet, entry: ProviderEntry, config: Config, stored: Sequence[Stored], secret: Callable[[str], list[str]]
) -> None:
    provider = configured(entry)
    options = {name: str(value) for name, value in entry.options.items()}
    options = _defaults(provider) | options
    missing = [name for name, default in provider.options.items() if default is None and name not in options]
    if missing:
        raise ConfigError(f"provider `{entry.id or entry.type}` needs options.{missing[0]}")
    proxy = entry.proxy_url or config.proxy_url

    def account(label: str, key: str, **more: object) -> Account:
        values = {
            "proxy_url": proxy,
            "weight": entry.weight,
            "priority": entry.priority,
            "first_byte_s": entry.timeout,
            "most": entry.max_concurrent,
            **more,
        }
        return Account(provider, label, key, options=options, headers=dict(entry.headers), **values)  # type: ignore[arg-type]  # checked by the schema

    accounts = [account(label, key) for label, key in _labelled("config", _keys_of(entry.api_key, secret))]
    for number, one in enumerate(entry.api_keys, 1):
        more = {
            "weight": entry.weight * one.weight,
            "priority": entry.priority + one.priority,
            "proxy_url": one.proxy_url or proxy,
            "most": one.max_concurrent or entry.max_concurrent,
        }
        keys = _labelled(one.label or f"key{number}", _keys_of(one.key, secret))
        accounts.extend(account(label, key, **more) for label, key in keys)
    mine = [key for key in stored if key.provider == provider.name]
    for key in mine:
        own = _of_stored(key, _at(entry, key, provider), entry.oauth)
        if own is not None:
            accounts.append(
                dataclasses.replace(account(key.label, own.key), provider=own.provider, session=own.session)
            )
    if not accounts and not (entry.api_key or entry.api_keys):
        named = _named_by_environment(provider, secret) if config.discover and entry.base_url is None else []
        accounts.extend(account(label, key) for label, key in _labelled("env", named))
        if not accounts and provider.keyless:
            accounts.append(account("default", ""))
    _add(made, provider, _offer(provider, entry, options), accounts)


def _of_stored(stored: Stored, provider: Provider, oauth: Mapping[str, object] = _NOTHING) -> Account | None:
    """The account of a stored key or login at `provider`; None for a login of a way that the provider has no more.
    `oauth` replaces facts of the login."""
    if isinstance(stored, StoredKey):
        return Account(provider, stored.label, stored.key)
    credential = stored.credential
    login = next((login for login in provider.logins if login.way == credential.way), None)
    if login is None:
        return None
    try:
        session = Session(login, overridden(login.oauth, oauth), credential, provider)
    except ValueError as error:
        raise ConfigError(f"provider `{provider.name}`: {error}") from error
    return Account(session.provider(), stored.label, credential.access, session=session)


def _at(entry: ProviderEntry, key: Stored, provider: Provider) -> Provider:
    """Where a stored key belongs: it never goes to another address than the one it was stored for."""
    return configured(msgspec.structs.replace(entry, base_url=key.base_url)) if key.base_url else provider


def _labelled(label: str, keys: Sequence[str]) -> list[tuple[str, str]]:
    """Each key with a label of its own; the first has `label` itself."""
    return [(label if number == 1 else f"{label}-{number}", key) for number, key in enumerate(keys, 1)]


def _named_by_environment(provider: Provider, secret: Callable[[str], list[str]]) -> list[str]:
    """The keys of an entry that has none: those of the provider's own variable, as without the entry."""
    found = ((name, " ".join(secret(f"env:{name}"))) for name in provider.env)
    return next((_unmixed(name, keys) for name, keys in found if keys), [])


def _keys_of(setting: str | None, secret: Callable[[str], list[str]]) -> list[str]:
    if setting is None:
        return []
    return [PASSTHROUGH] if setting == PASSTHROUGH else secret(setting)


def configured(entry: ProviderEntry) -> Provider:
    """The registered provider with what the entry changes: id, base URL, format."""
    provider = registry.get(entry.type)
    name = entry.id or provider.name
    try:
        moved = placed(
            provider,
            base_url=entry.base_url,
            translator=entry.format.replace("-", "_") if entry.format is not None else None,
            options={option: str(value) for option, value in entry.options.items()},
        )
    except ValueError as error:
        raise ConfigError(f"provider `{name}` {error}") from error
    return replace(moved, name=name, vendor=provider.name)


def _offer(provider: Provider, entry: ProviderEntry | None, options: Mapping[str, str] | None = None) -> Offer:
    listed: dict[str, ModelInfo] = {}
    renamed: dict[str, str] = {}
    for model in entry.models if entry is not None else ():
        listed[model.name] = ModelInfo(model.name)
        if model.alias:
            renamed[model.alias] = model.name
    vendor = provider.vendor or provider.name
    return Offer(
        provider=provider.name,
        vendor=vendor,
        others=tuple(short for short, full in registry.ALIASES.items() if full == vendor),
        resells=provider.resells,
        listed=listed,
        renamed=renamed,
        shorts=_shorts(provider, options or {}),
        owns=provider.owns,
        excluded=entry.excluded_models if entry is not None else (),
        only_listed=bool(listed),
    )


def _defaults(provider: Provider) -> dict[str, str]:
    return {name: value for name, value in provider.options.items() if value is not None}


def _shorts(provider: Provider, options: Mapping[str, str]) -> Shorts | None:
    shorts = provider.shorts
    return None if shorts is None else lambda listed: shorts(listed, options)


def _stored(made: Fleet, name: str, stored: Sequence[Stored], config: Config) -> None:
    if name not in registry.load():
        return
    accounts: list[Account] = []
    for key in stored:
        registered = registry.get(name)
        if key.provider == name and (key.base_url or registered.base_url):
            # Each at its own address: a key must not be sent to the server that another one was stored for.
            at = placed(registered, base_url=key.base_url) if key.base_url else registered
            own = _of_stored(key, at)
            if own is not None:
                own.proxy_url = config.proxy_url
                accounts.append(own)
    if accounts:
        _add(made, accounts[0].provider, _offer(accounts[0].provider, None), accounts)


_OLLAMA_PORT = 11434
"""Where a local Ollama listens; a daemon that listens there itself would find itself."""


def _discovered(made: Fleet, env: Mapping[str, str], config: Config) -> None:
    """Providers whose key is in the environment, and a local Ollama, unless they are already there."""
    there = {offer.vendor for offer in made.offers}
    for registered in registry.load().values():
        if registered.name in there:
            continue
        try:
            provider = environment.from_environment(registered, env)
        except ValueError as error:
            raise ConfigError(f"environment: provider `{registered.name}` {error}") from error
        keys = next((_unmixed(name, env[name]) for name in provider.env if env.get(name, "").strip()), [])
        if not keys and any(env.get(name) for name in provider.ambient) and available():
            keys = [""]
        if keys and provider.base_url:
            options = _defaults(provider) | environment.options(provider, env)
            accounts = [
                Account(provider, label, key, proxy_url=config.proxy_url, options=options)
                for label, key in _labelled("env", keys)
            ]
            _add(made, provider, _offer(provider, None, options), accounts)
        elif provider.name == "ollama" and _OLLAMA_PORT not in (config.port, config.ollama_port):
            offer = msgspec.structs.replace(_offer(provider, None), tentative=True)
            _add(made, provider, offer, [Account(provider, "local")])
    _named_only_by_environment(made, env, config)


def _named_only_by_environment(made: Fleet, env: Mapping[str, str], config: Config) -> None:
    """Servers that nobody registered: name, key and address are all in the environment."""
    there = {offer.provider for offer in made.offers}
    try:
        found = [(provider, keys) for provider, keys in environment.others(env) if provider.name not in there]
    except ValueError as error:
        raise ConfigError(f"environment: a provider {error}") from error
    for provider, keys in found:
        labelled = _labelled("env", _unmixed(f"{environment.prefix(provider.name)}_API_KEY", keys))
        accounts = [Account(provider, label, key, proxy_url=config.proxy_url) for label, key in labelled]
        _add(made, provider, _offer(provider, None), accounts)


def _unmixed(variable: str, value: str) -> list[str]:
    """The keys of a variable. Raises ConfigError where clients' own keys and fixed ones stand side by side."""
    keys = value.split()
    if PASSTHROUGH in keys and len(keys) > 1:
        raise ConfigError(f"environment {variable}: {PASSTHROUGH} stands alone; take the other keys out")
    return keys
