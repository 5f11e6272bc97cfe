"""When an account rests, for how long, and what ends it. Time is a parameter."""

import dataclasses

import msgspec
import pytest

from llm_mux.errors import POLICY, Kind, MuxError
from llm_mux.providers import registry
from llm_mux.providers.quota import Window
from llm_mux.routing.accounts import FAULTS, Account, carried_over


def account(label: str = "a", **more: object) -> Account:
    return Account(registry.get("openai"), label, "sk-very-secret", **more)  # type: ignore[arg-type]


def failure(kind: Kind, retry_after: float | None = None) -> MuxError:
    return MuxError(kind, "no", retry_after=retry_after)


def rest(one: Account, model: str, now: float) -> float:
    """Seconds for which nothing is sent: a long rest is tried every five minutes."""
    found = [b.until - now for scope in ("", model) if (b := one.breakers.get(scope)) and b.until is not None]
    return max(found, default=0)


@pytest.mark.parametrize(
    ("kind", "here", "elsewhere"),
    [
        pytest.param(Kind.RATE_LIMIT, 1, 0, id="the model rests"),
        pytest.param(Kind.QUOTA, 1800, 0, id="for half an hour"),
        pytest.param(Kind.UPSTREAM_MODEL, 43200, 0, id="for half a day"),
        pytest.param(Kind.UPSTREAM_AUTH, 1800, 1800, id="the whole account rests"),
        pytest.param(Kind.UPSTREAM_FORBIDDEN, 1800, 1800, id="the whole account rests too"),
        pytest.param(Kind.OVERLOADED, 0, 0, id="not its fault"),
        pytest.param(Kind.UPSTREAM_CUT, 0, 0, id="not its fault either"),
    ],
)
@pytest.mark.covers("OP-2")
def test_a_failure_rests_what_it_is_about(kind: Kind, here: float, elsewhere: float) -> None:
    one = account()
    one.failed("m", failure(kind), now=100)
    assert rest(one, "m", 100) == here
    assert rest(one, "other", 100) == elsewhere
    assert one.last_error == f"{kind.value}: no"


def test_rate_limits_without_a_hint_double_up_to_half_an_hour() -> None:
    one, now, rests = account(), 0.0, []
    for _ in range(14):
        one.failed("m", failure(Kind.RATE_LIMIT), now)
        rests.append(rest(one, "m", now))
        now += rests[-1]
    assert rests == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1800, 1800, 1800]


def test_refusals_of_requests_that_were_under_way_together_count_once() -> None:
    one = account()
    for _ in range(20):
        one.failed("m", failure(Kind.RATE_LIMIT), now=5)
    assert one.ready_at("m", 5) == 6


def test_the_providers_hint_wins_and_the_longest_rest_stays() -> None:
    one = account()
    one.failed("m", failure(Kind.RATE_LIMIT, retry_after=40_000), now=0)
    assert rest(one, "m", 0) == 40_000
    one.failed("m", failure(Kind.RATE_LIMIT, retry_after=3), now=1)
    assert rest(one, "m", 0) == 40_000
    one.failed("n", failure(Kind.QUOTA, retry_after=0), now=1)
    assert one.ready_at("n", 1) == 0


@pytest.mark.covers("OP-1")
def test_a_success_ends_the_rest_of_its_model_and_of_the_account() -> None:
    one = account()
    for model in ("m", "n"):
        for now in (0, 10, 20):
            one.failed(model, failure(Kind.RATE_LIMIT), now)
    one.failed("m", failure(Kind.UPSTREAM_AUTH), now=21)
    assert one.succeeded("m", now=30, began=29)
    assert one.ready_at("m", 30) == 0
    assert one.breakers["n"].until == 24
    one.failed("m", failure(Kind.RATE_LIMIT), now=100)
    assert one.ready_at("m", 100) == 101, "growth begins anew"


def test_a_success_of_what_was_under_way_before_says_nothing_about_a_rest() -> None:
    one = account()
    one.failed("m", failure(Kind.RATE_LIMIT, retry_after=60), now=10)
    assert not one.succeeded("m", now=12, began=9)
    assert one.ready_at("m", 12) == 70
    assert one.succeeded("m", now=71, began=70.5)
    assert (one.breakers, one.last_error) == ({}, None)


