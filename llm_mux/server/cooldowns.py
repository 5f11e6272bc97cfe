"""Rests of accounts and hosts over a restart: a small file in the state folder, written a moment after a change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from llm_mux import log
from llm_mux.gateway.waiting import Waiting
from llm_mux.routing.accounts import Account
from llm_mux.routing.rests import Held, Kept, Place, Written, held, merged, recalled
from llm_mux.routing.standing import Standing
from llm_mux.server.state_list import StateList

_AFTER_S = 0.5


class Cooldowns:
    """The file, and the accounts whose rests are in it. `close` writes what is new."""

    def __init__(self, path: Path, waiting: Waiting, standing: Standing) -> None:
        self._file = StateList(path, Kept)
        self._standing = standing
        self._accounts: Sequence[Account] | None = None
        self._before: dict[Place, Written] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._turn = asyncio.Lock()
        self._saving: set[asyncio.Task[None]] = set()
        waiting.listeners.append(self.changed)

    def watch(self, accounts: Sequence[Account]) -> None:
        """From now on these are the accounts; the first ones get their rests back."""
        first, self._accounts = self._accounts is None, accounts
        if first and (found := self._file.read()):
            self._take_up(found)

    def _take_up(self, rests: Sequence[Kept]) -> None:
        """Rests that were learned elsewhere, in an earlier process or in one that is about to end."""
        now, unix = time.monotonic(), time.time()
        back = recalled(self._accounts or (), self._standing.hosts, rests, now, unix)
        self._before |= back
        if back:
            log.logger.info("cooldowns.recalled", rests=len(back))

    def changed(self) -> None:
        """Something began or ended to rest."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_AFTER_S, self._save_aside)

    def _save_aside(self) -> None:
        task = asyncio.get_running_loop().create_task(self.save())
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    async def save(self) -> None:
        """What changed is on the disk when this returns."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        async with self._turn:
            now, unix = time.monotonic(), time.time()
            mine = held(self._accounts or (), self._standing.hosts, now)
            kept = await asyncio.to_thread(self._write, dict(self._before), mine, now, unix)
            if kept is None:
                return
            known = self._before
            # What somebody else took from the disk stays known, so that it is not taken for something new.
            written = {place: Written(rest, kept[place]) for place, rest in mine.items() if place in kept}
            self._before = {place: known[place] for place in mine.keys() & known.keys()} | written
            here = {place: unix + rest.until - now for place, rest in mine.items()}
            if others := [e for e in kept.values() if e.place not in known and here.get(e.place, 0) < e.until - 1]:
                self._take_up(others)

    def _write(
        self, before: Mapping[Place, Written], mine: Mapping[Place, Held], now: float, unix: float
    ) -> dict[Place, Kept] | None:
        """What is on the disk now; None when it could not be written."""
        kept = self._file.put(lambda found: list(merged(found, before, mine, now, unix).values()))
        return None if kept is None else {each.place: each for each in kept}

    async def close(self) -> None:
        for task in tuple(self._saving):
            await task
        if self._timer is not None:
            await self.save()
