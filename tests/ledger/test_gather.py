import random
from typing import Any

import msgspec
import pytest

from llm_mux.ledger.gather import DIMENSIONS, MEASURES, gathered
from llm_mux.ledger.rows import COUNTED, NAMED, Exchange, plain
from tests.ledger.samples import NOON, exchange
from tests.rows import columns_of

HOUR = int(NOON // 3600)


def test_names_come_once_a_day_and_every_row_has_their_number_in_its_order() -> None:
    rows = [exchange(str(number), model_asked="ab"[number % 2], time=NOON + 43_200 * number) for number in range(4)]
    found = gathered(rows)
    lines = msgspec.json.decode(found.rows)
    told = {line[0]: dict(zip(("day", *NAMED), line[1:], strict=True)) for line in found.names}
    assert [line[2] for line in lines] == ["0", "1", "2", "3"]
    assert [told[line[0]]["model_asked"] for line in lines] == ["a", "b", "a", "b"]
    assert [told[line[0]]["day"] for line in lines] == [int(row.time // 86_400) for row in rows]
    assert [line[1] for line in lines] == [row.time for row in rows]
    assert [line[0] for line in found.names] == sorted(told)
    assert gathered(rows[:1]).names[0] in found.names, "the number says what is in the line"


def test_the_day_is_counted_in_utc() -> None:
    assert [gathered([exchange(time=time)]).names[0][1] for time in (86_399.9, 86_400.0)] == [0, 1]


def made_up(chance: random.Random) -> Exchange:
    """A row of any kind, a few of them alike."""
    return exchange(
        chance.choice(("req", "r\0\ud83d", "x" * 500)),
        time=NOON + chance.choice((0, 1, 3600, -3600)),
        model_served=chance.choice((None, "m", "m\0", "m?")),
        user=chance.choice((None, "")),
        status=chance.choice((200, 429)),
        error_kind=chance.choice((None, None, "client_gone", "quota")),
        attempts=chance.choice((0, 1, 3)),
        input_tokens=chance.choice((0, 0, 5)),
        output_tokens=chance.choice((0, 0, 2**40)),
        reasoning_tokens=chance.choice((None, 7)),
        cost=chance.choice((None, 0, 10**12)),
        ttft_ms=chance.choice((None, 0.5, 1.5)),
        duration_ms=chance.choice((0.4, 2.5)),
    )


def one_by_one(rows: list[Exchange]) -> dict[Any, list[int]]:
    """The sums, as simply as they can be said."""
    found: dict[Any, list[int]] = {}
    for row in rows:
        columns = columns_of(row)
        error_kind, gone = row.names.error_kind, row.names.error_kind == "client_gone"
        measures: dict[str, int] = {
            "requests": 1,
            "failures": int(not gone and (error_kind is not None or row.names.status >= 400)),
            "cancelled": int(gone),
            "retries": max(row.names.attempts - 1, 0),
            "input_tokens": row.input_tokens,
            "output_tokens": row.output_tokens,
            "cache_read_tokens": row.cache_read_tokens,
            "cache_write_tokens": row.cache_write_tokens,
            "reasoning_tokens": row.reasoning_tokens or 0,
            "unpriced": int(row.cost is None and row.tokens > 0),
            "cost": row.cost or 0,
            "duration_ms": round(row.duration_ms),
            "ttft_ms": round(row.ttft_ms or 0),
            "ttfts": int(row.ttft_ms is not None),
        }
        key = int(row.time // 3600), tuple(plain(columns[name] or "") for name in DIMENSIONS)
        sums = found.setdefault(key, [0] * len(MEASURES))
        found[key] = [one + measures[name] for one, name in zip(sums, MEASURES, strict=True)]
    return found


@pytest.mark.parametrize("size", [1, 2, 50, 400])
def test_sums_are_what_adding_row_by_row_makes(size: int) -> None:
    chance = random.Random(size)
    rows = [made_up(chance) for _ in range(size)]
    assert gathered(rows).hours == one_by_one(rows)


def test_a_row_is_all_there_between_its_names_and_its_own() -> None:
    row = made_up(random.Random(5))
    found = gathered([row])
    (line,) = msgspec.json.decode(found.rows)
    told = dict(zip(NAMED, found.names[0][2:], strict=True)) | dict(zip(COUNTED, line[1:], strict=True))
    assert told == {name: plain(value) if type(value) is str else value for name, value in columns_of(row).items()}


def test_a_batch_is_of_the_days_from_its_oldest_to_its_newest_row() -> None:
    rows = [exchange(time=NOON + 86_400 * day) for day in (1, 2, 0, 1)]
    assert gathered(rows).days == (int(NOON // 86_400), int(NOON // 86_400) + 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"time": float("inf")},
        {"time": float("nan")},
        {"input_tokens": None},
        {"request_id": None},
        {"duration_ms": float("nan")},
        {"ttft_ms": float("inf")},
        {"cost": 2**63},
        {"reasoning_tokens": -(2**63) - 1},
        {"cache_write_1h_tokens": 2**63},
    ],
    ids=str,
)
def test_what_no_column_takes_raises(wrong: dict[str, Any]) -> None:
    with pytest.raises((OverflowError, ValueError, TypeError)):
        gathered([exchange(), exchange(**{"request_id": "b"} | wrong)])
