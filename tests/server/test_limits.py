"""Limits in memory and in Redis: the same model, the same random histories, a simulated clock."""

import asyncio
import contextlib
import math
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from llm_mux.config import ConfigError
from llm_mux.config.schema import Limits
from llm_mux.errors import MuxError
from llm_mux.routing.limits import Refused, Windows, charges
from llm_mux.server.limiter import Limiter, Limiters, LocalLimiter, SharedLimiter
from llm_mux.server.redis_limits import LEASE_S, RedisWindows
from tests.server.limit_model import SETS, Model, Use, wanted_by
from tests.services import named

START = 1_800_000_000.0
SUBJECTS = st.sampled_from(["a", "b"])
STEPS = st.one_of(
    st.tuples(st.just("ask"), SUBJECTS, st.integers(0, 130)),
    st.tuples(st.just("wait"), st.sampled_from([0.25, 1, 7.5, 20, 59.75, 60, 61, 600, 3599, 3600]), st.just(0)),
    st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 200)),
    st.tuples(st.just("leave"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("undo"), st.integers(0, 9), st.just(0)),
)
HISTORIES = st.lists(STEPS, max_size=40)


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def redis_url() -> str:
    return named("LLM_MUX_TEST_REDIS", "Redis")


@contextlib.asynccontextmanager
async def redis_windows(clock: Callable[[], float] | None, prefix: str) -> AsyncIterator[RedisWindows]:
    windows = RedisWindows(redis_url(), clock=clock, prefix=prefix)
    try:
        yield windows
    finally:
        client: Any = windows._redis
        if keys := await client.keys(prefix + "*"):
            await client.delete(*keys)
        await windows.close()


@contextlib.asynccontextmanager
async def in_memory(clock: Clock) -> AsyncIterator[Limiter]:
    yield LocalLimiter(clock)


@contextlib.asynccontextmanager
async def in_redis(clock: Clock) -> AsyncIterator[Limiter]:
    async with redis_windows(clock, f"test:{secrets.token_hex(6)}:") as windows:
        yield SharedLimiter(windows, LocalLimiter(clock), refuse=True)


STORES = [pytest.param(in_memory, id="memory"), pytest.param(in_redis, id="redis")]


async def live(store: Any, limits: Limits, history: list[tuple[str, Any, int]]) -> None:
    """One history, compared with the model after each step."""
    clock, model = Clock(), Model(LEASE_S if store is in_redis else math.inf)
    async with store(clock) as limiter:
        passes: list[tuple[Any, Use]] = []
        for what, which, tokens in history:
            if what == "wait":
                clock.now += which
            elif what == "ask":
                await ask(limiter, model, passes, wanted_by(which, limits), tokens, clock.now)
            elif passes:
                granted, use = passes[which % len(passes)]
                if what == "settle":
                    granted.settle(tokens)
                    use.tokens = tokens
                elif what == "undo":
                    granted.undo()
                    passes.remove((granted, use))
                    model.uses.remove(use)
                else:
                    granted.leave()
                    use.running = False
                await told(limiter)


async def ask(
    limiter: Limiter, model: Model, passes: list[tuple[Any, Use]], wanted: Any, tokens: int, now: float
) -> None:
    refusing = model.refusing(wanted, tokens, now)
    answer = await limiter.admit(wanted, tokens)
    if refusing:
        assert isinstance(answer, Refused)
        assert answer.retry_s == pytest.approx(max(model.retry_s(c, tokens, now) for c in refusing))
    else:
        assert not isinstance(answer, Refused)
        use = Use(now, tokens, wanted)
        model.uses.append(use)
        passes.append((answer, use))
        assert {s.charge: s.remaining for s in answer.standings()} == remaining(model, wanted, now)
    # A look uses nothing, and neither did a refusal.
    assert {s.charge: s.remaining for s in await limiter.standings(wanted)} == remaining(model, wanted, now)


def remaining(model: Model, wanted: Any, now: float) -> dict[Any, int]:
    return {c: max(0, c.limit - model.used(c, now)) for c in wanted}


async def told(limiter: Limiter) -> None:
    """Redis is told behind the answer; the next step waits until it has heard."""
    if isinstance(limiter, SharedLimiter):
        await asyncio.gather(*limiter._windows._telling)


@pytest.mark.parametrize("limits", SETS, ids=str)
@settings(max_examples=60, deadline=None)
@given(history=HISTORIES)
def test_windows_in_memory_do_what_the_model_says(limits: Limits, history: list[tuple[str, Any, int]]) -> None:
    asyncio.run(live(in_memory, limits, history))


@pytest.mark.parametrize("limits", SETS, ids=str)
def test_windows_in_redis_do_what_the_model_says(limits: Limits) -> None:
    redis_url()

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(history=HISTORIES)
    @example(history=[("ask", "a", 0), ("wait", 60, 0), ("ask", "a", 0)])
    def holds(history: list[tuple[str, Any, int]]) -> None:
        asyncio.run(live(in_redis, limits, history))

    holds()


@pytest.mark.parametrize("store", STORES)
async def test_many_at_once_are_admitted_up_to_the_limit_exactly(store: Any) -> None:
    async with store(Clock()) as limiter:
        wanted = charges("a", Limits(requests_per_minute=37, concurrent=50))
        answers = await asyncio.gather(*(limiter.admit(wanted, 0) for _ in range(200)))
        assert sum(not isinstance(answer, Refused) for answer in answers) == 37
        assert {answer.charge.kind for answer in answers if isinstance(answer, Refused)} == {"requests"}


