"""The client keys of the database, held in memory so that a request looks its key up without waiting.

Rule: what is held is never older than a second when a key is judged. While requests with keys come, the table is asked
for its changes every half a second in the background; after a silence the first request waits for that question. A key
that nobody knows waits for one more, shared with all others that wait, so a key that was just made works and guessing
costs the database ten questions a second at most. When the database does not answer, what was known goes on to hold.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable

from llm_mux.auth.client_keys import digest
from llm_mux.ledger.database import reason
from llm_mux.ledger.keys import ClientKey, KeyTable
from llm_mux.structured import structlog

FRESH_S = 1.0
_BUSY_S = 0.5
_SPACING_S = 0.1
_PATIENCE_S = 2.0
_LOADING_S = 15.0
"""So long the first answer may take: the database's libraries are loaded for it."""

_log = structlog.get_logger()


class KeyBook:
    """`run` as a task beside the server. Used from one event loop.

    `asked_at` is when the last answered question began, in seconds of `clock`; `questions` counts them, `error` is why
    the last had no answer.
    """

    def __init__(
        self, table: KeyTable, *, clock: Callable[[], float] = time.monotonic, patience_s: float = _PATIENCE_S
    ) -> None:
        self.table = table
        self._clock = clock
        self._patience_s = patience_s
        self._loaded_by: float | None = None
        self._salt = os.urandom(32)
        self._keys: dict[bytes, tuple[ClientKey, bool]] = {}
        self._slots: dict[str, tuple[bytes, ...]] = {}
        self._revision = 0
        self.asked_at = float("-inf")
        self._failed_at = float("-inf")
        self._wanted = asyncio.Event()
        self._question: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None
        self.questions = 0
        self.error: str | None = None

    def __len__(self) -> int:
        return len(self._slots)

    def known(self, secret: str, now: float) -> ClientKey | None:
        """The valid key of this secret as far as is known now; `now` is unix seconds. Has the changes asked for."""
        return self.at(self.place(secret), now)

    def place(self, secret: str) -> bytes:
        """Where the key of this secret is looked up, as long as the book lives."""
        return self._slot(digest(secret))

    def at(self, place: bytes, now: float) -> ClientKey | None:
        """`known`, by the place."""
        if not self._wanted.is_set():
            self._wanted.set()
        found = self._keys.get(place)
        if found is None:
            return None
        key, former = found
        if key.state(now) != "active" or (former and (key.former_until or 0) <= now):
            return None
        return key

    @property
    def fresh(self) -> bool:
        """Whether a key that is known needs no question before it is let in."""
        arrived = self._clock()
        return arrived - self.asked_at <= FRESH_S or arrived - self._failed_at <= FRESH_S

    async def find(self, secret: str, now: float) -> ClientKey | None:
        """The valid key of this secret, waiting where what is known is too old to say so, or not to."""
        arrived = self._clock()
        if not self.fresh:
            await self._ask_once()
        found = self.known(secret, now)
        if found is None and self.asked_at < arrived and self._failed_at < arrived:
            # Asked for before this request came: the key may have been made since.
            await asyncio.sleep(max(0.0, self.asked_at + _SPACING_S - self._clock()))
            await self._ask_since(arrived)
            found = self.known(secret, now)
        return found

    async def run(self) -> None:
        """Keep up with the table while keys are being looked up; sleeps without waking otherwise."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._ask_once()
            await asyncio.sleep(_BUSY_S)

    async def _ask_since(self, moment: float) -> None:
        """Return after a question that began at `moment` or later; whoever waits for one shares it."""
        while max(self.asked_at, self._failed_at) < moment:
            await self._ask_once()

    async def _ask_once(self) -> None:
        """Join the wait that is under way, or begin one."""
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.create_task(self._answered())
        await asyncio.shield(self._waiting)

    async def _answered(self) -> None:
        """Put the question, or wait on for the one that is open: it is never broken off, only waited for no longer."""
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait((self._question,), timeout=self._patience())
        if not done:
            self._failed("no answer in time")

    def _patience(self) -> float:
        if self.asked_at > float("-inf"):
            return self._patience_s
        now = self._clock()
        self._loaded_by = self._loaded_by or now + _LOADING_S
        return max(self._patience_s, self._loaded_by - now)

    async def close(self) -> None:
        """Wait a moment for a question that is under way: the database is about to close."""
        if self._question is not None:
            _, late = await asyncio.wait((self._question,), timeout=_PATIENCE_S)
            for question in late:
                question.cancel()

    def _failed(self, why: str) -> None:
        self._failed_at = self._clock()
        if self.error is None:
            _log.warning("keys.unread", error=why)
        self.error = why

    async def _ask(self) -> None:
        began = self._clock()
        self.questions += 1
        try:
            changed, self._revision = await self.table.since(self._revision)
        except Exception as error:
            self._failed(reason(error))
            return
        self.asked_at = began
        self.error = None
        for each in changed:
            self._put(each.key, tuple(d for d in (each.digest, each.former) if d is not None))

    def _put(self, key: ClientKey, digests: tuple[bytes, ...]) -> None:
        for slot in self._slots.pop(key.id, ()):
            self._keys.pop(slot, None)
        if key.revoked is None:
            slots = tuple(self._slot(each) for each in digests)
            self._slots[key.id] = slots
            self._keys.update({slot: (key, number > 0) for number, slot in enumerate(slots)})

    def _slot(self, digest_: bytes) -> bytes:
        # Looking up by a salted hash tells an attacker's clock nothing about the digests that are held.
        return hashlib.blake2b(digest_, key=self._salt, digest_size=16).digest()
