"""Ten thousand guesses of the management key over HTTP: nothing learnt, nothing grown, nothing slower, a quiet log."""

import asyncio
import pathlib
import secrets
import time
from collections import Counter
from statistics import median
from typing import Any

import pytest

from llm_mux import log
from llm_mux.errors import MuxError
from llm_mux.server.management.access import _MOST_ADDRESSES, FREE_GUESSES, Access, Lockout
from llm_mux.server.serving import DAEMON
from tests.server.management import ROOT, Managed, managed

GUESSES = 10_000
AT_ONCE = 8


async def guess(mux: Managed, key: str, path: str) -> int:
    """One guess; the answer holds neither it nor the key."""
    async with mux.bare.get(f"{ROOT}{path}", headers={"X-Management-Key": key}) as answer:
        text = f"{answer.headers} {await answer.text()}"
        assert key not in text
        assert mux.key not in text
        assert (answer.status == 429) == ("Retry-After" in answer.headers)
        return answer.status


async def test_ten_thousand_guesses_learn_nothing_and_cost_the_same_to_the_end(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home") as mux:
        paths = ("/debug", "/config", "/api-keys", "/accounts", "/nothing-here")
        seen = [await guess(mux, f"guess-{number}", paths[number % 4]) for number in range(FREE_GUESSES)]
        assert seen == [401] * FREE_GUESSES
        assert await guess(mux, mux.key[:-1], "/debug") == 429
        log.ring.clear()
        statuses: Counter[int] = Counter()
        spent = []

        async def some(count: int) -> None:
            for _ in range(count):
                statuses[await guess(mux, secrets.token_urlsafe(32), "/debug")] += 1

        for _ in range(20):
            began = time.process_time()
            await asyncio.gather(*(some(GUESSES // 20 // AT_ONCE) for _ in range(AT_ONCE)))
            spent.append(time.process_time() - began)
        assert statuses == {429: 20 * AT_ONCE * (GUESSES // 20 // AT_ONCE)}
        assert mux.app[DAEMON].parts.lockout.addresses == 1
        assert [record["event"] for record in log.ring.after(0, limit=100)] == []
        assert median(spent[-5:]) < 2 * median(spent[:5])
        await mux.ask("GET", "/debug", status=429)
        chat = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
        async with mux.bare.post("/v1/chat/completions", json=chat) as answer:
            assert answer.status == 200


async def test_a_lockout_is_one_line_of_the_log_and_holds_no_guess(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home") as mux:
        log.ring.clear()
        for number in range(50):
            await guess(mux, f"guess-{number}", "/debug")
        (line,) = [line for line in log.ring.after(0, limit=100) if line["event"].startswith("management.")]
        assert (line["event"], line["level"], line["address"]) == ("management.locked_out", "warning", "127.0.0.1")
        assert line["seconds"] == 30
        assert "guess-" not in str(log.ring.after(0, limit=1000))


def test_guesses_from_everywhere_take_bounded_room() -> None:
    lockout = Lockout()
    access = Access("right", lockout, allow_remote=True)

    def wrong(address: str, at: float) -> MuxError:
        with pytest.raises(MuxError) as caught:
            access.admit(address, {"X-Management-Key": "wrong"}, at)
        return caught.value

    for number in range(GUESSES):
        wrong(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0)
    assert lockout.addresses == _MOST_ADDRESSES
    for _ in range(FREE_GUESSES):
        wrong("198.51.100.7", 1)
    assert wrong("198.51.100.7", 1).code == "locked_out"


@pytest.mark.parametrize("status", [401, 405, 404])
async def test_who_has_no_key_learns_of_no_route(tmp_path: pathlib.Path, status: int) -> None:
    """What is not there and what is not done that way are told to managers only."""
    asked: dict[int, Any] = {401: ("GET", "/debug"), 404: ("GET", "/nothing-here"), 405: ("PATCH", "/debug")}
    method, path = asked[status]
    async with managed(tmp_path / "home") as mux:
        async with mux.bare.request(method, f"{ROOT}{path}") as answer:
            assert answer.status == 401
        async with mux.client.request(method, f"{ROOT}{path}") as answer:
            assert answer.status == (200 if status == 401 else status)
