"""How much of its quota an account has left, as its provider's answers tell it: one small value, one reader per vendor.

Rule: a reader never raises and never guesses: what it does not understand is no window. The scope comes from the signal
(which header, which quota id), not from the status. Headers may be any mapping that finds lower-case names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from urllib.parse import parse_qsl

from msgspec import Struct

from llm_mux.wire import hints, jsonx


class Window(Struct, frozen=True):
    """One quota window of an account.

    `scope`: whether it counts for the whole account or for the model that was asked. `used` is a fraction, 0 to 1 and
    sometimes more; `remaining` and `limit` are requests or tokens; `resets_at` is unix seconds; all None when unknown.
    `soft`: the provider goes on beyond it (paid overage). `family`: it is about models with this in their name only,
    whichever was asked.
    """

    name: str
    scope: Literal["account", "model"]
    used: float | None = None
    remaining: float | None = None
    limit: float | None = None
    resets_at: float | None = None
    soft: bool = False
    family: str = ""

    @property
    def spent(self) -> bool:
        """Whether nothing is left until `resets_at`."""
        gone = (self.used is not None and self.used >= 1) or (self.remaining is not None and self.remaining <= 0)
        return gone and not self.soft


Windows = tuple[Window, ...]
Quota = Callable[[Mapping[str, str], bytes, float], Windows]
"""`quota(headers, body, now)`: the windows that an answer tells. `body` is b"" but for errors; `now` unix seconds."""

_NO_WINDOWS: Final[Windows] = ()


def rate_limits(*names: str) -> Quota:
    """The reader of `x-ratelimit-limit-NAME`, `-remaining-NAME`, `-reset-NAME`, which most vendors imitate."""
    keys = tuple((n, f"x-ratelimit-remaining-{n}", f"x-ratelimit-limit-{n}", f"x-ratelimit-reset-{n}") for n in names)

    def read(headers: Mapping[str, str], body: bytes, now: float) -> Windows:
        found = (_counted(headers, now, *key) for key in keys)
        return tuple(window for window in found if window is not None)

    return read


openai: Final = rate_limits("requests", "tokens")


def _counted(headers: Mapping[str, str], now: float, name: str, left: str, most: str, reset: str) -> Window | None:
    remaining = _number(headers.get(left))
    if remaining is None:
        return None
    limit = _number(headers.get(most))
    used = 1 - remaining / limit if limit is not None and limit >= 1 else None
    return Window(name, "model", used, remaining, limit, _moment(headers.get(reset), now))


_UNIFIED: Final = "anthropic-ratelimit-unified-"
_OPEN: Final = ("allowed", "allowed_warning")
_API_WINDOWS: Final = tuple(
    (n, *(f"anthropic-ratelimit-{n}-{what}" for what in ("remaining", "limit", "reset")))
    for n in ("requests", "tokens", "input-tokens", "output-tokens")
)


def anthropic(headers: Mapping[str, str], body: bytes, now: float) -> Windows:
    """A subscription's windows (`5h`, `7d`; `7d_opus` and the like for one model family), else an API key's limits."""
    if _UNIFIED + "status" in headers or _UNIFIED + "5h-utilization" in headers:
        soft = headers.get(_UNIFIED + "overage-status") in _OPEN
        return tuple(_unified(headers, name, soft, now) for name in _unified_names(headers))
    found = (_counted(headers, now, *window) for window in _API_WINDOWS)
    return tuple(window for window in found if window is not None)


def _unified_names(headers: Mapping[str, str]) -> dict[str, None]:
    """The windows' names: those that begin with a duration (`overage` and the like are no windows)."""
    rests = (name.lower().removeprefix(_UNIFIED) for name in headers if name.lower().startswith(_UNIFIED))
    return {rest.rpartition("-")[0]: None for rest in rests if rest[:1].isdigit()}


def _unified(headers: Mapping[str, str], name: str, soft: bool, now: float) -> Window:
    used = _number(headers.get(f"{_UNIFIED}{name}-utilization"))
    if headers.get(f"{_UNIFIED}{name}-status") == "rejected":
        used = max(used or 0.0, 1.0)
    resets_at = _moment(headers.get(f"{_UNIFIED}{name}-reset"), now)
    family = name.replace("_", "-").partition("-")[2]
    return Window(name, "model" if family else "account", used, resets_at=resets_at, soft=soft, family=family)


class _Limit(Struct, frozen=True):
    type: str | None = None
    code: str | None = None
    resets_at: float | None = None
    resets_in_seconds: float | None = None


class _LimitBody(Struct, frozen=True):
    error: _Limit | None = None


def codex(headers: Mapping[str, str], body: bytes, now: float) -> Windows:
    """The two windows of a ChatGPT plan. They belong to the account: another model does not help."""
    soft = headers.get("x-codex-credits-has-credits", "").lower() == "true"
    found = [_plan_window(headers, which, soft, now) for which in ("primary", "secondary")]
    windows = tuple(window for window in found if window is not None)
    if b"usage_limit_reached" not in body:
        return windows
    try:
        limit = jsonx.decode(body, _LimitBody, strict=False).error or _Limit()
    except jsonx.Malformed:
        limit = _Limit()
    until = limit.resets_at
    if until is None and limit.resets_in_seconds is not None:
        until = now + limit.resets_in_seconds
    return (*windows, Window("usage limit", "account", 1.0, resets_at=until))


