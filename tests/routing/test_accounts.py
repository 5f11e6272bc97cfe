"""When an account rests, for how long, and what ends it. Time is a parameter."""

import dataclasses

import pytest

from llm_mux.errors import POLICY, Kind, MuxError
from llm_mux.providers import registry
from llm_mux.routing.accounts import Account, carried_over, punishes


def account(label: str = "a", **more: object) -> Account:
    return Account(registry.get("openai"), label, "sk-very-secret", **more)  # type: ignore[arg-type]


def failure(kind: Kind, retry_after: float | None = None) -> MuxError:
    return MuxError(kind, "no", retry_after=retry_after)


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
def test_a_failure_rests_what_it_is_about(kind: Kind, here: float, elsewhere: float) -> None:
    one = account()
    one.failed("m", failure(kind), now=100)
    assert one.rest_until("m") == (100 + here if here else 0)
    assert one.rest_until("other") == (100 + elsewhere if elsewhere else 0)
    assert one.last_error == f"{kind.value}: no"


def test_rate_limits_without_a_hint_double_up_to_half_an_hour() -> None:
    one, now, rests = account(), 0.0, []
    for _ in range(14):
        one.failed("m", failure(Kind.RATE_LIMIT), now)
        rests.append(one.rest_until("m") - now)
        now = one.rest_until("m")
    assert rests == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1800, 1800, 1800]


def test_refusals_of_requests_that_were_under_way_together_count_once() -> None:
    one = account()
    for _ in range(20):
        one.failed("m", failure(Kind.RATE_LIMIT), now=5)
    assert one.rest_until("m") == 6


def test_the_providers_hint_wins_and_the_longest_rest_stays() -> None:
    one = account()
    one.failed("m", failure(Kind.RATE_LIMIT, retry_after=40_000), now=0)
    assert one.rest_until("m") == 40_000
    one.failed("m", failure(Kind.RATE_LIMIT, retry_after=3), now=1)
    assert one.rest_until("m") == 40_000
    one.failed("n", failure(Kind.QUOTA, retry_after=0), now=1)
    assert one.rest_until("n") <= 1


def test_a_success_ends_the_rest_of_its_model_and_of_the_account() -> None:
    one = account()
    for model in ("m", "n"):
        for now in (0, 10, 20):
            one.failed(model, failure(Kind.RATE_LIMIT), now)
    one.failed("m", failure(Kind.UPSTREAM_AUTH), now=21)
    one.succeeded("m")
    assert one.rest_until("m") == 0
    assert one.rest_until("n") == 24
    assert one.last_error is None
    one.failed("m", failure(Kind.RATE_LIMIT), now=100)
    assert one.rest_until("m") == 101, "growth begins anew"


def test_what_is_over_is_forgotten() -> None:
    one = account()
    for number in range(500):
        one.failed(f"model-{number}", failure(Kind.UPSTREAM_MODEL), now=number * 100_000)
    assert len(one.rests) == len(one.reasons) == 1


def test_it_lacks_a_model_only_while_nothing_else_rests_it() -> None:
    one = account()
    one.failed("m", failure(Kind.UPSTREAM_AUTH), now=0)
    one.failed("m", failure(Kind.UPSTREAM_MODEL), now=0)
    assert not one.lacks("m")
    one.failed("m", failure(Kind.UPSTREAM_MODEL), now=5000)
    assert one.lacks("m")
    assert not one.lacks("n")


def test_refused_parameters_are_remembered_by_model() -> None:
    one = account()
    one.learn("m", "seed")
    one.learn("m", "top_k")
    assert one.refuses == {"m": frozenset({"seed", "top_k"})}


@pytest.mark.parametrize("kind", list(Kind))
def test_a_clients_mistake_costs_no_account_anything(kind: Kind) -> None:
    assert punishes(kind) is (POLICY[kind].try_next or POLICY[kind].trips)
    if POLICY[kind].status in (400, 401, 403, 413, 415, 499) and not POLICY[kind].try_next:
        assert not punishes(kind)


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
    assert (kept.rest_until("m"), kept.inflight) == (101, 2)
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
            {"provider": dataclasses.replace(registry.get("openai"), base_url="https://elsewhere.example/v1")},
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
    assert kept.rests == {}
    assert old.rest_until("m") == 101, "exchanges under way still hold the old one"


def test_every_field_of_an_account_is_either_a_fact_or_live_state() -> None:
    live = {each.name for each in dataclasses.fields(Account) if each.metadata.get("live")}
    facts = {"provider", "label", "key", "proxy_url", "weight", "priority", "first_byte_s", "options", "headers"}
    facts |= {"session", "sign"}
    assert live | facts == {each.name for each in dataclasses.fields(Account)}, (
        "a new field has to say which it is: facts are replaced by a reload, live state is kept"
    )
