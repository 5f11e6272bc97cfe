"""What the daemon says of its health: `/health` and below, `/healthz`, `/ready`, `/metrics`. No provider is asked."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import Counter
from typing import Literal, cast

import msgspec
from aiohttp import web
from msgspec import Struct

from llm_mux import __version__, paths
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.core import Gateway
from llm_mux.routing.accounts import Account, without_secrets
from llm_mux.routing.breaker import ACCOUNT, PROVIDER, Breaker, State, Trip
from llm_mux.routing.retry import FIRST_S
from llm_mux.server import checks, shapes, telemetry, together
from llm_mux.server.answers import local_endpoint, open_endpoint
from llm_mux.server.checks import Check, History, stamp
from llm_mux.server.described import TEXT, asked, told
from llm_mux.server.reload import RELOADER
from llm_mux.server.serving import DAEMON, Daemon
from llm_mux.server.tallies import MOST_NAMES

HISTORY: web.AppKey[History] = web.AppKey("history", History)
_YAML_TYPES = ("text/yaml", "application/yaml", "application/x-yaml", "text/x-yaml")
_LAG_PROBE_S = 0.005


def add_routes(app: web.Application) -> None:
    app[HISTORY] = History()
    app.router.add_get("/health", health)
    app.router.add_get("/health/detailed", detailed)
    app.router.add_get("/health/circuit-breakers", circuit_breakers)
    app.router.add_get("/health/monitoring", monitoring)
    app.router.add_get("/health/system", system)
    app.router.add_get("/health/history", history)
    app.router.add_get("/healthz", alive)
    app.router.add_get("/ready", ready)
    app.router.add_get("/metrics", metrics)


class Form(Struct, frozen=True):
    """`format`: yaml for 003's report, as with `Accept: text/yaml`."""

    format: str = "json"


@local_endpoint
@told(query=Form, answer=shapes.Health, yaml=shapes.HealthReport)
async def health(request: web.Request) -> web.StreamResponse:
    """healthy; degraded when an account is held up, the books are in trouble or the newest configuration was refused;
    unhealthy when there is nobody to ask."""
    if asks_for_yaml(request):
        return yaml_response(_yaml_report(request))
    daemon = request.app[DAEMON]
    gateway, config = daemon.gateway, daemon.loaded.config
    known = checks.components(daemon)
    reading = request.app[RELOADER].state
    body: shapes.Health = {
        "status": checks.overall(known, refused_configuration=reading.refused),
        "version": __version__,
        "timestamp": stamp(),
        "environment": config.environment,
        "components": {name: check.status for name, check in known.items()},
        "rate_limit_storage": daemon.admission.limiter.storage,
        "retry_enabled": config.request_retry > 0,
        "circuit_breaker_enabled": True,
        "config": msgspec.to_builtins(reading),
        "providers": checks.providers(gateway),
        "accounts": [_account(gateway, account) for account in checks.accounts_of(gateway)],
    }
    if (aws := _aws(gateway)) is not None:
        body["aws"] = aws
    return web.json_response(body)


def _account(gateway: Gateway, account: Account) -> shapes.AccountHealth:
    state = account.state(asyncio.get_running_loop().time())
    found: shapes.AccountHealth = {
        "name": account.name,
        "state": state,
        "last_error": _last_error(gateway, account),
    }
    if account.session is not None:
        credential = account.session.credential
        found["token_expires"] = None if credential.expires is None else stamp(credential.expires)
        found["plan"] = credential.plan or None
    return found


def _aws(gateway: Gateway) -> Literal["connected", "disconnected"] | None:
    """connected: an account of Bedrock may be asked; None: there is no Bedrock."""
    states = [
        checks.providers(gateway).get(offer.provider) for offer in gateway.catalog.offers if offer.vendor == "bedrock"
    ]
    if not states:
        return None
    return "connected" if any(state != "unhealthy" for state in states) else "disconnected"


def _last_error(gateway: Gateway, account: Account) -> str | None:
    """What went wrong last; providers repeat keys in their words."""
    said = account.last_error or gateway.lists.errors.get(account.provider.name)
    if said is None:
        return None
    return without_secrets(gateway.accounts, said)


