"""Every setting of llm-mux, once: types, limits, defaults and help. The validator, config.example.yaml, the masking of
secrets and docs/configuration.md are all made from these Structs.

Rule: a key exists here or it does not exist. Values are frozen; sizes are bytes, durations are seconds.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field


def doc(
    text: str,
    *,
    secret: bool = False,
    example: str | None = None,
    instead: bool = False,
    later: bool = False,
    restart: bool = False,
    words: dict[str, int] | None = None,
) -> Meta:
    """Help for one key. `secret` is masked wherever the configuration is shown; `example` is YAML for the example file.

    `instead`: the key excludes one that stands before it. `later`: nothing reads it yet, so that whoever sets it has
    to be told. `restart`: a running daemon keeps the value that it began with. `words` stand for numbers.
    """
    said = f"{text} (no effect yet)" if later else f"{text} (needs a restart)" if restart else text
    extra: dict[str, object] = {
        "secret": secret,
        "example": example,
        "instead": instead,
        "later": later,
        "restart": restart,
    }
    if words:
        extra["words"] = words
    return Meta(description=said, extra=extra)


Port = Annotated[int, Meta(ge=0, le=65535)]
Size = Annotated[int, Meta(ge=1, extra={"unit": "size"})]
Seconds = Annotated[float, Meta(gt=0)]
Delay = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Limit = Annotated[int, Meta(ge=1)]
Name = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", extra={"form": "letters, digits, '.', '_' and '-'"})
]
Format = Literal["openai-chat", "openai-responses", "anthropic", "gemini", "ollama", "bedrock"]
Strategy = Literal["sticky", "round-robin", "weighted", "fill-first", "least-busy", "fastest", "cheapest"]

ProxyUrl = Annotated[
    str | None,
    doc("Proxy for upstream calls: http, https or socks5 URL; `direct` for none", example="socks5://127.0.0.1:1080"),
]


class Section(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A mapping of the file whose keys are all known."""


class Timeouts(Section, frozen=True, kw_only=True):
    connect: Annotated[Seconds, doc("Seconds to reach a provider")] = 10
    first_byte: Annotated[Seconds, doc("Seconds to wait for the first byte of an answer")] = 300
    between_bytes: Annotated[Seconds, doc("Seconds of silence in the middle of an answer")] = 300


class ProviderKey(Section, frozen=True, kw_only=True):
    """One key of a provider; each is an account of its own. A plain string is short for `{key: ...}`."""

    key: Annotated[str, doc("The key, `env:NAME` or `keyring:NAME`", secret=True)]
    label: Annotated[Name | None, doc("Name of the account: `provider/label`", example="team")] = None
    weight: Annotated[Limit, doc("Share of the conversations among accounts of the same priority")] = 1
    priority: Annotated[int, doc("Higher goes first; added to that of the provider")] = 0
    proxy_url: ProxyUrl = None
    max_concurrent: Annotated[
        Limit | None, doc("Exchanges at the same time with this key; left out: as the provider says", example="4")
    ] = None


class ProviderModel(Section, frozen=True, kw_only=True):
    """One model of a provider. A plain string is short for `{name: ...}`."""

    name: Annotated[str, doc("The model id that the provider knows", example="claude-sonnet-4-5")]
    alias: Annotated[str | None, doc("Another name that clients may use", example="sonnet")] = None


class ProviderEntry(Section, frozen=True, kw_only=True):
    type: Annotated[
        Name,
        doc(
            "A registered provider, or openai-compatible, anthropic-compatible, gemini-compatible",
            example="anthropic",
        ),
    ]
    id: Annotated[Name, doc("The prefix in `work://model`; left out: the type", example="work")] = ""
    base_url: Annotated[
        str | None,
        doc("Where the provider is; https unless loopback or allow-http", example="https://api.anthropic.com"),
    ] = None
    allow_http: Annotated[bool, doc("Accept an http base-url that is not loopback")] = False
    format: Annotated[
        Format | None, doc("Which format to speak when the provider speaks several", example="anthropic")
    ] = None
    api_key: Annotated[
        str | None,
        doc(
            "The key, `env:NAME`, `keyring:NAME`, `file:PATH`, `vault:PATH#FIELD`, `aws:NAME#FIELD` or `!PASSTHRU` "
            "(the client's own key goes upstream); left out: what is stored, or else (with `discover`, at the "
            "provider's own address) that of the environment",
            secret=True,
            example="env:ANTHROPIC_API_KEY",
        ),
    ] = None
    api_keys: Annotated[
        tuple[Annotated[ProviderKey, Meta(extra={"shorthand": "key"})], ...],
        doc("Several keys, each an account; instead of api-key", instead=True),
    ] = ()
    headers: Annotated[dict[str, str], doc("Headers added to every call", example='{x-team: "blue"}')] = {}
    models: Annotated[
        tuple[Annotated[ProviderModel, Meta(extra={"shorthand": "name"})], ...],
        doc("The models offered; left out: asked from the provider and cached"),
    ] = ()
    excluded_models: Annotated[tuple[str, ...], doc("Models to hide, with wildcards", example='["*-preview"]')] = ()
    proxy_url: ProxyUrl = None
    priority: Annotated[int, doc("Higher goes first when several providers have a model")] = 0
    weight: Annotated[Limit, doc("Share of the conversations among accounts of the same priority")] = 1
    timeout: Annotated[Seconds | None, doc("Replaces timeouts.first-byte for this provider", example="60")] = None
    max_concurrent: Annotated[
        Limit | None, doc("Exchanges at the same time with each account of this provider", example="8")
    ] = None
    oauth: Annotated[
        dict[str, Any],
        doc(
            "Replaces parts of the login: authorize-url, token-url, device-url, issuer, client-id, scopes...",
            example='{issuer: "https://sso.example.com", client-id: llm-mux}',
        ),
    ] = {}
    options: Annotated[
        dict[str, Any],
        doc(
            "What only this type needs: deployment, api-version, project, location, region",
            example="{region: us-east-1}",
        ),
    ] = {}


