"""Rests on the disk: several processes keep theirs in one place and undo nothing of each other's."""

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llm_mux.errors import Kind, MuxError
from llm_mux.providers import registry
from llm_mux.routing.accounts import Account
from llm_mux.routing.breaker import Breaker
from llm_mux.routing.rests import Held, Kept, Place, Written, held, merged, recalled
from llm_mux.routing.standing import Host, Standing, host_of

NOW, UNIX = 50.0, 1_000_050.0
PROVIDER = registry.get("openai")


def account(label: str = "a", key: str = "sk-very-secret", **more: object) -> Account:
    return Account(PROVIDER, label, key, **more)  # type: ignore[arg-type]


def place(name: str) -> Place:
    return Place(f"p/{name}", "k", "m", host=False)


def kept(name: str, until: float, rests: int = 1) -> Kept:
    return Kept(f"p/{name}", "k", "m", until, Kind.QUOTA.value, rests)


def mine(until: float) -> Held:
    return Held(until - UNIX + NOW, Kind.QUOTA, 1)


def merge(found: Iterable[Kept] | None, before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    """Names to ends on the disk, after a process that knew `before` came to `now`."""
    known = {place(name): Written(mine(until), kept(name, until)) for name, until in before.items()}
    made = merged(found, known, {place(name): mine(until) for name, until in now.items()}, NOW, UNIX)
    return {each.account.removeprefix("p/"): each.until for each in made.values()}


LATER, LONG = UNIX + 100, UNIX + 900


@pytest.mark.parametrize(
    ("found", "before", "now", "wanted"),
    [
        pytest.param([], {}, {"a": LATER}, {"a": LATER}, id="a new rest is added"),
        pytest.param([kept("b", LONG)], {}, {"a": LATER}, {"a": LATER, "b": LONG}, id="another's stays"),
        pytest.param([kept("a", LATER)], {"a": LATER}, {}, {}, id="what ended here is taken away"),
        pytest.param([kept("a", LONG)], {"a": LATER}, {}, {"a": LONG}, id="not what somebody else made of it since"),
        pytest.param([], {"a": LATER}, {"a": LATER}, {}, id="what somebody else ended stays ended"),
        pytest.param([kept("a", LONG)], {"a": LATER}, {"a": LATER}, {"a": LONG}, id="nothing new says nothing"),
        pytest.param([kept("a", LATER)], {"a": LATER}, {"a": LONG}, {"a": LONG}, id="a change here counts"),
        pytest.param([kept("a", LONG)], {}, {"a": LATER}, {"a": LONG}, id="of two new ones the longer counts"),
        pytest.param([kept("a", UNIX - 1)], {}, {}, {}, id="what is over goes"),
        pytest.param(None, {"a": LATER}, {"a": LATER}, {"a": LATER}, id="a lost file is made again"),
    ],
)
def test_each_process_puts_in_only_what_changed_with_itself(
    found: list[Kept] | None, before: dict[str, float], now: dict[str, float], wanted: dict[str, float]
) -> None:
    assert merge(found, before, now) == wanted


names = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([UNIX + 10, LATER, LONG]))


@given(names, names, names)
def test_whoever_changed_nothing_writes_nothing(on_disk: dict[str, float], before: dict[str, float], _: object) -> None:
    found = [kept(name, until) for name, until in on_disk.items()]
    assert merge(found, before, before) == on_disk


def resting() -> tuple[list[Account], Standing]:
    accounts, standing = [account("a"), account("b", proxy_url="http://user:pass@proxy.example")], Standing()
    accounts[0].failed("m", MuxError(Kind.QUOTA, "no", retry_after=600), now=NOW)
    accounts[1].failed("m", MuxError(Kind.UPSTREAM_AUTH, "no"), now=NOW)
    for _ in range(5):
        standing.unreached(accounts[1], Kind.UNREACHABLE, NOW)
    return accounts, standing


def on_disk(accounts: list[Account], standing: Standing) -> list[Kept]:
    written = merged(None, {}, held(accounts, standing.hosts, NOW), NOW, UNIX)
    content = msgspec.json.encode(list(written.values()))
    for secret in (b"sk-very-secret", b"pass"):
        assert secret not in content
    return msgspec.json.decode(content, type=list[Kept])


def test_accounts_and_hosts_rest_on_after_a_restart() -> None:
    fresh, hosts = [account("a"), account("b", proxy_url="http://user:pass@proxy.example")], dict[Host, Breaker]()
    back = recalled(fresh, hosts, on_disk(*resting()), now=3.0, unix=UNIX + 2)
    assert len(back) == 3
    assert fresh[0].breakers["m"].until == 3 + 598
    assert fresh[1].breakers[""].reason is Kind.UPSTREAM_AUTH
    assert set(hosts) == {host_of(fresh[1])}
    assert hosts[host_of(fresh[1])].until == 3 + 3


def test_another_key_address_or_proxy_begins_with_a_clean_slate() -> None:
    moved = replace(PROVIDER, base_url="https://elsewhere.example/v1")
    fresh = [account("a", "sk-another"), Account(moved, "b", "sk", proxy_url="http://user:pass@proxy.example")]
    hosts: dict[Host, Breaker] = {}
    assert recalled(fresh, hosts, on_disk(*resting()), now=3.0, unix=UNIX + 2) == {}
    assert (hosts, fresh[0].breakers, fresh[1].breakers) == ({}, {}, {})


def test_what_is_over_or_makes_no_sense_is_not_put_back() -> None:
    one = account("a")
    (good,) = (each for each in on_disk(*resting()) if each.account == one.name)
    odd = [
        msgspec.structs.replace(good, until=UNIX - 1),
        msgspec.structs.replace(good, until=float("inf")),
        msgspec.structs.replace(good, reason="no such reason"),
        msgspec.structs.replace(good, account="nobody/none"),
    ]
    assert recalled([one], {}, odd, now=0, unix=UNIX) == {}
    assert one.breakers == {}
