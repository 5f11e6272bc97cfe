"""Quota windows on the disk: which are worth it, whose they are, and what several processes make of one file."""

from collections.abc import Iterable

import msgspec
import pytest

from llm_mux.providers import registry
from llm_mux.providers.quota import Window
from llm_mux.routing.accounts import Account
from llm_mux.routing.kept_quotas import KeptQuota, Spot, kept_quotas, merged, recalled

NOW, UNIX = 50.0, 1_000_050.0
PROVIDER = registry.get("anthropic")
FIVE_HOURS = Window("5h", "account", 0.99, resets_at=UNIX + 3600)
OPUS = Window("7d_opus", "model", 0.4, resets_at=UNIX + 90_000)


def account(label: str = "a", key: str = "sk-very-secret") -> Account:
    return Account(PROVIDER, label, key)


def known(*windows: Window) -> Account:
    one = account()
    one.notice("opus", windows, NOW, UNIX)
    return one


def on_disk(*accounts: Account) -> list[KeptQuota]:
    content = msgspec.json.encode(merged(None, {}, kept_quotas(accounts, UNIX), UNIX))
    assert b"sk-very-secret" not in content
    return msgspec.json.decode(content, type=list[KeptQuota])


def test_the_next_process_knows_what_the_last_one_was_told() -> None:
    fresh = account()
    assert recalled([fresh], on_disk(known(FIVE_HOURS, OPUS)), now=3.0, unix=UNIX + 60) == 2
    assert fresh.windows == {("", "5h"): FIVE_HOURS, ("opus", "7d_opus"): OPUS}
    assert fresh.nearly_spent("opus", 4.0)
    assert fresh.nearly_spent("another", 3.0 + 3539)
    assert not fresh.nearly_spent("another", 3.0 + 3541)
    assert fresh.ready_at("opus", 4.0) == 0, "rests are kept by themselves"


@pytest.mark.parametrize(
    ("windows", "fresh", "later"),
    [
        pytest.param([FIVE_HOURS], account(key="sk-another"), 60, id="another key"),
        pytest.param([FIVE_HOURS], account("b"), 60, id="another account"),
        pytest.param([FIVE_HOURS], account(), 3601, id="it began anew"),
        pytest.param([Window("requests", "model", 1.0, 0, 60, UNIX + 59)], account(), 1, id="soon over"),
        pytest.param([Window("requests", "model", 0.5, 3, 60)], account(), 1, id="nobody said until when"),
    ],
)
def test_what_says_nothing_any_more_is_not_put_back(windows: list[Window], fresh: Account, later: float) -> None:
    assert recalled([fresh], on_disk(known(*windows)), NOW, UNIX + later) == 0
    assert (fresh.windows, fresh.low) == ({}, {})


def test_a_quota_of_a_rest_that_was_ended_by_hand_does_not_come_back() -> None:
    one = known(Window("5h", "account", 1.0, resets_at=UNIX + 3600), OPUS)
    assert one.clear() == [""]
    assert [each.name for each in on_disk(one)] == ["7d_opus"]


def quota(name: str, used: float, until: float = UNIX + 3600) -> KeptQuota:
    return KeptQuota("p/a", "k", "", name, until, used)


def by_spot(quotas: Iterable[KeptQuota]) -> dict[Spot, KeptQuota]:
    return {each.spot: each for each in quotas}


@pytest.mark.parametrize(
    ("found", "before", "now", "wanted"),
    [
        pytest.param([], [], [quota("a", 0.5)], [quota("a", 0.5)], id="a new one is added"),
        pytest.param(
            [quota("b", 0.1)], [], [quota("a", 0.5)], [quota("b", 0.1), quota("a", 0.5)], id="another's stays"
        ),
        pytest.param([quota("a", 0.9)], [quota("a", 0.5)], [quota("a", 0.5)], [quota("a", 0.9)], id="no news, no word"),
        pytest.param([quota("a", 0.9)], [quota("a", 0.9)], [quota("a", 0.1)], [quota("a", 0.1)], id="a change counts"),
        pytest.param([quota("a", 0.9)], [quota("a", 0.9)], [], [], id="what ended here is taken away"),
        pytest.param([quota("a", 0.9)], [quota("a", 0.5)], [], [quota("a", 0.9)], id="not what another made of it"),
        pytest.param([quota("a", 0.9, UNIX)], [], [], [], id="what is over goes"),
        pytest.param(None, [quota("a", 0.5)], [quota("a", 0.5)], [quota("a", 0.5)], id="a lost file is made again"),
    ],
)
def test_each_process_puts_in_only_what_changed_with_itself(
    found: list[KeptQuota] | None, before: list[KeptQuota], now: list[KeptQuota], wanted: list[KeptQuota]
) -> None:
    assert merged(found, by_spot(before), by_spot(now), UNIX) == wanted