class Routing(Section, frozen=True, kw_only=True):
    strategy: Annotated[
        Strategy,
        doc(
            "How an account is picked among those that have the model. sticky keeps a conversation with one, so that "
            "the provider's prompt cache keeps hitting; fill-first uses the first until it rests; fastest goes by the "
            "time to the first content, cheapest by the price"
        ),
    ] = "sticky"
    hedge_after: Annotated[
        Seconds | None,
        doc("Seconds until a second account is asked beside a silent one (both may be billed)", example="8"),
    ] = None


class Rates(Section, frozen=True, kw_only=True):
    """US dollars for a million tokens. Left out: as the kind it belongs to (input, output)."""

    input: Annotated[Decimal | None, doc("Prompt tokens that no cache had", example="3")] = None
    output: Annotated[Decimal | None, doc("Answer tokens", example="15")] = None
    cache_read: Annotated[Decimal | None, doc("Prompt tokens from a cache", example="0.3")] = None
    cache_write: Annotated[Decimal | None, doc("Prompt tokens put into a cache", example="3.75")] = None
    cache_write_1h: Annotated[Decimal | None, doc("The same, kept for an hour", example="6")] = None
    reasoning: Annotated[Decimal | None, doc("Reasoning tokens of the answer", example="15")] = None


class PriceTier(Rates, frozen=True, kw_only=True):
    above: Annotated[Limit, doc("Counts for prompts of more tokens than this", example="200000")]


class ModelPrice(Rates, frozen=True, kw_only=True):
    """Your own price of a model, before that of the price book. US dollars for a million tokens."""

    model: Annotated[str, doc("`provider/model`, with wildcards; the longest counts", example="work/claude-*")]
    request: Annotated[Decimal | None, doc("US dollars for a thousand requests", example="5")] = None
    search: Annotated[Decimal | None, doc("US dollars for a thousand web searches", example="10")] = None
    tiers: Annotated[tuple[PriceTier, ...], doc("Other prices for long prompts")] = ()


class ModelSettings(Section, frozen=True, kw_only=True):
    """What you want of the requests to some models, in the words of their provider's format."""

    model: Annotated[str, doc("`provider/model`, with wildcards; the longest counts", example="openai/gpt-5*")]
    defaults: Annotated[
        dict[str, Any], doc("Values for parameters that a client leaves out", example="{reasoning_effort: low}")
    ] = {}
    overrides: Annotated[
        dict[str, Any], doc("Values that hold whatever a client says", example="{service_tier: flex}")
    ] = {}
    context: Annotated[
        Limit | None, doc("Tokens of the context window, where the provider's list does not say", example="200000")
    ] = None


class Usage(Section, frozen=True, kw_only=True):
    database: Annotated[
        str | None,
        doc(
            "Where the books are kept; null: SQLite in the data folder",
            secret=True,
            example="postgresql://localhost/llm_mux",
            restart=True,
        ),
    ] = None
    retention_days: Annotated[Limit, doc("Days to keep each exchange's row; sums by day are kept for good")] = 90


class Limits(Section, frozen=True, kw_only=True):
    requests_per_minute: Annotated[Limit | None, doc("Requests in any 60 seconds", example="60")] = None
    requests_per_hour: Annotated[Limit | None, doc("Requests in any 60 minutes", example="1000")] = None
    tokens_per_minute: Annotated[Limit | None, doc("Tokens in any 60 seconds", example="200000")] = None
    concurrent: Annotated[Limit | None, doc("Requests at the same time", example="8")] = None