@pytest.mark.covers("OP-1", "OP-6")
def test_after_a_rest_one_at_a_time_tries_until_a_success_lets_everybody_in() -> None:
    one = account()
    one.failed("m", failure(Kind.RATE_LIMIT, retry_after=5), now=0)
    assert one.ready_at("m", 4) == 5
    assert one.ready_at("m", 5) == 0
    one.enter("m", 5)
    assert one.ready_at("m", 5.5) == 6, "the first one tries alone for a second"
    one.succeeded("m", now=5.6, began=5)
    assert one.ready_at("m", 5.6) == 0


@pytest.mark.covers("OP-1")
def test_a_long_rest_is_tried_every_five_minutes() -> None:
    one = account()
    one.failed("m", failure(Kind.QUOTA, retry_after=500_000), now=0)
    assert one.ready_at("m", 299) == 300
    assert one.ready_at("m", 300) == 0
    one.enter("m", 300)
    assert one.ready_at("m", 301) == 600


def test_failures_in_a_row_open_the_models_breaker_and_no_other() -> None:
    one = account()
    for _ in range(4):
        one.failed("m", failure(Kind.UPSTREAM_ERROR), now=1)
    assert one.ready_at("m", 1) == 0
    one.failed("m", failure(Kind.UPSTREAM_CUT), now=1)
    assert one.ready_at("m", 1) == 11
    assert one.ready_at("n", 1) == 0
    assert one.reason("m", 1) is Kind.UPSTREAM_CUT


def test_a_refusal_of_one_model_rests_that_model_alone() -> None:
    one = account()
    one.failed("gpt-9", MuxError(Kind.UPSTREAM_FORBIDDEN, "no access to model gpt-9"), now=0)
    assert one.ready_at("gpt-9", 1) > 0
    assert one.ready_at("gpt-8", 1) == 0
    assert not one.refused


@pytest.mark.parametrize(
    ("window", "scope", "seconds", "kind"),
    [
        pytest.param(Window("5h", "account", 1.0, resets_at=5000.0), "", 4000, Kind.QUOTA, id="the account's"),
        pytest.param(Window("7d", "model", 1.2, resets_at=9000.0), "m", 8000, Kind.QUOTA, id="one model's"),
        pytest.param(
            Window("7d_m", "model", 1.2, resets_at=9000.0, family="m"), "m", 8000, Kind.QUOTA, id="its family's"
        ),
        pytest.param(Window("7d_x", "model", 1.2, resets_at=9000.0, family="x"), None, 0, None, id="another family's"),
        pytest.param(Window("requests", "model", remaining=0, resets_at=1002.0), "m", 2, Kind.RATE_LIMIT, id="short"),
        pytest.param(Window("5h", "account", 1.0, resets_at=5000.0, soft=True), None, 0, None, id="paid overage"),
        pytest.param(Window("5h", "account", 1.0), None, 0, None, id="nobody knows until when"),
        pytest.param(Window("5h", "account", 0.5, resets_at=5000.0), None, 0, None, id="half is left"),
        pytest.param(Window("5h", "account", 1.0, resets_at=900.0), None, 0, None, id="begun anew"),
    ],
)
@pytest.mark.covers("OP-2")
def test_a_spent_quota_rests_its_own_scope_before_anybody_is_refused(
    window: Window, scope: str | None, seconds: float, kind: Kind | None
) -> None:
    one = account()
    assert one.notice("m", (window,), now=10, unix=1000) == (seconds or None)
    assert {s: (b.until, b.reason) for s, b in one.breakers.items()} == (
        {} if scope is None else {scope: (10 + seconds, kind)}
    )


def test_a_quota_that_is_nearly_spent_is_known_until_it_begins_anew_or_is_seen_to_be_fuller() -> None:
    one = account()
    one.notice("m", (Window("5h", "account", 0.985, resets_at=2000.0),), now=0, unix=1000)
    assert one.nearly_spent("any", 999)
    assert not one.nearly_spent("any", 1000)
    one.notice("m", (Window("5h", "account", 0.2, resets_at=2000.0),), now=1, unix=1001)
    assert not one.nearly_spent("any", 2)


@pytest.mark.covers("OP-9")
def test_windows_stay_bounded_whatever_the_models() -> None:
    one = account()
    for number in range(1000):
        one.notice(f"m{number}", (Window("requests", "model", 0.1),), now=0, unix=0)
        one.timed(f"m{number}", 0.1, now=0)
    assert len(one.windows) <= 64
    assert len(one.speeds) <= 64


