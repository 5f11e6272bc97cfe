"""Many accounts: a conversation keeps its own without a look at all of them, evenly, by weight, and in one order whatever
way it is worked out."""

from collections import Counter

import pytest

from llm_mux.errors import Kind
from llm_mux.routing.accounts import Account
from llm_mux.routing.ring import ring_of
from llm_mux.routing.select import FEW, Candidate, Favourites, Moment, order, paired
from tests.routing.test_select import PROVIDER, ROUTE, accounts, resting

CONVERSATIONS = [f"conversation-{number}" for number in range(4000)]
LABELS = [f"a{number}" for number in range(100)]


def asked(pool: list[Account], conversation: str, *, few: bool = True) -> list[str]:
    candidates = paired([ROUTE], pool)
    return [each.account.label for each in order([ROUTE], candidates, Moment(0, conversation), few=few)]


def first(pool: list[Account], candidates: tuple[Candidate, ...], known: Favourites) -> dict[str, str]:
    return {
        conversation: order([ROUTE], candidates, Moment(0, conversation), known=known, few=True)[0].account.label
        for conversation in CONVERSATIONS
    }


def owners(pool: list[Account]) -> dict[str, str]:
    return first(pool, paired([ROUTE], pool), Favourites())


def test_conversations_spread_over_all_of_many_accounts() -> None:
    counts = Counter(owners(accounts(*LABELS)).values())
    assert counts.keys() == set(LABELS)
    assert max(counts.values()) < 2 * len(CONVERSATIONS) / len(LABELS)


def test_conversations_spread_by_weight_over_many() -> None:
    pool = [Account(PROVIDER, label, weight=3.0 if number < 50 else 1.0) for number, label in enumerate(LABELS)]
    heavy = sum(int(label[1:]) < 50 for label in owners(pool).values()) / len(CONVERSATIONS)
    assert heavy == pytest.approx(0.75, abs=0.04)


def test_a_lost_account_of_many_moves_only_what_it_served() -> None:
    before, after = owners(accounts(*LABELS)), owners(accounts(*LABELS[1:]))
    assert [c for c in CONVERSATIONS if before[c] != after[c]] == [c for c in CONVERSATIONS if before[c] == "a0"]


@pytest.mark.parametrize("conversation", CONVERSATIONS[:40])
def test_the_first_few_are_the_first_of_all_also_while_some_rest(conversation: str) -> None:
    pool = accounts(*LABELS)
    everyone = asked(pool, conversation, few=False)
    assert sorted(everyone) == sorted(LABELS)
    assert asked(pool, conversation) == everyone[:FEW]
    gone = everyone[:3]
    for each in pool:
        if each.label in gone:
            resting(each, Kind.RATE_LIMIT, 60)
    assert asked(pool, conversation) == everyone[3 : 3 + FEW]
    assert asked(pool, conversation, few=False) == everyone[3:]


def test_when_few_of_many_are_well_all_of_them_are_found() -> None:
    pool = accounts(*LABELS)
    for each in pool[3:]:
        resting(each, Kind.RATE_LIMIT, 60)
    assert sorted(asked(pool, "c")) == ["a0", "a1", "a2"]


def test_priorities_go_before_the_ring() -> None:
    pool = [Account(PROVIDER, label, priority=1 if label == "a7" else 0) for label in LABELS]
    assert {asked(pool, conversation)[0] for conversation in CONVERSATIONS[:50]} == {"a7"}


def test_what_weighs_nothing_comes_last() -> None:
    ring = ring_of((("a", 1.0), ("b", 0.0), ("c", 2.0)))
    for number in range(50):
        walk = list(ring.walk(number.to_bytes(8)))
        assert sorted(walk) == [0, 1, 2]
        assert walk[-1] == 1
