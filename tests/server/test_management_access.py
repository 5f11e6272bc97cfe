"""Who may use the management API, and how often one may be wrong. Time is a parameter."""

import pytest

from llm_mux.errors import Kind, MuxError
from llm_mux.server.management.access import FIRST_LOCK_S, FREE_GUESSES, LONGEST_LOCK_S, Access, Lockout

KEY = "the-management-key"
HERE, THERE = "127.0.0.1", "203.0.113.9"


def access(key: str | None = KEY, *, allow_remote: bool = False, lockout: Lockout | None = None) -> Access:
    return Access(key, lockout or Lockout(), allow_remote=allow_remote)


def refusal(one: Access, peer: str, headers: dict[str, str], now: float = 0) -> MuxError:
    with pytest.raises(MuxError) as caught:
        one.admit(peer, headers, now)
    return caught.value


@pytest.mark.parametrize("headers", [{"X-Management-Key": KEY}, {"Authorization": f"Bearer {KEY}"}])
@pytest.mark.parametrize("peer", [HERE, "::1", "::ffff:127.0.0.1"])
def test_whoever_has_the_key_may_from_this_machine(peer: str, headers: dict[str, str]) -> None:
    access().admit(peer, headers, 0)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic x"}, {"x-api-key": KEY}, {"X-Management-Key": ""}])
def test_a_missing_key_is_a_401_that_says_where_it_goes_and_is_no_guess(headers: dict[str, str]) -> None:
    one = access()
    for _ in range(50):
        error = refusal(one, HERE, headers)
    assert (error.kind, error.code) == (Kind.CLIENT_AUTH, "management_key_missing")
    assert "X-Management-Key" in error.message


def test_before_a_key_was_made_nobody_may() -> None:
    assert refusal(access(None), HERE, {"X-Management-Key": ""}).code == "no_management_key"
    assert refusal(access(None), HERE, {"X-Management-Key": "None"}).code == "no_management_key"


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Forwarded-For": HERE}, {"X-Real-IP": "::1"}, {"Forwarded": "for=127.0.0.1"}, {"Host": "localhost"}],
)
def test_no_header_makes_a_strange_address_local(headers: dict[str, str]) -> None:
    error = refusal(access(), THERE, {"X-Management-Key": KEY, **headers})
    assert (error.kind, error.code) == (Kind.FORBIDDEN, "management_is_local")


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_what_a_proxy_on_this_machine_passed_on_is_not_local(name: str) -> None:
    assert refusal(access(), HERE, {"X-Management-Key": KEY, name: "x"}).code == "management_is_local"
    access(allow_remote=True).admit(HERE, {"X-Management-Key": KEY, name: "x"}, 0)


def test_allow_remote_still_asks_for_the_key() -> None:
    one = access(allow_remote=True)
    one.admit(THERE, {"X-Management-Key": KEY}, 0)
    assert refusal(one, THERE, {"X-Management-Key": "wrong"}).kind is Kind.CLIENT_AUTH


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:3000", "Host": "localhost:8317"},
        {"Origin": "http://localhost", "Host": "localhost:8317"},
        {"Origin": "null", "Host": "localhost:8317"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_page_may_not_even_with_the_key(headers: dict[str, str]) -> None:
    assert refusal(access(), HERE, {"X-Management-Key": KEY, **headers}).code == "origin_not_allowed"


def test_the_daemons_own_page_may() -> None:
    own = {"Origin": "http://localhost:8317", "Host": "localhost:8317", "Sec-Fetch-Site": "same-origin"}
    access().admit(HERE, {"X-Management-Key": KEY, **own}, 0)
    behind_tls = {"Origin": "https://mux.example", "Host": "mux.example", "X-Forwarded-For": THERE}
    access(allow_remote=True).admit(HERE, {"X-Management-Key": KEY, **behind_tls}, 0)


def test_ten_thousand_guesses_get_a_handful_of_looks_at_the_key() -> None:
    one, looked_at = access(), 0
    for second in range(10_000):
        error = refusal(one, HERE, {"X-Management-Key": f"guess-{second}"}, now=second / 10)
        looked_at += error.kind is Kind.CLIENT_AUTH
        if error.kind is Kind.LIMITED:
            assert 0 < (error.retry_after or 0) <= LONGEST_LOCK_S
    assert looked_at == FREE_GUESSES + 5, "at 30, 90, 210, 450 and 930 seconds"


def test_while_locked_out_the_right_key_counts_for_nothing_and_afterwards_it_forgives() -> None:
    one = access()
    for _ in range(FREE_GUESSES):
        refusal(one, HERE, {"X-Management-Key": "wrong"})
    assert refusal(one, HERE, {"X-Management-Key": KEY}, now=FIRST_LOCK_S - 1).code == "locked_out"
    one.admit(HERE, {"X-Management-Key": KEY}, FIRST_LOCK_S)
    assert refusal(one, HERE, {"X-Management-Key": "wrong"}, now=FIRST_LOCK_S).kind is Kind.CLIENT_AUTH


def test_a_lockout_is_the_addresss_own_and_outlasts_a_new_configuration() -> None:
    lockout = Lockout()
    one = access(allow_remote=True, lockout=lockout)
    for number in range(FREE_GUESSES):
        refusal(one, f"2001:db8::{number:x}", {"X-Management-Key": "wrong"})
    again = access(allow_remote=True, lockout=lockout)
    assert refusal(again, "2001:db8::ffff", {"X-Management-Key": KEY}).code == "locked_out", "one network, one address"
    again.admit(THERE, {"X-Management-Key": KEY}, 0)
