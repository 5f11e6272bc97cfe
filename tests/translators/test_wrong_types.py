"""A value of a wrong type, anywhere in a request or an answer: refused, passed over or an upstream's error, never ours."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tests.translators.sdk_answers import ANSWERS
from tests.translators.sdk_bodies import FORMATS, Pair
from tests.translators.test_torn_texts import answered, outcome, translated

Place = tuple[str | int, ...]
WRONG: tuple[Any, ...] = (None, 7, "x", [], [[]], {"a": None})
KINDS = ("type", "role")


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every place in `value`, its own included."""
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*place, key))


def known_as(value: Any, place: Place) -> Place:
    """The place with the kinds of the objects on the way, and without positions in lists."""
    made: list[str | int] = []
    for key in place:
        value = value[key]
        kinds = [value[kind] for kind in KINDS if isinstance(value.get(kind), str)] if isinstance(value, dict) else []
        made += [0 if isinstance(key, int) else key, *kinds]
    return tuple(made)


def changed(value: Any, place: Place, new: Any) -> Any:
    if not place:
        return new
    made = copy.copy(value)
    made[place[0]] = changed(value[place[0]], place[1:], new)
    return made


def wrong(pairs: Iterable[Pair]) -> Iterator[tuple[Place, Any]]:
    """Bodies with one wrong value each: every place of the pairs, once for each kind of object that has it, with two of
    the values by turns."""
    tried = set[Place]()
    for body in [pair.body for pair in pairs]:
        for place in places(body):
            if (known := known_as(body, place)) not in tried:
                tried.add(known)
                for number in (len(tried), len(tried) + 3):
                    value = WRONG[number % len(WRONG)]
                    yield known, changed(body, place, value)
    assert len(tried) > 20


def failures(pairs: Iterable[Pair], act: Callable[[Any], object]) -> dict[Place, str]:
    found = ((place, outcome(lambda body=body: act(body))) for place, body in wrong(pairs))
    return {place: said for place, said in found if said is not None}


@pytest.mark.parametrize("name", FORMATS)
def test_a_request_with_a_wrong_value_anywhere_breaks_nothing(name: str) -> None:
    assert failures(FORMATS[name].pairs(), lambda body: translated(FORMATS[name], json.dumps(body).encode())) == {}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_with_a_wrong_value_anywhere_breaks_nothing(name: str) -> None:
    answers = ANSWERS[name]

    def read(body: Any) -> None:
        # Records of a stream that are none have no written form.
        if not answers.streams or (isinstance(body, list) and all(isinstance(each, dict) for each in body)):
            answered(answers, answers.written(body))

    assert failures(answers.pairs(), read) == {}
