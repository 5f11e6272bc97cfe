"""The circuit breaker as a state machine on a simulated clock: when it opens, whom it lets through, what closes it."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llm_mux.errors import Kind
from llm_mux.routing.breaker import ACCOUNT, LONGEST_GROWN_S, PROVIDER, Breaker, State, Trip

KIND = Kind.UPSTREAM_ERROR


def failing(breaker: Breaker, times: int, now: float = 0.0, trip: Trip = ACCOUNT) -> list[bool]:
    return [breaker.failed(now, trip, KIND) for _ in range(times)]


def test_it_opens_at_the_fifth_failure_in_a_row_and_a_success_begins_anew() -> None:
    breaker = Breaker()
    failing(breaker, 4)
    breaker.succeeded(0, 0, ACCOUNT)
    assert failing(breaker, 5) == [False] * 4 + [True]
    assert (breaker.state(9.9), breaker.state(10)) == (State.OPEN, State.HALF_OPEN)


def test_it_opens_at_half_of_ten_in_a_window_and_forgets_the_window_before() -> None:
    breaker = Breaker()
    for now in range(5):
        breaker.succeeded(now, now, ACCOUNT)
        breaker.failed(now, ACCOUNT, KIND)
    assert breaker.state(4) is State.OPEN
    slow = Breaker()
    for number in range(100):
        slow.succeeded(number * 6, number * 6, ACCOUNT)
        slow.failed(number * 6, ACCOUNT, KIND)
    assert slow.state(600) is State.CLOSED, "ten in ten seconds, not ten in all"


def test_a_short_rest_in_a_long_one_that_may_be_tried_again_holds_everybody_back_for_its_time() -> None:
    breaker = Breaker()
    breaker.rest(0, 1800, KIND)
    assert breaker.ready_at(300) == 0.0
    breaker.rest(300, 0.5, KIND)
    assert (breaker.ready_at(300.4), breaker.ready_at(300.5)) == (300.5, 0.0)
    assert breaker.state(301) is State.OPEN


def test_a_providers_breaker_stays_closed_while_anything_works() -> None:
    breaker = Breaker()
    for _ in range(100):
        failing(breaker, 4, trip=PROVIDER)
        breaker.succeeded(0, 0, PROVIDER)
    assert breaker.state(0) is State.CLOSED
    assert failing(breaker, 5, trip=PROVIDER)[-1]


def test_a_failure_when_half_open_opens_it_for_longer_up_to_a_limit() -> None:
    breaker, now, rests = Breaker(), 0.0, []
    failing(breaker, 5)
    for _ in range(8):
        assert breaker.until is not None
        rests.append(breaker.until - now)
        now = breaker.until
        breaker.enter(now)
        assert breaker.failed(now, ACCOUNT, KIND)
    assert rests == [10, 20, 40, 80, 160, 300, 300, 300]


def test_what_was_let_through_before_it_opened_does_not_close_it() -> None:
    breaker = Breaker()
    failing(breaker, 5, now=10)
    assert not breaker.succeeded(11, 9, ACCOUNT)
    assert breaker.state(11) is State.OPEN
    breaker.succeeded(20.5, 20.1, ACCOUNT)
    assert breaker.state(20.5) is State.CLOSED


def test_a_closed_breaker_with_a_clean_window_can_be_thrown_away() -> None:
    breaker = Breaker()
    failing(breaker, 1, now=100)
    assert not breaker.succeeded(101, 101, ACCOUNT)
    assert breaker.succeeded(111, 111, ACCOUNT)


@pytest.mark.parametrize("seconds", [0.5, 299, 100_000])
def test_a_rest_is_never_shortened_by_another(seconds: float) -> None:
    breaker = Breaker()
    breaker.rest(0, seconds, Kind.RATE_LIMIT)
    breaker.rest(0.1, 0.2, Kind.QUOTA)
    assert (breaker.until, breaker.reason) == (seconds, Kind.RATE_LIMIT)


class Machine(RuleBasedStateMachine):
    """Any sequence of attempts, failures, successes and rests, with time going on."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = 1000.0
        self.under_way: list[float] = []

    @rule(seconds=st.floats(0.001, 1200))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: not self.breaker.ready_at(self.now))
    @rule()
    def somebody_is_let_through(self) -> None:
        state = self.breaker.state(self.now)
        self.breaker.enter(self.now)
        self.under_way.append(self.now)
        if state is not State.CLOSED:
            assert self.breaker.ready_at(self.now) > self.now, "one at a time"

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 50))
    def one_fails(self, which: int) -> None:
        self.under_way.pop(which % len(self.under_way))
        before = self.breaker.state(self.now)
        opened = self.breaker.failed(self.now, ACCOUNT, KIND)
        after = self.breaker.state(self.now)
        assert opened is (after is State.OPEN) or before is State.OPEN
        if before is State.HALF_OPEN:
            assert after is State.OPEN

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 50))
    def one_succeeds(self, which: int) -> None:
        began = self.under_way.pop(which % len(self.under_way))
        before, since = self.breaker.state(self.now), self.breaker.since
        self.breaker.succeeded(self.now, began, ACCOUNT)
        if before is State.CLOSED or began >= since:
            assert self.breaker.state(self.now) is State.CLOSED
            assert not self.breaker.ready_at(self.now)
        else:
            assert self.breaker.state(self.now) is before

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 50))
    def one_ends_without_a_word(self, which: int) -> None:
        """A client left, or made a mistake of its own: nothing is known."""
        self.under_way.pop(which % len(self.under_way))

    @rule(seconds=st.floats(0, 600_000))
    def the_provider_asks_for_a_rest(self, seconds: float) -> None:
        before = self.breaker.until
        self.breaker.rest(self.now, seconds, Kind.QUOTA)
        assert self.breaker.until is not None
        assert self.breaker.until >= max(self.now + seconds, 0 if before is None else min(before, self.now + seconds))

    @invariant()
    def it_never_closes_its_door_for_good(self) -> None:
        ready = self.breaker.ready_at(self.now)
        assert ready == 0 or self.now < ready <= self.now + 300
        assert self.breaker.ready_at(self.now + 300.001) == 0

    @invariant()
    def a_closed_one_keeps_nobody_out(self) -> None:
        if self.breaker.state(self.now) is State.CLOSED:
            assert self.breaker.ready_at(self.now) == 0
            assert self.breaker.reason is None

    @invariant()
    def growth_has_an_end(self) -> None:
        assert 1 <= self.breaker.grown(self.now, 1.0) <= LONGEST_GROWN_S


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
