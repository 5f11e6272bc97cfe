"""The login behind an account: when its token comes due, and what stays of an account when it is renewed."""

from __future__ import annotations

import msgspec
import pytest

from llm_mux.auth.base import Credential, OAuth
from llm_mux.errors import Kind, MuxError
from llm_mux.providers import registry
from llm_mux.providers.base import Login, Provider
from llm_mux.routing.accounts import Account, Session, carried_over

NOW = 1_800_000_000.0
LOGIN = Login("browser", "in the browser", OAuth(lead_s=600))


def applied(provider: Provider, credential: Credential) -> Provider:
    return msgspec.structs.replace(provider, headers={"x-account": credential.id})


def token(life_s: float | None = 3600, **more: object) -> Credential:
    end = None if life_s is None else NOW + life_s
    return msgspec.structs.replace(
        Credential(access="at", refresh="rt", expires=end, obtained=NOW, way="browser", id="u-1"), **more
    )


def session(credential: Credential | None = None, login: Login = LOGIN) -> Session:
    return Session(login, login.oauth, credential or token(), registry.get("openai"))


def account(own: Session | None = None) -> Account:
    own = own or session()
    return Account(own.provider(), "me", own.credential.access, session=own)


@pytest.mark.parametrize(
    ("life_s", "earliest", "latest", "over"),
    [
        (3600, 3600 - 660, 3600 - 600, 3600 - 30),
        (200, 200 - 110, 200 - 100, 200 - 20),
        (0, 0, 0, 0),
        (-50, -50, -50, -50),
    ],
)
def test_a_token_comes_due_before_its_end_and_not_before_half_of_its_life(
    life_s: float, earliest: float, latest: float, over: float
) -> None:
    dues = [session(token(life_s, access=f"at-{n}")) for n in range(50)]
    assert all(earliest <= each.due - NOW <= latest for each in dues)
    assert {each.over - NOW for each in dues} == {over}


@pytest.mark.covers("OP-6")
def test_tokens_of_many_accounts_do_not_come_due_in_one_moment() -> None:
    assert len({session(token(access=f"at-{n}")).due for n in range(50)}) > 45


def test_a_token_without_an_end_never_comes_due() -> None:
    own = session(token(None))
    assert own.due == own.over == float("inf")
    assert not own.before(0)


def test_a_clock_that_was_set_back_is_noticed() -> None:
    assert not session().before(NOW - 200)
    assert session().before(NOW - 400)


def test_a_renewed_account_sends_the_new_token_and_forgets_what_came_of_the_old_one() -> None:
    login = msgspec.structs.replace(LOGIN, applied=applied)
    mine = account(session(login=login))
    mine.memo["derived"] = 1
    mine.failed("m", MuxError(Kind.UPSTREAM_AUTH, "no"), 100)
    assert mine.refused
    mine.renew(token(access="at-2", id="u-2"))
    assert (mine.key, mine.provider.headers, mine.memo) == ("at-2", {"x-account": "u-2"}, {})
    assert not mine.refused
    assert mine.ready_at("m", 101) == 0
    mine.renew(token(access="at-3"))
    assert mine.provider.headers == {"x-account": "u-1"}


def test_a_rest_for_another_reason_outlasts_a_renewal() -> None:
    mine = account()
    mine.failed("m", MuxError(Kind.RATE_LIMIT, "slow", retry_after=50), 100)
    mine.renew(token(access="at-2"))
    assert mine.ready_at("m", 101) == 150


def test_an_account_that_needs_a_login_is_asked_no_more_until_it_has_one() -> None:
    mine = account()
    mine.needs_login("log in")
    assert mine.refused
    assert mine.ready_at("m", 101) == float("inf")
    assert mine.last_error == "login_needed: log in"
    (same,) = carried_over([account()], [mine])
    assert same is mine and same.refused, "the same token again changes nothing"
    (same,) = carried_over([account(session(token(access="at-2")))], [mine])
    assert same is mine
    assert not same.refused
    assert same.session is not None and same.session.problem == ""
    assert same.last_error is None


@pytest.mark.parametrize(
    ("fresh", "same"),
    [
        (session(token(access="at-9", refresh="rt-9")), True),
        (session(token(id="u-2")), False),
        (session(token(email="x@y.example")), False),
        (session(token(way="device")), False),
    ],
)
def test_a_login_is_still_the_same_person_whatever_the_token(fresh: Session, same: bool) -> None:
    old = account()
    (kept,) = carried_over([account(fresh)], [old])
    assert (kept is old) is same


def test_without_a_name_the_refresh_token_tells_logins_apart() -> None:
    nameless = session(token(id=""))
    assert nameless.same_login(session(token(id="")))
    assert not nameless.same_login(session(token(id="", refresh="rt-2")))
    assert not nameless.same_login(None)


def test_no_secret_shows_in_a_repr() -> None:
    assert "at" not in repr(account()).replace("attempt", "").split("key=")[-1][:3]
    assert "rt" not in repr(session().credential)
