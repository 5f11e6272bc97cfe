"""Where measurements go, as the configuration says: traces by OTLP, Langfuse through it, internal errors to Sentry."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from llm_mux.config import Config
from llm_mux.server import shapes
from llm_mux.server.sentry import Sentry
from llm_mux.server.traces import Destination, Traces

_LANGFUSE = "https://cloud.langfuse.com"
_OTLP_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
Secret = Callable[[str], list[str]]


class Wanted(Struct, frozen=True):
    """What one reading of the configuration asks for, with the secrets it names."""

    destinations: tuple[Destination, ...]
    sentry_dsn: str | None
    environment: str


def wanted(config: Config, env: Mapping[str, str], secret: Secret) -> Wanted:
    """`secret` gives what a setting stands for (`env:NAME`, `keyring:NAME`)."""
    settings = config.telemetry
    found = []
    if settings.otlp_endpoint is not None:
        found.append(Destination("otlp", _traces_url(settings.otlp_endpoint), _otlp_headers(env)))
    langfuse = settings.langfuse
    if langfuse.public_key is not None and langfuse.secret_key is not None:
        keys = ":".join(one for key in (langfuse.public_key, langfuse.secret_key) for one in secret(key)[:1])
        basic = base64.b64encode(keys.encode()).decode()
        url = f"{(langfuse.host or _LANGFUSE).rstrip('/')}/api/public/otel/v1/traces"
        found.append(Destination("langfuse", url, {"authorization": f"Basic {basic}"}))
    dsn = next(iter(secret(settings.sentry_dsn)), None) if settings.sentry_dsn is not None else None
    return Wanted(tuple(found), dsn, config.environment)


def _traces_url(endpoint: str) -> str:
    trimmed = endpoint.rstrip("/")
    return trimmed if trimmed.endswith("/v1/traces") else f"{trimmed}/v1/traces"


def _otlp_headers(env: Mapping[str, str]) -> dict[str, str]:
    """Headers as OpenTelemetry's own variables give them: name=value, with commas between."""
    text = next((env[name] for name in _OTLP_HEADERS if env.get(name)), "")
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}


def state(config: Config, traces: Traces, sentry: Sentry) -> shapes.Monitoring:
    """For `/health/monitoring`: what is on, where it goes, and how it fares."""
    scraped = config.telemetry.prometheus
    told: shapes.Monitoring = {
        "prometheus": {"status": "healthy" if scraped else "disabled", "enabled": scraped},
        "otlp": {"status": "disabled", "enabled": False},
        "langfuse": {"status": "disabled", "enabled": False},
        "sentry": {"status": sentry.status, "enabled": sentry.enabled, "reported": sentry.reported},
    }
    if sentry.error is not None:
        told["sentry"]["error"] = sentry.error
    for each in traces.destinations:
        parts = urlsplit(each.url)
        host = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        shown: shapes.Exporter = {
            "status": each.status,
            "enabled": True,
            "host": host,
            "spans_sent": each.sent,
            "spans_dropped": each.dropped,
            "error": each.error,
        }
        told["langfuse" if each.name == "langfuse" else "otlp"] = shown
    return told
