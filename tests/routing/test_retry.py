"""Whether another round is worth it, how long before it, and a budget that keeps retries from multiplying."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_mux.errors import Kind, MuxError
from llm_mux.routing.retry import Budget, Patience, Round, backoff, pause

ENOUGH = Patience(rounds=3, seconds=30)
BROKEN = MuxError(Kind.UPSTREAM_ERROR, "broken")
LIMITED = MuxError(Kind.RATE_LIMIT, "slow down")
ASKED_TO_WAIT = MuxError(Kind.OVERLOADED, "busy", retry_after=4)


@pytest.mark.parametrize(
    ("came", "patience", "least", "most"),
    [
        pytest.param(Round(1, BROKEN, 0.0, True), ENOUGH, 0, 0.5, id="a hiccup: soon again"),
        pytest.param(Round(1, LIMITED, 7.0), ENOUGH, 7, 9, id="until the rest is over, and a little more"),
        pytest.param(Round(1, ASKED_TO_WAIT, 0.0, True), ENOUGH, 4, 6, id="as long as it asks for"),
        pytest.param(Round(0, LIMITED, 7.0), Patience(0, 30), 7, 9, id="nobody was asked: waiting is no retry"),
        pytest.param(Round(2, LIMITED, 0.0, True), ENOUGH, 0, 0.5, id="one of them may answer"),
        pytest.param(Round(0, LIMITED, 10.0), Patience(3, 10.0), 10, 10, id="just within the patience"),
    ],
)
@settings(deadline=None)
@given(draw=st.floats(0, 0.999))
@pytest.mark.covers("OP-6")
def test_a_round_is_waited_for(came: Round, patience: Patience, least: float, most: float, draw: float) -> None:
    wait = pause(came, patience, 0, draw)
    assert wait is not None
    assert least <= wait <= most


@pytest.mark.parametrize(
    ("came", "patience"),
    [
        pytest.param(Round(1, BROKEN, 0.0, True), Patience(0, 30), id="no rounds left"),
        pytest.param(Round(1, LIMITED, 31.0), ENOUGH, id="longer than anybody waits"),
        pytest.param(Round(1, LIMITED, 7.0), Patience(3, 6.0), id="longer than is left"),
        pytest.param(Round(0, LIMITED, 7.0), Patience(3, 30, status_in=5), id="the client has to be told before"),
        pytest.param(Round(1, BROKEN, None, True), ENOUGH, id="nobody will be ready"),
        pytest.param(Round(1, MuxError(Kind.FIRST_BYTE_TIMEOUT, "hangs"), 0.0), ENOUGH, id="would hang again"),
        pytest.param(Round(0, MuxError(Kind.NO_TARGET, "none"), None), ENOUGH, id="no account"),
    ],
)
@settings(deadline=None)
@given(draw=st.floats(0, 0.999))
@pytest.mark.covers("OP-5")
def test_what_is_waited_for_in_vain_is_told_at_once(came: Round, patience: Patience, draw: float) -> None:
    assert pause(came, patience, 0, draw) is None


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.999))
def test_pauses_grow_with_full_jitter_up_to_eight_seconds(number: int, draw: float) -> None:
    assert 0 <= backoff(number, draw) <= min(8.0, 0.5 * 2.0 ** min(number, 10))
    assert backoff(number, 0) == 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=300))
def test_retries_are_a_share_of_the_traffic_and_a_trickle(steps: list[tuple[float, bool]]) -> None:
    budget, now, taken, earned = Budget(), 0.0, 0, 0
    for seconds, retry in steps:
        now += seconds
        if retry:
            taken += budget.take(now)
        else:
            budget.earn()
            earned += 1
    assert taken <= 20 + 0.2 * earned + 0.5 * now


def test_an_outage_uses_the_budget_up_and_quiet_times_fill_it_again() -> None:
    budget = Budget()
    assert [budget.take(0) for _ in range(21)] == [True] * 20 + [False]
    assert not budget.take(1)
    assert budget.take(3)
    assert sum(budget.take(10_000) for _ in range(50)) == 20
