"""How long to wait, as servers say it: headers, durations, sentences. Everything comes out in seconds.

Rule: what cannot be understood is None, never an error and never zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT = r"(?:ns|us|µs|μs|ms|milliseconds?|minutes?|mins?|seconds?|secs?|hours?|hrs?|days?|[smhd])"
_PIECE = re.compile(rf"(\d+(?:\.\d+)?|\.\d+)\s*({_UNIT})", re.IGNORECASE)
_GO = re.compile(r"\+?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|[smhd]))+")
_SENTENCE = re.compile(
    r"\b(?:try(?:ing)?\s+again|retry(?:ing)?|wait|available|resets?|reset\s+after)\b[^.\n]{0,60}?"
    rf"(?:\b(?:in|after|for|about)\s+)?(?<![\w.])((?:(?:\d+(?:\.\d+)?|\.\d+)\s*{_UNIT}(?![a-z])(?:,?\s+(?:and\s+)?)?)+)",
    re.IGNORECASE,
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE = re.compile(r"(\d{1,2})[ -]([A-Za-z]{3})[ -](\d{4}|\d{2}) (\d\d):(\d\d):(\d\d)")
_ASCTIME = re.compile(r"([A-Za-z]{3}) +(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4})")
_LONGEST_HEADER = 10**9


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds from `now` (Unix time) until another try: `retry-after-ms`, or `retry-after` as a number or a date."""
    found = {name.lower(): value.strip() for name, value in headers.items() if name.lower().startswith("retry-after")}
    milliseconds = _number(found.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = found.get("retry-after", "")
    seconds = _number(value)
    if seconds is not None:
        return seconds
    moment = _http_date(value)
    return max(0.0, moment - now) if moment is not None else go_duration(value)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _http_date(text: str) -> float | None:
    """Unix time of the three forms of an HTTP date (RFC 9110, 5.6.7)."""
    if match := _DATE.search(text):
        day, month, year, *clock = match.groups()
    elif match := _ASCTIME.search(text):
        month, day, *clock, year = match.groups()
    else:
        return None
    hour, minute, second = map(int, clock)
    full_year = int(year) if len(year) == 4 else int(year) + (1900 if int(year) >= 70 else 2000)
    try:
        number = _MONTHS.index(month.lower()) + 1
        return datetime(full_year, number, int(day), hour, minute, min(second, 59), tzinfo=UTC).timestamp()
    except ValueError:
        return None


def retry_in_text(message: str) -> float | None:
    """Seconds from a sentence such as "Please try again in 6m0s", "retry in 20 seconds", "quota resets after 3h2m"."""
    match = _SENTENCE.search(message)
    return _total(match[1]) if match else None


def go_duration(text: str) -> float | None:
    """Seconds of Go's and protobuf's durations: "12s", "1.5s", "6m0s", "350ms"."""
    text = text.strip()
    return _total(text) if _GO.fullmatch(text) else None


def _total(text: str) -> float:
    return sum(float(number) * _factor(unit.lower()) for number, unit in _PIECE.findall(text))


def _factor(unit: str) -> float:
    if unit in _UNITS:
        return _UNITS[unit]
    return _UNITS["ms" if unit.startswith("mil") else unit[0]]


def to_seconds_header(delay: float) -> str:
    """A `retry-after` header: whole seconds, rounded up, because not every client reads fractions."""
    return str(math.ceil(min(max(delay, 0.0), _LONGEST_HEADER)))
