"""What one key cannot say about itself: settings that contradict each other or cannot work.

Rule: every check is a generator of findings with the path of the key to blame; it never repeats a secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from llm_mux.config.keys import keys_of
from llm_mux.config.problems import nearest
from llm_mux.config.references import ELSEWHERE, PASSTHRU, reference
from llm_mux.config.schema import Config, ProviderEntry, Section
from llm_mux.config.tree import Step

MAX_ALIAS_CHAIN = 10
LEAST_SECRET = 32
_NEEDS_URL = frozenset({"openai-compatible", "anthropic-compatible", "gemini-compatible"})
_PROXY_SCHEMES = frozenset({"http", "https", "socks5", "socks5h"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HMAC = frozenset({"HS256", "HS384", "HS512"})
_SIGNATURES = frozenset({f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)} | {"EdDSA"})


class Finding(Struct, frozen=True):
    """`fatal` ones refuse the configuration; the others are warnings."""

    path: tuple[Step, ...]
    message: str
    suggestion: str | None = None
    fatal: bool = True


Findings = Iterator[Finding]


class Surroundings(Struct, frozen=True):
    """What the checks may know beyond the configuration. `known_types` None: types are not checked."""

    env: Mapping[str, str]
    known_types: Collection[str] | None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    bare = host.strip("[]").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def findings(config: Config, around: Surroundings) -> Findings:
    """Everything that is wrong or doubtful, in the order of the schema."""
    for check in _CHECKS:
        yield from check(config, around)


def _listening(config: Config, _: Surroundings) -> Findings:
    if not config.host or re.search(r"[\s/@]", config.host):
        yield Finding(("host",), '"host" must be an address or a host name')
    elif not is_loopback(config.host) and config.disable_auth:
        yield Finding(
            ("host",),
            "other machines could reach this address without a key; "
            "set disable-auth: false (and api-keys or auth.jwt), or listen on 127.0.0.1",
        )
    if config.ollama_port is not None and config.ollama_port == config.port != 0:
        yield Finding(("ollama-port",), '"ollama-port" must differ from "port", which serves the Ollama protocol too')
    for index, host in enumerate(config.allowed_hosts):
        if not host or "/" in host:
            yield Finding(("allowed-hosts", index), "an allowed host is a name without scheme or path, such as mux.lan")
    for index, origin in enumerate(config.allowed_origins):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s]*", origin):
            yield Finding(
                ("allowed-origins", index),
                "an origin is scheme://host[:port] without a path, such as https://chat.example.com",
            )


def _workers(config: Config, _: Surroundings) -> Findings:
    if config.workers != 1 and config.rate_limits.enabled and config.redis_url is None:
        yield Finding(
            ("workers",),
            "rate-limits are counted in one process; with several workers they need redis-url (a Redis server that all "
            "of them reach), or set workers: 1",
        )


def _client_keys(config: Config, around: Surroundings) -> Findings:
    for index, key in enumerate(config.api_keys):
        yield from _reference_shape(("api-keys", index), key, passthru=False)
        yield from _unset(("api-keys", index), key, around, "nobody has this key")
    if config.disable_auth and (config.api_keys or config.auth.jwt.enabled):
        yield Finding(
            ("disable-auth",), "client keys are configured but not checked; set disable-auth: false", fatal=False
        )


def _jwt(config: Config, around: Surroundings) -> Findings:
    jwt = config.auth.jwt
    path = ("auth", "jwt")
    if jwt.secret is not None and jwt.jwks_url is not None:
        yield Finding((*path, "jwks-url"), "auth.jwt takes secret or jwks-url, not both")
    if jwt.jwks_url is not None:
        yield from _web_url((*path, "jwks-url"), jwt.jwks_url, plain_ok=False)
    secret = jwt.secret or ""
    yield from _unset((*path, "secret"), secret, around, "no token is taken")
    if secret and reference(secret).kind == "plain" and len(secret) < LEAST_SECRET:
        message = f"a secret of fewer than {LEAST_SECRET} characters can be guessed; make a longer one"
        yield Finding((*path, "secret"), message, fatal=False)
    if jwt.enabled:
        allowed = _HMAC if jwt.secret is not None else _SIGNATURES
        source = "secret" if jwt.secret is not None else "jwks-url"
        for index, name in enumerate(jwt.algorithms):
            if name not in allowed:
                yield Finding(
                    (*path, "algorithms", index), f"not an algorithm for {source}: use {', '.join(sorted(allowed))}"
                )


def _providers(config: Config, around: Surroundings) -> Findings:
    seen: set[str] = set()
    for index, entry in enumerate(config.providers):
        path = ("providers", index)
        if entry.id in seen:
            at = (*path, "id")
            yield Finding(at, f'two providers have the id "{entry.id}"; give each its own "id"')
        seen.add(entry.id)
        yield from _provider(path, entry, around)


def _provider(path: tuple[Step, ...], entry: ProviderEntry, around: Surroundings) -> Findings:
    known = around.known_types
    if known is not None and entry.type not in known:
        yield Finding((*path, "type"), f'unknown provider type "{entry.type}"', nearest(entry.type, known))
    if entry.base_url is not None:
        yield from _web_url((*path, "base-url"), entry.base_url, plain_ok=entry.allow_http)
    elif entry.type in _NEEDS_URL:
        yield Finding((*path, "type"), f'"{entry.type}" needs a base-url')
    if entry.proxy_url is not None:
        yield from _proxy((*path, "proxy-url"), entry.proxy_url)
    yield from _provider_keys(path, entry, around)
    yield from _headers((*path, "headers"), entry.headers)
    for place, glob in enumerate(entry.excluded_models):
        yield from _glob((*path, "excluded-models", place), glob)
    yield from _models((*path, "models"), entry)


def _provider_keys(path: tuple[Step, ...], entry: ProviderEntry, around: Surroundings) -> Findings:
    keys = [((*path, "api-keys", place, "key"), key.key) for place, key in enumerate(entry.api_keys)]
    if entry.api_key is not None:
        if keys:
            yield Finding((*path, "api-keys"), "set api-key or api-keys, not both")
        keys.append(((*path, "api-key"), entry.api_key))
    if any(value == PASSTHRU for _, value in keys) and len(keys) > 1:
        yield Finding((*path, "api-keys"), f"{PASSTHRU} cannot be mixed with other keys of the same provider")
    for at, value in keys:
        yield from _reference_shape(at, value, passthru=True)
        yield from _unset(at, value, around, "the account is left out")
    labels = Counter(key.label or f"key{number}" for number, key in enumerate(entry.api_keys, 1))
    for place, key in enumerate(entry.api_keys):
        if key.label and labels[key.label] > 1:
            unnamed = next((n for n, each in enumerate(entry.api_keys, 1) if not each.label), 0)
            hint = f"; key number {unnamed} has it because it has no label" if key.label == f"key{unnamed}" else ""
            yield Finding((*path, "api-keys", place, "label"), f'two keys have the label "{key.label}"{hint}')
        if key.proxy_url is not None:
            yield from _proxy((*path, "api-keys", place, "proxy-url"), key.proxy_url)


def _unset(path: tuple[Step, ...], value: str, around: Surroundings, effect: str) -> Findings:
    found = reference(value)
    if found.kind == "env" and found.name and not around.env.get(found.name):
        yield Finding(path, f"the environment variable {found.name} is not set; {effect}", fatal=False)


def _reference_shape(path: tuple[Step, ...], value: str, *, passthru: bool) -> Findings:
    found = reference(value)
    if not value.strip():
        yield Finding(path, "the key is empty; remove it, or name it by env:NAME or keyring:NAME")
    elif found.kind in ("env", "keyring", *ELSEWHERE) and not found.name:
        yield Finding(path, f"{found.kind}: must be followed by a name")
    elif found.kind == "passthru" and not passthru:
        yield Finding(path, f"{PASSTHRU} is only for the api-key of a provider")


def _models(path: tuple[Step, ...], entry: ProviderEntry) -> Findings:
    names = Counter(name for model in entry.models for name in {model.name, model.alias} if name)
    for place, model in enumerate(entry.models):
        twice = next((name for name in (model.alias, model.name) if name and names[name] > 1), None)
        if twice is not None:
            yield Finding((*path, place), f'two models of this provider have the name "{twice}"')


def _headers(path: tuple[Step, ...], headers: dict[str, str]) -> Findings:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            yield Finding((*path, name), "not a valid header name")
        if re.search(r"[\r\n\0]", value):
            yield Finding((*path, name), "a header value must be one line")


def _web_url(path: tuple[Step, ...], value: str, *, plain_ok: bool) -> Findings:
    """An http or https URL; http only to this machine unless `plain_ok`."""
    url = _split(value)
    if url is None or url.scheme not in ("http", "https") or not url.hostname:
        yield Finding(path, f'"{path[-1]}" must be a URL such as https://api.example.com')
    elif url.scheme == "http" and not plain_ok and not is_loopback(url.hostname):
        hint = " or set allow-http: true" if path[-1] == "base-url" else ""
        yield Finding(path, f'"{path[-1]}" would send secrets unencrypted; use https{hint}')


def base_url_problem(value: str) -> str | None:
    """What is wrong with a provider's URL that was given outside of the configuration."""
    return next((found.message for found in _web_url(("base-url",), value, plain_ok=False)), None)


