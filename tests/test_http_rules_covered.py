"""Each rule of `tests/http_rules.py` is tried at each end that it concerns, and no case stands for no rule."""

import pytest

from tests.gateway import test_upstream_conformance as upstream
from tests.http_rules import RULES, Rule
from tests.server.http_requests import CASES

CLIENT = {case.name for case in (*upstream.GOOD, *upstream.BAD)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.section}: {rule.says}")
def test_a_rule_is_tried_at_each_end_that_it_concerns(rule: Rule) -> None:
    assert rule.server or rule.client
    assert rule.server != ()
    assert rule.client != ()
    assert set(rule.server or ()) <= CASES.keys()
    assert set(rule.client or ()) <= CLIENT


def test_every_case_is_of_a_rule() -> None:
    assert CASES.keys() == {name for rule in RULES for name in rule.server or ()}
    assert {name for rule in RULES for name in rule.client or ()} == CLIENT
