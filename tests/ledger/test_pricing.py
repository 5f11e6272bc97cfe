"""Costs against the library whose data the price book is made of, and against sums by hand."""

import itertools
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec
import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data import providers
from genai_prices.types import ModelPrice

from llm_mux.config import parse
from llm_mux.ir import Usage
from llm_mux.ledger import price_book, price_import
from llm_mux.ledger.price_book import Book, Model, Price, Tier
from llm_mux.ledger.pricing import Prices, own_prices
from llm_mux.ledger.rows import dollars

BOOK = price_book.bundled()
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
USAGES = [
    Usage(input=1000, output=500),
    Usage(input=123, output=456, cache_read=78_901, reasoning=300),
    Usage(input=1, output=1, cache_read=250_000, cache_write=60_000, cache_write_1h=10_000),
    Usage(input=7, output=11, cache_write=5),
]
SIMPLE = {
    "input_mtok",
    "output_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "cache_write_1h_mtok",
    "output_reasoning_mtok",
}


def _theirs(price: ModelPrice, usage: Usage) -> Decimal:
    calculated = price.calc_price(
        TheirUsage(
            input_tokens=usage.prompt,
            output_tokens=usage.output,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write,
            cache_write_1h_tokens=usage.cache_write_1h,
            output_reasoning_tokens=usage.reasoning or 0,
        )
    )
    return calculated["total_price"]


def test_costs_are_those_of_the_library_for_every_model_of_the_book() -> None:
    """To the picodollar, at one time, for all that is priced by tokens alone; the names that their models go by find ours."""
    prices, compared = Prices(BOOK), 0
    for provider in providers:
        for ours in price_import.NAMES.get(provider.id, ()):
            for model in provider.models:
                price = model.get_prices(NOON)
                kinds = {name for name, value in vars(price).items() if value is not None}
                known = prices.known(ours, ours, model.id)
                if not {"input_mtok", "output_mtok"} <= kinds <= SIMPLE or not model.is_match(model.id):
                    continue
                if provider.find_model(model.id) is not model:
                    continue
                assert known is not None and known.model is not None, (ours, model.id)
                assert known.model.id == model.id
                for usage in USAGES:
                    exact = _theirs(price, usage).quantize(Decimal("1e-12"), ROUND_HALF_EVEN)
                    cost = prices.cost(known, usage, NOON.timestamp())
                    assert cost is not None
                    assert dollars(cost) == exact, (ours, model.id, usage)
                    compared += 1
    assert compared > 2000


@dataclass(frozen=True)
class Case:
    id: str
    price: Price
    usage: Usage
    cost: str | None


D = Decimal
SONNET = Price(input=D(3), output=D(15), cache_read=D("0.3"), cache_write=D("3.75"), cache_write_1h=D(6))
LONG = Price(input=D(3), output=D(15), cache_read=D("0.3"), tiers=(Tier(above=200_000, input=D(6)),))


@pytest.mark.parametrize(
    "case",
    [
        Case("plain", SONNET, Usage(input=1_000_000, output=1_000_000), "18"),
        Case("cached", SONNET, Usage(input=10, cache_read=1_000_000), "0.30003"),
        Case("written for minutes and for an hour", SONNET, Usage(cache_write=30, cache_write_1h=10), "0.000135"),
        Case("reasoning is output", SONNET, Usage(output=100, reasoning=90), "0.0015"),
        Case("reasoning of its own", Price(output=D(1), reasoning=D(2)), Usage(output=10, reasoning=4), "0.000014"),
        Case("at the edge of a tier", LONG, Usage(input=200_000, output=1), "0.600015"),
        Case("above it all tokens cost more", LONG, Usage(input=100_001, cache_read=100_000), "0.630006"),
        Case("a cache without a price of its own", Price(input=D(1)), Usage(cache_read=2, cache_write=3), "0.000005"),
        Case("nothing is known of the answer", Price(input=D(1)), Usage(input=1, output=1), None),
        Case("nothing was answered", Price(input=D(1)), Usage(input=1), "0.000001"),
        Case("free", Price(input=D(0), output=D(0)), Usage(input=9, output=9), "0"),
        Case("by request and search", Price(request=D(5), search=D(10)), Usage(searches=2), "0.025"),
        Case("finer than it can be kept", Price(input=D("0.0000005")), Usage(input=1), "0"),
        Case("summed before it is rounded", Price(input=D("0.0000005")), Usage(input=3), "0.000000000002"),
    ],
    ids=lambda case: case.id,
)
def test_each_kind_of_token_has_its_price(case: Case) -> None:
    prices = Prices(BOOK, {"p/m": case.price})
    known = prices.known("p", "p", "m")
    assert known is not None
    cost = prices.cost(known, case.usage, 0.0)
    assert (None if cost is None else dollars(cost)) == (None if case.cost is None else D(case.cost))


def test_a_model_that_nobody_knows_has_no_price() -> None:
    assert Prices(BOOK).known("anthropic", "anthropic", "llama-3") is None
    assert Prices(BOOK).known("work", "openai-compatible", "gpt-5") is None


