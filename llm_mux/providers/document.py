"""The pages on providers, made from their records, so that they cannot fall behind them: what all have in common with
an overview, and one page each."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import fields

from llm_mux.providers import registry
from llm_mux.providers.base import Endpoint, Login, Provider

_INTRO = """\
# Providers

Made from `llm_mux/providers/` by `python -m llm_mux.providers > docs/providers.md`; do not edit.

## Adding an account

`llm-mux login PROVIDER --api-key` asks for a key without showing it (or reads it from a pipe with `-`), tries it once
where the provider has something that only a good key is told, and stores it. The key is kept in the operating
system's keyring, or in one encrypted file where there is none; never in the configuration, a log or an answer. The
account is called `PROVIDER/LABEL`; several keys of one provider are several accounts.

`llm-mux login PROVIDER` with `--oauth` (a browser), `--device` (a code that is typed on any device), `--import` (what
another program or a file has already) or, for Google, `--code-assist` signs in where a provider has it; its own page
says what that does, and what the vendor allows. What such a login leaves (tokens, the account's id, e-mail and
plan, and whatever the next renewal needs) is kept in the same place as the keys and nowhere else; tokens are renewed
ahead of their end, and a renewed one is stored before it is used. `llm-mux logout` forgets it, and tells the provider
where the provider can be told. Every address, client id and scope can be replaced under `oauth:` of a configuration
entry. The browser comes back to 127.0.0.1 and ::1 only; on a machine without one the address or code that it ends at
is pasted.

Without a login the daemon uses what the environment holds (the names below; several keys in one value are separated by
spaces) unless `discover: false`, and what the configuration lists under `providers:`. A local Ollama is found by
itself.

## Addresses

`base-url` follows the vendor's own SDK: OpenAI-like ones end in their version (`/v1`), Anthropic, Gemini and Ollama
ones have none. A missing or doubled version, a whole endpoint address, and the address of a vendor's second format
are understood. A vendor's other region is chosen by its address: the formats it serves elsewhere move with it.

## Formats

A provider that speaks several formats is asked in the client's own; other clients are translated to the first one
listed. `format:` in the configuration allows one only. Models that need another format than the usual one are sent
there by themselves.