class RateLimits(Limits, frozen=True, kw_only=True):
    """The limits of each key or user, and under `global` those of all together. None set: not limited."""

    global_: Annotated[Limits, doc("The same limits for all clients together")] = field(
        default_factory=Limits, name="global"
    )

    when_redis_fails: Annotated[
        Literal["allow", "refuse"],
        doc("While redis-url does not answer: count in this daemon alone, or answer 503", example="refuse"),
    ] = "allow"

    @property
    def enabled(self) -> bool:
        return self != RateLimits(when_redis_fails=self.when_redis_fails)


class Billing(Section, frozen=True, kw_only=True):
    enabled: Annotated[bool, doc("Keep a balance per key or user and answer 402 when it is used up")] = False
    initial_balance: Annotated[Decimal, doc("Balance of a new key or user, in US dollars")] = Decimal(0)
    when_price_unknown: Annotated[
        Literal["allow", "refuse"],
        doc("Requests that are paid for at a price nobody knows: they cost nothing, or get 403", example="refuse"),
    ] = "allow"


class Jwt(Section, frozen=True, kw_only=True):
    """Client tokens signed by someone else; `sub` is the user. One of secret and jwks-url switches it on."""

    secret: Annotated[
        str | None,
        doc("Shared secret for HS256, HS384, HS512; `env:NAME` is taken", secret=True, example="env:JWT_SECRET"),
    ] = None
    jwks_url: Annotated[
        str | None,
        doc("Where the public keys are; instead of secret", example="https://sso.example.com/jwks.json", instead=True),
    ] = None
    algorithms: Annotated[
        tuple[str, ...], doc("Accepted algorithms; empty: HS256 with secret, RS256 and ES256 with jwks-url")
    ] = ()
    issuer: Annotated[str | None, doc("Required `iss`", example="https://sso.example.com")] = None
    audience: Annotated[str | None, doc("Required `aud`", example="llm-mux")] = None

    @property
    def enabled(self) -> bool:
        return bool(self.secret or self.jwks_url)


class Auth(Section, frozen=True, kw_only=True):
    jwt: Annotated[Jwt, doc("JSON Web Tokens as client keys")] = field(default_factory=Jwt)


class RemoteManagement(Section, frozen=True, kw_only=True):
    allow_remote: Annotated[bool, doc("Let the management API be used from other machines (with its key)")] = False


class Langfuse(Section, frozen=True, kw_only=True):
    host: Annotated[str | None, doc("Langfuse server", example="https://cloud.langfuse.com")] = None
    public_key: Annotated[str | None, doc("Public key", example="env:LANGFUSE_PUBLIC_KEY")] = None
    secret_key: Annotated[str | None, doc("Secret key", secret=True, example="env:LANGFUSE_SECRET_KEY")] = None


class Telemetry(Section, frozen=True, kw_only=True):
    prometheus: Annotated[bool, doc("Serve GET /metrics")] = True
    otlp_endpoint: Annotated[
        str | None, doc("Send traces to this OTLP/HTTP endpoint (`llm-mux[otel]`)", example="http://127.0.0.1:4318")
    ] = None
    sentry_dsn: Annotated[
        str | None, doc("Report internal errors to Sentry (`llm-mux[sentry]`)", secret=True, example="env:SENTRY_DSN")
    ] = None
    langfuse: Annotated[Langfuse, doc("Send traces to Langfuse (`llm-mux[otel]`)")] = field(default_factory=Langfuse)


