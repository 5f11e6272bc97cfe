import math
from dataclasses import dataclass
from decimal import Decimal

import pytest
from msgspec.structs import astuple

from llm_mux.ledger.rows import COUNTED, LONGEST_TEXT, MOST, NAMED, Exchange, Names, mended, picodollars, plain
from llm_mux.ledger.schema import exchanges
from tests.ledger.samples import exchange


def test_the_table_has_a_column_for_each_field() -> None:
    assert {column.name for column in exchanges.columns} == {"id", "day", *NAMED, *COUNTED}


def test_a_field_that_may_be_missing_may_be_null_and_no_other() -> None:
    optional = {name for kind in (Names, Exchange) for name, hint in kind.__annotations__.items() if "None" in hint}
    assert {column.name for column in exchanges.columns if column.nullable} == optional


@dataclass(frozen=True)
class Text:
    id: str
    given: str
    kept: str


@pytest.mark.parametrize(
    "case",
    [
        Text("a name", "claude-sonnet-4-5", "claude-sonnet-4-5"),
        Text("letters of any script", "модель-模型", "модель-模型"),
        Text("a zero byte", "a\0b", "a?b"),
        Text("a lone surrogate", "a\ud83d", "a?"),
        Text("too long", "x" * 5000, "x" * LONGEST_TEXT),
    ],
    ids=lambda case: case.id,
)
def test_text_is_kept_as_far_as_every_database_takes_it(case: Text) -> None:
    assert plain(case.given) == case.kept


@pytest.mark.parametrize(
    ("cost", "kept"),
    [
        (Decimal("0.000000075"), 75_000),
        (Decimal("1E-12"), 1),
        (Decimal("0.0000000000005"), 0),
        (Decimal("0.0000000000015"), 2),
        (Decimal("123456.789"), 123_456_789_000_000_000),
        (Decimal(0), 0),
        (Decimal("1E30"), None),
        (Decimal("9.3E6"), None),
        (Decimal("Infinity"), None),
        (Decimal("NaN"), None),
    ],
)
def test_costs_become_whole_picodollars(cost: Decimal, kept: int | None) -> None:
    assert picodollars(cost) == kept


def test_numbers_that_no_column_holds_do_not_spoil_a_row() -> None:
    values = astuple(mended(exchange(input_tokens=10**40, ttft_ms=math.inf, duration_ms=math.nan)))
    assert MOST in values
    assert all(math.isfinite(value) for value in values if isinstance(value, float))
