"""How the parts of the daemon are: the database, the accounts, the machine. What `/health` and `/ready` answer from.

Rule: no provider is asked. `components` looks at what is known already; `measured` may ask the database, and is kept in
a bounded history.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from llm_mux.gateway.core import Gateway
from llm_mux.ledger.database import reason
from llm_mux.ledger.writer import State as WriterState
from llm_mux.routing.accounts import Account
from llm_mux.server.parts import Parts
from llm_mux.server.serving import Daemon

Status = Literal["healthy", "degraded", "unhealthy"]
_HISTORY = 100
_PATIENCE_S = 5.0
_HIGH_PERCENT = 90.0


class Check(Struct, frozen=True, kw_only=True):
    """One look at one component. `at` is unix seconds."""

    name: str
    status: Status
    message: str
    details: dict[str, Any] = {}
    at: float
    duration_ms: float = 0.0


class History:
    """The last checks that were made, oldest first, and how many there were since the start."""

    def __init__(self) -> None:
        self.total = 0
        self._kept: deque[Check] = deque(maxlen=_HISTORY)

    def add(self, *checks: Check) -> None:
        self.total += len(checks)
        self._kept.extend(checks)

    def __iter__(self) -> Any:
        return iter(self._kept)


def accounts_of(gateway: Gateway) -> list[Account]:
    """Those of the providers that are there."""
    there = {offer.provider for offer in gateway.catalog.offers}
    return [account for account in gateway.accounts if account.provider.name in there]


def providers(gateway: Gateway) -> dict[str, Status]:
    """healthy: no account is held up; degraded: some are; unhealthy: all are, or there is none."""
    now = time.monotonic()
    found: dict[str, Status] = {}
    for offer in gateway.catalog.offers:
        states = [account.state(now) for account in gateway.accounts if account.provider.name == offer.provider]
        ready = states.count("ready")
        found[offer.provider] = "healthy" if ready and ready == len(states) else "degraded" if ready else "unhealthy"
    return found


def llm_services(gateway: Gateway) -> Check:
    """All providers together: unhealthy only when nobody can be asked."""
    each = providers(gateway)
    if not any(status != "unhealthy" for status in each.values()):
        status: Status = "unhealthy"
        message = "No provider can be asked" if each else "No provider is configured"
    elif all(status == "healthy" for status in each.values()):
        status, message = "healthy", "Every account may be asked"
    else:
        status, message = "degraded", "Some accounts are resting or need a login"
    return Check(name="llm_services", status=status, message=message, details=dict(each), at=time.time())


def database(parts: Parts) -> Check:
    """As the writer found it last. It is never unhealthy: requests do not need it."""
    state, store = parts.writer.state, parts.responses.state
    troubles = [trouble for trouble in (state.error, state.spool_error, store.error) if trouble is not None]
    if state.dropped or state.rejected or store.lost:
        troubles.append(f"{state.dropped + state.rejected} rows and {store.lost} responses were lost")
    return Check(
        name="database",
        status="degraded" if troubles else "healthy",
        message="; ".join(troubles) or "Rows are written as they come",
        details=_database_details(parts, state),
        at=time.time(),
    )


def _database_details(parts: Parts, state: WriterState) -> dict[str, Any]:
    return {
        "where": parts.database.description,
        "connected": parts.database.opened,
        "rows_written": state.written,
        "rows_waiting": state.waiting,
        "rows_in_spool": state.spooled,
        "rows_replayed": state.replayed,
        "rows_lost": state.dropped + state.rejected,
        "failed_writes": state.failures,
    }


def components(daemon: Daemon) -> dict[str, Check]:
    """What is known without asking anybody."""
    found = [database(daemon.parts), llm_services(daemon.gateway), *redis(daemon)]
    return {check.name: check for check in found}


def redis(daemon: Daemon) -> list[Check]:
    """As the last request that was counted there found it; nothing where there is none."""
    config = daemon.loaded.config
    if config.redis_url is None:
        return []
    counted, shared = daemon.admission.limiter.error, daemon.parts.rests.error
    error, refuse = counted or shared, config.rate_limits.when_redis_fails == "refuse"
    meanwhile = "requests that have limits are refused" if refuse else "limits are counted in this daemon alone"
    found = Check(
        name="redis",
        status="healthy" if error is None else "unhealthy" if refuse and counted else "degraded",
        message="Limits are counted and rests shared there"
        if error is None
        else f"{error}; {meanwhile}, and accounts rest in this daemon alone",
        details={"connected": error is None},
        at=time.time(),
    )
    return [found]


async def measured(daemon: Daemon, history: History) -> dict[str, Check]:
    """As `components`, after the database was asked."""
    started = time.perf_counter()
    known = database(daemon.parts)
    trouble = await _asked(daemon.parts)
    took = (time.perf_counter() - started) * 1000
    if trouble is not None:
        known = _changed(known, status="degraded", message=trouble)
    elif known.status == "healthy":
        known = _changed(known, message="Database connection successful")
    known = _changed(known, duration_ms=round(took, 2), details={**known.details, "connected": trouble is None})
    started = time.perf_counter()
    services = llm_services(daemon.gateway)
    services = _changed(services, duration_ms=round((time.perf_counter() - started) * 1000, 3))
    started = time.perf_counter()
    await daemon.admission.limiter.ask()
    took = (time.perf_counter() - started) * 1000
    found = [known, services, *(_changed(each, duration_ms=round(took, 2)) for each in redis(daemon))]
    history.add(*found)
    return {check.name: check for check in found}


def _changed(check: Check, **changes: Any) -> Check:
    values = {name: getattr(check, name) for name in Check.__struct_fields__}
    return Check(**(values | changes))


async def _asked(parts: Parts) -> str | None:
    """Why the database does not answer; None when it does."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await parts.database.look(lambda books: books.run("SELECT 1").fetchone())
    except TimeoutError:
        return f"no answer in {_PATIENCE_S:g} s"
    except Exception as error:
        return reason(error)
    return None


def overall(checks: dict[str, Check], *, refused_configuration: bool) -> Status:
    states = {check.status for check in checks.values()}
    if "unhealthy" in states:
        return "unhealthy"
    return "degraded" if "degraded" in states or refused_configuration else "healthy"


def machine(folder: Path, tasks: int) -> Check:
    """What the machine and this process use; `tasks` are those of the event loop. Blocks."""
    import psutil

    started = time.perf_counter()
    process = psutil.Process()
    while not folder.exists():
        folder = folder.parent
    details: dict[str, Any] = {
        "cpu_usage_percent": psutil.cpu_percent(interval=0.1),
        "memory_usage_percent": psutil.virtual_memory().percent,
        "disk_usage_percent": psutil.disk_usage(str(folder)).percent,
        "network_connections": len(process.net_connections()),
        "process_memory_mb": round(process.memory_info().rss / 2**20, 1),
        "process_threads": process.num_threads(),
        "process_tasks": tasks,
        "process_uptime_s": round(time.time() - process.create_time(), 1),
    }
    high = [name for name in ("memory_usage_percent", "disk_usage_percent") if details[name] > _HIGH_PERCENT]
    return Check(
        name="system",
        status="degraded" if high else "healthy",
        message=f"{' and '.join(high)} over {_HIGH_PERCENT:g}" if high else "System resources are normal",
        details=details,
        at=time.time(),
        duration_ms=round((time.perf_counter() - started) * 1000, 2),
    )


def stamp(unix_s: float | None = None) -> str:
    """A time as the endpoints tell it."""
    return datetime.fromtimestamp(time.time() if unix_s is None else unix_s, UTC).isoformat(timespec="milliseconds")