class Config(Section, frozen=True, kw_only=True):
    host: Annotated[str, doc("Address to listen on; another than loopback needs client keys", restart=True)] = (
        "127.0.0.1"
    )
    port: Annotated[Port, doc("Port of all protocols; 0 takes a free one", restart=True)] = 8317
    ollama_port: Annotated[Port | None, doc("Also serve the Ollama protocol here", example="11434", restart=True)] = (
        None
    )
    allowed_hosts: Annotated[
        tuple[str, ...], doc("Further values of the Host header to accept, with wildcards", example="[mux.lan]")
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...], doc("Web pages that may call the daemon", example='["https://chat.example.com"]')
    ] = ()
    disable_auth: Annotated[
        bool,
        doc("Take any client key, or none (loopback only); not said: true until client keys are configured"),
    ] = True
    api_keys: Annotated[
        tuple[str, ...],
        doc(
            "Fixed client keys; $PROXY_API_KEY is added",
            secret=True,
            example="[env:TEAM_KEY]",
        ),
    ] = ()
    discover: Annotated[
        bool, doc("Use <PROVIDER>_API_KEY of the environment and a local Ollama without being told")
    ] = True
    default_provider: Annotated[
        Name | None, doc("Who gets a model name that nobody is known to have", example="work")
    ] = None
    strict: Annotated[bool, doc("What a target cannot take is a 400 instead of dropped and reported")] = False
    request_retry: Annotated[
        Count,
        doc("Further rounds over the accounts when all of them failed; every account is asked once without them"),
    ] = 3
    max_retry_interval: Annotated[
        Seconds,
        doc("Seconds that one request may wait for accounts to recover; after that it gets 429 with Retry-After"),
    ] = 30
    timeouts: Annotated[Timeouts, doc("Three named timeouts, in seconds; there is no total one")] = field(
        default_factory=Timeouts
    )
    drain_timeout: Annotated[Seconds, doc("Seconds that running exchanges get to finish at stop")] = 30
    drain_delay: Annotated[
        Delay,
        doc("Seconds at stop in which GET /ready answers 503 and requests are still taken: for load balancers"),
    ] = 0
    workers: Annotated[
        Count,
        doc(
            "Processes that serve together under one supervisor; auto (0): one for each CPU. More than one needs "
            "redis-url where anything is limited",
            example="auto",
            restart=True,
            words={"auto": 0},
        ),
    ] = 1
    max_request_size: Annotated[
        Size, doc("Largest request body after decompression (KiB, MiB, GiB, KB, MB, GB)", restart=True)
    ] = 64 * 1024 * 1024
    proxy_url: ProxyUrl = None
    download_media: Annotated[
        bool,
        doc(
            "Fetch images and files named by URL for models that take only bytes: https, public addresses, 20 MiB. "
            "Never through a proxy, which would look up names where nobody sees to what address they lead"
        ),
    ] = True
    download_hosts: Annotated[
        tuple[str, ...],
        doc("Hosts of your own network that images may come from too, also by http", example="[files.lan]"),
    ] = ()
    upstream_client: Annotated[
        Literal["lean", "session"],
        doc("HTTP client for upstream calls: `lean` is our own, `session` that of aiohttp", restart=True),
    ] = "lean"
    connections_per_host: Annotated[
        Count, doc("Most connections at once to the host of a provider; 0: any number", restart=True)
    ] = 0
    debug: Annotated[bool, doc("Log more; bodies are redacted")] = False
    capture: Annotated[
        bool, doc("Keep what clients and providers said for GET /v0/management/requests/{id} (in memory, bounded)")
    ] = False
    models_format: Annotated[
        Literal["openai", "anthropic", "gemini", "ollama", "list", "raw"],
        doc("Shape of GET /v1/models for clients that show none by their headers; list: a bare array"),
    ] = "openai"
    environment: Annotated[str, doc("Name of this installation in GET /health, logs and traces")] = "local"
    store_responses: Annotated[
        bool, doc("Keep stored Responses so that previous_response_id works on every target")
    ] = True
    providers: Annotated[
        tuple[ProviderEntry, ...], doc("Accounts and servers beyond llm-mux login and the environment")
    ] = ()
    aliases: Annotated[
        dict[str, str],
        doc(
            "Other names for models; `*` is a wildcard. The longest one that stands in a name counts too, whatever the "
            "case, unless a provider really has a model of that name; so do variables like ANTHROPIC_ALIAS_FAST",
            example='{fast: "gemini://gemini-2.5-flash"}',
        ),
    ] = {}
    models: Annotated[
        tuple[ModelSettings, ...], doc("Parameters and context windows of models, beside what clients say")
    ] = ()
    fallbacks: Annotated[
        dict[str, tuple[str, ...]],
        doc(
            "Models to try in this order when no account of one can answer, before anything was answered",
            example="{claude-opus-4-5: [claude-sonnet-4-5, gpt-5]}",
        ),
    ] = {}
    routing: Annotated[Routing, doc("Choice of the account")] = field(default_factory=Routing)
    usage: Annotated[Usage, doc("The books")] = field(default_factory=Usage)
    prices: Annotated[
        tuple[ModelPrice, ...], doc("Prices of models; left out: those of the price book (`llm-mux prices`)")
    ] = ()
    redis_url: Annotated[
        str | None,
        doc(
            "Share rate-limits between several daemons; needs the extra llm-mux[redis]",
            secret=True,
            example="redis://127.0.0.1:6379/0",
        ),
    ] = None
    rate_limits: Annotated[RateLimits, doc("Limits per key or user")] = field(default_factory=RateLimits)
    billing: Annotated[Billing, doc("Prepaid balances")] = field(default_factory=Billing)
    auth: Annotated[Auth, doc("Other kinds of client credentials")] = field(default_factory=Auth)
    remote_management: Annotated[RemoteManagement, doc("The management API")] = field(default_factory=RemoteManagement)
    telemetry: Annotated[Telemetry, doc("Where measurements go")] = field(default_factory=Telemetry)
