"""Tasks end with the daemon, whatever they make of being told so."""

import asyncio

import pytest

from llm_mux.server import ending
from llm_mux.server.ending import stopped


async def deaf(times: int) -> None:
    """Takes so many cancellations for something else."""
    for _ in range(times):
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(600)


async def broken() -> None:
    raise ValueError("broken")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "_AGAIN_S", 0.02)


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_a_task_that_takes_its_end_for_a_timeout_ends_all_the_same(times: int) -> None:
    tasks = [asyncio.create_task(deaf(times)), asyncio.create_task(broken()), asyncio.create_task(deaf(0))]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await stopped(*tasks)
    assert [task.cancelled() for task in tasks] == [True, False, True]


async def test_nobody_waits_for_good_for_a_task_that_never_ends() -> None:
    task = asyncio.create_task(deaf(50))
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await stopped(task)
    assert not task.done()
    for _ in range(50):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task], timeout=5)
    assert task.done()


async def test_no_tasks_are_no_work() -> None:
    await stopped()