@pytest.mark.parametrize("store", STORES)
async def test_a_request_larger_than_its_limit_is_told_that_waiting_does_not_help(store: Any) -> None:
    async with store(Clock()) as limiter:
        answer = await limiter.admit(charges("a", Limits(tokens_per_minute=100)), 101)
        assert isinstance(answer, Refused)
        assert (answer.fits, answer.retry_s) == (False, 60)


async def test_two_daemons_share_one_limit_in_redis() -> None:
    clock, prefix = Clock(), f"test:{secrets.token_hex(6)}:"
    async with redis_windows(clock, prefix) as one, redis_windows(clock, prefix) as two:
        wanted = charges("a", Limits(requests_per_minute=20, concurrent=20))
        answers = await asyncio.gather(*(daemon.admit(wanted, 0) for _ in range(30) for daemon in (one, two)))
        assert sum(not isinstance(answer, Refused) for answer in answers) == 20


async def test_the_places_of_a_daemon_that_died_come_back() -> None:
    clock, prefix = Clock(), f"test:{secrets.token_hex(6)}:"
    wanted = charges("a", Limits(concurrent=1))
    async with redis_windows(clock, prefix) as one, redis_windows(clock, prefix) as two:
        assert not isinstance(await one.admit(wanted, 0), Refused)
        clock.now += 119
        assert isinstance(await two.admit(wanted, 0), Refused)
        clock.now += 1
        assert not isinstance(await two.admit(wanted, 0), Refused)


HASTY = """
import asyncio, sys, time
exact = time.time
time.time = lambda: exact() + float(sys.argv[3])
from llm_mux.config.schema import Limits
from llm_mux.routing.limits import Refused, charges
from llm_mux.server.redis_limits import RedisWindows

async def ask():
    windows = RedisWindows(sys.argv[1], prefix=sys.argv[2])
    answer = await windows.admit(charges("a", Limits(requests_per_minute=2, concurrent=9)), 0)
    await windows.close()
    return "refused" if isinstance(answer, Refused) else "admitted"

print(asyncio.run(ask()))
"""


@pytest.mark.parametrize("ahead_s", ["90", "-90"])
async def test_a_daemon_whose_clock_is_wrong_shares_the_limit_all_the_same(ahead_s: str) -> None:
    prefix, wanted = f"test:{secrets.token_hex(6)}:", charges("a", Limits(requests_per_minute=2))
    async with redis_windows(None, prefix) as windows:
        said = []
        for _ in range(2):
            arguments = (sys.executable, "-c", HASTY, redis_url(), prefix, ahead_s)
            other = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
            said.append((await other.communicate())[0].decode().strip())
            answer = await windows.admit(wanted, 0)
            said.append("refused" if isinstance(answer, Refused) else "admitted")
        assert said == ["admitted", "admitted", "refused", "refused"]
        assert isinstance(answer, Refused) and 0 < answer.retry_s <= 60


async def test_a_clock_that_is_set_back_keeps_nobody_out_for_longer_than_the_period() -> None:
    clock, wanted = Clock(), charges("a", Limits(requests_per_minute=2, tokens_per_minute=100, concurrent=5))
    async with redis_windows(clock, f"test:{secrets.token_hex(6)}:") as windows:
        assert not isinstance(await windows.admit(wanted, 50), Refused)
        assert not isinstance(await windows.admit(wanted, 50), Refused)
        clock.now -= 3600
        refused = await windows.admit(wanted, 10)
        assert isinstance(refused, Refused) and refused.retry_s == 60
        clock.now += 60
        admitted = await windows.admit(wanted, 10)
        assert not isinstance(admitted, Refused)
        assert [standing.remaining for standing in admitted.standings()] == [1, 90, 2]


@pytest.mark.parametrize("refuse", [True, False])
async def test_without_redis_limits_are_refused_or_counted_here_as_configured(refuse: bool) -> None:
    limiters = Limiters()
    limiter = limiters.of("redis://127.0.0.1:1/0", refuse=refuse)
    wanted = charges("a", Limits(requests_per_minute=2))
    try:
        if refuse:
            for _ in range(3):
                with pytest.raises(MuxError, match="Redis does not answer") as caught:
                    await limiter.admit(wanted, 0)
                assert (caught.value.http_status, caught.value.retry_after) == (503, 1.0)
        else:
            answers = [await limiter.admit(wanted, 0) for _ in range(3)]
            assert [isinstance(answer, Refused) for answer in answers] == [False, False, True]
        assert limiter.storage == "redis"
        assert limiter.error is not None
    finally:
        await limiters.close()


def test_without_the_redis_client_the_configuration_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=r"llm-mux\[redis\]"):
        Limiters().of("redis://127.0.0.1:6379/0", refuse=False)


def test_windows_that_hold_nothing_are_forgotten() -> None:
    windows = Windows()
    for number in range(5000):
        windows.admit(charges(f"user:{number}", Limits(requests_per_minute=1)), 0, now=number * 1.0)
    assert len(windows) < 2200


def test_long_histories_cost_no_more_than_short_ones() -> None:
    windows, wanted = Windows(), charges("a", Limits(requests_per_hour=1_000_000, tokens_per_minute=10**9))
    for number in range(50_000):
        windows.admit(wanted, 5, now=number / 100)
    kept: Any = list(windows._windows.values())
    assert (len(kept[0].times), len(kept[1].entries)) == (50_000, 6_000)