def _split(value: str) -> SplitResult | None:
    if re.search(r"\s", value):
        return None
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError:
        return None
    return url


def _proxy(path: tuple[Step, ...], value: str) -> Findings:
    url = _split(value)
    if value != "direct" and (url is None or url.scheme not in _PROXY_SCHEMES or not url.hostname):
        yield Finding(path, '"proxy-url" must be an http, https or socks5 URL, or "direct"')


def _glob(path: tuple[Step, ...], value: str) -> Findings:
    unclosed = value.count("[") != value.count("]")
    if not value.strip() or unclosed or re.search(r"\s", value):
        yield Finding(path, "not a usable wildcard: write a model name with *, ? or [abc]")


def _aliases(config: Config, around: Surroundings) -> Findings:
    for name, target in config.aliases.items():
        yield from _provider_of(("aliases", name), target, config, around)
        yield from _glob(("aliases", name), name)
        if not target.strip():
            yield Finding(("aliases", name), f'the alias "{name}" names no model')
        chain = _chain(config.aliases, name)
        if chain[-1] in chain[:-1]:
            yield Finding(("aliases", name), f"the aliases go in a circle: {' -> '.join(chain)}")
        elif len(chain) > MAX_ALIAS_CHAIN + 1:
            yield Finding(("aliases", name), f"more than {MAX_ALIAS_CHAIN} aliases in a row; point to the model")


