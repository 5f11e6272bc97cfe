"""Quota windows over a restart: a small file in the state folder beside the one of the rests.

Rule: it looks every two seconds and writes seldom: at once when another account is the better choice from now on or no
longer is, otherwise when something changed and half a minute has passed, and at the end. An account that is nearly
spent is known to be so in the next process, whatever ended this one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from llm_mux import log
from llm_mux.routing.accounts import Account
from llm_mux.routing.kept_quotas import KeptQuota, Spot, kept_quotas, merged, recalled
from llm_mux.server.state_list import StateList

_LOOK_S = 2.0
_SELDOM_S = 30.0


class Quotas:
    """The file, and the accounts whose windows are in it. `run` as a task beside the server; `close` writes what is
    new."""

    def __init__(self, path: Path) -> None:
        self._file = StateList(path, KeptQuota)
        self._accounts: Sequence[Account] | None = None
        self._written: dict[Spot, KeptQuota] = {}
        self._tried_at = 0.0
        self._failed = False
        self._turn = asyncio.Lock()

    def watch(self, accounts: Sequence[Account]) -> None:
        """From now on these are the accounts; the first ones get their windows back."""
        first, self._accounts = self._accounts is None, accounts
        if first and (found := self._file.read()):
            unix = time.time()
            count = recalled(accounts, found, time.monotonic(), unix)
            self._written = kept_quotas(accounts, unix)
            log.logger.info("quotas.recalled", windows=count)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            urgent = not self._failed and _deciding(self._mine()) != _deciding(self._written)
            if urgent or time.monotonic() - self._tried_at >= _SELDOM_S:
                await self.save()

    async def save(self) -> None:
        """What changed is on the disk when this returns."""
        async with self._turn:
            mine, before = self._mine(), self._written
            if mine == before:
                return
            unix, self._tried_at = time.time(), time.monotonic()
            kept = await asyncio.to_thread(self._file.put, lambda found: merged(found, before, mine, unix))
            self._failed = kept is None
            if kept is not None:
                self._written = mine

    async def close(self) -> None:
        await self.save()

    def _mine(self) -> dict[Spot, KeptQuota]:
        return kept_quotas(self._accounts or (), time.time())


def _deciding(quotas: dict[Spot, KeptQuota]) -> set[Spot]:
    return {spot for spot, quota in quotas.items() if quota.decides}