def test_a_rest_is_cleared_by_hand() -> None:
    one = account()
    one.failed("m", failure(Kind.QUOTA), now=0)
    one.failed("n", failure(Kind.QUOTA), now=0)
    assert one.clear("m") == ["m"]
    assert one.clear() == ["n"]
    assert one.state(1) == "ready"


def test_what_is_over_is_forgotten() -> None:
    one = account()
    for number in range(500):
        one.failed(f"model-{number}", failure(Kind.UPSTREAM_MODEL), now=number * 100_000)
    assert len(one.breakers) == 1


def test_it_lacks_a_model_only_while_nothing_else_rests_it() -> None:
    one = account()
    one.failed("m", failure(Kind.UPSTREAM_AUTH), now=0)
    one.failed("m", failure(Kind.UPSTREAM_MODEL), now=0)
    assert not one.lacks("m", 1)
    one.failed("m", failure(Kind.UPSTREAM_MODEL), now=5000)
    assert one.lacks("m", 5001)
    assert not one.lacks("n", 5001)


def test_refused_parameters_are_remembered_by_model() -> None:
    one = account()
    one.learn("m", "seed")
    one.learn("m", "top_k")
    assert one.refuses == {"m": frozenset({"seed", "top_k"})}


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.covers("OP-3")
def test_a_clients_mistake_costs_no_account_anything(kind: Kind) -> None:
    one = account()
    for _ in range(10):
        one.failed("m", failure(kind), now=0)
    assert bool(one.breakers) is (kind in FAULTS)
    assert (kind in FAULTS) is (POLICY[kind].trips or POLICY[kind].cooldown_s > 0), "a closed list"
    if POLICY[kind].status in (400, 401, 403, 413, 415, 499) and not POLICY[kind].try_next:
        assert kind not in FAULTS


def test_the_secret_never_shows() -> None:
    shown = repr(account(headers={"x-secret": "hidden-value"}))
    assert "sk-very-secret" not in shown
    assert "hidden-value" not in shown
    assert "key" not in {f.name for f in dataclasses.fields(Account) if f.repr}
    assert account("work").name == "openai/work"


def test_an_account_that_is_still_there_keeps_its_object_and_state_and_takes_the_new_facts() -> None:
    old = account(weight=1.0)
    old.failed("m", failure(Kind.RATE_LIMIT), now=100)
    old.inflight = 2
    old.memo["derived"] = "from the old facts"
    fresh = account(weight=3.0, headers={"x-team": "blue"})
    (kept,) = carried_over([fresh], [old])
    assert kept is old
    assert (kept.weight, kept.headers) == (3.0, {"x-team": "blue"})
    assert (kept.ready_at("m", 100), kept.inflight) == (101, 2)
    assert kept.memo == {}


def test_an_account_restated_word_for_word_keeps_what_was_derived() -> None:
    old = account()
    old.memo["derived"] = 1
    assert carried_over([account()], [old]) == [old]
    assert old.memo == {"derived": 1}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"key": "sk-another"}, id="another key"),
        pytest.param({"label": "b"}, id="another label"),
        pytest.param(
            {"provider": msgspec.structs.replace(registry.get("openai"), base_url="https://elsewhere.example/v1")},
            id="another place",
        ),
    ],
)
def test_another_account_begins_with_a_clean_slate(other: dict[str, object]) -> None:
    old = account()
    old.failed("m", failure(Kind.RATE_LIMIT), now=100)
    fresh = dataclasses.replace(account(), **other)  # type: ignore[arg-type]
    (kept,) = carried_over([fresh], [old])
    assert kept is fresh
    assert kept.breakers == {}
    assert old.ready_at("m", 100) == 101, "exchanges under way still hold the old one"


def test_every_field_of_an_account_is_either_a_fact_or_live_state() -> None:
    live = {each.name for each in dataclasses.fields(Account) if each.metadata.get("live")}
    facts = {
        "provider",
        "label",
        "key",
        "proxy_url",
        "weight",
        "priority",
        "first_byte_s",
        "most",
        "options",
        "headers",
        "session",
        "sign",
    }
    assert live | facts == {each.name for each in dataclasses.fields(Account)}, (
        "a new field has to say which it is: facts are replaced by a reload, live state is kept"
    )
