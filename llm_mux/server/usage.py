"""What `/v1/usage` and the management API tell of the books: sums of a stretch of days, in groups.

Rule: a question that makes no sense is a 400 that says what would; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.ledger.database import Database, reason
from llm_mux.ledger.report import GROUPS, GroupBy, Line, Only, usage

MOST_DAYS = 3660
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


async def answer(database: Database, question: Question, only: Only | None = None) -> dict[str, Any]:
    """The groups and their total. Raises MuxError NO_TARGET while the database does not answer."""
    try:
        lines = await usage(database, question.group_by, question.first, question.last, only)
        total = await usage(database, None, question.first, question.last, only)
    except Exception as error:
        message = f"The books cannot be read just now: {reason(error)}."
        raise MuxError(Kind.NO_TARGET, message, retry_after=2.0, code="books_unavailable") from error
    return {
        "object": "usage",
        "from": question.first.isoformat(),
        "to": question.last.isoformat(),
        "group_by": question.group_by,
        "currency": "USD",
        "data": [told(line) for line in lines],
        "total": told(total[0]) if total else None,
    }


def told(line: Line) -> dict[str, Any]:
    """A line as JSON has it: the cost as text, for it is exact."""
    found: dict[str, Any] = {**msgspec.structs.asdict(line), "total_tokens": line.tokens}
    found["cost"] = None if line.cost is None else f"{line.cost:f}"
    return found


def today() -> date:
    return datetime.now(UTC).date()
