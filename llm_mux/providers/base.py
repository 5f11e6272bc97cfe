"""What a provider is: a frozen record of facts, with plain functions only where a fact will not do.

Rule: a provider knows nothing of who is calling and imports no other provider. `base_url` follows the vendor's SDK:
OpenAI-like ones end in their version segment, Anthropic, Gemini and Ollama ones carry none; `placement` and `join`
forgive both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal, Protocol
from urllib.parse import quote

from msgspec import Struct, field

from llm_mux.auth.base import Credential, Flow, OAuth, Steps, Wish
from llm_mux.errors import MuxError
from llm_mux.providers.quota import Quota, Windows
from llm_mux.translators.base import ModelInfo

Operation = Literal["generate", "complete", "embed", "count"]
Auth = Callable[[str], Mapping[str, str]]


class Unwrap(Protocol):
    """Takes the envelope off one answer: off a whole one, or off a stream piece by piece. Raises MuxError."""

    def whole(self, body: bytes) -> bytes: ...

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class Endpoint(Struct, frozen=True):
    """One path of a provider, spoken in one translator with its quirks.

    `path` may hold `{model}` and the names of the provider's `options`; `stream_path` where streaming has its own.
    `base_url` overrides the provider's (a vendor that serves a second format elsewhere). `auth` likewise. `serves`:
    clients of other formats that this one is nearer to than the provider's first.
    `wrap(body, model)` makes of the format's body what this path takes, `unwrap()` undoes that in one answer;
    `tells(body)` gives the headers that depend on the body. `calls(model)` is what the server itself calls a model.
    """

    translator: str
    path: str
    stream_path: str | None = None
    operation: Operation = "generate"
    quirks: object = None
    base_url: str | None = None
    auth: Auth | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wrap: Callable[[bytes, str], bytes] | None = None
    unwrap: Callable[[], Unwrap] | None = None
    tells: Callable[[bytes], Mapping[str, str]] | None = None
    calls: Callable[[str], str] | None = None
    serves: tuple[str, ...] = ()

    def sent(self, body: bytes, model: str, headers: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        """Body and headers of a request as this path takes them. What a client said itself in a header counts."""
        if self.tells is not None:
            headers = {**self.tells(body), **headers}
        return (body if self.wrap is None else self.wrap(body, model)), headers


Endpoints = tuple[Endpoint, ...]


def bearer(key: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {key}"}


def x_api_key(key: str) -> Mapping[str, str]:
    return {"x-api-key": key}


def x_goog_api_key(key: str) -> Mapping[str, str]:
    return {"x-goog-api-key": key}


def api_key_header(key: str) -> Mapping[str, str]:
    """Azure's header."""
    return {"api-key": key}


def if_given(auth: Auth) -> Auth:
    """For servers that need no key: `auth` when the user gave one, else nothing."""
    return lambda key: auth(key) if key else {}


no_auth = if_given(bearer)


class Login(Struct, frozen=True):
    """One way to log in to a provider other than by API key.

    `way` is what `--oauth` (browser), `--device`, `--code-assist` ask for by name. `start` is the flow; `refresh`
    gives the next credential from the last at epoch seconds (None: it never ends, or ends for good); `revoke` tells
    the provider that it is over. `imports` is the flow that starts from a file's text, `import_path` where other
    programs keep that file. `wants` names what it takes beside that (`Wish.extra`; `client`: an OAuth client's file).
    `warning` is said, and must be agreed to, before anything else. `applied` is the provider
    as an account with this credential uses it: its address, headers and way of showing the secret.
    """

    way: str
    title: str
    oauth: OAuth
    start: Callable[[OAuth, Wish], Flow] | None = None
    refresh: Callable[[OAuth, Credential, float], Flow] | None = None
    revoke: Callable[[OAuth, Credential], Steps[None]] | None = None
    imports: Callable[[OAuth, Wish, str], Flow] | None = None
    import_path: str = ""
    wants: tuple[str, ...] = ()
    warning: str = ""
    applied: Callable[[Provider, Credential], Provider] | None = None


