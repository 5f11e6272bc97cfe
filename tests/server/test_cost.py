"""A request's cost in calls, so that speed is not lost unseen. Who makes it dearer on purpose raises the limit here."""

import pathlib
from typing import NamedTuple

import pytest

from tests.server import costing


class Most(NamedTuple):
    """What a request may take: calls in all, and those into the JSON library."""

    calls: int
    json: int


LIMITS = {
    "splice": Most(195, 3),
    "translate": Most(245, 7),
    "spliced stream of 100 events": Most(1970, 108),
    "translated stream of 100 events": Most(2960, 116),
    "spliced stream, ten events a read": Most(800, 18),
    "translated stream, ten events a read": Most(1045, 32),
    "spliced stream that comes at once": Most(440, 7),
    "translated stream that comes at once": Most(595, 17),
    "splice of 40 turns": Most(235, 2),
    "translate 40 turns": Most(275, 3),
    "splice of 40 turns never seen": Most(360, 3),
    "translate 40 turns never seen": Most(680, 7),
}


def test_every_kind_of_request_has_its_limit() -> None:
    assert LIMITS.keys() == costing.KINDS.keys()


@pytest.mark.parametrize("name", LIMITS)
async def test_a_request_costs_no_more_calls_than_it_did(tmp_path: pathlib.Path, name: str) -> None:
    kind, most = costing.KINDS[name], LIMITS[name]
    upstream = costing.ReadyUpstream(costing.ANSWERS, costing.reads(kind.at_once))
    found = await costing.calls(costing.daemon(tmp_path), upstream, kind.bodies())
    assert (found["all"] <= most.calls, found["json"] <= most.json) == (True, True), found