## All of them
"""

_FORMATS = {
    "openai_chat": "chat completions",
    "openai_responses": "Responses",
    "anthropic": "Messages",
    "gemini": "Gemini",
    "bedrock": "Bedrock Converse",
    "bedrock_invoke": "Bedrock InvokeModel",
    "ollama": "Ollama",
}
_MOST_SHOWN = 12
_SIDES = {"complete": "legacy completions", "embed": "embeddings", "count": "token counts"}


def markdown() -> str:
    """The page of all of our providers."""
    providers = list(registry.load(plugins=False).values())
    head = "| name | also | environment | formats | and |\n|---|---|---|---|---|"
    rows = "\n".join(_row(provider) for provider in providers)
    return f"{_INTRO}\n{head}\n{rows}\n"


def page(provider: Provider) -> str:
    """The page of one provider alone."""
    how = "Adding an account, addresses and formats in general: [providers](../providers.md)."
    return f"{_section(provider)}\n{how}\n"


def _row(provider: Provider) -> str:
    cells = (
        f"[{provider.name}](providers/{provider.name}.md)",
        _codes(_short_names(provider)),
        _codes(provider.env),
        ", ".join(_formats(provider)),
        ", ".join(_sides(provider)),
    )
    return f"| {' | '.join(cells)} |"


def _section(provider: Provider) -> str:
    lines = [f"# {provider.name}", "", f"{provider.title}. {provider.allows}", ""]
    if prose := _prose(provider):
        lines += [prose, ""]
    lines += [f"- {line}" for line in _facts(provider)]
    if quirks := _quirks(provider):
        lines += ["", "Different from the official API of the format:", "", *quirks]
    return "\n".join(lines) + "\n"


def _facts(provider: Provider) -> Iterable[str]:
    if provider.key_url:
        yield f"key: {provider.key_url}" + (" (not needed on your own machine)" if provider.keyless else "")
    yield from _logins(provider)
    yield f"environment: {_codes(provider.env) or 'none'}" + (
        f"; address: {_codes(provider.env_url)}" if provider.env_url else ""
    )
    yield f"base-url: {_code(provider.base_url) if provider.base_url else 'yours to say'}"
    others = dict.fromkeys(e.base_url for e in provider.endpoints if e.base_url and provider.base_url)
    if others:
        yield f"second format at: {_codes(str(url) for url in others)}"
    yield f"formats, first is the usual one: {', '.join(_formats(provider))}"
    if sides := _sides(provider):
        yield f"also: {', '.join(sides)}"
    if provider.options:
        yield f"options: {_codes(provider.options)}"
    if provider.owns:
        more = " and more" if len(provider.owns) > _MOST_SHOWN else ""
        yield f"model names that are surely its own begin with: {_codes(provider.owns[:_MOST_SHOWN])}{more}"


_FLAGS = {"browser": "--oauth", "device": "--device", "code-assist": "--code-assist --project PROJECT"}


def _logins(provider: Provider) -> Iterable[str]:
    """How to log in beside an API key, and what that does."""
    for login in provider.logins:
        command = f"llm-mux login {provider.name}"
        ways = [f"{command} {_FLAGS[login.way]}"] if login.start is not None else []
        ways += [f"{command} --import"] if login.imports is not None else []
        if not ways:
            continue
        reads = f", reads {_code(login.import_path)} or the file that is named" if login.import_path else ""
        yield f"log in with {' or '.join(map(_code, ways))}: {login.title}{reads}; {', '.join(_does(login))}"
    for warning in dict.fromkeys(login.warning for login in provider.logins if login.warning):
        yield f"said, and to be agreed to, before logging in: {warning}"


def _does(login: Login) -> Iterable[str]:
    oauth = login.oauth
    if login.start is None and login.refresh is None:
        yield "is never renewed"
        return
    urls = (oauth.issuer, oauth.authorize_url, oauth.device_url, oauth.token_url, oauth.userinfo_url)
    hosts = dict.fromkeys(urlsplit(url).netloc for url in (*urls, *oauth.addresses.values()) if url)
    if hosts:
        yield f"speaks with {_codes(hosts)}"
    if oauth.scopes:
        yield f"asks for {_codes(oauth.scopes)}"
    yield f"is renewed {_span(oauth.lead_s)} ahead" if login.refresh is not None else "is never renewed"
    if login.revoke is not None:
        yield "is taken back at logout"


def _span(seconds: float) -> str:
    """300 seconds are 5 minutes, 432000 are 5 days."""
    for size, word in ((86400, "days"), (3600, "hours")):
        if seconds >= size:
            return f"{seconds / size:g} {word}"
    return f"{seconds / 60:g} minutes"


def _prose(provider: Provider) -> str:
    """The provider file's own words, after its first line."""
    module = sys.modules[f"llm_mux.providers.{provider.name.replace('-', '_')}"]
    return (module.__doc__ or "").strip().partition("\n")[2].strip()


def _quirks(provider: Provider) -> list[str]:
    seen: dict[tuple[str, tuple[str, ...]], None] = {}
    for endpoint in provider.endpoints:
        if endpoint.operation == "generate" and (differing := tuple(_differences(endpoint))):
            seen[endpoint.translator, differing] = None
    return [f"- {_FORMATS[translator]}: {', '.join(differing)}" for translator, differing in seen]


def _differences(endpoint: Endpoint) -> Iterable[str]:
    quirks: Any = endpoint.quirks
    if not isinstance(quirks, Struct):
        return
    for field in fields(quirks):
        value = getattr(quirks, field.name)
        if value != field.default:
            yield _code(f"{field.name}={_said(value)}")


def _said(value: object) -> str:
    if isinstance(value, frozenset):
        return " ".join(sorted(map(str, value))) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value) or "none"


def _formats(provider: Provider) -> list[str]:
    return list(dict.fromkeys(_FORMATS[e.translator] for e in provider.endpoints if e.operation == "generate"))


def _sides(provider: Provider) -> list[str]:
    return [words for side, words in _SIDES.items() if any(e.operation == side for e in provider.endpoints)]


def _short_names(provider: Provider) -> list[str]:
    return [short for short, full in registry.ALIASES.items() if full == provider.name]


def _codes(values: Iterable[str]) -> str:
    return ", ".join(_code(value) for value in values)


def _code(value: str) -> str:
    return f"`{value}`"
