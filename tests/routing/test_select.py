"""Which account is asked first and which follow: sticky, prioritised, weighted, and honest when all rest."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from llm_mux.errors import Kind, MuxError
from llm_mux.providers import registry
from llm_mux.providers.quota import Window
from llm_mux.routing.accounts import Account
from llm_mux.routing.catalog import Route
from llm_mux.routing.select import STRATEGIES, Candidate, Choice, Moment, judge, order, paired, ranked
from llm_mux.routing.standing import Standing, host_of

PROVIDER = replace(registry.get("openai"), name="p")
OTHER = replace(registry.get("openai"), name="q")
ROUTE = Route("p", "m")
CONVERSATIONS = [f"conversation-{number}" for number in range(300)]


def accounts(*labels: str, **more: object) -> list[Account]:
    return [Account(PROVIDER, label, **more) for label in labels]  # type: ignore[arg-type]


def ordered(routes: list[Route], pool: list[Account], conversation: str = "c", now: float = 0) -> list[Candidate]:
    return order(routes, paired(routes, pool), Moment(now, conversation))


def chosen(pool: list[Account], strategy: str, **more: object) -> list[str]:
    """The labels in order; `more` are fields of the choice or of the moment."""
    of_choice = {name: more.pop(name) for name in ("price", "context") if name in more}
    choice = Choice(strategy, **of_choice)  # type: ignore[arg-type]
    moment = Moment(**{"now": 0.0, "conversation": "c", **more})  # type: ignore[arg-type]
    return [each.account.label for each in order([ROUTE], paired([ROUTE], pool), moment, choice)]


def first(pool: list[Account], conversation: str, now: float = 0) -> str:
    return ordered([ROUTE], pool, conversation, now)[0].account.label


def owners(pool: list[Account]) -> dict[str, str]:
    return {conversation: first(pool, conversation) for conversation in CONVERSATIONS}


def resting(account: Account, kind: Kind, seconds: float) -> None:
    account.failed("m", MuxError(kind, "no", retry_after=seconds), now=0)


labels = st.lists(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8),
    min_size=2,
    max_size=6,
    unique=True,
)


@settings(deadline=None, max_examples=30)
@given(labels)
@pytest.mark.covers("OP-7")
def test_a_new_account_takes_conversations_only_for_itself(names: list[str]) -> None:
    *old, new = names
    before, after = owners(accounts(*old)), owners(accounts(*names))
    assert {after[c] for c in CONVERSATIONS if after[c] != before[c]} <= {new}


@settings(deadline=None, max_examples=30)
@given(labels)
def test_a_lost_account_moves_only_what_it_served(names: list[str]) -> None:
    *left, lost = names
    before, after = owners(accounts(*names)), owners(accounts(*left))
    assert {before[c] for c in CONVERSATIONS if after[c] != before[c]} <= {lost}


@settings(deadline=None, max_examples=30)
@given(labels, st.integers(0, 9))
@pytest.mark.covers("OP-7")
def test_a_resting_account_gives_its_conversations_away_and_gets_them_back(names: list[str], which: int) -> None:
    pool = accounts(*names)
    before = owners(pool)
    tired = pool[which % len(pool)]
    resting(tired, Kind.RATE_LIMIT, 60)
    during = owners(pool)
    assert all(during[c] == before[c] for c in CONVERSATIONS if before[c] != tired.label)
    assert tired.label not in during.values()
    assert first(pool, "any", now=60) in {account.label for account in pool}
    tired.succeeded("m", now=61, began=60)
    assert {c: first(pool, c, now=61) for c in CONVERSATIONS} == before


@pytest.mark.covers("OP-7")
def test_a_conversation_stays_whatever_the_order_of_the_accounts() -> None:
    assert owners(accounts("a", "b", "c")) == owners(accounts("c", "a", "b"))


@pytest.mark.parametrize("names", [("a", "b", "c"), ("key1", "key2", "key3", "key4"), ("work", "home-office")])
@pytest.mark.covers("OP-7")
def test_conversations_spread_evenly(names: tuple[str, ...]) -> None:
    many = Counter(first(accounts(*names), f"c{number}") for number in range(3000))
    assert max(many.values()) / min(many.values()) < 1.2


def test_conversations_spread_by_weight() -> None:
    pool = [*accounts("heavy", weight=3), *accounts("light", weight=1), *accounts("spare", weight=0)]
    many = Counter(first(pool, f"c{number}") for number in range(4000))
    assert 0.70 < many["heavy"] / 4000 < 0.80
    assert many["spare"] == 0
    last = [candidate.account.label for candidate in ordered([ROUTE], pool, "c", 0)]
    assert last[-1] == "spare", "weight 0 is asked last, and is asked"


def test_a_higher_priority_goes_first_in_every_conversation() -> None:
    pool = [*accounts("low", priority=-1), *accounts("mid1", "mid2"), *accounts("top", priority=5)]
    for conversation in CONVERSATIONS:
        got = [candidate.account.label for candidate in ordered([ROUTE], pool, conversation, 0)]
        assert (got[0], got[-1]) == ("top", "low")
        assert set(got[1:3]) == {"mid1", "mid2"}


def test_routes_keep_their_order_and_take_their_own_accounts() -> None:
    pool = [Account(OTHER, "x"), *accounts("a", "b")]
    got = ordered([ROUTE, Route("q", "n")], pool)
    assert [candidate.route.model for candidate in got] == ["m", "m", "n"]
    assert got[-1].account.label == "x"
    named = ordered([Route("p", "m", account="b")], pool)
    assert [candidate.account.label for candidate in named] == ["b"]


def test_a_higher_priority_goes_before_the_order_of_the_routes() -> None:
    pool = [*accounts("a", "b"), Account(OTHER, "x", priority=1)]
    got = ordered([ROUTE, Route("q", "n")], pool)
    assert [candidate.route.model for candidate in got] == ["n", "m", "m"]


def test_when_all_rest_the_answer_names_the_soonest() -> None:
    pool = accounts("a", "b", "c")
    for account, seconds in zip(pool, (50.0, 12.4, 300.0), strict=True):
        resting(account, Kind.RATE_LIMIT, seconds)
    with pytest.raises(MuxError, match="13 s") as caught:
        ordered([ROUTE], pool, "c", 0)
    assert caught.value.kind is Kind.RATE_LIMIT
    assert caught.value.http_status == 429
    assert caught.value.retry_after == pytest.approx(12.4)
    with pytest.raises(MuxError) as caught:
        ordered([ROUTE], pool, "c", now=12.3)
    assert caught.value.retry_after == 1.0, "never a wait of nothing"


def test_a_refused_key_is_not_called_a_rate_limit() -> None:
    pool = accounts("a", "b")
    resting(pool[0], Kind.UPSTREAM_AUTH, 1800)
    resting(pool[1], Kind.RATE_LIMIT, 20)
    with pytest.raises(MuxError) as caught:
        ordered([ROUTE], pool, "c", 0)
    assert (caught.value.kind, caught.value.retry_after) == (Kind.RATE_LIMIT, 20)
    with pytest.raises(MuxError, match="refused the key of p/a") as caught:
        ordered([ROUTE], pool[:1], "c", 0)
    assert caught.value.kind is Kind.LOGIN_NEEDED
    assert caught.value.retry_after is None


@pytest.mark.parametrize("kind", [Kind.UPSTREAM_AUTH, Kind.UPSTREAM_FORBIDDEN, Kind.RATE_LIMIT, Kind.QUOTA])
def test_a_clients_own_key_that_is_refused_keeps_nobody_else_waiting(kind: Kind) -> None:
    (account,) = accounts("a", key="!PASSTHRU")
    resting(account, kind, 60)
    assert ordered([ROUTE], [account], "c", 0)[0].account is account
    assert account.last_error is None


def test_accounts_that_only_lack_the_model_are_asked_again() -> None:
    pool = accounts("a", "b")
    resting(pool[0], Kind.UPSTREAM_MODEL, 1000)
    assert [candidate.account.label for candidate in ordered([ROUTE], pool, "c", 1)] == ["b"]
    resting(pool[1], Kind.RATE_LIMIT, 1000)
    assert [candidate.account.label for candidate in ordered([ROUTE], pool, "c", 1)] == ["a"]


@pytest.mark.parametrize(("route", "who"), [(Route("p", "m"), "at p"), (Route("p", "m", account="gone"), "at p/gone")])
def test_nobody_at_all_is_a_503_that_says_what_to_do(route: Route, who: str) -> None:
    with pytest.raises(MuxError, match=who) as caught:
        ordered([route], [], "c", 0)
    assert caught.value.http_status == 503
    assert "llm-mux login p" in str(caught.value)


def test_turns_go_round_and_every_account_gets_its_own() -> None:
    pool = accounts("a", "b", "c")
    assert [chosen(pool, "round-robin", turn=turn)[0] for turn in range(6)] == ["a", "b", "c", "a", "b", "c"]
    assert chosen(pool, "round-robin", turn=1) == ["b", "c", "a"]


def test_weights_are_held_in_the_long_run_and_spread_evenly_in_the_short() -> None:
    pool = [*accounts("heavy", weight=3), *accounts("light", weight=1), *accounts("never", weight=0)]
    got = [chosen(pool, "weighted", turn=turn) for turn in range(1000)]
    many = Counter(each[0] for each in got)
    assert 740 <= many["heavy"] <= 760
    assert many["never"] == 0
    assert all("light" in {each[0] for each in got[at : at + 8]} for at in range(900)), "it never waits long"
    assert {each[-1] for each in got} == {"never"}


def test_fill_first_uses_the_next_only_while_the_first_rests() -> None:
    pool = accounts("a", "b", "c")
    assert chosen(pool, "fill-first") == ["a", "b", "c"]
    resting(pool[0], Kind.RATE_LIMIT, 60)
    assert chosen(pool, "fill-first") == ["b", "c"]


def test_the_least_busy_goes_first_by_what_it_can_bear() -> None:
    pool = [*accounts("a"), *accounts("b", weight=4), *accounts("c")]
    pool[0].inflight, pool[1].inflight, pool[2].inflight = 2, 4, 3
    assert chosen(pool, "least-busy") == ["b", "a", "c"]


def test_the_fastest_is_measured_and_what_is_not_known_is_tried() -> None:
    pool = accounts("slow", "quick", "new", "old")
    pool[0].timed("m", 2.0, now=1000)
    pool[1].timed("m", 0.2, now=1000)
    pool[3].timed("m", 0.1, now=0)
    assert set(chosen(pool, "fastest", now=1000)[:2]) == {"new", "old"}
    assert chosen(pool, "fastest", now=1000)[2:] == ["quick", "slow"]
    for _ in range(20):
        pool[1].timed("m", 9.0, now=1001)
    assert chosen(pool, "fastest", now=1002)[2:] == ["slow", "quick"]


def test_the_cheapest_goes_first_and_an_unknown_price_last() -> None:
    pool = [Account(OTHER, "x"), *accounts("a")]
    routes = [ROUTE, Route("q", "n"), Route("q", "unknown")]
    prices = {("p", "m"): 3.0, ("q", "n"): 1.0}
    choice = Choice("cheapest", price=lambda provider, model: prices.get((provider, model)))
    got = order(routes, paired(routes, pool), Moment(0.0), choice)
    assert [(each.account.label, each.route.model) for each in got] == [("x", "n"), ("a", "m"), ("x", "unknown")]


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(deadline=None)
@given(st.data())
def test_every_strategy_asks_each_account_that_is_ready_once_and_priorities_first(
    strategy: str, data: st.DataObject
) -> None:
    number = data.draw(st.integers(1, 6))
    pool = [
        Account(PROVIDER, f"a{n}", weight=data.draw(st.integers(0, 5)), priority=data.draw(st.integers(-1, 1)))
        for n in range(number)
    ]
    tired = data.draw(st.sets(st.sampled_from(pool), max_size=number - 1))
    for account in tired:
        resting(account, Kind.RATE_LIMIT, 60)
    got = chosen(pool, strategy, turn=data.draw(st.integers(0, 10**6)), conversation=data.draw(st.text(max_size=5)))
    assert sorted(got) == sorted(account.label for account in pool if account not in tired)
    priority = {account.label: account.priority for account in pool}
    assert [priority[label] for label in got] == sorted((priority[label] for label in got), reverse=True)


def test_a_full_account_is_passed_over_and_all_full_is_a_short_wait() -> None:
    pool = accounts("a", "b", most=2)
    pool[0].inflight = 2
    assert chosen(pool, "sticky") == ["b"]
    pool[1].inflight = 2
    with pytest.raises(MuxError, match="as many exchanges as it may") as caught:
        chosen(pool, "sticky")
    assert (caught.value.http_status, caught.value.retry_after) == (429, 1.0)


def test_a_quota_that_is_nearly_spent_lets_others_go_first_whatever_the_priority() -> None:
    pool = [*accounts("rich", priority=-1), *accounts("poor", priority=9)]
    pool[1].notice("m", (Window("5h", "account", 0.99, resets_at=2000.0),), now=0, unix=1000)
    assert chosen(pool, "sticky") == ["rich", "poor"]


def test_what_is_too_long_for_one_goes_first_to_one_that_it_fits() -> None:
    pool = [*accounts("a", priority=5), Account(OTHER, "x")]
    routes = [ROUTE, Route("q", "n")]
    choice = Choice(context=lambda provider, model: {"m": 5000, "n": 50_000}[model])
    for size, wanted in ((19_999, ["a", "x"]), (20_001, ["x", "a"])):
        got = order(routes, paired(routes, pool), Moment(0.0, size=size), choice)
        assert [each.account.label for each in got] == wanted


def test_a_host_that_cannot_be_reached_holds_back_all_its_accounts_and_no_others() -> None:
    pool = [*accounts("a", "b"), *accounts("c", proxy_url="http://proxy.example"), Account(OTHER, "x")]
    standing = Standing()
    for _ in range(5):
        standing.unreached(pool[0], Kind.UNREACHABLE, now=0)
    assert set(standing.hosts) == {host_of(pool[1])}
    routes = [ROUTE, Route("q", "n")]
    moment = Moment(1.0, "c", hosts=standing.hosts)
    assert [each.account.label for each in order(routes, paired(routes, pool), moment)] == ["c", "x"]
    with pytest.raises(MuxError, match="after failures") as caught:
        order([ROUTE], paired([ROUTE], pool[:2]), moment)
    assert (caught.value.http_status, caught.value.retry_after) == (503, 4.0)
    assert standing.reached(pool[1], now=6, began=5.5)
    assert not standing.hosts[host_of(pool[1])].ready_at(6)


@settings(deadline=None)
@given(st.data())
def test_the_short_way_of_good_times_leads_to_the_same_order(data: st.DataObject) -> None:
    pool = [
        Account(provider, f"a{n}", priority=data.draw(st.integers(-1, 1)), weight=data.draw(st.integers(0, 3)))
        for n in range(data.draw(st.integers(1, 6)))
        for provider in (PROVIDER, OTHER)
    ]
    routes = [ROUTE, Route("q", "n")]
    pairs, said, known = paired(routes, pool), data.draw(st.text(max_size=5)), dict[bytes, Sequence[Candidate]]()
    order(routes, pairs, Moment(0.0, said), known=known)
    for each in data.draw(st.lists(st.sampled_from(pool))):
        each.failed("n" if each.provider is OTHER else "m", MuxError(Kind.RATE_LIMIT, "no", retry_after=9), now=0)
    for each in data.draw(st.lists(st.sampled_from(pool), max_size=1)):
        each.low[""] = data.draw(st.sampled_from([0.5, 5.0]))
    for each in data.draw(st.lists(st.sampled_from(pool))):
        each.most, each.inflight = 2, data.draw(st.integers(1, 2))
    choice = Choice(context=lambda provider, model: {"m": 10_000, "n": 20_000}[model])
    moment = Moment(1.0, said, size=data.draw(st.sampled_from([10, 20_000, 50_000, 100_000])))
    able = [judged for each in pairs if (judged := judge(each, moment, choice)).passed is None]
    if able:
        wanted = [each.candidate for each in ranked(able, moment, choice)]
        assert order(routes, pairs, moment, choice) == wanted
        assert order(routes, pairs, moment, choice, known) == wanted, (
            "what is remembered is the order of good times only"
        )
    assert len(known) == 1
