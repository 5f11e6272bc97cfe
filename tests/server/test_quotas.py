"""The file of quota windows: written when it matters, and costing nothing when it cannot be."""

import asyncio
import pathlib
import time

import pytest

from llm_mux.providers import registry
from llm_mux.providers.quota import Window
from llm_mux.routing.accounts import Account
from llm_mux.server import quotas
from llm_mux.server.quotas import Quotas


def told(account: Account, used: float) -> None:
    """The provider has told how much of a quota is used."""
    window = Window("5h", "account", used, resets_at=time.time() + 3600)
    account.notice("m", (window,), time.monotonic(), time.time())


def fresh() -> Account:
    return Account(registry.get("anthropic"), "a", "sk-1")


async def test_a_process_and_its_successor_keep_one_file(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "quotas.json"
    one, other = fresh(), fresh()
    first, second = Quotas(file), Quotas(file)
    first.watch([one])
    told(one, 0.99)
    await first.save()
    second.watch([other])
    assert other.nearly_spent("m", time.monotonic())
    told(other, 0.1)
    await second.save()
    await first.close()
    last = fresh()
    Quotas(file).watch([last])
    assert not last.nearly_spent("m", time.monotonic()), "who ends undoes nothing of what its successor was told"


async def test_what_decides_is_written_by_itself(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "_LOOK_S", 0.01)
    file, one = tmp_path / "quotas.json", fresh()
    kept = Quotas(file)
    kept.watch([one])
    running = asyncio.create_task(kept.run())
    told(one, 0.99)
    async with asyncio.timeout(10):
        while not file.exists():
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    one = fresh()
    kept = Quotas(tmp_path / "state" / "quotas.json")
    kept.watch([one])
    told(one, 0.99)
    await kept.save()
    await kept.close()
    assert one.nearly_spent("m", time.monotonic())
