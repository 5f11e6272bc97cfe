"""The price book: what the models of the known providers cost, as data that comes with the program, with its date.

Rule: amounts are decimals, in US dollars for a million tokens (a thousand requests or searches). What the book does not
say is unknown, never free. Reading it opens one file; nobody is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from llm_mux import log
from llm_mux.paths import set_aside, write_private

Match = dict[str, Any]
"""One clause: equals, starts_with, ends_with, contains or regex with a text, `or` or `and` with clauses."""

KINDS = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", "request", "search")


class Rates(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What each kind of token costs. Left out: as `input` or `output`, whose kind it is; without those unknown."""

    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    request: Decimal | None = None
    search: Decimal | None = None


class Tier(Rates, frozen=True, kw_only=True, omit_defaults=True):
    """What all tokens of an exchange cost whose prompt has more than `above` tokens; left out: as without the tier."""

    above: int


class Price(Rates, frozen=True, kw_only=True, omit_defaults=True):
    """`since` a day (UTC), and in the hours of `daily` (UTC, the end not included), where it is not always the same."""

    tiers: tuple[Tier, ...] = ()
    since: date | None = None
    daily: tuple[time, time] | None = None

    def valid(self, now: datetime) -> bool:
        if self.since is not None and now.date() < self.since:
            return False
        if self.daily is None:
            return True
        start, end = self.daily
        clock = now.time()
        return start <= clock < end if start <= end else clock >= start or clock < end


class Model(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`prices`: the last valid one counts, else the first. `context`: the most tokens of a prompt."""

    id: str
    match: Match
    prices: tuple[Price, ...]
    name: str | None = None
    context: int | None = None

    def price_at(self, unix_s: float) -> Price:
        if len(self.prices) == 1:
            return self.prices[0]
        now = datetime.fromtimestamp(unix_s, UTC)
        return next((price for price in reversed(self.prices) if price.valid(now)), self.prices[0])


class Book(Struct, frozen=True, kw_only=True):
    """`source` and `date` of the data; `providers` by registered name, models in the order in which they are tried;
    `others`: whose models a provider has too."""

    source: str
    date: str
    providers: Mapping[str, tuple[Model, ...]]
    others: Mapping[str, tuple[str, ...]] = {}

    @property
    def said_by(self) -> str:
        """For the books: where a price came from."""
        return f"{self.source} {self.date}"


class Finder:
    """Finds the models of a book. The first that fits counts; plain names are looked up, rules are tried in order."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._indexes: dict[str, _Index] = {}

    def find(self, provider: str, model: str) -> Model | None:
        """The model under a name that its provider takes."""
        name = model.lower()
        for owner in (provider, *self._book.others.get(provider, ())):
            if (found := self._index(owner).find(name)) is not None:
                return found
        return None

    def _index(self, provider: str) -> _Index:
        if provider not in self._indexes:
            self._indexes[provider] = _Index(self._book.providers.get(provider, ()))
        return self._indexes[provider]


class _Index:
    """The models of one provider."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = models
        self._names: dict[str, int] = {}
        self._rules: list[int] = []
        for number, model in enumerate(models):
            names, rest = _plain_names(model.match)
            for name in names:
                self._names.setdefault(name, number)
            if rest:
                self._rules.append(number)

    def find(self, name: str) -> Model | None:
        known = self._names.get(name, len(self._models))
        for number in self._rules:
            if number > known:
                break
            if matches(self._models[number].match, name):
                return self._models[number]
        return self._models[known] if known < len(self._models) else None


def _plain_names(clause: Match) -> tuple[list[str], bool]:
    """The names that a clause takes as they are, and whether it takes others by a rule."""
    clauses = clause.get("or", [clause])
    names = [each["equals"].lower() for each in clauses if "equals" in each]
    return names, len(names) < len(clauses)


def matches(clause: Match, name: str) -> bool:
    """Whether a name in lower case fits."""
    ((kind, wanted),) = clause.items()
    match kind:
        case "equals":
            return bool(name == wanted.lower())
        case "starts_with":
            return name.startswith(wanted.lower())
        case "ends_with":
            return name.endswith(wanted.lower())
        case "contains":
            return wanted.lower() in name
        case "regex":
            return _pattern(wanted).search(name) is not None
        case "or":
            return any(matches(each, name) for each in wanted)
        case "and":
            return all(matches(each, name) for each in wanted)
    return False


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def decoded(data: bytes) -> Book:
    """A book from its JSON. Raises msgspec.DecodeError."""
    return msgspec.json.decode(data, type=Book)


class _Unread(Mapping[str, tuple[Model, ...]]):
    """The models of each provider, decoded when they are asked for: a daemon needs those of a few providers."""

    def __init__(self, providers: Mapping[str, Raw]) -> None:
        self._providers = providers

    def __getitem__(self, name: str) -> tuple[Model, ...]:
        return msgspec.json.decode(self._providers[name], type=tuple[Model, ...])

    def __iter__(self) -> Iterator[str]:
        return iter(self._providers)

    def __len__(self) -> int:
        return len(self._providers)


class _Bundled(Struct):
    source: str
    date: str
    providers: dict[str, Raw]
    others: dict[str, tuple[str, ...]] = {}


def bundled() -> Book:
    """The book that came with this version. Blocks."""
    data = resources.files("llm_mux.ledger").joinpath("prices.json").read_bytes()
    found = msgspec.json.decode(data, type=_Bundled)
    return Book(source=found.source, date=found.date, providers=_Unread(found.providers), others=found.others)


def current(updated: Path) -> Book:
    """The book of the last update, else the bundled one. A damaged file is set aside. Blocks."""
    try:
        return decoded(updated.read_bytes())
    except FileNotFoundError:
        return bundled()
    except (OSError, msgspec.DecodeError) as error:
        moved = set_aside(updated) if isinstance(error, msgspec.DecodeError) else None
        log.logger.warning("prices.damaged", file=str(updated), error=str(error), moved_to=moved)
        return bundled()


def save(book: Book, updated: Path) -> None:
    """Keep a book as that of the last update."""
    write_private(updated, msgspec.json.encode(book))