def _plan_window(headers: Mapping[str, str], which: str, soft: bool, now: float) -> Window | None:
    start = f"x-codex-{which}-"
    percent = _number(headers.get(start + "used-percent"))
    minutes = _number(headers.get(start + "window-minutes"))
    if percent is None or minutes == 0:
        return None
    resets_at = _moment(headers.get(start + "reset-at"), now)
    seconds = _number(headers.get(start + "reset-after-seconds"))
    if resets_at is None and seconds is not None:
        resets_at = now + seconds
    return Window(_span(minutes) or which, "account", percent / 100, resets_at=resets_at, soft=soft)


def _span(minutes: float | None) -> str | None:
    """300 minutes are "5h", 10080 are "7d"."""
    if minutes is None:
        return None
    for size, letter in ((1440, "d"), (60, "h")):
        if minutes >= size and minutes % size == 0:
            return f"{minutes / size:g}{letter}"
    return f"{minutes:g}m"


_COPILOT: Final = (
    ("session", "x-usage-ratelimit-session"),
    ("weekly", "x-usage-ratelimit-weekly"),
    ("premium", "x-quota-snapshot-premium_interactions"),
    ("premium", "x-quota-snapshot-premium_models"),
    ("chat", "x-quota-snapshot-chat"),
)


def copilot(headers: Mapping[str, str], body: bytes, now: float) -> Windows:
    """Copilot's snapshots: entitlement, percent left, when it resets. Premium requests count for some models only."""
    found = (_snapshot(name, headers.get(header), now) for name, header in _COPILOT)
    return tuple(window for window in found if window is not None)


def _snapshot(name: str, value: str | None, now: float) -> Window | None:
    if not value:
        return None
    told = dict(parse_qsl(value))
    left, entitlement = _number(told.get("rem")), _number(told.get("ent"))
    if left is None or entitlement is None or entitlement < 0:
        return None
    scope: Literal["account", "model"] = "model" if name in ("premium", "chat") else "account"
    remaining = entitlement * left / 100
    resets_at = _moment(told.get("rst"), now)
    return Window(name, scope, 1 - left / 100, remaining, entitlement, resets_at, soft=told.get("ovPerm") == "true")


class _Violation(Struct, frozen=True):
    quotaId: str = ""
    quotaMetric: str = ""
    quotaValue: float | None = None


class _Detail(Struct, frozen=True):
    violations: list[_Violation] | None = None
    retryDelay: str | None = None
    metadata: dict[str, str] | None = None


class _Rpc(Struct, frozen=True):
    details: list[_Detail] | None = None


class _RpcBody(Struct, frozen=True):
    error: _Rpc | None = None


def gemini(headers: Mapping[str, str], body: bytes, now: float) -> Windows:
    """The quotas that a 429 names: Google tells nothing before. A day's quota ends at midnight in California, whatever
    the answer's RetryInfo says."""
    if b"quota" not in body:
        return _NO_WINDOWS
    try:
        text = body.strip()
        decoded = jsonx.decode(text, list[_RpcBody], strict=False)[0] if text.startswith(b"[") else None
        found = decoded or jsonx.decode(text, _RpcBody, strict=False)
    except (jsonx.Malformed, IndexError):
        return _NO_WINDOWS
    details = (found.error.details if found.error is not None else None) or []
    return tuple(_violated(details, now))


def _violated(details: list[_Detail], now: float) -> Iterator[Window]:
    delays = (detail.retryDelay for detail in details if detail.retryDelay)
    delay = hints.go_duration(next(delays, ""))
    named = False
    for violation in (v for detail in details for v in detail.violations or ()):
        name = violation.quotaId or violation.quotaMetric
        daily = "PerDay" in name or "per_day" in name
        until = _midnight_in_california(now) if daily else now + delay if delay is not None else None
        named = True
        yield Window(name or "quota", "model", 1.0, 0.0, violation.quotaValue, until)
    for told in (detail.metadata for detail in details if detail.metadata and not named):
        until = _moment(told.get("quotaResetTimeStamp"), now) or _moment(told.get("quotaResetDelay"), now)
        if until is not None:
            yield Window("quota", "model", 1.0, 0.0, resets_at=until)


def _midnight_in_california(now: float) -> float:
    """The next one. Without time zone data it is that of the winter, which is never too early."""
    try:
        from zoneinfo import ZoneInfo

        here = datetime.fromtimestamp(now, ZoneInfo("America/Los_Angeles"))
    except (ImportError, LookupError, OSError):
        here = datetime.fromtimestamp(now - 8 * 3600, UTC)
        return (here.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1, hours=8)).timestamp()
    return (here.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)).timestamp()


def _number(text: str | None) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < _BEYOND_REASON else None


_FIRST_STAMP: Final = 1e9
_FIRST_MILLISECONDS: Final = 1e11
_BEYOND_REASON: Final = 1e15


def _moment(text: str | None, now: float) -> float | None:
    """Unix seconds of a stamp (in seconds or milliseconds), a date (RFC 3339), a duration, or seconds from now."""
    if not text:
        return None
    number = _number(text)
    if number is not None:
        if number >= _FIRST_MILLISECONDS:
            return number / 1000
        return number if number >= _FIRST_STAMP else now + number
    duration = hints.go_duration(text)
    if duration is not None:
        return now + duration
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