def _chain(aliases: dict[str, str], name: str) -> list[str]:
    chain = [name]
    while chain[-1] in aliases and chain[-1] not in chain[:-1]:
        chain.append(aliases[chain[-1]])
    return chain


def _meant(aliases: dict[str, str], name: str) -> str:
    """The model that a name stands for, without how much it is to think."""
    return _SUFFIX.sub("", _chain(aliases, name if name in aliases else _SUFFIX.sub("", name))[-1])


MOST_DOLLARS = 1_000_000
"""What somebody is given at once stays below it, so that sums of it have room."""
_SUFFIX = re.compile(r"\([a-z0-9]+\)$")
_NOT_PARAMETERS = frozenset({"model", "messages", "input", "contents", "prompt", "stream"})


def _model_settings(config: Config, _: Surroundings) -> Findings:
    patterns: set[str] = set()
    for index, each in enumerate(config.models):
        path = ("models", index)
        yield from _glob((*path, "model"), each.model)
        if "/" not in each.model:
            yield Finding((*path, "model"), f'"{each.model}" must be provider/model, such as openai/gpt-5*')
        if each.model in patterns:
            yield Finding((*path, "model"), f'"{each.model}" is named twice')
        patterns.add(each.model)
        for kind, values in (("defaults", each.defaults), ("overrides", each.overrides)):
            for name in sorted(_NOT_PARAMETERS & values.keys()):
                yield Finding((*path, kind, name), f'"{name}" is the request itself and cannot be set here')


