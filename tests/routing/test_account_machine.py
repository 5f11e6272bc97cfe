"""An account over any course of failures, successes, quotas and time: what has to hold whatever happens to it."""

import copy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llm_mux.errors import Kind, MuxError
from llm_mux.providers import registry
from llm_mux.providers.quota import Window
from llm_mux.routing.accounts import FAULTS, NEARLY_SPENT, Account

MODELS = ("m", "n")
PROBED_S = 300.0
"""A long rest is tried that often."""
models = st.sampled_from(MODELS)


class Machine(RuleBasedStateMachine):
    """`now` is monotonic seconds; unix time runs beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.account = Account(registry.get("openai"), "a", "sk-1")
        self.now = 1000.0

    @property
    def unix(self) -> float:
        return self.now + 1e9

    def ready(self, model: str) -> bool:
        return not self.account.ready_at(model, self.now)

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 10.0, 299.0, 300.0, 3600.0, 50_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        model=models,
        kind=st.sampled_from([kind for kind in FAULTS if kind is not Kind.LOGIN_NEEDED]),
        retry_after=st.sampled_from([None, None, 0.5, 40.0, 100_000.0]),
    )
    def fails(self, model: str, kind: Kind, retry_after: float | None) -> None:
        other = next(each for each in MODELS if each != model)
        before = self.account.ready_at(other, self.now)
        self.account.failed(model, MuxError(kind, "no", retry_after=retry_after), self.now)
        if retry_after:
            assert not self.ready(model), "a hint is kept to"
        if FAULTS[kind] != "account":
            assert self.account.ready_at(other, self.now) == before, "the other model has nothing to do with it"

    @rule(model=models, kind=st.sampled_from([kind for kind in Kind if kind not in FAULTS]))
    def the_client_is_at_fault(self, model: str, kind: Kind) -> None:
        before = copy.deepcopy(self.account.breakers)
        self.account.failed(model, MuxError(kind, "no", retry_after=60), self.now)
        assert self.account.breakers == before

    @precondition(lambda self: any(self.ready(model) for model in MODELS))
    @rule(model=models)
    def is_asked_and_answers(self, model: str) -> None:
        if not self.ready(model):
            return
        self.account.enter(model, self.now)
        resting = any(breaker.until is not None for breaker in self.account.breakers.values())
        if resting and not self.ready(model):
            assert self.account.ready_at(model, self.now) <= self.now + PROBED_S, "one tries, the others wait"
        self.account.succeeded(model, self.now, self.now)
        assert self.ready(model), "a success lets everybody in"
        self.account.inflight -= 1

    @rule(
        model=models,
        scope=st.sampled_from(["account", "model"]),
        used=st.sampled_from([0.1, NEARLY_SPENT, 1.0]),
        seconds=st.sampled_from([-5.0, 30.0, 20_000.0]),
    )
    def a_quota_is_told(self, model: str, scope: str, used: float, seconds: float) -> None:
        window = Window("w", scope, used, resets_at=self.unix + seconds)  # type: ignore[arg-type]
        self.account.notice(model, (window,), self.now, self.unix)
        assert self.account.nearly_spent(model, self.now) or used < NEARLY_SPENT or seconds < 0
        if used >= 1 and seconds > 0:
            assert not self.ready(model)

    @rule()
    def is_cleared_by_hand(self) -> None:
        self.account.clear()
        assert all(self.ready(model) for model in MODELS)

    @invariant()
    def is_ready_now_or_later_and_never_out_of_reach(self) -> None:
        for model in MODELS:
            at = self.account.ready_at(model, self.now)
            assert at == 0 or self.now < at <= self.now + PROBED_S
            assert (at == 0) or self.account.reason(model, self.now) is not None
        assert self.account.inflight == 0


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_an_account = Machine.TestCase
