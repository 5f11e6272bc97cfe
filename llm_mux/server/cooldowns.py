"""Rests of accounts over a restart: a small file in the state folder, written a moment after something changed.

Rule: the file is replaced in one step, so that a crash leaves the old or the new; one that cannot be read or written
costs no request anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from llm_mux import log
from llm_mux.gateway.waiting import Waiting
from llm_mux.paths import write_private
from llm_mux.routing.accounts import Account
from llm_mux.routing.rests import Kept, kept, recalled

_AFTER_S = 0.5


class Cooldowns:
    """The file, and the accounts whose rests are in it. `close` writes what is new."""

    def __init__(self, path: Path, waiting: Waiting) -> None:
        self._path = path
        self._accounts: Sequence[Account] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        waiting.changed = self.changed

    def watch(self, accounts: Sequence[Account]) -> None:
        """From now on these are the accounts; the first ones get their rests back."""
        first, self._accounts = self._accounts is None, accounts
        if not first:
            return
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=list[Kept])
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            log.logger.warning("cooldowns.unreadable", file=str(self._path), error=type(error).__name__)
            return
        count = recalled(accounts, found, time.monotonic(), time.time())
        if count:
            log.logger.info("cooldowns.recalled", rests=count)

    def changed(self) -> None:
        """Something began or ended to rest."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_AFTER_S, self._save_aside)

    def _save_aside(self) -> None:
        self._timer = None
        if self._writing is not None and not self._writing.done():
            self.changed()
            return
        self._writing = asyncio.get_running_loop().create_task(asyncio.to_thread(self._write, self._content()))

    def _content(self) -> bytes:
        return msgspec.json.encode(kept(self._accounts or (), time.monotonic(), time.time()))

    def _write(self, content: bytes) -> None:
        try:
            write_private(self._path, content)
        except OSError as error:
            log.logger.warning("cooldowns.unwritten", file=str(self._path), error=type(error).__name__)

    async def close(self) -> None:
        if self._writing is not None:
            await self._writing
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            await asyncio.to_thread(self._write, self._content())
