"""What `/v1/usage` and the management API tell of the books: sums of a stretch of days, in groups.

Rule: a question that makes no sense is a 400 that says what would; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import asdict

from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.ledger.database import reason
from llm_mux.ledger.report import GROUPS, GroupBy, Line, Only, usages

if TYPE_CHECKING:
    from llm_mux.server.parts import Parts

MOST_DAYS = 3660
PATIENCE_S = 1.0
"""How long a reader of the books waits for what is not in them yet."""

_USUAL_DAYS = 30
_ALSO = {"key": "client_key", "api_key": "client_key", "date": "day"}


class Question(Struct, frozen=True):
    """Days in UTC, both included."""

    first: date
    last: date
    group_by: GroupBy


def asked(query: Mapping[str, str], today: date) -> Question:
    """From `days` (up to today), or `from` and `to`, and `group_by`. Raises MuxError BAD_REQUEST."""
    if "days" in query and "from" in query:
        raise bad_request("Give `days`, or `from` and `to`, not both.", param="days")
    last = _date(query, "to") or today
    first = _date(query, "from") or last - timedelta(days=_days(query) - 1)
    if first > last:
        raise bad_request(f"`from` ({first}) is after `to` ({last}).", param="from")
    if (last - first).days >= MOST_DAYS:
        raise bad_request(f"At most {MOST_DAYS} days can be asked for at once.", param="from")
    wanted = query.get("group_by", "day")
    group_by = next((group for group in GROUPS if group == _ALSO.get(wanted, wanted)), None)
    if group_by is None:
        raise bad_request(f"`group_by` must be one of {', '.join(GROUPS)}.", param="group_by")
    return Question(first, last, group_by)


def _days(query: Mapping[str, str]) -> int:
    text = query.get("days", str(_USUAL_DAYS))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MOST_DAYS):
        raise bad_request(f"`days` must be a whole number from 1 to {MOST_DAYS}.", param="days")
    return int(text)


def _date(query: Mapping[str, str], name: str) -> date | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise bad_request(f"`{name}` must be a date such as 2026-11-29.", param=name) from None
    if not date(1970, 1, 1) <= found <= date(9000, 1, 1):
        raise bad_request(f"`{name}` is no date that anything happened on.", param=name)
    return found


class Sums(Struct, frozen=True, kw_only=True):
    """A `report.Line` as JSON has it: the cost in US dollars as text, for it is exact."""

    name: str
    requests: int
    failures: int
    cancelled: int
    retries: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    total_tokens: int
    unpriced: int
    cost: str | None
    duration_ms: float | None
    ttft_ms: float | None


class Report(Struct, frozen=True, kw_only=True):
    """The groups, by name, and all of them together; None where there is nothing."""

    object: str = "usage"
    first: date = field(name="from")
    to: date
    group_by: str
    currency: str = "USD"
    data: list[Sums]
    total: Sums | None


async def answer(parts: Parts, question: Question, only: Only | None = None) -> Report:
    """With every exchange that is over. Raises MuxError NO_TARGET while the database does not answer."""
    await parts.writer.catch_up(PATIENCE_S)
    try:
        groups = (question.group_by, None)
        lines, total = await usages(parts.database, groups, question.first, question.last, only)
    except Exception as error:
        message = f"The books cannot be read just now: {reason(error)}."
        raise MuxError(Kind.NO_TARGET, message, retry_after=2.0, code="books_unavailable") from error
    return Report(
        first=question.first,
        to=question.last,
        group_by=question.group_by,
        data=[told(line) for line in lines],
        total=told(total[0]) if total else None,
    )


def told(line: Line) -> Sums:
    cost = None if line.cost is None else f"{line.cost:f}"
    return Sums(**{**asdict(line), "cost": cost}, total_tokens=line.tokens)


def today() -> date:
    return datetime.now(UTC).date()
