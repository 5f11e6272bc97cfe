"""What `/v1/usage` and the management API tell of the books: sums of a stretch of days, in groups.

Rule: a question that makes no sense is a 400 that says what would; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar, cast

from msgspec import UNSET, Meta, Struct, UnsetType, field
from msgspec.structs import asdict

from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.ledger.database import reason
from llm_mux.ledger.report import GroupBy, Line, Only, usages

if TYPE_CHECKING:
    from llm_mux.server.parts import Parts

T = TypeVar("T")
MOST_DAYS = 3660
PATIENCE_S = 1.0
"""How long a reader of the books waits for what is not in them yet."""

_USUAL_DAYS = 30
_ALSO: dict[str, GroupBy] = {"key": "client_key", "api_key": "client_key", "date": "day"}
Named = Literal[
    "day", "hour", "model", "account", "provider", "client_key", "user", "protocol", "key", "api_key", "date"
]
"""How groups may be called."""


class Days(Struct, frozen=True):
    """`days` up to `to` (today), or `from` and `to`, days in UTC, both included."""

    days: Annotated[int, Meta(ge=1, le=MOST_DAYS)] | UnsetType = UNSET
    first: date | UnsetType = field(name="from", default=UNSET)
    to: date | UnsetType = UNSET


class Asked(Days, frozen=True):
    """Of these days, by what they are grouped."""

    group_by: Named = "day"


class Question(Struct, frozen=True):
    """Days in UTC, both included."""

    first: date
    last: date
    group_by: GroupBy
    then_by: GroupBy | None = None


def question(asked: Asked, today: date) -> Question:
    """Raises MuxError BAD_REQUEST for days that make no sense."""
    return Question(*stretch(asked, today), _ALSO.get(asked.group_by) or cast(GroupBy, asked.group_by))


def stretch(asked: Days, today: date) -> tuple[date, date]:
    """The first and the last day. Raises MuxError BAD_REQUEST for days that make no sense."""
    if asked.days is not UNSET and asked.first is not UNSET:
        raise bad_request("Give `days`, or `from` and `to`, not both.", param="days")
    last = _sane(asked.to, "to", today)
    days = _USUAL_DAYS if asked.days is UNSET else asked.days
    first = _sane(asked.first, "from", last - timedelta(days=days - 1))
    if first > last:
        raise bad_request(f"`from` ({first}) is after `to` ({last}).", param="from")
    if (last - first).days >= MOST_DAYS:
        raise bad_request(f"At most {MOST_DAYS} days can be asked for at once.", param="from")
    return first, last


def _sane(found: date | UnsetType, name: str, usual: date) -> date:
    if found is UNSET:
        return usual
    if not date(1970, 1, 1) <= found <= date(9000, 1, 1):
        raise bad_request(f"`{name}` is no date that anything happened on.", param=name)
    return found


class Sums(Struct, frozen=True, kw_only=True):
    """A `report.Line` as JSON has it: the cost in US dollars as text, for it is exact. `then` names the part of a group
    where `then_by` was asked for."""

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
    then: str | None = None


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
    group = question.group_by if question.then_by is None else (question.group_by, question.then_by)
    asked = partial(usages, parts.database, (group, None), question.first, question.last, only)
    lines, total = await from_books(parts, asked)
    return Report(
        first=question.first,
        to=question.last,
        group_by=question.group_by,
        data=[told(line) for line in lines],
        total=told(total[0]) if total else None,
    )


async def from_books(parts: Parts, ask: Callable[[], Awaitable[T]]) -> T:
    """What the books answer, with every exchange that is over. Raises MuxError NO_TARGET while they do not."""
    await parts.writer.catch_up(PATIENCE_S)
    try:
        return await ask()
    except Exception as error:
        message = f"The books cannot be read just now: {reason(error)}."
        raise MuxError(Kind.NO_TARGET, message, retry_after=2.0, code="books_unavailable") from error


def told(line: Line) -> Sums:
    cost = None if line.cost is None else f"{line.cost:f}"
    return Sums(**{**asdict(line), "cost": cost}, total_tokens=line.tokens)


def today() -> date:
    return datetime.now(UTC).date()
