"""The answers of the daemon's own routes, as types: mypy holds what is answered against them, `/openapi.json` shows
them.

Rule: nothing here does anything. Times are ISO 8601 in UTC.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

Status = Literal["healthy", "degraded", "unhealthy"]


class Alive(TypedDict):
    status: Literal["ok"]


class Ready(TypedDict):
    """`checks`, on loopback: by component, whether it is well; the books in trouble hold up nobody."""

    ready: bool
    timestamp: str
    checks: NotRequired[dict[str, bool]]


class AccountHealth(TypedDict):
    """`token_expires` (null: never) and `plan` are there for accounts that were logged in to."""

    name: str
    state: str
    last_error: str | None
    token_expires: NotRequired[str | None]
    plan: NotRequired[str | None]


class Health(TypedDict):
    """`config` is what is in effect, and why a newer reading is not; `aws` is there when Bedrock is configured."""

    status: Status
    version: str
    timestamp: str
    environment: str
    components: dict[str, Status]
    rate_limit_storage: str
    retry_enabled: bool
    circuit_breaker_enabled: bool
    config: dict[str, Any]
    providers: dict[str, Status]
    accounts: list[AccountHealth]
    aws: NotRequired[Literal["connected", "disconnected"]]


class ProviderReport(TypedDict):
    """`api_key_hash`: the first 8 digits of each key's SHA-256."""

    api_format: str | None
    base_url: str | None
    api_key_hash: str | list[str] | None


class HealthReport(TypedDict):
    """`/health` in YAML."""

    status: Status
    timestamp: str
    api_key_valid: bool
    client_api_key_validation: bool
    default_provider: str | None
    providers: dict[str, ProviderReport]


class ComponentHealth(TypedDict):
    status: Status
    message: str
    details: dict[str, Any]
    duration_ms: float


class DetailedHealth(TypedDict):
    status: Status
    timestamp: str
    components: dict[str, ComponentHealth]


class BreakerState(TypedDict):
    """`seconds_left` until it is tried again; null: not by itself, or not at rest."""

    state: str
    failure_count: int
    last_failure_time: str | None
    failure_threshold: int
    recovery_timeout: float
    seconds_left: float | None
    reason: str | None


class AccountBreaker(BreakerState):
    """An account as its worst breaker; `models` has each (`*`: of all models). Hosts have none."""

    models: NotRequired[dict[str, BreakerState]]


class RetryConfig(TypedDict):
    enabled: bool
    max_attempts: int
    base_delay: float
    max_delay: float
    exponential_base: float
    jitter: bool
    budget_left: float


class BreakerConfig(TypedDict):
    enabled: bool
    failure_threshold: int
    recovery_timeout: float


class Breakers(TypedDict):
    circuit_breakers: dict[str, AccountBreaker]
    retry_config: RetryConfig
    circuit_breaker_config: BreakerConfig


class Exporter(TypedDict):
    """Where measurements go and how that fares; what is not there does not apply."""

    status: str
    enabled: bool
    host: NotRequired[str]
    spans_sent: NotRequired[int]
    spans_dropped: NotRequired[int]
    reported: NotRequired[int]
    error: NotRequired[str | None]


class Monitoring(TypedDict):
    prometheus: Exporter
    otlp: Exporter
    langfuse: Exporter
    sentry: Exporter


class System(TypedDict):
    status: Status
    message: str
    details: dict[str, Any]
    timestamp: str
    duration_ms: float


class Remembered(TypedDict):
    name: str
    status: Status
    message: str
    timestamp: str
    duration_ms: float


class HealthHistory(TypedDict):
    """Oldest first."""

    history: list[Remembered]
    total_checks: int


class Summary(TypedDict):
    """The configuration in a few words."""

    base_url: str
    providers: int
    accounts: int
    default_provider: str | None
    api_key_configured: bool
    client_api_key_validation: bool
    max_request_size: int


class Root(TypedDict):
    message: str
    version: str
    status: Literal["running"]
    config: Summary
    endpoints: dict[str, str]


class Counts(TypedDict):
    total: int
    ready: int


class ProviderEntry(TypedDict):
    id: str
    object: Literal["provider"]
    type: str
    name: str
    base_url: str | None
    formats: list[str]
    status: Status
    accounts: Counts
    models: int


class Providers(TypedDict):
    object: Literal["list"]
    data: list[ProviderEntry]


class Mapping(TypedDict):
    """`kind`: a model of the configuration, an alias, a wildcard. `provider` null: it leads nowhere yet."""

    id: str
    object: Literal["mapping"]
    kind: Literal["model", "alias", "wildcard"]
    provider: str | None
    model: str


class Mappings(TypedDict):
    object: Literal["list"]
    data: list[Mapping]
    fallbacks: dict[str, list[str]]
    default_provider: str | None


class Aliases(TypedDict):
    """By provider."""

    object: Literal["list"]
    aliases: dict[str, dict[str, str]]
    suggested: dict[str, dict[str, str]]
    total: int


class TopModel(TypedDict):
    """`pricing` is in US dollars for one token, null when nobody knows."""

    name: str
    provider: str
    sub_provider: str
    ranking: int
    category: str
    context_window: int | None
    pricing: dict[str, str] | None


class Catalogue(TypedDict):
    cached: bool
    prices: str
    models: str


class TopModels(TypedDict):
    object: Literal["top_models"]
    source: Literal["catalogue"]
    last_updated: str
    providers: list[str]
    models: list[TopModel]
    suggested_aliases: dict[str, str]
    meta: NotRequired[Catalogue]


class Failure(TypedDict):
    type: str | None
    code: str | int | None
    status: int


class Connection(TypedDict):
    """`response_id` with success, `error` without."""

    status: Literal["success", "failed"]
    message: str | None
    provider: str
    model_used: str
    timestamp: str
    response_id: NotRequired[str | None]
    error: NotRequired[Failure]