def asks_for_yaml(request: web.Request) -> bool:
    """`?format=yaml`, or an Accept header that names YAML."""
    accepted = request.headers.get("Accept", "")
    return asked(request, Form).format == "yaml" or any(kind in accepted for kind in _YAML_TYPES)


def yaml_response(value: object) -> web.Response:
    import yaml

    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return web.Response(text=text, content_type="text/yaml")


def _yaml_report(request: web.Request) -> shapes.HealthReport:
    """What there is to ask, with a mark of each key that tells keys apart and nothing else."""
    daemon = request.app[DAEMON]
    gateway = daemon.gateway
    known = checks.components(daemon)
    accounts = checks.accounts_of(gateway)
    return {
        "status": checks.overall(known, refused_configuration=request.app[RELOADER].state.refused),
        "timestamp": stamp(),
        "api_key_valid": bool(accounts) and not all(account.refused for account in accounts),
        "client_api_key_validation": not daemon.guard.open,
        "default_provider": default_provider(daemon),
        "providers": {
            offer.provider: _provider_report([a for a in accounts if a.provider.name == offer.provider])
            for offer in gateway.catalog.offers
        },
    }


def default_provider(daemon: Daemon) -> str | None:
    """The configured one, else the first that is there."""
    offers = daemon.gateway.catalog.offers
    return daemon.loaded.config.default_provider or (offers[0].provider if offers else None)


def _provider_report(accounts: list[Account]) -> shapes.ProviderReport:
    if not accounts:
        return {"api_format": None, "base_url": None, "api_key_hash": None}
    provider = accounts[0].provider
    marks = [f"sha256:{hashlib.sha256(account.key.encode()).hexdigest()[:8]}" for account in accounts if account.key]
    return {
        "api_format": provider.endpoints[0].translator if provider.endpoints else provider.models_translator,
        "base_url": provider.base_url,
        "api_key_hash": marks[0] if len(marks) == 1 else marks or None,
    }


@local_endpoint
@told(answer=shapes.DetailedHealth)
async def detailed(request: web.Request) -> web.StreamResponse:
    """Each component with what is known of it, after the database was asked."""
    daemon = request.app[DAEMON]
    known = await checks.measured(daemon, request.app[HISTORY])
    refused = request.app[RELOADER].state.refused
    each: dict[str, shapes.ComponentHealth] = {
        name: {
            "status": check.status,
            "message": check.message,
            "details": check.details,
            "duration_ms": check.duration_ms,
        }
        for name, check in known.items()
    }
    status = checks.overall(known, refused_configuration=refused)
    body: shapes.DetailedHealth = {"status": status, "timestamp": stamp(), "components": each}
    return web.json_response(body)


@local_endpoint
@told(answer=shapes.Breakers)
async def circuit_breakers(request: web.Request) -> web.StreamResponse:
    """Each account with its breakers by model (`*`: of all models), and those of hosts that something is known of."""
    daemon = request.app[DAEMON]
    settings, standing = daemon.gateway.settings, daemon.gateway.standing
    now = asyncio.get_running_loop().time()
    found = {account.name: _breakers(account, now) for account in checks.accounts_of(daemon.gateway)}
    for (provider, proxy), breaker in standing.hosts.items():
        name = f"{provider} (host)" if proxy is None else f"{provider} (host, by a proxy)"
        found[name] = cast(shapes.AccountBreaker, _breaker(breaker, PROVIDER, now))
    body: shapes.Breakers = {
        "circuit_breakers": found,
        "retry_config": {
            "enabled": settings.request_retry > 0,
            "max_attempts": settings.request_retry + 1,
            "base_delay": FIRST_S,
            "max_delay": settings.max_retry_interval,
            "exponential_base": 2.0,
            "jitter": True,
            "budget_left": round(standing.budget.tokens, 1),
        },
        "circuit_breaker_config": {
            "enabled": True,
            "failure_threshold": ACCOUNT.in_a_row,
            "recovery_timeout": ACCOUNT.open_s,
        },
    }
    return web.json_response(body)


def _breakers(account: Account, now: float) -> shapes.AccountBreaker:
    """The account as one breaker, the worst of its own, and each of them."""
    each = {model or "*": _breaker(breaker, ACCOUNT, now) for model, breaker in account.breakers.items()}
    order = [state.value for state in (State.OPEN, State.HALF_OPEN, State.CLOSED)]
    worst = min(each.values(), key=lambda told: order.index(told["state"]), default=_breaker(Breaker(), ACCOUNT, now))
    return {**worst, "models": each}