def test_your_own_price_comes_first_and_the_longest_that_fits_counts() -> None:
    config = parse(
        """
        prices:
          - {model: "*/gpt-*", input: 1, output: 2}
          - {model: "work/gpt-5*", input: "0.5", output: 4, tiers: [{above: 100, output: 8}]}
          - {model: "work/gpt-5", input: 0, output: 0}
        """,
        None,
        {},
    ).config
    prices = Prices(BOOK, own_prices(config.prices))
    costs = {}
    for provider, model in itertools.product(("work", "home"), ("gpt-5", "gpt-5-mini", "o3")):
        known = prices.known(provider, "openai", model)
        assert known is not None
        costs[provider, model] = known.source, prices.cost(known, Usage(input=1000, output=1_000_000), 0.0)
    assert costs["work", "gpt-5"] == ("config", 0)
    assert costs["work", "gpt-5-mini"] == ("config", 8_000_500_000_000)
    assert costs["home", "gpt-5-mini"] == ("config", 2_001_000_000_000)
    assert costs["home", "o3"][0].startswith("genai-prices ")


def test_prices_change_by_date_and_hour() -> None:
    night = (datetime(2026, 1, 1, 16, 30).time(), datetime(2026, 1, 1, 0, 30).time())
    model = Model(
        id="m",
        match={"equals": "m"},
        prices=(
            Price(input=D(1)),
            Price(input=D(2), since=date(2026, 2, 1)),
            Price(input=D(3), daily=night),
        ),
    )
    prices = Prices(Book(source="test", date="2026-01-01", providers={"p": (model,)}))
    known = prices.known("p", "p", "M")
    assert known is not None
    at = {
        datetime(2026, 1, 31, 12, tzinfo=UTC): 1,
        datetime(2026, 2, 1, 0, 30, tzinfo=UTC): 2,
        datetime(2026, 2, 1, 16, 29, tzinfo=UTC): 2,
        datetime(2026, 2, 1, 16, 30, tzinfo=UTC): 3,
        datetime(2026, 2, 1, 0, 29, tzinfo=UTC): 3,
    }
    assert {when: prices.cost(known, Usage(input=1), when.timestamp()) for when in at} == {
        when: millionths * 10**6 for when, millionths in at.items()
    }


@pytest.mark.parametrize(
    ("clause", "fits", "not_that"),
    [
        ({"equals": "GPT-5"}, "gpt-5", "gpt-5-mini"),
        ({"starts_with": "gpt-5"}, "gpt-5-mini", "a-gpt-5"),
        ({"ends_with": ":free"}, "x:free", "free:x"),
        ({"contains": "sonnet"}, "a-sonnet-b", "opus"),
        ({"regex": r"^o\d$"}, "o3", "o3-mini"),
        ({"or": [{"equals": "a"}, {"equals": "b"}]}, "b", "c"),
        ({"and": [{"contains": "a"}, {"contains": "b"}]}, "ab", "a"),
    ],
)
def test_names_fit_as_the_rule_says(clause: price_book.Match, fits: str, not_that: str) -> None:
    assert price_book.matches(clause, fits)
    assert not price_book.matches(clause, not_that)


def test_the_first_model_that_fits_counts_whether_by_name_or_by_rule() -> None:
    def model(id: str, match: price_book.Match) -> Model:
        return Model(id=id, match=match, prices=(Price(input=D(1)),))

    rule, name, late = (
        model("rule", {"starts_with": "a"}),
        model("name", {"or": [{"equals": "ab"}, {"equals": "b"}]}),
        model("late", {"contains": "b"}),
    )
    finder = price_book.Finder(Book(source="s", date="d", providers={"p": (rule, name, late)}, others={"q": ("p",)}))
    found = {wanted: finder.find("q", wanted) for wanted in ("ab", "b", "cb", "c")}
    assert found == {"ab": rule, "b": name, "cb": late, "c": None}


def test_both_forms_of_a_price_list_can_be_read() -> None:
    published = msgspec.json.encode(
        [
            {
                "id": "openai",
                "models": [
                    {
                        "id": "m",
                        "match": {"equals": "m"},
                        "prices": {"input_mtok": 0.1, "output_mtok": {"base": 2, "tiers": [{"start": 10, "price": 3}]}},
                    }
                ],
            },
            {"id": "nobody", "models": []},
        ]
    )
    book = price_import.read(published, date(2026, 11, 1))
    expected = Price(input=D("0.1"), output=D(2), tiers=(Tier(above=10, output=D(3)),))
    assert book.providers == {"openai": (Model(id="m", match={"equals": "m"}, prices=(expected,)),)}
    assert price_import.read(msgspec.json.encode(book), date(2026, 11, 2)) == book


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>", b"[]", b"{}", b'[{"id":"openai"}]', b'[{"id":"openai","models":[{"id":"m","match":{"x":1}}]}]'],
)
def test_what_is_no_price_list_is_refused(data: bytes) -> None:
    with pytest.raises(price_import.NotPrices, match="not a price list"):
        price_import.read(data, date(2026, 11, 1))
