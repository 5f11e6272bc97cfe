"""What a provider is: a frozen record of facts, with plain functions only where a fact will not do.

Rule: a provider knows nothing of who is calling and imports no other provider. `base_url` follows the vendor's SDK:
OpenAI-like ones end in their version segment, Anthropic, Gemini and Ollama ones carry none; `join` forgives both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, urlsplit

from llm_mux.errors import MuxError
from llm_mux.translators.base import ModelInfo

Operation = Literal["generate", "complete", "embed", "count"]
Auth = Callable[[str], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path of a provider, spoken in one translator with its quirks.

    `path` may hold `{model}` and the names of the provider's `options`; `stream_path` where streaming has its own.
    `base_url` overrides the provider's (a vendor that serves a second format elsewhere). `auth` likewise.
    """

    translator: str
    path: str
    stream_path: str | None = None
    operation: Operation = "generate"
    quirks: object = None
    base_url: str | None = None
    auth: Auth | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Provider:
    """Facts about one vendor or server.

    `env`: environment variables that may hold the key. `models_path` is asked with the translator `models_translator`;
    `models` is what is known without asking. `owns`: beginnings of model ids that are surely this provider's.
    `options`: names that the config entry's `options` must or may give, with defaults (None: required).
    `forwards`: headers of a client of the same format that go on. `vendor`: the registered name, when `name` is an id.
    `picks(model, endpoints)` narrows the generate endpoints for a model; `classify(error, headers)` refines an error.
    """

    name: str
    title: str
    base_url: str
    endpoints: tuple[Endpoint, ...]
    env: tuple[str, ...] = ()
    auth: Auth = field(default=lambda key: {"authorization": f"Bearer {key}"})
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    models_path: str | None = "/models"
    models_translator: str = "openai_chat"
    models: tuple[ModelInfo, ...] = ()
    owns: tuple[str, ...] = ()
    options: Mapping[str, str | None] = field(default_factory=dict)
    keyless: bool = False
    key_url: str = ""
    allows: str = ""
    forwards: tuple[str, ...] = ()
    vendor: str = ""
    picks: Callable[[str, tuple[Endpoint, ...]], tuple[Endpoint, ...]] | None = None
    classify: Callable[[MuxError, Mapping[str, str]], MuxError] | None = None

    def endpoint_for(self, model: str, protocol: str, operation: Operation) -> Endpoint | None:
        """The endpoint for an operation on a model: the client's own format if the provider speaks it, else its first.

        None when the provider has no such operation.
        """
        able = tuple(e for e in self.endpoints if e.operation == operation)
        if self.picks is not None and operation == "generate":
            able = self.picks(model, able)
        same = [e for e in able if e.translator == protocol]
        return same[0] if same else (able[0] if able else None)


def bearer(key: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {key}"}


def x_api_key(key: str) -> Mapping[str, str]:
    return {"x-api-key": key}


def x_goog_api_key(key: str) -> Mapping[str, str]:
    return {"x-goog-api-key": key}


def api_key_header(key: str) -> Mapping[str, str]:
    """Azure's header."""
    return {"api-key": key}


def no_auth(key: str) -> Mapping[str, str]:
    """Servers that take no key still get one as a bearer when the user gave one."""
    return bearer(key) if key else {}


_VERSIONS = ("/v1", "/v1beta", "/v1beta1", "/v1alpha", "/v2", "/v3", "/v4")


def join(base_url: str, path: str, *, version: str | None = None) -> str:
    """`base_url` and `path` as one URL. `version` ("/v1") is put between when the base is a bare host; a doubled
    version segment counts once, and a full endpoint path that was pasted as the base is cut back."""
    base = base_url.rstrip("/")
    if base.endswith(path.split("{", 1)[0].rstrip("/")) and "{" not in path:
        return base
    if version and not urlsplit(base).path:
        base += version
    for segment in _VERSIONS:
        if base.endswith(segment) and path.startswith(segment + "/"):
            return base + path[len(segment) :]
    return base + path


def fill(path: str, model: str, options: Mapping[str, str]) -> str:
    """`path` with `{model}` and option names put in, each percent-encoded (a model id may hold `/` and `:`)."""
    if "{" not in path:
        return path
    values = {name: quote(value, safe="") for name, value in options.items()}
    return path.format(model=quote(model, safe=""), **values)