def _breaker(breaker: Breaker, trip: Trip, now: float) -> shapes.BreakerState:
    resting = breaker.until is not None
    left = None if breaker.until is None or math.isinf(breaker.until) else round(max(breaker.until - now, 0.0), 1)
    return {
        "state": breaker.state(now).value,
        "failure_count": breaker.failed_row,
        "last_failure_time": stamp(time.time() - (now - breaker.since)) if resting and breaker.since else None,
        "failure_threshold": trip.in_a_row,
        "recovery_timeout": trip.open_s,
        "seconds_left": left,
        "reason": breaker.reason.value if breaker.reason is not None else None,
    }


@local_endpoint
@told(answer=shapes.Monitoring)
async def monitoring(request: web.Request) -> web.StreamResponse:
    """Where measurements go, and how that fares."""
    daemon = request.app[DAEMON]
    return web.json_response(telemetry.state(daemon.loaded.config, daemon.parts.traces, daemon.parts.sentry))


@local_endpoint
@told(answer=shapes.System)
async def system(request: web.Request) -> web.StreamResponse:
    """Processor, memory, disk and connections."""
    daemon = request.app[DAEMON]
    check = await asyncio.to_thread(checks.machine, paths.data_dir(daemon.parts.env), len(asyncio.all_tasks()))
    request.app[HISTORY].add(check)
    body: shapes.System = {
        "status": check.status,
        "message": check.message,
        "details": check.details,
        "timestamp": stamp(check.at),
        "duration_ms": check.duration_ms,
    }
    return web.json_response(body)


@local_endpoint
@told(answer=shapes.HealthHistory)
async def history(request: web.Request) -> web.StreamResponse:
    """The last checks that were made."""
    kept: History = request.app[HISTORY]
    body: shapes.HealthHistory = {"history": [_remembered(check) for check in kept], "total_checks": kept.total}
    return web.json_response(body)


def _remembered(check: Check) -> shapes.Remembered:
    return {
        "name": check.name,
        "status": check.status,
        "message": check.message,
        "timestamp": stamp(check.at),
        "duration_ms": check.duration_ms,
    }


@open_endpoint
@told(answer=shapes.Alive)
async def alive(request: web.Request) -> web.StreamResponse:
    """That the daemon runs."""
    body: shapes.Alive = {"status": "ok"}
    return web.json_response(body)


@open_endpoint
@told(answer=shapes.Ready, also=(503,))
async def ready(request: web.Request) -> web.StreamResponse:
    """Whether requests can be served, also by those that come in a moment: not while the daemon is being stopped. The
    books in trouble are said and hold up nobody. Other machines hear only yes or no, and need no key to ask."""
    daemon = request.app[DAEMON]
    known = checks.components(daemon)
    able = known["llm_services"].status != "unhealthy" and not daemon.parts.drain.leaving
    body: shapes.Ready = {"ready": able, "timestamp": stamp()}
    if daemon.guard.local:
        body["checks"] = {
            name: check.status == "healthy" or (name == "llm_services" and able) for name, check in known.items()
        }
    return web.json_response(body, status=200 if able else 503)


@local_endpoint
@told(media=TEXT, errors=(404,))
async def metrics(request: web.Request) -> web.StreamResponse:
    """Prometheus metrics."""
    daemon = request.app[DAEMON]
    if not daemon.loaded.config.telemetry.prometheus:
        raise MuxError(Kind.NOT_FOUND, "Metrics are switched off by `telemetry.prometheus`.", code="unknown_url")
    if daemon.admission.billing:
        await daemon.parts.till.look(MOST_NAMES)
    daemon.metrics.event_loop_lag_s = await _lag()
    now = asyncio.get_running_loop().time()
    states = Counter((a.provider.name, a.state(now)) for a in checks.accounts_of(daemon.gateway))
    daemon.metrics.accounts = dict(states)
    whole = await together.counted(daemon)
    page = await asyncio.to_thread(whole.render)
    return web.Response(body=page, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def _lag() -> float:
    """How much later than asked for the event loop came back, in seconds."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.sleep(_LAG_PROBE_S)
    return max(loop.time() - started - _LAG_PROBE_S, 0.0)
