"""Which account is asked first and which follow: sticky, prioritised, weighted, and honest when all rest."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_mux.errors import Kind, MuxError
from llm_mux.providers import registry
from llm_mux.routing.accounts import Account
from llm_mux.routing.catalog import Route
from llm_mux.routing.select import order

PROVIDER = replace(registry.get("openai"), name="p")
OTHER = replace(registry.get("openai"), name="q")
ROUTE = Route("p", "m")
CONVERSATIONS = [f"conversation-{number}" for number in range(300)]


def accounts(*labels: str, **more: object) -> list[Account]:
    return [Account(PROVIDER, label, **more) for label in labels]  # type: ignore[arg-type]


def first(pool: list[Account], conversation: str, now: float = 0) -> str:
    return order([ROUTE], pool, conversation, now)[0].account.label


def owners(pool: list[Account]) -> dict[str, str]:
    return {conversation: first(pool, conversation) for conversation in CONVERSATIONS}


def resting(account: Account, kind: Kind, seconds: float) -> None:
    account.failed("m", MuxError(kind, "no", retry_after=seconds), now=0)


labels = st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1), min_size=2, unique=True)


@given(labels)
def test_a_new_account_takes_conversations_only_for_itself(names: list[str]) -> None:
    *old, new = names
    before, after = owners(accounts(*old)), owners(accounts(*names))
    assert {after[c] for c in CONVERSATIONS if after[c] != before[c]} <= {new}


@given(labels)
def test_a_lost_account_moves_only_what_it_served(names: list[str]) -> None:
    *left, lost = names
    before, after = owners(accounts(*names)), owners(accounts(*left))
    assert {before[c] for c in CONVERSATIONS if after[c] != before[c]} <= {lost}


@given(labels, st.integers(0, 9))
def test_a_resting_account_gives_its_conversations_away_and_gets_them_back(names: list[str], which: int) -> None:
    pool = accounts(*names)
    before = owners(pool)
    tired = pool[which % len(pool)]
    resting(tired, Kind.RATE_LIMIT, 60)
    during = owners(pool)
    assert all(during[c] == before[c] for c in CONVERSATIONS if before[c] != tired.label)
    assert tired.label not in during.values()
    assert {c: first(pool, c, now=60) for c in CONVERSATIONS} == before


def test_a_conversation_stays_whatever_the_order_of_the_accounts() -> None:
    assert owners(accounts("a", "b", "c")) == owners(accounts("c", "a", "b"))


@pytest.mark.parametrize("names", [("a", "b", "c"), ("key1", "key2", "key3", "key4"), ("work", "home-office")])
def test_conversations_spread_evenly(names: tuple[str, ...]) -> None:
    many = Counter(first(accounts(*names), f"c{number}") for number in range(3000))
    assert max(many.values()) / min(many.values()) < 1.2


def test_conversations_spread_by_weight() -> None:
    pool = [*accounts("heavy", weight=3), *accounts("light", weight=1), *accounts("spare", weight=0)]
    many = Counter(first(pool, f"c{number}") for number in range(4000))
    assert 0.70 < many["heavy"] / 4000 < 0.80
    assert many["spare"] == 0
    last = [candidate.account.label for candidate in order([ROUTE], pool, "c", 0)]
    assert last[-1] == "spare", "weight 0 is asked last, and is asked"


def test_a_higher_priority_goes_first_in_every_conversation() -> None:
    pool = [*accounts("low", priority=-1), *accounts("mid1", "mid2"), *accounts("top", priority=5)]
    for conversation in CONVERSATIONS:
        got = [candidate.account.label for candidate in order([ROUTE], pool, conversation, 0)]
        assert (got[0], got[-1]) == ("top", "low")
        assert set(got[1:3]) == {"mid1", "mid2"}


def test_routes_keep_their_order_and_take_their_own_accounts() -> None:
    pool = [Account(OTHER, "x"), *accounts("a", "b")]
    got = order([ROUTE, Route("q", "n")], pool, "c", 0)
    assert [candidate.route.model for candidate in got] == ["m", "m", "n"]
    assert got[-1].account.label == "x"
    named = order([Route("p", "m", account="b")], pool, "c", 0)
    assert [candidate.account.label for candidate in named] == ["b"]


def test_a_higher_priority_goes_before_the_order_of_the_routes() -> None:
    pool = [*accounts("a", "b"), Account(OTHER, "x", priority=1)]
    got = order([ROUTE, Route("q", "n")], pool, "c", 0)
    assert [candidate.route.model for candidate in got] == ["n", "m", "m"]


def test_when_all_rest_the_answer_names_the_soonest() -> None:
    pool = accounts("a", "b", "c")
    for account, seconds in zip(pool, (50.0, 12.4, 300.0), strict=True):
        resting(account, Kind.RATE_LIMIT, seconds)
    with pytest.raises(MuxError, match="13 s") as caught:
        order([ROUTE], pool, "c", 0)
    assert caught.value.kind is Kind.RATE_LIMIT
    assert caught.value.http_status == 429
    assert caught.value.retry_after == pytest.approx(12.4)
    with pytest.raises(MuxError) as caught:
        order([ROUTE], pool, "c", now=12.3)
    assert caught.value.retry_after == 1.0, "never a wait of nothing"


def test_a_refused_key_is_not_called_a_rate_limit() -> None:
    pool = accounts("a", "b")
    resting(pool[0], Kind.UPSTREAM_AUTH, 1800)
    resting(pool[1], Kind.RATE_LIMIT, 20)
    with pytest.raises(MuxError) as caught:
        order([ROUTE], pool, "c", 0)
    assert (caught.value.kind, caught.value.retry_after) == (Kind.RATE_LIMIT, 20)
    with pytest.raises(MuxError, match="refused the key of p/a") as caught:
        order([ROUTE], pool[:1], "c", 0)
    assert caught.value.kind is Kind.LOGIN_NEEDED
    assert caught.value.retry_after is None


@pytest.mark.parametrize("kind", [Kind.UPSTREAM_AUTH, Kind.UPSTREAM_FORBIDDEN, Kind.RATE_LIMIT, Kind.QUOTA])
def test_a_clients_own_key_that_is_refused_keeps_nobody_else_waiting(kind: Kind) -> None:
    (account,) = accounts("a", key="!PASSTHRU")
    resting(account, kind, 60)
    assert order([ROUTE], [account], "c", 0)[0].account is account
    assert account.last_error is None


def test_accounts_that_only_lack_the_model_are_asked_again() -> None:
    pool = accounts("a", "b")
    resting(pool[0], Kind.UPSTREAM_MODEL, 1000)
    assert [candidate.account.label for candidate in order([ROUTE], pool, "c", 1)] == ["b"]
    resting(pool[1], Kind.RATE_LIMIT, 1000)
    assert [candidate.account.label for candidate in order([ROUTE], pool, "c", 1)] == ["a"]


@pytest.mark.parametrize(("route", "who"), [(Route("p", "m"), "at p"), (Route("p", "m", account="gone"), "at p/gone")])
def test_nobody_at_all_is_a_503_that_says_what_to_do(route: Route, who: str) -> None:
    with pytest.raises(MuxError, match=who) as caught:
        order([route], [], "c", 0)
    assert caught.value.http_status == 503
    assert "llm-mux login p" in str(caught.value)