class Provider(Struct, frozen=True):
    """Facts about one vendor or server.

    `root`: the path that a bare host is completed with, where `base_url` cannot say it. `env`: environment variables
    that may hold the key, `env_url` the base URL; the first that is set counts. `models_path` is asked with the
    translator `models_translator`; `models` is what is known without asking. `check_path` is asked when a key is
    tried, where the list will not do ("": nothing will, it is open to everybody). `owns`: beginnings of model ids that
    are surely this provider's. `options`: names that the config entry's `options` must or may give, with defaults
    (None: required). `keyless`: works without a key. `forwards`: headers of a client of the same format that go on.
    `vendor`: the registered name, when `name` is an id. `picks(model, endpoints, body)` narrows the endpoints that
    generate or count for a model and the client's body (b"" when unknown), best first (`ignores_bodies`: whatever the
    body says); `classify(error, headers)`
    refines an error; `quota(headers, body, now)` reads what is left of an account's quota from an answer (see
    `quota.py`); `adjust(provider, options)` is the record as the config entry's options change it. `logins`: the ways
    to log in beside an API key, the usual one first; `takes_keys`: whether there are API keys at all.

    `signs`: requests without a key are signed with the credentials of the machine (`ambient`: environment variables
    that say there are some). `option_env`: where options come from that nobody gave. Lists may be elsewhere
    (`models_url`) and in several parts (`more_models_paths`); `shorts(listed, options)` makes short names for them.
    `served_header` tells clients the model's own id. `resells`: names of vendors whose models it has.
    """

    name: str
    title: str
    base_url: str
    endpoints: Endpoints
    root: str = ""
    env: tuple[str, ...] = ()
    env_url: tuple[str, ...] = ()
    auth: Auth = bearer
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    models_path: str | None = "/models"
    models_translator: str = "openai_chat"
    models: tuple[ModelInfo, ...] = ()
    check_path: str | None = None
    owns: tuple[str, ...] = ()
    options: Mapping[str, str | None] = field(default_factory=dict)
    keyless: bool = False
    key_url: str = ""
    allows: str = ""
    forwards: tuple[str, ...] = ()
    vendor: str = ""
    keeps_responses: bool = False
    logins: tuple[Login, ...] = ()
    takes_keys: bool = True
    picks: Callable[[str, Endpoints, bytes], Endpoints] | None = None
    ignores_bodies: bool = False
    classify: Callable[[MuxError, Mapping[str, str]], MuxError] | None = None
    quota: Quota | None = None
    signs: bool = False
    ambient: tuple[str, ...] = ()
    option_env: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    models_url: str = ""
    more_models_paths: tuple[str, ...] = ()
    shorts: Callable[[Mapping[str, ModelInfo], Mapping[str, str]], dict[str, str]] | None = None
    served_header: str = ""
    resells: tuple[str, ...] = ()
    adjust: Callable[[Provider, Mapping[str, str]], Provider] | None = None

    def endpoint_for(self, model: str, protocol: str, operation: Operation, body: bytes = b"") -> Endpoint | None:
        """The endpoint for an operation on a model: the client's own format if the provider speaks it, else its first.

        None when the provider has no such operation. `body` is the client's, for what depends on it.
        """
        able = tuple(e for e in self.endpoints if e.operation == operation)
        if self.picks is not None and operation in ("generate", "count"):
            able = self.picks(model, able, body)
        near = [e for e in able if protocol in e.serves]
        return next((e for e in able if e.translator == protocol), next(iter((*near, *able)), None))

    @property
    def weighs_bodies(self) -> bool:
        """Whether a client's body has a say in which endpoint it goes to."""
        return self.picks is not None and not self.ignores_bodies

    def refined(self, error: MuxError, headers: Mapping[str, str]) -> MuxError:
        """What this vendor means by an error that the translator has read. `headers` are lower case."""
        return self.classify(error, headers) if self.classify is not None else error

    def windows(self, headers: Mapping[str, str], body: bytes, now: float) -> Windows:
        """The quota windows that an answer tells; `body` is that of an error, else b"". `now` is unix seconds."""
        return self.quota(headers, body, now) if self.quota is not None else ()


VERSION = re.compile(r"v\d+(?:alpha|beta)?\d*")


def join(base_url: str, path: str) -> str:
    """`base_url` and `path` as one URL. A version that both carry counts once, and the base's is the user's wish; a
    full endpoint path that was pasted as the base is not repeated."""
    base = base_url.rstrip("/")
    bare = path.partition("?")[0]
    if bare and base.endswith(bare):
        return base + path[len(bare) :]
    first = path[1:].partition("/")[0]
    if VERSION.fullmatch(first) and VERSION.fullmatch(base.rpartition("/")[2]):
        return base + path[1 + len(first) :]
    return base + path


def url_of(provider: Provider, path: str, model: str, options: Mapping[str, str], base_url: str | None = None) -> str:
    """The whole URL of `path` at a provider (or at its other root `base_url`), with what its query always holds."""
    url = join(base_url or provider.base_url, fill(path, model, options))
    if not provider.query:
        return url
    pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in provider.query.items())
    return f"{url}{'&' if '?' in url else '?'}{pairs}"


def fill(path: str, model: str, options: Mapping[str, str]) -> str:
    """`path` with `{model}` and option names put in, each percent-encoded (a model id may hold `/` and `:`)."""
    if "{" not in path:
        return path
    values = {name: quote(value, safe="") for name, value in options.items()}
    return path.format(model=quote(model, safe=""), **values)
