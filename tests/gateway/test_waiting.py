"""The queue for room at an account: first come, first served, one at a time, and nothing promised is lost."""

import asyncio

import pytest

from llm_mux.gateway.waiting import Waiting
from llm_mux.providers import registry
from llm_mux.routing.accounts import Account

LONG_S = 60.0


def account(most: int | None = 1, label: str = "a") -> Account:
    made = Account(registry.get("openai"), label, "key", most=most)
    made.inflight = most or 0
    return made


async def settled() -> None:
    """Everything that is ready to run has run."""
    for _ in range(6):
        await asyncio.sleep(0)


class Queue:
    """Exchanges that wait for accounts, take the room that they find, and note the order in which they came to it."""

    def __init__(self, *accounts: Account) -> None:
        self.waiting = Waiting()
        self.accounts = accounts
        self.served: list[int] = []
        self.looks = 0

    def join(self, name: int, *, takes: bool = True, poll_s: float = LONG_S) -> "asyncio.Task[None]":
        ticket = self.waiting.ticket()

        async def exchange() -> None:
            while True:
                await self.waiting.wait(poll_s, ticket, self.accounts)
                self.looks += 1
                free = next((each for each in self.accounts if not each.full), None)
                if free is not None:
                    if takes:
                        free.inflight += 1
                    self.served.append(name)
                    return

        return asyncio.create_task(exchange())

    def leaves(self, account: Account) -> None:
        account.inflight -= 1
        self.waiting.room(account)


async def test_room_goes_to_whoever_waits_longest_and_wakes_nobody_else() -> None:
    one = account()
    queue = Queue(one)
    tasks = [queue.join(number) for number in range(100)]
    await settled()
    for number in range(5):
        queue.leaves(one)
        assert one.full, "it is promised before anybody else can find it"
        await settled()
        assert (queue.served, queue.looks) == (list(range(number + 1)), number + 1)
        assert (one.inflight, one.promised) == (1, 0)
    for task in tasks:
        task.cancel()


async def test_who_looks_in_between_does_not_lose_the_place() -> None:
    one = account()
    queue = Queue(one)
    first = queue.join(0, poll_s=0.001)
    await settled()
    others = [queue.join(number) for number in (1, 2)]
    async with asyncio.timeout(5):
        while queue.looks < 5:
            await asyncio.sleep(0.001)
    queue.leaves(one)
    await first
    assert queue.served == [0], "though it began to wait anew after the others"
    for task in others:
        task.cancel()


@pytest.mark.parametrize("when", ["before it is woken", "after it was woken"])
async def test_what_was_promised_to_one_that_left_is_the_next_ones(when: str) -> None:
    one = account()
    queue = Queue(one)
    gone, next_ = queue.join(0), queue.join(1)
    await settled()
    if when == "before it is woken":
        gone.cancel()
        await settled()
    queue.leaves(one)
    if when == "after it was woken":
        gone.cancel()
    await asyncio.wait({gone, next_}, timeout=5)
    assert (queue.served, gone.cancelled(), one.inflight, one.promised) == ([1], True, 1, 0)


async def test_room_that_is_not_taken_after_all_is_the_next_ones() -> None:
    one = account()
    queue = Queue(one)
    tasks = [queue.join(0, takes=False), queue.join(1, takes=False), queue.join(2)]
    await settled()
    queue.leaves(one)
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
    assert (queue.served, one.inflight, one.promised) == ([0, 1, 2], 1, 0)


async def test_room_at_one_account_wakes_only_those_whom_it_helps() -> None:
    one, other = account(), account(label="b")
    queue = Queue(one)
    waiting = queue.join(0)
    await settled()
    other.inflight = 0
    queue.waiting.room(other)
    await settled()
    assert (queue.looks, waiting.done()) == (0, False)
    waiting.cancel()


async def test_an_account_that_may_take_more_lets_as_many_in_as_fit() -> None:
    one = account(most=2)
    queue = Queue(one)
    tasks = [queue.join(number) for number in range(5)]
    await settled()
    one.most = 4
    queue.waiting.room(one)
    await settled()
    assert (queue.served, one.inflight) == ([0, 1], 4)
    one.most = None
    queue.waiting.room(one)
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
    assert (queue.served, one.inflight, one.promised) == ([0, 1, 2, 3, 4], 7, 0)
