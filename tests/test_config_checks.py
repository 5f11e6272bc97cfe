"""Settings that are fine alone and wrong together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from llm_mux.config import ConfigError, is_loopback, parse

KNOWN = ("anthropic", "openai", "gemini", "openai-compatible", "ollama", "bedrock")


@dataclass(frozen=True)
class Case:
    text: str
    message: str
    line: int = 1
    suggestion: str | None = None


def provider(fields: str) -> str:
    return f"providers:\n- type: openai\n  {fields}\n"


REFUSED = [
    Case("host: 0.0.0.0", "without a key"),
    Case("host: 0.0.0.0\napi-keys: [k]\ndisable-auth: true", "without a key"),
    Case("host: '::'", "without a key"),
    Case("host: a b", "must be an address"),
    Case("port: 11434\nollama-port: 11434", "must differ", line=2),
    Case("allowed-hosts: ['http://x/']", "an allowed host is a name"),
    Case("allowed-origins: [x.example]", "an origin is scheme"),
    Case("allowed-origins:\n- 'https://x.example/path'", "an origin is scheme", line=2),
    Case("api-keys: ['']", "the key is empty"),
    Case("api-keys: ['env:']", "must be followed by a name"),
    Case("api-keys: ['!PASSTHRU']", "only for the api-key of a provider"),
    Case("auth: {jwt: {secret: s, jwks-url: 'https://x.example/k'}}", "not both"),
    Case("auth: {jwt: {jwks-url: 'http://x.example/k'}}", "use https"),
    Case("auth: {jwt: {secret: s, algorithms: [none]}}", "not an algorithm for secret"),
    Case("auth: {jwt: {jwks-url: 'https://x.example/k', algorithms: [HS256]}}", "not an algorithm for jwks-url"),
    Case("billing: {initial-balance: 1e30}", "a balance begins below 1,000,000 US dollars"),
    Case("providers:\n- type: openai\n- type: openai", 'two providers have the id "openai"', line=3),
    Case("providers:\n- {type: openai, id: w}\n- {type: gemini, id: w}", 'the id "w"', line=3),
    Case("providers:\n- type: antropic", "unknown provider type", line=2, suggestion="anthropic"),
    Case("providers:\n- type: openai-compatible", "needs a base-url", line=2),
    Case(provider("base-url: api.example.com"), "must be a URL", line=3),
    Case(provider("base-url: http://api.example.com/v1"), "use https or set allow-http", line=3),
    Case(provider("base-url: ftp://api.example.com"), "must be a URL", line=3),
    Case(provider("base-url: 'https://api.example.com:x'"), "must be a URL", line=3),
    Case(provider("proxy-url: localhost:3128"), "an http, https or socks5 URL", line=3),
    Case(provider("api-keys: [{key: a, proxy-url: x}]"), "an http, https or socks5 URL", line=3),
    Case(provider("api-key: a\n  api-keys: [b]"), "set api-key or api-keys, not both", line=4),
    Case(provider("api-keys: ['!PASSTHRU', b]"), "cannot be mixed", line=3),
    Case(provider("api-keys: [{key: a, label: x}, {key: b, label: x}]"), 'two keys have the label "x"', line=3),
    Case(provider("api-key: 'keyring:'"), "must be followed by a name", line=3),
    Case(provider("headers: {'a b': c}"), "not a valid header name", line=3),
    Case(provider('headers: {a: "c\\r\\nd: e"}'), "must be one line", line=3),
    Case(provider("excluded-models: ['gpt-[45']"), "not a usable wildcard", line=3),
    Case(provider("models: [{name: a, alias: b}, b]"), 'two models of this provider have the name "b"', line=3),
    Case("default-provider: antropic", "no provider has this id", suggestion="anthropic"),
    Case("aliases: {a: a}", "go in a circle: a -> a"),
    Case("aliases:\n  a: b\n  b: c\n  c: a", "go in a circle: a -> b -> c -> a", line=2),
    Case("aliases: {a: ''}", "names no model"),
    Case("aliases: {'a[': b}", "not a usable wildcard"),
    Case("aliases: {" + ", ".join(f"m{n}: m{n + 1}" for n in range(12)) + "}", "more than 10 aliases in a row"),
    Case("fallbacks:\n  a: [b, a]", "its own fallback", line=2),
    Case("fallbacks: {a: [b, b]}", "named twice"),
    Case("fallbacks: {a: []}", "are empty"),
    Case("models: [{model: gpt-5}]", "must be provider/model"),
    Case("models: [{model: a/b}, {model: a/b}]", "named twice"),
    Case("models:\n  - model: a/b\n    overrides: {stream: true}", "cannot be set here", line=3),
    Case("aliases: {q: b}\nfallbacks:\n  b: [c, q]", '"q" is "b" again', line=3),
    Case("aliases: {q: b}\nfallbacks:\n  q: [b]", '"b" is "q" again', line=3),
    Case("fallbacks:\n  b: [c, b(high)]", '"b(high)" is "b" again', line=2),
    Case("aliases: {q: b}\nfallbacks:\n  b(low): [c, q(8192)]", '"q(8192)" is "b(low)" again', line=3),
    Case("aliases: {q: 'antropic://b'}", 'no provider is called "antropic"', suggestion="anthropic"),
    Case("aliases: {q: 'openai@://b'}", "followed by the label of an account"),
    Case("fallbacks:\n  b:\n  - c\n  - worq@x://c", 'no provider is called "worq"', line=4),
    Case(provider("id: work") + "fallbacks: {b: [wrok://c]}", "no provider", line=4, suggestion="work"),
    Case(provider("api-keys: [a, {key: b, label: key1}]"), "key number 1 has it because it has no label", line=3),
    Case("proxy-url: gopher://x", "an http, https or socks5 URL"),
    Case("redis-url: localhost", "must start with redis://"),
    Case("usage: {database: books.db}", "must start with postgresql://"),
    Case("telemetry: {otlp-endpoint: x}", "must be a URL"),
    Case("telemetry: {sentry-dsn: x}", "must be a URL"),
    Case("telemetry: {langfuse: {public-key: a}}", "both public-key and secret-key"),
    Case("telemetry: {langfuse: {host: 'http://x.example'}}", "use https"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.message[:40])
def test_contradictions_are_refused_where_they_stand(case: Case) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(case.text, Path("config.yaml"), {}, known_types=KNOWN)
    assert case.message in caught.value.message
    assert caught.value.line == case.line
    assert caught.value.suggestion == case.suggestion


@pytest.mark.parametrize(
    "text",
    [
        "host: 0.0.0.0\ndisable-auth: false",
        "host: 0.0.0.0\napi-keys: [k]",
        "host: localhost",
        "host: '::1'",
        "ollama-port: 11434",
        "allowed-origins: ['tauri://localhost', 'https://x.example:8443']",
        provider("base-url: http://127.0.0.1:9000/v1"),
        provider("base-url: http://gpu.lan:8000\n  allow-http: true"),
        provider("proxy-url: direct"),
        provider("api-key: '!PASSTHRU'"),
        provider("excluded-models: ['gpt-[45]*', '*-preview']"),
        "default-provider: work\nproviders: [{type: openai, id: work}]",
        "default-provider: gemini",
        "aliases: {fast: b, b: 'gemini://c', 'gpt-*': b}",
        "fallbacks: {a: [b], b: [a]}",
        "auth: {jwt: {secret: s, algorithms: [HS512]}}",
        "usage: {database: 'postgresql://localhost/books'}",
        "telemetry: {sentry-dsn: 'env:DSN'}",
    ],
)
def test_what_works_together_is_taken(text: str) -> None:
    parse(text, None, {}, known_types=KNOWN)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (provider("api-key: env:NO_SUCH_KEY"), "config:3:12: the environment variable NO_SUCH_KEY is not set"),
        ("api-keys: [k, 'env:NO_SUCH_KEY']", "config:1:15: the environment variable NO_SUCH_KEY is not set; nobody"),
        ("disable-auth: true\napi-keys: [k]", "config:1:15: client keys are configured but not checked"),
        ("auth: {jwt: {secret: short}}", "config:1:22: a secret of fewer than 32 characters can be guessed"),
        ("auth: {jwt: {secret: 'env:NO_SUCH'}}", "config:1:22: the environment variable NO_SUCH is not set; no token"),
    ],
)
def test_doubtful_settings_are_reported_and_taken(text: str, warning: str) -> None:
    (found,) = parse(text, None, {}).warnings
    assert found.startswith(warning)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("LOCALHOST", True),
        ("mux.localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("localhost.example.com", False),
    ],
)
def test_only_loopback_addresses_count_as_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
