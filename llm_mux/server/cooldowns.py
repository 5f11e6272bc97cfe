"""Rests of accounts and hosts over a restart: a small file in the state folder, written a moment after a change.

Rule: the file is replaced in one step, so that a crash leaves the old or the new. Whoever writes takes the lock, reads
what is there and puts in only what changed with itself: a daemon that ends undoes nothing of its successor's. A file
that cannot be read is set aside; none that cannot be written costs a request anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from llm_mux import log
from llm_mux.auth.sealed import StoreError, locked
from llm_mux.gateway.waiting import Waiting
from llm_mux.paths import set_aside, write_private
from llm_mux.routing.accounts import Account
from llm_mux.routing.rests import Held, Kept, Place, Written, held, merged, recalled
from llm_mux.routing.standing import Standing

_AFTER_S = 0.5


class Cooldowns:
    """The file, and the accounts whose rests are in it. `close` writes what is new."""

    def __init__(self, path: Path, waiting: Waiting, standing: Standing) -> None:
        self._path = path
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
        if first and (found := _read(self._path)):
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
        try:
            with locked(self._path.with_suffix(".lock")):
                found = _read(self._path)
                kept = merged(found, before, mine, now, unix)
                if list(kept.values()) != found:
                    write_private(self._path, msgspec.json.encode(list(kept.values())))
                return kept
        except (OSError, StoreError) as error:
            log.logger.warning("cooldowns.unwritten", file=str(self._path), error=type(error).__name__)
            return None

    async def close(self) -> None:
        for task in tuple(self._saving):
            await task
        if self._timer is not None:
            await self.save()


def _read(path: Path) -> list[Kept] | None:
    """The rests of the file, None when there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Kept])
    except FileNotFoundError:
        return None
    except OSError as error:
        log.logger.warning("cooldowns.unreadable", file=str(path), error=type(error).__name__)
    except msgspec.MsgspecError as error:
        log.logger.warning("cooldowns.damaged", file=str(path), error=str(error), moved_to=set_aside(path))
    return None