def _fallbacks(config: Config, around: Surroundings) -> Findings:
    for name, models in config.fallbacks.items():
        if not models:
            yield Finding(("fallbacks", name), f'the fallbacks of "{name}" are empty; name at least one model')
        own = _meant(config.aliases, name)
        for place, model in enumerate(models):
            at = ("fallbacks", name, place)
            if model == name:
                yield Finding(at, f'"{name}" cannot be its own fallback')
            elif model in models[:place]:
                yield Finding(at, f'"{model}" is named twice')
            elif _meant(config.aliases, model) == own:
                yield Finding(at, f'"{model}" is "{name}" again (aliases and thinking apart), which is no fallback')
            yield from _provider_of(at, model, config, around)


def _provider_of(path: tuple[Step, ...], model: str, config: Config, around: Surroundings) -> Findings:
    """The provider in `provider://model` and `provider@account://model` has to exist, whether or not it has a key."""
    place, found, _ = model.partition("://")
    if not found or around.known_types is None:
        return
    provider, at, label = place.partition("@")
    known = {entry.id for entry in config.providers} | set(around.known_types)
    if provider not in known:
        yield Finding(path, f'no provider is called "{provider}"', nearest(provider, known))
    elif at and not label:
        yield Finding(path, f'"{provider}@" must be followed by the label of an account')


def _default_provider(config: Config, around: Surroundings) -> Findings:
    chosen = config.default_provider
    known = {entry.id for entry in config.providers} | set(around.known_types or ())
    if chosen is not None and around.known_types is not None and chosen not in known:
        yield Finding(("default-provider",), "no provider has this id", nearest(chosen, known))


def _stores(config: Config, _: Surroundings) -> Findings:
    if config.proxy_url is not None:
        yield from _proxy(("proxy-url",), config.proxy_url)
    if config.redis_url is not None and not re.match(r"(rediss?|unix)://", config.redis_url):
        yield Finding(("redis-url",), '"redis-url" must start with redis://, rediss:// or unix://')
    database = config.usage.database
    if database is not None and not re.match(r"(sqlite|postgresql)(\+\w+)?://", database):
        yield Finding(("usage", "database"), '"database" must start with postgresql:// or sqlite:///')


def _billing(config: Config, _: Surroundings) -> Findings:
    if config.billing.initial_balance >= MOST_DOLLARS:
        yield Finding(("billing", "initial-balance"), f"a balance begins below {MOST_DOLLARS:,} US dollars")


def _telemetry(config: Config, _: Surroundings) -> Findings:
    telemetry = config.telemetry
    if telemetry.otlp_endpoint is not None:
        yield from _web_url(("telemetry", "otlp-endpoint"), telemetry.otlp_endpoint, plain_ok=True)
    if telemetry.sentry_dsn is not None and reference(telemetry.sentry_dsn).kind == "plain":
        yield from _web_url(("telemetry", "sentry-dsn"), telemetry.sentry_dsn, plain_ok=True)
    langfuse = telemetry.langfuse
    if langfuse.host is not None:
        yield from _web_url(("telemetry", "langfuse", "host"), langfuse.host, plain_ok=False)
    if (langfuse.public_key is None) != (langfuse.secret_key is None):
        yield Finding(("telemetry", "langfuse"), "langfuse needs both public-key and secret-key")


def _later(config: Config, _: Surroundings) -> Findings:
    yield from _without_effect(config, Config(), ())


def _without_effect(section: Section, usual: Section, path: tuple[Step, ...]) -> Findings:
    """Settings that differ from their defaults although nothing reads them yet."""
    for (name, key), attribute in zip(keys_of(type(section)).items(), section.__struct_fields__, strict=True):
        value, default = getattr(section, attribute), getattr(usual, attribute)
        if value == default:
            continue
        if key.shape.extra.get("later"):
            yield Finding((*path, name), f'"{name}" has no effect in this version', fatal=False)
        elif isinstance(value, Section):
            yield from _without_effect(value, default, (*path, name))


_CHECKS: tuple[Callable[[Config, Surroundings], Findings], ...] = (
    _listening,
    _workers,
    _client_keys,
    _jwt,
    _providers,
    _default_provider,
    _aliases,
    _fallbacks,
    _model_settings,
    _stores,
    _billing,
    _telemetry,
    _later,
)
